"""The report: its structure, its numbers, its sentences, and what it does when something is missing."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from snn4.core.errors import CheckpointError, OptionError
from snn4.view import write_report
from snn4.view.report.run_folder import Gap, read_run
from snn4.view.texts import texts

Make = Callable[..., Path]
VOID = {"img", "meta", "link", "br", "hr"}
SECTIONS = [
    "summary", "compared", "data", "numbers", "pictures", "assumptions", "limits", "next", "reproduce", "glossary",
    "gaps",
]  # fmt: skip
PICTURES = 9
EVIL = "<script>alert('x')</script>&\"'"


@dataclass
class Node:
    """An element as the parser saw it."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    def all(self, tag: str) -> list[Node]:
        inner = [node for child in self.children if isinstance(child, Node) for node in child.all(tag)]
        return ([self] if self.tag == tag else []) + inner

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children).replace("\N{NO-BREAK SPACE}", " ")


class Tree(HTMLParser):
    """A tree of elements; an end tag that does not fit its start tag is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(path: Path) -> Node:
    tree = Tree()
    tree.feed(path.read_text(encoding="utf-8"))
    tree.close()
    assert tree.open == [tree.root], "an element is left open"
    return tree.root


def section(page: Node, key: str) -> Node:
    (found,) = [node for node in page.all("section") if node.attributes["id"] == key]
    return found


def table(page: Node) -> dict[str, list[list[float]]]:
    """The main table: the exact numbers of every cell, by the label of the row."""
    (found,) = [node for node in page.all("table") if node.attributes.get("class") == "numbers"]
    return {
        row.all("th")[0].text: [
            [float(d.attributes["value"] or "") for d in cell.all("data")] for cell in row.all("td")
        ]
        for row in found.all("tbody")[0].all("tr")
    }


def summary(page: Node) -> str:
    return section(page, "summary").text


def test_it_is_one_valid_accessible_page(whole: dict[str, Path]) -> None:
    path = whole["en"]
    assert path.stat().st_size < 3_000_000
    page = parse(path)
    assert page.all("html")[0].attributes["lang"] == "en"
    assert [node.attributes["id"] for node in page.all("section")] == SECTIONS
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    ids = re.findall(r' id="([^"]*)"', path.read_text(encoding="utf-8"))
    assert len(ids) == len(set(ids))
    for node in page.all("section"):
        assert node.attributes["aria-labelledby"] in ids
    links = [str(node.attributes["href"]) for node in page.all("a")]
    assert [link.lstrip("#") for link in links] == SECTIONS
    for node in page.all("table"):
        assert node.all("caption")[0].text
        assert {th.attributes["scope"] for th in node.all("th")} <= {"col", "row"}
        assert all(len(row.all("th")) == 1 for row in node.all("tbody")[0].all("tr"))
        widths = {len(row.all("th")) + len(row.all("td")) for row in node.all("tr")}
        assert len(widths) == 1


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_pictures_are_inside_have_words_and_are_well_formed(whole: dict[str, Path], lang: str) -> None:
    page = parse(whole[lang])
    images = page.all("img")
    assert len(images) == PICTURES == len(page.all("figure"))
    for image in images:
        assert len(str(image.attributes["alt"])) > 10
        head, _, content = str(image.attributes["src"]).partition(",")
        assert head == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(content)).tag == "{http://www.w3.org/2000/svg}svg"
    for node in page.all("figure"):
        assert node.all("h3")[0].text
        assert len(node.all("figcaption")[0].text) > 40


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_nothing_is_fetched_from_elsewhere(whole: dict[str, Path], lang: str) -> None:
    path = whole[lang]
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", path.read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    page = parse(path)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    for image in page.all("img"):
        content = base64.b64decode(str(image.attributes["src"]).partition(",")[2]).decode()
        assert set(re.findall(r'href="(.)', content)) <= {"#", "d"}
        assert "<script" not in content


def test_both_languages_have_the_same_sections_pictures_and_numbers(whole: dict[str, Path]) -> None:
    english, japanese = parse(whole["en"]), parse(whole["ja"])
    assert japanese.all("html")[0].attributes["lang"] == "ja"
    for tag in ("section", "figure", "img", "table", "tr", "h2", "h3", "data"):
        assert len(english.all(tag)) == len(japanese.all(tag)), tag
    assert [d.attributes["value"] for d in english.all("data")] == [d.attributes["value"] for d in japanese.all("data")]
    assert [i.attributes["src"] for i in english.all("img")] == [i.attributes["src"] for i in japanese.all("img")]
    assert [len(s.all("li")) for s in english.all("section")] == [len(s.all("li")) for s in japanese.all("section")]
    assert section(japanese, "summary").all("h2")[0].text == "要点"


def test_the_same_run_gives_the_same_bytes_in_the_same_place(run_folder: Make, whole: dict[str, Path]) -> None:
    folder = run_folder()
    path = write_report(folder)
    assert path == folder / "report.html"
    assert path.read_bytes() == whole["en"].read_bytes()
    assert {file.name for file in folder.iterdir()} == {
        "config.json", "environment.json", "metrics.jsonl", "pictures.safetensors", "report.html", "result.json",
    }  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_the_table_holds_the_numbers_of_the_result(run_folder: Make) -> None:
    folder = run_folder()
    rows, words = table(parse(write_report(folder))), texts("en").rows
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    models = [result[key] for key in ("snn", "ann", "ann_quantised")]
    plain = {
        words.test_accuracy: "test_accuracy",
        words.val_accuracy: "val_accuracy",
        words.parameters: "parameters",
        words.bytes: "bytes",
        words.steps: "steps",
        f"{words.dense_macs}, per sample": "dense_macs_per_sample",
        f"{words.macs}, per sample": "macs_per_sample",
        f"{words.acs}, per sample": "acs_per_sample",
        words.latency: "latency_ms",
        words.latency_p95: "latency_ms_p95",
        words.epochs: "epochs",
        words.train_time: "train_seconds",
    }
    for label, key in plain.items():
        assert rows[label] == [[model[key]] for model in models], key
    assert rows[f"{words.spikes}, per sample"] == [[result["snn"]["spikes_per_sample"]], [], []]
    assert rows[f"{words.membrane_updates}, per sample"] == [[result["snn"]["membrane_updates_per_sample"]], [], []]
    assert rows[words.mean_firing_rate] == [[result["snn"]["mean_firing_rate"]], [], []]
    assert rows[f"{words.compute}, per sample"] == [model["energy_pj"]["compute"] for model in models]
    assert rows[f"{words.with_memory}, per sample"] == [model["energy_pj"]["with_memory"] for model in models]


@pytest.mark.usefixtures("undrawn")
def test_a_network_that_was_not_run_says_so(run_folder: Make) -> None:
    page = parse(write_report(run_folder(change=lambda r: r.pop("ann_quantised"))))
    (numbers,) = [node for node in page.all("table") if node.attributes.get("class") == "numbers"]
    assert {row.all("td")[2].text for row in numbers.all("tbody")[0].all("tr")} == {"not in this run"}
    words = texts("en")
    assert words.limits.no_quantised in section(page, "limits").text
    assert words.next.add_ann in section(page, "next").text
    assert words.summary.trust_float in summary(page)
    assert "floating-point ANN (98.6%)" in summary(page)


@pytest.mark.usefixtures("undrawn")
def test_an_snn_alone_is_reported_without_a_comparison(run_folder: Make) -> None:
    def alone(result: dict[str, Any]) -> None:
        del result["ann"], result["ann_quantised"]

    page = parse(write_report(run_folder(change=alone)))
    assert texts("en").summary.alone in summary(page)
    assert texts("en").limits.no_ann in section(page, "limits").text


@pytest.mark.usefixtures("undrawn")
def test_a_result_with_nothing_but_the_snn_still_makes_a_page(run_folder: Make) -> None:
    def bare(result: dict[str, Any]) -> None:
        result.clear()
        result.update(schema=1, snn={}, ann={})

    everything = ("config.json", "metrics.jsonl", "environment.json", "pictures.safetensors")
    page = parse(write_report(run_folder(change=bare, without=everything)))
    words = texts("en").summary
    assert words.no_accuracy in summary(page)
    assert words.no_energy in summary(page)
    assert words.no_latency in summary(page)
    assert not page.all("img")
    assert len(page.all("figure")) == PICTURES


def accuracies(snn: float, ann: float, test: int) -> Callable[[dict[str, Any]], None]:
    def change(result: dict[str, Any]) -> None:
        result["snn"]["test_accuracy"], result["ann_quantised"]["test_accuracy"] = snn, ann
        result["data"]["test"] = test

    return change


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("change", "lead", "sentence", "chance"),
    [
        (accuracies(0.95, 0.90, 10_000), "lead_ahead", "5.00 percentage points more", "clear"),
        (accuracies(0.90, 0.95, 10_000), "lead_behind", "5.00 percentage points less", "clear"),
        (accuracies(0.95, 0.94, 200), "lead_draw", "1.0 percentage points more", "noise"),
        (accuracies(0.94, 0.95, 200), "lead_draw", "1.0 percentage points less", "noise"),
        (accuracies(0.95, 0.95, 200), "lead_draw", "equally accurate", None),
    ],
)
def test_the_sentence_on_accuracy_follows_the_numbers(
    run_folder: Make, change: Callable[[dict[str, Any]], None], lead: str, sentence: str, chance: str | None
) -> None:
    text, words = summary(parse(write_report(run_folder(change=change)))), texts("en").summary
    assert getattr(words, lead).format(opponent="quantised ANN") in text
    assert sentence in text
    for name in ("clear", "noise"):
        assert (getattr(words, name).split("(")[0] in text) == (name == chance)


def energies(compute: list[float], memory: list[float]) -> Callable[[dict[str, Any]], None]:
    def change(result: dict[str, Any]) -> None:
        result["ann_quantised"]["energy_pj"] = {"compute": [3000.0, 4000.0], "with_memory": [30_000.0, 40_000.0]}
        result["snn"]["energy_pj"] = {"compute": compute, "with_memory": memory}

    return change


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("compute", "memory", "verdict", "tags", "step"),
    [
        ([1000, 2000], [10_000, 20_000], "lower", ["SNN lower", "SNN lower"], "measure_lower"),
        ([5000, 6000], [50_000, 60_000], "higher", ["SNN higher", "SNN higher"], "activity"),
        ([1000, 3500], [10_000, 20_000], "overlap", ["cannot be decided", "SNN lower"], "measure_undecided"),
        ([1000, 2000], [50_000, 60_000], "contradict", ["SNN lower", "SNN higher"], "measure_undecided"),
    ],
)
def test_the_sentence_on_energy_follows_the_ranges(
    run_folder: Make, compute: list[float], memory: list[float], verdict: str, tags: list[str], step: str
) -> None:
    page, words = parse(write_report(run_folder(change=energies(compute, memory)))), texts("en")
    text = summary(page)
    for name in ("lower", "higher", "overlap", "contradict"):
        sentence = getattr(words.summary, name).format(opponent="quantised ANN")
        assert (sentence in text) == (name == verdict), name
    shown = [p.text for p in page.all("p") if str(p.attributes.get("class")).startswith("tag ")]
    assert shown[1:3] == tags
    assert getattr(words.next, step).format(spikes="0.745") in section(page, "next").text


@pytest.mark.usefixtures("undrawn")
def test_formats_and_latency_are_told(run_folder: Make) -> None:
    text = summary(parse(write_report(run_folder())))
    assert "charged for 32-bit arithmetic and the quantised ANN for 8-bit" in text
    assert "14 of the 14 energy models put the SNN below the floating-point ANN" in text
    assert "3.42 ms for its 8 time steps, 4.6 times as long as the quantised ANN (0.74 ms)" in text


@pytest.mark.usefixtures("undrawn")
def test_limits_are_computed_from_the_run(run_folder: Make) -> None:
    limits = section(parse(write_report(run_folder())), "limits").text
    assert "one seed (0)" in limits
    assert "360 test samples, an accuracy of 97.2% is known to about ±1.8 points" in limits
    assert "1,221 training samples" in limits
    assert "32-bit weights" in limits
    assert "In layer 8, 34% of the neurons never fired" in limits

    def large(result: dict[str, Any]) -> None:
        result["data"]["train"] = 60_000
        result["snn"]["silent_share"] = {"2": 0.0}
        result["snn"]["bits"] = {"weights": 8, "activations": 8}
        result["ann"]["epochs"] = 3

    limits = section(parse(write_report(run_folder(change=large))), "limits").text
    assert "data set is small" not in limits
    assert "never fired" not in limits
    assert "-bit weights" not in limits
    assert texts("en").limits.budget in limits


@pytest.mark.usefixtures("undrawn")
def test_every_energy_model_stands_with_its_assumption(run_folder: Make) -> None:
    folder = run_folder()
    text = section(parse(write_report(folder)), "assumptions").text
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    models = [model for key in ("snn", "ann", "ann_quantised") for model in result[key]["energy_models"]]
    assert len({model["name"] for model in models}) == 21
    assert all(model["name"] in text and model["assumes"] in text for model in models)
    assert "SNN: softmax was not counted" in text


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_what_a_user_names_cannot_become_markup(run_folder: Make, lang: str) -> None:
    def change(result: dict[str, Any]) -> None:
        result["title"] = result["recipe"] = result["command"] = EVIL
        result["data"].update(name=EVIL, about=EVIL, licence=EVIL, classes=[f"{EVIL}{k}" for k in range(10)])
        for key in ("snn", "ann", "ann_quantised"):
            result[key]["architecture"] = EVIL
            result[key]["energy_models"][0].update(name=EVIL, assumes=EVIL)
            result[key]["layers"] = [{EVIL: EVIL, "kind": EVIL}]
        for group in ("firing_rate", "silent_share", "saturated_share"):
            result["snn"][group] = {EVIL: 0.5}
        result["expected"] = {EVIL: EVIL}

    def change_tensors(tensors: dict[str, Any]) -> None:
        for group in ("raster", "membrane", "spikes", "threshold"):
            tensors[f"{group}/{EVIL}"] = tensors[f"{group}/2"]

    folder = run_folder(change=change, change_tensors=change_tensors)
    (folder / "environment.json").write_text(json.dumps({EVIL: EVIL}), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({EVIL: {EVIL: EVIL}}), encoding="utf-8")
    path = write_report(folder, lang=lang)
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    page = parse(path)
    assert EVIL in page.all("h1")[0].text
    assert EVIL in section(page, "data").text
    assert len(page.all("img")) == PICTURES


@pytest.mark.usefixtures("undrawn")
def test_missing_and_damaged_files_are_stated_gaps(run_folder: Make) -> None:
    folder = run_folder(without=("config.json", "metrics.jsonl", "environment.json"))
    (folder / "pictures.safetensors").write_bytes(b"not a safetensors file")
    page = parse(write_report(folder))
    gaps = section(page, "gaps").text
    for name in ("config.json", "metrics.jsonl", "environment.json"):
        assert f"{name} is missing." in gaps
    assert "pictures.safetensors is damaged and was left out." in gaps
    assert [node.attributes["id"] for node in page.all("section")] == SECTIONS


@pytest.mark.parametrize("name", ["config.json", "environment.json", "pictures.safetensors"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe\x00", b'{"a":'])
def test_every_kind_of_damage_is_a_gap(run_folder: Make, name: str, content: bytes) -> None:
    folder = run_folder()
    (folder / name).write_bytes(content)
    assert read_run(folder).gaps == (Gap(name, "damaged"),)


@pytest.mark.usefixtures("undrawn")
def test_a_cut_line_of_the_metrics_is_counted_and_left_out(run_folder: Make) -> None:
    folder = run_folder()
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"model": "snn", "epoch": 13, "val_acc')
    page = parse(write_report(folder))
    assert "metrics.jsonl: 1 line(s)" in section(page, "gaps").text
    assert len(page.all("img")) == PICTURES


@pytest.mark.usefixtures("undrawn")
def test_a_whole_folder_has_no_gap(run_folder: Make) -> None:
    assert texts("en").gaps.none in section(parse(write_report(run_folder())), "gaps").text


@pytest.mark.usefixtures("undrawn")
def test_a_picture_that_cannot_be_drawn_does_not_stop_the_others(run_folder: Make) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["raster/2"] = np.zeros((2, 2, 2), dtype=np.uint8)
        tensors["confusion/snn"] = np.zeros((2, 3), dtype=np.int64)
        tensors["output"] = np.full((8, 10), np.nan, dtype=np.float32)

    page, words = parse(write_report(run_folder(change_tensors=change))), texts("en").pictures
    gaps = section(page, "gaps").text
    assert all(title in gaps for title in (words.raster.title, words.confusion.title, words.sample.title))
    assert len(page.all("img")) == PICTURES - 3


@pytest.mark.usefixtures("undrawn")
def test_a_field_of_the_wrong_kind_is_left_out_and_named(run_folder: Make) -> None:
    def change(result: dict[str, Any]) -> None:
        result["snn"]["parameters"] = "many"
        result["snn"]["test_accuracy"] = 97.2
        result["ann"]["energy_pj"]["compute"] = [2, 1]
        result["snn"]["accuracy_by_step"] = [0.5, None]

    gaps = section(parse(write_report(run_folder(change=change))), "gaps").text
    for name in ("snn.parameters", "snn.test_accuracy", "ann.energy_pj.compute", "snn.accuracy_by_step"):
        assert name in gaps


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "does not exist"),
        ("", "is damaged"),
        ('{"schema": 1, "snn"', "is damaged"),
        ("[]", "holds a list"),
        ('{"schema": 2, "snn": {}}', "schema 2"),
        ('{"snn": {}}', "schema None"),
        ('{"schema": 1}', "no entry 'snn'"),
        ('{"schema": 1, "snn": 3}', "no entry 'snn'"),
    ],
)
def test_without_a_result_there_is_no_report(run_folder: Make, content: str | None, match: str) -> None:
    folder = run_folder()
    (folder / "result.json").unlink()
    (folder / "report.html").write_text("the report of yesterday", encoding="utf-8")
    if content is not None:
        (folder / "result.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=match) as caught:
        write_report(folder)
    assert caught.value.advice
    assert (folder / "report.html").read_text(encoding="utf-8") == "the report of yesterday"


def test_an_unknown_language_is_refused_before_anything_is_written(run_folder: Make) -> None:
    folder = run_folder()
    with pytest.raises(OptionError):
        write_report(folder, lang="de")
    assert not (folder / "report.html").exists()


def test_many_layers_are_thinned_out_and_the_page_stays_small(run_folder: Make) -> None:
    def change_tensors(tensors: dict[str, Any]) -> None:
        for layer in range(60):
            tensors[f"raster/{layer}"] = np.ones((100, 200), dtype=np.uint8)
            tensors[f"membrane/{layer}"] = np.ones((100, 6), dtype=np.float32)
            tensors[f"weights/{layer}/counts"], tensors[f"weights/{layer}/edges"] = (
                np.ones(50, dtype=np.float32),
                np.arange(51, dtype=np.float32),
            )

    path = write_report(run_folder(change_tensors=change_tensors))
    assert path.stat().st_size < 3_000_000
    assert "6 of 60 layers are shown." in section(parse(path), "pictures").text
