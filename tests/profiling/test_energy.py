"""Energy models against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from snn4 import nn
from snn4.core import OptionError
from snn4.profiling import (
    FP16,
    FP32,
    INT8,
    INT32,
    Bits,
    ComputeOnly,
    WithMemory,
    break_even_rate,
    energy,
    memory_cost,
    paper_energy,
    profile,
)
from snn4.quantization import quantised_twin


def dense_layer(inputs: int, outputs: int) -> torch.nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    torch.nn.init.ones_(layer.weight)
    return layer


@pytest.mark.parametrize(
    ("cost", "mac", "ac"), [(FP32, 4.6, 0.9), (FP16, 1.5, 0.4), (INT32, 3.2, 0.1), (INT8, 0.23, 0.03)]
)
def test_constants(cost, mac, ac):
    assert cost.mac == pytest.approx(mac)
    assert cost.ac == ac


def test_papers_example():
    # FLOP of the first layer 118e6, of the others 1.70e9, T = 4, rate 0.15
    once = paper_energy(118e6, 1.70e9, steps=4, rate=0.15)
    repeated = paper_energy(118e6, 1.70e9, steps=4, rate=0.15, repeated=True)
    ann = paper_energy(118e6 + 1.70e9, 0, steps=1, rate=0)
    int8 = paper_energy(118e6 + 1.70e9, 0, steps=1, rate=0, cost=INT8)
    assert [round(e / 1e9, 4) for e in (once, repeated, ann, int8)] == [1.4608, 3.0892, 8.3628, 0.4181]
    assert round(once / ann, 3) == 0.175
    assert round(once / int8, 1) == 3.5


def test_rate_zero_and_one():
    assert paper_energy(10, 1000, steps=4, rate=0) == pytest.approx(46)
    assert paper_energy(0, 1000, steps=1, rate=1) == pytest.approx(0.9 * 1000)


def test_break_even_rates():
    fp32, int8 = break_even_rate(4), break_even_rate(4, ann=INT8, snn=INT8)
    mixed, wide = break_even_rate(4, ann=INT8, snn=FP32), break_even_rate(4, ann=INT8, snn=INT32)
    assert [round(r, 3) for r in (fp32, int8, mixed, wide)] == [1.278, 1.917, 0.064, 0.575]
    with pytest.raises(OptionError):
        break_even_rate(0)


@pytest.mark.parametrize(
    ("size", "cost"), [(0, 0), (1024, 0.3125), (8192, 2.5), (20480, 3.75), (32768, 5), (540672, 15), (2**21, 25)]
)
def test_memory_costs(size, cost):
    assert float(memory_cost(size)) == pytest.approx(cost, abs=1e-12)


def test_memory_of_negative_size():
    with pytest.raises(OptionError):
        memory_cost(-1.0)


def test_ann_compute():
    # 12 operations, of which 3 have a zero input
    p = profile(dense_layer(4, 3), torch.tensor([[[0.5, 0.5, 0.5, 0.0]]]))
    assert ComputeOnly(FP32).picojoules(p) == pytest.approx(12 * 4.6)
    assert ComputeOnly(FP32, booking="zeros skipped").picojoules(p) == pytest.approx(9 * 4.6)
    found = energy(p)
    assert found.compute == pytest.approx((9 * 3.2, 12 * 4.6))
    assert energy(p, bits=8).compute == pytest.approx((9 * 0.23, 12 * 0.23))
    assert energy(p, bits=16).compute == pytest.approx((9 * 1.5, 12 * 1.5))


def spiking_net() -> torch.nn.Sequential:
    """IF neurons at threshold 1 that see 4 x 0.25 = 1: all three fire at every step, and send to two outputs."""
    return torch.nn.Sequential(dense_layer(4, 3), nn.IF(), dense_layer(3, 2))


def test_snn_compute_under_each_convention():
    p = profile(spiking_net(), torch.full((5, 1, 4), 0.25))
    assert p.spikes == 15
    first, synops, updates = 12, 5 * 3 * 2, 5 * 3
    assert ComputeOnly(FP32).picojoules(p) == pytest.approx(4.6 * first + 0.9 * synops)
    assert ComputeOnly(FP32, once=False).picojoules(p) == pytest.approx(4.6 * 5 * first + 0.9 * synops)
    # 4 operations an update, one of them a multiplication
    everything = 4.6 * 5 * first + 0.9 * synops + updates * (3.7 + 3 * 0.9)
    assert ComputeOnly(FP32, "NeuroBench", once=False, neuron_updates=True).picojoules(p) == pytest.approx(everything)
    found = energy(p, bits=Bits())
    assert found.compute[1] == pytest.approx(everything)
    assert found.compute[0] == pytest.approx(3.2 * first + 0.1 * synops)


def test_silent_network_costs_its_first_layer():
    p = profile(spiking_net(), torch.full((5, 1, 4), 0.01))
    assert p.spikes == 0
    assert ComputeOnly(FP32).picojoules(p) == pytest.approx(4.6 * 12)


def test_batch_norm_that_cannot_be_folded_costs_macs():
    net = torch.nn.Sequential(dense_layer(4, 3), nn.LayerNorm(3))
    p = profile(net, torch.full((1, 2, 4), 0.25))
    assert ComputeOnly(FP32).picojoules(p) == pytest.approx(4.6 * (12 + 3))


def test_graded_spikes_cost_accumulates_for_papers_and_macs_for_neurobench():
    net = torch.nn.Sequential(nn.LI(), dense_layer(2, 3))
    # the readout of a leaky integrator is 0.5, 0.5 at its first step
    p = profile(net, torch.full((1, 1, 2), 0.5))
    assert ComputeOnly(FP32).picojoules(p) == pytest.approx(0.9 * 6)
    assert ComputeOnly(FP32, booking="NeuroBench").picojoules(p) == pytest.approx(4.6 * 6)


# 2.5 pJ per byte at 8 KiB, from 0: what a byte costs in a memory of n bytes is n times this
SLOPE = 2.5 / 8192


def test_memory_model_on_a_dense_linear_layer():
    # zero ratio 1/4: dense. In 16 bytes, out 12, weights 48; addresses 4 + 3 additions; 12 MACs
    p = profile(dense_layer(4, 3), torch.tensor([[[0.5, 0.5, 0.5, 0.0]]]))
    expected = 12 * 3.2 + 7 * 0.1 + SLOPE * (16**2 + 12**2 + 48**2)
    assert WithMemory().picojoules(p) == pytest.approx(expected)
    # each weight has one use only, so reuse changes nothing
    assert WithMemory(reuse="no reuse").picojoules(p) == pytest.approx(expected)
    assert WithMemory(reuse="full reuse").picojoules(p) == pytest.approx(expected)
    # a byte a word: memories of 4, 3 and 12 bytes; addresses stay 32 bit
    narrow = 12 * 0.23 + 7 * 0.1 + SLOPE * (4**2 + 3**2 + 12**2)
    assert WithMemory(INT8, Bits(8, 8)).picojoules(p) == pytest.approx(narrow)


def test_memory_model_on_a_sparse_linear_layer():
    # one spike of four: sparse. In 4 bytes, 3 weights for it, out 3 non-zero words; 3 ACs, 3 additions of addresses
    p = profile(dense_layer(4, 3), torch.tensor([[[1.0, 0, 0, 0]]]))
    expected = 3 * 0.1 + 3 * 0.1 + SLOPE * (4**2 + 12**2 + 12**2)
    assert WithMemory().picojoules(p) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("x", "in_words", "out_words", "weight_words", "operations", "addresses"),
    [
        # a sparse call writes only the outputs that are not zero: here one of three
        ([1.0, 0, 0, 0], 1, 1, 3, 1, 3),
        # a dense call writes all of them
        ([1.0, 1.0, 1.0, 0], 4, 3, 12, 3, 9),
    ],
)
def test_few_outputs_are_written_sparse_only_by_a_sparse_call(
    x, in_words, out_words, weight_words, operations, addresses
):
    layer = dense_layer(4, 3)
    with torch.no_grad():
        layer.weight[1:] = 0
    p = profile(layer, torch.tensor([[x]]))
    memory = sum((4 * words) ** 2 for words in (in_words, out_words, weight_words))
    assert WithMemory().picojoules(p) == pytest.approx((operations + addresses) * 0.1 + SLOPE * memory)


def test_data_have_eight_bits_also_where_activations_have_fewer():
    # first layer: 4 inputs and 3 outputs of 8 bits; second: 3 inputs and 2 outputs of 4 bits; weights of 8 bits
    net = torch.nn.Sequential(dense_layer(4, 3), nn.IF(), dense_layer(3, 2))
    p = profile(net, torch.full((1, 1, 4), 0.25))
    memory = (4 + 1.5) * 4 + (3 + 1.0) * 3 + (12 + 6) * 12 + 2 * 12 * 12
    arithmetic = 12 * 0.23 + 6 * 0.03 + 3 * (0.2 + 3 * 0.03) + (7 + 6) * 0.1
    assert WithMemory(INT8, Bits(8, 4)).picojoules(p) == pytest.approx(arithmetic + SLOPE * memory)


def test_half_zeros_are_read_dense():
    # out 3 words, weights 12, in 4; 6 ACs; the addresses of binary inputs: 2 events x 3
    p = profile(dense_layer(4, 3), torch.tensor([[[1.0, 1.0, 0, 0]]]))
    assert WithMemory().picojoules(p) == pytest.approx(6 * 0.1 + 6 * 0.1 + SLOPE * (16**2 + 12**2 + 48**2))


def test_memory_model_on_a_sparse_convolution():
    # a spike in the middle of a 3x3 map, 3x3 kernels to 2 channels, padded: 18 ACs, 18 weights, 18 outputs
    conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
    torch.nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 1, 3, 3)
    x[..., 1, 1] = 1
    expected = 18 * 0.1 + 18 * 0.1 + 2 * 3.2 + SLOPE * (4**2 + 72**2 + 72**2)
    assert WithMemory().picojoules(profile(conv, x)) == pytest.approx(expected)


def test_memory_model_on_a_dense_convolution_reuses_weights():
    # a 4x4 map of 1/2, 3x3 kernels to 2 channels, no padding: 4 positions of 9 taps for each channel
    conv = nn.Conv2d(1, 2, 3, bias=False)
    torch.nn.init.ones_(conv.weight)
    p = profile(conv, torch.full((1, 1, 1, 4, 4), 0.5))
    macs = 4 * 9 * 2
    addresses = 16 + 8 + 2 * 9
    moved = SLOPE * (64**2 + 32**2)
    arithmetic = macs * 3.2 + addresses * 0.1
    assert WithMemory().picojoules(p) == pytest.approx(arithmetic + moved + SLOPE * 72 * 72)
    # without reuse 72 weights are read 4 times each: 288 bytes from a memory of 72
    assert WithMemory(reuse="no reuse").picojoules(p) == pytest.approx(arithmetic + moved + SLOPE * 4 * macs * 72)


def test_bias_of_a_sparse_layer_is_read_for_every_output():
    layer = nn.Linear(4, 3)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.ones_(layer.bias)
    p = profile(layer, torch.tensor([[[1.0, 0, 0, 0]]]))
    # 3 weights and 3 biases: 24 bytes
    expected = 3 * 0.1 + 3 * 0.1 + SLOPE * (4**2 + 12**2 + 24**2)
    assert WithMemory().picojoules(p) == pytest.approx(expected)


def test_state_is_read_and_written_at_every_step():
    p = profile(torch.nn.Sequential(nn.IF()), torch.full((5, 2, 3), 0.25))
    # 3 neurons of 4 bytes, twice, 5 times, from a memory of 12 bytes; updates 1 multiplication and 3 additions
    expected = 15 * (3.1 + 0.3) + 5 * 2 * 12 * SLOPE * 12
    assert WithMemory().picojoules(p) == pytest.approx(expected)
    assert WithMemory(bits=Bits(state=16)).picojoules(p) == pytest.approx(15 * 3.4 + 5 * 2 * 6 * SLOPE * 6)


def test_full_reuse_reads_each_weight_once_and_computes_a_constant_input_once():
    p = profile(spiking_net(), torch.full((5, 1, 4), 0.25))
    # first layer once: in 16 bytes, out 12, weights 48. Second: 5 steps in 12 bytes, out 8, weights 24 once (memory 48)
    addresses = (4 + 3) + 5 * 3 * 2
    arithmetic = 12 * 3.2 + 30 * 0.1 + 15 * 3.4
    memory = (16 + 5 * 12) * 16 + (12 + 5 * 8) * 12 + (48 + 24) * 48 + 5 * 2 * 12 * 12
    assert WithMemory(reuse="full reuse").picojoules(p) == pytest.approx(arithmetic + addresses * 0.1 + SLOPE * memory)


def test_weights_of_sparse_steps_are_read_at_most_once_with_full_reuse():
    # one of 3 inputs spikes at each of 4 steps: 2 weights an event, 8 reads, but only 6 weights
    layer = dense_layer(3, 2)
    p = profile(layer, torch.tensor([[[1.0, 0, 0]], [[0, 1.0, 0]], [[0, 0, 1.0]], [[1.0, 0, 0]]]))
    published, full = WithMemory().picojoules(p), WithMemory(reuse="full reuse").picojoules(p)
    rest = 8 * 0.1 + 8 * 0.1 + SLOPE * (4 * 4 * 4 + 4 * 8 * 8)
    # published: 8 bytes at most in a call, taken for the size of the memory
    assert published == pytest.approx(rest + SLOPE * 32 * 8)
    assert full == pytest.approx(rest + SLOPE * 24 * 24)


def test_samples_are_charged_one_by_one():
    # the memory model is not linear in activity: the mean over samples, not the energy of the mean sample
    layer = dense_layer(4, 3)
    x = torch.tensor([[[1.0, 0, 0, 0], [0.5, 0.5, 0.5, 0.0]]])
    both = profile(layer, x)
    # a call is AC only if all of it is: the spike counts as MAC beside the analog sample, so compare memory alone
    alone = [WithMemory().picojoules(profile(layer, x[:, k : k + 1])) for k in range(2)]
    mac_instead_of_ac = (12 * 3.2 - 3 * 0.1) + (4 + 3 - 3) * 0.1
    assert WithMemory().picojoules(both) == pytest.approx((sum(alone) + mac_instead_of_ac) / 2)


def test_ranges_hold_all_models_and_memory_never_saves():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 2, 1, 8, 8, generator=generator) * 3
    ann = torch.nn.Sequential(nn.Conv2d(1, 4, 3), torch.nn.ReLU(), nn.Conv2d(4, 4, 3), torch.nn.ReLU(), nn.Flatten())
    snn = torch.nn.Sequential(nn.Conv2d(1, 4, 3), nn.LIF(), nn.Conv2d(4, 4, 3), nn.LIF(), nn.Flatten())
    with torch.no_grad():
        for net in (ann, snn):
            for p in net.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / 2)
    for p in (profile(ann, x), profile(snn, x.expand(4, -1, -1, -1, -1)), profile(quantised_twin(ann, 3), x)):
        found = energy(p)
        for low, high in (found.compute, found.with_memory):
            assert 0 < low <= high
        assert found.with_memory[0] > found.compute[0]
        assert found.with_memory[1] > found.compute[1]
        as_json = found.to_dict()
        assert as_json["energy_pj"]["compute"] == list(found.compute)
        assert {model["name"] for model in as_json["energy_models"]} == {e.name for e in found.models}
        assert len({e.name for e in found.models}) == len(found.models)
        assert all(set(model) == {"name", "pj", "memory", "assumes"} for model in as_json["energy_models"])
        assert found.models[0].name in str(found)


def test_bits_of_the_twin_choose_its_constants():
    ann = torch.nn.Sequential(dense_layer(4, 3), torch.nn.ReLU(), dense_layer(3, 2))
    x = torch.full((1, 1, 4), 0.25)
    twin = quantised_twin(ann, activation_bits=3, calibration=x)
    found = profile(twin, x).energy()
    assert found.bits == Bits(8, 3)
    assert found.compute == pytest.approx((18 * 0.23, 18 * 0.23))


def test_an_operation_is_as_wide_as_its_wider_operand():
    p = profile(dense_layer(4, 3), torch.full((1, 1, 4), 0.25))
    assert energy(p, bits=Bits(weights=8, activations=32)).compute == pytest.approx((12 * 3.2, 12 * 4.6))
    assert energy(p, bits=Bits(weights=8, activations=16)).compute == pytest.approx((12 * 1.5, 12 * 1.5))


def test_a_model_of_ones_own():
    class PerSpike:
        name, assumes, memory = "chip", "24 pJ a spike", False

        def picojoules(self, profile):
            return 24.0 * profile.spikes

    found = energy(profile(spiking_net(), torch.full((5, 1, 4), 0.25)), models=[PerSpike()])
    assert found.compute == (360.0, 360.0)
    assert found.with_memory == (0.0, 0.0)


@pytest.mark.parametrize("bits", [0, 33])
def test_bits_out_of_range(bits):
    with pytest.raises(OptionError):
        Bits(weights=bits)
