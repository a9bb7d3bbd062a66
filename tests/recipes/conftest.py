"""One smoke run of digits, made once and copied by the tests that change it."""

from __future__ import annotations

import dataclasses
import shutil

import pytest

from snn4.recipes import get


def run_recipe(recipe, config, out, resume=False):
    return recipe.main(config, out=out, resume=resume, progress=False, lang="en", data=None, download=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run, not to be changed."""
    out = tmp_path_factory.mktemp("recipes") / "run"
    out.mkdir()
    recipe = get("digits")
    run_recipe(recipe, dataclasses.replace(recipe.smoke(), seed=3, epochs=2), out)
    return out


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(name="run")
def run_fixture():
    """Runs a recipe without progress bars."""
    return run_recipe
