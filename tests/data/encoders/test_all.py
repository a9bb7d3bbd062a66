"""What every encoder promises."""

from __future__ import annotations

import pytest
import torch

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.data import Delta, Direct, Latency, LogLatency, Phase, Poisson, Population, encoders

MEMBERS = [
    Direct(4),
    Poisson(4),
    Poisson(4, gain=0.5),
    Latency(4),
    LogLatency(4, tau=2.0),
    Phase(4, bits=4),
    Phase(4, bits=2, weighted=True),
    Population(Direct(4), units=3),
    Population(Poisson(4), units=5),
    Population(Latency(4), units=4),
    Delta(4, threshold=0.1),
    Delta(4, threshold=0.1, limit=1),
]
BY_VALUE = [member for member in MEMBERS if not isinstance(member, Delta)]
WIDTH = {Population: lambda member: member.units, Delta: lambda member: 2}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(member, dtype=torch.float32, features=(3, 2), seed=1) -> torch.Tensor:
    time = (4,) if isinstance(member, Delta) else ()
    return torch.rand((*time, 5, *features), generator=generator(seed), dtype=torch.float64).to(dtype)


def test_every_encoder_is_here():
    here = {type(member).__name__ for member in MEMBERS}
    # Pixels takes images only, and has tests of its own
    assert here == set(encoders.__all__) - {"Encoder", "Pixels", "repeat"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("features", [(3,), (3, 2), (3, 2, 2)])
@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_shape_and_type(member, features, dtype):
    x = batch(member, dtype, features)
    before = x.clone()
    y = member(x, generator())
    width = WIDTH.get(type(member), lambda member: 1)(member)
    assert member.steps == 4
    assert y.shape == (4, 5, 3 * width, *features[1:])
    assert y.dtype == dtype
    assert y.isfinite().all()
    assert torch.equal(x, before)


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_the_same_generator_gives_the_same_sequence_and_global_seeds_are_left_alone(member):
    x = batch(member)
    state, seed = torch.get_rng_state(), torch.initial_seed()
    assert torch.equal(member(x, generator(3)), member(x, generator(3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.initial_seed() == seed


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_samples_do_not_meet(member):
    x = batch(member)
    other = x.clone()
    other.select(x.dim() - 3, 3).copy_(1 - x.select(x.dim() - 3, 3))
    same = [0, 1, 2, 4]
    assert torch.equal(member(x, generator())[:, same], member(other, generator())[:, same])


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_an_empty_batch_stays_empty(member):
    x = batch(member)
    x = x[:, :0] if isinstance(member, Delta) else x[:0]
    assert member(x, generator()).shape[:2] == (4, 0)


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(member, value):
    x = batch(member)
    x.view(-1)[7] = value
    with pytest.raises(NotFiniteError, match="NaN or infinity"):
        member(x)


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_bytes_are_refused_with_the_way_out(member):
    x = batch(member).mul(255).to(torch.uint8)
    with pytest.raises(ShapeError, match=r"type uint8.*snn4\.data\.unit"):
        member(x)


@pytest.mark.parametrize("member", [m for m in BY_VALUE if not isinstance(m, Direct)], ids=repr)
@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_what_is_out_of_range_is_refused(member, value):
    x = batch(member)
    x[2, 1, 1] = value
    with pytest.raises(OptionError, match=f"{value}.*expected values between 0 and 1"):
        member(x)


@pytest.mark.parametrize("member", BY_VALUE, ids=repr)
def test_a_single_number_is_refused(member):
    with pytest.raises(ShapeError, match="Direct got a single number|got a single number|F = 1|adds F"):
        member(torch.tensor(0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Direct(0),
        lambda: Poisson(0),
        lambda: Latency(0),
        lambda: LogLatency(0, 1.0),
        lambda: Phase(0),
        lambda: Delta(0, 0.1),
        lambda: Population(Direct(-1), 3),
    ],
)
def test_no_step_is_refused(make):
    with pytest.raises(OptionError, match="at least one step"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(4, gain=0.0), "gain = 0.0"),
        (lambda: Poisson(4, gain=1.5), "gain = 1.5"),
        (lambda: Poisson(4, gain=float("nan")), "gain = nan"),
        (lambda: LogLatency(4, tau=0.0), "tau = 0.0"),
        (lambda: LogLatency(4, tau=float("nan")), "tau = nan"),
        (lambda: Phase(4, bits=0), "bits = 0"),
        (lambda: Phase(6, bits=4), r"Phase\(steps=6, bits=6\) shows"),
        (lambda: Phase(25, bits=25), "bits from 1 to 24"),
        (lambda: Delta(4, threshold=0.0), "threshold = 0.0"),
        (lambda: Delta(4, threshold=float("nan")), "threshold = nan"),
        (lambda: Delta(4, threshold=0.1, limit=0), "limit = 0"),
        (lambda: Population(Direct(4), units=2), "units = 2"),
        (lambda: Population(Direct(4), units=3, low=1.0, high=1.0), "low below high"),
        (lambda: Population(Direct(4), units=3, beta=0.0), "beta = 0.0"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()
