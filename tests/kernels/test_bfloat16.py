"""bfloat16 in and out: the kernel reads what autocast gives, computes in float32, and rounds once where it writes.

The reference says the same in torch's own operations: the loop over `step` on x.float() in float32, outputs cast to
bfloat16 and the input's gradient rounded by the derivative of the cast.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from tests.kernels.twins import Adaptive, Dendrite, inputs, relative

import snn4
from snn4 import Learned, nn
from snn4.core.errors import OptionError
from snn4.kernels import numba_build, use
from snn4.kernels.fused import CPP, NUMBA
from snn4.kernels.plan import Plan, Travels
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential
from snn4.surrogates import FastSigmoid, Gaussian, Rectangle, Sigmoid, Triangle

LOW = torch.bfloat16
MEMBERS = {
    "IF": lambda: IF(),
    "LIF": lambda: LIF(),
    "LIF all options": lambda: LIF(
        v_reset=-0.5, detach_reset=True, decay=exponential, decay_input=True, surrogate=Triangle()
    ),
    "LIF hard": lambda: LIF(v_reset=0.0, surrogate=FastSigmoid()),
    "CubaLIF": lambda: CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle()),
    "LI": lambda: LI(tau=3.0, decay_input=True),
    "a user's": lambda: Adaptive(),
}
pytestmark = pytest.mark.usefixtures("unwritten_is_nan")


@contextmanager
def autocast():
    with torch.autocast("cpu", LOW):
        yield


def laid_out(xs, layout):
    """The same numbers, otherwise in memory."""
    order = {"plain": range(xs.ndim), "channels last": [0, 1, *range(3, xs.ndim), 2], "batch second": [0, 2, 1, 3, 4]}
    if layout in order:
        axes = list(order[layout])
        return xs.permute(axes).contiguous().permute([axes.index(a) for a in range(xs.ndim)])
    if layout == "time inside":
        return xs.transpose(0, 1).contiguous().transpose(0, 1)
    return torch.stack([xs, xs], -1)[..., 0]


LAYOUTS = ("plain", "channels last", "batch second", "time inside", "with holes")


def ran(neuron, xs, first, *, by_hand=False, implementation="c++", **how):
    """Outputs, last state, gradients of the input, the first state and the learned tensors."""
    leaf = xs.detach().requires_grad_() if not xs.is_contiguous() else xs.clone().requires_grad_()
    now = neuron.State(*(f.clone().requires_grad_() for f in first))
    neuron.zero_grad()
    with use(implementation, **how):
        if by_hand:
            ys, last = neuron.sequence(leaf.float(), now)
            ys = ys if neuron.alphabet is None else ys.bfloat16()
        else:
            with autocast():
                ys, last = neuron.sequence_of_call(leaf, now)
    draw, loss = torch.Generator().manual_seed(5), 0
    for out in (ys, *last):
        loss = loss + (out * torch.randn(out.shape, generator=draw).to(out.dtype)).float().sum()
    loss.backward()
    found = [ys.detach(), *(f.detach() for f in last), leaf.grad, *(f.grad for f in now)]
    return found, {name: p.grad.clone() for name, p in neuron.named_parameters() if p.grad is not None}


def assert_same(mine, theirs):
    for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        assert a.dtype == b.dtype, k
        assert torch.equal(a, b), f"{k}: {int((a != b).sum())} of {a.numel()} differ"


FEW = ("LIF all options", "CubaLIF", "LI")


@pytest.mark.parametrize(
    "make",
    [pytest.param(m, id=n, marks=() if n in FEW else pytest.mark.slow) for n, m in MEMBERS.items()],
)
def test_bits(make):
    neuron = make()
    low = torch.float32 if neuron.alphabet is None else LOW
    fired = False
    for steps in (1, 2, 7, 63):
        for count in (1, 33, 1000, 1025):
            xs, first = inputs(neuron, (steps, count, 1), seed=steps * count)
            mine, _ = ran(neuron, xs.bfloat16(), first)
            theirs, _ = ran(neuron, xs.bfloat16(), first, by_hand=True, implementation="reference")
            assert mine[0].dtype == low
            assert mine[1].dtype == torch.float32  # a state keeps all bits
            assert_same(mine, theirs)
            fired = fired or bool(mine[0].any())
    assert fired


@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_bits_in_every_mode(mode):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    # whole cache lines, which stream where they are many, and rows that are not
    for shape in ((1, 1, 1), (7, 1025, 1), (63, 33, 1), (70, 4, 1024)):
        xs, first = inputs(neuron, shape)
        mine, _ = ran(neuron, xs.bfloat16(), first, backward=mode)
        theirs, _ = ran(neuron, xs.bfloat16(), first, by_hand=True, implementation="reference")
        assert_same(mine, theirs)


@pytest.mark.parametrize("mode", ["recompute", "save"])
@pytest.mark.parametrize("make", [LIF, LI], ids=["bfloat16 out", "float32 out"])
def test_streaming_stores(make, mode, monkeypatch):
    """The path of large tensors, on small ones: lines of 64 bytes hold 32 numbers here and 16 of what is kept."""
    monkeypatch.setattr("snn4.kernels.plan._STREAM_BYTES", 0)
    neuron = make(tau=3.0)
    for count in (32, 96, 288, 48, 16):
        xs, first = inputs(neuron, (5, 1, count))
        mine, _ = ran(neuron, xs.bfloat16(), first, backward=mode)
        theirs, _ = ran(neuron, xs.bfloat16(), first, by_hand=True, implementation="reference")
        assert_same(mine, theirs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    neuron = CubaLIF(tau=3.0, tau_syn=2.0, surrogate=FastSigmoid())
    xs, first = inputs(neuron, (7, 3, 5, 3, 11))
    xs = laid_out(xs.bfloat16(), layout)
    mine, _ = ran(neuron, xs, first)
    theirs, _ = ran(neuron, xs, first, by_hand=True, implementation="reference")
    assert_same(mine, theirs)
    if layout in ("plain", "channels last", "batch second"):
        assert mine[0].stride() == xs.stride()


@pytest.mark.parametrize(
    "surrogate", [pytest.param(Gaussian(), marks=pytest.mark.slow), Sigmoid()], ids=["gaussian", "sigmoid"]
)
def test_surrogates_with_transcendental_functions(surrogate):
    """Spikes and states are equal; where float32 differs by an ulp, a gradient may round to the other neighbour."""
    neuron = LIF(surrogate=surrogate)
    xs, first = inputs(neuron, (7, 33, 5))
    mine, _ = ran(neuron, xs.bfloat16(), first)
    theirs, _ = ran(neuron, xs.bfloat16(), first, by_hand=True, implementation="reference")
    assert_same(mine[:2], theirs[:2])
    torch.testing.assert_close(mine[2].float(), theirs[2].float(), rtol=2.0**-7, atol=1e-6)


@pytest.mark.parametrize(
    "mode", ["checkpoint", *(pytest.param(m, marks=pytest.mark.slow) for m in ("recompute", "save"))]
)
def test_gradients_of_parameters_are_float32(mode):
    each = torch.linspace(0.7, 1.3, 60).view(5, 3, 4)
    for make in (
        lambda: LIF(tau=Learned(torch.linspace(1.6, 3.0, 5).view(5, 1, 1)), v_threshold=Learned(each)),
        lambda: LIF(tau=Learned(torch.tensor(2.5)), decay_input=True),
        lambda: Dendrite(),
    ):
        neuron = make()
        xs, first = inputs(neuron, (40, 3, 5, 3, 4), scale=0.3)
        xs = laid_out(xs.bfloat16(), "channels last")
        mine, grads = ran(neuron, xs, first, backward=mode)
        theirs, expected = ran(neuron, xs, first, by_hand=True, implementation="reference")
        assert_same(mine[: 1 + len(first)], theirs[: 1 + len(first)])
        assert set(grads) == set(expected)
        assert grads
        for name, grad in grads.items():
            assert grad.dtype == torch.float32
            assert relative(grad, expected[name]) < 1e-5, name


def test_rounding_is_to_the_nearest_even():
    """Against numbers worked out by hand: a gradient that lies halfway goes to the even neighbour, NaN stays NaN."""
    bits = [0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0x00008000, 0x7F800001, 0x7FFFFFFF, 0x80018000]
    rounded = [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x0000, None, None, 0x8002]
    # a readout that hands its input on: the gradient of the input is that of the output
    neuron = LI(tau=1.0)
    words = torch.tensor([word - (word >> 31 << 32) for word in bits], dtype=torch.int32)
    grads = words.view(torch.float32).repeat(9)
    x = torch.zeros(1, 1, len(grads), dtype=LOW).requires_grad_()
    with autocast(), use("c++"):
        ys = neuron(x)
    ys.backward(grads.view(ys.shape))
    found = [word & 0xFFFF for word in x.grad.view(torch.int16).flatten().tolist()]
    for word, expected in zip(found, rounded * 9, strict=True):
        if expected is None:
            assert word & 0x7FFF > 0x7F80, hex(word)
        else:
            assert word == expected, (hex(word), hex(expected))


def test_every_input_is_read_exactly():
    """All 65536 patterns but NaN, through a readout that hands them on."""
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(LOW)
    x = x[~x.isnan()].view(1, 1, -1)
    with autocast(), use("c++"):
        assert torch.equal(LI(tau=1.0)(x), x.float())


def test_a_network_keeps_its_bits_between_layers():
    net = torch.nn.Sequential(nn.Linear(6, 33), nn.LIF(), nn.Linear(33, 7), nn.CubaLIF(3.0, 2.0), nn.Linear(7, 3))
    x, seen = torch.linspace(-2, 3, 8 * 2 * 6).view(8, 2, 6), []
    for module in net:
        module.register_forward_hook(lambda m, args, ys: seen.append((args[0].dtype, ys.dtype)))
    found = []
    for implementation in ("reference", "c++"):
        net.zero_grad()
        with autocast(), use(implementation):
            ys = net(x)
        ys.float().square().sum().backward()
        found.append([ys, *(p.grad for p in net.parameters())])
    assert seen[1:5] == [(LOW, LOW)] * 4
    assert_same(*found)
    assert all(p.grad.dtype == torch.float32 for p in net.parameters())


def test_explain_tells_what_runs():
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2), nn.LI())
    x = torch.linspace(-1, 1, 24).view(4, 2, 3)
    with autocast():
        choices = snn4.explain(net, x).choices
    assert [c.implementation for c in choices] == ["c++", "c++"]
    assert all(c.refused == () for c in choices)
    # float16 is read by nobody: the input is made float32, and explain says both
    with torch.autocast("cpu", torch.float16):
        choices = snn4.explain(net, x).choices
        ys = net(x)
    assert [c.implementation for c in choices] == ["c++, input made float32"] * 2
    assert dict(choices[0].refused)["c++"] == "the input is float16"
    assert ys.dtype == torch.float32
    with autocast(), use("reference"):
        choice = snn4.explain(net, x).choices[0]
    assert choice.implementation == "reference loop, input made float32"
    assert "use('reference')" in dict(choice.refused)["c++"]


def test_a_norm_in_front_says_why_it_stays_apart():
    net = nn.Fused(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.LIF())
    plain = torch.nn.Sequential(*net)
    x = torch.randn(4, 2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    with autocast():
        choice = snn4.explain(net, x).choices[0]
        ys, expected = net.eval()(x), plain.eval()(x)
    assert choice.implementation == "c++"
    assert "bfloat16" in dict(choice.refused)["with BatchNorm2d"]
    assert torch.equal(ys, expected)


def test_without_autocast_arithmetic_is_bfloat16_too():
    x = torch.linspace(-1, 2, 24).view(4, 2, 3).bfloat16()
    neuron = LIF()
    reason = CPP.refuses(neuron, x, neuron.initial(x[0]))
    assert reason is not None
    assert "autocast is off" in reason
    with use("c++"), pytest.raises(OptionError, match="autocast is off"):
        neuron(x)
    with use("reference"):
        assert torch.equal(neuron(x), neuron(x))
    # the same call under autocast must not be taken for this one, nor this for that
    with autocast():
        low = neuron(x)
        assert torch.equal(neuron(x), low)
    assert low.dtype == LOW
    with use("reference"):
        expected = neuron(x)
    assert torch.equal(neuron(x), expected)


@pytest.mark.skipif(numba_build.no_numba_reason() is not None, reason="no numba")
def test_numba_refuses_and_runs_in_float32():
    x = torch.linspace(-1, 2, 24).view(4, 2, 3).bfloat16()
    neuron = LIF()
    with autocast():
        with use("numba"):
            assert "Numba does not know" in (NUMBA.refuses(neuron, x, neuron.initial_of_call(x[0])) or "")
            ys = neuron(x)
        assert ys.dtype == LOW
        assert torch.equal(ys, neuron(x))


def test_second_derivatives():
    neuron = LIF(tau=Learned(2.0))
    x = torch.linspace(-1, 2, 24).view(4, 2, 3).bfloat16()
    found = []
    for implementation in ("reference", "c++"):
        leaf = x.clone().requires_grad_()
        with autocast(), use(implementation):
            ys = neuron(leaf)
        (grad,) = torch.autograd.grad(ys.float().square().sum(), leaf, create_graph=True)
        assert grad.dtype == LOW
        found.append([grad, *torch.autograd.grad(grad.float().square().sum(), [leaf, *neuron.parameters()])])
    # two ways lead back to the input, and each rounds its part
    for one, other in zip(*found, strict=True):
        assert relative(one, other) < 2.0**-7


def test_double_arithmetic_never_travels_in_bfloat16():
    neuron = LIF()
    x = torch.linspace(-1, 2, 24).view(4, 2, 3).bfloat16()
    with autocast():
        state = neuron.State(torch.zeros(2, 3, dtype=torch.float64))
        assert "another shape, dtype" in (CPP.refuses(neuron, x, state) or "")


def test_what_travels_is_part_of_the_text():
    neuron = LIF()
    neuron(torch.ones(2, 1, 3))
    from snn4.kernels.identity import identity
    from snn4.kernels.trace import traced_step

    traced = traced_step(neuron, identity(neuron), (3,), torch.float32)
    assert not isinstance(traced, str)
    plain = Plan(traced, "LIF", torch.float32)
    low = Plan(traced, "LIF", torch.float32, Travels(LOW, LOW))
    mixed = Plan(traced, "LIF", torch.float32, Travels(LOW, torch.float32))
    assert len({plan.source("recompute") for plan in (plain, low, mixed)}) == 3
