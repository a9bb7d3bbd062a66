"""Counts of synaptic operations against loops that know nothing of fan-outs."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4.profiling import profile
from snn4.profiling.synapses import fan_out


def naive_conv(layer: torch.nn.Module, x: torch.Tensor, out_spatial: torch.Size) -> tuple[int, int, int]:
    """(effective, dense, with padding), one multiplication after the other. x: (C, *spatial)."""
    weight, groups = layer.weight, layer.groups
    per_group_in, per_group_out = weight.shape[1], weight.shape[0] // groups
    effective = dense = taps = 0
    for o in range(weight.shape[0]):
        group = o // per_group_out
        for place in itertools.product(*map(range, out_spatial)):
            for c in range(per_group_in):
                for tap in itertools.product(*map(range, weight.shape[2:])):
                    taps += 1
                    at = [
                        p * s - pad + t * d
                        for p, s, pad, t, d in zip(place, layer.stride, layer.padding, tap, layer.dilation, strict=True)
                    ]
                    if any(not 0 <= a < n for a, n in zip(at, x.shape[1:], strict=True)):
                        continue
                    dense += 1
                    effective += bool(weight[(o, c, *tap)] != 0) and bool(x[(group * per_group_in + c, *at)] != 0)
    return effective, dense, taps


def naive_conv_transpose(layer: torch.nn.Module, x: torch.Tensor, out_spatial: torch.Size) -> tuple[int, int]:
    """(effective, dense): every input scatters over its taps; what falls outside the output is not computed."""
    weight, groups = layer.weight, layer.groups
    per_group_in = weight.shape[0] // groups
    effective = dense = 0
    for c in range(weight.shape[0]):
        for place in itertools.product(*map(range, x.shape[1:])):
            for o in range(weight.shape[1]):
                for tap in itertools.product(*map(range, weight.shape[2:])):
                    at = [
                        p * s - pad + t * d
                        for p, s, pad, t, d in zip(place, layer.stride, layer.padding, tap, layer.dilation, strict=True)
                    ]
                    if any(not 0 <= a < n for a, n in zip(at, out_spatial, strict=True)):
                        continue
                    dense += 1
                    effective += bool(weight[(c, o, *tap)] != 0) and bool(x[(c, *place)] != 0)
    assert per_group_in * groups == weight.shape[0]
    return effective, dense


def sparse(shape: tuple[int, ...], seed: int, share: float = 0.5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < share).float()


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool = False):
    rank = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 2))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(rank))
    # a transposed convolution must not crop more than it makes
    padding = tuple(draw(st.integers(0, 0 if transposed else 2)) for _ in range(rank))
    spatial = tuple(draw(st.integers(d * (k - 1) + 1, 6)) for k, d in zip(kernel, dilation, strict=True))
    extra = {}
    if transposed:
        padding = tuple(draw(st.integers(0, min(1, k - 1))) for k in kernel)
        extra["output_padding"] = tuple(draw(st.integers(0, s - 1)) for s in stride)
        extra["output_padding"] = tuple(
            min(p, max(s, d) - 1) for p, s, d in zip(extra["output_padding"], stride, dilation, strict=True)
        )
    kinds = {
        (1, False): torch.nn.Conv1d,
        (2, False): torch.nn.Conv2d,
        (1, True): torch.nn.ConvTranspose1d,
        (2, True): torch.nn.ConvTranspose2d,
    }
    layer = kinds[rank, transposed](c_in, c_out, kernel, stride, padding, groups=groups, dilation=dilation, **extra)
    seed = draw(st.integers(0, 10**6))
    with torch.no_grad():
        layer.weight.mul_(sparse(tuple(layer.weight.shape), seed, 0.7))
    return layer, sparse((2, 2, c_in, *spatial), seed + 1)


@given(case=convolutions())
@settings(max_examples=30, deadline=None)
def test_convolutions_are_counted_as_loops_count_them(case):
    layer, x = case
    out = layer(x[0]).shape[2:]
    found = profile(Steps(layer), x)
    row = found.synapses[0]
    loops = [naive_conv(layer, sample, out) for sample in x.flatten(0, 1)]
    assert row.acs == sum(e for e, _, _ in loops) / 2
    assert row.dense == sum(d for _, d, _ in loops) / 2
    assert row.to_dict()["with_padding"] == sum(t for _, _, t in loops) / 2
    assert row.macs == 0


@given(case=convolutions(transposed=True))
@settings(max_examples=20, deadline=None)
def test_transposed_convolutions_are_counted_as_loops_count_them(case):
    layer, x = case
    out = layer(x[0]).shape[2:]
    row = profile(Steps(layer), x).synapses[0]
    loops = [naive_conv_transpose(layer, sample, out) for sample in x.flatten(0, 1)]
    assert row.acs == sum(e for e, _ in loops) / 2
    assert row.dense == sum(d for _, d in loops) / 2


class Steps(torch.nn.Module):
    """A layer of torch at every step, one step after the other."""

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layer(step) for step in x])


def unfolded(x: torch.Tensor, layer: torch.nn.Conv2d) -> int:
    """Effective operations by im2col: columns of non-zero inputs times non-zero weights."""
    columns = torch.nn.functional.unfold(
        (x != 0).double(), layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )
    kernels = (layer.weight != 0).double().flatten(1)
    return int((kernels @ columns).sum())


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (3, 0), (2, 2)])
def test_larger_convolution_against_im2col(stride, padding):
    layer = torch.nn.Conv2d(5, 7, 3, stride, padding)
    with torch.no_grad():
        layer.weight.mul_(sparse(tuple(layer.weight.shape), 3, 0.6))
    x = sparse((3, 4, 5, 13, 11), 4, 0.2)
    assert profile(Steps(layer), x).acs == unfolded(x.flatten(0, 1), layer) / 4


@pytest.mark.parametrize("mode", ["circular", "replicate", "reflect"])
def test_padding_that_copies_inputs_is_work(mode):
    layer = torch.nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode)
    x = sparse((1, 2, 2, 5, 6), 7)
    padded = torch.nn.functional.pad(x[0], [1, 1, 1, 1], mode=mode)
    plain = torch.nn.Conv2d(2, 3, 3)
    plain.weight = layer.weight
    row = profile(Steps(layer), x).synapses[0]
    assert row.acs == unfolded(padded, plain) / 2
    assert row.dense == 9 * 2 * 3 * 5 * 6


@pytest.mark.parametrize(("kernel", "padding"), [(3, "same"), (4, "same"), (3, "valid")])
def test_padding_by_name(kernel, padding):
    # an even kernel pads one more at the end than at the start; torch says so with a warning
    layer = torch.nn.Conv1d(1, 1, kernel, padding=padding)
    x = torch.zeros(1, 1, 1, 6)
    x[..., 0] = 1
    # the first element meets taps 0 .. (pad at the start), by the definition of a correlation
    reached = {(3, "same"): 2, (4, "same"): 2, (3, "valid"): 1}[kernel, padding]
    fan = fan_out(layer, torch.Size((1, 6)), torch.Size((1, 6 if padding == "same" else 4)))
    assert fan.operations(x[0] != 0).tolist() == [reached]


def test_three_dimensions():
    layer = torch.nn.Conv3d(1, 2, (2, 1, 2))
    x = sparse((1, 1, 1, 3, 2, 3), 1)
    effective, dense, _ = naive_conv(layer, x[0, 0], torch.Size((2, 2, 2)))
    row = profile(Steps(layer), x).synapses[0]
    assert (row.acs, row.dense) == (effective, dense)


def test_the_sheets_linear_layer():
    # W = [[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]]
    layer = torch.nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.3, 0, -3.2], [0, 1.2, -5.1], [-1.1, 2.7, 0]]))
    analog = profile(layer, torch.tensor([[[0, 1.3, -1]]]))
    assert (analog.macs, analog.acs, analog.dense_macs) == (4, 0, 9)
    ternary = profile(layer, torch.tensor([[[0, 1.0, -1]]]))
    assert (ternary.macs, ternary.acs, ternary.dense_macs) == (0, 4, 9)


def test_padding_is_left_out_of_a_full_convolution():
    # 3x3, pad 1, 4x4 map, one channel: 100 taps lie inside, 144 in all
    layer = torch.nn.Conv2d(1, 1, 3, padding=1)
    row = profile(Steps(layer), torch.ones(1, 1, 1, 4, 4)).synapses[0]
    assert (row.acs, row.dense, row.to_dict()["with_padding"]) == (100, 100, 144)


def test_counts_beyond_float32():
    # 2^24 + 1 operations: a float32 sum cannot hold it
    layer = torch.nn.Linear(4097, 4096, bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.weight[:-1, -1] = 0
    x = torch.ones(1, 1, 4097)
    assert profile(layer, x).acs == 4096 * 4096 + 1
