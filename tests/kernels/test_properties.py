"""Whatever is drawn, a kernel gives what the loop over `step` gives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as draw
from tests.kernels.twins import Adaptive, assert_close_gradients, assert_same_bits, inputs, relative, run

from snn4 import Learned
from snn4 import run as run_net
from snn4.core.states import state
from snn4.kernels import numba_build, use
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle
from snn4.through_time import Neuron

STEPS, COUNTS = (1, 2, 7, 63, 500), (1, 33, 1000, 1025)
EXACT = (ATan, FastSigmoid, Rectangle, Triangle)
CLOSE = (Gaussian, MultiGaussian, Sigmoid)
IMPLEMENTATIONS = ["c++", *(["numba"] if numba_build.no_numba_reason() is None else [])]
relaxed = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@draw.composite
def quantities(choose, shape, low, high):
    """A number, or a tensor per channel or per neuron, fixed or learned."""
    kind = choose(draw.sampled_from(["number", "channel", "neuron"]))
    if kind == "number":
        value = choose(draw.floats(low, high))
        return choose(draw.sampled_from([value, Learned(value)]))
    size = (shape[0], *(1 for _ in shape[1:])) if kind == "channel" else shape
    values = torch.linspace(low, high, torch.Size(size).numel()).view(size)
    return choose(draw.sampled_from([values, Learned(values)]))


@draw.composite
def neurons(choose, surrogates, shape):
    """Every shipped neuron with every option, and a user's."""
    surrogate = choose(draw.sampled_from(surrogates))()
    kind = choose(draw.sampled_from([IF, LIF, CubaLIF, LI, Adaptive]))
    if kind is Adaptive:
        return Adaptive(choose(draw.floats(0.1, 0.99)))
    if kind is LI:
        return LI(tau=choose(quantities(shape, 1.5, 8.0)), decay_input=choose(draw.booleans()))
    options = {
        "v_threshold": choose(quantities(shape, 0.5, 1.5)),
        "v_reset": choose(draw.sampled_from([None, 0.0, -0.5])),
        "detach_reset": choose(draw.booleans()),
        "surrogate": surrogate,
    }
    if kind is LIF:
        options["tau"] = choose(quantities(shape, 1.5, 8.0))
        options["decay_input"] = choose(draw.booleans())
        if choose(draw.booleans()):
            options["decay"] = exponential
    if kind is CubaLIF:
        options |= {"tau": choose(quantities(shape, 1.5, 8.0)), "tau_syn": choose(draw.floats(1.5, 8.0))}
    return kind(**options)


def laid_out(xs, layout):
    """The same numbers, otherwise in memory."""
    axes = list(range(xs.ndim))
    if layout == "channels last":
        order = [0, 1, *axes[3:], 2]
        return xs.permute(order).contiguous().permute([order.index(a) for a in axes])
    if layout == "batch first":
        return xs.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "with holes":
        return torch.stack([xs, xs], -1)[..., 0]
    return xs


LAYOUTS = ("plain", "channels last", "batch first", "with holes")


def check(data, steps, count, implementation, dtype, surrogates, exact):
    features = data.draw(draw.sampled_from([(count,), (1, count), (count, 1)])) if count > 33 else (3, count)
    neuron = data.draw(neurons(surrogates, features))
    batch = data.draw(draw.sampled_from([1, 2]))
    mode = data.draw(draw.sampled_from(["recompute", "save"]))
    if dtype == torch.float64:
        neuron = neuron.double()
    xs, first = inputs(neuron, (steps, batch, *features), dtype, seed=data.draw(draw.integers(0, 9)))
    xs = laid_out(xs, data.draw(draw.sampled_from(LAYOUTS)))
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, implementation, backward=mode)
    if exact:
        assert_same_bits(kernel, reference)
    else:
        # with equal states, the spikes are equal: a surrogate's functions are in the gradient alone
        assert torch.equal(kernel.ys, reference.ys)
        assert all(map(torch.equal, kernel.last, reference.last))
        assert_close_gradients(kernel, reference, 1e-5 if dtype == torch.float32 else 1e-12)
    assert set(kernel.grads) == set(reference.grads)
    loose = 1e-5 if dtype == torch.float32 else 1e-10
    exactly = run(neuron.double(), xs.double(), tuple(f.double() for f in first), "reference")
    if torch.equal(exactly.ys.to(dtype), reference.ys):
        for name, grad in kernel.grads.items():
            # where contributions cancel, the float32 loop is itself further than this from the float64 one
            loops = (exactly.grads[name], reference.grads[name])
            assert min(relative(grad, loop) for loop in loops) < loose, name


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("steps", STEPS)
@settings(relaxed, max_examples=8)
@given(data=draw.data())
def test_bits_of_anything(data, steps, count, dtype, implementation):
    check(data, steps, count, implementation, dtype, EXACT, exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
@settings(relaxed, max_examples=30)
@given(data=draw.data())
def test_anything_with_functions(data, dtype, implementation):
    steps, count = data.draw(draw.sampled_from(STEPS[:4])), data.draw(draw.sampled_from(COUNTS))
    check(data, steps, count, implementation, dtype, CLOSE, exact=False)


@settings(relaxed, max_examples=30)
@given(
    steps=draw.sampled_from(STEPS[:4]),
    batch=draw.integers(1, 4),
    features=draw.sampled_from([(1,), (33,), (5, 13), (3, 4, 5)]),
    layout=draw.sampled_from(LAYOUTS),
    tau=draw.floats(1.1, 20.0),
    threshold=draw.floats(0.1, 2.0),
)
def test_bits_of_any_shape_layout_and_number(steps, batch, features, layout, tau, threshold):
    neuron = LIF(tau=tau, v_threshold=threshold, v_reset=0.0, surrogate=FastSigmoid())
    xs, first = inputs(neuron, (steps, batch, *features), seed=steps)
    xs = laid_out(xs, layout) if len(features) > 1 or layout != "channels last" else xs
    assert_same_bits(run(neuron, xs, first, "c++"), run(neuron, xs, first, "reference"))


class Shared(Neuron):
    """Three states read by several operations each, one of them the output: many contributions to one gradient."""

    State = state("d", "v", "s")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()

    def step(self, x, state):
        d = state.d - 0.4 * state.v - 0.5 * state.s + x
        v = state.v + 0.6 * d - state.s
        s = self.surrogate(v - 1.0)
        return s, self.State(d, v, s)


@pytest.mark.parametrize("cuts", [[33], [1, 2, 7, 23], [16, 17]], ids=str)
def test_sums_of_many_contributions_have_one_order(cuts):
    """However a sequence is cut and whatever runs it."""
    neuron, found = Shared(), []
    xs, _ = inputs(neuron, (33, 5, 21), scale=0.3)
    for implementation, parts in (("reference", [33]), ("reference", cuts), ("c++", [33]), ("c++", cuts)):
        leaf, now, ys = xs.clone().requires_grad_(), None, []
        with use(implementation):
            for part in leaf.split(parts):
                y, now = run_net(neuron, part, now)
                ys.append(y)
        (torch.cat(ys) * torch.linspace(-1, 1, xs.numel()).view(xs.shape)).sum().backward()
        found.append(leaf.grad)
    assert found[0].any()
    assert all(torch.equal(found[0], other) for other in found[1:])


@settings(relaxed, max_examples=20)
@given(steps=draw.sampled_from(STEPS[:4]), count=draw.sampled_from(COUNTS[:2]), layout=draw.sampled_from(LAYOUTS))
def test_sixteen_bits(steps, count, layout):
    """In 16 bits by itself the loop runs; under autocast the state is float32, and the kernel runs."""
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    xs, _ = inputs(neuron, (steps, 2, count, 3))
    low = laid_out(xs.bfloat16(), layout)
    with use("reference"):
        expected, wide = neuron(low), neuron(low.float())
    assert torch.equal(neuron(low), expected)
    grads = []
    for implementation in ("reference", "c++"):
        leaf = low.clone().requires_grad_()
        with use(implementation), torch.autocast("cpu", dtype=torch.bfloat16):
            ys = neuron(leaf)
        assert ys.dtype == torch.bfloat16
        assert torch.equal(ys.float(), wide)
        (ys * torch.linspace(-1, 1, ys.numel()).view(ys.shape).bfloat16()).sum().backward()
        grads.append(leaf.grad)
    assert torch.equal(*grads)
