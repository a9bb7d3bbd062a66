"""Studies of routes and neurons: each leaves a table and a picture, goes on run by run, and refuses what cannot be."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.data import Compose, DataSet, Flip, Split
from snn4.models import mlp
from snn4.recipes import dsr, get, integer_lif, online, sltt_memory, study, tclif_sequence
from snn4.recipes.common import read_config, report_folder
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.tasks import make_task, shown
from snn4.training import evaluate


def images(count=48):
    pixels = torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = Split(pixels, torch.arange(count) % 10)
    return DataSet("made up", whole, whole, tuple("0123456789"), (0.5,), (0.3,))


@pytest.fixture
def made(monkeypatch):
    """Made-up images for the studies that load a data set."""
    monkeypatch.setattr(study, "load", lambda *_a, **_k: images())


IMAGE = r"data:image/svg\+xml;base64,[^\"]+"


def words(page):
    """A page without the bytes of its pictures: the layout of one that is drawn again may move by a hair."""
    return re.sub(IMAGE, "image", page.read_text(encoding="utf-8"))


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
    assert {f"{name}.md", "report.html", "result.json"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.glob(f"{name}-*.svg"))) == len(list(tmp_path.glob(f"{name}-*.png"))) == 1
    assert result["table"] == (tmp_path / f"{name}.md").read_text()
    assert read_config(tmp_path) == (recipe, config)
    rows = sorted(tmp_path.glob("runs/*/row.json"))
    assert len(rows) >= len(result["study"]) > 1
    # its page again, from its results alone
    page = words(tmp_path / "report.html")
    assert "image" in page
    (tmp_path / "report.html").unlink()
    assert words(report_folder(tmp_path)) == page
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


def integer_net(levels):
    draw = torch.Generator().manual_seed(0)
    net = mlp(6, (8, 7), 3, lambda: nn.IntegerLIF(levels), norm=True).double()
    with torch.no_grad():
        for norm in (net.norm1, net.norm2):
            norm.running_mean.normal_(generator=draw)
            norm.running_var.uniform_(0.5, 2, generator=draw)
            norm.bias.normal_(generator=draw)
    return net.eval(), 3 * torch.randn(4, 5, 6, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("levels", [1, 3, 8])
def test_the_spiking_twin_fires_what_the_counts_say(levels):
    net, xs = integer_net(levels)
    found = integer_lif.differences(net, xs)
    assert found["twin_spikes"] > 20
    assert found["twin_differs"] == 0
    assert found["output_difference"] < 1e-12


def test_a_twin_whose_biases_count_in_every_virtual_step_is_told_apart(monkeypatch):
    net, xs = integer_net(3)
    right = integer_lif.SpikingTwin

    def wrong(one):
        twin = right(one)
        with torch.no_grad():
            for layer in twin.modules():
                if isinstance(layer, nn.BatchNorm1d):
                    layer.bias.mul_(twin.levels)
        return twin

    monkeypatch.setattr(integer_lif, "SpikingTwin", wrong)
    found = integer_lif.differences(net, xs)
    assert found["twin_differs"] > 0
    assert found["output_difference"] > 1e-3


def test_sltt_k_sends_back_a_quarter_of_the_steps_and_at_least_one():
    config = sltt_memory.Config()
    assert [sltt_memory.routes(config, steps)["sltt-k"].k for steps in (2, 4, 8, 64)] == [1, 1, 2, 16]


def test_the_figures_of_the_studies_are_those_of_their_rows():
    costs = [
        {"kind": "cost", "route": route, "steps": steps, "peak_bytes": size, "ms": ms}
        for route, values in {
            "bptt": ((100, 4.0), (400, 10.0)),
            "sltt": ((50, 5.0), (52, 12.0)),
            "sltt-k": ((40, 2.0), (40, 5.0)),
        }.items()
        for steps, (size, ms) in zip((4, 16), values, strict=True)
    ]
    trained = [
        {"kind": "training", "route": route, "steps": 4, "seed": seed, "test_accuracy": value + seed / 100}
        for route, value in {"bptt": 0.9, "sltt": 0.89, "sltt-k": 0.91}.items()
        for seed in (0, 1)
    ]
    found = sltt_memory.figures(costs + trained)
    assert found["memory growth of bptt"] == 3
    assert found["memory growth of sltt"] == pytest.approx(0.04)
    assert (found["time of sltt over bptt"], found["time of sltt-k over bptt"]) == (1.2, 0.5)
    assert found["sltt behind bptt"] == pytest.approx(0.01)
    assert found["sltt-k behind bptt"] == pytest.approx(-0.01)
    rows = [{**row, "output_bytes": 2 * row["steps"]} for row in costs if row["route"] == "bptt"]
    rows = [{**row, "route": route} for route in online.ROUTES for row in rows]
    assert online.figures(rows)["memory growth of eprop, outputs left out"] == pytest.approx(368 / 92 - 1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sltt_memory", {"lengths": ()}),
        ("sltt_memory", {"one_in": 0}),
        ("dsr", {"steps": 0}),
        ("online", {"steps": 1}),
        ("integer_lif", {"levels": (4, 0)}),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(name, options, run, tmp_path, made):
    recipe = get(name)
    with pytest.raises(OptionError, match="--"):
        run(recipe, dataclasses.replace(recipe.smoke(), **options), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_of_a_study_makes_the_same_options():
    import shlex

    from snn4.cli.run import _parse
    from snn4.recipes.options import command_line

    for name in SMALL:
        recipe = get(name)
        config = dataclasses.replace(recipe.config(), seed=3, epochs=2, **SMALL[name])
        words = shlex.split(command_line(name, config))
        assert _parse(recipe.config(), words[3:], name, recipe.title)[0] == config


def test_the_answers_over_time_can_be_left_out():
    split = Split(torch.eye(3).repeat(4, 1), torch.tensor([0, 1, 2, 0] * 3))
    task = dataclasses.replace(
        tclif_sequence.task_of(tclif_sequence.Config()), encode=lambda x, _: x.expand(5, *x.shape)
    )
    whole = evaluate(torch.nn.Identity(), task, split)
    short = evaluate(torch.nn.Identity(), task, split, over_time=False)
    assert (short.accuracy, short.loss) == (whole.accuracy, whole.loss)
    assert (len(whole.accuracy_by_step), short.accuracy_by_step) == (5, whole.accuracy_by_step[-1:])


def test_an_image_is_shown_at_every_step_and_augmented_as_the_options_say():
    data = images()
    task = shown(make_task(data, TrainingOptions(flip=True)), 3)
    assert isinstance(task.augment, Compose)
    assert [type(part) for part in task.augment.parts] == [Flip]
    xs = task.encode(data.train.inputs[:2], torch.Generator())
    assert xs.shape[:2] == (3, 2)
    assert torch.equal(xs[0], xs[2])


ALIF = NeuronOptions(kind="alif")


def test_rows_are_called_by_the_neuron_that_was_made(run, tmp_path, made):
    for name in ("sequence", "integer"):
        (tmp_path / name).mkdir()
    recipe = get("tclif_sequence")
    config = dataclasses.replace(recipe.smoke(), hidden=(4, 4), cells=("lif", "alif"), neuron=ALIF)
    result = run(recipe, config, tmp_path / "sequence")
    assert [row["cell"] for row in result["study"]] == ["ALIF of --neuron", "alif"]
    assert "| ALIF of --neuron |" in result["table"]
    recipe = get("integer_lif")
    result = run(recipe, dataclasses.replace(recipe.smoke(), neuron=ALIF), tmp_path / "integer")
    assert "| ALIF of T D steps, % |" in result["table"]
    assert [row.get("neuron") for row in result["study"]] == [None, "ALIF"]
    # a learned tau is no other neuron
    for neuron, about in ((ALIF, "ALIF"), (NeuronOptions(kind="plif"), "LIF"), (NeuronOptions(kind="psn"), "PSN")):
        assert dsr.arms(dataclasses.replace(dsr.Config(), neuron=neuron))["bptt-lif"].about == f"BPTT, {about}"


def test_rows_that_do_not_name_their_neuron_are_of_lif():
    found = {"test_accuracy": 0.5, "spikes_per_sample": 1.0, "energy_pj": {"compute": [1.0, 2.0]}, "levels": 2}
    differs = {"twin_differs": 0, "twin_spikes": 9}
    one = {"model": "integer", "twin_test_accuracy": 0.5, "float32": differs, "float64": differs, **found}
    header, _ = integer_lif.tables([one, {"model": "lif", **found}])["counts and spikes"]
    assert header.count("LIF") == 2
    assert "LIF of T D steps, %" in header


def changed(config, option, value):
    """The options with one of them, as `train.route`, set."""
    part, _, name = option.partition(".")
    return dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **{name: value})})


ROUTED = ["tclif_sequence", "dsr", "integer_lif", "online", "sltt_memory", "direct_training", "leak_study"]


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *((name, "train.route", "sltt") for name in ROUTED),
        *((name, "train.route_settings", ("k=2",)) for name in ROUTED[:2]),
        *((name, "train.online", "batch") for name in [*ROUTED, "learning_dynamics"]),
        ("direct_training", "neuron.kind", "alif"),
        ("lsg_ablation", "neuron.surrogate", "atan"),
        ("lsg_ablation", "neuron.tau", 3.0),
        ("lsg_ablation", "neuron.learn_tau", False),
        ("dalif_ablation", "neuron.kind", "alif"),
        ("dalif_ablation", "neuron.settings", ("alpha=0.5",)),
        ("dalif_ablation", "neuron.tau", 3.0),
        ("learning_dynamics", "neuron.surrogate", "triangle"),
        ("leak_study", "timing.tau_v", 3.0),
    ],
)
def test_what_a_study_settles_itself_is_refused(name, option, value, run, tmp_path, made):
    recipe = get(name)
    words = "--" + option.replace("_", "-")
    with pytest.raises(OptionError, match=f"{name} got {words} .*: expected no {words}, which it settles itself"):
        run(recipe, changed(recipe.smoke(), option, value), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_study_settles_may_be_said_as_it_stands(run, tmp_path, made):
    from snn4.recipes.fixed import settled

    config = changed(get("direct_training").smoke(), "neuron.kind", "LIF")
    settled("direct_training", config, ["neuron.kind", "train.route"], "")


def test_neurons_of_the_fingers_data_are_its_own(run, tmp_path, made):
    recipe = get("trt")
    config = dataclasses.replace(recipe.smoke(), sets=("braille",), neuron=ALIF)
    with pytest.raises(OptionError, match="--neuron.kind alif"):
        run(recipe, config, tmp_path)
