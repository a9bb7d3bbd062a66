"""Recipes: what a run folder holds, that it is the same run again, and what happens to a damaged one."""

from __future__ import annotations

import dataclasses
import json
import shlex

import pytest
import torch
from safetensors.torch import load_file

from snn4.core.errors import CheckpointError, OptionError
from snn4.data import DataSet, Split
from snn4.recipes import get, names
from snn4.recipes.common import evaluate_folder, profile_folder, read_config
from snn4.recipes.comparison import FILES, make_networks
from snn4.recipes.options import NeuronOptions, TrainingOptions, command_line
from snn4.recipes.timed import TimingOptions
from snn4.training import Interrupted


def run_recipe(recipe, config, out, resume=False):
    return recipe.main(config, out=out, resume=resume, progress=False, lang="en", data=None, download=False)


MODEL_KEYS = {"test_accuracy", "val_accuracy", "parameters", "energy_pj", "latency_ms", "train_seconds"}


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_whole(name):
    recipe = get(name)
    assert dataclasses.is_dataclass(recipe.config)
    assert recipe.config.__dataclass_params__.frozen
    config = recipe.config()
    assert {"seed", "epochs", "train"} <= (fields := {f.name for f in dataclasses.fields(config)})
    # over time steps, or in exact spike times
    assert {"steps", "neuron"} <= fields or "timing" in fields
    assert recipe.smoke().epochs == 1
    assert recipe.title
    assert len(recipe.title) < 100


COMPARISONS = [name for name in names() if get(name).experiment is not None]
TIMED = [name for name in names() if "timing" in {f.name for f in dataclasses.fields(get(name).config)}]


@pytest.mark.parametrize("name", COMPARISONS)
def test_every_recipe_builds_three_networks_of_one_architecture(name):
    recipe = get(name)
    networks = make_networks(recipe.experiment(recipe.smoke()), recipe.smoke())
    assert list(networks) == ["snn", "ann", "ann_quantised"] == list(FILES)
    sizes = [[p.shape for p in net.parameters() if p.ndim > 1] for net in networks.values()]
    if name == "yinyang_times":
        # the bias of the hidden ReLUs is a spike of its own
        assert sizes[0][0][1] == sizes[1][0][1] + 1
        assert sizes[0][1:] == sizes[1][1:]
    else:
        assert sizes[0] == sizes[1]
    assert sizes[1] == sizes[2]


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


@pytest.mark.parametrize("name", [name for name in COMPARISONS if name not in TIMED])
def test_the_command_in_the_result_makes_the_same_options(name):
    from snn4.cli.run import _parse

    recipe = get(name)
    widths = {"hidden": (32, 16)} if "hidden" in {f.name for f in dataclasses.fields(recipe.config)} else {}
    config = dataclasses.replace(
        recipe.config(),
        **widths,
        seed=4,
        epochs=7,
        limit=100,
        neuron=NeuronOptions(tau=3.5, learn_tau=True, v_reset=0.0, detach_reset=False, surrogate="triangle"),
        train=TrainingOptions(clip_norm=None, autocast=True, ema=0.9, flip=True, optimiser="sgd"),
    )
    words = shlex.split(command_line(name, config))
    assert words[:3] == ["snn4", "run", name]
    assert _parse(recipe.config(), words[3:], name, recipe.title)[0] == config


@pytest.mark.parametrize("name", TIMED)
def test_the_command_of_a_timed_recipe_makes_the_same_options(name):
    from snn4.cli.run import _parse

    recipe = get(name)
    config = dataclasses.replace(
        recipe.config(),
        seed=4,
        epochs=7,
        limit=100,
        timing=TimingOptions(tau_v=None, tau_i=0.3, max_spikes=5, penalty_form="peak", method="eventprop"),
        train=TrainingOptions(clip_norm=None, shift=1),
    )
    if name == "leak_study":
        config = dataclasses.replace(config, leaks=(0.5, None), seeds=1)
    words = shlex.split(command_line(name, config))
    assert _parse(recipe.config(), words[3:], name, recipe.title)[0] == config


def test_a_timed_run_stands_beside_its_ann(tmp_path, run):
    recipe = get("yinyang_times")
    config = dataclasses.replace(recipe.smoke(), hidden=(12,), epochs=2)
    result = run(recipe, config, tmp_path)
    for name in FILES:
        assert set(result[name]) >= MODEL_KEYS
    snn = result["snn"]
    # the publication's own validation part chose
    assert (result["data"]["train"], result["data"]["validation"]) == (256, 1000)
    assert (result["steps"], snn["steps"], snn["event_driven"]) == (None, None, True)
    assert result["ann"]["bits"]["activations"] == 32
    assert result["ann_quantised"]["bits"] == {"weights": 8, "activations": 8}
    arrays = load_file(tmp_path / "pictures.safetensors")
    assert arrays["timing/input"].shape == (5, 2)
    # the readout's potential at the end of the window is the answer
    assert torch.allclose(arrays["timing/output"][-1], arrays["output"][0], atol=1e-4)
    page = (tmp_path / "report.html").read_text()
    assert "One sample in exact spike times" in page
    assert "time steps" not in page.split("<h2", 2)[1]
    assert read_config(tmp_path)[1] == config
    again = evaluate_folder(tmp_path, None, False)
    assert again["snn"]["test_accuracy"] == snn["test_accuracy"]
    assert "none" in str(profile_folder(tmp_path))


@pytest.mark.parametrize("name", [name for name in TIMED if name not in ("yinyang_times", "leak_study")])
def test_every_timed_recipe_trains(name, monkeypatch):
    from snn4.recipes.comparison import make_tasks

    recipe = get(name)
    config = recipe.smoke()
    experiment = recipe.experiment(config)
    net = make_networks(experiment, config)["snn"]
    data = DataSet(
        "", *[Split(torch.randint(256, (8, 1, 28, 28), dtype=torch.uint8), torch.arange(8))] * 2, (), (0.1,), (1.0,)
    )
    task = make_tasks(experiment, config, data)["snn"]
    xs = task.encode(data.train.inputs, torch.Generator())
    with task.regulariser(net) as cost:
        loss = task.loss(task.readout(net(xs)), data.train.targets)
    (loss + cost()).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    assert any(p.grad.abs().sum() > 0 for p in net.parameters())


def test_bumping_wakes_a_dead_network_and_its_counter_is_kept():
    from snn4.recipes.comparison import make_tasks
    from snn4.timing import observe

    recipe = get("multispike_mnist")
    timing = TimingOptions(penalty_form="bumping", init_mean=-3.0)
    config = dataclasses.replace(recipe.smoke(), timing=timing)
    experiment = recipe.experiment(config)
    net = make_networks(experiment, config)["snn"]
    images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.arange(64) % 10)
    data = DataSet("", split, split, (), (0.1,), (1.0,))
    task = make_tasks(experiment, config, data)["snn"]
    before = observe(net, images[None])["body.fire1"].silent
    for _ in range(12):
        with task.regulariser(net) as cost:
            loss = task.loss(task.readout(net(images[None])), split.targets)
        (loss + cost()).backward()
        task.after_step(net)
    after = observe(net, images[None])["body.fire1"].silent
    assert before > 0.9
    # it lets be what it is told to let be
    assert after <= 0.4
    assert "bumping.count" in net.state_dict()


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The folder of a leak study on eight made-up images."""
    images = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    whole = Split(images, torch.arange(40) % 10)
    made = DataSet("made up", whole, whole, tuple("0123456789"), (0.5,), (0.3,))
    import snn4.recipes.study as module

    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load", lambda *_a, **_k: made)
        recipe = get("leak_study")
        config = dataclasses.replace(recipe.smoke(), hidden=(6,), seeds=2)
        result = run_recipe(recipe, config, out)
        kept = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("runs/*/row.json")}
        (out / "runs" / "one-tau0.5-seed1" / "row.json").unlink()
        again = run_recipe(recipe, config, out, resume=True)
    return out, result, again, kept


def test_a_study_is_a_table_and_a_picture_of_all_runs(study):
    out, result, _again, kept = study
    assert len(result["study"]) == 2 * 2 * 2 == len(kept)
    assert {path.name for path in out.iterdir()} >= {
        "leak_study.md",
        "leak_study-leaks.svg",
        "leak_study-leaks.png",
        "report.html",
        "result.json",
    }
    table = (out / "leak_study.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[4:]] == ["0.5", "none"]
    with pytest.raises(CheckpointError, match="study of many networks"):
        evaluate_folder(out, None, False)


def test_a_study_goes_on_run_by_run(study):
    out, result, again, kept = study
    took = {"train_seconds", "cpu_seconds"}
    strip = [{k: v for k, v in row.items() if k not in took} for row in result["study"]]
    assert [{k: v for k, v in row.items() if k not in took} for row in again["study"]] == strip
    touched = {p.parent.name for p in out.glob("runs/*/row.json") if p.stat().st_mtime_ns != kept[p.parent.name]}
    assert touched == {"one-tau0.5-seed1"}


def test_what_a_study_says_of_the_source():
    from snn4.recipes.leak_study import agreement

    accuracy = {("one", 0.5): (0.90, 0.92), ("one", 2.0): (0.95, 0.97), ("one", None): (0.96, 0.98)}
    accuracy |= {("several", 0.5): (0.9, 0.9), ("several", 2.0): (0.98, 0.98), ("several", None): (0.97, 0.97)}
    rows = [
        {"model": kind, "tau_v": leak, "test_accuracy": value}
        for (kind, leak), values in accuracy.items()
        for value in values
    ]
    found = agreement(rows)
    assert found["one_flat_beyond_window"]["range"] == pytest.approx(0.01)
    assert found["one_flat_beyond_window"]["seed_deviation"] == pytest.approx(0.02 / 2**0.5)
    assert found["several_best"] == {"tau_v": 2.0, "inside": True}
    assert [round(one["difference"], 6) for one in found["several_ahead"]] == [-0.01, 0.02, 0.0]


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
