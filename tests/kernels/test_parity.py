"""A kernel against the loop over the neuron's own step: bit for bit where arithmetic is + - * / and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.kernels import laws
from tests.kernels.twins import Dendrite, assert_close_gradients, assert_same_bits, inputs, relative, run

from snn4 import Learned, Stream
from snn4 import run as run_net
from snn4.kernels import use
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle

SLOW_EXACT = {
    "IF hard": lambda: IF(v_reset=0.1),
    "LIF rectangle": lambda: LIF(surrogate=Rectangle()),
    "LIF triangle": lambda: LIF(surrogate=Triangle()),
    "LIF soft detached": lambda: LIF(detach_reset=True, decay=exponential),
    "CubaLIF hard": lambda: CubaLIF(v_reset=0.3, detach_reset=True),
    "LI exponential": lambda: LI(decay=exponential),
}
MEMBERS = [
    *(pytest.param(make, id=name) for name, make in laws.EXACT.items()),
    *(pytest.param(make, id=name, marks=pytest.mark.slow) for name, make in SLOW_EXACT.items()),
]
pytestmark = pytest.mark.usefixtures("unwritten_is_nan")


@pytest.mark.parametrize("make", MEMBERS)
def test_bits(make):
    neuron = make()
    for steps in (1, 2, 7, 63):
        for count in (1, 33, 1000, 1025):
            xs, first = inputs(neuron, (steps, count, 1), seed=steps * count)
            reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "c++")
            assert_same_bits(kernel, reference)
    assert reference.ys.any(), "it never fired"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_bits_in_every_mode_and_dtype(dtype, mode):
    neuron = LIF(v_reset=0.0, surrogate=FastSigmoid())
    for steps, count in ((1, 1), (7, 1025), (63, 33)):
        xs, first = inputs(neuron, (steps, count, 1), dtype)
        assert_same_bits(run(neuron, xs, first, "c++", backward=mode), run(neuron, xs, first, "reference"))


@pytest.mark.slow
@pytest.mark.parametrize("make", [*laws.EXACT.values(), *SLOW_EXACT.values()], ids=[*laws.EXACT, *SLOW_EXACT])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_bits_of_every_member_in_every_mode_and_dtype(make, dtype, mode):
    neuron = make()
    for steps, count in ((1, 1), (7, 1025), (63, 33), (500, 3)):
        xs, first = inputs(neuron, (steps, count, 1), dtype)
        assert_same_bits(run(neuron, xs, first, "c++", backward=mode), run(neuron, xs, first, "reference"))


def test_spikes_and_states_against_numpy():
    """An oracle that shares no code: the equations once more, in numpy's float32."""
    draw = np.random.default_rng(0)
    xs = (draw.standard_normal((40, 7, 11)) * 0.8 + 0.3).astype(np.float32)
    v, spikes = np.zeros((7, 11), np.float32), []
    beta, threshold = np.float32(1 - 1 / 3), np.float32(0.9)
    for x in xs:
        v = beta * v + x
        s = (v - threshold >= 0).astype(np.float32)
        v = v - s * threshold
        spikes.append(s)
    with use("c++"):
        ys, state = run_net(LIF(tau=3.0, v_threshold=0.9), torch.from_numpy(xs))
    assert np.array_equal(ys.numpy(), np.stack(spikes))
    assert np.array_equal(state[""].v.numpy(), v)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_parameters_of_every_shape(channels_last, learned):
    laws.parameters_of_every_shape("c++", channels_last, learned)


@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_a_users_neuron_with_learned_parameters(mode):
    neuron = Dendrite()
    xs, first = inputs(neuron, (33, 5, 5, 4, 4), scale=0.3)
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "c++", backward=mode)
    assert torch.equal(kernel.ys, reference.ys)
    assert all(map(torch.equal, kernel.last, reference.last))
    # three and more contributions to one gradient: the loop may add them in another order
    assert_close_gradients(kernel, reference, 1e-5)
    exact = run(neuron.double(), xs.double(), tuple(f.double() for f in first), "reference")
    assert torch.equal(exact.ys.float(), kernel.ys), "choose another seed: a spike sits on the threshold"
    for name, grad in kernel.grads.items():
        assert relative(grad, exact.grads[name]) < 1e-5, name


@pytest.mark.parametrize(
    "surrogate",
    [
        Sigmoid(),
        pytest.param(Gaussian(), marks=pytest.mark.slow),
        MultiGaussian(),
        pytest.param(ATan(Learned(2.0)), marks=pytest.mark.slow),
        Triangle(Learned(1.0)),
        pytest.param(Sigmoid(Learned(4.0)), marks=pytest.mark.slow),
        pytest.param(Gaussian(Learned(0.5)), marks=pytest.mark.slow),
        pytest.param(FastSigmoid(Learned(5.0)), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_surrogates_with_functions(surrogate):
    neuron = LIF(surrogate=surrogate)
    xs, first = inputs(neuron, (16, 33, 3))
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "c++")
    assert torch.equal(kernel.ys, reference.ys)
    assert all(map(torch.equal, kernel.last, reference.last))
    assert_close_gradients(kernel, reference, 2e-6)
    for name, grad in kernel.grads.items():
        assert relative(grad, reference.grads[name]) < 1e-5


def test_numbers_change_without_compiling(kernel_cache):
    def objects():
        return {path.name for path in (kernel_cache / "kernels").glob("*.so")}

    neuron = LIF()
    xs, first = inputs(neuron, (4, 3, 2))
    run(neuron, xs, first, "c++")
    before = objects()
    for changed in (LIF(tau=7.0), LIF(v_threshold=0.5, decay=exponential), LIF(surrogate=ATan(3.5))):
        assert_same_bits(run(changed, xs, first, "c++"), run(changed, xs, first, "reference"))
    neuron.tau = 1.25
    assert_same_bits(run(neuron, xs, first, "c++"), run(neuron, xs, first, "reference"))
    assert objects() == before


@pytest.mark.parametrize("arrange", laws.LAYOUTS.values(), ids=laws.LAYOUTS)
def test_any_layout(arrange):
    laws.any_layout("c++", arrange)


def test_only_a_part_of_the_outputs_has_a_gradient():
    laws.gradient_of_a_part("c++")


def test_what_needs_no_gradient_gets_none():
    neuron = LIF(tau=Learned(2.0))
    xs, _ = inputs(neuron, (5, 3, 4))
    with use("c++"):
        neuron(xs).sum().backward()
    (one,) = (p.grad for p in neuron.parameters())
    assert xs.grad is None
    neuron.zero_grad()
    with use("reference"):
        neuron(xs).sum().backward()
    (other,) = (p.grad for p in neuron.parameters())
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)
    with use("c++"), torch.no_grad():
        assert not neuron(xs).requires_grad
    with use("c++"), torch.inference_mode():
        assert torch.equal(neuron(xs), neuron(xs.clone()))


@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_long_sequences_go_segment_by_segment(monkeypatch, mode):
    from snn4.kernels.plan import Plan

    neuron = CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle())
    xs, first = inputs(neuron, (29, 3, 5))
    whole = run(neuron, xs, first, "reference")
    for steps in (1, 2, 7, 28, 29, 30):
        monkeypatch.setattr(Plan, "segment", property(lambda plan, steps=steps: steps), raising=False)
        assert_same_bits(run(neuron, xs, first, "c++", backward=mode), whole)


@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
def test_streaming_stores_and_threads_change_no_bit(monkeypatch, mode):
    from snn4.kernels import plan

    neuron = LIF(tau=Learned(2.0, shape=(3, 1, 1)), v_threshold=Learned(1.0))
    xs, first = inputs(neuron, (6, 17, 3, 16, 16))
    threads = torch.get_num_threads()
    monkeypatch.setattr(plan, "SERIAL", 1)
    ran = []
    try:
        for count, limit in ((1, 1 << 40), (1, 0), (3, 1 << 40), (2, 0)):
            torch.set_num_threads(count)
            monkeypatch.setattr(plan, "_STREAM_BYTES", limit)
            ran.append(run(neuron, xs, first, "c++", backward=mode))
    finally:
        torch.set_num_threads(threads)
    for other in ran[1:]:
        assert_same_bits(other, ran[0])
        assert other.grads.keys() == ran[0].grads.keys()
        assert all(torch.equal(other.grads[name], grad) for name, grad in ran[0].grads.items())


def test_chunks_change_no_bit():
    neuron = CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle())
    xs, _ = inputs(neuron, (23, 3, 5))
    with use("c++"):
        ys, state = run_net(neuron, xs)
        parts, now = [], None
        for part in xs.split([1, 2, 7, 13]):
            y, now = run_net(neuron, part, now)
            parts.append(y)
        stream = Stream(neuron)
        streamed = torch.cat([stream(part) for part in xs.split(4)])
    assert torch.equal(torch.cat(parts), ys)
    assert torch.equal(streamed, ys)
    assert all(map(torch.equal, now[""], state[""]))


def test_second_derivatives():
    laws.second_derivatives("c++")


def test_extreme_values():
    laws.extreme_values("c++")


@pytest.mark.parametrize(
    "make", [lambda: LIF(v_reset=0.3), lambda: CubaLIF(tau=3.0, tau_syn=2.0)], ids=["LIF", "CubaLIF"]
)
def test_a_call_that_nobody_carries_on(make):
    """It starts from one number, not from a tensor, and writes no last state."""
    neuron = make()
    xs, _ = inputs(neuron, (40, 3, 70))
    found = []
    for implementation in ("reference", "c++"):
        for call in (neuron, lambda xs: run_net(neuron, xs)[0]):
            leaf = xs.clone().requires_grad_()
            with use(implementation):
                ys = call(leaf)
            (ys * ys.detach().cumsum(0)).sum().backward()
            found.append((ys.detach(), leaf.grad))
    for ys, grad in found[1:]:
        assert torch.equal(ys, found[0][0])
        assert torch.equal(grad, found[0][1])
    assert found[0][0].any()


def test_many_features_with_parameters_of_their_own():
    """More tiles than pieces of work, so that each piece has several; and a last one that is not full."""
    neuron = LIF(tau=Learned(2.0, shape=(33, 1, 1)), v_threshold=Learned(1.0))
    xs, first = inputs(neuron, (3, 2, 33, 40, 41))
    reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, "c++")
    assert_same_bits(kernel, reference)
    exact = run(neuron.double(), xs.double(), tuple(f.double() for f in first), "reference")
    assert torch.equal(exact.ys.float(), reference.ys)
    for name, grad in kernel.grads.items():
        assert relative(grad, exact.grads[name]) < 1e-5, name


@pytest.mark.parametrize("steps", [1, 3, 33, 70])
@pytest.mark.parametrize("shape", [(33,), (5, 7, 9)], ids=str)
def test_sums_go_on_over_many_periods_and_tiles(steps, shape):
    """No spike that float64 could turn over, so that only the sums differ; the last period is not full."""
    neuron = LI(tau=Learned(torch.linspace(1.5, 4.0, shape[0]).view(-1, *(1 for _ in shape[1:]))), decay_input=True)
    both = LIF(tau=Learned(3.0), v_threshold=Learned(9.0, shape=shape), decay_input=True)
    for one in (neuron, both):
        xs, first = inputs(one, (steps, 51, *shape))
        kernel = run(one, xs, first, "c++")
        exact = run(one.double(), xs.double(), tuple(f.double() for f in first), "reference")
        assert one is neuron or not kernel.ys.any()
        for name, grad in kernel.grads.items():
            assert relative(grad, exact.grads[name]) < 1e-5, name
