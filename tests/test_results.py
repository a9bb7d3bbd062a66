"""The results that are kept: the tables say what the files say, and what is claimed was reached."""

from __future__ import annotations

import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "results").glob("*/seed*/result.json"))


def load(experiment):
    return [json.loads(path.read_text()) for path in RESULTS if path.parents[1].name == experiment]


def mean(experiment, network):
    return statistics.mean(r[network]["test_accuracy"] for r in load(experiment))


def test_the_tables_are_written_from_the_files():
    done = subprocess.run([sys.executable, ROOT / "results/summarise.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", RESULTS, ids=lambda p: "/".join(p.parts[-3:-1]))
def test_every_run_is_kept_whole(path):
    result = json.loads(path.read_text())
    config = json.loads((path.parent / "config.json").read_text())
    rows = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert config["recipe"] == result["recipe"]
    assert config["config"]["seed"] == result["seed"] == int(path.parent.name.removeprefix("seed"))
    for network in ("snn", "ann", "ann_quantised"):
        epochs = [row for row in rows if row["model"] == network]
        best = max(epochs, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
        # what was tested is the epoch that validation chose
        assert best["val_accuracy"] == pytest.approx(result[network]["val_accuracy"])
        assert best["epoch"] == result[network]["best_epoch"]
    # from a commit, not from a changed working tree
    assert not result["environment"]["commit"].endswith("+")


STUDIES = sorted(path for path in (ROOT / "results").glob("*/*/result.json") if path not in RESULTS)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.parts[-3])
def test_every_study_is_kept_whole(path):
    from snn4.recipes.common import read_config

    result = json.loads(path.read_text())
    recipe, config = read_config(path.parent)
    assert (recipe.name, config.seed) == (result["recipe"], result["seed"])
    assert result["table"] == (path.parent / f"{recipe.name}.md").read_text()
    assert list(path.parent.glob(f"{recipe.name}*.svg"))
    assert not result["environment"]["commit"].endswith("+")


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.parts[-3])
def test_the_rows_of_a_study_make_the_table_that_is_stored(path):
    from snn4.recipes.tables import markdown

    result = json.loads(path.read_text())
    tables = importlib.import_module(f"snn4.recipes.{result['recipe']}").tables(result["study"])
    lines = [line for line in result["table"].splitlines() if line.startswith("|")]
    assert [line for cells in tables.values() for line in markdown(cells).splitlines()] == lines


def test_digits_reaches_what_is_claimed():
    assert len(load("digits")) == 3
    assert mean("digits", "snn") >= 0.97
    assert mean("digits", "snn") >= mean("digits", "ann") - 0.01


def test_the_mnist_mlp_reaches_what_is_claimed():
    assert len(load("mnist-mlp")) == 3
    assert mean("mnist-mlp", "snn") >= 0.983


def test_the_fashion_net_reaches_what_is_claimed():
    assert len(load("fashion-conv")) == 3
    assert mean("fashion-conv", "snn") >= 0.925


def test_the_mnist_conv_net_reaches_what_is_claimed():
    assert mean("mnist-conv", "snn") >= 0.993


def test_exact_spike_times_reach_what_is_claimed():
    # the best dense network of that size with one spike a neuron had 98.1 %
    for name, least in {
        "multispike-mnist": 0.986,
        "single-spike-mnist": 0.979,
        "yinyang-200": 0.981,
        "yinyang-30": 0.975,
    }.items():
        assert len(load(name)) == 3
        assert mean(name, "snn") >= least


def test_the_recipe_of_the_spoken_digits_says_what_was_measured():
    from snn4.recipes import shd

    rows = json.loads((ROOT / "results/shd-neurons/study/result.json").read_text())["study"]
    found = [100 * row["test_accuracy"] for row in rows if row["cell"] == "se_adlif"]
    assert len(found) == 3
    assert f"{statistics.mean(found):.2f} +- {statistics.stdev(found):.2f} %" in shd.__doc__
    assert all(row["parameters"] <= 200_000 for row in rows)


def test_the_ecg_reaches_the_published_accuracy():
    # 85.89 % of all steps is that of the authors' own checkpoint; BRF stays below it where unlabelled steps count
    for part, cells in {"class_0": {"alif"}, "left_out": {"alif", "brf"}}.items():
        rows = json.loads((ROOT / f"results/ecg-neurons/{part}/result.json").read_text())["study"]
        for cell in cells:
            found = [row["test_accuracy"] for row in rows if row["cell"] == cell]
            assert len(found) == 3
            assert statistics.mean(found) >= 0.859


@pytest.mark.parametrize("page", ["docs/explanation/spike-times.md", "docs/ja/spike-times.md"])
def test_the_page_on_spike_times_says_what_was_measured(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert f"{100 * mean('multispike-fashion', 'snn'):.2f}" in text
    for name in ("multispike-mnist", "single-spike-mnist", "yinyang-200", "yinyang-30"):
        values = [100 * r["snn"]["test_accuracy"] for r in load(name)]
        assert f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" in text, name
    # one line a run: the largest difference between trained with the penalty, and who is dead at the end
    lines = (ROOT / "benchmarks/results/initial_weights.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 10
    for row in rows:
        dead, accuracy = f"{100 * row['dead_after']:.1f}", f"{100 * row['val_accuracy']:.2f}"
        assert f"| {dead} | {accuracy} |" in text
    woken = [row for row in rows if row["penalty"]]
    assert all(row["dead_after"] == 0 for row in woken)
    assert max(row["val_accuracy"] for row in woken) - min(row["val_accuracy"] for row in woken) < 0.005


def test_the_leak_study_is_whole_and_says_what_the_page_says():
    rows = json.loads((ROOT / "results/leak-study/study/result.json").read_text())["study"]
    means = {
        model: {
            leak: statistics.mean(r["test_accuracy"] for r in rows if (r["model"], r["tau_v"]) == (model, leak))
            for leak in {r["tau_v"] for r in rows}
        }
        for model in ("one", "several")
    }
    assert len(rows) == 2 * 7 * 3
    flat = [means["one"][leak] for leak in (2.0, 5.0, None)]
    assert max(flat) - min(flat) < 0.0007
    assert all(means["several"][leak] > means["one"][leak] for leak in means["one"])
    assert max(means["several"], key=means["several"].get) == 2.0


def test_the_tables_of_the_choice_pages_are_those_of_the_rows():
    spec = importlib.util.spec_from_file_location("summarise", ROOT / "results/summarise.py")
    summarise = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(summarise)

    def row(kind, member, budget, seed, val, **more):
        cost = {"step_ms": 10.0, "peak_bytes": 2**21, "firing_rate": 0.1, "zero_gradient": None}
        cost |= {"epochs": 5, "samples": 8000, "val_accuracy": val, "test_accuracy": val}
        return {"kind": kind, "member": member, "budget": budget, "seed": seed, **cost, **more}

    rows = [row("baseline", "LIF", "short", 0, 0.8), row("neuron", "A", "short", 0, 0.9)]
    rows += [{"kind": "neuron", "member": "B", "budget": "short", "seed": 0, "failed": "has | branches"}]
    rows += [
        row("route", "R", "short", 0, 0.9),
        row("neuron", "A", "full", 0, 0.9),
        row("neuron", "A", "full", 1, 0.92),
    ]
    lines = summarise.choice_table(rows, "neuron", "en").splitlines()
    # 0.90 and 0.92 have a standard deviation of 0.02 / sqrt(2)
    assert "| A | 2 | 91.00 ± 1.41 | 91.00 ± 1.41 | 10.0 ± 0.0 | 2.0 ± 0.0 | 10.0 ± 0.0 |  |" in lines
    short = [line.split("|")[1].strip() for line in lines[lines.index("") + 1 :] if line.startswith("| ")]
    assert short[-3:] == ["A", "LIF", "B"]
    assert lines[-1].startswith("| B | not trained | has \\| branches |")
    assert "R" not in short
    assert "snn4 run direct_training" in summarise.choice_table([], "neuron", "en")
    assert "学習できず" in summarise.choice_table(rows, "neuron", "ja")
