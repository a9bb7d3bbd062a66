"""How the networks of a comparison are trained: all alike, the SNN perhaps with fewer time steps at first.

Weights that were found with one step cost a fraction of the time, and are a good place to begin with several from: the
epochs that are left have a learning rate of their own, lower and falling to zero again. Both parts count as the SNN's
training, so that its ANN has as many epochs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from snn4.core.errors import OptionError
from snn4.data import Split
from snn4.training import FitConfig, Fitted, Task, fit
from snn4.training.weights import load_state, state_of

if TYPE_CHECKING:
    from snn4.recipes.comparison import Experiment, ImageConfig, RunConfig

__all__ = ["First", "begin", "fit_configs", "together"]


@dataclasses.dataclass(frozen=True)
class First:
    """A training with fewer time steps, from whose weights the SNN's own begins.

    Args:
        epochs: of all that the SNN has.
        steps: time steps meanwhile.
        later: factor of the learning rate in the epochs that are left.
    """

    epochs: int
    steps: int
    later: float


def fit_configs(experiment: Experiment, config: RunConfig) -> dict[str, FitConfig]:
    """How long and with what each network is trained; the SNN in the epochs that its first part leaves.

    Raises:
        OptionError: options out of range, or a GPU where there is none.
    """
    if config.train.device == "cuda" and not torch.cuda.is_available():
        advice = "Leave --train.device away."
        if getattr(type(config), "small", None) is not None:
            advice = "--small is for a CPU; --train.device cpu trains the same network there, for days."
        raise OptionError(
            f"{experiment.recipe} is to train on a GPU, and torch sees none",
            "a GPU of NVIDIA and torch for CUDA",
            advice,
        )
    usual = config.train if experiment.timed is None else experiment.timed.train
    # the opponents have no state, and so no time to put outermost
    usual = dataclasses.replace(usual, online="no")
    found = {name: (config.train if name == "snn" else usual).fit_config(config.epochs) for name in experiment.networks}
    first = experiment.first
    if first is None or first.epochs == 0:
        return found
    if not 0 < first.epochs < config.epochs or first.later <= 0:
        raise OptionError(
            f"--first-epochs got {first.epochs} of {config.epochs} epochs, --later {first.later:g}",
            "fewer than all epochs, and a factor above 0",
            "0 trains with all time steps from the beginning.",
        )
    snn = found["snn"]
    rate, epochs = first.later * snn.learning_rate, config.epochs - first.epochs
    return found | {"snn": dataclasses.replace(snn, epochs=epochs, learning_rate=rate)}


def begin(
    experiment: Experiment,
    config: RunConfig,
    name: str,
    net: torch.nn.Module,
    task: Task,
    parts: tuple[Split, Split],
    how: Mapping[str, Any],
) -> Fitted | None:
    """Train the SNN's twin with fewer steps and take its weights over; `None` where nothing of that kind is wanted.

    Args:
        experiment: its `first` says how.
        config: the options.
        name: of the network; the opponents of the SNN have no steps.
        net: gets the weights.
        task: as with all steps.
        parts: training and validation split.
        how: further arguments of `fit`.
    """
    from snn4.recipes.comparison import make_networks

    first = experiment.first
    if name != "snn" or first is None or first.epochs == 0:
        return None
    # pyright cannot know that these options are a dataclass with steps
    few = cast("RunConfig", dataclasses.replace(cast("Any", cast("ImageConfig", config)), steps=first.steps))
    twin = make_networks(dataclasses.replace(experiment, networks=("snn",)), few)["snn"]
    fitted = fit(twin, task, *parts, config.train.fit_config(first.epochs), name="snn_first", **how)
    load_state(net, *state_of(twin), f"the SNN with {first.steps} steps")
    return fitted


def together(first: Fitted | None, second: Fitted) -> Fitted:
    """Both parts of a training as one; the best epoch is the second part's, counted from its own beginning.

    Example:
        >>> part = Fitted(3, 2, 0.5, 1.0, 10.0, 30, False, ())
        >>> both = together(part, part)
        >>> both.epochs_run, both.best_epoch, both.seconds, both.steps
        (6, 2, 20.0, 60)
    """
    if first is None:
        return second
    return dataclasses.replace(
        second,
        epochs_run=first.epochs_run + second.epochs_run,
        seconds=first.seconds + second.seconds,
        steps=first.steps + second.steps,
        history=(*first.history, *second.history),
    )
