"""Where a published equation says that one neuron is another: the same spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn4 import Learned, run
from snn4.neurons import (
    ALIF,
    CLIF,
    DALIF,
    GLIF,
    IF,
    KLIF,
    LIF,
    RPLIF,
    AdLIF,
    IntegerLIF,
    TernaryLIF,
    exponential,
    heterogeneous,
    ltmd,
)


def x(scale=1.0, shift=0.4, seed=0):
    return (torch.randn(80, 3, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift) * scale


def assert_same(one, other, xs, tolerance=1e-12):
    """Equal outputs and membranes, with some but not all of the outputs on."""
    (ys, state), (expected, reference) = run(one, xs), run(other, xs)
    assert torch.equal(ys, expected)
    torch.testing.assert_close(state[""].v, reference[""].v, rtol=tolerance, atol=tolerance)
    assert 0.01 < ys.count_nonzero() / ys.numel() < 0.99


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
def test_da_lif_with_tied_coefficients_is_a_lif(v_reset):
    lif = {"v_reset": v_reset, "detach_reset": True}
    assert_same(DALIF(0.25, 0.75, v_reset=v_reset), LIF(4.0, **lif, decay_input=True), x(4.0))
    assert_same(DALIF(1.0, 0.75, v_reset=v_reset), LIF(4.0, **lif), x())
    assert_same(DALIF(1.0, 1.0, v_reset=v_reset), IF(**lif), x(0.5))


def test_da_lif_at_one_half_is_a_lif_bit_for_bit():
    xs = x(2.0).float()
    one, other = run(DALIF(0.5, 0.5), xs), run(LIF(2.0, v_reset=0.0, decay_input=True), xs)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1][""].v, other[1][""].v)


def test_da_lif_without_memory_is_a_threshold():
    xs = x()
    assert torch.equal(DALIF(0.8, 0.0, 0.5)(xs), (0.8 * xs >= 0.5).double())


def test_alif_without_adaptation_is_a_lif():
    xs = x(1.5)
    for rest in (0.0, -0.25):
        lif = LIF(5.0, 0.5, rest, decay=exponential, decay_input=True)
        ys = ALIF(5.0, 100.0, 0.5, beta=0.0, v_reset=rest)(xs)
        assert torch.equal(ys, lif(xs))
        assert ys.any()


def test_ad_lif_without_adaptation_is_a_lif():
    lif = LIF(8.0, 0.7, decay=exponential, decay_input=True)
    xs = x(3.0)
    ys = AdLIF(8.0, 60.0, 0.0, 0.0, 0.7)(xs)
    assert torch.equal(ys, lif(xs))
    assert ys.any()


def test_glif_with_open_gates_is_a_lif():
    for beta in (0.25, 0.9):
        glif = GLIF(1.0, 0.0, 1.0, beta, v_threshold=0.7)
        xs = x(0.5)
        assert torch.equal(glif(xs), LIF(1 / (1 - beta), 0.7, 0.0)(xs))


def test_glif_with_a_soft_reset_is_a_lif_with_an_undecayed_one():
    # gamma = 0: v = tau v + x - v_re s
    xs, v, s, out = x(0.8).numpy(), np.zeros((3, 7)), np.zeros((3, 7)), []
    for step in xs:
        v = 0.6 * v + step - 0.8 * s
        s = (v >= 0.8).astype(float)
        out.append(s)
    ys = GLIF(1.0, 0.0, 0.0, 0.6, v_re=0.8, v_threshold=0.8)(torch.from_numpy(xs)).detach()
    assert np.array_equal(ys.numpy(), np.stack(out))


def test_klif_of_slope_one_is_a_lif_above_zero():
    xs = x(2.0).abs()
    for v_reset in (None, 0.0):
        for scale_reset in (False, True):
            klif = KLIF(1.0, 3.0, v_reset=v_reset, scale_reset=scale_reset)
            assert_same(klif, LIF(3.0, v_reset=v_reset, decay_input=True), xs)


def test_klif_that_scales_back_is_a_lif_with_another_threshold():
    xs = x(2.0).abs()
    assert torch.equal(KLIF(2.0, 3.0, 1.0, scale_reset=True)(xs), LIF(3.0, 0.5, 0.0, decay_input=True)(xs))


def test_clif_before_its_first_spike_is_a_lif():
    xs = x(0.6)
    clif, lif = CLIF(3.0)(xs), LIF(3.0)(xs)
    first = lif.cumsum(0) - lif == 0  # up to and with the first spike
    assert torch.equal(clif * first, lif * first)
    assert not torch.equal(clif, lif)


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.5])
@pytest.mark.parametrize("decay_input", [False, True])
def test_rp_lif_that_does_not_rise_is_a_lif(v_reset, decay_input):
    options = {"v_reset": v_reset, "decay_input": decay_input}
    assert_same(RPLIF(2.5, rise=1.0, **options), LIF(2.5, **options), x(2.0))


@pytest.mark.parametrize("v_reset", [None, 0.0, -0.25])
def test_a_ternary_lif_that_stays_above_is_a_lif(v_reset):
    xs = x().abs()
    assert_same(TernaryLIF(2.5, v_negative=1e6, v_reset=v_reset), LIF(2.5, v_reset=v_reset), x())
    assert torch.equal(TernaryLIF(2.5)(xs), LIF(2.5)(xs))


def test_a_ternary_lif_is_odd_and_conserves_charge():
    xs = x(shift=0.0)
    ys = TernaryLIF(3.0)(xs)
    assert torch.equal(TernaryLIF(3.0)(-xs), -ys)
    assert set(ys.unique().tolist()) == {-1.0, 0.0, 1.0}
    # a very slow leak: what comes in stays, or leaves as a spike of either sign
    ys, state = run(TernaryLIF(1e15, 0.7), xs)
    torch.testing.assert_close(xs.sum(0), state[""].v + 0.7 * ys.sum(0), rtol=1e-9, atol=1e-9)


def test_an_integer_lif_of_one_level_is_a_lif():
    # it fires at half of the threshold and takes the whole of it
    xs, v, out = x(0.6), torch.zeros(3, 7, dtype=torch.float64), []
    for step in xs:
        v = 0.25 * v + step
        s = (v > 0.5).double()
        v = v - s
        out.append(s)
    assert torch.equal(IntegerLIF(1)(xs), torch.stack(out))


def test_an_integer_lif_without_memory_is_a_relu_in_the_limit():
    xs = x(3.0)
    ys = IntegerLIF(10**6, 1.0, 1e-4)(xs) * 1e-4
    torch.testing.assert_close(ys, xs.relu(), rtol=0, atol=5.1e-5)


def test_builders_are_the_neurons_that_they_name():
    xs = x(2.0)
    assert torch.equal(ltmd(0.7, 3.0).double()(xs), LIF(3.0, 0.7, 0.0)(xs))
    drawn = heterogeneous(20.0, 5.0, (7,), generator=torch.Generator().manual_seed(0))
    neuron = LIF(drawn, decay=exponential, decay_input=True, v_threshold=0.2).double()
    assert neuron.is_learned("tau")
    fixed = LIF(drawn.value.double(), decay=exponential, decay_input=True, v_threshold=0.2)
    assert torch.equal(neuron(xs), fixed(xs))


def test_learned_coefficients_start_where_fixed_ones_are():
    xs = x(2.0)
    for learned, fixed in (
        (DALIF(Learned(0.6), Learned(0.3)), DALIF(0.6, 0.3)),
        (GLIF(), GLIF(0.75, 0.25, 0.75, 0.25, 0.0625, 0.5, 0.5, 0.5)),
        (AdLIF(Learned(8.0), Learned(60.0)), AdLIF(8.0, 60.0)),
    ):
        assert torch.equal(learned.double()(xs), fixed(xs))
