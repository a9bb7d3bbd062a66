from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from snn4.core.errors import OptionError


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


def test_report_is_written_in_the_language_that_is_asked_for(snn4, stopped):
    assert snn4("report stopped --lang ja").out == "stopped/report.html in ja\n"


def test_stopping_before_anything_is_saved(snn4, recipe, monkeypatch):
    def main(config: object, out: Path, **rest: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "main", main)
    answer = snn4("run fake --out early")
    assert (answer.code, answer.err) == (130, "snn4: Stopped before anything was saved.\n")
    assert not Path("early").exists()


@pytest.fixture
def started(snn4, recipe) -> Path:
    """A run that was stopped, with a language and a data folder of its own."""
    Path("sets").mkdir()
    recipe.error = KeyboardInterrupt()
    assert snn4("run fake --lang ja --data sets --out mine").err == "snn4: Stopped. Go on with: snn4 resume mine\n"
    recipe.error = None
    recipe.calls.clear()
    return Path("mine")


def test_a_folder_keeps_the_language_and_the_data_of_its_run(snn4, recipe, started):
    answer = snn4("resume mine")
    assert answer.code == 0, answer.err
    assert "テスト正解率" in answer.out
    assert (recipe.calls[0]["lang"], recipe.calls[0]["data"]) == ("ja", Path("sets"))
    assert json.loads(snn4("eval mine --json").out.splitlines()[-1])["data"] == "sets"
    assert snn4("profile mine").out == "profile of mine, sets, False\n"
    assert snn4("report mine").out == "mine/report.html in ja\n"


def test_what_is_asked_for_later_counts_and_is_kept_by_resume(snn4, recipe, started):
    assert json.loads(snn4("eval mine --json --data d").out.splitlines()[-1])["data"] == "d"
    assert snn4("report mine --lang en").out == "mine/report.html in en\n"
    Path("other").mkdir()
    recipe.error = KeyboardInterrupt()
    snn4("resume mine --lang en --data other")
    recipe.error = None
    snn4("resume mine")
    assert [(call["lang"], call["data"]) for call in recipe.calls] == [("en", Path("other"))] * 2


def test_data_that_are_not_there_any_more_are_looked_for_in_the_usual_places(snn4, recipe, started):
    Path("sets").rmdir()
    snn4("resume mine")
    (Path("mine") / "command.json").write_text("{")
    snn4("resume mine")
    assert [(call["lang"], call["data"]) for call in recipe.calls] == [("ja", None), ("en", None)]


def test_a_run_that_failed_at_once_leaves_no_folder(snn4, recipe, monkeypatch):
    def main(config: object, out: Path, **rest: object) -> None:
        raise OptionError("no", "yes")

    monkeypatch.setattr(recipe, "main", main)
    assert snn4("run fake --lang ja").code == 2
    assert not list(Path("runs").iterdir())


def test_a_study_in_another_language_says_that_it_is_in_english(snn4, recipe, monkeypatch):
    said = "snn4: a study is written in English: --lang ja changes nothing in its tables.\n"
    assert snn4("run fake --lang ja --out one").err == ""
    recipe.experiment = None
    assert snn4("run fake --lang ja --out two").err == said
    assert snn4("resume two").err == said
    assert snn4("run fake --out three").err == ""
    monkeypatch.setattr(sys.modules["snn4.recipes.common"], "study_result", lambda folder: {})
    assert snn4("report two").err == said
    assert "in English" in " ".join(snn4("run fake --help").out.split())
