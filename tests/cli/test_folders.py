from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from snn4.cli.folders import find_run, forget_empty, new_run
from snn4.core.errors import CheckpointError, StorageError

NOON = datetime(2026, 3, 4, 12, 0, 5)


def made(folder: Path) -> Path:
    (folder / "config.json").write_text(json.dumps({"recipe": "fake"}))
    return folder


def test_names():
    assert new_run("fake", 2, None, NOON) == Path("runs/fake/20260304-120005-seed2")
    assert new_run("fake", 2, None, NOON) == Path("runs/fake/20260304-120005-seed2-2")
    assert new_run("fake", 2, None, NOON) == Path("runs/fake/20260304-120005-seed2-3")


def test_latest_leads_to_the_run():
    folder = made(new_run("fake", 0, None, NOON))
    assert find_run(Path("runs/fake/latest")) == folder


def test_latest_is_a_text_where_links_cannot_be_made(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = made(new_run("fake", 0, None, NOON))
    assert not Path("runs/fake/latest").is_symlink()
    assert find_run(Path("runs/fake/latest")) == folder


def test_a_missing_run_names_those_that_are_there():
    folder = made(new_run("fake", 0, None, NOON))
    with pytest.raises(CheckpointError, match=r"runs/fake/typo is not a folder.*Did you mean " + str(folder)):
        find_run(Path("runs/fake/typo"))


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.json: expected a run folder\. Make a run"):
        find_run(tmp_path)


def test_a_folder_that_cannot_be_made():
    Path("runs").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        new_run("fake", 0, None)


def test_a_run_that_wrote_nothing_is_forgotten():
    first = made(new_run("fake", 0, None, NOON))
    second = new_run("fake", 1, None, NOON)
    forget_empty(second)
    assert not second.exists()
    assert find_run(Path("runs/fake/latest")) == first
    forget_empty(first)
    assert find_run(first) == first


def test_the_only_run_that_wrote_nothing_leaves_no_pointer():
    forget_empty(new_run("fake", 0, None, NOON))
    assert list(Path("runs").iterdir()) == []


def test_what_lies_beside_a_folder_of_the_user_is_left_alone():
    Path("latest").write_text("mine")
    forget_empty(new_run("fake", 0, Path("here"), NOON))
    assert [path.name for path in Path().iterdir()] == ["latest"]


def test_runs_are_looked_for_nearby_only(tmp_path, monkeypatch):
    near, far = tmp_path / "runs/fake/one", tmp_path / "a/b/c/d"
    for folder in (near, far):
        folder.mkdir(parents=True)
        made(folder)
    (tmp_path / "circle").symlink_to(tmp_path)
    with pytest.raises(CheckpointError, match="Did you mean ") as found:
        find_run(tmp_path)
    assert found.value.advice == f"Did you mean {near} or runs/fake/one?"
    # and not for long
    monkeypatch.setattr("snn4.cli.folders._SECONDS", -1.0)
    with pytest.raises(CheckpointError, match="Make a run with"):
        find_run(tmp_path)
