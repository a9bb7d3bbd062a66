"""The tree of errors, and the sentences they make."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from snn4.core import errors
from snn4.core.errors import Snn4Error, suggest

BUILT_IN = {
    "ShapeError": ValueError,
    "NotFiniteError": ValueError,
    "OptionError": ValueError,
    "StateError": RuntimeError,
    "GraphError": RuntimeError,
    "DataFileError": OSError,
    "CheckpointError": OSError,
    "StorageError": OSError,
    "MissingLibraryError": ImportError,
}


def members():
    return {
        name: member
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, Exception) and member.__module__ == errors.__name__
    }


def test_the_tree_is_the_documented_one():
    assert set(members()) == {"Snn4Error", *BUILT_IN}
    drawn = [line for line in inspect.getdoc(errors).splitlines() if "──" in line]
    assert {line.split()[1]: line.split()[2].strip("()") for line in drawn} == {
        name: built_in.__name__ for name, built_in in BUILT_IN.items()
    }


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_is_also_what_a_stranger_would_catch(name):
    error = members()[name]("LIF got x", "(T, B, *features)", "Add the time axis.")
    assert isinstance(error, Snn4Error)
    assert isinstance(error, BUILT_IN[name])
    assert str(error) == "LIF got x: expected (T, B, *features). Add the time axis."
    assert (error.came, error.expected, error.advice) == ("LIF got x", "(T, B, *features)", "Add the time axis.")


@pytest.mark.parametrize("name", BUILT_IN)
def test_each_survives_a_copy_and_a_process_border(name):
    error = members()[name]("came", "expected", "advice")
    # what the standard library does to send an exception from a worker process
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)


def test_without_advice():
    assert str(Snn4Error("x", "y")) == "x: expected y."


def test_all_are_public():
    import snn4

    for name in members():
        assert name in errors.__all__
        assert getattr(snn4, name) is members()[name]


def test_suggestions():
    assert suggest("mnsit", ["mnist", "digits"]) == "Did you mean mnist?"
    assert suggest("fashon", ["fashion", "fashion2"]) == "Did you mean fashion or fashion2?"
    assert suggest("q", ["b", "a"]) == "Known: a, b."
