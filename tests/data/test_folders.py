from __future__ import annotations

from pathlib import Path

import pytest

from snn4.data import cache_folder, data_folder


def test_the_argument_comes_before_the_variable_and_the_cache(tmp_path, monkeypatch):
    assert data_folder() == cache_folder() == tmp_path / "cache" / "snn4"
    monkeypatch.setenv("SNN4_DATA", str(tmp_path / "sets"))
    assert data_folder() == tmp_path / "sets"
    assert data_folder(tmp_path / "here") == tmp_path / "here"
    assert cache_folder() == tmp_path / "cache" / "snn4"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_an_unusable_cache_variable_is_ignored(value, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "snn4"


def test_the_home_folder_is_filled_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder("~/sets") == Path(tmp_path, "sets")
