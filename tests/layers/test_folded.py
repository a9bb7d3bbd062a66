"""Every layer of snn4.nn equals torch's layer at every step, and refuses other ranks."""

from __future__ import annotations

import inspect

import pytest
import torch

from snn4 import ShapeError, neurons, nn
from snn4.layers.folded import Folded
from snn4.through_time import Stateful

T, B = 4, 3

# name -> arguments, options, features of one sample
LAYERS = {
    "AdaptiveAvgPool1d": ((2,), {}, (3, 7)),
    "AdaptiveAvgPool2d": (((2, 3),), {}, (3, 5, 6)),
    "AdaptiveAvgPool3d": ((2,), {}, (2, 4, 5, 4)),
    "AdaptiveMaxPool1d": ((2,), {}, (3, 7)),
    "AdaptiveMaxPool2d": ((2,), {}, (3, 5, 6)),
    "AdaptiveMaxPool3d": ((2,), {}, (2, 4, 5, 4)),
    "AvgPool1d": ((2,), {}, (3, 7)),
    "AvgPool2d": ((2,), {"padding": 1}, (3, 5, 6)),
    "AvgPool3d": ((2,), {}, (2, 4, 5, 4)),
    "BatchNorm1d": ((5,), {}, (5,)),
    "BatchNorm2d": ((5,), {}, (5, 3, 2)),
    "BatchNorm3d": ((5,), {}, (5, 3, 2, 2)),
    "Conv1d": ((2, 4, 3), {"stride": 2}, (2, 9)),
    "Conv2d": ((2, 4, 3), {"padding": 1, "groups": 2}, (2, 5, 6)),
    "Conv3d": ((2, 4, 2), {"bias": False}, (2, 4, 3, 4)),
    "ConvTranspose1d": ((2, 4, 3), {"stride": 2}, (2, 5)),
    "ConvTranspose2d": ((2, 4, 3), {}, (2, 4, 5)),
    "ConvTranspose3d": ((2, 4, 2), {}, (2, 3, 2, 3)),
    "Flatten": ((), {}, (2, 3, 4)),
    "GroupNorm": ((2, 4), {}, (4, 3, 3)),
    "InstanceNorm1d": ((3,), {"affine": True}, (3, 6)),
    "InstanceNorm2d": ((3,), {}, (3, 4, 5)),
    "LayerNorm": (((4, 5),), {}, (2, 4, 5)),
    "Linear": ((4, 6), {}, (4,)),
    "MaxPool1d": ((2,), {}, (3, 7)),
    "MaxPool2d": ((3,), {"stride": 2}, (3, 7, 6)),
    "MaxPool3d": ((2,), {}, (2, 4, 5, 4)),
    "PReLU": ((3,), {}, (3, 4)),
    "PixelShuffle": ((2,), {}, (4, 3, 2)),
    "PixelUnshuffle": ((2,), {}, (1, 4, 6)),
    "RMSNorm": ((5,), {}, (2, 5)),
    "SyncBatchNorm": ((5,), {}, (5, 3)),
    "Unflatten": ((1, (2, 3)), {}, (6,)),
    "Upsample": ((), {"scale_factor": 2}, (3, 4, 5)),
    "ZeroPad2d": ((1,), {}, (2, 3, 4)),
}
# layers of the same class on another rank that they accept
MORE = [
    ("BatchNorm1d", ((5,), {}, (5, 4))),
    ("GroupNorm", ((2, 4), {}, (4,))),
    ("Linear", ((4, 6), {}, (2, 3, 4))),
    ("LayerNorm", (((5,)), {}, (5,))),
    ("PReLU", ((), {}, (3, 4))),
    ("SyncBatchNorm", ((5,), {}, (5, 2, 2, 2))),
    ("Upsample", ((), {"scale_factor": 2}, (3, 4))),
    ("Flatten", ((2,), {}, (2, 3, 4))),
    ("MaxPool2d", ((2,), {"ceil_mode": True}, (1, 3, 3))),
]
# tested in files of their own
ELSEWHERE = {"DendriticLinear", "Dropout", "Dropout2d", "Fold", "Hold", "Loop", "Recurrent", "TdBN1d", "TdBN2d"}
ELSEWHERE |= {"LastStep", "MaxOverTime", "MeanOverTime", "BNTT1d", "BNTT2d", "TEBN1d", "TEBN2d"}
TOGETHER = {"Fused", "fuse", "standardised", "use_events", "use_product", "use_memory"}
NEURONS = {"Neuron", *neurons.__all__} - {"Decay", "SpikingNeuron", "binary", "branch_mask", "unary"}
CONTAINERS = {"Module", "ModuleDict", "ModuleList", "Sequential", "Parameter"}
ACTIVATIONS = {"CELU", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "Mish", "ReLU"}
ACTIVATIONS |= {"ReLU6", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh"}

CASES = [*LAYERS.items(), *MORE]


def name_of(case):
    return case if isinstance(case, str) else None


def test_none_is_forgotten():
    assert set(nn.__all__) == set(LAYERS) | ELSEWHERE | TOGETHER | NEURONS | CONTAINERS | ACTIVATIONS


def test_what_is_shown_is_what_exists():
    for name in nn.__all__:
        assert getattr(nn, name) is not None
    shown = {n for n in dir(nn) if not n.startswith("_") and inspect.isclass(getattr(nn, n))}
    assert shown <= set(nn.__all__)


def pair(name, arguments, options):
    """Our layer, and torch's with the same numbers in it, none of them as they start."""
    ours = getattr(nn, name)(*arguments, **options).double()
    theirs = getattr(torch.nn, name)(*arguments, **options).double()
    assert isinstance(ours, getattr(torch.nn, name))
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in ours.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


def inputs(features):
    return torch.randn(T, B, *features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("name", "case"), CASES, ids=name_of)
def test_a_layer_is_torch_s_at_every_step(name, case):
    arguments, options, features = case
    ours, theirs = pair(name, arguments, options)
    mine, other = inputs(features).requires_grad_(), inputs(features).requires_grad_()
    ys = ours(mine)
    expected = torch.stack([theirs(x) for x in other])
    assert torch.allclose(ys, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(ys.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (ys * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(mine.grad, other.grad, rtol=1e-10, atol=1e-12)
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, two.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_acts_on_every_number_alone(name):
    xs = inputs((5, 2))
    layer = getattr(nn, name)()
    # exponentials may round the last bit differently at another place of a vector
    assert torch.allclose(layer(xs), torch.stack([layer(x) for x in xs]), rtol=1e-14)
    assert torch.allclose(layer(xs).flatten(), torch.stack([layer(x) for x in xs.flatten()]), rtol=1e-14)


# those for which a sample with one axis fewer is another sample; an input without time cannot be told from it
AMBIGUOUS = {"BatchNorm1d": (1,), "SyncBatchNorm": (1, 2, 3), "Upsample": (2, 3)}
AMBIGUOUS |= dict.fromkeys(("Flatten", "GroupNorm", "LayerNorm", "Linear", "PReLU", "RMSNorm", "Unflatten"), (1, 2, 3))
TIMELESS = [(name, case) for name, case in CASES if len(case[2]) - 1 not in AMBIGUOUS.get(name, ())]


def test_few_layers_are_ambiguous():
    assert {name for name, _ in TIMELESS} >= set(LAYERS) - {"Flatten", "RMSNorm", "GroupNorm", "PReLU"} - {
        "SyncBatchNorm",
        "Upsample",
    }


@pytest.mark.parametrize(("name", "case"), TIMELESS, ids=name_of)
def test_a_missing_time_axis_is_refused(name, case):
    arguments, options, features = case
    ours, _ = pair(name, arguments, options)
    with pytest.raises(ShapeError, match=f"{name} .*(time axis missing|Time comes first)"):
        ours(inputs(features)[0])


@pytest.mark.parametrize(("name", "case"), CASES, ids=name_of)
def test_other_ranks_and_no_step_are_refused(name, case):
    arguments, options, features = case
    ours, _ = pair(name, arguments, options)
    with pytest.raises(ShapeError, match=name):
        ours(torch.zeros(T, B, dtype=torch.float64))
    with pytest.raises(ShapeError, match="T >= 1"):
        ours(inputs(features)[:0])
    if isinstance(ours, Folded) and ours.features is not None:
        with pytest.raises(ShapeError, match="Time comes first"):
            ours(torch.zeros(1, *[2] * (max(ours.features) + 2), dtype=torch.float64))


def test_no_layer_that_looks_at_one_axis_takes_two_for_time_and_batch():
    # (B, 4, 5) has three axes, but normalising its last two would mix the batch
    for norm in (nn.LayerNorm((4, 5)), nn.RMSNorm((4, 5))):
        with pytest.raises(ShapeError, match="over the last 2 axes"):
            norm(torch.zeros(8, 4, 5))


def test_the_slopes_of_prelu_belong_to_the_channels():
    prelu = nn.PReLU(B)  # as many channels as items in the batch: torch's own would take the batch for them
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.1, 0.2, 0.3]))
    y = prelu(-torch.ones(T, B, B, 2))
    assert torch.allclose(y[0, 0, :, 0], torch.tensor([-0.1, -0.2, -0.3]))
    assert torch.equal(y[:, 0], y[:, 1])


def test_a_transposed_convolution_takes_an_output_size():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2)
    assert layer(torch.zeros(T, B, 2, 4, 4), output_size=(10, 10)).shape == (T, B, 3, 10, 10)


def test_memory_that_is_not_contiguous():
    layer, x = nn.Conv1d(2, 3, 3), torch.randn(B, 2, 9, T)
    assert torch.allclose(layer(x.permute(3, 0, 1, 2)), layer(x.permute(3, 0, 1, 2).contiguous()))


def test_layers_with_weights_have_torch_s_keys():
    ours = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 3)
    )
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(B, 1, 4, 4)
    assert torch.allclose(ours.eval()(x[None])[0], theirs.eval()(x), atol=1e-6)


def test_no_folded_layer_is_stateful():
    for name, (arguments, options, _) in LAYERS.items():
        assert not isinstance(getattr(nn, name)(*arguments, **options), Stateful)


def test_pooling_with_indices_unfolds_both():
    x = torch.randn(3, 2, 4, 6, 6)
    ys, where = nn.MaxPool2d(2, return_indices=True)(x)
    for t in range(3):
        expected, places = torch.nn.MaxPool2d(2, return_indices=True)(x[t])
        assert torch.equal(ys[t], expected)
        assert torch.equal(where[t], places)
