"""TRT on hand-worked numbers, and where it is TET or L2."""

from __future__ import annotations

import math

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError
from snn4.data import Split
from snn4.objectives import TemporalDecay, tet, trt
from snn4.training import FitConfig, Task, fit

OUTPUTS = torch.tensor([[[2.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]], dtype=torch.float64)
ZERO = torch.tensor([0])


def single(weight, steps, delta=0.5, strength=1e-5):
    return TemporalDecay(steps, strength, delta).cost(torch.tensor([weight], dtype=torch.float64)).item()


@pytest.mark.parametrize(
    ("weight", "ratios"),
    [
        # to plain L2 at t = 0 ... 3, for delta 0.5
        (0.01, [1, 0.99355, 0.98309, 0.96632]),
        (0.1, [1, 0.93907, 0.85335, 0.74173]),
        (1.0, [1, 0.60653, 0.36788, 0.22313]),
    ],
)
def test_the_decay_loosens_as_the_paper_has_it(weight, ratios):
    for steps in range(1, 5):
        expected = 1e-5 * weight**2 * sum(ratios[:steps]) / steps
        assert single(weight, steps) == pytest.approx(expected, rel=2e-5)
        assert single(-weight, steps) == single(weight, steps)


def test_its_gradient():
    # of the terms of w = 0.5 at t = 0, 1, 2, without the strength
    for steps in (1, 2, 3):
        w = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
        TemporalDecay(steps, 1.0, 0.5).cost(w).backward()
        assert w.grad.item() == pytest.approx(sum([1, 0.66261, 0.41360][:steps]) / steps, abs=1e-5)


def test_outputs_by_hand():
    # cross-entropies .239495... and 1.551445; squares (1 + 0 + 0) / 3 and (1 + 1 + 0) / 3
    ce = (math.log(1 + 2 * math.exp(-2)) + math.log(2 + math.e)) / 2
    assert trt(OUTPUTS, ZERO, eta=0.1).item() == pytest.approx(0.9 * ce + 0.1 * 0.5, abs=1e-12)
    assert trt(OUTPUTS, ZERO, eta=0.0).item() == pytest.approx(0.895495, abs=1e-6)


def test_without_pull_and_loosening_it_is_tet_with_l2():
    assert trt(OUTPUTS, ZERO, eta=0.0) == tet(OUTPUTS, ZERO, weight=0.0)
    net = torch.nn.Linear(4, 3)
    norm = net.weight.square().sum()
    for decay in (TemporalDecay(5, 0.1, 0.0), TemporalDecay(1, 0.1, 0.5)):
        with decay(net) as term:
            assert term().item() == pytest.approx(0.1 * norm.item(), rel=1e-5)


def test_biases_are_left_out_and_norms_are_not():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with TemporalDecay(2, 1.0)(net) as term:
        term().backward()
    assert net[0].bias.grad is None
    assert net[1].bias.grad is None
    assert net[0].weight.grad.abs().sum() > 0
    assert net[1].weight.grad.abs().sum() > 0
    with TemporalDecay(2, 1.0, names=lambda name: name == "0.weight")(net) as term:
        assert term() == TemporalDecay(2, 1.0).cost(net[0].weight)
    with TemporalDecay(2, 1.0, names=lambda _: False)(net) as term:
        assert term() == 0


def test_a_task_takes_both_parts():
    torch.manual_seed(0)
    split = Split(torch.eye(2).repeat(4, 1), torch.tensor([0, 1]).repeat(4))
    loss = torch.nn.functional.cross_entropy
    sizes = []
    for strength in (0.0, 1.0):
        task = Task(
            lambda x, _: x[None], lambda ys: ys.mean(0), loss, objective=trt, regulariser=TemporalDecay(1, strength)
        )
        torch.manual_seed(0)
        net = torch.nn.Linear(2, 2)
        config = FitConfig(epochs=20, learning_rate=0.1, weight_decay=0)
        fit(net, task, split, split, config, seed=0, progress=False, log=lambda _: None)
        sizes.append(net.weight.square().sum().item())
    assert sizes[1] < sizes[0] / 4


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 2, "strength": -1}, {"steps": 2, "delta": -0.1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(OptionError, match="TemporalDecay got"):
        TemporalDecay(**options)
    with pytest.raises(OptionError, match="steps=2000"):
        TemporalDecay(2000, delta=0.5)
    with pytest.raises(OptionError, match="eta=2"):
        trt(OUTPUTS, ZERO, eta=2)
    with pytest.raises(ShapeError):
        trt(OUTPUTS[0], ZERO)
