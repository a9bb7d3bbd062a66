"""A run folder in parts: what comes back, what is rounded, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from snn4.core.errors import CheckpointError, StorageError
from snn4.training import FitConfig, OutOfTime, fit, parts, tensorfile, time_limit
from snn4.training.parts import pack, unpack

CONFIG = FitConfig(epochs=3, batch_size=10, learning_rate=0.05, optimiser="sgd", ema=0.9)
MIB = 2**20


@pytest.fixture
def fresh(make_net, norm):
    # two weights of some size, and vectors that are never rounded
    return lambda: make_net(norm(700), torch.nn.ReLU(), torch.nn.Dropout(0.2), hidden=700)


@pytest.fixture
def train(split, val, task):
    def run(net, folder, config=CONFIG):
        return fit(net, task, split, val, config, seed=0, folder=folder, progress=False, log=lambda _text: None)

    return run


@pytest.fixture
def stopped(fresh, split, val, task, tmp_path, monkeypatch):
    """A run folder, stopped in its second epoch."""
    import snn4.training.interruption as module

    now = [0.0]

    def ticking(xs, generator):
        now[0] += 10.0
        return task.encode(xs, generator)

    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text('{"recipe": "none"}')
    (folder / "empty.txt").touch()
    timed = dataclasses.replace(task, encode=ticking)
    # three steps and a validation of two batches make an epoch
    with pytest.raises(OutOfTime), time_limit(1.0):
        fit(fresh(), timed, split, val, CONFIG, seed=0, folder=folder, progress=False, log=lambda _text: None)
    monkeypatch.undo()
    course = checkpoint(folder)[1]["course"]
    assert (course["epoch"], course["best_epoch"], course["batch"]) == (1, 1, 1)
    return folder


def checkpoint(folder):
    return tensorfile.read(folder / "snn.checkpoint.safetensors", "checkpoint")


def test_a_run_goes_through_parts_and_on_as_if_nothing_had_been(train, fresh, stopped, tmp_path):
    found = pack(stopped, tmp_path / "parts", mib=0.05, count=8)
    assert found.changed == ()
    assert [path.name for path in found.parts] == sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert 2 < len(found.parts) <= 8
    assert all(path.stat().st_size <= 0.05 * MIB for path in found.parts)
    assert found.bytes == sum(path.stat().st_size for path in found.parts)
    back = unpack(tmp_path / "parts", tmp_path / "moved")
    assert (back.parts, back.bytes, back.changed) == (found.parts, found.bytes, ())
    there, here = checkpoint(stopped), checkpoint(tmp_path / "moved")
    assert there[1] == here[1]
    assert there[0].keys() == here[0].keys()
    assert all(torch.equal(tensor, here[0][name]) for name, tensor in there[0].items())
    for name in ("config.json", "metrics.jsonl", "empty.txt"):
        assert (stopped / name).read_bytes() == (tmp_path / "moved" / name).read_bytes()
    whole, net = fresh(), fresh()
    train(whole, tmp_path / "whole")
    train(net, tmp_path / "moved")
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in net.state_dict().items())


def test_every_part_holds_its_own_hash_and_all_others(stopped, tmp_path):
    found = pack(stopped, tmp_path / "parts", mib=0.05)
    for n, path in enumerate(found.parts):
        with safe_open(path, framework="pt") as file:
            hashes = json.loads(file.metadata()["hashes"])
            assert hashes[n] == hashlib.sha256(file.get_tensor("bytes").numpy().tobytes()).hexdigest()
        assert len(hashes) == len(found.parts)


def test_it_rounds_step_by_step_and_no_further_than_it_must(train, fresh, stopped, tmp_path):
    exact = pack(stopped, tmp_path / "exact").bytes
    # weights of two axes: 4 x 700 and 700 x 3 numbers, of which rounding saves two bytes each
    saved = 2 * 4900
    wanted = [["best"], ["best", "optimiser"], ["best", "optimiser", "average"]]
    whole = checkpoint(stopped)[0]
    for level, groups in enumerate(wanted, start=1):
        out = tmp_path / str(level)
        # room for all but what the step before would leave
        found = pack(stopped, out, mib=(exact - level * saved + 2000) / MIB, count=1)
        unpack(out, tmp_path / f"run{level}")
        tensors = checkpoint(tmp_path / f"run{level}")[0]
        changed = {name.partition("/")[0] for name in whole if not torch.equal(whole[name], tensors[name])}
        assert changed == set(groups)
        assert len(found.changed) == level
        for name, tensor in tensors.items():
            assert tensor.dtype == whole[name].dtype
            if name.partition("/")[0] in groups:
                rounded = tensor.ndim > 1
                assert torch.equal(tensor, whole[name].bfloat16().float() if rounded else whole[name])
        # the run goes on to its end
        assert train(fresh(), tmp_path / f"run{level}").epochs_run == 3


def test_the_best_so_far_stays_behind_last_and_the_run_finds_another(train, fresh, stopped, tmp_path):
    exact = pack(stopped, tmp_path / "exact").bytes
    found = pack(stopped, tmp_path / "parts", mib=(exact - 3 * 9800 - 5000) / MIB, count=1)
    assert all(w in line for w, line in zip(("optimiser", "average", "stay behind"), found.changed, strict=True))
    back = unpack(tmp_path / "parts", tmp_path / "moved")
    assert back.changed == found.changed
    tensors, about = checkpoint(tmp_path / "moved")
    assert not any(name.startswith("best/") for name in tensors)
    assert (about["course"]["best_epoch"], about["course"]["epoch"]) == (0, 1)
    assert torch.equal(tensors["net/0.weight"], checkpoint(stopped)[0]["net/0.weight"])
    assert train(fresh(), tmp_path / "moved").best_epoch in (2, 3)
    assert checkpoint(stopped)[1]["course"]["best_epoch"] == 1


def test_what_does_not_fit_is_told_and_nothing_is_written(stopped, tmp_path):
    with pytest.raises(StorageError, match=r"needs 0\.\d MiB.*at most 2 parts of 0\.01 MiB"):
        pack(stopped, tmp_path / "parts", mib=0.01, count=2)
    assert not (tmp_path / "parts").exists()
    with pytest.raises(StorageError, match="at least one"):
        pack(stopped, tmp_path / "parts", mib=0.0001)


def test_a_finished_training_travels_as_its_best_weights(train, fresh, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    net, again = fresh(), fresh()
    train(net, folder)
    (folder / "model.safetensors").write_bytes(b"made again by resume")
    small, large = pack(folder, tmp_path / "parts").bytes, (folder / "snn.checkpoint.safetensors").stat().st_size
    assert small < 0.5 * large
    assert unpack(tmp_path / "parts", tmp_path / "moved").changed == ()
    assert not (tmp_path / "moved" / "model.safetensors").exists()
    assert train(again, tmp_path / "moved").epochs_run == 3
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items())
    # a run with a result needs no checkpoint any more
    (folder / "result.json").write_text("{}")
    pack(folder, tmp_path / "result")
    unpack(tmp_path / "result", tmp_path / "done")
    assert {path.name for path in (tmp_path / "done").iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "result.json",
    }


def test_the_previous_checkpoint_stands_in_for_one_that_is_gone(stopped, tmp_path):
    previous = tensorfile.read(tensorfile.previous(stopped / "snn.checkpoint.safetensors"), "checkpoint")
    (stopped / "snn.checkpoint.safetensors").unlink()
    pack(stopped, tmp_path / "parts")
    unpack(tmp_path / "parts", tmp_path / "moved")
    assert checkpoint(tmp_path / "moved")[1] == previous[1]


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def foreign(path):
    save_file({"bytes": torch.zeros(3, dtype=torch.uint8)}, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, r"part-2-of-\d\.safetensors is damaged"),
        (flip, r"part-2-of-\d\.safetensors is damaged \(its hash is another\)"),
        (foreign, r"part-2-of-\d\.safetensors is damaged"),
        (lambda path: path.unlink(), r"part-2-of-\d\.safetensors is missing"),
        (lambda path: path.write_bytes(b""), r"part-2-of-\d\.safetensors is damaged"),
    ],
)
def test_a_part_that_is_damaged_or_missing_is_named_and_nothing_is_lost(stopped, tmp_path, damage, says):
    found = pack(stopped, tmp_path / "parts", mib=0.05)
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    kept = found.parts[1].read_bytes()
    damage(found.parts[1])
    with pytest.raises(CheckpointError, match=says):
        unpack(tmp_path / "parts", tmp_path / "moved")
    assert not (tmp_path / "moved").exists()
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
    found.parts[1].write_bytes(kept)
    assert unpack(tmp_path / "parts", tmp_path / "moved").changed == ()


def test_all_problems_are_told_at_once(stopped, tmp_path):
    found = pack(stopped, tmp_path / "parts", mib=0.05)
    found.parts[0].unlink()
    cut(found.parts[1])
    with pytest.raises(CheckpointError, match=r"part-2-of-\d.* is damaged.*part-1-of-\d.* is missing"):
        unpack(tmp_path / "parts", tmp_path / "moved")


def test_parts_of_two_runs_are_told_apart(stopped, tmp_path):
    first = pack(stopped, tmp_path / "parts", mib=0.05)
    (stopped / "config.json").write_text('{"recipe": "more"}')
    second = pack(stopped, tmp_path / "other", mib=0.05)
    shutil.copy(second.parts[0], first.parts[0])
    with pytest.raises(CheckpointError, match="parts of several runs"):
        unpack(tmp_path / "parts", tmp_path / "moved")


def test_folders_that_hold_something_are_refused(stopped, tmp_path):
    with pytest.raises(StorageError, match="not empty"):
        pack(stopped, stopped)
    pack(stopped, tmp_path / "parts")
    with pytest.raises(StorageError, match="not empty"):
        unpack(tmp_path / "parts", stopped)
    with pytest.raises(CheckpointError, match="holds no parts"):
        unpack(stopped, tmp_path / "moved")
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        pack(tmp_path, tmp_path / "more")


@pytest.mark.parametrize("name", ["../config.json", "/etc/config.json", "a/../../config.json", "c:\\config.json"])
def test_a_file_outside_of_the_folder_is_not_written(stopped, tmp_path, monkeypatch, name):
    collect = parts._collect
    monkeypatch.setattr(parts, "_collect", lambda folder: collect(folder) | {name: b"mine"})
    pack(stopped, tmp_path / "parts")
    with pytest.raises(CheckpointError, match="a place within a run folder"):
        unpack(tmp_path / "parts", tmp_path / "a" / "b")
    assert not list(tmp_path.glob("**/config.json")) or {p.parent for p in tmp_path.glob("**/config.json")} == {stopped}
    assert load_file(next((tmp_path / "parts").iterdir()))
