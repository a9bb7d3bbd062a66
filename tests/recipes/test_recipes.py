"""Recipes: what a run folder holds, that it is the same run again, and what happens to a damaged one."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest
import torch
from safetensors.torch import load_file

from snn4.core.errors import CheckpointError, OptionError
from snn4.recipes import get, names
from snn4.recipes.common import evaluate_folder, profile_folder, read_config
from snn4.recipes.comparison import FILES, make_networks
from snn4.recipes.options import NeuronOptions, TrainingOptions, command_line
from snn4.training import Interrupted

MODEL_KEYS = {"test_accuracy", "val_accuracy", "parameters", "energy_pj", "latency_ms", "train_seconds"}


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_whole(name):
    recipe = get(name)
    assert dataclasses.is_dataclass(recipe.config)
    assert recipe.config.__dataclass_params__.frozen
    config = recipe.config()
    assert {"seed", "epochs", "steps", "neuron", "train"} <= {f.name for f in dataclasses.fields(config)}
    assert recipe.smoke().epochs == 1
    assert recipe.title
    assert len(recipe.title) < 100


@pytest.mark.parametrize("name", names())
def test_every_recipe_builds_three_networks_of_one_architecture(name):
    recipe = get(name)
    experiment = __import__(f"snn4.recipes.{name}", fromlist=["experiment"]).experiment
    networks = make_networks(experiment(recipe.smoke()), recipe.smoke())
    assert list(networks) == ["snn", "ann", "ann_quantised"] == list(FILES)
    sizes = [[p.shape for p in net.parameters() if p.ndim > 1] for net in networks.values()]
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_weights_follow_from_the_seed_and_the_users_generator_is_left_alone():
    recipe = get("digits")
    experiment = __import__("snn4.recipes.digits", fromlist=["experiment"]).experiment
    config = recipe.smoke()
    before = torch.get_rng_state()
    one, two = (make_networks(experiment(config), config)["snn"].state_dict() for _ in range(2))
    other = make_networks(experiment(config), dataclasses.replace(config, seed=1))["snn"].state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["linear1.weight"], other["linear1.weight"])


def test_a_run_folder_holds_what_it_should(finished):
    held = {path.name for path in finished.iterdir()}
    assert held >= {
        "config.json",
        "metrics.jsonl",
        "result.json",
        "environment.json",
        "model.safetensors",
        "report.html",
    }
    result = json.loads((finished / "result.json").read_text())
    assert result["recipe"] == "digits"
    assert (result["seed"], result["steps"]) == (3, 2)
    for name in FILES:
        assert set(result[name]) >= MODEL_KEYS
        for low, high in result[name]["energy_pj"].values():
            assert 0 < low <= high
    snn = result["snn"]
    assert {"spikes_per_sample", "synops_per_sample", "firing_rate", "accuracy_by_step"} <= set(snn)
    assert len(snn["accuracy_by_step"]) == 2
    assert snn["accuracy_by_step"][-1] == pytest.approx(snn["test_accuracy"])
    assert snn["parameters"] == result["ann"]["parameters"]
    counts = result["data"]
    assert counts["train"] + counts["validation"] == 200
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(row["model"], row["epoch"]) for row in rows] == [(name, epoch) for name in FILES for epoch in (1, 2)]


def test_the_pictures_show_the_trained_network(finished):
    arrays = load_file(finished / "pictures.safetensors")
    spikes, membrane = arrays["spikes/neuron1"], arrays["membrane/neuron1"]
    # a neuron fires exactly where its membrane, before the reset, has reached the threshold
    assert torch.equal(spikes.bool(), membrane >= arrays["threshold/neuron1"])
    assert arrays["output"].mean(0).argmax() == arrays["sample/prediction"]
    confusion = arrays["confusion/snn"]
    result = json.loads((finished / "result.json").read_text())
    assert confusion.sum() == result["data"]["test"]
    assert confusion.trace() / confusion.sum() == pytest.approx(result["snn"]["test_accuracy"])


def test_the_same_seed_gives_the_same_run(finished, tmp_path, run):
    recipe, config = read_config(finished)
    run(recipe, config, tmp_path)
    for file in FILES.values():
        one, two = load_file(finished / file), load_file(tmp_path / file)
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(finished, tmp_path, monkeypatch, run):
    recipe, config = read_config(finished)
    import snn4.recipes.comparison as comparison

    fit, calls = comparison.fit, []

    def stops(*args, **options):
        calls.append(options["name"])
        if calls == ["snn", "ann"]:
            raise Interrupted("stopped")
        return fit(*args, **options)

    monkeypatch.setattr(comparison, "fit", stops)
    with pytest.raises(Interrupted):
        run(recipe, config, tmp_path)
    assert not (tmp_path / "result.json").exists()
    run(recipe, config, tmp_path, resume=True)
    one, two = load_file(finished / "ann.safetensors"), load_file(tmp_path / "ann.safetensors")
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_evaluating_again_gives_the_reported_accuracy(finished):
    result = json.loads((finished / "result.json").read_text())
    again = evaluate_folder(finished, None, False)
    assert {name: row["test_accuracy"] for name, row in again.items()} == {
        name: result[name]["test_accuracy"] for name in FILES
    }


def test_profiling_again_lays_the_three_side_by_side(finished):
    text = str(profile_folder(finished))
    assert all(name in text for name in FILES)


def test_options_survive_the_way_through_json(finished):
    recipe, config = read_config(finished)
    assert config == dataclasses.replace(recipe.smoke(), seed=3, epochs=2)


def change(folder, **fields):
    path = folder / "config.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | fields))
    return kept


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "cannot be read"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "config.json").write_text("[]"), "cannot be read"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda f: change(f, schema=99), "version 99"),
        (lambda f: change(f, recipe="digitz"), "digitz"),
        (lambda f: change(f, config={"depth": 3}), "depth"),
        (lambda f: change(f, config={"epochs": "many"}), "epochs"),
        (lambda f: change(f, config={"neuron": 3}), "NeuronOptions"),
    ],
)
def test_a_damaged_config_is_refused(folder, damage, says):
    damage(folder)
    with pytest.raises(CheckpointError, match=says):
        read_config(folder)


def test_an_unfinished_run_cannot_be_evaluated(folder):
    (folder / "ann.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"ann\.safetensors.*snn4 resume"):
        evaluate_folder(folder, None, False)


def test_weights_of_another_network_are_refused(folder):
    (folder / "model.safetensors").write_bytes((folder / "ann_quantised.safetensors").read_bytes())
    with pytest.raises(CheckpointError):
        evaluate_folder(folder, None, False)


def test_a_truncated_weight_file_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="model"):
        evaluate_folder(folder, None, False)


@pytest.mark.parametrize(
    "options",
    [{"steps": 0}, {"limit": 1}, {"neuron": NeuronOptions(tau=0.5)}, {"neuron": NeuronOptions(surrogate="atn")}]
    + [{"train": TrainingOptions(learning_rate=-1.0)}, {"epochs": 0}],
)
def test_options_out_of_range_are_refused_before_anything_is_written(options, tmp_path, run):
    recipe = get("digits")
    with pytest.raises(OptionError):
        run(recipe, dataclasses.replace(recipe.smoke(), **options), tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("name", names())
def test_the_command_in_the_result_makes_the_same_options(name):
    from snn4.cli.run import _parse

    recipe = get(name)
    config = dataclasses.replace(
        recipe.config(),
        seed=4,
        epochs=7,
        hidden=(32, 16),
        limit=100,
        neuron=NeuronOptions(tau=3.5, learn_tau=True, v_reset=0.0, detach_reset=False, surrogate="triangle"),
        train=TrainingOptions(clip_norm=None, autocast=True, ema=0.9, flip=True, optimiser="sgd"),
    )
    words = shlex.split(command_line(name, config))
    assert words[:3] == ["snn4", "run", name]
    assert _parse(recipe.config(), words[3:], name, recipe.title)[0] == config


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(OptionError, match="Did you mean mnist"):
        get("mnits")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (NeuronOptions(learn_tau=True), "tau=2 learned"),
        (NeuronOptions(v_reset=0.0), "v_reset=0"),
        (NeuronOptions(decay="exponential"), "decay=exponential"),
        (NeuronOptions(surrogate="Triangle"), "Triangle"),
    ],
)
def test_neuron_options_reach_the_neuron(options, expected):
    assert expected in str(options.factory()())
