"""What neurons share that fire without a membrane of their own, or with one whose reset is no threshold's."""

from __future__ import annotations

import copy
from typing import Any

from snn4.core.errors import OptionError
from snn4.surrogates import ATan, Surrogate
from snn4.through_time import Neuron

__all__ = ["FiringNeuron"]


class FiringNeuron(Neuron):
    """Abstract: owns a copy of a surrogate that has a width of its own.

    Args:
        surrogate: stands for the derivative of the spike. Default `ATan()`.

    Raises:
        OptionError: something else, or a surrogate that follows a membrane.
    """

    def __init__(self, surrogate: Surrogate | None) -> None:
        super().__init__()
        if surrogate is not None and (not isinstance(surrogate, Surrogate) or surrogate.follows):
            raise OptionError(
                f"{type(self).__name__} got surrogate={surrogate!r}",
                "a Surrogate with a width of its own",
                "Write surrogate=ATan().",
            )
        self.surrogate: Surrogate = ATan() if surrogate is None else copy.deepcopy(surrogate)

    def check_quantities(self, features: Any) -> None:
        """Also the surrogate's."""
        super().check_quantities(features)
        self.surrogate.check_quantities(features)
