"""Does training succeed from any initial weights? With the penalty on dead neurons, and without it.

    python benchmarks/initial_weights.py                              # five means, with and without, 5 epochs of MNIST
    python benchmarks/initial_weights.py --epochs 2 --limit 10000     # a look

The mean of the first weights of `multispike_mnist` is multiplied by -0.5, 0, 0.5, 1 and 2. Validation accuracy decides,
the test split is not read. A neuron is dead when it fires for no sample of the validation split. One JSON object a run
is appended to `benchmarks/results/initial_weights.jsonl`; runs that are in it are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import torch

from snn4.data import load
from snn4.recipes.comparison import make_networks, make_tasks, splits
from snn4.recipes.multispike_mnist import Config, experiment
from snn4.timing import dead_neurons, watch
from snn4.training import environment, fit

FACTORS = (-0.5, 0.0, 0.5, 1.0, 2.0)
OUT = Path(__file__).parent / "results" / "initial_weights.jsonl"


def dead_share(net: torch.nn.Module, inputs: torch.Tensor) -> float:
    """Share of hidden neurons that fire for no sample."""
    dead: torch.Tensor | None = None
    with torch.no_grad():
        for part in inputs.split(500):
            with watch(net) as seen:
                net(part[None] / 255)
            now = dead_neurons(seen[0].fired.times)
            dead = now if dead is None else dead & now
    assert dead is not None
    return float(dead.float().mean())


def one(factor: float, penalty: float, epochs: int, limit: int | None) -> dict[str, object]:
    """Train once and say what became of it."""
    usual = Config()
    timing = dataclasses.replace(usual.timing, init_mean=factor * usual.timing.init_mean, penalty=penalty)
    # without the augmentation: a few epochs are enough to tell success from failure
    train = dataclasses.replace(usual.train, shift=0)
    config = dataclasses.replace(usual, epochs=epochs, limit=limit, timing=timing, train=train)
    data = load("mnist")
    run = experiment(config)
    net = make_networks(run, config)["snn"]
    task = make_tasks(run, config, data)["snn"]
    learn, val = splits(data, run.validation, config)
    before = dead_share(net, val.inputs)
    fitted = fit(net, task, learn, val, config.train.fit_config(epochs), seed=config.seed, progress=False)
    return {
        "factor": factor,
        "penalty": penalty,
        "epochs": epochs,
        "limit": limit,
        "dead_before": before,
        "dead_after": dead_share(net, val.inputs),
        "val_accuracy_by_epoch": [row["val_accuracy"] for row in fitted.history],
        "val_accuracy": fitted.val_accuracy,
        "environment": environment(),
    }


def main() -> None:
    """Make the runs that are missing and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in OUT.read_text().splitlines()] if OUT.exists() else []
    strength = Config().timing.penalty
    for factor in FACTORS:
        for penalty in (strength, 0.0):
            wanted = {"factor": factor, "penalty": penalty, "epochs": given.epochs, "limit": given.limit}
            row = next((row for row in rows if wanted.items() <= row.items()), None)
            if row is None:
                row = one(factor, penalty, given.epochs, given.limit)
                with OUT.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            sys.stdout.write(
                f"mean x {factor:4g}  {'with' if penalty else 'no  '} penalty  dead {row['dead_before']:6.1%} -> "
                f"{row['dead_after']:6.1%}  validation {row['val_accuracy']:.2%}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
