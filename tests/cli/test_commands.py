from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def stopped(snn4, recipe) -> Path:
    """A run that was stopped half-way."""
    recipe.error = KeyboardInterrupt()
    snn4("run fake --seed 3 --neuron.tau 8 --out stopped")
    recipe.error = None
    recipe.calls.clear()
    return Path("stopped")


def test_resume_goes_on_with_the_run_s_own_config(snn4, recipe, stopped):
    answer = snn4("resume stopped --json --data d")
    assert answer.code == 0, answer.err
    (call,) = recipe.calls
    assert call["resume"] is True
    assert call["out"] == stopped
    assert call["data"] == Path("d")
    assert (call["config"].seed, call["config"].neuron.tau) == (3, 8.0)
    assert json.loads(answer.out.splitlines()[-1])["seed"] == 3


def test_resume_of_latest(snn4, recipe):
    recipe.error = KeyboardInterrupt()
    assert snn4("run fake").code == 130
    recipe.error = None
    assert snn4("resume runs/fake/latest").code == 0
    assert recipe.calls[0]["out"] == recipe.calls[1]["out"]


def test_eval(snn4, stopped):
    answer = snn4("eval stopped --data d --download --json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out.splitlines()[-1]) == {
        "folder": "stopped",
        "data": "d",
        "download": True,
        "snn": {"test_accuracy": 0.5},
    }
    (line,) = (line for line in answer.out.splitlines() if "snn.test_accuracy" in line)
    assert "0.5" in line


def test_profile(snn4, stopped):
    assert snn4("profile stopped").out == "profile of stopped, None, False\n"
    assert snn4("profile stopped --data d --download").out == "profile of stopped, d, True\n"


@pytest.mark.parametrize("command", ["resume", "eval", "report", "profile"])
def test_without_a_run_folder(snn4, command):
    answer = snn4(f"{command} nowhere")
    assert answer.code == 2
    assert "nowhere is not a folder: expected a run folder." in answer.err
    missing = snn4(command)
    assert missing.code == 2
    assert missing.err.count("\n") == 1
    assert f"snn4 {command} --help" in missing.err


def test_report_is_written_in_the_language_that_is_asked_for(snn4, stopped, monkeypatch):
    calls: list[tuple[Path, str]] = []

    def write_report(folder: Path, *, lang: str) -> Path:
        calls.append((Path(folder), lang))
        return Path(folder) / "report.html"

    monkeypatch.setattr("snn4.view.write_report", write_report)
    assert snn4("report stopped --lang ja").out == "stopped/report.html\n"
    assert calls == [(Path("stopped"), "ja")]


def test_stopping_before_anything_is_saved(snn4, recipe, monkeypatch):
    def main(config: object, out: Path, **rest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "main", main)
    answer = snn4("run fake --out early")
    assert (answer.code, answer.err) == (130, "snn4: Stopped before anything was saved.\n")
    assert not Path("early").exists()
