r"""TRT, temporal regularisation training: TET with a one-hot pull, and a weight decay that loosens with time.

    L = (1/T) sum_t ( (1 - eta) CE(z[t], y) + eta mean_{b,c} (z[t,b,c] - onehot(y)[b,c])^2 + R[t] )
    R[t] = strength sum_w w^2 / (1 + (exp(delta t) - 1) (|w| + eps)),        t = 0 ... T-1,  eps = 1e-5

The first step is decayed as by L2; later ones less, and large weights least of all. R holds no activation: summed over
time it is one static penalty on the weights, whose shape depends on T.

Paper: [zhang2025trt]
Differs from the paper: nothing; it penalises all parameters that are no bias, those of norms included, and `names`
restricts that. Weight decay of the optimiser comes on top, and the paper has none. Meant for small sets of events, at
strengths of 1e-5 to 5e-5, delta of 0.25 to 0.5, eta of 0.001 to 0.05.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from snn4.core.checks import is_whole
from snn4.core.errors import OptionError
from snn4.objectives.cross_entropy import check_targets

__all__ = ["TemporalDecay", "trt"]

_EPS = 1e-5


def trt(outputs: Tensor, targets: Tensor, eta: float = 0.05) -> Tensor:
    """The part of TRT that sees outputs: mean of the steps' cross-entropies, and a pull towards the one-hot class.

    Args:
        outputs: the outputs of all steps.
        targets: the classes, int64.
        eta: share of the pull.

    Shape:
        (T, B, C), (B,) -> ().

    Raises:
        ShapeError: outputs or targets of the wrong shape.
        OptionError: an eta outside of [0, 1].

    Example:
        >>> trt(torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]]), torch.tensor([0]))
        tensor(0.4145)
    """
    check_targets("trt", outputs, targets, "(T, B, C)")
    if not 0 <= eta <= 1:
        raise OptionError(f"trt got eta={eta}", "0 <= eta <= 1", "The paper's are 0.05 and 0.001.")
    each = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), targets.repeat(len(outputs)))
    onehot = torch.zeros_like(outputs[0]).scatter(1, targets[:, None], 1.0)
    return (1 - eta) * each + eta * (outputs - onehot).square().mean()


@dataclasses.dataclass(frozen=True)
class TemporalDecay:
    """The part of TRT that sees weights, the mean of R over time; for `Task.regulariser`.

    Args:
        steps: T, how many steps the network's output has.
        strength: lambda of the paper.
        delta: how fast the decay loosens; 0 is L2 at every step.
        names: which parameters; all that are no bias by default.

    Raises:
        OptionError: no step, or a negative strength or delta.

    Example:
        >>> net = torch.nn.Linear(1, 1)
        >>> _ = torch.nn.init.constant_(net.weight, 0.5)
        >>> with TemporalDecay(steps=1, strength=0.1)(net) as term:
        ...     print(round(term().item(), 6))
        0.025
    """

    steps: int
    strength: float = 1e-5
    delta: float = 0.25
    names: Callable[[str], bool] = dataclasses.field(default=lambda name: "bias" not in name)

    def __post_init__(self) -> None:
        fine = is_whole(self.steps) and 0 <= self.strength < math.inf
        if not fine or not 0 <= self.delta * self.steps < 700:
            raise OptionError(
                f"TemporalDecay got steps={self.steps}, strength={self.strength}, delta={self.delta}",
                "whole steps >= 1, finite strength >= 0 and delta >= 0, with delta * steps below 700",
                "The paper's are about strength 1e-5 and delta 0.25.",
            )

    @contextmanager
    def __call__(self, net: torch.nn.Module) -> Iterator[Callable[[], Tensor]]:
        """What the weights of a network cost."""
        weights = [p for name, p in net.named_parameters() if p.requires_grad and self.names(name)]

        def term() -> Tensor:
            costs = [self.cost(w) for w in weights]
            return torch.stack(costs).sum() if costs else torch.zeros(())

        yield term

    def cost(self, weight: Tensor) -> Tensor:
        """The mean over time of R, for one tensor of weights. Shape: any -> ()."""
        squares, size = weight.square(), weight.abs() + _EPS
        # step by step: T copies of all weights are never held at once where no gradient is asked for
        total = squares.sum()
        for t in range(1, self.steps):
            total = total + (squares / (1 + math.expm1(self.delta * t) * size)).sum()
        return self.strength / self.steps * total
