"""Time outermost: the whole network at one step, then at the next.

Layer by layer, a network at step 5 waits for its first layer at step T. Where each step has a loss of its own, that
order keeps T graphs alive; with time outermost there is one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import StateError
from snn4.core.states import States
from snn4.through_time.run import stateful_paths
from snn4.through_time.session import Session, opened

__all__ = ["Stepper"]


class Stepper:
    """One step of a network after the other; the state is cut from the graph in between.

    Batch norm in training takes its statistics from each step alone, which `run` refuses for pieces of a sequence.

    Args:
        net: whose stateful members all run at every step.
        state: where to start; `None` is at rest.
    """

    def __init__(self, net: torch.nn.Module, state: States | None = None) -> None:
        self.net = net
        self.paths = stateful_paths(net)
        unknown = sorted(key for key in (state or {}) if key.split("#")[0] not in set(self.paths.values()))
        if unknown:
            raise StateError(
                f"the state has entries for {', '.join(map(repr, unknown))}",
                "stateful modules of this network",
                "Is it the state of another network, or of another route?",
            )
        self.state = States() if state is None else state.detach()

    def __call__(self, x: Tensor) -> Any:
        """What the network says at one step. Shape (1, B, *features)."""
        session = Session(self.paths, self.state)
        with opened(session):
            y = self.net(x)
        self.state = States({**self.state, **session.outgoing}).detach()
        return y
