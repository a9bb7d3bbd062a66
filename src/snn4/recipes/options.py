"""Options that several recipes share."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch

from snn4.core.errors import OptionError
from snn4.core.quantity import Learned
from snn4.neurons import euler, exponential
from snn4.recipes import members
from snn4.surrogates import Surrogate
from snn4.through_time import Route
from snn4.training import FitConfig

__all__ = ["NeuronOptions", "TrainingOptions", "command_line"]


@dataclasses.dataclass(frozen=True)
class NeuronOptions:
    """The neurons of the network. Where an option is None, the neuron's own default holds; LIF's stand in brackets."""

    kind: str = "lif"
    """Any spiking neuron of `snn4 list neurons`: lif, plif, if, da_lif, alif, tc_lif, klif, psn and so on."""
    settings: tuple[str, ...] = ()
    """Further arguments of the neuron, as name=value: beta=0.8, beta=learned:0.8 (training changes it), v_reset=none"""
    tau: float | None = None
    """Membrane time constant, in steps [2]."""
    learn_tau: bool = False
    """Learn one time constant a layer, as PLIF does."""
    v_threshold: float | None = None
    """A neuron fires when its membrane reaches this [1]."""
    v_reset: float | Literal["soft"] | None = None
    """soft subtracts the threshold after a spike; a number puts the membrane there (hard reset) [soft]."""
    detach_reset: bool = True
    """Treat the reset as a constant in the gradient, where the neuron leaves the choice."""
    decay: Literal["euler", "exponential"] | None = None
    """euler: what is left after a step is 1 - 1/tau; exponential: exp(-1/tau) [euler]."""
    surrogate: str | None = None
    """Stands for the spike's derivative [atan]: any of `snn4 list surrogates`, as atan, lsg, dspike, annealed, msg,
    sigmoid, fastsigmoid, superspike, triangle, rectangle, gaussian, multigaussian, doublegaussian, slayer."""
    surrogate_settings: tuple[str, ...] = ()
    """Arguments of the surrogate, as name=value: width=0.5, width=learned:0.5, base=triangle."""

    def factory(self, steps: int | None = None) -> Callable[[], torch.nn.Module]:
        """Makes a fresh neuron for each layer.

        Args:
            steps: of the sequences, for neurons that have weights for each.

        Raises:
            OptionError: an unknown neuron, surrogate or setting, an option that this neuron does not have, or a value
                out of range.
        """
        member = members.neuron_member("--neuron.kind", self.kind)
        given = self._arguments(member)
        if steps is not None and members.accepts(member, "steps"):
            given.setdefault("steps", steps)

        def build() -> torch.nn.Module:
            # a surrogate that learns belongs to one layer; neurons copy the one that they are given
            return members.make("--neuron.settings", member, given)

        with torch.random.fork_rng(devices=[]):
            build()  # a value out of range shows now, and not after the data was read
        return build

    def title(self, steps: int | None = None) -> str:
        """What tables call the neuron: its class, so that PLIF is an LIF that learns its tau.

        Args:
            steps: as `factory` takes it.

        Example:
            >>> NeuronOptions().title(), NeuronOptions(kind="alif").title()
            ('LIF', 'ALIF')
        """
        with torch.random.fork_rng(devices=[]):
            return type(self.factory(steps)()).__name__

    def _arguments(self, member: Callable[..., Any]) -> dict[str, Any]:
        """What the options say, as arguments of the neuron."""
        said: dict[str, Any] = {"v_threshold": self.v_threshold, "v_reset": self.v_reset}
        said["decay"] = {"euler": euler, "exponential": exponential, None: None}[self.decay]
        said["surrogate"] = self._surrogate()
        said["tau"] = self.tau
        if self.learn_tau:
            start = self.tau
            if start is None:
                start = members.default(member, "tau") if members.accepts(member, "tau") else 2.0
            said["tau"] = start if isinstance(start, Learned) else Learned(start)
        if self.learn_tau and member is members.kinds()["plif"]:
            said["tau"] = self.tau  # it learns its own
        given = {name: value for name, value in said.items() if value is not None}
        for name in given:
            if not members.accepts(member, name):
                raise self._unfit(member, name)
        if given.get("v_reset") == "soft":
            given["v_reset"] = None
        if members.accepts(member, "detach_reset"):
            given["detach_reset"] = self.detach_reset
        return given | members.settings("--neuron.settings", self.settings, member)

    def _unfit(self, member: Callable[..., Any], name: str) -> OptionError:
        """Why an option and this neuron do not go together. Who gave it, the user or the recipe, is not known here."""
        value, dashed = getattr(self, name), name.replace("_", "-")
        learned = name == "tau" and self.learn_tau
        words = "--neuron.learn-tau" if learned and value is None else f"--neuron.{dashed} {value}"
        away = [f"--neuron.{dashed} None"] * (value is not None) + ["--neuron.no-learn-tau"] * learned
        return OptionError(
            f"{words} is set for --neuron.kind {self.kind}, that is {member.__name__}, which has no {name}",
            "options that this neuron has",
            f"Leave it away: {' '.join(away)}. Arguments of its own go into --neuron.settings.",
        )

    def _surrogate(self) -> Surrogate | None:
        if self.surrogate is None:
            if self.surrogate_settings:
                raise OptionError(
                    "--neuron.surrogate-settings is set without a surrogate",
                    "the surrogate that they are for",
                    "Name it: --neuron.surrogate atan.",
                )
            return None
        member, option = members.surrogate_member("--neuron.surrogate", self.surrogate), "--neuron.surrogate-settings"
        return members.make(option, member, members.settings(option, self.surrogate_settings, member))


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How the networks are trained, all of them in the same way."""

    batch_size: int = 128
    """Samples a step of the optimiser."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    learning_rate: float = 2e-3
    """The highest one, after the warm-up; it then falls to 0 as half a cosine."""
    neuron_rate: float = 1.0
    """What neurons learn (time constants, thresholds, widths of surrogates) learns so many times as fast."""
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
    """Move training images by up to so many pixels, sequences by up to so many stored frames and channels."""
    flip: bool = False
    """Mirror half of the training images."""
    cutout: int = 0
    """Blank out one square of so many pixels in each training image, with the data's mean; 0 for none."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where all networks are trained and tested: the CPU, or a GPU of NVIDIA with the data set in its memory."""
    threads: int | None = None
    """CPU threads of torch; None leaves its own choice. Small networks are fastest with 1."""
    route: str = "bptt"
    """How the SNN is differentiated through time: any of `snn4 list routes`, as bptt, sltt, ottt, eprop, dsr."""
    route_settings: tuple[str, ...] = ()
    """Arguments of the route, as name=value: truncate=2 (bptt), k=2 (sltt), first=trace (ottt)."""
    online: Literal["no", "batch", "step"] = "no"
    """Train the SNN with time outermost, in memory that does not grow with T, where the route can: one step of the
    optimiser a batch, or one at every step."""

    def through_time(self) -> Route:
        """The route of the SNN.

        Raises:
            OptionError: an unknown route or setting, or a value out of range.
        """
        member = members.route_member("--train.route", self.route)
        option = "--train.route-settings"
        return members.make(option, member, members.settings(option, self.route_settings, member))

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
