"""DH-LIF: a LIF behind dendritic branches, each with a memory of its own length.

    d_k[t] = alpha_k d_k[t-1] + (1 - alpha_k) x_k[t]                            branches k = 1..K
    v[t] = beta v[t-1] + (1 - beta) sum_k d_k[t] - v_threshold s[t-1];          s[t] = H(v[t] - v_threshold)
    alpha_k = sigmoid(tau_n),  beta = sigmoid(tau_m)

Paper: [zheng2024dhlif]. In the paper each branch sees a part of the inputs, as behind a
`snn4.nn.DendriticLinear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.errors import OptionError, ShapeError
from snn4.core.quantity import Learned, Value, between
from snn4.core.states import state
from snn4.neurons.spiking import SpikingNeuron
from snn4.surrogates import MultiGaussian, Surrogate
from snn4.through_time.staged import Stages

__all__ = ["DHLIF", "branch_mask", "dh_lif"]

_DECAYS = between(0, 1, curve="sigmoid")
# sigmoid(4) and sigmoid(2), the middle of the paper's ranges
_BRANCH, _SOMA = Learned(0.982), Learned(0.881)


class DHLIF(SpikingNeuron):
    """LIF with dendritic heterogeneity. The branches come first among the features, and are summed.

    Args:
        alpha: what is left of a branch after one step, 0 to 1; a float, a tensor (K, *features), or learned.
        beta: what is left of the membrane, 0 to 1; a float, a tensor (*features), or learned.
        v_threshold: fires at v >= v_threshold; a float, a tensor (*features), or learned.
        surrogate: default `MultiGaussian()`, the paper's.
        detach_reset: whether the reset is a constant for the gradient.

    Shape: (T, B, K, *features) -> (T, B, *features).

    Example:
        >>> neuron = DHLIF(alpha=torch.tensor([[0.0], [0.9]]), beta=0.5)
        >>> neuron(torch.ones(6, 1, 2, 1)).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    """

    State = state("d", "v", "s")
    alpha: float | Tensor
    beta: float | Tensor

    def __init__(
        self,
        alpha: Value = _BRANCH,
        beta: Value = _SOMA,
        v_threshold: Value = 1.0,
        surrogate: Surrogate | None = None,
        *,
        detach_reset: bool = False,
    ) -> None:
        super().__init__(v_threshold, None, surrogate or MultiGaussian(), detach_reset=detach_reset)
        self.quantity("alpha", alpha, _DECAYS)
        self.quantity("beta", beta, _DECAYS)

    @property
    def decay_of_v(self) -> float | Tensor:
        """beta."""
        return self.beta

    def check(self, xs: Tensor) -> None:
        """Refuse an input without an axis for the branches."""
        if xs.ndim == 3:
            raise ShapeError(
                f"DHLIF got {tuple(xs.shape)}",
                "(T, B, K, *features), with K branches",
                "Put snn4.nn.DendriticLinear(inputs, features, branches=K) before it.",
            )
        super().check(xs)

    def check_quantities(self, features: Sequence[int]) -> None:
        """Those of the branches on all axes, the others without the axis of the branches."""
        self.check_quantity("alpha", features)
        for name in ("beta", "v_threshold"):
            self.check_quantity(name, features[1:])
        self.surrogate.check_quantities(features[1:])

    def initial(self, x: Float[Tensor, "B K *features"]) -> Any:
        """At rest. Shape of x: (B, K, *features)."""
        soma = torch.zeros_like(x[:, 0])
        return self.State(torch.zeros_like(x), soma, soma)

    def step(self, x: Float[Tensor, "B K *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        """The branches, then the membrane with the reset of the last spike, then fire."""
        alpha, beta = self.alpha, self.beta
        d = alpha * state.d + (1 - alpha) * x
        r = state.s.detach() if self.detach_reset else state.s
        v = beta * state.v + (1 - beta) * d.sum(1) - r * self.v_threshold
        s = self.spike(v - self.v_threshold)
        return s, self.State(d, v, s)

    def stages(self) -> Stages | None:
        """The branches, which hear nothing of the soma; their sum; the soma."""
        # of a class derived from this one, which may step in another way, nothing is known
        return Stages(_seen_as(DHLIFBranches, self), _sum, _seen_as(DHLIFSoma, self)) if type(self) is DHLIF else None


class DHLIFBranches(DHLIF):
    """The branches of a DHLIF. Shape: (T, B, K, *features), kept."""

    State = state("d")
    alphabet = None

    def step(self, x: Float[Tensor, "B K *features"], state: Any) -> tuple[Float[Tensor, "B K *features"], Any]:
        alpha = self.alpha
        d = alpha * state.d + (1 - alpha) * x
        return d, self.State(d)


class DHLIFSoma(DHLIF):
    """What follows their sum. Shape: (T, B, *features), kept."""

    State = state("v", "s")

    def step(self, x: Float[Tensor, "B *features"], state: Any) -> tuple[Float[Tensor, "B *features"], Any]:
        beta = self.beta
        r = state.s.detach() if self.detach_reset else state.s
        v = beta * state.v + (1 - beta) * x - r * self.v_threshold
        s = self.spike(v - self.v_threshold)
        return s, self.State(v, s)


def _sum(ds: Float[Tensor, "N K *features"]) -> Float[Tensor, "N *features"]:
    return ds.sum(1)


def _seen_as(kind: type[DHLIF], neuron: DHLIF) -> DHLIF:
    """The same neuron, its tensors and its settings, with another step."""
    twin = kind.__new__(kind)
    vars(twin).update(vars(neuron))
    return twin


def dh_lif(
    features: int,
    branches: int = 8,
    v_threshold: Value = 1.0,
    *,
    low: float = 2.0,
    high: float = 6.0,
    generator: torch.Generator | None = None,
) -> DHLIF:
    """DH-LIF with decays learned per branch and neuron, drawn as in the paper.

    Paper: [zheng2024dhlif]

    Args:
        features: neurons of the layer.
        branches: branches of each.
        v_threshold: the threshold.
        low: the lower end of tau_n, of which the sigmoid is the decay of a branch.
        high: the upper end. The soma's is drawn from 0 to 4.
        generator: draws; by default torch's own.

    Example:
        >>> sum(p.numel() for p in dh_lif(64, 8).parameters())
        576
    """
    if branches < 1 or features < 1 or not low < high:
        raise OptionError(f"dh_lif got {features=}, {branches=}, {low=}, {high=}", "counts >= 1 and low < high")
    tau_n = low + (high - low) * torch.rand(branches, features, generator=generator)
    tau_m = 4 * torch.rand(features, generator=generator)
    return DHLIF(Learned(tau_n.sigmoid()), Learned(tau_m.sigmoid()), v_threshold)


def branch_mask(
    inputs: int, features: int, branches: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "outputs inputs"]:
    """Which inputs each branch sees: for every neuron a random 1 / K of them, each input in one branch.

    Multiply the weight of a `Linear(inputs, branches * features)` by it, and reshape its output to (K, features).

    Shape: (branches * features, inputs), of 0 and 1; branch k of neuron n is row k * features + n.

    Example:
        >>> mask = branch_mask(8, 3, 4, generator=torch.Generator().manual_seed(0)).view(4, 3, 8)
        >>> mask.sum(0).unique().tolist(), mask.sum(2).unique().tolist()
        ([1.0], [2.0])
    """
    if branches < 1 or inputs < branches or features < 1:
        raise OptionError(f"branch_mask got {inputs=}, {features=}, {branches=}", "at least one input a branch")
    places = torch.rand(features, inputs, generator=generator).argsort(1).argsort(1)
    owner = places * branches // inputs
    return (owner == torch.arange(branches).view(-1, 1, 1)).float().flatten(0, 1)
