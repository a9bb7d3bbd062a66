"""How the neurons of a layer of exact spike times fare: who is silent, who is cut off, whose gradient explodes.

    silent       neurons that fire for no sample
    truncated    (sample, neuron) pairs that would have fired more than K times
    tangential   spikes at which the potential only grazes the threshold, dV/dt < 1e-3 v_threshold / tau: their times
                 jump when a weight changes, and their gradient, which is divided by dV/dt, says little

tau is the smaller finite one of the layer's time constants, or the window where both are infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from snn4.core.report import table
from snn4.timing.types import Constants, Fired

__all__ = ["LayerActivity", "activity", "activity_table", "advice"]

TANGENTIAL = 1e-3
# shares above which a layer is worth a warning
_SILENT, _TRUNCATED, _TANGENTIAL = 0.5, 0.05, 0.01


@dataclass(frozen=True)
class LayerActivity:
    """What one layer did for some samples.

    Args:
        neurons: N.
        samples: B.
        spikes: spikes a neuron and sample.
        active: share of (sample, neuron) pairs that fire at all.
        several: share of pairs that fire more than once.
        silent: share of neurons that fire for no sample.
        truncated: share of pairs cut off at K; with K = 1 that is what the network is meant to do.
        tangential: share of spikes that graze the threshold.
        max_spikes: K.
    """

    neurons: int
    samples: int
    spikes: float
    active: float
    several: float
    silent: float
    truncated: float
    tangential: float
    max_spikes: int

    def to_dict(self) -> dict[str, float]:
        """Ready for JSON."""
        return {
            "neurons": self.neurons,
            "spikes_per_neuron": self.spikes,
            "active_share": self.active,
            "several_share": self.several,
            "silent_share": self.silent,
            "truncated_share": self.truncated,
            "tangential_share": self.tangential,
        }


def activity(fired: Fired, constants: Constants, window: float = 1.0) -> LayerActivity:
    """The shares of one batch.

    Args:
        fired: what the layer's engine found.
        constants: the layer's.
        window: when it ends.

    Example:
        >>> import torch
        >>> times = torch.tensor([[[0.1, 0.2], [torch.inf, torch.inf]]])
        >>> none = torch.zeros(1, 0)
        >>> fired = Fired(times, torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.zeros(1, 2).bool(), none, none)
        >>> found = activity(fired, Constants(1.0, 0.5, 1.0))
        >>> found.spikes, found.silent, found.several
        (1.0, 0.5, 0.5)
    """
    spike = fired.exists
    count = fired.counts
    pairs, neurons = count.numel(), count[:1].numel()
    finite = [tau for tau in (float(constants.tau_v), float(constants.tau_i)) if math.isfinite(tau)]
    graze = TANGENTIAL * float(constants.v_threshold) / min(finite, default=window)
    spikes = int(count.sum())
    return LayerActivity(
        neurons=neurons,
        samples=spike.shape[0],
        spikes=spikes / max(1, pairs),
        active=int((count > 0).sum()) / max(1, pairs),
        several=int((count > 1).sum()) / max(1, pairs),
        silent=int((count.sum(0) == 0).sum()) / max(1, neurons),
        truncated=int(fired.truncated.sum()) / max(1, pairs),
        tangential=int((spike & (fired.slope < graze)).sum()) / max(1, spikes),
        max_spikes=spike.shape[-1],
    )


def activity_table(layers: dict[str, LayerActivity]) -> str:
    """A table for reading, one line a layer.

    Example:
        >>> print(activity_table({"spikes1": LayerActivity(400, 100, 0.8, 0.6, 0.1, 0.02, 0.0, 0.0, 8)}))
        layer    neurons  spikes a neuron  active  several  silent  truncated  tangential
        spikes1  400      0.8              60%     10%      2%      0%         0%
    """
    header = ["layer", "neurons", "spikes a neuron", "active", "several", "silent", "truncated", "tangential"]
    rows = [
        [name, str(a.neurons), f"{a.spikes:.3g}"]
        + [f"{100 * share:.3g}%" for share in (a.active, a.several, a.silent, a.truncated, a.tangential)]
        for name, a in layers.items()
    ]
    return table(header, rows)


def advice(found: LayerActivity) -> dict[str, str]:
    """What about a layer's activity is worth a warning: its kind, and a sentence with advice.

    Example:
        >>> list(advice(LayerActivity(400, 100, 0.1, 0.1, 0.0, 0.8, 0.0, 0.0, 8)))
        ['silent']
    """
    said: dict[str, str] = {}
    if found.silent > _SILENT:
        said["silent"] = (
            f"{found.silent:.0%} of its {found.neurons} neurons fired for no sample of a batch, and no loss on spike "
            "times reaches them. Add a dead-neuron penalty, or raise the mean of the first weights."
        )
    if found.max_spikes > 1 and found.truncated > _TRUNCATED:
        said["truncated"] = (
            f"{found.truncated:.1%} of its neurons would have fired more often than max_spikes allows, which changes "
            "what they compute. Raise max_spikes, or scale down the weights."
        )
    if found.tangential > _TANGENTIAL:
        said["tangential"] = (
            f"{found.tangential:.1%} of its spikes only graze the threshold, where gradients explode. "
            "Clip the gradient (clip_norm), or lower the learning rate."
        )
    return said
