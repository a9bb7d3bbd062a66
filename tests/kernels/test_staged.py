"""A neuron of two stages: what its two kernels give is what the loop over its step gives."""

from __future__ import annotations

import pytest
import torch

import snn4
from snn4 import Learned
from snn4.kernels import use
from snn4.neurons import DHLIF, LIF, dh_lif

SHAPES = [(9, 3, 8, 16), (40, 1, 8, 16), (1, 2, 8, 16)]


def both(neuron, x, state=None):
    """Outputs, last state and gradients, by the loop and by the kernels."""
    found = []
    for how in ("reference", "auto"):
        with use(how):
            neuron.zero_grad()
            leaf = x.clone().requires_grad_()
            ys, last = snn4.run(neuron, leaf, state)
            draw = torch.Generator().manual_seed(3)
            fields = next(iter(last.values()))
            weights = [torch.randn(t.shape, generator=draw, dtype=t.dtype) for t in (ys, *fields)]
            sum((t * w).sum() for t, w in zip((ys, *fields), weights, strict=True)).backward()
            found.append((ys.detach(), fields, leaf.grad, [p.grad.clone() for p in neuron.parameters()]))
    return found


def neuron_of(**more):
    draw = torch.Generator().manual_seed(0)
    decays = Learned(torch.rand(8, 16, generator=draw) * 0.8 + 0.1)
    return DHLIF(decays, Learned(torch.rand(16, generator=draw) * 0.8 + 0.1), Learned(0.3), **more)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_kernels_are_the_loop(shape, detach, dtype):
    neuron = neuron_of(detach_reset=detach).to(dtype)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    assert snn4.explain(neuron, x).choices[0].implementation == "c++, in two stages"
    (ys, last, grad, learned), (my_ys, my_last, my_grad, my_learned) = both(neuron, x)
    assert 0 < ys.mean() < 1
    assert torch.equal(ys, my_ys)
    for one, other in zip(last, my_last, strict=True):
        torch.testing.assert_close(one, other, rtol=4e-7, atol=4e-7)
    torch.testing.assert_close(grad, my_grad, rtol=1e-5, atol=1e-6)
    assert len(learned) == len(my_learned) == 3
    for one, other in zip(learned, my_learned, strict=True):
        assert (one - other).norm() <= 1e-5 * one.norm()


def test_it_goes_on_from_a_state():
    neuron, x = neuron_of(), torch.randn(12, 2, 8, 16, generator=torch.Generator().manual_seed(2))
    whole, _ = snn4.run(neuron, x)
    first, state = snn4.run(neuron, x[:5])
    second, _ = snn4.run(neuron, x[5:], state)
    assert torch.equal(torch.cat([first, second]), whole)


def test_a_changed_setting_and_a_changed_weight_are_seen():
    neuron, x = neuron_of(), torch.rand(12, 2, 8, 16, generator=torch.Generator().manual_seed(2))
    before = neuron(x)
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.add_(0.7)
    with use("reference"):
        wanted = neuron(x)
    assert not torch.equal(before, wanted)
    assert torch.equal(neuron(x), wanted)
    held = DHLIF(0.5, 0.5)
    held(x)
    held.v_threshold = 0.1
    with use("reference"):
        wanted = held(x)
    assert torch.equal(held(x), wanted)
    assert wanted.sum() > 0


def test_under_autocast_nothing_is_rounded_between_the_stages():
    neuron, x = neuron_of(), torch.randn(12, 2, 8, 16, generator=torch.Generator().manual_seed(2)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = neuron(x)
        with use("reference"):
            wanted = neuron(x)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted)


def test_every_route_that_runs_step_by_step_still_does():
    net = torch.nn.Sequential(snn4.nn.DendriticLinear(6, 5, 2), dh_lif(5, 2))
    x = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    wanted = net(x)
    for route in (snn4.SLTT(), snn4.BPTT(truncate=2)):
        assert torch.equal(snn4.use_route(net, route)(x), wanted)


def test_what_is_not_in_stages_says_nothing_of_them():
    assert LIF().stages() is None
    assert "stages" not in str(snn4.explain(LIF(), torch.ones(3, 1, 2)))
    with use("reference"):
        assert snn4.explain(neuron_of(), torch.ones(3, 1, 8, 16)).choices[0].implementation == "reference loop"
