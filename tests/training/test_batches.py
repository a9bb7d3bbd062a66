"""Where samples lie, and which device is meant."""

from __future__ import annotations

import pytest
import torch

from snn4.core.errors import OptionError
from snn4.data import Split
from snn4.training import FitConfig, fit
from snn4.training.batches import batch_of, chosen_device, resident, tuned

GPU = torch.device("cuda")


def test_the_device_that_is_named_trains_what_the_networks_own_would(make_net, norm, leaky, split, val, task):
    nets = [make_net(norm(6), leaky()) for _ in range(2)]
    for net, device in zip(nets, (None, "cpu"), strict=True):
        fit(net, task, split, val, FitConfig(epochs=2, batch_size=8, device=device), seed=0, progress=False)
    one, two = (net.state_dict() for net in nets)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "meta", ""])
def test_a_device_that_torch_does_not_know_is_told(name):
    with pytest.raises(OptionError, match="device 'cpu', 'cuda'"):
        FitConfig(device=name)


@pytest.mark.parametrize(("count", "name"), [(0, "cuda"), (1, "cuda:1")])
def test_a_gpu_that_is_not_there_is_told_before_anything_moves(net, split, val, task, monkeypatch, count, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(OptionError, match=f"to be {name}, and torch sees {count} GPUs"):
        fit(net, task, split, val, FitConfig(device=name), seed=0, progress=False)
    assert net[0].weight.device.type == "cpu"
    assert not any(p.grad is not None for p in net.parameters())


def test_a_gpu_that_is_there_is_taken(net, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_device("cuda:1", net) == torch.device("cuda:1")
    assert chosen_device(None, net) == torch.device("cpu")


def test_a_split_that_would_fill_the_device_stays_where_it_is(split, monkeypatch):
    stored = split.inputs.numel() * split.inputs.element_size()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _place: (4 * stored - 1, 10**12))
    assert resident(split, GPU) is split
    assert resident(split, torch.device("cpu")) is split


def test_a_split_that_fits_moves_whole(split, monkeypatch):
    stored = split.inputs.numel() * split.inputs.element_size()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _place: (4 * stored, 10**12))
    moved = []

    def to(tensor, place):
        moved.append((tensor.shape, place))
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "to", to)
    there = resident(split, GPU)
    monkeypatch.undo()
    assert moved == [(split.inputs.shape, GPU), (split.targets.shape, GPU)]
    assert torch.equal(there.inputs, split.inputs)


def test_a_batch_is_what_was_chosen():
    split = Split(torch.arange(12, dtype=torch.uint8).view(6, 2), torch.arange(6))
    inputs, targets = batch_of(split, torch.tensor([4, 1]), torch.device("cpu"))
    assert inputs.tolist() == [[8, 9], [2, 3]]
    assert targets.tolist() == [4, 1]


def test_convolutions_are_tried_on_a_gpu_alone_and_the_setting_comes_back():
    with tuned(torch.device("cpu")):
        assert not torch.backends.cudnn.benchmark
    with tuned(GPU):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark
