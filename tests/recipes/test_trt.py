"""The study of TRT: what its arms make small, and that a run is whole."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import snn4
from snn4.core.errors import OptionError
from snn4.data import DataSet, Split
from snn4.recipes import get, study, trt
from snn4.training import Task


def events(samples=40):
    drawn = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 4, (samples, 10, 2, 34, 34), generator=drawn, dtype=torch.uint8)
    whole = Split(frames, torch.arange(samples) % 10)
    return DataSet("made up", whole, whole, tuple("0123456789"), (0.5,), (0.3,))


def usual():
    return Task(lambda x, _: x, lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)


def cost(task, net, ys, targets):
    """What training makes small, without the data."""
    main = task.loss(task.readout(ys), targets) if task.objective is None else task.objective(ys, targets)
    if task.regulariser is None:
        return main.item()
    with task.regulariser(net) as term:
        return (main + term()).item()


def test_arms_are_what_the_sheet_says():
    # two steps, one sample, three classes: 0.895495 for the steps, 0.680270 for their mean
    ys, targets = torch.tensor([[[2.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]]), torch.tensor([0])
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 0.5)
    config = dataclasses.replace(trt.Config(), strengths=(0.1,), delta=0.5, eta=0.05)
    found = {arm: cost(change(usual()), net, ys, targets) for arm, _, change in trt.arms(config, steps=2)}
    pull = ((1 + 0 + 0) + (1 + 1 + 0)) / 6
    loosened = 0.25 * (1 + 1 / (1 + (2.718281828**0.5 - 1) * 0.50001)) / 2
    assert found["mean"] == pytest.approx(0.680270, abs=1e-6)
    assert found["TET"] == pytest.approx(0.895495, abs=1e-6)
    assert found["TET, L2"] == pytest.approx(0.895495 + 0.1 * 0.25, abs=1e-6)
    assert found["TRT"] == pytest.approx(0.95 * 0.895495 + 0.05 * pull + 0.1 * loosened, abs=1e-6)


def test_a_learned_time_constant_is_not_decayed():
    net = torch.nn.Sequential(snn4.nn.Linear(2, 3, bias=False), snn4.nn.LIF(tau=snn4.Learned(20.0)))
    config = dataclasses.replace(trt.Config(), strengths=(0.1,))
    task = next(change(usual()) for arm, _, change in trt.arms(config, steps=2) if arm == "TET, L2")
    with task.regulariser(net) as term:
        assert term().item() == pytest.approx(0.1 * net[0].weight.square().sum().item(), rel=1e-6)


def test_each_strength_has_both_arms():
    config = dataclasses.replace(trt.Config(), strengths=(1e-5, 1e-3))
    words = [(arm, strength) for arm, strength, _ in trt.arms(config, steps=4)]
    both = [("TET, L2", "1e-05"), ("TRT", "1e-05"), ("TET, L2", "0.001"), ("TRT", "0.001")]
    assert words == [("mean", ""), ("TET", ""), *both]


def run(config, out, monkeypatch):
    monkeypatch.setattr(study, "load", lambda *_args, **_options: events())
    return get("trt").main(config, out=out, resume=False, progress=False, lang="en", data=None, download=False)


def test_the_smoke_run_is_whole(tmp_path, monkeypatch):
    result = run(get("trt").smoke(), tmp_path, monkeypatch)
    assert [row["arm"] for row in result["study"]] == ["mean", "TET", "TET, L2", "TRT"]
    for row in result["study"]:
        assert row["gap"] == pytest.approx(row["train_accuracy"] - row["test_accuracy"])
        assert min(row["train_loss"], row["test_loss"], row["squared_weights"]) > 0
    assert "| TRT | 5e-05 | 1 |" in result["table"]
    assert "data:image/svg+xml" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"steps": 0}, {"sets": ()}, {"seeds": 0}])
def test_options_that_make_no_sense_are_refused(tmp_path, monkeypatch, change):
    with pytest.raises(OptionError):
        run(dataclasses.replace(get("trt").smoke(), **change), tmp_path, monkeypatch)
    assert not (tmp_path / "config.json").exists()
