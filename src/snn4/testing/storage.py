"""Laws of copies and files: what goes out comes back, bit for bit."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from snn4.core.states import States
from snn4.testing.compare import differs, differs_all
from snn4.testing.judge import law
from snn4.testing.subject import Subject
from snn4.through_time import run

__all__ = ["copies", "files", "states"]


@law("copies", "A deep copy, and a copy that loads the state_dict, give the same bits; a copy shares no memory.")
def copies(subject: Subject) -> Iterator[str]:
    """The second copy is spoilt first, so that what the state_dict lacks would show."""
    neuron, xs = subject.neuron(), subject.inputs()
    ys = neuron(xs)
    twin = copy.deepcopy(neuron)
    yield from differs("outputs of a deep copy", twin(xs), ys)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1.25).add_(0.125)
    yield from differs("outputs of the original, after its copy was changed", neuron(xs), ys)
    twin.load_state_dict(neuron.state_dict())
    yield from differs("outputs of a changed copy that loaded the state_dict", twin(xs), ys)


@law("states", "A state maps over dtypes, and a part of a batch goes on with its part of the state.")
def states(subject: Subject) -> Iterator[str]:
    """`States.to`, `States.select`, `States.detach`."""
    neuron, xs = subject.neuron(), subject.inputs()
    half = subject.steps // 2
    _, middle = run(neuron, xs[:half])
    ys, last = run(neuron, xs[half:], middle)
    there_and_back = middle.to(torch.float64).to(torch.float32)
    yield from differs_all("the state after float64 and back", there_and_back[""], middle[""])
    yield from differs("outputs from a detached state", run(neuron, xs[half:], middle.detach())[0], ys)
    some, last_of_some = run(neuron, xs[half:, 1:], middle.select(slice(1, None)))
    # functions such as exp may round the last bits differently at another place of a vector
    yield from differs("outputs of some items from their part of the state", some, ys[:, 1:], 1e-6)
    yield from differs_all("the last state of some items", last_of_some[""], last.select(slice(1, None))[""], 1e-6)


@law("state files", "A state that is saved and loaded goes on with the same bits.")
def files(subject: Subject) -> Iterator[str]:
    """Through a safetensors file."""
    neuron, xs = subject.neuron(), subject.inputs()
    half = subject.steps // 2
    _, middle = run(neuron, xs[:half])
    ys, last = run(neuron, xs[half:], middle)
    with tempfile.TemporaryDirectory() as folder:
        middle.save(Path(folder) / "state.safetensors")
        loaded = States.load(Path(folder) / "state.safetensors").to(subject.device)
    yield from differs_all("the loaded state", loaded[""], middle.detach()[""])
    again, end = run(neuron, xs[half:], loaded)
    yield from differs("outputs from the loaded state", again, ys)
    yield from differs_all("the last state from the loaded state", end[""], last[""])
