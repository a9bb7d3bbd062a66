"""LTMD's neuron: a LIF whose threshold is learned, one a layer.

    v[t] = beta v[t-1] + x[t];    s[t] = H(v[t] - v_threshold);    ds/dv_threshold = -psi

Behind a batch norm the threshold says nothing that the norm's own factors could not, but for the size of the reset.

Paper: [wang2022ltmd]
Differs from the paper: the threshold is e^k instead of tanh(k), so that it may also exceed 1.
"""

from __future__ import annotations

from snn4.core.quantity import Learned, Value
from snn4.neurons.lif import LIF
from snn4.surrogates import Surrogate

__all__ = ["ltmd"]


def ltmd(
    v_threshold: float = 0.5,
    tau: Value = 2.0,
    v_reset: float | None = 0.0,
    surrogate: Surrogate | None = None,
    *,
    detach_reset: bool = False,
    shape: tuple[int, ...] = (),
) -> LIF:
    """A LIF with a learned threshold.

    Args:
        v_threshold: where the threshold starts.
        tau: membrane time constant in steps.
        v_reset: `None` for a soft reset, a number for a hard one.
        surrogate: default `ATan()`.
        detach_reset: whether the reset is a constant for the gradient.
        shape: `()` as in the paper, or a shape for one threshold per channel or neuron.

    Example:
        >>> [name for name, _ in ltmd().named_parameters()]
        ['learned_v_threshold.raw']
    """
    return LIF(tau, Learned(v_threshold, shape), v_reset, surrogate, detach_reset=detach_reset)
