"""What each ATen operation means in elementwise operations, rounded as ATen's own CPU kernels round.

`LOWERED` maps the name of an operation to a function that emits its parts and returns the value. An operation of torch
that is not here is decomposed by torch into ones that are, or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch._decomp import core_aten_decompositions

from snn4.kernels.graph import Arg, Constant

__all__ = ["LOWERED", "Emitter", "Unsupported"]


class Unsupported(Exception):  # noqa: N818  (it never reaches a user; it becomes a reason)
    """An operation, or a form of one, that the compiler does not know."""


class Emitter(Protocol):
    """Writes operations."""

    def __call__(self, name: str, *args: Arg) -> Arg:
        """Emit one operation and return its value."""
        ...


Lower = Callable[[Emitter, list[Any], Mapping[str, Any]], Arg]


def _plain(name: str, count: int) -> Lower:
    def lower(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
        return emit(name, *args[:count])

    return lower


def _scaled(args: list[Any], kwargs: Mapping[str, Any]) -> float:
    # add.Scalar and rsub.Scalar may have alpha as a third argument
    alpha = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
    return float(alpha)


def _add(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    alpha = _scaled(args, kwargs)
    # ATen multiplies and adds with one rounding
    return emit("add", args[0], args[1]) if alpha == 1 else emit("fma", args[1], Constant(alpha), args[0])


def _sub(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    alpha = _scaled(args, kwargs)
    return emit("sub", args[0], args[1]) if alpha == 1 else emit("fma", args[1], Constant(-alpha), args[0])


def _rsub(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    return _sub(emit, [args[1], args[0], *args[2:]], kwargs)


def _div(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    if kwargs.get("rounding_mode") is not None:
        raise Unsupported("div with a rounding mode")
    return emit("div", args[0], args[1])


def _square(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("mul", args[0], args[0])


def _reciprocal(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("div", Constant(1.0), args[0])


def _rsqrt(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("div", Constant(1.0), emit("sqrt", args[0]))


def _pow(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    # both come as they stand in the trace: the exponent decides which operation it is
    base, exponent = (Constant(float(a)) if isinstance(a, (int, float)) else a for a in args)
    if isinstance(exponent, Constant):
        number = exponent.value
        if number == 0.5:
            return emit("sqrt", base)
        if number == 1:
            return base
        if number in (2, 3, -1, -2):
            square = base if number == -1 else emit("mul", base, base)
            power = emit("mul", square, base) if number == 3 else square
            return power if number > 0 else emit("div", Constant(1.0), power)
    return emit("pow", base, exponent)


def _clamp(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    low = args[1] if len(args) > 1 else kwargs.get("min")
    high = args[2] if len(args) > 2 else kwargs.get("max")
    value = args[0]
    if low is not None:
        value = emit("max", value, low)
    return value if high is None else emit("min", value, high)


def _clamp_max(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("min", args[0], args[1])


def _relu(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("max", args[0], Constant(0.0))


def _where(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    if len(args) < 3:
        raise Unsupported("where with one argument")
    return emit("where", *args)


def _masked_fill(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("where", args[1], args[2], args[0])


def _threshold_backward(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return emit("where", emit("le", args[1], args[2]), Constant(0.0), args[0])


def _sigmoid_backward(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    grad, y = args
    return emit("mul", emit("mul", grad, emit("sub", Constant(1.0), y)), y)


def _tanh_backward(emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    grad, y = args
    return emit("mul", grad, emit("sub", Constant(1.0), emit("mul", y, y)))


def _same(_emit: Emitter, args: list[Any], _kwargs: Mapping[str, Any]) -> Arg:
    return args[0]


def _round(emit: Emitter, args: list[Any], kwargs: Mapping[str, Any]) -> Arg:
    if kwargs.get("decimals", 0) != 0:
        raise Unsupported("round with decimals")
    return emit("round", args[0])


LOWERED: dict[str, Lower] = {
    **{name: _plain(name, 2) for name in ("mul", "fmod", "ge", "gt", "le", "lt", "eq", "ne")},
    **{
        name: _plain(name, 1)
        for name in ("neg", "abs", "sign", "sqrt", "floor", "ceil", "trunc")
        + ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "sigmoid")
    },
    **{f"logical_{name}": _plain(name, 2) for name in ("and", "or", "xor")},
    **{f"bitwise_{name}": _plain(name, 2) for name in ("and", "or", "xor")},
    **dict.fromkeys(("alias", "detach", "clone", "lift_fresh_copy", "lift_fresh", "expand", "view"), _same),
    **dict.fromkeys(("_unsafe_view", "reshape", "contiguous", "squeeze", "unsqueeze", "positive"), _same),
    "add": _add,
    "bitwise_not": _plain("not", 1),
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _plain("max", 2),
    "div": _div,
    "logical_not": _plain("not", 1),
    "masked_fill": _masked_fill,
    "maximum": _plain("max", 2),
    "minimum": _plain("min", 2),
    "pow": _pow,
    "reciprocal": _reciprocal,
    "relu": _relu,
    "round": _round,
    "rsqrt": _rsqrt,
    "rsub": _rsub,
    "sgn": _plain("sign", 1),
    "sigmoid_backward": _sigmoid_backward,
    "square": _square,
    "sub": _sub,
    "tanh_backward": _tanh_backward,
    "threshold_backward": _threshold_backward,
    "where": _where,
}

BOOLEAN = frozenset(("ge", "gt", "le", "lt", "eq", "ne", "and", "or", "xor", "not"))


def decompositions() -> dict[Any, Callable[..., Any]]:
    """How torch takes other operations apart. Those of `LOWERED` stay whole: their own rounding is meant."""
    return {op: how for op, how in core_aten_decompositions().items() if _packet(op) not in LOWERED}


def _packet(op: Any) -> str:
    name = op.overloadpacket.__name__ if isinstance(op, torch._ops.OpOverload) else str(op)  # pyright: ignore[reportPrivateUsage]
    return name.rstrip("_")
