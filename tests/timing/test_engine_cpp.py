"""The C++ engine: against known times, against direct sums, finite differences, and the reference."""

from __future__ import annotations

import math

import pytest
import torch

from snn4.kernels import build
from snn4.timing import adjoint, engine_cpp, reference
from snn4.timing.types import Constants, Fired

inf = math.inf
pytestmark = pytest.mark.skipif(build.no_compiler_reason() is not None, reason=str(build.no_compiler_reason()))

# the cases of the neuron: general, equal, tau_v = 2 tau_i, no leak, step current, both infinite, nearly equal
CASES = [(3.0, 0.7), (0.5, 1.3), (1.0, 1.0), (2.0, 1.0), (inf, 1.0), (1.0, inf), (inf, inf), (1.0, 1.0 + 1e-9)]
# times of one input of weight w at 0, threshold 1, and their derivatives by w
KNOWN = [
    (2.0, 1.0, 4.0, (0.316694, 0.813493), (-0.103553, -0.381236)),
    (1.0, 1.0, 4.0, (0.357403, 1.135885), (-0.139046, -1.506274)),
    (inf, 1.0, 4.0, tuple(-math.log(1 - k / 4) for k in (1, 2, 3)), (-1 / 12, -1 / 4, -3 / 4)),
    (4.0, 1.0, 4.0, (0.301130, 0.744918, 1.659495), (-0.092253, -0.299794, -1.375839)),
    (20.0, 5.0, 0.8, (1.505651, 3.724591, 8.297477), (-2.306336, -7.494849, -34.395965)),
    (inf, inf, 4.0, (0.25, 0.5, 0.75, 1.0), tuple(-k / 16 for k in (1, 2, 3, 4))),
    (1.0, inf, 4.0, tuple(0.287682072 * k for k in (1, 2, 3, 4)), tuple(-k / 12 for k in (1, 2, 3, 4))),
]


def kernel(s, tau_v, tau_i):
    """The answer to one spike, as the textbook has it."""
    if s <= 0:
        return 0.0
    if tau_v == tau_i:
        return s * math.exp(-s / tau_v) if tau_v < inf else s
    if tau_v == inf:
        return tau_i * -math.expm1(-s / tau_i)
    if tau_i == inf:
        return tau_v * -math.expm1(-s / tau_v)
    rate = (tau_v - tau_i) / tau_v / tau_i
    return math.exp(-s / tau_v) * -math.expm1(-s * rate) / rate


def potential(at, times, weights, spikes, tau_v, tau_i, threshold):
    """V just before `at`, as a direct sum over inputs and own spikes."""
    v = sum(w * kernel(at - t, tau_v, tau_i) for t, w in zip(times, weights, strict=True))
    return v - threshold * sum(math.exp(-(at - s) / tau_v) for s in spikes if s < at)


def inputs(batch, neurons, outputs, seed, window=4.0, grid=0, silent=0.2):
    draw = torch.Generator().manual_seed(seed)
    t = torch.rand(batch, neurons, generator=draw, dtype=torch.float64) * window * 1.05
    if grid:
        t = (t * grid).round() / grid
    t[torch.rand(batch, neurons, generator=draw) < silent] = inf
    t, source = t.sort(stable=True, dim=1)
    weight = torch.randn(outputs, neurons, generator=draw, dtype=torch.float64) * 1.5 + 0.6
    return t, source, weight, draw


def gap(one, other):
    """The largest difference, where both may be infinite at the same place."""
    return float(torch.where(one == other, 0.0, (one - other).abs()).max()) if one.numel() else 0.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "float"])
@pytest.mark.parametrize("case", KNOWN, ids=lambda case: f"{case[0]}-{case[1]}")
def test_known_times_and_derivatives(case, dtype):
    tau_v, tau_i, w, times, slopes = case
    t, source = torch.zeros(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=torch.int64)
    weight, constants = torch.tensor([[w]], dtype=dtype), Constants(tau_v, tau_i, 1.0)
    fired = engine_cpp.solve(t, source, weight, constants, len(times), 9.0)
    near = 1e-6 if dtype == torch.float64 else 1e-5
    assert fired.times[0, 0].tolist() == pytest.approx(times, abs=near)
    assert bool(fired.truncated) == (tau_i == inf)
    for k, slope in enumerate(slopes):
        one = torch.zeros_like(fired.times)
        one[0, 0, k] = 1.0
        grad_t, grad_weight, _ = engine_cpp.adjoint(t, source, weight, constants, fired, one)
        assert grad_weight.item() == pytest.approx(slope, rel=1e-5, abs=2e-6)
        # all inputs later by dt, all spikes later by dt
        assert grad_t.sum().item() == pytest.approx(1.0, abs=near)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_spikes_are_all_the_crossings_and_no_others(case):
    window, threshold = 4.0, 0.8
    t, source, weight, _ = inputs(2, 8, 5, seed=1, window=window, grid=4)
    fired = engine_cpp.solve(t, source, weight, Constants(*case, threshold), 40, window)
    assert not bool(fired.truncated.any())
    assert bool(fired.exists.any())
    for b in range(2):
        events = [(x, s) for x, s in zip(t[b].tolist(), source[b].tolist(), strict=True) if x < window]
        for i in range(5):
            times, weights = [x for x, _ in events], [float(weight[i, s]) for _, s in events]
            spikes = [x for x in fired.times[b, i].tolist() if x < inf]
            assert spikes == sorted(spikes)
            assert all(x <= window for x in spikes)
            for x in spikes:
                assert potential(x, times, weights, spikes, *case, threshold) == pytest.approx(threshold, abs=1e-9)
            for step in range(1, 400):
                at = window * step / 400
                assert potential(at, times, weights, spikes, *case, threshold) < threshold + 1e-9


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("grid", [0, 4], ids=["apart", "together"])
def test_agrees_with_the_reference(case, grid):
    for seed, (batch, neurons, outputs, room) in enumerate([(3, 12, 7, 20), (2, 20, 33, 2), (1, 6, 530, 3)]):
        t, source, weight, draw = inputs(batch, neurons, outputs, seed, grid=grid)
        constants = Constants(*case, 1.0)
        for want_max in (False, True):
            mine = engine_cpp.solve(t, source, weight, constants, room, 4.0, want_max=want_max)
            law = reference.solve(t, source, weight, constants, room, 4.0, want_max=want_max)
            assert torch.equal(mine.exists, law.exists)
            assert torch.equal(mine.truncated, law.truncated)
            # what follows a spike that only just touches the threshold is not determined
            sure = (law.slope > 0.02).all(-1, keepdim=True)
            for name in ("times", "current", "slope"):
                one, other = getattr(mine, name), getattr(law, name)
                assert gap(torch.where(sure, one, 0.0), torch.where(sure, other, 0.0)) < 1e-10, name
            assert gap(mine.v_max, law.v_max) < 1e-10
            assert gap(mine.t_max, law.t_max) < 1e-10
            grad = torch.randn(law.times.shape, generator=draw, dtype=torch.float64)
            grad_v = torch.randn(batch, outputs, generator=draw, dtype=torch.float64) if want_max else None
            clipped = adjoint.clip_slope(law, constants, 4.0, 0.05)
            given = (t, source, weight, constants, clipped, grad, grad_v)
            for one, other in zip(engine_cpp.adjoint(*given), adjoint.adjoint(*given), strict=True):
                assert gap(one, other) < 1e-10 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_finite_differences(case):
    window, room, step = 4.0, 12, 1e-6
    t, source, weight, draw = inputs(2, 6, 3, seed=5, window=window, silent=0.0)
    numbers = torch.tensor([*case, 0.9], dtype=torch.float64)

    def run(t, weight, numbers):
        order = t.sort(stable=True, dim=1)
        constants = Constants(*numbers.tolist())
        return engine_cpp.solve(order[0], source.gather(1, order[1]), weight, constants, room, window, want_max=True)

    fired = run(t, weight, numbers)
    steep = (fired.slope > 0.15) & fired.exists
    grad = torch.where(steep, torch.randn(fired.times.shape, generator=draw, dtype=torch.float64), 0.0)
    silent = ~fired.exists.any(-1)
    grad_v = torch.where(silent, torch.randn(silent.shape, generator=draw, dtype=torch.float64), 0.0)
    constants = Constants(*numbers.tolist())
    found = engine_cpp.adjoint(t, source, weight, constants, fired, grad, grad_v)

    def loss(t, weight, numbers):
        moved = run(t, weight, numbers)
        if not torch.equal(moved.exists, fired.exists):
            return math.nan
        total = (torch.where(moved.exists, moved.times, 0.0) * grad).sum() + (moved.v_max * grad_v).sum()
        return float(total)

    checked = 0
    for which, analytic in enumerate(found):
        for place in range(analytic.numel()):
            both = []
            for sign in (1.0, -1.0):
                given = [t.clone(), weight.clone(), numbers.clone()]
                given[which].view(-1)[place] += sign * step
                both.append(loss(*given))
            numeric = (both[0] - both[1]) / (2 * step)
            finite = math.isfinite(numeric) and bool(torch.isfinite((t, weight, numbers)[which].view(-1)[place]))
            if finite:
                checked += 1
                assert float(analytic.reshape(-1)[place]) == pytest.approx(numeric, rel=1e-6, abs=2e-7)
    assert checked > 20


def test_single_precision_stays_within_its_digits():
    t, source, weight, _ = inputs(8, 40, 50, seed=2)
    weight = weight * 0.4
    constants = Constants(2.0, 0.7, 1.0)
    exact = engine_cpp.solve(t, source, weight, constants, 8, 4.0)
    single = engine_cpp.solve(t.float(), source, weight.float(), constants, 8, 4.0)
    sure = (exact.exists == single.exists).all(-1) & (exact.slope > 0.2).all(-1)
    assert float(sure.double().mean()) > 0.9
    times = [torch.where(sure.unsqueeze(-1), one.times.double(), 0.0) for one in (exact, single)]
    assert gap(*times) < 1e-4


def test_threads_change_nothing():
    t, source, weight, draw = inputs(16, 60, 300, seed=3)
    constants, before, found = Constants(2.0, 0.7, 1.0), torch.get_num_threads(), []
    grad = torch.randn(16, 300, 6, generator=draw, dtype=torch.float64)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            fired = engine_cpp.solve(t, source, weight, constants, 6, 4.0, want_max=True)
            found.append((*fired, *engine_cpp.adjoint(t, source, weight, constants, fired, grad)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3), (2, 4, 0), (2, 4, 1)], ids=str)
def test_nothing_to_do(shape):
    batch, neurons, outputs = shape
    t, source = torch.full((batch, neurons), inf), torch.zeros(batch, neurons, dtype=torch.int64)
    weight = torch.ones(outputs, max(1, neurons))
    fired = engine_cpp.solve(t, source, weight, Constants(1.0, 0.5, 1.0), 2, 1.0, want_max=True)
    assert not bool(fired.exists.any())
    assert float(fired.v_max.sum()) == 0.0
    grad_t, grad_weight, _ = engine_cpp.adjoint(
        t, source, weight, Constants(1.0, 0.5, 1.0), fired, torch.ones_like(fired.times), torch.ones(batch, outputs)
    )
    assert grad_t.shape == t.shape
    assert grad_weight.shape == weight.shape
    assert not bool(grad_t.any())
    assert not bool(grad_weight.any())


def test_a_threshold_out_of_reach_never_fires_and_has_no_gradient_of_nan():
    t, source, weight, _ = inputs(2, 6, 3, seed=4)
    constants = Constants(2.0, 1.0, inf)
    fired = engine_cpp.solve(t, source, weight, constants, 1, 4.0, want_max=True)
    assert not bool(fired.exists.any())
    for grad in engine_cpp.adjoint(t, source, weight, constants, fired, fired.times * 0.0, torch.ones(2, 3).double()):
        assert bool(torch.isfinite(grad).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "float"])
@pytest.mark.parametrize("kind", ["spread", "grid", "one bucket", "unsorted rows", "silent"])
def test_order_of_events(kind, dtype):
    draw = torch.Generator().manual_seed(0)
    times = torch.rand(5, 40, 3, generator=draw, dtype=dtype).sort(-1).values
    if kind == "grid":
        times = (times * 8).round() / 8
    elif kind == "one bucket":
        times = times * 1e-7 + 0.5
    elif kind == "silent":
        times[1:3] = inf
    times[..., 2][torch.rand(5, 40, generator=draw) < 0.5] = inf
    t, source, order, counts = engine_cpp.sort(times, 0.9)
    flat = torch.where(times < 0.9, times, inf).flatten(1)
    for b in range(5):
        n = int(counts[b])
        want = flat[b].argsort(stable=True)[:n]
        assert n == int((flat[b] < inf).sum())
        assert torch.equal(order[b, :n], want)
        assert torch.equal(t[b, :n], flat[b][want])
        assert bool((t[b, n:] == inf).all())
        assert torch.equal(source[b, :n], want // 3)
    grad = torch.randn(t.shape, generator=draw, dtype=dtype)
    back = engine_cpp.spread(grad, order, counts, times.shape).flatten(1)
    for b in range(5):
        n = int(counts[b])
        assert torch.equal(back[b][order[b, :n]], grad[b, :n])
        assert int((back[b] != 0).sum()) == n


def test_fields_of_a_spike_that_is_not_there():
    t, source, weight = torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[4.0]])
    fired: Fired = engine_cpp.solve(t, source, weight, Constants(2.0, 1.0, 1.0), 4, 9.0)
    assert fired.times[0, 0, 2:].tolist() == [inf, inf]
    assert fired.current[0, 0, 2:].tolist() == [0.0, 0.0]
    assert fired.slope[0, 0, 2:].tolist() == [1.0, 1.0]
    # the slope before a spike is its current less the leak at the threshold
    assert fired.slope[0, 0, :2].tolist() == pytest.approx((fired.current[0, 0, :2] - 0.5).tolist())
