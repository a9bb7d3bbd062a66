from __future__ import annotations

import errno
import io
import json
import os
import sys

import pytest

from snn4.core.errors import StorageError
from snn4.training import FitConfig, fit
from snn4.training.progress import Metrics, report

CONFIG = FitConfig(epochs=2, batch_size=10)
ROW = {
    "model": "snn",
    "epoch": 1,
    "train_loss": 0.5,
    "train_accuracy": 0.25,
    "val_loss": 1.0,
    "val_accuracy": 1.0,
    "seconds": 3661.0,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_an_epoch_where_nobody_watches(net, split, val, task, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    fitted = fit(net, task, split, val, CONFIG, seed=0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("snn  epoch 2/2  loss ")
    assert f"{fitted.history[1]['val_accuracy']:.1%}" in lines[1]
    assert lines[1].endswith("0:00 to go")


def test_a_bar_on_a_terminal(net, split, val, task, monkeypatch):
    pytest.importorskip("rich", reason="the bar is drawn by rich")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    fit(net, task, split, val, CONFIG, seed=0, name="a[b]")
    text = stream.getvalue()
    assert "a[b]  epoch 2/2" in text
    assert "100%" in text
    assert text.count("validation") == 2


def test_without_rich_a_terminal_gets_lines(net, split, val, task, monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    for library in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, library, None)
    fit(net, task, split, val, CONFIG, seed=0)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_log_takes_the_lines_and_silence_is_silence(net, split, val, task, said, capsys):
    fit(net, task, split, val, CONFIG, seed=0, log=said.append)
    assert len(said) == 2
    fit(net, task, split, val, CONFIG, seed=0, log=said.append, progress=False)
    assert len(said) == 2
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_told(said):
    with report("snn", 9, 90, log=said.append) as out:
        out.step(1, 1, 0.5, 0.5)
        out.row(ROW, 75.0)
    assert said == ["snn  epoch 1/9  loss 0.5000  accuracy  25.0%  validation 100.0%  1:01:01  1:15 to go"]


def test_an_error_inside_goes_through_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ImportError, match="not mine"), report("snn", 1, 1):
        raise ImportError("not mine")


def test_rows_of_other_models_stay_and_broken_ones_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"model": "ann", "epoch": 1}\n{"model": "snn", "epoch": 9}\n[1]\n{"model": "a')
    (tmp_path / ".metrics.jsonl.x.partial").touch()
    metrics = Metrics(tmp_path, "snn")
    metrics.restart([ROW])
    metrics.append({**ROW, "epoch": 2})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"model": "ann", "epoch": 1}, ROW, {**ROW, "epoch": 2}]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"metrics\.jsonl failed \(No space left on device\)"):
        Metrics(tmp_path, "snn").append(ROW)
