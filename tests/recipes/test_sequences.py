"""Recipes over real sequences: the way to the loss, and what their ANN is."""

from __future__ import annotations

import dataclasses
import math
from typing import get_args

import pytest
import torch

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.data import DataSet, Split
from snn4.recipes import get
from snn4.recipes.cells import FEED_FORWARD, Cell
from snn4.recipes.comparison import make_networks, make_tasks
from snn4.recipes.sequences import one_answer, step_answers
from snn4.recipes.side_by_side import rates_of
from snn4.recipes.snapshot import write_snapshot
from snn4.training import evaluate

NAMES = ("braille", "radar", "ecg", "shd")
SHAPES = {"braille": (76, 12), "radar": (128, 6), "ecg": (1301, 4), "shd": (100, 140)}


def made(split, classes=3):
    return DataSet("made up", split, split, tuple(map(str, range(classes))), (0.0,), (1.0,))


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_take_what_the_data_set_holds(name):
    recipe = get(name)
    config = recipe.smoke()
    experiment = recipe.experiment(config)
    inputs = torch.randint(3, (2, *SHAPES[name]), dtype=torch.uint8)
    targets = torch.zeros((2, 1301) if name == "ecg" else (2,), dtype=torch.int64)
    task = make_tasks(experiment, config, made(Split(inputs, targets)))["snn"]
    xs = task.encode(inputs, torch.Generator())
    assert xs.shape == (config.steps, 2, SHAPES[name][1])
    classes = {"braille": 27, "radar": 12, "ecg": 6, "shd": 20}[name]
    # one forward is enough where a sequence is long
    nets = make_networks(experiment, config)
    for net in (nets["snn"],) if name == "ecg" else nets.values():
        answers = task.readout(net(xs))
        assert answers.shape == ((1301, 2, 6) if name == "ecg" else (2, classes))


@pytest.mark.parametrize("name", NAMES)
def test_the_ann_has_relus_in_the_neurons_place_and_the_same_integrators(name):
    recipe = get(name)
    nets = make_networks(recipe.experiment(recipe.smoke()), recipe.smoke())
    snn, ann = nets["snn"], nets["ann"]
    assert type(snn.neuron1) is type(ann.neuron1) is nn.Recurrent
    assert type(ann.neuron1.body) is torch.nn.ReLU
    made = {"lif": nn.LIF, "alif": nn.ALIF, "se_adlif": nn.SEAdLIF}
    assert type(snn.neuron1.body) is made[recipe.smoke().cell]
    assert str(snn.readout) == str(ann.readout)


@pytest.mark.parametrize("cell", get_args(Cell))
def test_every_cell_makes_a_network_that_learns(cell):
    recipe = get("shd")
    config = dataclasses.replace(recipe.smoke(), cell=cell, hidden=(16, 8), recurrent=cell not in FEED_FORWARD)
    nets = make_networks(recipe.experiment(config), config)
    xs = torch.randint(3, (10, 2, 140)).float()
    nets["snn"](xs).square().sum().backward()
    assert nets["snn"].linear1.weight.grad.any()
    # the ANN has the same widths, and feeds back where the SNN does
    assert nets["ann"].linear2.weight.shape == (8, 16)
    assert isinstance(nets["ann"].neuron1, nn.Recurrent) is config.recurrent
    assert isinstance(nets["snn"].linear1, nn.DendriticLinear) is (cell == "dh_lif")


def test_neurons_that_a_loop_cannot_take_are_refused_with_the_way_out():
    recipe = get("shd")
    for cell in FEED_FORWARD:
        with pytest.raises(OptionError, match="--no-recurrent"):
            recipe.experiment(dataclasses.replace(recipe.smoke(), cell=cell))


def test_steps_without_a_label_become_class_0_where_that_is_asked_for():
    recipe = get("ecg")
    data = made(Split(torch.zeros(1, 3, 4), torch.tensor([[2, -1, 1]])))
    left_out = recipe.experiment(recipe.smoke()).prepare(data)
    filled = recipe.experiment(dataclasses.replace(recipe.smoke(), unlabelled="class_0")).prepare(data)
    assert left_out.test.targets.tolist() == [[2, -1, 1]]
    assert filled.train.targets.tolist() == filled.test.targets.tolist() == [[2, 0, 1]]


def test_samples_move_in_time_and_along_channels():
    batch = torch.zeros(32, 9, 7, dtype=torch.uint8)
    batch[:, 4, 3] = 1
    options = dataclasses.replace(get("shd").config().train, shift=2)
    task = one_answer(9)(made(Split(batch, torch.zeros(32, dtype=torch.int64))), options)
    moved = task.augment(batch, torch.Generator().manual_seed(0))
    assert moved.shape == batch.shape
    assert moved.flatten(1).sum(1).tolist() == [1] * 32
    _, frames, channels = moved.nonzero(as_tuple=True)
    assert set(frames.tolist()) == set(range(2, 7))
    assert set(channels.tolist()) == set(range(1, 6))


def test_neurons_side_by_side_have_one_row_each_and_the_ann_beside_them(tmp_path, monkeypatch):
    frames = torch.randint(2, (40, 12, 140), dtype=torch.uint8)
    data = made(Split(frames, torch.arange(40) % 20), 20)
    monkeypatch.setattr("snn4.recipes.study.load", lambda *_, **__: data)
    recipe = get("shd_neurons")
    how = {"resume": False, "progress": False, "lang": "en", "data": None, "download": False}
    config = dataclasses.replace(recipe.smoke(), steps=6, cells=("psn", "relu"), rates=("relu=0.005",))
    rows = recipe.main(config, out=tmp_path, **how)["study"]
    assert [row["rate"] for row in rows] == [config.train.learning_rate, 0.005]
    assert [(row["cell"], row["form"]) for row in rows] == [("psn", "feed-forward"), ("relu", "recurrent")]
    # 6 x 6 weights over time and 6 thresholds in place of 16 x 16 recurrent weights and 16 biases
    assert rows[0]["parameters"] == rows[1]["parameters"] - (16 * 16 + 16) + 42
    with pytest.raises(OptionError, match="--cells"):
        recipe.main(dataclasses.replace(config, cells=("lif", "lif")), out=tmp_path, **how)
    # a cell that is not among those of this run may have one
    assert rates_of(dataclasses.replace(config, rates=("lif=0.1",))).keys() == {"psn", "relu"}
    for wrong in ("lid=0.1", "relu", "relu=fast", "relu=0", "relu=-1", "relu=nan"):
        with pytest.raises(OptionError, match=f"--rates got '{wrong}'"):
            recipe.main(dataclasses.replace(config, rates=(wrong,)), out=tmp_path, **how)


def test_options_of_time_constants_come_back_from_the_folder_of_a_run(tmp_path):
    from snn4.core.files import write_json
    from snn4.recipes.cells import Starts
    from snn4.recipes.common import read_config

    config = dataclasses.replace(get("ecg").smoke(), starts=Starts(omega=(1.0, 25.0)))
    write_json(tmp_path / "config.json", {"schema": 1, "recipe": "ecg", "config": dataclasses.asdict(config)})
    assert read_config(tmp_path)[1] == config


def test_frames_are_averaged_and_scaled():
    batch = torch.tensor([[[0], [10], [20], [40]]], dtype=torch.uint8)
    task = one_answer(2, 0.1)(made(Split(batch, torch.tensor([0]))), get("radar").config().train)
    assert task.encode(batch, torch.Generator()).flatten().tolist() == pytest.approx([0.5, 3.0])


def test_the_mean_share_is_the_mean_of_the_softmax_at_each_step():
    ys = torch.tensor([[[0.0, 0.0]], [[math.log(9.0), 0.0]]])
    batch = torch.zeros(1, 2, 1, dtype=torch.uint8)
    task = one_answer(2, shares=True)(made(Split(batch, torch.tensor([0]))), get("shd").config().train)
    # (1/2 + 9/10) / 2
    assert task.readout(ys).exp().flatten().tolist() == pytest.approx([0.7, 0.3])
    assert task.loss(task.readout(ys), torch.tensor([0])).item() == pytest.approx(-math.log(0.7))


def test_a_class_a_step_is_judged_by_labelled_steps_and_pictured_at_the_last_of_them(tmp_path):
    from safetensors.torch import load_file

    spikes = torch.eye(3, dtype=torch.uint8)[torch.tensor([[0, 1, 2, 2]])]
    split = Split(spikes, torch.tensor([[0, 1, 1, -1]]))
    task = step_answers(made(split), get("ecg").config().train)
    found = evaluate(torch.nn.Identity(), task, split)
    assert found.accuracy == pytest.approx(2 / 3)
    write_snapshot(tmp_path, {"snn": torch.nn.Identity()}, task, split, {})
    arrays = load_file(tmp_path / "pictures.safetensors")
    assert (int(arrays["sample/label"]), int(arrays["sample/prediction"])) == (1, 2)


def test_options_that_do_not_fit_are_refused():
    for name, options in (("ecg", {"steps": 100}), ("braille", {"steps": 0}), ("shd", {"cell": "lstm"})):
        recipe = get(name)
        with pytest.raises(OptionError):
            recipe.experiment(dataclasses.replace(recipe.smoke(), **options))


def test_what_the_options_make_of_the_lif_is_called_so():
    from snn4.recipes import side_by_side
    from snn4.recipes.options import NeuronOptions
    from snn4.recipes.shd import experiment_of

    config = dataclasses.replace(get("shd_neurons").smoke(), cells=("lif",), neuron=NeuronOptions(kind="alif"))
    trial = side_by_side._trial(config, experiment_of, "lif", rates_of(config), 0)
    assert trial.labels["cell"] == "ALIF of --neuron"
    config = dataclasses.replace(config, neuron=get("shd_neurons").smoke().neuron)
    assert side_by_side._trial(config, experiment_of, "lif", rates_of(config), 0).labels["cell"] == "lif"
