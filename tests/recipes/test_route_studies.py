"""Studies of routes and neurons: each leaves a table and a picture, goes on run by run, and refuses what cannot be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from snn4.core.errors import OptionError
from snn4.data import DataSet, Split
from snn4.recipes import dsr, get, integer_lif, sltt_memory, tclif_sequence
from snn4.recipes.common import read_config
from snn4.training import evaluate


def images(count=48):
    pixels = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = Split(pixels, torch.arange(count) % 10)
    return DataSet("made up", whole, whole, tuple("0123456789"), (0.5,), (0.3,))


@pytest.fixture
def made(monkeypatch):
    """Made-up images for the studies that load a data set."""
    for module in (dsr, integer_lif, sltt_memory, tclif_sequence):
        monkeypatch.setattr(module, "load", lambda *_a, **_k: images())


SMALL = {
    "tclif_sequence": {"hidden": (6, 4), "cells": ("tclif", "relu")},
    "sltt_memory": {},
    "dsr": {"lengths": (2,)},
    "online": {"lengths": (4, 8)},
    "integer_lif": {},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_study_leaves_a_table_and_a_picture_and_goes_on_run_by_run(name, run, tmp_path, made):
    recipe = get(name)
    config = dataclasses.replace(recipe.smoke(), **SMALL[name])
    result = run(recipe, config, tmp_path)
    assert {f"{name}.md", f"{name}.svg", f"{name}.png", "result.json"} <= {path.name for path in tmp_path.iterdir()}
    assert result["table"] == (tmp_path / f"{name}.md").read_text()
    assert read_config(tmp_path) == (recipe, config)
    rows = sorted(tmp_path.glob("runs/*/row.json"))
    assert len(rows) >= len(result["study"]) > 1
    before = {path: path.stat().st_mtime_ns for path in rows}
    rows[0].unlink()
    run(recipe, config, tmp_path, resume=True)
    assert [path for path in rows if path.stat().st_mtime_ns != before[path]] == rows[:1]


@pytest.mark.parametrize(
    ("permuted", "recurrent", "weights"), [(False, False, 44_762), (True, False, 44_762), (False, True, 155_082)]
)
def test_the_sequence_networks_have_the_published_number_of_weights(permuted, recurrent, weights):
    config = tclif_sequence.Config(permuted=permuted, recurrent=recurrent)
    net = tclif_sequence.network(config, "tclif")
    assert sum(p.numel() for p in net.parameters() if p.ndim) == weights
    # and a pair of scalars a layer
    assert sum(p.numel() for p in net.parameters() if not p.ndim) == 6


def test_pixels_come_one_a_step_and_in_another_order_when_permuted():
    batch = torch.arange(784).remainder(256).to(torch.uint8).reshape(1, 1, 28, 28)
    plain, shuffled = (
        tclif_sequence.task_of(tclif_sequence.Config(permuted=permuted)).encode(batch, torch.Generator())
        for permuted in (False, True)
    )
    assert plain.shape == (784, 1, 1)
    assert torch.equal(plain.flatten() * 255, batch.flatten().float())
    assert not torch.equal(plain, shuffled)
    assert torch.equal(plain.flatten().sort().values, shuffled.flatten().sort().values)


@pytest.mark.parametrize("options", [{"steps": 100}, {"cells": ()}, {"cells": ("lif", "lif")}, {"cells": ("lstm",)}])
def test_sequence_options_that_cannot_be_are_refused(options, run, tmp_path, made):
    recipe = get("tclif_sequence")
    with pytest.raises(OptionError):
        run(recipe, dataclasses.replace(recipe.smoke(), **options), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_answers_over_time_can_be_left_out():
    split = Split(torch.eye(3).repeat(4, 1), torch.tensor([0, 1, 2, 0] * 3))
    task = dataclasses.replace(
        tclif_sequence.task_of(tclif_sequence.Config()), encode=lambda x, _: x.expand(5, *x.shape)
    )
    whole = evaluate(torch.nn.Identity(), task, split)
    short = evaluate(torch.nn.Identity(), task, split, over_time=False)
    assert (short.accuracy, short.loss) == (whole.accuracy, whole.loss)
    assert (len(whole.accuracy_by_step), short.accuracy_by_step) == (5, whole.accuracy_by_step[-1:])
