"""Floor 7: the training loop, its checkpoints and its alarms."""

from __future__ import annotations

from snn4.training.alarms import Alarm, Warns, check_rates, find_non_finite, heard_warnings
from snn4.training.answers import answered
from snn4.training.evaluation import Evaluation, evaluate
from snn4.training.fitted import Fitted
from snn4.training.interruption import Interrupted, OutOfTime, time_limit
from snn4.training.log import environment
from snn4.training.loop import fit
from snn4.training.optimiser import Average, make_optimiser
from snn4.training.outermost import Steps, check_route, online
from snn4.training.recording import recorded_spikes, spiking_layers
from snn4.training.schedule import learning_rate
from snn4.training.task import FitConfig, Task
from snn4.training.weights import load_weights, save_weights

__all__ = [
    "Alarm",
    "Average",
    "Evaluation",
    "FitConfig",
    "Fitted",
    "Interrupted",
    "OutOfTime",
    "Steps",
    "Task",
    "Warns",
    "answered",
    "check_rates",
    "check_route",
    "environment",
    "evaluate",
    "find_non_finite",
    "fit",
    "heard_warnings",
    "learning_rate",
    "load_weights",
    "make_optimiser",
    "online",
    "recorded_spikes",
    "save_weights",
    "spiking_layers",
    "time_limit",
]
