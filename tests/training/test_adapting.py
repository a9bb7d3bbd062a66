"""Surrogates that follow the training: annealed ones and Dspike, also over a stop."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal

import pytest
import torch

from snn4 import nn
from snn4.surrogates import Annealed, Dspike, Rectangle, TemperatureSearch
from snn4.training import FitConfig, Interrupted, adapting, fit

CONFIG = FitConfig(epochs=5, batch_size=10, learning_rate=0.05)


def spiking(make_net, norm, surrogate, *more):
    return make_net(norm(6), nn.LIF(surrogate=surrogate), *more)


def test_an_annealed_surrogate_is_sharpened_epoch_by_epoch(make_net, norm, split, val, task):
    net = spiking(make_net, norm, Annealed(Rectangle(1.0), sharpness=16.0, hold=0.0))
    seen = []

    def encode(xs, generator):
        if net.training:
            seen.append(net[2].surrogate.k.item())
        return task.encode(xs, generator)

    fit(net, dataclasses.replace(task, encode=encode), split, val, CONFIG, seed=0, progress=False)
    # 16 ** (epoch / 4), three batches an epoch
    assert seen == pytest.approx([k for k in (1.0, 2.0, 4.0, 8.0, 16.0) for _ in range(3)])


def test_without_adapt_surrogates_stay_as_they_are(make_net, norm, split, val, task):
    config = dataclasses.replace(CONFIG, adapt=False)
    annealed, dspike = spiking(make_net, norm, Annealed()), spiking(make_net, norm, Dspike(3.0))
    for net in (annealed, dspike):
        fit(net, task, split, val, config, seed=0, progress=False)
    assert annealed[2].surrogate.k.item() == 1.0
    assert dspike[2].surrogate.b == 3.0


def test_a_temperature_is_searched_once_an_epoch_and_written_down(make_net, norm, split, val, task, tmp_path):
    net = spiking(make_net, norm, Dspike(3.0))
    fit(net, task, split, val, CONFIG, seed=0, folder=tmp_path, progress=False)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [3.0, *(row["temperature"] for row in rows)]
    steps = [abs(after - before) for before, after in itertools.pairwise(found)]
    # whole steps in the first half (epochs 0 to 2 of 5), small ones after
    assert all(step == pytest.approx(0, abs=1e-9) or step == pytest.approx(1.0) for step in steps[:3])
    assert all(step == pytest.approx(0, abs=1e-9) or step == pytest.approx(0.2) for step in steps[3:])
    assert any(steps)
    assert net[2].surrogate.b == found[-1]


def test_a_search_leaves_weights_statistics_and_random_numbers_alone(make_net, norm, split, val, task, monkeypatch):
    def looks(net, loss, weight, *, step, generator):
        del step, generator
        before = loss()
        assert torch.autograd.grad(before, weight)[0].isfinite().all()
        # the same batch, the same dropout, the same statistics
        assert loss() == before
        return TemperatureSearch(adapting.temperature(net), {})

    def trained(config):
        net = spiking(make_net, norm, Dspike(3.0), torch.nn.Dropout(0.3))
        fit(net, task, split, val, config, seed=0, progress=False)
        return net.state_dict()

    plain = trained(dataclasses.replace(CONFIG, adapt=False))
    monkeypatch.setattr(adapting, "search_temperature", looks)
    searched = trained(CONFIG)
    assert all(torch.equal(plain[key], searched[key]) for key in plain)


@pytest.mark.parametrize("surrogate", [Dspike(3.0), Annealed(sharpness=8.0)], ids=["dspike", "annealed"])
@pytest.mark.parametrize("call", [4, 8])
def test_a_stopped_run_goes_on_with_the_surrogate_that_it_had(
    make_net, norm, split, val, task, tmp_path, surrogate, call
):
    def fresh():
        return spiking(make_net, norm, surrogate, torch.nn.Dropout(0.2))

    def run(net, task, folder):
        return fit(net, task, split, val, CONFIG, seed=0, folder=folder, progress=False, log=lambda _: None)

    whole, stopped = fresh(), fresh()
    run(whole, task, tmp_path / "whole")
    calls = 0

    def augment(xs, _generator):
        nonlocal calls
        calls += 1
        if calls == call:
            signal.raise_signal(signal.SIGTERM)
        return xs

    with pytest.raises(Interrupted):
        run(stopped, dataclasses.replace(task, augment=augment), tmp_path / "run")
    net = fresh()
    run(net, task, tmp_path / "run")
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in net.state_dict().items())
    same = "temperature" if isinstance(surrogate, Dspike) else "val_loss"
    rows = [
        [json.loads(line)[same] for line in (tmp_path / part / "metrics.jsonl").read_text().splitlines()]
        for part in ("whole", "run")
    ]
    assert rows[0] == rows[1]


def test_several_or_learned_temperatures_are_left_to_their_owner():
    from snn4 import Learned

    assert adapting.temperature(torch.nn.Sequential(Dspike(2.0), Dspike(3.0))) is None
    assert adapting.temperature(torch.nn.Sequential(Dspike(Learned(3.0)))) is None
    numbers = torch.Generator().manual_seed(0)
    assert adapting.searched(torch.nn.Sequential(Dspike(2.0)), lambda: torch.zeros(()), False, numbers) is None
