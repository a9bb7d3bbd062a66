"""Which engine solves the spike times of a layer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from snn4.timing import adjoint as _adjoint
from snn4.timing import reference as _reference
from snn4.timing.types import Constants, Fired

__all__ = ["REFERENCE", "Engine", "engine_for", "register"]


@runtime_checkable
class Engine(Protocol):
    """What an engine offers: the spikes, and the gradient of whatever is made of them."""

    name: str

    def refuses(self, t: Tensor, weight: Tensor) -> str | None:
        """Why it cannot take this call, or `None`."""
        ...

    def solve(
        self,
        t: Tensor,
        source: Tensor,
        weight: Tensor,
        constants: Constants,
        max_spikes: int,
        window: float,
        *,
        want_max: bool = False,
    ) -> Fired:
        """See `snn4.timing.reference.solve`, which is the law."""
        ...

    def adjoint(
        self,
        t: Tensor,
        source: Tensor,
        weight: Tensor,
        constants: Constants,
        fired: Fired,
        grad_times: Tensor,
        grad_v_max: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `snn4.timing.adjoint.adjoint`, which is the law."""
        ...


class _Reference:
    name = "reference"

    def refuses(self, t: Tensor, weight: Tensor) -> str | None:
        return None

    solve = staticmethod(_reference.solve)
    adjoint = staticmethod(_adjoint.adjoint)


REFERENCE: Engine = _Reference()
_ENGINES: list[Engine] = [REFERENCE]


def register(engine: Engine) -> None:
    """Ask this engine before those that are registered already."""
    _ENGINES.insert(0, engine)


def engine_for(t: Tensor, weight: Tensor) -> Engine:
    """The first engine that does not refuse; the reference never does."""
    return next(one for one in _ENGINES if one.refuses(t, weight) is None)
