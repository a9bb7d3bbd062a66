from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_the_options_reach_the_recipe(snn4, recipe):
    own, general = "--epochs=2 --batch-size 16 --neuron.tau 4 --no-augment", "--lang ja --data d --download"
    answer = snn4(f"run fake --seed 3 {own} {general}")
    assert answer.code == 0, answer.err
    (call,) = recipe.calls
    config = call["config"]
    assert (config.seed, config.epochs, config.batch_size, config.augment) == (3, 2, 16, False)
    assert config.neuron.tau == 4.0
    assert (call["lang"], call["data"], call["download"]) == ("ja", Path("d"), True)
    assert (call["resume"], call["progress"]) == (False, True)


def test_defaults(snn4, recipe):
    assert snn4("run fake --quiet").code == 0
    (call,) = recipe.calls
    assert call["config"] == recipe.config()
    assert (call["lang"], call["data"], call["download"], call["progress"]) == ("en", None, False, False)


@pytest.mark.parametrize(("words", "augment"), [("--augment", True), ("--no-augment", False)])
def test_a_switch_can_be_said_where_it_is_the_default_too(snn4, recipe, words, augment):
    assert snn4(f"run fake {words}").code == 0
    assert recipe.calls[0]["config"].augment is augment


def test_smoke_starts_from_the_small_config(snn4, recipe):
    snn4("run fake --smoke --seed 5")
    assert recipe.calls[0]["config"] == recipe.config(epochs=1, seed=5)


def test_help_of_a_recipe_tells_its_options(snn4):
    answer = snn4("run fake --help")
    assert answer.code == 0
    assert "A recipe that trains nothing" in answer.out
    for text in ("--neuron.tau", "Time constant in steps.", "--out", "--json", "--no-augment"):
        assert text in answer.out


def test_help_without_a_recipe_lists_them(snn4):
    assert "fake   A recipe that trains nothing" in snn4("run").out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run fkae", "snn4 run got 'fkae': expected a recipe. Did you mean fake?"),
        ("run --seed 3", "snn4 run got --seed first: expected the name of a recipe."),
        ("run fake --epoch 3", "snn4 run fake got --epoch: expected an option of this command. Did you mean --epochs"),
        ("run fake --neuron.tua=3", "got --neuron.tua: expected an option of this command. Did you mean --neuron.tau"),
        ("run fake --batch_sise 3", "Did you mean --batch-size"),
        ("run fake stray", "snn4 run fake got stray: expected no further word."),
        ("run fake --epochs many", "invalid literal for int() with base 10: 'many'"),
        ("run fake --epochs", "Missing value for argument '--epochs'"),
        ("run fake --lang fr", "invalid choice 'fr' for argument '--lang'"),
    ],
)
def test_a_wrong_word_is_told_and_nothing_runs(snn4, recipe, line, message):
    answer = snn4(line)
    assert answer.code == 2
    assert answer.err.startswith("snn4: ")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    assert not recipe.calls
    assert not Path("runs").exists()


def test_json_is_the_last_line(snn4):
    lines = snn4("run fake --json --seed 7").out.splitlines()
    result = json.loads(lines[-1])
    assert (result["recipe"], result["seed"]) == ("fake", 7)
    assert any("a line of the training itself" in line for line in lines[:-1])


def test_the_table_sets_the_models_side_by_side(snn4):
    out = snn4("run fake").out
    (accuracy,) = (line for line in out.splitlines() if "test accuracy" in line)
    assert accuracy.count("97.50 %") == 2
    (energy,) = (line for line in out.splitlines() if "with memory" in line)
    assert energy.count("4–90 nJ") == 2
    assert "321" in out
    assert "report.html" in out


def test_the_table_in_japanese(snn4):
    out = snn4("run fake --lang ja").out
    assert "テスト正解率" in out
    assert "test accuracy" not in out


def test_the_default_folder_and_latest(snn4, recipe):
    snn4("run fake --seed 4")
    snn4("run fake --seed 4")  # in the same second, mostly
    first, second = (call["out"] for call in recipe.calls)
    assert first != second
    assert first.parent == second.parent == Path("runs/fake")
    assert first.name.split("-")[2] == "seed4"
    assert Path("runs/fake/latest").resolve() == second.resolve()


def test_out_is_taken_as_given(snn4, recipe):
    snn4("run fake --out a/b")
    assert recipe.calls[0]["out"] == Path("a/b")
    assert not Path("runs").exists()


def test_a_folder_with_a_run_is_refused(snn4, recipe):
    snn4("run fake --out here")
    before = Path("here/config.json").read_bytes()
    answer = snn4("run fake --seed 1 --out here")
    assert answer.code == 2
    assert "--out here holds a run already" in answer.err
    assert "snn4 resume here" in answer.err
    assert Path("here/config.json").read_bytes() == before
    assert len(recipe.calls) == 1


def test_a_folder_with_other_files_is_refused(snn4, recipe):
    Path("here").mkdir()
    Path("here/notes.txt").write_text("mine")
    answer = snn4("run fake --out here")
    assert answer.code == 2
    assert "--out here is not empty" in answer.err
    assert not recipe.calls
    Path("file").touch()
    assert "--out file is a file" in snn4("run fake --out file").err


def test_an_empty_folder_is_taken(snn4):
    Path("here").mkdir()
    assert snn4("run fake --out here").code == 0


def test_minutes_stop_a_run_and_say_how_to_go_on(snn4, recipe):
    from snn4.training import OutOfTime

    recipe.error = OutOfTime()
    answer = snn4("run fake --out here --minutes 9")
    assert answer.code == 3
    assert answer.err == "snn4: 9 minutes are over. Go on with: snn4 resume here\n"
    answer = snn4("resume here --minutes 0.5")
    assert answer.code == 3
    assert "0.5 minutes are over" in answer.err
    recipe.error = None
    assert snn4("resume here").code == 0


def test_minutes_reach_the_training(snn4, recipe, monkeypatch):
    import snn4.training.interruption as interruption

    monkeypatch.setattr(interruption.time, "monotonic", lambda: 1000.0)
    seen = []
    monkeypatch.setattr(recipe, "main", lambda *_a, **_k: seen.append(interruption._deadline.get()) or {"seed": 0})
    snn4("run fake --minutes 2 --out here")
    snn4("run fake --out there")
    assert seen == [1120.0, float("inf")]


def test_minutes_out_of_range_are_told(snn4, recipe):
    answer = snn4("run fake --minutes 0")
    assert (answer.code, recipe.calls) == (2, [])
    assert "the time limit is 0.0 minutes" in answer.err
    assert not list(Path("runs").glob("*"))


def test_small_is_for_recipes_that_have_it(snn4, recipe, monkeypatch):
    monkeypatch.setattr(recipe, "small", lambda: recipe.config(epochs=2, batch_size=4), raising=False)
    snn4("run fake --small --seed 5")
    assert recipe.calls[0]["config"] == recipe.config(epochs=2, batch_size=4, seed=5)
