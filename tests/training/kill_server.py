"""Trains a tiny network in child processes, and kills them on demand.

One line of JSON in, one line out. Torch is imported once, and the training runs in a fork, so that a kill costs
milliseconds. The parent never runs a backward pass: autograd's threads would not survive the fork.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import torch

from snn4.core import state
from snn4.data import Split
from snn4.surrogates import ATan
from snn4.through_time import Neuron
from snn4.training import FitConfig, Task, fit, make_optimiser, save_weights


class Leaky(Neuron):
    State = state("v")

    def __init__(self):
        super().__init__()
        self.leak = torch.nn.Parameter(torch.tensor(0.5))
        self.surrogate = ATan()

    def step(self, x, state):
        v = self.leak * state.v + x
        s = self.surrogate(v - 1.0)
        return s, self.State(v - s)


class Fold(torch.nn.BatchNorm1d):
    def forward(self, xs):
        return super().forward(xs.flatten(0, 1)).unflatten(0, xs.shape[:2])


def augment(batch, generator):
    # every source of random numbers that a user's code may draw from
    noise = torch.rand(batch.shape, generator=generator) + random.random() + float(np.random.rand())  # noqa: NPY002
    return batch + 0.1 * noise


def train(folder):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    net = torch.nn.Sequential(torch.nn.Linear(6, 12), Fold(12), Leaky(), torch.nn.Dropout(0.2), torch.nn.Linear(12, 3))
    inputs = torch.randn(60, 6)
    split = Split(inputs, (inputs[:, :3]).argmax(1))
    task = Task(
        encode=lambda x, g: x + 0.1 * torch.randn(3, *x.shape, generator=g),
        readout=lambda ys: ys.mean(0),
        loss=torch.nn.functional.cross_entropy,
        augment=augment,
    )
    config = FitConfig(epochs=5, batch_size=8, learning_rate=0.02, warmup_epochs=1, ema=0.9, checkpoint_steps=1)
    fitted = fit(net, task, split, split, config, seed=3, folder=folder, progress=False, log=lambda text: None)
    save_weights(net, folder / "final.safetensors", {"best_epoch": fitted.best_epoch, "steps": fitted.steps})


class Half:
    """A file whose owner dies in the middle of the first write."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        os._exit(9)


def die_at(turn):
    """Let the process end at the given file operation: half-way through a write, else before or after the others."""
    count = 0

    def wrap(name):
        real = getattr(os, name)

        def operation(*args, **kwargs):
            nonlocal count
            count += 1
            if count == turn and name == "fdopen":
                return Half(real(*args, **kwargs))
            if count == turn and turn % 2:
                os._exit(9)
            try:
                return real(*args, **kwargs)
            finally:
                if count == turn:
                    os._exit(9)

        setattr(os, name, operation)

    for name in ("fdopen", "fsync", "link", "unlink", "replace", "rename"):
        wrap(name)


def serve(request):
    folder = Path(request["folder"])
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            if "die_at" in request:
                die_at(request["die_at"])
            train(folder)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    deadline = started + request.get("kill_after", float("inf"))
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.0005)
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - started}


if __name__ == "__main__":
    torch.set_num_threads(1)
    # what torch imports on first use is imported here, not in every child
    make_optimiser(torch.nn.Linear(1, 1), FitConfig())
    for line in sys.stdin:
        print(json.dumps(serve(json.loads(line))), flush=True)
