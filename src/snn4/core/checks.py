"""Checks that stand at the doors: shapes, dtypes and finite numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from snn4.core.errors import NotFiniteError, ShapeError

__all__ = ["check_finite", "check_sequence", "is_whole"]


def is_whole(value: object, low: int = 1) -> bool:
    """Whether something is a whole number of at least `low`; True and False are none.

    Example:
        >>> is_whole(2), is_whole(2.0), is_whole(True)
        (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def check_sequence(owner: str, xs: Tensor, features: int | None = None, *, floating: bool = True) -> None:
    """Refuse what is not a sequence of the right rank.

    Args:
        owner: who asks, for the message.
        xs: the input. Shape (T, B, *features), T at least 1.
        features: how many feature axes are accepted; `None` for one or more.
        floating: whether integers are refused.

    Raises:
        ShapeError: wrong rank, no step, or a dtype that is not floating point.

    Example:
        >>> check_sequence("LIF", torch.zeros(32, 10))
        Traceback (most recent call last):
        snn4.core.errors.ShapeError: LIF got x of shape (32, 10): expected (T, B, *features). Is the time axis ...
    """
    shape = tuple(xs.shape)
    if (xs.ndim < 3) if features is None else (xs.ndim != 2 + features):
        axes = {0: "(T, B)", 1: "(T, B, C)", 2: "(T, B, C, L)", 3: "(T, B, C, H, W)", 4: "(T, B, C, D, H, W)"}
        expected = "(T, B, *features)" if features is None else axes[features]
        missing = xs.ndim < 3 if features is None else xs.ndim == 1 + features
        advice = "Is the time axis missing? snn4.data.repeat(x, steps=8) adds it." if missing else ""
        if not advice:
            advice = "Time comes first, then the batch; reshape the input or choose the layer for its rank."
        raise ShapeError(f"{owner} got x of shape {shape}", expected, advice)
    if shape[0] == 0:
        raise ShapeError(f"{owner} got x of shape {shape}, without a time step", "T >= 1", "Skip empty chunks.")
    if floating and not xs.is_floating_point():
        raise ShapeError(f"{owner} got x of dtype {xs.dtype}", "a floating-point dtype", "Convert it: x.float().")


def check_finite(owner: str, xs: Tensor) -> None:
    """Refuse NaN and infinity.

    Raises:
        NotFiniteError: with how many values are not finite, and where the first is.
    """
    if not xs.is_floating_point() or bool(torch.isfinite(xs).all()):
        return
    bad = (~torch.isfinite(xs)).nonzero()
    raise NotFiniteError(
        f"{owner} got {len(bad)} values that are NaN or infinite, the first at index {tuple(bad[0].tolist())}",
        "finite numbers",
        "Look at how the input was made; torch.nan_to_num(x) would hide it.",
    )
