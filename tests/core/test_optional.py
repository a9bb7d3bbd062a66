"""Optional libraries."""

from __future__ import annotations

import json
import sys

import pytest

from snn4 import MissingLibraryError
from snn4.core.optional import need


def test_what_is_there_is_imported():
    assert need("json", "to read") is json


def test_what_is_not_there_is_told_with_its_command():
    with pytest.raises(MissingLibraryError) as caught:
        need("no_such_library.part", "to test this")
    assert "needed to test this" in str(caught.value)
    assert "pip install no_such_library" in str(caught.value)
    assert isinstance(caught.value, ImportError)


@pytest.mark.parametrize(
    ("library", "extra"),
    [
        ("safetensors", "files"),
        ("matplotlib.pyplot", "view"),
        ("rich.table", "cli"),
        ("tyro", "cli"),
        ("sklearn.datasets", "data"),
        ("sklearn.linear_model", "data"),
    ],
)
def test_a_library_of_ours_names_its_extra(monkeypatch, library, extra):
    # None in sys.modules makes an import fail
    for name in {library, library.split(".")[0]}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibraryError, match=rf"pip install 'snn4\[{extra}\]'"):
        need(library, "to test this")
