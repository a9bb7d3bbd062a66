"""Annealed: any surrogate, sharpened towards the step while training goes on.

    psi_k(x) = k psi(k x),     k = sharpness^q  (geometric)   or   1 + (sharpness - 1) q  (linear)
    q = min(1, progress / (1 - hold)),   progress from 0 at the first epoch to 1 at the last

The area does not change; a wide surrogate lets all neurons learn at first, a narrow one is truer at the end.

The forward pass is a step throughout. The schedule is common practice rather than one paper's.

Paper: [neftci2019surrogate]
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.surrogates.sigmoid import Sigmoid
from snn4.surrogates.surrogate import Surrogate

__all__ = ["Annealed", "anneal"]


class Annealed(Surrogate):
    """A surrogate that `anneal` sharpens; how far it has come is saved with the weights.

    Args:
        base: what is sharpened; it is copied. Default `Sigmoid(2.0)`.
        sharpness: how many times narrower it ends.
        schedule: `"geometric"` or `"linear"` in the progress.
        hold: the share of the training, at its end, during which it stays as sharp as it has become.

    Example:
        >>> surrogate = Annealed(Sigmoid(2.0), sharpness=5.0)
        >>> surrogate.derivative(torch.zeros(1))
        tensor([0.5000])
        >>> surrogate.at(1.0).derivative(torch.zeros(1))
        tensor([2.5000])
    """

    k: Tensor

    def __init__(
        self,
        base: Surrogate | None = None,
        sharpness: float = 5.0,
        schedule: Literal["geometric", "linear"] = "geometric",
        hold: float = 0.1,
    ) -> None:
        super().__init__()
        if base is not None and not isinstance(base, Surrogate):
            raise OptionError(f"Annealed got base={base!r}", "a Surrogate", "Write Annealed(Sigmoid(2.0)).")
        if base is not None and base.follows:
            raise OptionError(
                f"Annealed got base={type(base).__name__}, whose width follows the membrane",
                "a surrogate with a width of its own",
                "Take Annealed(Rectangle(1.0)).",
            )
        if base is not None and type(base).forward is not Surrogate.forward:
            raise OptionError(
                f"Annealed got base={type(base).__name__}, whose gradient is more than its derivative",
                "a surrogate that is its two formulas",
                "Write MSG(Annealed(...)) to mask an annealed one.",
            )
        if not 1 <= sharpness <= 1e4:
            raise OptionError(f"Annealed got sharpness={sharpness!r}", "a factor from 1 to 10000")
        if schedule not in ("geometric", "linear") or not 0 <= hold < 1:
            raise OptionError(
                f"Annealed got schedule={schedule!r}, hold={hold!r}", "'geometric' or 'linear', 0 <= hold < 1"
            )
        self.base: Surrogate = Sigmoid(2.0) if base is None else copy.deepcopy(base)
        self.sharpness, self.schedule, self.hold = float(sharpness), schedule, hold
        self.register_buffer("k", torch.ones(()))

    def at(self, progress: float) -> Annealed:
        """Be as sharp as at this share of the training; returns itself.

        Raises:
            OptionError: not between 0 and 1.
        """
        if not 0 <= progress <= 1:
            raise OptionError(f"Annealed got progress={progress!r}", "a share of the training, from 0 to 1")
        q = min(1.0, progress / (1 - self.hold))
        self.k.fill_(self.sharpness**q if self.schedule == "geometric" else 1 + (self.sharpness - 1) * q)
        return self

    def derivative(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """k psi(k x)."""
        return self.k * self.base.derivative(self.k * x)

    def primitive(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Psi(k x)."""
        return self.base.primitive(self.k * x)

    @property
    def area(self) -> float | Tensor:
        """That of the base."""
        return self.base.area

    @property
    def learns(self) -> bool:
        """Whether training changes the base's scale."""
        return self.base.learns

    def check_quantities(self, features: Sequence[int]) -> None:
        """Those of the base."""
        self.base.check_quantities(features)

    def extra_repr(self) -> str:
        """The schedule, and how far it has come."""
        now = "?" if self.k.is_meta else f"{self.k.item():.4g}"
        return f"sharpness={self.sharpness:g}, schedule={self.schedule}, hold={self.hold:g}, k={now}"


def anneal(net: torch.nn.Module, progress: float) -> None:
    """Sharpen every annealed surrogate of a network. Call it before each epoch with `epoch / (epochs - 1)`.

    Args:
        net: a network with neurons whose surrogate is `Annealed`.
        progress: the share of the training that is over, from 0 to 1.

    Raises:
        OptionError: the network has none, or the progress is not a share.

    Example:
        >>> net = torch.nn.Sequential(Annealed())
        >>> anneal(net, 0.45)
        >>> round(net[0].k.item(), 4)
        2.2361
    """
    found = [module for module in net.modules() if isinstance(module, Annealed)]
    if not found:
        raise OptionError(
            f"anneal got {type(net).__name__} without an annealed surrogate",
            "a network with at least one",
            "Write nn.LIF(surrogate=snn4.surrogates.Annealed()).",
        )
    for surrogate in found:
        surrogate.at(progress)
