"""Files are there, whole, or as they were before."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import snn4
from snn4 import StorageError
from snn4.core import files
from snn4.core.files import atomic, make_folder, read_json, write_json, write_text


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".partial")]


def test_what_is_written_is_there(tmp_path):
    path = tmp_path / "a.bin"
    with atomic(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with atomic(str(path)) as file:
        file.write(b"two")
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert leftovers(tmp_path) == []


def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "ours", "x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")}
    assert len(modes) == 1


def test_an_exception_while_writing_leaves_the_old(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def half():
        with atomic(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failing", ["fsync", "replace", "fdopen"])
def test_a_full_disk_leaves_the_old(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_disk_that_fills_while_writing(tmp_path):
    def write():
        with atomic(tmp_path / "a.bin") as file:
            file.write(b"x")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="free space"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, a disk that is always full")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    real = os.fdopen

    def always_full(descriptor, mode):
        os.close(descriptor)
        return real(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(files.os, "fdopen", always_full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_text(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(StorageError, match="choose another folder"):
        write_text(tmp_path / "no" / "a.txt", "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_text(tmp_path / "a.txt", "x")
    finally:
        tmp_path.chmod(0o700)


KILLED = """
import os, signal, sys
from snn4.core import files
before = sys.argv[2]
real = getattr(os, before)
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(files.os, before, die)
files.write_text(sys.argv[1], "new content that is longer than the old one")
"""


@pytest.mark.parametrize("before", ["fsync", "replace"])
def test_a_kill_before_the_rename_leaves_the_old(tmp_path, before):
    path = tmp_path / "a.txt"
    path.write_text("old")
    environment = os.environ | {"PYTHONPATH": str(Path(snn4.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), before], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    # the next write does not mind what the killed one left
    write_text(path, "next")
    assert path.read_text() == "next"


def test_json_comes_back(tmp_path):
    value = {"name": "ニューロン", "numbers": [1, 2.5, None, True], "nested": {"a": []}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "ニューロン" in text
    assert text.endswith("}\n")
    assert json.loads(text) == value


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_nan_and_no_infinity(tmp_path, number):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": number})
    assert read_json(tmp_path / "a.json") == {"old": 1}


def test_make_folder(tmp_path):
    made = make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert make_folder(made) == made
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(StorageError):
        make_folder(tmp_path / "file")
