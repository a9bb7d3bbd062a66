"""Profiles of whole networks, against hand-worked numbers."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import nn
from snn4.core import NotFiniteError, OptionError, ShapeError, state
from snn4.profiling import profile
from snn4.quantization import quantise_weights, quantised_twin
from snn4.through_time import Neuron


def identity(features: int) -> torch.nn.Module:
    layer = nn.Linear(features, features, bias=False)
    torch.nn.init.eye_(layer.weight)
    return layer


def fixed(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The same weights in every run, without touching the global seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)
    return net


def conv_net(activation) -> torch.nn.Sequential:
    start = (nn.Conv2d(1, 3, 3, padding=1), activation(), nn.MaxPool2d(2))
    return fixed(torch.nn.Sequential(*start, nn.Conv2d(3, 4, 3), activation(), nn.Flatten(), nn.Linear(16, 5)))


def image(steps: int, batch: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(steps, batch, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 3


class Recorded(Neuron):
    """Fires what it is told to, whatever its input: spikes are then known beforehand."""

    State = state("v")

    def __init__(self, spikes: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("spikes", spikes)

    def initial(self, x):
        return self.State(torch.zeros(len(x), 1))

    def step(self, x, state):
        t = int(state.v[0, 0])
        return self.spikes[t], self.State(state.v + 1)


class Scripted(torch.nn.Module):
    def __init__(self, spikes: torch.Tensor, after: torch.nn.Module) -> None:
        super().__init__()
        self.neuron = Recorded(spikes)
        self.after = after

    def forward(self, x):
        return self.after(self.neuron(x))


def test_spikes_rates_silent_and_saturated():
    # 2 steps, 2 samples, 4 neurons: never, always, once in sample 0, twice in sample 1
    spikes = torch.tensor([[[0, 1, 1, 0], [0, 1, 0, 1]], [[0, 1, 0, 0], [0, 1, 0, 1]]]).float()
    p = profile(Scripted(spikes, nn.Linear(4, 3)), torch.zeros(2, 2, 4))
    row = p.spiking[0]
    assert row.spikes.tolist() == [3, 4]
    assert (row.silent_share, row.saturated_share) == (0.25, 0.25)
    assert p.spikes == 3.5
    assert row.rate == p.mean_firing_rate == pytest.approx(7 / 16)
    # every spike reaches the three neurons of the next layer
    assert p.acs == p.synops == 3.5 * 3
    assert p.dense_macs == 2 * 4 * 3


def test_identical_spikes_scale_with_steps():
    spikes = torch.tensor([[[0.0, 1.0, 1.0]]])
    counts = [profile(Scripted(spikes.expand(t, -1, -1), nn.Linear(3, 2)), torch.zeros(t, 1, 3)).acs for t in (1, 2, 5)]
    assert counts == [4, 8, 20]


@given(t=st.integers(1, 4), b=st.integers(1, 3), n=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_accumulates_are_the_sum_over_spikes_of_their_fan_out(t, b, n, seed):
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(t, b, n, generator=generator) < 0.4).float()
    layer = nn.Linear(n, 4)
    with torch.no_grad():
        layer.weight.mul_((torch.rand(4, n, generator=generator) < 0.7).float())
    p = profile(Scripted(spikes, layer), torch.zeros(t, b, n))
    total = 0
    for step in range(t):
        for sample in range(b):
            for j in range(n):
                if spikes[step, sample, j]:
                    total += sum(1 for i in range(4) if layer.weight[i, j] != 0)
    assert p.acs == pytest.approx(total / b)
    assert p.spikes == pytest.approx(float(spikes.sum()) / b)


def test_percentile_tells_the_busy_sample():
    spikes = torch.zeros(1, 4, 10)
    spikes[0, 3] = 1
    p = profile(Scripted(spikes, nn.Linear(10, 1)), torch.zeros(1, 4, 10))
    assert p.acs == 2.5
    # linear interpolation between the third (0) and the fourth sample (10), at 0.95 x 3 = 2.85
    assert p.operations_p95 == pytest.approx(8.5)


def test_integers_after_a_neuron_are_macs_for_neurobench_and_repeated_accumulates_for_papers():
    spikes = torch.tensor([[[0.0, 2.0, 1.0]]])
    p = profile(Scripted(spikes, nn.Linear(3, 4)), torch.zeros(1, 1, 3))
    assert (p.macs, p.acs, p.synops) == (8, 0, 12)


def test_values_between_after_a_neuron():
    # average pooling of spikes: MACs for NeuroBench, one AC for each event for papers
    spikes = torch.tensor([[[0.0, 0.5, 0.25]]])
    p = profile(Scripted(spikes, nn.Linear(3, 4)), torch.zeros(1, 1, 3))
    assert (p.macs, p.acs, p.synops) == (8, 0, 8)


def test_pooling_makes_macs_in_a_real_network():
    start = (nn.Conv2d(1, 2, 3, padding=1), nn.LIF(v_threshold=0.5), nn.AvgPool2d(2))
    net = fixed(torch.nn.Sequential(*start, nn.Conv2d(2, 2, 3), nn.LIF(), nn.MaxPool2d(2)))
    p = profile(net, image(3, 2))
    assert [row.kind for row in p.others] == ["pool", "pool"]
    assert p.synapses[1].macs > 0
    assert p.synapses[1].acs == 0


def test_direct_encoding_counts_the_first_layer_once_and_each_step():
    net = torch.nn.Sequential(nn.Linear(6, 4), nn.LIF(), nn.Linear(4, 2), nn.LI())
    x = torch.rand(1, 3, 6, generator=torch.Generator().manual_seed(1)).expand(5, -1, -1)
    row = profile(net, x).synapses[0]
    assert (row.macs, row.to_dict()["macs_once"]) == (5 * 24, 24)
    assert row.constant_input
    changing = x.clone()
    changing[2, 0, 0] += 1
    row = profile(net, changing).synapses[0]
    assert (row.macs, row.to_dict()["macs_once"]) == (5 * 24, 5 * 24)


def test_constant_spikes_after_a_neuron_are_computed_at_every_step():
    spikes = torch.ones(4, 1, 3)
    row = profile(Scripted(spikes, nn.Linear(3, 2)), torch.zeros(4, 1, 3)).synapses[0]
    assert not row.constant_input
    assert row.acs == row.to_dict()["acs_once"] == 24


def test_direct_encoding_inside_a_loop_over_time():
    loop = nn.Loop(torch.nn.Sequential(nn.Linear(6, 4), nn.LIF(), nn.Linear(4, 2)))
    x = torch.rand(1, 3, 6, generator=torch.Generator().manual_seed(1)).expand(5, -1, -1)
    plain = torch.nn.Sequential(*loop.body)
    inside, outside = profile(loop, x), profile(plain, x)
    assert inside.synapses[0].to_dict()["macs_once"] == 24
    for mine, theirs in zip(inside.rows, outside.rows, strict=True):
        assert mine.to_dict() | {"name": ""} == theirs.to_dict() | {"name": ""}


def test_feedback_changes_a_constant_input():
    loop = nn.Loop(identity(3), feedback=identity(3))
    rows = profile(loop, torch.full((4, 1, 3), 0.3)).synapses
    # three steps of feedback, of which none is like the one before; it is nothing at first
    assert [row.to_dict()["macs_once"] for row in rows] == [row.macs for row in rows] == [4 * 3, 3 * 3]


def test_changing_data_inside_a_loop_over_time_are_macs_for_papers_too():
    loop = nn.Loop(torch.nn.Sequential(nn.Linear(6, 4), nn.LIF(), nn.Linear(4, 2)))
    p = profile(loop, torch.rand(5, 3, 6, generator=torch.Generator().manual_seed(1)))
    assert p.synapses[0].to_dict()["paper_macs"] == 5 * 24
    assert p.synapses[0].before_neurons
    assert not p.synapses[1].before_neurons


def test_recurrent_feedback_is_counted_one_step_late():
    # a neuron that always fires: its feedback of 3 x 3 weights sees nothing at first, then all 3 spikes
    net = nn.Recurrent(Recorded(torch.ones(1, 1, 3)), nn.Linear(3, 3))
    net.body.step = lambda x, s: (torch.ones(1, 3), s)
    p = profile(net, torch.zeros(4, 1, 3))
    assert p.synapses[0].acs == 3 * 9
    assert p.synapses[0].dense == 4 * 9
    assert p.spiking[0].rate == 1.0
    assert not p.synapses[0].before_neurons


def test_membrane_updates_by_hand():
    # IF at threshold 1: the membrane after each step, and whether it differs from the one before
    #   x = 0 0 0      v = 0 0 0                     first step counts: 1
    #   x = .5 .5 0    v = .5 0 0 (fires)            1 + 1 + 0
    #   x = 1 1 1      v = 0 0 0 (fires every time)  1: to fire and reset to 0 is no change
    #   x = .25 .25 .25                              3
    xs = torch.tensor([[0, 0.5, 1, 0.25], [0, 0.5, 1, 0.25], [0, 0, 1, 0.25]]).reshape(3, 1, 4)
    net = torch.nn.Sequential(identity(4), nn.IF())
    p = profile(net, xs)
    assert p.membrane_updates == 1 + 2 + 1 + 3
    assert p.neuron_operations == 7 * 4
    assert p.spiking[0].to_dict()["neuron_operations_dense"] == 3 * 4 * 4
    assert p.state_bytes == 4 * 4


def test_the_first_step_counts_once_in_a_loop_over_time():
    # a membrane that stays 0 counts at the first step, in a loop as in a sequence; a new batch starts anew
    net = nn.Loop(torch.nn.Sequential(identity(2), nn.IF()))
    for options in ({}, {"batch_size": 1}):
        p = profile(net, torch.zeros(3, 2, 2), **options)
        assert p.neurons[0].updates.tolist() == [2, 2]
        assert p.state_bytes == 8


def test_cost_of_neurons_with_more_state_and_without_spikes():
    assert profile(torch.nn.Sequential(nn.CubaLIF()), torch.ones(1, 1, 3)).neuron_operations == 3 * 6
    readout = profile(torch.nn.Sequential(nn.LI()), torch.ones(1, 1, 3))
    assert readout.neuron_operations == 3 * 2
    assert readout.spikes == 0
    assert "firing_rate" not in readout.neurons[0].to_dict()


def test_a_shared_neuron_has_two_states_but_one_row():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.neuron = identity(2), identity(2), nn.IF()

        def forward(self, x):
            return self.neuron(self.second(self.neuron(self.first(x))))

    p = profile(Twice(), torch.ones(3, 1, 2))
    assert len(p.spiking) == 1
    assert p.spikes == 2 * 3 * 2
    assert p.state_bytes == 2 * 2 * 4
    assert p.mean_firing_rate == 1.0


def test_folded_and_step_by_step_layers_count_alike():
    layer = torch.nn.Conv2d(1, 2, 3)
    ours = nn.Conv2d(1, 2, 3)
    ours.load_state_dict(layer.state_dict())
    x = (image(3, 2) > 1.5).float()
    rows = [profile(net, x).synapses[0] for net in (ours, nn.Fold(layer))]
    for a, b in zip(rows[0].each, rows[1].each, strict=True):
        assert torch.equal(a, b)


def test_tokens_belong_to_their_sample():
    # (T, B, tokens, features): sample 1 has all the spikes
    x = torch.zeros(2, 2, 3, 4)
    x[:, 1] = 1
    row = profile(nn.Linear(4, 5), x).synapses[0]
    assert row.each.acs.tolist() == [0, 2 * 3 * 4 * 5]
    folded = profile(nn.Fold(torch.nn.Linear(4, 5)), x).synapses[0]
    assert folded.each.acs.tolist() == [0, 2 * 3 * 4 * 5]


def test_rows_that_belong_to_nobody_are_shared():
    class Patches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 3)

        def forward(self, x):
            return self.layer(x.reshape(-1, 2))

    row = profile(Patches(), torch.ones(1, 4, 6)).synapses[0]
    assert row.acs == 3 * 6
    assert row.each.acs.tolist() == [18.0] * 4


def test_batches_add_up_to_the_same():
    net, x = conv_net(nn.LIF), image(3, 5)
    whole, parts = profile(net, x), profile(net, x, batch_size=2)
    for mine, theirs in zip(parts.rows, whole.rows, strict=True):
        assert mine.to_dict() == theirs.to_dict()
    assert [e.pj for e in parts.energy().models] == pytest.approx([e.pj for e in whole.energy().models])
    assert parts.samples == 5


def test_first_steps_only():
    net, x = conv_net(nn.LIF), image(4, 2)
    assert profile(net, x, steps=2).to_dict() == profile(net, x[:2]).to_dict()


def test_ann_at_one_step():
    net, x = conv_net(torch.nn.ReLU), image(1, 3)
    p = profile(net, x)
    assert p.acs == 0
    assert p.spikes == 0
    hidden = net[1](net[0](x))
    zeros = [float((hidden == 0).float().mean()), float((net[:5](x) == 0).float().mean())]
    assert [row.zeros for row in p.neurons] == pytest.approx(zeros)
    weights = [hidden[0, 0].numel(), net[:5](x)[0, 0].numel()]
    assert p.activation_sparsity == pytest.approx(
        sum(z * w for z, w in zip(zeros, weights, strict=True)) / sum(weights)
    )


def test_batch_norm_is_folded_only_after_a_layer_with_weights():
    folded = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LIF())
    assert profile(folded, image(2, 1)).others[0].macs == 0
    alone = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.LIF(), nn.BatchNorm2d(2))
    assert profile(alone, image(2, 1)).others[0].macs == 2 * 2 * 6 * 6
    layer_norm = torch.nn.Sequential(nn.Linear(8, 4), nn.LayerNorm(4))
    assert profile(layer_norm, image(2, 1)).others[0].macs == 2 * 8 * 4


def test_what_has_no_rule_is_named_and_its_products_are_charged():
    class Strange(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(4, 1)
            self.cell = torch.nn.LSTM(4, 4)
            self.both = torch.nn.Bilinear(4, 4, 2)
            self.weight = torch.nn.Parameter(torch.ones(2, 3))
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            y = x[0]
            y = self.cell(self.attention(y, y, y)[0])[0]
            return self.both(y, y) @ self.weight

    p = profile(Strange(), torch.rand(1, 2, 5, 4))
    rows = {row.name: row for row in p.others}
    # 2 x 5 tokens as (length 2, batch 5): 3 projections in and 1 out, then 5 products of 2 x 2 x 4, twice
    assert rows["attention"].macs * 2 == 10 * (3 * 16 + 16) + 2 * 5 * 2 * 2 * 4
    assert rows["both"].kind in ("not counted", "products")
    assert "cell" in rows
    assert rows["(network)"].macs * 2 == 10 * 2 * 3
    assert "attention" in str(p.notes)
    assert any("never called: unused" in note for note in p.notes)
    assert p.macs == p.acs == 0


def test_the_network_is_as_before():
    net = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LIF(), nn.Flatten(), nn.Linear(72, 3))
    net.train()
    net[1].eval()
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    y = copy.deepcopy(net).eval()(image(2, 2))
    profile(net, image(2, 2))
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.equal(net.eval()(image(2, 2)), y)


def test_the_network_is_as_before_also_after_an_exception():
    class Fails(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("on purpose")

    net = torch.nn.Sequential(nn.Linear(3, 3), Fails())
    with pytest.raises(RuntimeError, match="on purpose"):
        profile(net, torch.ones(1, 1, 3))
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.is_grad_enabled()


def test_a_compiled_network_is_seen_through():
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2))
    x = torch.ones(2, 1, 3)
    plain, compiled = profile(net, x), profile(torch.compile(net, backend="eager"), x)
    assert [row.to_dict() for row in compiled.rows] == [row.to_dict() for row in plain.rows]


def test_quantised_weights_are_counted_as_they_compute():
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        # per channel on 3 bits (-3 .. 3): 0.1 / 3 rounds to zero
        layer.weight.copy_(torch.tensor([[3.0, 0.1, -1.0], [0.0, 1.0, 1.0]]))
    net = torch.nn.Sequential(layer)
    assert profile(net, torch.ones(1, 1, 3)).acs == 5
    quantise_weights(net, bits=3, first_bits=3)
    p = profile(net, torch.ones(1, 1, 3))
    assert p.acs == 4
    assert p.connection_sparsity == pytest.approx(2 / 6)
    assert p.synapses[0].type == "Linear"
    # 6 weights of 3 bits in 3 bytes, and two scales
    assert p.bytes == 3 + 8
    assert (p.bits.weights, p.parameters) == (3, 6)


def test_twin_is_profiled_like_its_ann():
    ann, x = conv_net(torch.nn.ReLU), image(1, 2)
    twin = quantised_twin(ann, activation_bits=4, calibration=x)
    p = profile(twin, x)
    assert (p.bits.weights, p.bits.activations) == (8, 4)
    assert p.dense_macs == profile(ann, x).dense_macs
    assert [row.type for row in p.rows] == ["Conv2d", "QuantReLU", "MaxPool2d", "Conv2d", "QuantReLU", "Linear"]


def test_sizes():
    net = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LIF())
    p = profile(net, image(1, 1))
    assert p.parameters == 2 * 9 + 2 + 4
    assert p.bytes == 4 * 24
    # running mean and variance, and the count of batches
    assert p.footprint == 4 * 24 + 4 * 4 + 8


def test_prints_and_goes_to_json():
    p = profile(conv_net(nn.LIF), image(3, 2))
    found = json.loads(json.dumps(p.to_dict(), allow_nan=False))
    assert {"macs_per_sample", "acs_per_sample", "synops_per_sample", "dense_macs_per_sample", "spikes_per_sample",
            "membrane_updates_per_sample", "firing_rate", "mean_firing_rate", "silent_share", "saturated_share",
            "parameters", "bytes", "layers", "energy_pj", "energy_models"} <= set(found)  # fmt: skip
    assert list(found["firing_rate"]) == ["1", "4"]
    text = str(p)
    assert "Conv2d" in text
    assert "2 samples, 3 steps" in text
    assert "saturated" in text
    assert "saturated" not in str(profile(conv_net(torch.nn.ReLU), image(1, 1)))


def test_refusals():
    net = nn.Linear(3, 2)
    for bad in (torch.zeros(4, 3), torch.zeros(0, 1, 3), torch.zeros(1, 0, 3)):
        with pytest.raises(ShapeError):
            profile(net, bad)
    with pytest.raises(NotFiniteError):
        profile(net, torch.full((1, 1, 3), torch.nan))
    for options in ({"steps": 0}, {"steps": 3}, {"batch_size": 0}):
        with pytest.raises(OptionError):
            profile(net, torch.zeros(2, 1, 3), **options)


def test_numbers_that_overflow_inside_are_named():
    class Overflows(torch.nn.Module):
        def forward(self, x):
            return x * torch.inf

    net = torch.nn.Sequential(Overflows(), nn.Linear(3, 2))
    with pytest.raises(NotFiniteError, match="the input of 1"):
        profile(net, torch.ones(1, 1, 3))


def test_steps_are_those_that_the_neurons_take():
    from snn4 import models

    held = profile(models.mlp(4, [3], 2, steps=5), torch.rand(1, 2, 4))
    assert held.steps == held.to_dict()["steps"] == 5
    assert profile(models.mlp(4, [3], 2, torch.nn.ReLU), torch.rand(1, 2, 4)).steps == 1
    loop = nn.Sequential(nn.Recurrent(nn.LIF(), nn.Linear(4, 4)))
    assert profile(loop, torch.rand(6, 2, 4)).steps == 6
    assert profile(loop, torch.rand(6, 2, 4), steps=3).steps == 3
