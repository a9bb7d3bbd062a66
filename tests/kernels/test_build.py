"""Compiling, keeping and loading, with every fault that a machine can have."""

from __future__ import annotations

import json

import pytest

from snn4.core.errors import MissingLibraryError, Snn4Error
from snn4.kernels import build

ADD = 'extern "C" int add(int a, int b) { return a + b + %d; }'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SNN4_QUIET", "")
    return tmp_path / "cache" / "kernels"


def forget():
    """Act like a new process."""
    build._loaded.clear()


def replace(path, content):
    """Other content under the same name; this process has the old file mapped and must keep it."""
    path.unlink()
    path.write_bytes(content)


def entry(cache):
    (shared,) = cache.glob("*.so")
    return shared


def test_compiles_once_and_says_so_once(cache, capsys):
    assert build.library(ADD % 0, label="add").add(2, 3) == 5
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "compiled add" in said[0]
    stamp = entry(cache).stat().st_mtime_ns
    forget()
    assert build.library(ADD % 0, label="add").add(2, 3) == 5
    assert capsys.readouterr().err == ""
    assert entry(cache).stat().st_mtime_ns == stamp


def test_another_source_or_flag_is_another_entry(cache):
    build.library(ADD % 1, label="add")
    build.library(ADD % 2, label="add")
    build.library(ADD % 2, label="add", flags=("-DX=1",))
    assert len(list(cache.glob("*.so"))) == 3


def test_another_cpu_is_another_entry(cache, monkeypatch):
    build.library(ADD % 3, label="add")
    monkeypatch.setattr(build, "cpu", lambda: "another machine, without avx")
    build.library(ADD % 3, label="add")
    assert len(list(cache.glob("*.so"))) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda so: replace(so, so.read_bytes()[: so.stat().st_size // 2]),
        lambda so: replace(so, b""),
        lambda so: replace(so, so.read_bytes()[:-1] + b"\x5a"),
        lambda so: so.unlink(),
        lambda so: so.with_suffix(".json").unlink(),
        lambda so: so.with_suffix(".json").write_text("{"),
        lambda so: so.with_suffix(".json").write_text("[]"),
        lambda so: so.with_suffix(".json").write_bytes(b"\xff\xfe"),
    ],
    ids=["half", "empty", "one byte", "no object", "no checksum", "cut checksum", "wrong checksum file", "not text"],
)
def test_a_damaged_entry_is_built_again(cache, damage):
    build.library(ADD % 4, label="add")
    shared = entry(cache)
    whole = len(shared.read_bytes())
    damage(shared)
    forget()
    assert build.library(ADD % 4, label="add").add(1, 1) == 6
    assert len(shared.read_bytes()) == whole
    assert json.loads(shared.with_suffix(".json").read_text())["label"] == "add"


def test_a_cache_that_cannot_be_used(cache, capsys, monkeypatch):
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file, where the folder should be")
    assert build.library(ADD % 5, label="add").add(0, 0) == 5
    said = capsys.readouterr().err
    assert "is not used" in said
    assert str(cache) in said
    build.library(ADD % 6, label="add")
    assert "is not used" not in capsys.readouterr().err, "said once"


def test_a_cache_that_others_may_write_to_is_not_run(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    build.library(ADD % 7, label="add")
    assert not list(cache.iterdir())


def test_a_compiler_that_fails_is_told_with_its_message(cache):
    with pytest.raises(build.BuildError, match="no_such_name") as caught:
        build.library('extern "C" int f() { return no_such_name; }', label="broken")
    assert isinstance(caught.value, Snn4Error)
    (kept,) = cache.glob("*.cpp")
    assert str(kept) in str(caught.value)
    assert not list(cache.glob("*.so"))


def test_no_compiler(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "install g++" in (build.no_compiler_reason() or "")
    with pytest.raises(MissingLibraryError, match="no C\\+\\+ compiler found"):
        build.library(ADD % 8, label="add")


def test_cxx_names_the_compiler(cache, monkeypatch, tmp_path):
    real = build.find_compiler()
    assert real is not None
    script = tmp_path / "mine"
    script.write_text(f'#!/bin/sh\nexec {real.path} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    found = build.find_compiler()
    assert found is not None
    assert found.path == str(script)
    assert build.library(ADD % 9, label="add").add(1, 1) == 11


SLOW_COMPILER = """
import os, sys
from snn4.kernels import build
library = build.library('extern "C" int one() { return 1; }', label="one")
assert library.one() == 1
"""


def test_two_processes_at_once_compile_once(cache, python):
    both = [python(SLOW_COMPILER) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum(err.count("compiled one") for _, err in said) == 1
    assert len(list(cache.glob("*.so"))) == 1
    assert not list(cache.glob("*.partial"))


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("SNN4_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_folder() == tmp_path / "snn4" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert build.cache_folder() == tmp_path / "home" / ".cache" / "snn4" / "kernels"
