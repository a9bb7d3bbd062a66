"""Yin-Yang, the small task of the spike-time literature: four coordinates and a bias spike, three classes.

Paper: [kriener2022yinyang, wunderlich2021eventprop]
Differs from the paper: the potential of a readout at the end of the window decides, not the first output spike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from snn4.models import mlp, timing_mlp
from snn4.recipes.comparison import Experiment, runner
from snn4.recipes.options import TrainingOptions
from snn4.recipes.timed import TimingOptions, timed
from snn4.timing import Latency

__all__ = ["EXPECTED", "TITLE", "Config", "experiment", "main"]

TITLE = "Exact spike times on the Yin-Yang task: 5-200-3 (or --hidden 30)"
EXPECTED = {"snn.test_accuracy, 200 hidden": 0.981, "snn.test_accuracy, 30 hidden": 0.975}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """Of everything random: weights, splits, order, augmentation."""
    epochs: int = 150
    """Passes over the training split."""
    hidden: tuple[int, ...] = (200,)
    """Widths of the layers that fire."""
    limit: int | None = None
    """Use only so many training samples."""
    ann_learning_rate: float = 1e-3
    """Of the ANN and its quantised twin; all else is as for the SNN."""
    timing: TimingOptions = dataclasses.field(
        default_factory=lambda: TimingOptions(
            tau_v=None, tau_i=None, t_in=0.6, max_spikes=4, init_mean=0.0, init_std=8.0, min_slope=0.1
        )
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(
            learning_rate=2e-2, weight_decay=0.0, batch_size=32, ema=0.999, clip_norm=None
        )
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, hidden=(16,), limit=256)


def experiment(config: Config) -> Experiment:
    """What this recipe adds to the common course."""
    timing = config.timing

    def latency() -> Latency:
        # coordinates are times, zero among them: nothing is silent
        return Latency(timing.t_in, threshold=-1.0, invert=True, bias=0.0)

    def snn() -> torch.nn.Module:
        return timing_mlp(5, config.hidden, 3, timing.firing(), encoder=latency, drop=timing.drop)

    def ann(neuron: Callable[[], torch.nn.Module], steps: int) -> torch.nn.Module:
        return mlp(4, config.hidden, 3, neuron, steps=steps)

    widths = "-".join(map(str, (*config.hidden, 3)))
    words = f"MLP 5-{widths}, exact spike times (the ANN 4-{widths} with biases)"
    method = timed(snn, timing, config.train, config.ann_learning_rate)
    return Experiment("yinyang_times", TITLE, "yinyang", 1 / 6, words, ann, EXPECTED, method)


main = runner(experiment)
