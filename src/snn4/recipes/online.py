"""Online routes on delayed recall: OTTT, e-prop and SLTT beside BPTT, in the ordinary loop and on an endless stream.

A symbol, a silence, a cue: the answer hangs on a spike of long ago, and there is a loss at the last step alone. SLTT,
which sees no past, can only use what the membranes happen to keep. For one hidden layer, OTTT with the trace in the
first layer and e-prop are BPTT in theory.

On the stream one trial follows the other, nothing is ever set back, and each piece goes on from the state that the
last one left. Accuracy there is that of a stream which the network has not seen, after learning was switched off.

Paper: [xiao2022ottt, bellec2020eprop, meng2023sltt, hochreiter1997lstm], the last for the task.
Differs from the papers: one task, one small network and our options for all routes. OTTT's first layer learns from the
trace and its readout from the present spikes, which are not the settings of its authors' code.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError
from snn4.core.states import States
from snn4.data import Split, delayed_recall
from snn4.models import mlp
from snn4.objectives import cross_entropy
from snn4.recipes.costs import step_cost
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.study import Study, seeded, study_runner
from snn4.recipes.tables import Cells, Row, percent
from snn4.through_time import BPTT, OTTT, SLTT, EProp, Route, run, use_route
from snn4.training import FitConfig, Task, online

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "main"]

TITLE = "OTTT, e-prop and SLTT beside BPTT: delayed recall, in the loop and on a stream"
EXPECTED = {"memory growth of sltt, ottt and eprop, outputs left out, at most": 0.1}

ROUTES: dict[str, Route] = {
    "bptt": BPTT(),
    "sltt": SLTT(),
    "ottt": OTTT(first="trace", readout="input"),
    "eprop": EProp(),
}
_TESTED = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the recipe."""

    seed: int = 0
    """The first seed."""
    seeds: int = 3
    """How many trainings of each kind, counted up from the first."""
    epochs: int = 20
    """Passes over the training trials; a stream is as long as all of them together."""
    steps: int = 20
    """Steps of a trial: the symbol, the silence, the cue."""
    symbols: int = 4
    """How many different ones there are."""
    samples: int = 2000
    """Training trials; a quarter as many choose, and as many test."""
    lengths: tuple[int, ...] = (20, 40, 80, 160)
    """Steps of the trials at which memory is measured."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden layers."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=10.0, decay="exponential", surrogate="triangle")
    )
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(batch_size=50, learning_rate=5e-3, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(epochs=1, seeds=1, steps=4, samples=100, lengths=(4, 8), hidden=(8,))


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Measure memory, train along every route in the loop and on a stream, then write the picture and the table."""
    if config.seeds < 1 or not config.lengths or min(config.steps, *config.lengths) < 2 or config.samples < 4:
        raise OptionError(
            f"--seeds got {config.seeds}, --steps {config.steps}, --lengths {config.lengths}, --samples "
            f"{config.samples}",
            "a seed, trials of at least 2 steps, and at least 4 of them",
        )
    settled("online", config, ROUTE, f"It trains along {', '.join(ROUTES)}.")
    study.begin()
    rows = [
        study.row(f"cost-{name}-T{steps}", lambda _, n=name, t=steps: _measure(config, n, t))
        for steps in config.lengths
        for name in ROUTES
    ]
    for seed in range(config.seed, config.seed + config.seeds):
        mine = dataclasses.replace(config, seed=seed)
        for name in ROUTES:
            rows.append(study.row(f"{name}-loop-seed{seed}", lambda f, n=name, c=mine: _in_the_loop(study, c, n, f)))
            if name != "bptt":
                rows.append(study.row(f"{name}-stream-seed{seed}", lambda _, n=name, c=mine: _on_a_stream(c, n)))
    return study.end(rows, tables(rows), draw(rows), figures=figures(rows))


main = study_runner("online", TITLE, carry_out)


def _net(config: Config, name: str) -> torch.nn.Module:
    neuron = config.neuron.factory()
    net = seeded(lambda: mlp(config.symbols + 1, config.hidden, config.symbols, neuron), config.seed)
    return use_route(net, ROUTES[name])


def _task(config: Config) -> Task:
    """The trials as they are, and a class where one is wanted."""

    def loss(answers: Tensor, classes: Tensor) -> Tensor:
        return cross_entropy(answers, classes, label_smoothing=config.train.label_smoothing)

    return Task(lambda batch, _generator: batch.transpose(0, 1), lambda ys: ys, loss)


def _how(config: Config, name: str) -> FitConfig:
    return dataclasses.replace(config.train.fit_config(config.epochs), online="no" if name == "bptt" else "batch")


def _trials(config: Config, count: int, seed: int, steps: int | None = None) -> Split:
    delay = (config.steps if steps is None else steps) - 2
    return delayed_recall(count, delay, Generator().manual_seed(seed), symbols=config.symbols)


def _measure(config: Config, name: str, steps: int) -> Row:
    """Memory and time of one batch."""
    batch = _trials(config, config.train.batch_size, config.seed, steps)
    found = step_cost(_net(config, name), _task(config), batch, _how(config, name), repeats=3)
    outputs = steps * config.train.batch_size * config.symbols * 4
    measured = {"peak_bytes": found.peak_bytes, "ms": found.milliseconds}
    return {"kind": "cost", "route": name, "steps": steps, "output_bytes": outputs, **measured}


def _in_the_loop(study: Study, config: Config, name: str, folder: Path) -> Row:
    """Train with `fit`."""
    counts = (config.samples, max(1, config.samples // 4), config.samples)
    train, val, test = (_trials(config, count, 3 * config.seed + n) for n, count in enumerate(counts))
    parts = (train, val, test)
    row = study.learn(folder, _net(config, name), _task(config), parts, _how(config, name), seed=config.seed)
    return {"kind": "loop", "route": name, "steps": config.steps, **row}


def _on_a_stream(config: Config, name: str) -> Row:
    """Learn from trial after trial, nothing set back in between, then listen to another stream without learning."""
    net, options = _net(config, name), config.train
    pieces = config.epochs * -(-config.samples // options.batch_size)
    optimiser = torch.optim.AdamW(net.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, pieces)
    start = time.perf_counter()
    state: States | None = None
    for xs, classes in _stream(config, pieces, 2 * config.seed):
        optimiser.zero_grad()
        state = online(net, xs, _step_loss, targets=classes, state=state).state
        if options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), options.clip_norm)
        optimiser.step()
        schedule.step()
    seconds = time.perf_counter() - start
    right, asked = 0, 0
    state = None
    with torch.no_grad():
        for xs, classes in _stream(config, _TESTED, 2 * config.seed + 1):
            ys, state = run(net, xs, state)
            known = classes >= 0
            right += int((ys.argmax(-1) == classes)[known].sum())
            asked += int(known.sum())
    return {
        "kind": "stream",
        "route": name,
        "steps": config.steps,
        "seed": config.seed,
        "test_accuracy": right / asked,
        "train_seconds": seconds,
        "step_ms": 1000 * seconds / pieces,
    }


def _step_loss(y: Tensor, classes: Tensor) -> Tensor | None:
    """Of the streams that want an answer at this step."""
    known = classes >= 0
    return torch.nn.functional.cross_entropy(y[0][known], classes[known]) if bool(known.any()) else None


def _stream(config: Config, pieces: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """So many pieces of an endless stream, a batch of streams side by side. Shapes (T, B, C) and (T, B)."""
    for piece in range(pieces):
        trials = _trials(config, config.train.batch_size, (seed + 1) * 1_000_003 + piece)
        yield trials.inputs.transpose(0, 1), trials.targets.T


def _of(rows: list[Row], kind: str, route: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind and row["route"] == route]


def figures(rows: list[Row]) -> dict[str, float]:
    """How much more memory the longest trial needs than the shortest, for each route, without the network's outputs.

    The outputs of all steps are what `online` is asked for; in a network as small as this they are not small.
    """
    found: dict[str, float] = {}
    for name in ROUTES:
        short, *_, long = (row["peak_bytes"] - row["output_bytes"] for row in _of(rows, "cost", name))
        found[f"memory growth of {name}, outputs left out"] = long / short - 1
    return found


def tables(rows: list[Row]) -> dict[str, Cells]:
    """Accuracy in the loop and on the stream for each seed, and memory for each length."""
    lengths = [row["steps"] for row in _of(rows, "cost", "bptt")]
    header = ["route", "in the loop, test accuracy, %", "on a stream, %", *(f"KiB, T = {steps}" for steps in lengths)]
    lines: list[list[str]] = []
    for name in ROUTES:
        accuracies = [
            ", ".join(percent(row["test_accuracy"]) for row in _of(rows, kind, name)) or "-"
            for kind in ("loop", "stream")
        ]
        lines.append([name, *accuracies, *(f"{row['peak_bytes'] / 1024:,.0f}" for row in _of(rows, "cost", name))])
    return {"delayed recall": [header, *lines]}


def draw(rows: list[Row]) -> dict[str, Figure]:
    """Memory against T, and accuracy along each route."""
    from snn4.view.pictures import study
    from snn4.view.pictures.canvas import figure

    drawing = figure(8.2, 3.2)
    left, right = drawing.subplots(1, 2)
    lengths = [str(row["steps"]) for row in _of(rows, "cost", "bptt")]
    memory = {name: [[row["peak_bytes"] / 1024] for row in _of(rows, "cost", name)] for name in ROUTES}
    study(lengths, memory, across="time steps", up="peak memory (KiB)", ax=left, title="")
    left.set_yscale("log")
    kinds = {"loop": "in the loop", "stream": "on a stream"}
    names = [name for name in ROUTES if name != "bptt"]
    accuracy = {
        words: [[100 * row["test_accuracy"] for row in _of(rows, kind, name)] for name in names]
        for kind, words in kinds.items()
    }
    accuracy["bptt"] = [[100 * row["test_accuracy"] for row in _of(rows, "loop", "bptt")]] * len(names)
    study(names, accuracy, across="route", up="test accuracy (%)", ax=right, title="")
    return {"delayed recall": drawing}
