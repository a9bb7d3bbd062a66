"""Which engine solves the spike times of a layer.

    c++         tensors on the CPU, float32 or float64, where there is a compiler: one pass over the events, in C++
    triton      tensors on a GPU, float32 or float64, where triton is installed: the same as one kernel a sample
    reference   everything else: the walk over the events in plain PyTorch, which is the law

The first that takes the tensors runs. `with snn4.kernels.use("reference"):` and `use("c++")` choose here as well.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from snn4.core.errors import OptionError
from snn4.kernels.choice import wish
from snn4.timing import adjoint as _adjoint
from snn4.timing import engine_cpp as _cpp
from snn4.timing import engine_triton as _triton
from snn4.timing import reference as _reference
from snn4.timing.types import Constants, Fired

__all__ = ["CPP", "REFERENCE", "TRITON", "Choice", "Engine", "choose", "engine_for", "register"]


@runtime_checkable
class Engine(Protocol):
    """What an engine offers: the spikes, and the gradient of whatever is made of them."""

    @property
    def name(self) -> str:
        """What `choose` reports."""
        ...

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
        """See `snn4.timing.adjoint.adjoint`, which is the law; but tau_v and tau_i may get 0 where they are numbers."""
        ...


class _Reference:
    name = "reference"

    def refuses(self, t: Tensor, weight: Tensor) -> str | None:
        return None

    solve = staticmethod(_reference.solve)
    adjoint = staticmethod(_adjoint.adjoint)


class _Cpp:
    name = "c++"

    def refuses(self, t: Tensor, weight: Tensor) -> str | None:
        return _cpp.refusal(t, weight)

    solve = staticmethod(_cpp.solve)

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
        # nobody learns a number, and the time constants are half of the work
        learned = isinstance(constants.tau_v, Tensor) or isinstance(constants.tau_i, Tensor)
        return _cpp.adjoint(t, source, weight, constants, fired, grad_times, grad_v_max, want_tau=learned)


class _Triton:
    name = "triton"

    def refuses(self, t: Tensor, weight: Tensor) -> str | None:
        return _triton.refusal(t, weight)

    solve = staticmethod(_triton.solve)
    adjoint = staticmethod(_triton.adjoint)


class Choice(NamedTuple):
    """An engine, and why those before it did not take the call."""

    engine: Engine
    refused: dict[str, str]


REFERENCE: Engine = _Reference()
CPP: Engine = _Cpp()
TRITON: Engine = _Triton()
_ENGINES: list[Engine] = [CPP, TRITON, REFERENCE]


def register(engine: Engine) -> None:
    """Ask this engine before those that are registered already."""
    _ENGINES.insert(0, engine)


def choose(t: Tensor, weight: Tensor) -> Choice:
    """The engine for these tensors, and the reasons against the others.

    Raises:
        OptionError: `use("c++")` is in force and that engine refuses.

    Example:
        >>> import torch
        >>> from snn4.kernels import use
        >>> with use("reference"):
        ...     choose(torch.zeros(1, 1), torch.zeros(1, 1)).refused["c++"]
        "use('reference') is in force"
    """
    wanted = wish().implementation
    refused: dict[str, str] = {}
    for engine in _ENGINES:
        forced = wanted == "reference" and engine is not REFERENCE
        reason = "use('reference') is in force" if forced else engine.refuses(t, weight)
        if reason is None and wanted == "c++" and engine is not CPP:
            raise OptionError(
                f"use('c++') is in force, but that engine cannot solve these spike times ({refused.get('c++')})",
                "tensors and a machine that it takes",
                "Use 'auto' to fall back on the reference.",
            )
        if reason is None:
            return Choice(engine, refused)
        refused[engine.name] = reason
    raise AssertionError("the reference never refuses")


def engine_for(t: Tensor, weight: Tensor) -> Engine:
    """The first engine that does not refuse; the reference never does."""
    return choose(t, weight).engine
