"""Quantities: floats, tensors and learned numbers, read alike."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import Learned, OptionError, ShapeError
from snn4.core.quantity import NON_NEGATIVE, POSITIVE, REAL, Quantified, above, between

NAN, INF = float("nan"), float("inf")


class Holder(Quantified):
    def __init__(self, value, domain=REAL, name="k"):
        super().__init__()
        self.quantity(name, value, domain)


def test_a_float_stays_a_float():
    holder = Holder(2)
    assert type(holder.k) is float
    assert holder.k == 2.0
    assert not list(holder.parameters())
    assert not list(holder.buffers())
    assert not holder.is_learned("k")


def test_a_tensor_is_a_buffer_of_its_own():
    given_ = torch.tensor([1.0, 2.0], requires_grad=True)
    holder = Holder(given_)
    assert torch.equal(holder.k, torch.tensor([1.0, 2.0]))
    assert not holder.k.requires_grad
    with torch.no_grad():
        given_.zero_()
    assert holder.k.tolist() == [1.0, 2.0]
    assert set(holder.state_dict()) == {"k"}
    assert holder.double().k.dtype == torch.float64


def test_an_integer_tensor_becomes_floating():
    assert Holder(torch.tensor([1, 2])).k.dtype == torch.get_default_dtype()


def test_a_parameter_is_kept_as_it_is():
    parameter = torch.nn.Parameter(torch.tensor([-5.0, 2.0]))
    holder = Holder(parameter, POSITIVE)  # its domain is the caller's business
    assert holder.k is parameter
    assert list(holder.parameters()) == [parameter]
    assert holder.is_learned("k")


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (Learned(2.0), ()),
        (Learned(2.0, (3, 1)), (3, 1)),
        (Learned(torch.tensor([1.0, 2.0])), (2,)),
        (Learned(torch.tensor([1.0, 2.0]), (3, 2)), (3, 2)),
        (Learned(torch.tensor([[1.0], [2.0]]), (2, 4)), (2, 4)),
    ],
)
def test_learned_starts_where_it_is_told(value, shape):
    holder = Holder(value, POSITIVE)
    assert tuple(holder.k.shape) == shape
    start = value.value if isinstance(value.value, torch.Tensor) else torch.tensor(value.value)
    assert torch.allclose(holder.k, start.expand(shape))
    assert holder.is_learned("k")
    assert [name for name, _ in holder.named_parameters()] == ["learned_k.raw"]


def test_learned_keeps_a_dtype():
    assert Holder(Learned(torch.tensor(2.0, dtype=torch.float64))).k.dtype == torch.float64
    assert Holder(Learned(2.0)).k.dtype == torch.get_default_dtype()


@pytest.mark.parametrize("domain", [POSITIVE, NON_NEGATIVE, above(1.0), above(1.0, closed=True), above(-2.0)])
@pytest.mark.parametrize("rate", [1.0, 1e3, 1e12])
def test_no_optimiser_step_leaves_the_domain(domain, rate):
    start = domain.low + 1.5
    for sign in (1, -1):
        holder = Holder(Learned(start), domain)
        optimiser = torch.optim.SGD(holder.parameters(), lr=rate)
        for _ in range(5):
            optimiser.zero_grad()
            (sign * holder.k).backward()
            optimiser.step()
            value = holder.k.detach()
            assert math.isfinite(value.item())
            # beside an end that is not 0, float32 itself may round to that end
            assert domain.holds(value) or (domain.low != 0 and value.item() == domain.low)


@given(st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1.0, -2.0, 0.5]))
@settings(deadline=None, max_examples=200)
def test_whatever_training_finds_is_a_finite_number_above_the_end(raw, low):
    holder = Holder(Learned(low + 1.0), above(low)).double()
    with torch.no_grad():
        holder.learned_k.raw.fill_(raw)
    value = holder.k.item()
    assert low < value < INF
    assert value - low == pytest.approx(math.exp(max(-30.0, min(30.0, raw))), rel=1e-2)


def test_the_gradient_of_a_learned_number():
    # value = low + e^raw, so dvalue/draw = value - low
    holder = Holder(Learned(3.0), above(1.0))
    holder.k.backward()
    assert holder.learned_k.raw.grad.item() == pytest.approx(2.0)
    free = Holder(Learned(3.0))
    free.k.backward()
    assert free.learned_k.raw.grad.item() == 1.0


@pytest.mark.parametrize(
    "value",
    [
        NAN,
        INF,
        -INF,
        -1.0,
        torch.tensor([1.0, -1.0]),
        torch.tensor([1.0, NAN]),
        Learned(-1.0),
        Learned(NAN),
        Learned(torch.tensor([2.0, 0.0])),
        torch.ones(0),
        Learned(torch.ones(0)),
    ],
)
def test_a_value_outside_the_domain_is_refused(value):
    with pytest.raises(OptionError, match="Holder got k="):
        Holder(value, POSITIVE)


@pytest.mark.parametrize("value", ["2", None, True, [1.0], 1j, Learned("2"), Learned(None)])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(OptionError, match=r"snn4.Learned\(2.0\)"):
        Holder(value)


def test_the_ends_of_a_domain():
    assert Holder(0.0, NON_NEGATIVE).k == 0.0
    with pytest.raises(OptionError, match="a finite number > 0"):
        Holder(0.0, POSITIVE)
    assert str(above(2.0, closed=True)) == "a finite number >= 2"
    assert str(REAL) == "a finite number"
    assert Holder(-1e30, REAL).k == -1e30


def test_learning_cannot_start_at_a_closed_end():
    # there, raw = log(0): no step would ever leave it, and weight decay would make it NaN
    with pytest.raises(OptionError, match="a number above 1 to start from"):
        Holder(Learned(1.0), above(1.0, closed=True))
    with pytest.raises(OptionError, match="start a little above"):
        Holder(Learned(torch.tensor([2.0, 1.0])), above(1.0, closed=True))


def test_a_value_that_does_not_spread_over_its_shape_is_refused():
    with pytest.raises(OptionError, match=r"k with a value of shape \(3,\) for \(4,\)"):
        Holder(Learned(torch.ones(3), (4,)))
    with pytest.raises(OptionError, match="Leave shape out"):
        Holder(Learned(torch.ones(2, 3), (3,)))


@pytest.mark.parametrize(
    "make", [torch.ones, lambda shape: Learned(1.0, shape), lambda shape: torch.nn.Parameter(torch.ones(shape))]
)
def test_shapes_that_line_up_with_the_features(make):
    features = (3, 4, 5)
    for shape in ((3, 4, 5), (3, 1, 1), (1, 4, 5), (1, 1, 1)):
        Holder(make(shape), POSITIVE).check_quantities(features)
    for shape in ((3,), (4, 5), (5,), (3, 4), (2, 1, 1), (3, 4, 1, 1), (1, 3, 4, 5), (3, 4, 6)):
        with pytest.raises(ShapeError, match=r"per channel \(3, 1, 1\) or per neuron \(3, 4, 5\)"):
            Holder(make(shape), POSITIVE).check_quantities(features)


def test_a_number_fits_every_shape():
    for value in (2.0, torch.tensor(2.0), Learned(2.0)):
        Holder(value, POSITIVE).check_quantities((7, 7))


def test_the_state_dict_brings_a_learned_number_back():
    one, other = Holder(Learned(2.0, (3,)), POSITIVE), Holder(Learned(5.0, (3,)), POSITIVE)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.k, other.k)


def test_a_missing_attribute_is_still_an_attribute_error():
    with pytest.raises(AttributeError):
        _ = Holder(2.0).nothing


def test_it_shows_its_quantities():
    assert repr(Holder(2.5)) == "Holder(k=2.5)"
    assert "k=tensor(3,) learned" in repr(Holder(Learned(2.0, (3,))))
    assert repr(Holder(torch.tensor(2.0))) == "Holder(k=2)"


def test_on_the_meta_device_there_is_nothing_to_look_at():
    with torch.device("meta"):
        assert Holder(2.0, POSITIVE).k == 2.0
        assert Holder(Learned(2.0, (3,)), POSITIVE).k.is_meta
        assert Holder(torch.ones(3), POSITIVE).k.is_meta
        with pytest.raises(OptionError):
            Holder(-2.0, POSITIVE)


# ---------------------------------------------------------------------------------------------------- between two ends

CURVES = ("tanh", "sigmoid", "log", "clamp")


@pytest.mark.parametrize(
    ("curve", "raw"),
    # value .9 between .5 and 2.5, a fifth of the way
    [("tanh", math.atanh(-0.6)), ("sigmoid", math.log(0.25)), ("log", math.log(0.9)), ("clamp", 0.9)],
)
def test_the_curves_between_two_ends(curve, raw):
    owner = Holder(Learned(torch.tensor(0.9, dtype=torch.float64)), between(0.5, 2.5, curve=curve))
    assert owner.learned_k.raw.item() == pytest.approx(raw, rel=1e-12)
    assert owner.k.item() == pytest.approx(0.9, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("wild", [-1e9, -50.0, 50.0, 1e9, math.inf, -math.inf])
def test_a_wild_step_stays_between_the_ends(curve, wild, dtype):
    owner = Holder(Learned(0.9), between(0.5, 2.5, curve=curve)).to(dtype)
    with torch.no_grad():
        owner.learned_k.raw.fill_(wild)
    if curve in ("tanh", "sigmoid"):
        assert 0.5 < owner.k.item() < 2.5
    else:
        assert owner.k.item() == pytest.approx(2.5 if wild > 0 else 0.5)


@pytest.mark.parametrize("domain", [above(0.0), *(between(0.5, 2.5, curve=curve) for curve in CURVES)])
@pytest.mark.parametrize("wild", [-40.0, 40.0])
def test_beyond_an_end_only_the_way_back_is_open(domain, wild):
    owner = Holder(Learned(torch.tensor(0.9, dtype=torch.float64)), domain)
    raw = owner.learned_k.raw
    with torch.no_grad():
        raw.fill_(wild)
    for sign in (1.0, -1.0):
        (grad,) = torch.autograd.grad(sign * owner.k, raw)
        # an optimiser subtracts the gradient
        assert (grad != 0) == (sign == math.copysign(1.0, wild))
        assert grad.isfinite()


@pytest.mark.parametrize("curve", ["clamp", "log"])
def test_an_optimiser_comes_back_from_an_end(curve):
    owner = Holder(Learned(2.5), between(0.5, 2.5, curve=curve))
    sgd = torch.optim.SGD(owner.parameters(), lr=0.1)
    for aim in (5.0, 1.0):
        for _ in range(200):
            sgd.zero_grad()
            ((owner.k - aim) ** 2).backward()
            sgd.step()
        assert owner.k.item() == pytest.approx(min(aim, 2.5), abs=1e-3)


def test_fixed_quantities_may_lie_at_a_closed_end():
    for value in (0.5, 2.5):
        assert Holder(value, between(0.5, 2.5)).k == value
        with pytest.raises(OptionError, match="a finite number between 0.5 and 2.5"):
            Holder(value, between(0.5, 2.5, closed=False))
        with pytest.raises(OptionError, match="a number between 0.5 and 2.5 to start from"):
            Holder(Learned(value), between(0.5, 2.5))
        assert Holder(Learned(value), between(0.5, 2.5, curve="clamp")).k == value
    with pytest.raises(OptionError, match=r"expected a finite number from 0.5 to 2.5"):
        Holder(3.0, between(0.5, 2.5))


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (-math.inf, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_ends_out_of_order_are_refused(ends):
    with pytest.raises(OptionError, match="finite ends"):
        between(*ends)
    with pytest.raises(OptionError, match="'log'"):
        between(0.0, 1.0, curve="log")
