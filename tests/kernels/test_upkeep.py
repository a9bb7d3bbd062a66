"""What a user sees and does about compiled kernels: warming up, looking, clearing."""

from __future__ import annotations

import torch

import snn4
from snn4 import kernels, nn
from snn4.kernels import build

X = torch.linspace(-1, 2, 24).view(4, 2, 3)
SOURCE = 'extern "C" int four() { return 4; }'


def test_warmup_says_one_line(monkeypatch, capfd):
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2), nn.LI())
    snn4.warmup(net, X)
    capfd.readouterr()
    monkeypatch.setenv("SNN4_QUIET", "")
    with kernels.use("reference"):
        table = snn4.warmup(net, X)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("snn4: 2 neurons ready in ")
    assert line.endswith("2 as reference loop")
    assert len(table.choices) == 2
    monkeypatch.setenv("SNN4_QUIET", "1")
    snn4.warmup(net, X)
    assert capfd.readouterr().err == ""


def test_clearing_removes_kernels_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path))
    assert kernels.clear_cache() == build.CacheSize(0, 0), "a folder that is not there is empty"
    function = build.library(SOURCE, label="four").four
    folder = tmp_path / "kernels"
    (folder / "notes.txt").write_text("mine")
    (folder / "mine.so").write_text("mine, too")
    before = build.cache_size()
    removed = kernels.clear_cache()
    assert removed.kernels == 1
    assert before.kernels == 2
    assert removed.size > 1000
    assert sorted(p.name for p in folder.iterdir()) == ["mine.so", "notes.txt"]
    assert function() == 4, "what is loaded goes on running"
    build._loaded.clear()
    assert build.library(SOURCE, label="four").four() == 4
