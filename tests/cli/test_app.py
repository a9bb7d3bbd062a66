from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import snn4 as snn4_package
from snn4.cli.app import COMMANDS
from snn4.core.errors import ShapeError

SOURCE = Path(snn4_package.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCE)}


@pytest.mark.parametrize("line", ["", "--help", "-h"])
def test_help_names_every_command(snn4, line):
    answer = snn4(line)
    assert (answer.code, answer.err) == (0, "")
    for command, (about, _) in COMMANDS.items():
        assert f"  {command} " in answer.out
        assert about in answer.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(snn4, command):
    answer = snn4(f"{command} --help")
    assert answer.code == 0
    assert f"usage: snn4 {command}" in answer.out


def test_version(snn4):
    assert snn4("--version").out == f"snn4 {snn4_package.__version__}\n"


def test_unknown_command_names_the_nearest(snn4):
    answer = snn4("evla runs/x")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == "snn4: snn4 got 'evla': expected a command. Did you mean eval?\n"


def test_an_error_of_snn4_is_one_message_without_traceback(snn4, recipe):
    recipe.error = ShapeError("LIF got x of shape (3, 4)", "(T, B, *features)", "Add the time axis.")
    answer = snn4("run fake")
    assert answer.code == 2
    assert answer.err == "snn4: LIF got x of shape (3, 4): expected (T, B, *features). Add the time axis.\n"


def test_an_unforeseen_error_asks_for_debug(snn4, recipe):
    recipe.error = ZeroDivisionError("division by zero")
    answer = snn4("run fake")
    assert answer.code == 1
    assert "ZeroDivisionError: division by zero" in answer.err
    assert "--debug" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("line", ["--debug run fake", "run fake --debug", "run --debug fake --seed 1"])
@pytest.mark.parametrize(("error", "code"), [(ZeroDivisionError("oh"), 1), (ShapeError("oh", "ah"), 2)])
def test_debug_shows_the_traceback(snn4, recipe, line, error, code):
    recipe.error = error
    answer = snn4(line)
    assert answer.code == code
    assert "Traceback (most recent call last)" in answer.err
    assert type(error).__name__ in answer.err


def test_stopping_says_how_to_go_on(snn4, recipe):
    recipe.error = KeyboardInterrupt()
    answer = snn4("run fake --out here")
    assert answer.code == 130
    assert answer.err == "snn4: Stopped. Go on with: snn4 resume here\n"


def test_a_reader_that_leaves_is_no_error():
    line = [sys.executable, "-c", "import sys; from snn4.cli import main; sys.exit(main(['--help']))"]
    command = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert command.stdout is not None
    command.stdout.close()
    _, err = command.communicate(timeout=120)
    assert (command.returncode, err) == (0, b"")


def test_help_and_version_import_nothing_heavy():
    # the packages' own __init__ files are kept out: what they import is not the command line's doing
    code = f"""
import sys, types
for name, folder in {{"snn4": "snn4", "snn4.core": "snn4/core"}}.items():
    bare = types.ModuleType(name)
    bare.__path__, bare.__version__ = [{str(SOURCE)!r} + "/" + folder], "0"
    sys.modules[name] = bare
from snn4.cli import main
assert main(["--help"]) == main(["--version"]) == 0
heavy = {{"torch", "numpy", "rich", "tyro", "matplotlib", "sklearn", "safetensors"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
