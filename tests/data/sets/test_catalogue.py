from __future__ import annotations

from pathlib import Path

import pytest
import torch

from snn4.core.errors import DataFileError, OptionError
from snn4.data import Card, Found, Source, Split, available, card, load, names, register
from snn4.data.sets import catalogue

TOY = Card(
    name="toy",
    title="Toy",
    train=2,
    test=1,
    shape=(1,),
    classes=("a", "b"),
    mean=(0.5,),
    std=(0.5,),
    about="Three numbers.",
    licence="none",
    citation="nobody",
    aliases=("plaything",),
)


class Toy(Source):
    card = TOY

    def find(self, root: Path) -> Found:
        there = (root / "toy.txt").is_file()
        return Found(root, () if there else ("toy.txt",), str(root))

    def read(self, folder: Path, *, verify: bool) -> tuple[Split, Split]:
        whole = Split(torch.arange(3.0)[:, None], torch.tensor([0, 1, 0]))
        return whole.take([0, 1]), whole.take([2])


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(catalogue, "_SOURCES", dict(catalogue._SOURCES))
    register(Toy())


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion", "cifar10"])
def test_the_facts_of_a_set_fit_together(name):
    facts = card(name)
    assert facts.name == name
    assert len(facts.mean) == len(facts.std) == facts.shape[0]
    assert len(set(facts.classes)) == 10
    assert all((facts.title, facts.about, facts.licence, facts.citation, facts.key))
    assert all(0 < value < 1 for value in facts.mean + facts.std)


@pytest.mark.parametrize(("alias", "name"), [("fashion-mnist", "fashion"), ("cifar-10", "cifar10"), ("MNIST", "mnist")])
def test_aliases_and_capitals_are_understood(alias, name):
    assert card(alias).name == name


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(OptionError, match="Did you mean mnist"):
        load("mnits")


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10"])
def test_a_missing_set_says_where_and_what_to_do(name, tmp_path):
    with pytest.raises(DataFileError, match=f"snn4 run {name} --download") as refusal:
        load(name, tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "SNN4_DATA" in str(refusal.value)


def test_available_has_a_row_for_each_and_makes_no_folder(tmp_path):
    rows = available(tmp_path / "nowhere")
    assert tuple(row.card.name for row in rows) == names()
    built_in = {"digits", "yinyang"}
    assert [row.found for row in rows] == [row.card.name in built_in for row in rows]
    assert rows[0].where == "scikit-learn"
    assert "train-images-idx3-ubyte" in rows[1].missing
    assert str(rows[1]) == f"mnist: not found in {tmp_path / 'nowhere'}"
    assert not (tmp_path / "nowhere").exists()


def test_a_set_of_ones_own_is_found_read_and_listed(registered, tmp_path):
    assert names()[-1] == "toy"
    with pytest.raises(DataFileError, match=r"missing: toy\.txt"):
        load("toy", tmp_path)
    (tmp_path / "toy.txt").touch()
    data = load("plaything", tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (2, 1, ("a", "b"))
    assert available(tmp_path)[-1].found


def test_a_set_without_addresses_cannot_be_downloaded(registered, tmp_path):
    with pytest.raises(DataFileError, match="toy cannot be downloaded"):
        load("toy", tmp_path, download=True)


def test_a_taken_name_is_refused(registered):
    with pytest.raises(OptionError, match="'toy'"):
        register(Toy())
