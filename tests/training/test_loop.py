from __future__ import annotations

import copy
import dataclasses
import json
import math

import pytest
import torch

from snn4.core.errors import OptionError, ShapeError, StorageError
from snn4.data import Split, order
from snn4.objectives import FiringRate, tet
from snn4.training import Average, FitConfig, Task, evaluate, fit, recorded_spikes, spiking_layers
from snn4.training.loop import batches

CROSS_ENTROPY = torch.nn.functional.cross_entropy


def quiet(net, task, train, val, config, **more):
    return fit(net, task, train, val, config, **{"seed": 0, "progress": False, "log": lambda text: None, **more})


def states(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def assert_same(net, expected):
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_it_is_the_loop_that_one_writes_by_hand(net, split, val, task, kind):
    other = copy.deepcopy(net)
    config = FitConfig(
        epochs=3, batch_size=8, optimiser=kind, learning_rate=0.02, weight_decay=0.1, warmup_epochs=1, clip_norm=0.5
    )
    groups = [
        {"params": [other[0].weight, other[3].weight], "weight_decay": 0.1},
        {"params": [other[0].bias, *other[1].parameters(), other[2].leak, other[3].bias], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups) if kind == "adamw" else torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    step, scores = 0, []
    for epoch in range(3):
        for chosen in order(30, 7, epoch).split(8):
            for group in optimiser.param_groups:
                group["lr"] = 0.02 * ((step + 1) / 4 if step < 4 else (1 + math.cos(math.pi * (step - 4) / 8)) / 2)
            xs = split.inputs[chosen].expand(3, -1, -1)
            loss = CROSS_ENTROPY(other(xs).mean(0), split.targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
            optimiser.step()
            step += 1
        other.eval()
        logits = other(val.inputs.expand(3, -1, -1)).mean(0)
        right = (logits.argmax(1) == val.targets).float().mean().item()
        scores.append((right, -CROSS_ENTROPY(logits, val.targets).item(), states(other)))
        other.train()
    fitted = quiet(net, task, split, val, config, seed=7)
    best = max(range(3), key=lambda epoch: scores[epoch][:2])
    assert fitted.best_epoch == best + 1
    assert fitted.steps == step == 12
    assert fitted.epochs_run == 3
    assert fitted.val_accuracy == pytest.approx(scores[best][0])
    assert_same(net, scores[best][2])
    assert not net.training
    assert all(p.grad is None for p in net.parameters())


def test_the_same_seed_gives_the_same_weights_and_leaves_global_numbers_alone(make_net, leaky, split, val):
    task = Task(
        encode=lambda x, g: x + torch.randn(3, *x.shape, generator=g),
        readout=lambda ys: ys.mean(0),
        loss=CROSS_ENTROPY,
        augment=lambda x, g: x + torch.rand(x.shape, generator=g),
    )
    ends = []
    for seed, own in ((1, 10), (1, 11), (2, 10)):
        net = make_net(leaky(), torch.nn.Dropout(0.5))
        torch.manual_seed(own)
        before = torch.get_rng_state()
        quiet(net, task, split, val, FitConfig(epochs=2, batch_size=8, learning_rate=0.1), seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(net[0].weight.clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_augmentation_is_for_training_only_and_its_numbers_differ_in_each_step(net, split, val, task):
    drawn, encoded = [], []

    def augment(batch, generator):
        drawn.append(torch.rand(1, generator=generator).item())
        return batch + 100

    def encode(batch, generator):
        encoded.append(batch.mean().item() > 50)
        return task.encode(batch, generator)

    quiet(
        net, dataclasses.replace(task, augment=augment, encode=encode), split, val, FitConfig(epochs=2, batch_size=10)
    )
    assert len(set(drawn)) == 6
    # three batches of training, two of validation, twice
    assert encoded == [True, True, True, False, False] * 2


def test_the_best_epoch_is_kept_and_patience_ends_the_run(net, split, val, task):
    # the accuracy that validation will find, epoch by epoch, put into the outputs by hand
    plan = [0.5, 0.6, 0.6, 0.55, 0.6, 0.9]
    calls = []

    def answers(ys):
        if net.training:
            return ys.mean(0)
        right = round(plan[len(calls)] * len(val))
        calls.append(net[0].weight.clone())
        wanted = torch.nn.functional.one_hot(val.targets, 3).float()
        return torch.cat([wanted[:right], wanted.roll(1, 1)[right:]])

    losses = [3.0, 2.0, 1.0, 0.5, 1.5, 1.0]

    def loss(logits, targets):
        found = CROSS_ENTROPY(logits, targets)
        return found if net.training else found * 0 + losses[len(calls) - 1]

    config = FitConfig(epochs=6, batch_size=32, patience=3)
    fitted = quiet(net, dataclasses.replace(task, readout=answers, loss=loss), split, val, config)
    # the accuracy rose last in epoch 2; epoch 3 has the same with a lower loss; epoch 6 is not reached
    assert fitted.stopped_early
    assert fitted.epochs_run == 5
    assert fitted.best_epoch == 3
    assert fitted.val_accuracy == 0.6
    assert fitted.val_loss == 1.0
    assert torch.equal(net[0].weight, calls[2])
    assert "in epoch 3 of 5, stopped early" in str(fitted)


def test_the_average_is_what_is_validated_and_kept(net, split, val, task):
    other = copy.deepcopy(net)
    config = FitConfig(epochs=2, batch_size=10, ema=0.8, learning_rate=0.05)
    fitted = quiet(net, task, split, val, config)
    plain = dataclasses.replace(config, ema=None)
    average, ends = Average(other, 0.8), []
    # the same training without the average, followed by hand
    steps = []
    optimiser_step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        result = optimiser_step(self, *args, **kwargs)
        steps.append(1)
        average.follow(other, len(steps))
        if len(steps) % 3 == 0:
            ends.append({name: tensor.clone() for name, tensor in average.tensors.items()})
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        quiet(other, task, split, val, plain)
    for name, tensor in ends[fitted.best_epoch - 1].items():
        assert torch.equal(net.state_dict()[name], tensor), name
    assert evaluate(net, task, val).accuracy == fitted.val_accuracy


def test_objective_and_penalty_change_what_is_learned_and_not_what_is_validated(net, split, val, task):
    seen = []

    def penalty(spikes):
        seen.append({path: (tuple(s.shape), s.requires_grad) for path, s in spikes.items()})
        return FiringRate(0.3, 0.3, 5.0)(spikes)

    def objective(ys, targets):
        assert ys.ndim == 3
        return tet(ys, targets)

    other = copy.deepcopy(net)
    config = FitConfig(epochs=1, batch_size=30, optimiser="sgd", momentum=0, clip_norm=None, learning_rate=0.1)
    fitted = quiet(net, dataclasses.replace(task, objective=objective, penalty=penalty), split, val, config)
    assert seen == [{"2": ((3, 30, 6), True)}]
    chosen = order(30, 0, 0)
    optimiser = torch.optim.SGD(
        [{"params": [p for p in other.parameters() if p.ndim > 1 and p is not other[2].leak], "weight_decay": 0.01},
         {"params": [p for p in other.parameters() if p.ndim == 1 or p is other[2].leak]}],
        lr=0.1,
    )  # fmt: skip
    with recorded_spikes(other) as spikes:
        ys = other(split.inputs[chosen].expand(3, -1, -1))
    loss = tet(ys, split.targets[chosen]) + FiringRate(0.3, 0.3, 5.0)(spikes)
    loss.backward()
    optimiser.step()
    assert_same(net, states(other))
    assert fitted.history[0]["train_loss"] == pytest.approx(loss.item())
    assert fitted.val_loss == pytest.approx(evaluate(net, task, val).loss)


def test_rows_are_what_happened(net, split, val, task, tmp_path):
    config = FitConfig(epochs=2, batch_size=30, learning_rate=0.01)
    start = copy.deepcopy(net)
    fitted = quiet(net, task, split, val, config, folder=tmp_path, name="ann")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(fitted.history)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [1, 2]
    assert [row["learning_rate"] for row in rows] == [0.01, 0.005]
    assert {row["model"] for row in rows} == {"ann"}
    assert set(rows[0]) == {
        *("model", "epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
        *("learning_rate", "seconds"),
    }
    logits = start.train()(split.inputs.expand(3, -1, -1)).mean(0)
    assert rows[0]["train_loss"] == pytest.approx(CROSS_ENTROPY(logits, split.targets).item(), rel=1e-6)
    assert rows[0]["train_accuracy"] == pytest.approx((logits.argmax(1) == split.targets).float().mean().item())


def test_two_models_share_a_folder(net, make_net, split, val, task, tmp_path):
    config = FitConfig(epochs=1, batch_size=30)
    quiet(net, task, split, val, config, folder=tmp_path, name="snn")
    quiet(make_net(torch.nn.ReLU()), task, split, val, config, folder=tmp_path, name="ann")
    # both are finished: nothing is trained again
    again = make_net(torch.nn.ReLU(), seed=3)
    quiet(again, task, split, val, config, folder=tmp_path, name="ann")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["model"] for row in rows] == ["snn", "ann"]


def test_autocast_trains_in_bfloat16_and_validates_in_full(make_net, split, val, task):
    seen = set()

    class Spy(torch.nn.Module):
        def forward(self, xs):
            seen.add((self.training, xs.dtype))
            return xs

    def loss(logits, targets):
        assert logits.dtype == torch.float32
        return CROSS_ENTROPY(logits, targets)

    config = FitConfig(epochs=2, batch_size=10, autocast=True, learning_rate=0.1)
    fitted = quiet(make_net(Spy()), dataclasses.replace(task, loss=loss), split, val, config)
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert fitted.history[1]["train_loss"] < fitted.history[0]["train_loss"]


def test_a_lone_last_sample_joins_the_batch_before():
    assert [len(batch) for batch in batches(torch.arange(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in batches(torch.arange(9), 4)] == [4, 5]
    assert [len(batch) for batch in batches(torch.arange(3), 1)] == [1, 1, 1]
    assert [len(batch) for batch in batches(torch.arange(1), 4)] == [1]
    assert torch.cat(batches(torch.arange(9), 4)).tolist() == list(range(9))


def test_it_learns(net, split, val, task):
    fitted = quiet(net, task, split, split, FitConfig(epochs=60, batch_size=10, learning_rate=0.05))
    assert fitted.val_accuracy > 0.9


def test_wrong_arguments_are_told(net, split, val, task, tmp_path):
    for train, validation, which in ((split.take([]), val, "training"), (split, val.take([]), "validation")):
        with pytest.raises(OptionError, match=f"the {which} split is empty"):
            quiet(net, task, train, validation, FitConfig())
    nothing = dataclasses.replace(task, encode=lambda x, _: x[None][:0])
    with pytest.raises(ShapeError, match="T >= 1"):
        quiet(torch.nn.Linear(4, 3), nothing, split, val, FitConfig())
    with pytest.raises(ShapeError, match="from 0 to 9: expected classes from 0 to 2"):
        quiet(net, task, Split(split.inputs, torch.arange(30) % 10), val, FitConfig())
    occupied = tmp_path / "file"
    occupied.touch()
    with pytest.raises(StorageError, match="cannot be used"):
        quiet(net, task, split, val, FitConfig(), folder=occupied)
    with pytest.raises(OptionError, match="the name 'a/b': expected letters"):
        quiet(net, task, split, val, FitConfig(), folder=tmp_path, name="a/b")
    with pytest.raises(OptionError, match="identity that JSON cannot hold"):
        quiet(net, task, split, val, FitConfig(), folder=tmp_path, identity={"a": object()})


def test_spiking_layers_are_neurons_with_two_values(net, membrane):
    net.append(membrane())
    net.append(torch.nn.ReLU())
    assert list(spiking_layers(net)) == ["2"]


def test_a_layer_called_twice_is_recorded_as_one(leaky):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.spike = leaky()

        def forward(self, xs):
            return torch.cat([self.spike(xs[:1]), self.spike(xs[1:] * 0)])

    net = Twice()
    with recorded_spikes(net) as spikes:
        ys = net(torch.full((3, 2, 5), 2.0))
    assert list(spikes) == ["spike"]
    assert torch.equal(spikes["spike"], ys)
    assert ys.mean().item() == pytest.approx(1 / 3)
    net(torch.zeros(3, 1, 1))
    assert len(spikes["spike"]) == 3, "nothing is recorded outside"


def test_spikes_inside_a_loop_are_recorded_without_running_it_step_by_step(monkeypatch):
    from snn4 import nn

    torch.manual_seed(0)
    net = torch.nn.Sequential(nn.Recurrent(nn.LIF(), nn.Linear(5, 5)))
    xs = 2 * torch.rand(6, 2, 5)
    wanted = net(xs)
    assert wanted.any()

    def stepped(*_):
        raise AssertionError("step by step")

    if nn.Recurrent(nn.LIF(), nn.Linear(5, 5))._at_once(xs, torch.zeros(1, 2, 5), None).__class__ is not str:
        monkeypatch.setattr(nn.Recurrent, "_stepped", stepped)
    with recorded_spikes(net) as spikes:
        net(xs)
    assert list(spikes) == ["0.body"]
    assert torch.equal(spikes["0.body"], wanted)


@pytest.mark.parametrize("option", ["epochs", "batch_size", "patience", "checkpoint_steps"])
@pytest.mark.parametrize("value", [2.5, True, 0])
def test_what_is_counted_is_a_whole_number(option, value):
    with pytest.raises(OptionError, match=f"{option}={value}: expected {option} a whole number >= 1"):
        FitConfig(**{option: value})
