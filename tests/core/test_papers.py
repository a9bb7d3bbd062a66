"""Papers: every key exists, none is idle, and what is used is cited."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

import snn4
from snn4 import OptionError, cite, nn
from snn4.core.papers import bibtex, entries, keys_of

SOURCE = Path(snn4.__file__).parent


def keys_in_the_source():
    found = {}
    for path in SOURCE.rglob("*.py"):
        for match in re.finditer(r"Paper:\s*\[([^\]]+)\]", path.read_text(encoding="utf-8")):
            for key in match[1].split(","):
                found.setdefault(key.strip(), path.relative_to(SOURCE))
    # what the documentation of the mechanism itself uses as a placeholder
    found.pop("key", None)
    return found


def test_every_key_of_the_source_has_an_entry():
    missing = {key: str(path) for key, path in keys_in_the_source().items() if key not in entries()}
    assert not missing


def test_no_entry_is_idle():
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    # data sets and energy models name their keys in a field of their own
    assert {key for key in entries() if key not in text} == set()


@pytest.mark.parametrize("key", sorted(entries()))
def test_every_entry_is_complete(key):
    text = entries()[key]
    assert re.match(rf"@\w+\{{{re.escape(key)},\n", text)
    assert text.count("{") == text.count("}")
    for field in ("title", "author", "year"):
        assert re.search(rf"^\s*{field}\s*=", text, flags=re.MULTILINE), f"{key} has no {field}"


def test_no_key_stands_twice():
    text = (SOURCE / "core" / "references.bib").read_text(encoding="utf-8")
    assert len(re.findall(r"^@", text, flags=re.MULTILINE)) == len(entries())


@pytest.mark.parametrize("package", ["surrogates", "neurons"])
def test_every_published_member_has_its_paper(package):
    module = importlib.import_module(f"snn4.{package}")
    # members that are no publication of their own
    plain = {"Surrogate", "SpikingNeuron", "Decay", "euler", "exponential"}
    for name in set(module.__all__) - plain:
        assert keys_of(getattr(module, name)), f"{name} names no paper"


def test_a_member_s_own_docstring_goes_before_its_file_s():
    assert keys_of(nn.plif) == ["fang2021plif"]
    assert keys_of(nn.LIF) == ["lapicque1907", "gerstner2014neuronal"]
    assert keys_of(nn.LIF()) == keys_of(nn.LIF)
    assert keys_of(nn.TdBN2d) == ["zheng2021tdbn"]


def test_cite_tells_what_a_network_uses():
    net = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(surrogate=snn4.surrogates.Triangle()), nn.Dropout())
    text = cite(net)
    for key in ("lapicque1907", "gerstner2014neuronal", "esser2016truenorth", "srivastava2014dropout"):
        assert bibtex(key) in text
    assert "fang2021plif" not in text
    # the route is a setting of the neuron
    assert bibtex("werbos1990bptt") in text


def test_cite_takes_names_classes_and_nothing():
    assert cite("fang2021plif") == entries()["fang2021plif"]
    assert cite(snn4.surrogates.ATan) == cite(nn.plif) == cite("fang2021plif")
    assert cite("fang2021plif", nn.plif) == cite("fang2021plif")
    assert cite(torch.nn.Linear(1, 1)) == ""
    assert cite(inspect) == ""


def test_an_unknown_key_is_told():
    with pytest.raises(OptionError, match="Did you mean fang2021plif"):
        cite("fang2021pilf")
