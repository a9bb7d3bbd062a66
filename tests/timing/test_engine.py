"""Which engine runs, and why; layers give the same result with each."""

from __future__ import annotations

import math

import pytest
import torch

import snn4
from snn4 import timing
from snn4.kernels import build, use
from snn4.timing import engine, engine_cpp, events

needs_compiler = pytest.mark.skipif(build.no_compiler_reason() is not None, reason=str(build.no_compiler_reason()))
T, W = torch.zeros(1, 2), torch.ones(3, 2)


@needs_compiler
def test_cpu_tensors_go_to_the_compiled_engine():
    chosen = engine.choose(T, W)
    assert chosen.engine.name == "c++"
    assert "c++" not in chosen.refused


@pytest.mark.parametrize(
    ("t", "weight", "said"),
    [
        (T.half(), W.half(), "float16"),
        (T.to("meta"), W.to("meta"), "meta"),
        (T, W.as_subclass(type("Mine", (torch.Tensor,), {})), "subclass"),
    ],
    ids=["half", "device", "subclass"],
)
def test_what_it_cannot_take_goes_to_the_reference_with_a_reason(t, weight, said):
    chosen = engine.choose(t, weight)
    assert chosen.engine is engine.REFERENCE
    assert said in chosen.refused["c++"]


def test_without_a_compiler_the_reference_runs(monkeypatch):
    engine_cpp._compiled.cache_clear()
    monkeypatch.setattr(engine_cpp, "_here", set())
    monkeypatch.setattr(build, "no_compiler_reason", lambda: "no C++ compiler found")
    chosen = engine.choose(T, W)
    assert chosen.engine is engine.REFERENCE
    assert chosen.refused["c++"] == "no C++ compiler found"
    assert events(torch.tensor([[[0.3], [0.1]]])).source.tolist() == [[1, 0]]


def test_what_came_with_the_wheel_needs_no_compiler(monkeypatch):
    monkeypatch.setattr(engine_cpp, "_here", set())
    monkeypatch.setattr(build, "no_compiler_reason", lambda: "no C++ compiler found")
    ahead = engine_cpp.source(torch.float32)
    monkeypatch.setattr(build, "prebuilt", lambda source: source if source == ahead else None)
    assert engine.choose(T.float(), W.float()).engine.name == "c++"
    assert engine.choose(T.double(), W.double()).refused["c++"] == "no C++ compiler found"


def test_the_reference_can_be_forced():
    with use("reference"):
        assert engine.choose(T, W).engine is engine.REFERENCE


def test_the_compiled_engine_can_be_forced_and_says_when_it_cannot():
    with use("c++"), pytest.raises(snn4.core.errors.OptionError, match="float16"):
        engine.choose(T.half(), W.half())


def test_an_engine_of_ones_own_is_asked_first(monkeypatch):
    class Mine:
        name = "mine"
        solve = adjoint = None

        def refuses(self, t, weight):
            return None

    monkeypatch.setattr(engine, "_ENGINES", list(engine._ENGINES))
    engine.register(Mine())
    assert engine.choose(T, W).engine.name == "mine"


@needs_compiler
def test_two_layers_agree_with_the_reference_through_every_gradient():
    draw = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(
        timing.LIF(20, 30, tau_v=0.5, tau_i=0.2, generator=draw),
        timing.LIF(30, 10, tau_v=0.7, tau_i=0.3, generator=draw),
        timing.Readout(10, 3, generator=draw),
    ).double()
    times = torch.rand(6, 20, 2, generator=draw, dtype=torch.float64).sort(-1).values
    times[torch.rand(6, 20, 2, generator=draw) < 0.3] = math.inf
    times = times.sort(-1).values
    found = []
    for how in ("c++", "reference"):
        net.zero_grad()
        given = times.clone().requires_grad_()
        with use(how):
            out = net(given)
            out.square().sum().backward()
        found.append([out.detach(), given.grad, *(p.grad.clone() for p in net.parameters())])
    for one, other in zip(*found, strict=True):
        assert float((one - other).abs().max()) < 1e-9 * max(1.0, float(other.abs().max()))
    assert all(bool(grad.any()) for grad in found[0])


@needs_compiler
def test_both_orders_of_events_are_the_same():
    draw = torch.Generator().manual_seed(1)
    times = torch.rand(4, 9, 3, generator=draw).mul(16).round().div(16).sort(-1).values
    times[times > 0.8] = math.inf
    found = []
    for how in ("c++", "reference"):
        given = times.clone().requires_grad_()
        with use(how):
            one = events(given, 0.75)
        inside = one.t < 0.75
        one.t[inside].square().sum().backward()
        found.append((one.t[inside].detach(), one.source[inside], one.order[inside], given.grad))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@needs_compiler
def test_memory_of_a_layer_is_events_and_spikes():
    """What is kept for backward() does not grow with the number of output neurons times events."""
    kept = []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    layer = timing.LIF(50, 40, max_spikes=2, generator=torch.Generator().manual_seed(0))
    times = torch.rand(8, 50, 1, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(times)
    sizes = {t.data_ptr(): t.numel() for t in kept if t.data_ptr() != layer.weight.data_ptr() and t.numel()}
    events_, spikes = 8 * 50, 8 * 40 * 2
    assert sum(sizes.values()) <= 4 * events_ + 5 * spikes
