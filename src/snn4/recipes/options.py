"""Options that several recipes share."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch

from snn4.core.errors import OptionError, suggest
from snn4.core.quantity import Learned
from snn4.neurons import LIF, euler, exponential
from snn4.surrogates import ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Surrogate, Triangle
from snn4.training import FitConfig

__all__ = ["NeuronOptions", "TrainingOptions", "command_line"]

_SURROGATES: dict[str, type[Surrogate]] = {
    s.__name__.lower(): s for s in (ATan, FastSigmoid, Gaussian, MultiGaussian, Rectangle, Sigmoid, Triangle)
}


@dataclasses.dataclass(frozen=True)
class NeuronOptions:
    """The LIF neurons of the network."""

    tau: float = 2.0
    """Membrane time constant, in steps."""
    learn_tau: bool = False
    """Learn one time constant a layer, as PLIF does."""
    v_threshold: float = 1.0
    """A neuron fires when its membrane reaches this."""
    v_reset: float | None = None
    """None subtracts the threshold after a spike (soft reset); a number puts the membrane there (hard reset)."""
    detach_reset: bool = True
    """Treat the reset as a constant in the gradient."""
    decay: Literal["euler", "exponential"] = "euler"
    """euler: what is left after a step is 1 - 1/tau; exponential: exp(-1/tau)."""
    surrogate: str = "atan"
    """Stands for the spike's derivative: atan, fastsigmoid, gaussian, multigaussian, rectangle, sigmoid, triangle."""

    def factory(self) -> Callable[[], torch.nn.Module]:
        """Makes a fresh neuron for each layer.

        Raises:
            OptionError: an unknown surrogate, or a value out of range.
        """
        kind = _SURROGATES.get(self.surrogate.lower())
        if kind is None:
            raise OptionError(
                f"--neuron.surrogate got {self.surrogate!r}", "a surrogate", suggest(self.surrogate, list(_SURROGATES))
            )

        def build() -> LIF:
            return LIF(
                Learned(self.tau) if self.learn_tau else self.tau,
                self.v_threshold,
                self.v_reset,
                kind(),
                detach_reset=self.detach_reset,
                decay=exponential if self.decay == "exponential" else euler,
            )

        build()  # a value out of range shows now, and not after the data was read
        return build


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How the networks are trained, all of them in the same way."""

    batch_size: int = 128
    """Samples a step of the optimiser."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    learning_rate: float = 2e-3
    """The highest one, after the warm-up; it then falls to 0 as half a cosine."""
    weight_decay: float = 1e-2
    """Decay of the weights."""
    warmup_epochs: float = 0.0
    """For how long the learning rate rises first."""
    clip_norm: float | None = 1.0
    """Longest gradient; None leaves it as it is."""
    autocast: bool = False
    """Compute in bfloat16 where torch holds that safe."""
    patience: int | None = None
    """Stop after so many epochs without a better validation accuracy."""
    ema: float | None = None
    """Decay of a moving average of the weights, used in their place."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    shift: int = 0
    """Move training images by up to so many pixels."""
    flip: bool = False
    """Mirror half of the training images."""
    threads: int | None = None
    """CPU threads of torch; None leaves its own choice. Small networks are fastest with 1."""

    def fit_config(self, epochs: int) -> FitConfig:
        """As the training loop takes it."""
        own = {f.name for f in dataclasses.fields(FitConfig)}
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in own}
        return FitConfig(epochs=epochs, **given)


def command_line(recipe: str, config: Any) -> str:
    """The command that makes this run again: the seed, and every option that is not the default.

    Example:
        >>> from snn4.recipes.digits import Config
        >>> command_line("digits", Config(seed=2, hidden=(64,), neuron=NeuronOptions(tau=4.0, detach_reset=False)))
        'snn4 run digits --seed 2 --hidden 64 --neuron.tau 4.0 --neuron.no-detach-reset'
    """
    words = ["--seed", str(config.seed), *_changed(config, type(config)(), "--")]
    return shlex.join(["snn4", "run", recipe, *words])


def _changed(options: Any, default: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(options):
        name = field.name.replace("_", "-")
        value, usual = getattr(options, field.name), getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            yield from _changed(value, usual, f"{prefix}{name}.")
        elif value == usual or field.name == "seed":
            continue
        elif isinstance(value, bool):
            yield f"{prefix}{name}" if value else f"{prefix}no-{name}"
        else:
            values: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
            yield from (f"{prefix}{name}", *map(str, values))
