"""Spike times as one differentiable operation, over any engine and either exact method."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn4.core.checks import is_whole
from snn4.core.errors import NotFiniteError, OptionError, ShapeError, suggest
from snn4.timing import eventprop, two_stage
from snn4.timing.adjoint import clip_slope
from snn4.timing.delays import arrivals, check_delay, rejoin
from snn4.timing.engine import Engine, engine_for
from snn4.timing.times import check_times, check_window
from snn4.timing.types import Constants, Events, Fired

__all__ = ["METHODS", "check_constants", "fire", "spike_times"]


class Method(Protocol):
    """How the gradient is computed; some also solve in their own way."""

    def __call__(self, engine: Engine, /) -> tuple[Any, Any]:
        """`solve` and `adjoint`, with the signatures of `snn4.timing.reference` and `snn4.timing.adjoint`."""
        ...


def _analytic(engine: Engine) -> tuple[Any, Any]:
    return engine.solve, engine.adjoint


def _eventprop(engine: Engine) -> tuple[Any, Any]:
    return engine.solve, eventprop.adjoint


def _two_stage(_: Engine) -> tuple[Any, Any]:
    return two_stage.solve, two_stage.adjoint


METHODS: dict[str, Method] = {"analytic": _analytic, "eventprop": _eventprop, "two_stage": _two_stage}


class _Setting(NamedTuple):
    """What a call needs besides tensors."""

    solve: Any
    adjoint: Any
    max_spikes: int
    window: float
    want_max: bool
    min_slope: float


class _Fire(torch.autograd.Function):
    """solve forwards, adjoint backwards; keeps the events and the spikes, nothing else."""

    @staticmethod
    def forward(
        ctx: Any,
        t: Tensor,
        source: Tensor,
        weight: Tensor,
        tau_v: float | Tensor,
        tau_i: float | Tensor,
        v_threshold: float | Tensor,
        setting: _Setting,
    ) -> tuple[Tensor, ...]:
        constants = Constants(tau_v, tau_i, v_threshold)
        fired: Fired = setting.solve(
            t, source, weight, constants, setting.max_spikes, setting.window, want_max=setting.want_max
        )
        ctx.setting, ctx.numbers = setting, tuple(None if isinstance(one, Tensor) else one for one in constants)
        learned = (one for one in constants if isinstance(one, Tensor))
        ctx.save_for_backward(t, source, weight, *fired, *learned)
        ctx.mark_non_differentiable(fired.current, fired.slope, fired.truncated, fired.t_max)
        ctx.set_materialize_grads(False)
        return tuple(fired)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        t, source, weight, *rest = ctx.saved_tensors
        setting: _Setting = ctx.setting
        fired, learned = Fired(*rest[:6]), iter(rest[6:])
        constants = Constants(*(next(learned) if one is None else one for one in ctx.numbers))
        grad_times, grad_v_max = grads[0], grads[4] if setting.want_max else None
        if grad_times is None:
            grad_times = torch.zeros_like(fired.times)
        clipped = clip_slope(fired, constants, setting.window, setting.min_slope)
        grad_t, grad_weight, grad_constants = setting.adjoint(
            t, source, weight, constants, clipped, grad_times, grad_v_max
        )
        to_constants = (
            grad.to(one).view_as(one) if isinstance(one, Tensor) else None
            for grad, one in zip(grad_constants, constants, strict=True)
        )
        return grad_t, None, grad_weight, *to_constants, None


def check_constants(owner: str, constants: Constants) -> None:
    """Refuse constants that no neuron can have.

    Raises:
        ShapeError: a tensor that is no scalar.
        OptionError: one is not > 0. Time constants may be infinite.
    """
    for name, one in zip(Constants._fields, constants, strict=True):
        if isinstance(one, Tensor) and one.ndim:
            raise ShapeError(
                f"{owner} got {name} of shape {tuple(one.shape)}",
                "a number or a 0-dimensional tensor",
                "A layer of exact spike times shares its constants; use one layer for each group of neurons.",
            )
        value = float(one.detach()) if isinstance(one, Tensor) else one
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            advice = "float('inf') means no decay." if name != "v_threshold" else "The potential starts at 0, below it."
            raise OptionError(f"{owner} got {name}={value!r}", "a number > 0", advice)


def fire(
    incoming: Events,
    weight: Float[Tensor, "N_out N_in"],
    constants: Constants,
    *,
    max_spikes: int,
    window: float,
    method: str = "analytic",
    min_slope: float = 0.0,
    want_max: bool = False,
) -> Fired:
    """`spike_times` for events that are in order already, unchecked."""
    solve, adjoint = METHODS[method](engine_for(incoming.t, weight))
    setting = _Setting(solve, adjoint, max_spikes, window, want_max, min_slope)
    fired = Fired(*_Fire.apply(incoming.t, incoming.source, weight, *constants, setting))
    if want_max and isinstance(constants.v_threshold, Tensor):
        # a neuron that fires reaches its threshold, whatever that is
        silent = fired.times[..., 0] == math.inf
        fired = fired._replace(v_max=torch.where(silent, fired.v_max, constants.v_threshold.to(fired.v_max)))
    return fired


def spike_times(
    times: Float[Tensor, "B N_in K_in"],
    weight: Float[Tensor, "N_out N_in"],
    *,
    tau_v: float | Tensor,
    tau_i: float | Tensor,
    v_threshold: float | Tensor = 1.0,
    delay: Float[Tensor, "*pairs"] | None = None,
    max_spikes: int = 1,
    window: float = 1.0,
    method: str = "analytic",
    min_slope: float = 0.0,
    want_max: bool = False,
) -> Fired:
    """All spikes of a layer of leaky integrate-and-fire neurons, exactly, with exact first derivatives.

        dV/dt = -V / tau_v + I,    dI/dt = -I / tau_i + sum of w at the input spikes;
        at V = threshold: a spike, V <- 0, I is kept

    Paper: [yamamoto2024, wunderlich2021eventprop, goltz2024delgrad]

    Args:
        times: input spikes, ascending along K_in, `inf` for never.
        weight: as in a linear layer.
        tau_v: membrane time constant; `inf` for no leak. A 0-dimensional tensor may be learned.
        tau_i: synaptic time constant; `inf` for a step current. Likewise.
        v_threshold: > 0. Likewise.
        delay: how much later spikes arrive; spreads over the weights, see `snn4.timing.delays`.
        max_spikes: room for a neuron's spikes. One that would fire more often is marked `truncated`.
        window: the end of time.
        method: `analytic`, `eventprop` or `two_stage`: three ways to the same numbers.
        min_slope: below this slope, in thresholds per time constant, gradients are clipped.
        want_max: also compute `v_max` and `t_max`.

    Shape: (B, N_in, K_in) -> (B, N_out, max_spikes).

    Raises:
        ShapeError: shapes or dtypes that do not go together.
        NotFiniteError: a time that is NaN, or a weight that is not finite.
        OptionError: an option out of range; times that are negative or do not ascend.

    Example:
        >>> one, weight = torch.zeros(1, 1, 1), torch.tensor([[4.0]])
        >>> spike_times(one, weight, tau_v=2.0, tau_i=1.0, max_spikes=3, window=4.0).times
        tensor([[[0.3167, 0.8135,    inf]]])
    """
    owner = "spike_times"
    constants = Constants(tau_v, tau_i, v_threshold)
    check_constants(owner, constants)
    window = check_window(owner, window)
    check_options(owner, max_spikes, method, min_slope)
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ShapeError(f"{owner} got weight of shape {tuple(weight.shape)}, {weight.dtype}", "floats (N_out, N_in)")
    if weight.dtype != times.dtype:
        raise ShapeError(f"{owner} got times of {times.dtype} and weight of {weight.dtype}", "the same dtype")
    if not bool(weight.isfinite().all()):
        raise NotFiniteError(f"{owner} got a weight that is NaN or infinite", "finite weights", "Did training diverge?")
    check_times(owner, times, (weight.shape[1],))
    if delay is not None:
        check_delay(owner, delay.detach(), weight)
    incoming, seen = arrivals(times, weight, delay, window)
    fired = fire(
        incoming,
        seen,
        constants,
        max_spikes=max_spikes,
        window=window,
        method=method,
        min_slope=min_slope,
        want_max=want_max,
    )
    return rejoin(fired, len(times), len(weight))


def check_options(owner: str, max_spikes: int, method: str, min_slope: float) -> None:
    """Refuse options out of range.

    Raises:
        OptionError: with what is allowed.
    """
    if not is_whole(max_spikes):
        raise OptionError(f"{owner} got max_spikes={max_spikes!r}", "a whole number >= 1")
    if method not in METHODS:
        raise OptionError(f"{owner} got method={method!r}", "a method", suggest(method, list(METHODS)))
    if not 0 <= min_slope < math.inf:
        raise OptionError(f"{owner} got min_slope={min_slope!r}", "a finite number >= 0")
