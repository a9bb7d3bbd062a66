from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import snn4.core
from snn4.training import tensorfile

DONE, KILLED, DIED = 0, -9, 9


@pytest.fixture(scope="module")
def server():
    source = Path(snn4.core.__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(source)}
    command = [sys.executable, str(Path(__file__).with_name("kill_server.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def ask(folder, **request):
        process.stdin.write(json.dumps({"folder": str(folder), **request}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the server has ended"
        return json.loads(answer)

    yield ask
    process.stdin.close()
    process.stdout.close()
    process.wait(30)


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    answer = server(folder)
    assert answer["code"] == DONE
    return folder, answer["seconds"]


def rows(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]


def same_end(folder, other):
    # the weights of the best epoch, and all that the last step left behind
    for file, kind in (("final", "weights"), ("snn.checkpoint", "checkpoint")):
        mine, about = tensorfile.read(folder / f"{file}.safetensors", kind)
        theirs, their_about = tensorfile.read(other / f"{file}.safetensors", kind)
        assert kind == "checkpoint" or about == their_about
        assert mine.keys() == theirs.keys()
        for name, tensor in mine.items():
            assert torch.equal(tensor, theirs[name]), name
    assert rows(folder) == rows(other)


def readable(folder):
    """The step that the checkpoint stands at; None before the first one."""
    path = folder / "snn.checkpoint.safetensors"
    if not path.exists():
        assert not tensorfile.previous(path).exists()
        return None
    if tensorfile.previous(path).exists():
        tensorfile.read(tensorfile.previous(path), "checkpoint")
    return tensorfile.read(path, "checkpoint")[1]["course"]["step"]


def kill_and_go_on(server, undisturbed, tmp_path, kills):
    reference, seconds = undisturbed
    # the moments differ from run to run on their own, whatever the seed
    numbers = random.Random(kills)
    killed, within, attempt = 0, 0, 0
    while killed < kills:
        attempt += 1
        assert attempt < 20 * kills, "the training ends before it can be killed"
        folder = tmp_path / str(attempt)
        folder.mkdir()
        step, patience = 0, seconds
        while True:
            answer = server(folder, kill_after=numbers.uniform(0, 0.7 * patience))
            if answer["code"] == DONE:
                break
            assert answer["code"] == KILLED
            killed += 1
            reached = readable(folder)
            assert reached is None or reached >= step, "a kill must not take progress away"
            within += reached is not None and reached % 8 != 0
            # a busy machine may need longer to get anywhere
            patience = seconds if (reached or 0) > step else 1.5 * patience
            step = reached or 0
            if killed >= kills:
                assert server(folder)["code"] == DONE
                break
        same_end(folder, reference)
    assert within > 0, "no kill struck in the middle of an epoch"


def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(server, undisturbed, tmp_path):
    kill_and_go_on(server, undisturbed, tmp_path, 20)


@pytest.mark.slow
def test_two_hundred_kills(server, undisturbed, tmp_path):
    kill_and_go_on(server, undisturbed, tmp_path, 200)


def test_a_death_at_any_file_operation_leaves_a_readable_checkpoint(server, undisturbed, tmp_path):
    # seven operations a checkpoint, one checkpoint a step: the third one is the first with both files there before it
    for turn in range(1, 27):
        folder = tmp_path / str(turn)
        folder.mkdir()
        assert server(folder, die_at=turn)["code"] == DIED
        readable(folder)
        if turn % 7 == 1:
            assert server(folder)["code"] == DONE
            same_end(folder, undisturbed[0])
            assert not list(folder.glob(".*.partial"))
