from __future__ import annotations

import dataclasses
import errno
import json
import os

import pytest
import torch

from snn4 import Learned, nn
from snn4.core.errors import CheckpointError, StorageError
from snn4.data import Split
from snn4.surrogates import Annealed, Dspike, Rectangle
from snn4.training import FitConfig, fit, tensorfile

CONFIG = FitConfig(epochs=3, batch_size=10, learning_rate=0.05, ema=0.9, checkpoint_steps=1)


class Stop(Exception):
    """Ends a training from inside, as a crash would."""


def crashing(task, step):
    """The task, but the given step (counted from 1) raises before it is done."""
    count = 0

    def objective(ys, targets):
        nonlocal count
        count += 1
        if count == step:
            raise Stop
        return torch.nn.functional.cross_entropy(ys.mean(0), targets)

    return dataclasses.replace(task, objective=objective)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def train(split, val, folder):
    def run(net, task, config=CONFIG, **more):
        more = {"seed": 0, "folder": folder, "progress": False, "log": lambda text: None, **more}
        return fit(net, task, more.pop("split", split), val, config, **more)

    return run


@pytest.fixture
def stopped(train, make_net, norm, leaky, task, folder):
    """The checkpoint of a training that crashed in step 5, with two batches of epoch 2 still to come."""
    with pytest.raises(Stop):
        train(make_net(norm(6), leaky()), crashing(task, 5))
    return folder / "snn.checkpoint.safetensors"


def test_a_crash_at_any_step_changes_nothing(train, make_net, norm, leaky, task, tmp_path):
    def fresh():
        return make_net(norm(6), leaky(), torch.nn.Dropout(0.3))

    expected = fresh()
    history = train(expected, task, folder=tmp_path / "whole").history
    for step in range(1, 10):
        place = tmp_path / str(step)
        with pytest.raises(Stop):
            train(fresh(), crashing(task, step), folder=place)
        torch.rand(step)
        net = fresh()
        fitted = train(net, task, folder=place)
        for name, tensor in net.state_dict().items():
            assert torch.equal(tensor, expected.state_dict()[name]), (step, name)
        for row, other in zip(fitted.history, history, strict=True):
            assert {**row, "seconds": 0} == {**other, "seconds": 0}


def test_a_finished_run_is_not_trained_again(train, make_net, task):
    net, again = make_net(), make_net(seed=9)
    first = train(net, task)
    assert train(again, crashing(task, 1)) == first
    assert torch.equal(net[0].weight, again[0].weight)


def test_what_is_kept_besides_parameters(train, make_net, task, folder):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.zeros(1), persistent=False)
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.generator = torch.Generator().manual_seed(3)
            self.note = {"calls": 0}

        def get_extra_state(self):
            return self.note

        def set_extra_state(self, state):
            self.note = state

        def forward(self, xs):
            if self.training:
                self.cache += torch.rand(1, generator=self.generator)
                self.count += 1
                self.note = {"calls": self.note["calls"] + 1}
            return xs + self.cache

    expected = make_net(Odd())
    train(expected, task, folder=folder / "whole")
    with pytest.raises(Stop):
        train(make_net(Odd()), crashing(task, 5))
    net = make_net(Odd())
    train(net, task)
    assert torch.equal(net[0].weight, expected[0].weight)
    assert net[1].note == {"calls": 9}
    # the last value, not the best epoch's: what is not saved with the weights is not chosen with them
    assert torch.equal(net[1].cache, expected[1].cache)


def test_the_row_of_an_epoch_that_was_not_kept_goes(train, net, task, stopped, folder):
    path = folder / "metrics.jsonl"
    other = {"model": "ann", "epoch": 1}
    path.write_text(json.dumps(other) + "\n" + path.read_text() + '{"model": "snn", "epoch": 2}\n{"model": "sn')
    train(net, task)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["model"], row["epoch"]) for row in rows] == [("ann", 1), ("snn", 1), ("snn", 2), ("snn", 3)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"config": dataclasses.replace(CONFIG, learning_rate=0.1)}, "config.learning_rate 0.05 there, 0.1 here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"identity": {"recipe": "digits"}}, "recipe.recipe 'nothing' there, 'digits' here"),
        ({"split": Split(torch.ones(30, 4), torch.arange(30) % 3)}, "data.train"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(train, net, task, stopped, change, told):
    before = stopped.read_bytes()
    with pytest.raises(CheckpointError, match=told):
        train(net, task, **change)
    assert stopped.read_bytes() == before


def test_a_checkpoint_of_another_network_names_the_layer(train, make_net, task, stopped):
    with pytest.raises(CheckpointError, match=r"net\.0\.weight 'float32 \(6, 4\)' there, 'float32 \(7, 4\)' here"):
        train(make_net(hidden=7), task)


def test_a_layer_frozen_since_is_told(train, net, task, stopped):
    net[0].requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"frozen \[\] there, \['0.weight', '0.bias'\] here"):
        train(net, task)


def test_options_that_change_no_result_may_change(train, net, task, stopped):
    free = dataclasses.replace(CONFIG, checkpoint_steps=None, checkpoint_seconds=1.0, alarms=False)
    assert train(net, task, free).epochs_run == 3


def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_offered(train, net, task, stopped):
    whole = stopped.read_bytes()
    middle = bytearray(whole)
    middle[-100] ^= 1
    for damaged in (b"", whole[:50], whole[: len(whole) // 2], whole[:-1], bytes(middle), b"\xff" * 64):
        stopped.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"snn\.checkpoint\.previous\.safetensors: delete the damaged file"):
            train(net, task)
        assert stopped.read_bytes() == damaged, "it is not for us to delete"
    stopped.unlink()
    assert tensorfile.read(tensorfile.previous(stopped), "checkpoint")[1]["course"]["step"] == 3
    assert train(net, task).epochs_run == 3


def test_a_changed_header_is_found(train, net, task, stopped):
    stopped.write_bytes(stopped.read_bytes().replace(b'\\"step\\": 4', b'\\"step\\": 3', 1))
    with pytest.raises(CheckpointError, match="its checksum is another"):
        train(net, task)


def test_files_of_another_kind_or_version_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    tensorfile.write(path, "weights", {"a": torch.ones(1)}, {})
    with pytest.raises(CheckpointError, match="a file of kind 'weights': expected a checkpoint file"):
        tensorfile.read(path, "checkpoint")
    with pytest.raises(CheckpointError, match="there is no file"):
        tensorfile.read(tmp_path / "b.safetensors", "weights")
    with pytest.raises(CheckpointError, match="cannot be read"):
        tensorfile.read(tmp_path, "weights")
    monkeypatch.setattr(tensorfile, "SCHEMA", 2)
    with pytest.raises(CheckpointError, match=r"of version 1: expected version 2\. Read it with the release"):
        tensorfile.read(path, "weights")
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="snn4 did not write"):
        tensorfile.read(path, "weights")


def test_every_dtype_and_shape_comes_back(tmp_path):
    tensors = {
        "float": torch.tensor([float("nan"), float("inf"), -0.0]),
        "double": torch.rand(2, 3, dtype=torch.float64).T,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "bool": torch.tensor(True),
        "int": torch.tensor([-(2**62)]),
        "byte": torch.arange(3, dtype=torch.uint8),
        "empty": torch.zeros(0, 4),
    }
    tensorfile.write(tmp_path / "a", "test", tensors, {"text": "\u65e5\u672c", "number": 0.1})
    read, about = tensorfile.read(tmp_path / "a", "test")
    assert about == {"text": "\u65e5\u672c", "number": 0.1}
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name].nan_to_num(7), tensor.nan_to_num(7) if tensor.is_floating_point() else tensor)


@pytest.mark.parametrize("name", ["fsync", "replace", "fdopen"])
def test_a_full_disk_leaves_the_checkpoints_as_they_were(train, net, task, stopped, folder, monkeypatch, name):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(StorageError, match="No space left on device"):
            train(net, task)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert train(net, task).epochs_run == 3


def test_a_disk_that_fills_up_during_the_run(train, net, task, folder, monkeypatch):
    writes = 0
    real = os.fsync

    def fills_up(descriptor):
        nonlocal writes
        writes += 1
        if writes > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fills_up)
        with pytest.raises(StorageError, match="No space left on device"):
            train(net, task)
    reached = tensorfile.read(folder / "snn.checkpoint.safetensors", "checkpoint")[1]["course"]["step"]
    assert reached >= 1
    assert not list(folder.glob(".*"))
    assert train(net, task).steps == 9


def test_without_hard_links_the_previous_one_is_a_copy(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.safetensors"
    for value in range(3):
        tensorfile.write(path, "test", {}, {"value": value}, keep=True)
    assert tensorfile.read(path, "test")[1] == {"value": 2}
    assert tensorfile.read(tensorfile.previous(path), "test")[1] == {"value": 1}


def test_checkpoints_come_when_they_are_due(train, net, task, monkeypatch):
    saved = []
    real = tensorfile.write

    def spy(path, kind, tensors, about, **more):
        saved.append(about["course"]["step"])
        real(path, kind, tensors, about, **more)

    monkeypatch.setattr(tensorfile, "write", spy)
    plain = dataclasses.replace(CONFIG, checkpoint_steps=None, checkpoint_seconds=None)
    train(net, task, plain)
    assert saved == [0, 3, 6, 9]
    saved.clear()
    train(net, task, dataclasses.replace(plain, checkpoint_steps=2), name="b")
    assert saved == [0, 2, 3, 4, 6, 6, 8, 9]
    saved.clear()
    train(net, task, dataclasses.replace(plain, checkpoint_seconds=0.0), name="c")
    assert saved == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.LIF(tau=3.0), "tau"),
        (lambda: nn.LIF(v_reset=0.0), "v_reset"),
        (lambda: nn.LIF(detach_reset=True), "detach_reset"),
        (lambda: nn.LIF(surrogate=Rectangle()), "kind 'ATan' there, 'Rectangle' here"),
        (lambda: nn.IF(), "kind 'LIF' there, 'IF' here"),
    ],
)
def test_a_checkpoint_of_other_neurons_is_refused(split, val, task, tmp_path, make, told):
    def train(neuron, epochs):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = torch.nn.Sequential(nn.Linear(4, 6), neuron, nn.Linear(6, 3))
        return fit(net, task, split, val, FitConfig(epochs, 10), seed=0, folder=tmp_path, progress=False)

    train(nn.LIF(), 2)
    with pytest.raises(CheckpointError, match=told):
        train(make(), 2)
    assert train(nn.LIF(), 2).epochs_run == 2


def test_what_training_changes_does_not_make_it_another_run(split, val, task, tmp_path):
    """A learned quantity, how sharp a surrogate has become, and a temperature that was found."""
    for k, surrogate in enumerate((Annealed(), Dspike())):
        net = torch.nn.Sequential(nn.Linear(4, 6), nn.LIF(Learned(2.0), surrogate=surrogate), nn.Linear(6, 3))
        for _ in range(2):
            config = FitConfig(4, 10, learning_rate=0.1)
            fitted = fit(net, task, split, val, config, seed=0, folder=tmp_path / str(k), progress=False)
        assert fitted.epochs_run == 4
