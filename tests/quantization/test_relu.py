"""QuantReLU against LSQ's equations, worked out by hand and by finite differences."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from snn4.core import OptionError
from snn4.quantization import QuantReLU


def test_levels_by_hand():
    # s = 0.5, 2 bits: 0, 0.5, 1, 1.5
    xs = torch.tensor([-3.0, -0.1, 0.0, 0.2, 0.3, 0.74, 0.76, 1.4, 1.5, 100.0]).reshape(1, 1, -1)
    ys = QuantReLU(2, step=0.5)(xs)
    assert ys.flatten().tolist() == [0, 0, 0, 0, 0.5, 0.5, 1.0, 1.5, 1.5, 1.5]


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_as_many_levels_as_bits_tell_apart(bits):
    xs = torch.linspace(-1, 2, 5001).reshape(1, 1, -1)
    step = 1 / (2**bits - 1)
    found = QuantReLU(bits, step=step)(xs).unique()
    assert torch.allclose(found, torch.arange(2**bits) * step)


def test_gradients_by_hand():
    # n = 3, s = 0.5, 4 features: g = 1 / sqrt(12)
    #   x      x/s    y      dy/dx   dy/ds / g
    #   0.6    1.2    0.5    1       1 - 1.2 = -0.2
    #   0.9    1.8    1.0    1       2 - 1.8 =  0.2
    #   7      14     1.5    0       3
    #  -1     -2      0      0       0
    relu = QuantReLU(2, step=0.5)
    xs = torch.tensor([[[0.6, 0.9, 7.0, -1.0]]], requires_grad=True)
    upstream = torch.tensor([[[1.0, 10.0, 100.0, 1000.0]]])
    (relu(xs) * upstream).sum().backward()
    assert xs.grad.flatten().tolist() == [1, 10, 0, 0]
    assert float(relu.step.grad) == pytest.approx((-0.2 + 2.0 + 300.0) / math.sqrt(12), rel=1e-5)


def test_gradients_on_the_borders():
    # the paper's inside is open: at 0 and at n s nothing goes to x; at n s the step gets n, as above
    relu = QuantReLU(2, step=0.5)
    xs = torch.tensor([[[0.0, 1.5]]], requires_grad=True)
    relu(xs).sum().backward()
    assert xs.grad.flatten().tolist() == [0, 0]
    assert relu.step.grad.item() == pytest.approx(3 / math.sqrt(2 * 3))


def test_gradient_scale_counts_features_not_samples_or_steps():
    def gradient(steps: int, batch: int) -> float:
        relu = QuantReLU(2, step=0.5)
        relu(torch.full((steps, batch, 2, 3), 7.0)).mean().backward()
        return float(relu.step.grad)

    # d mean(y) / ds = n = 3, times 1 / sqrt(6 x 3)
    assert gradient(1, 1) == gradient(4, 5) == pytest.approx(3 / math.sqrt(18))


def test_gradients_against_finite_differences_of_the_straight_through_form():
    # straight through means: the rounding error of this very point is a constant. Then y is smooth:
    #   inside   y(x, s) = s (x / s + c),   c = round(x0 / s0) - x0 / s0        above  y = s n
    generator = torch.Generator().manual_seed(3)
    xs = torch.rand(1, 1, 50, generator=generator, dtype=torch.float64) * 6 - 1
    step, n = 0.75, 7
    upstream = torch.rand(50, generator=generator, dtype=torch.float64)

    def smooth(x: torch.Tensor, s: float) -> torch.Tensor:
        c = (xs / step).round() - xs / step
        below, above = xs <= 0, xs / step >= n
        return torch.where(above, s * n * torch.ones_like(x), torch.where(below, torch.zeros_like(x), s * (x / s + c)))

    relu = QuantReLU(3, step=step).double()
    x = xs.clone().requires_grad_()
    (relu(x).flatten() * upstream).sum().backward()
    h = 1e-6
    by_step = ((smooth(xs, step + h) - smooth(xs, step - h)).flatten() * upstream).sum() / (2 * h)
    by_x = (smooth(xs + h, step) - smooth(xs - h, step)).flatten() * upstream / (2 * h)
    assert float(relu.step.grad) == pytest.approx(float(by_step) / math.sqrt(50 * 7), rel=1e-6)
    assert torch.allclose(x.grad.flatten(), by_x, atol=1e-8)
    assert torch.allclose(relu(xs), smooth(xs, step))


def test_first_batch_in_training_sets_the_step():
    relu = QuantReLU(2)
    # rectified mean of (1, 3, -5, 0) is 1: s = 2 / sqrt(3)
    first = torch.tensor([[[1.0, 3.0, -5.0, 0.0]]])
    relu(first)
    assert relu.step.item() == pytest.approx(2 / math.sqrt(3))
    assert bool(relu.initialised)
    relu(first * 100)
    assert relu.step.item() == pytest.approx(2 / math.sqrt(3))


def test_evaluation_keeps_nothing():
    relu = QuantReLU(2).eval()
    xs = torch.tensor([[[1.0, 3.0, -5.0, 0.0]]])
    ys = relu(xs)
    assert not bool(relu.initialised)
    assert relu.step.item() == 1.0
    # s = 2 / sqrt(3): 1 / s = 0.87 and 3 / s = 2.6
    assert ys.flatten().tolist() == pytest.approx([2 / math.sqrt(3), 6 / math.sqrt(3), 0, 0])


def test_a_first_batch_without_anything_positive_sets_nothing():
    relu = QuantReLU(2)
    assert relu(torch.full((1, 1, 3), -1.0)).tolist() == [[[0, 0, 0]]]
    assert not bool(relu.initialised)


def test_a_step_that_training_pushed_to_zero_or_below_stays_usable():
    xs = torch.tensor([[[0.4, 0.6, 9.0]]])
    negative = QuantReLU(2, step=0.5)
    with torch.no_grad():
        negative.step.neg_()
    assert torch.equal(negative(xs), QuantReLU(2, step=0.5)(xs))
    with torch.no_grad():
        negative.step.zero_()
    assert torch.isfinite(negative(xs)).all()


def test_copies_and_state_dicts_carry_everything():
    relu = QuantReLU(3)
    xs = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    ys = relu(xs)
    fresh = QuantReLU(3)
    fresh.load_state_dict(relu.state_dict())
    assert torch.equal(fresh(xs), ys)
    assert torch.equal(copy.deepcopy(relu)(xs * 2), relu(xs * 2))
    assert set(relu.state_dict()) == {"step", "initialised"}


def test_learning_the_step_lowers_the_error():
    xs = torch.rand(1, 64, 100, generator=torch.Generator().manual_seed(0)) * 4
    relu = QuantReLU(2, step=0.2)
    optimiser = torch.optim.SGD(relu.parameters(), lr=1.0)
    errors = []
    for _ in range(200):
        error = (relu(xs) - xs).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    # LSQ's gradient vanishes where (1/s) sum inside (y - x)^2 = n sum above (x - n s). For uniform values on 0 .. 4:
    #   s^2 / 4 = 3 (4 - 3 s)^2 / 2,   so s = 8 r / (1 + 6 r) with r = sqrt(3/2)
    r = math.sqrt(1.5)
    assert relu.step.item() == pytest.approx(8 * r / (1 + 6 * r), rel=0.02)
    assert errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize(
    "options", [{"bits": 0}, {"bits": 17}, {"bits": 2, "step": 0.0}, {"bits": 2, "step": math.nan}]
)
def test_refusals(options):
    with pytest.raises(OptionError):
        QuantReLU(**options)
