"""The recipes on CIFAR-10 for a GPU: the papers' networks, the small one for a CPU, and how they are trained."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.data import DataSet, Split
from snn4.layers import SpikingTwin, integer_levels
from snn4.neurons import DALIF, DSRLIF, LIF, IntegerLIF
from snn4.quantization import QuantReLU
from snn4.recipes import get
from snn4.recipes.beginning import First, fit_configs
from snn4.recipes.common import evaluate_folder, profile_folder, read_config
from snn4.recipes.comparison import deployed, make_networks, make_tasks
from snn4.recipes.options import TrainingOptions
from snn4.recipes.tasks import make_task
from snn4.surrogates import LSG
from snn4.training import OutOfTime, time_limit
from snn4.training.parts import pack, unpack

NAMES = ("cifar10_resnet19_lsg", "cifar10_preact_dsr", "cifar10_resnet18_dalif", "cifar10_msresnet18_integer")
# steps of the training, and binary values a step
STEPS = dict.fromkeys(NAMES, (4, 1)) | {NAMES[3]: (1, 4)}


def parameters(net, kind):
    inside = {id(p) for m in net.modules() if isinstance(m, kind) for p in m.parameters()}
    return len(inside), sum(p.numel() for p in net.parameters() if id(p) not in inside)


@pytest.mark.parametrize(
    ("name", "kind", "layers", "weights"),
    # the counts of the models' own tests, which are the published ones; DA-LIF has two numbers a layer
    [
        (NAMES[0], LIF, 18, 12_630_858),
        (NAMES[1], DSRLIF, 19, 11_176_926),
        (NAMES[2], DALIF, 34, 11_173_962),
        (NAMES[3], IntegerLIF, 0, 11_173_962),
    ],
)
def test_on_a_gpu_it_is_the_network_of_the_paper(name, kind, layers, weights):
    recipe = get(name)
    config = dataclasses.replace(recipe.config(), networks="snn")
    assert (config.train.device, config.train.autocast, config.train.optimiser) == ("cuda", True, "sgd")
    networks = make_networks(recipe.experiment(config), config)
    assert list(networks) == ["snn"]
    assert parameters(networks["snn"], kind) == (layers, weights)


@pytest.mark.parametrize("name", NAMES)
def test_on_a_cpu_it_is_a_small_one_beside_its_ann(name):
    recipe = get(name)
    config = recipe.small()
    steps, levels = STEPS[name]
    assert (config.train.device, config.steps) == ("cpu", steps)
    networks = make_networks(recipe.experiment(config), config)
    assert list(networks) == ["snn", "ann", "ann_quantised"]
    assert all(sum(p.numel() for p in net.parameters()) <= 300_000 for net in networks.values())
    assert (integer_levels(networks["snn"]) or 1) == levels
    bits = {m.bits for m in networks["ann_quantised"].modules() if isinstance(m, QuantReLU)}
    assert bits == {3}, "four binary steps tell five values apart"
    # what is small keeps the recipe's own neuron
    assert config.neuron == recipe.config().neuron


def test_the_neurons_are_those_of_the_papers():
    made = [get(name).config().neuron.factory(4)() for name in NAMES]
    lsg, dsr, dalif, integer = made
    assert (integer.levels, integer.v_threshold) == (4, 1.0)
    assert isinstance(lsg.surrogate, LSG)
    assert lsg.decay_of_v.item() == pytest.approx(0.2)
    assert (lsg.v_threshold, lsg.v_reset) == (0.5, 0.0)
    assert (dsr.v_threshold.item(), dsr.alpha, dsr.dt, dsr.tau) == (pytest.approx(0.6), 0.5, 0.1, 1.0)
    assert (dalif.alpha.item(), dalif.beta.item()) == (pytest.approx(0.75), pytest.approx(0.5))


def test_integer_neurons_are_deployed_with_spikes_where_they_can():
    row = torch.nn.Sequential(nn.Linear(3, 4), nn.IntegerLIF(4), nn.Linear(4, 2))
    leaky = torch.nn.Sequential(nn.Linear(3, 4), nn.IntegerLIF(4), nn.Linear(4, 2), nn.LI())
    binary = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF())
    assert isinstance(deployed(row), SpikingTwin)
    assert deployed(leaky) is leaky
    assert deployed(binary) is binary


def test_the_answer_of_dsr_is_the_weighted_mean_of_its_outputs():
    recipe = get(NAMES[1])
    data = made_up(8)
    task = make_tasks(recipe.experiment(recipe.config()), recipe.config(), data)["snn"]
    ys = torch.tensor([0.0, 0.0, 6.0, 6.0, 0.0]).view(5, 1, 1)
    # weights exp(-(5 - n) / 10), by hand
    w = [0.670320, 0.740818, 0.818731, 0.904837, 1.0]
    assert task.readout(ys).item() == pytest.approx(6 * (w[2] + w[3]) / sum(w), rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_it_says_what_there_is_instead(name, tmp_path, run):
    recipe = get(name)
    with pytest.raises(OptionError, match=r"torch sees none.*--small"):
        run(recipe, recipe.config(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_recipe_for_a_cpu_is_not_said_to_have_a_small_one(tmp_path, run):
    recipe = get("digits")
    config = recipe.smoke()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, device="cuda"))
    with pytest.raises(OptionError, match="torch sees none") as found:
        run(recipe, config, tmp_path)
    assert found.value.advice == "Leave --train.device away."


def made_up(count):
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.arange(count) % 10)
    return DataSet("made up", split, split, tuple("0123456789"), (0.2, 0.4, 0.6), (0.25, 0.25, 0.25))


@pytest.fixture
def images(monkeypatch):
    """Forty made-up images in the place of CIFAR-10."""
    import snn4.recipes.common as common
    import snn4.recipes.comparison as comparison

    for module in (common, comparison):
        monkeypatch.setattr(module, "load", lambda *_a, **_k: made_up(40))


@pytest.fixture
def unreported(monkeypatch):
    """Without the page and the measurements of a run, which take most of its time."""
    import snn4.recipes.comparison as comparison

    for name in ("write_report", "write_snapshot"):
        monkeypatch.setattr(comparison, name, lambda *_a, **_k: None)
    monkeypatch.setattr(comparison, "measure", lambda *_a: {})


@pytest.mark.usefixtures("images")
# DSR's neurons send numbers; integer ones send counts, and are tested as the spiking twin
@pytest.mark.parametrize("name", [NAMES[1], NAMES[3]])
def test_a_tiny_run_goes_all_the_way(name, tmp_path, run):
    recipe = get(name)
    config = recipe.smoke()
    result = run(recipe, config, tmp_path)
    assert "<html" in (tmp_path / "report.html").read_text()
    assert "snn" in str(profile_folder(tmp_path))
    assert evaluate_folder(tmp_path, None, False)["snn"]["test_accuracy"] == result["snn"]["test_accuracy"]


@pytest.mark.usefixtures("images", "unreported")
@pytest.mark.parametrize("name", NAMES)
def test_every_one_trains_and_says_what_it_took(name, tmp_path, run):
    recipe = get(name)
    config = recipe.smoke()
    result = run(recipe, config, tmp_path)
    assert result["steps"] == config.steps * STEPS[name][1]
    assert ("run with binary spikes" in result["snn"]["architecture"]) == (name == NAMES[3])
    for network in ("snn", "ann", "ann_quantised"):
        assert result[network]["device"] == "cpu"
        took = result[network]["train_seconds"]
        assert result[network]["samples_per_second"] == pytest.approx(36 / took)
    assert read_config(tmp_path)[1] == config


@pytest.mark.usefixtures("images")
def test_the_snn_alone_has_no_opponents(tmp_path, run):
    recipe = get(NAMES[0])
    result = run(recipe, dataclasses.replace(recipe.smoke(), networks="snn"), tmp_path)
    assert "snn" in result
    assert not {"ann", "ann_quantised"} & set(result)
    assert {path.name for path in tmp_path.glob("*.safetensors")} >= {"model.safetensors", "snn.checkpoint.safetensors"}
    assert not (tmp_path / "ann.safetensors").exists()
    assert "ANN" not in (tmp_path / "metrics.jsonl").read_text()
    assert (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def tiny():
    recipe = get(NAMES[0])
    return recipe, dataclasses.replace(recipe.smoke(), epochs=3, first_epochs=2, limit=None)


@pytest.mark.usefixtures("images", "unreported")
def test_it_begins_with_one_step_and_goes_on_with_all(tiny, tmp_path, run):
    recipe, config = tiny
    result = run(recipe, config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    epochs = {name: sum(row["model"] == name for row in rows) for name in ("snn_first", "snn", "ann")}
    assert epochs == {"snn_first": 2, "snn": 1, "ann": 3}
    assert (result["snn"]["epochs"], result["snn"]["best_epoch"], result["ann"]["epochs"]) == (3, 1, 3)
    assert result["steps"] == 2
    # what the second part began with is what the first one has chosen
    began = load_file(tmp_path / "snn.checkpoint.previous.safetensors")
    chosen = load_file(tmp_path / "snn_first.checkpoint.safetensors")
    assert torch.equal(began["net/conv.weight"], chosen["best/conv.weight"])


@pytest.mark.usefixtures("images", "unreported")
def test_calls_of_seconds_and_a_journey_in_parts_end_as_one_run(tiny, tmp_path, run):
    recipe, config = tiny
    config = dataclasses.replace(config, networks="snn")
    (tmp_path / "whole").mkdir()
    run(recipe, config, tmp_path / "whole")
    folder, calls = tmp_path / "run0", 0
    folder.mkdir()
    while True:
        try:
            # over at once: one step a call, and a validation that is over before it has begun is made again
            with time_limit(1e-9 if calls < 2 else None):
                run(recipe, config, folder, resume=calls > 0)
        except OutOfTime:
            calls += 1
            assert pack(folder, tmp_path / f"parts{calls}", mib=0.03).changed == ()
            folder = tmp_path / f"run{calls}"
            unpack(tmp_path / f"parts{calls}", folder)
            continue
        break
    assert calls == 2
    one, two = (load_file(path / "model.safetensors") for path in (tmp_path / "whole", folder))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(("first", "later"), [(3, 0.5), (4, 0.5), (-1, 0.5), (2, 0.0)])
def test_a_beginning_out_of_range_is_told(tiny, first, later):
    recipe, config = tiny
    config = dataclasses.replace(config, first_epochs=first, later=later)
    with pytest.raises(OptionError, match="--first-epochs"):
        fit_configs(recipe.experiment(config), config)


def test_the_second_part_has_what_the_first_leaves(tiny):
    recipe, config = tiny
    experiment = dataclasses.replace(recipe.experiment(config), first=First(1, 1, 0.25))
    found = fit_configs(experiment, dataclasses.replace(config, train=TrainingOptions(learning_rate=0.8)))
    assert {name: (how.epochs, how.learning_rate) for name, how in found.items()} == {
        "snn": (2, pytest.approx(0.2)),
        "ann": (3, 0.8),
        "ann_quantised": (3, 0.8),
    }


def test_cutout_blanks_with_the_mean_colour_of_the_stored_bytes():
    data = made_up(4)
    task = make_task(data, TrainingOptions(cutout=64))
    images = task.augment(data.train.inputs, torch.Generator().manual_seed(0))
    assert images.dtype == torch.uint8
    # the square is twice as large as the image: it covers at least a quarter of it, wherever its centre is
    assert (images == 102).all(1).flatten(1).float().mean(1).min() >= 0.25
    assert make_task(data, TrainingOptions()).augment is None


@pytest.fixture(scope="module")
def script():
    """benchmarks/gpu_recipe.py."""
    place = Path(__file__).parents[2] / "benchmarks" / "gpu_recipe.py"
    spec = importlib.util.spec_from_file_location("gpu_recipe", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("images", "unreported")
def test_one_command_makes_a_call_and_the_next_one_goes_on(script, tmp_path, capsys):
    def call(*words):
        found = script.main([NAMES[2], "--dry", *map(str, words)])
        assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
        return found

    first = call("--run", tmp_path / "a", "--to", tmp_path / "1", "--minutes", 1e-9, "--set", "networks=snn", "steps=3")
    assert (first["finished"], first["last_epoch"], first["neurons"]) == (False, None, "the CPU")
    second = call("--run", tmp_path / "b", "--from", tmp_path / "1", "--to", tmp_path / "2")
    assert second["finished"]
    assert set(second["networks"]) == {"snn"}
    assert second["networks"]["snn"]["samples_per_second"] > 0
    config = read_config(tmp_path / "b")[1]
    assert (config.networks, config.steps) == ("snn", 3)
    unpack(tmp_path / "2", tmp_path / "c")
    result = json.loads((tmp_path / "c" / "result.json").read_text())
    assert result["snn"]["test_accuracy"] == second["networks"]["snn"]["test_accuracy"]


def test_options_of_the_script_are_checked(script):
    config = get(NAMES[0]).config()
    found = script.changed(config, ["train.cutout=16", 'neuron.surrogate_settings=["scale=0.5"]', "limit=null"])
    assert (found.train.cutout, found.neuron.surrogate_settings, found.limit) == (16, ("scale=0.5",), None)
    with pytest.raises(OptionError, match="cut"):
        script.changed(config, ["train.cut=16"])
    with pytest.raises(TypeError, match="networks"):
        script.changed(config, ["networks=ann"])
