"""Published networks: their parameter counts, what their blocks do at the start, and the ANN of equal architecture."""

from __future__ import annotations

import itertools

import pytest
import torch

import snn4
from snn4 import models, nn
from snn4.core.errors import OptionError

RELU = torch.nn.ReLU


def count(net):
    return sum(p.numel() for p in net.parameters())


# where a count comes from that is not worked out beside it: torchvision's documentation (ResNet-18, -34, -50) and
# He et al. (ResNet-20, 0.27 M); rounded to what papers print, 12.63 M (ResNet-19), 9.27 M (VGG-SNN), 21.80 M
# (MS-ResNet-34), 36.7 M, 17.4 M and 1.7 M (PLIF-net), 44.8 k, 108.8 k and 141.8 k (SRNN)
RESNET18 = 11_689_512
RESNET34 = 21_797_672
# 1 x 1 from 64 to 64 channels and its norm, for the first stage's own stride
PROJECTION = 64 * 64 + 2 * 64


def conv3(*widths):
    """3 x 3 convolutions without a bias, each with a norm."""
    return sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))


def resnet19_by_hand():
    stages = conv3(64, *[128] * 6) + conv3(128, *[256] * 6) + conv3(256, *[512] * 4)
    shortcuts = sum(a * b + 2 * b for a, b in ((64, 128), (128, 256), (256, 512)))
    return conv3(3, 64) + stages + shortcuts + (512 * 256 + 256) + (256 * 10 + 10)


def preact_by_hand():
    widths, total, before = (64, 128, 256, 512), 3 * 64 * 9, 64
    for width in widths:
        for first in (True, False):
            total += 2 * before + (9 * before * width + width) + 2 * width + (9 * width * width + width)
            total += before * width + width if first and before != width else 0
            before = width
    return total + 2 * 512 + (512 * 10 + 10) + 2 * 10


COUNTS = {
    "spiking_resnet18": (RESNET18, (), {}),
    "spiking_resnet34": (RESNET34, (), {}),
    "sew_resnet18": (RESNET18, (), {}),
    "sew_resnet34": (RESNET34, (), {}),
    "sew_resnet50": (25_557_032, (), {}),
    "ms_resnet18": (RESNET18 + PROJECTION, (), {}),
    "ms_resnet34": (RESNET34 + PROJECTION, (), {}),
    "resnet19": (resnet19_by_hand(), (), {}),
    "resnet20": (269_722, (), {}),
    "preact_resnet18": (preact_by_hand(), (), {}),
    "vgg_snn": (conv3(2, 64, 128, 256, 256, 512, 512, 512, 512) + 2752 + 4608 * 10 + 10, (), {}),
}
PLIF = [
    ((3, 32, 32), 10, {"width": 256, "convs": 3, "hidden": 2048}, 36_718_336),
    ((2, 128, 128), 10, {"stages": 4}, 17_427_712),
    ((2, 128, 128), 11, {"stages": 5}, 1_698_304),
]


@pytest.mark.parametrize("name", COUNTS)
def test_the_parameters_are_those_published(name):
    expected, args, options = COUNTS[name]
    with torch.device("meta"):
        assert count(models.create(name, *args, neuron=RELU, **options)) == expected


def test_rounded_counts_are_those_that_papers_print():
    assert round(resnet19_by_hand() / 1e6, 2) == 12.63
    assert round(COUNTS["vgg_snn"][0] / 1e6, 2) == 9.27
    assert round(COUNTS["ms_resnet34"][0] / 1e6, 2) == 21.80


@pytest.mark.parametrize(("shape", "classes", "options", "expected"), PLIF)
def test_plif_nets_have_the_papers_parameters_and_one_time_constant_a_layer(shape, classes, options, expected):
    with torch.device("meta"):
        assert count(models.plif_net(shape, classes, RELU, **options)) == expected
    # spiking, small: one learned time constant for each of its four neuron layers
    small = {"width": 4, "hidden": 8}
    spiking, ann = models.plif_net((1, 8, 8), 2, **small), models.plif_net((1, 8, 8), 2, RELU, **small)
    assert count(spiking) - count(ann) == 4


def test_recurrent_networks_have_the_papers_parameters():
    assert count(models.lsnn(80, 10)) == 68_210
    # 700-128-128-20 without and with recurrence: 108.8 k and 141.8 k
    assert count(models.srnn(700, [128, 128], 20, recurrent=False)) == 108_820
    assert count(models.srnn(700, [128, 128], 20)) == 141_844
    # 1-40-256-128-10 and 1-64-256-256-10: 44.8 k, 85.1 k, and 155.1 k with two recurrent layers
    assert count(models.srnn(1, [40, 256, 128], 10, recurrent=False)) == 44_762
    assert count(models.srnn(1, [64, 256, 256], 10, recurrent=False)) == 85_130
    assert count(models.srnn(1, [64, 256, 256], 10, recurrent=[True, True, False])) == 155_082


SMALL = {
    "spiking_resnet18": lambda neuron, steps: models.spiking_resnet18(1, 3, neuron, steps=steps, small=True),
    "resnet19": lambda neuron, steps: models.resnet19(1, 3, neuron, steps=steps),
    "resnet20": lambda neuron, steps: models.resnet20(1, 3, neuron, steps=steps),
    "preact_resnet18": lambda neuron, steps: models.preact_resnet18((1, 32, 32), 3, neuron, steps=steps, dropout=0.1),
    "sew_resnet18": lambda neuron, steps: models.sew_resnet18(1, 3, neuron, steps=steps, small=True),
    "sew_resnet50": lambda neuron, steps: models.sew_resnet50(1, 3, neuron, steps=steps, small=True, connect="iand"),
    "ms_resnet18": lambda neuron, steps: models.ms_resnet18(1, 3, neuron, steps=steps, small=True),
    "plif_net": lambda neuron, steps: models.plif_net((1, 16, 16), 3, neuron, steps=steps, width=4),
    "vgg_snn": lambda neuron, steps: models.vgg_snn((1, 16, 16), 3, neuron, steps=steps),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_ann_is_the_same_architecture_and_the_input_is_held(name):
    snn, ann = SMALL[name](nn.LIF, 3), SMALL[name](RELU, 1)
    assert [(k, v.shape) for k, v in snn.state_dict().items()] == [(k, v.shape) for k, v in ann.state_dict().items()]
    x = torch.rand(1, 2, 1, 32, 32)[..., :16, :16] if name != "preact_resnet18" else torch.rand(1, 2, 1, 32, 32)
    assert snn(x).shape == (3, 2, 3)
    assert ann(x).shape == (1, 2, 3)
    # the layers before the first neuron run once a frame, and it is as if the frame had been given three times
    events = SMALL[name](nn.LIF, 1).eval()
    events.load_state_dict(snn.state_dict())
    assert torch.allclose(snn.eval()(x), events(x.expand(3, *x.shape[1:])), atol=1e-5)
    kernels = [p for p in snn.parameters() if p.ndim == 4 and min(p.shape) > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


def test_networks_for_large_images_halve_the_map_five_times():
    x = torch.rand(1, 1, 3, 64, 64)
    for name in ("spiking_resnet18", "sew_resnet18", "ms_resnet18"):
        net = models.create(name, neuron=nn.LIF, classes=5, steps=2)
        assert net(x).shape == (2, 1, 5)
        assert torch.nn.Sequential(*net[: list(dict(net.named_children())).index("pool")])(x).shape[-2:] == (2, 2)


def spikes(*shape):
    return torch.randint(2, shape, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("connect", ["add", "and", "iand"])
@pytest.mark.parametrize("neuron", [nn.IF, nn.LIF, RELU])
def test_sew_blocks_start_as_identities(neuron, connect, bottleneck):
    width = 2 if bottleneck else 8
    block = models.SEWBlock(8, width, 1, neuron, connect=connect, bottleneck=bottleneck)
    x = spikes(5, 3, 8, 4, 4)
    for mode in (True, False):
        assert torch.equal(block.train(mode)(x), x)


@pytest.mark.parametrize(("connect", "binary"), [("add", False), ("and", True), ("iand", True)])
def test_and_and_iand_stay_binary_and_add_counts(connect, binary):
    torch.manual_seed(0)
    stage = torch.nn.Sequential(*(models.SEWBlock(8, 8, 1, nn.IF, connect=connect) for _ in range(3)))
    for name, p in stage.named_parameters():
        if "norm.weight" in name:
            torch.nn.init.constant_(p, 1.5)
    y = stage(spikes(5, 3, 8, 4, 4))
    values = set(y.unique().tolist())
    assert values == {0.0, 1.0} if binary else values > {0.0, 1.0}
    assert torch.equal(y, y.round())
    assert y.min() == 0


def test_sew_connections_by_hand():
    x = torch.tensor([0.0, 0.0, 1.0, 1.0]).view(1, 1, 4, 1, 1)
    s = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(1, 1, 4, 1, 1)
    for connect, expected in {"add": [0, 1, 1, 2], "and": [0, 0, 0, 1], "iand": [0, 0, 1, 0]}.items():
        block = models.SEWBlock(4, 4, 1, nn.IF, connect=connect)
        block.branch = torch.nn.Threshold(-1.0, 0.0)
        block.branch.forward = lambda _: s
        assert block(x).flatten().tolist() == expected
    with pytest.raises(OptionError, match="connect='or'"):
        models.SEWBlock(4, 4, 1, nn.IF, connect="or")


@pytest.mark.parametrize("neuron", [nn.IF, nn.LIF, RELU])
def test_ms_blocks_start_as_identities_of_any_number(neuron):
    x = torch.randn(5, 3, 8, 4, 4)
    block = models.MSBlock(8, 8, 1, neuron, v_threshold=0.5)
    for mode in (True, False):
        assert torch.equal(block.train(mode)(x), x)
    # the other norms start at the threshold
    assert block.first.norm.weight.unique().tolist() == [0.5]


def test_shortcuts_without_parameters_take_every_second_pixel_and_pad_channels():
    block = models.BasicBlock(2, 4, 2, RELU, projected=False)
    x = torch.arange(32.0).view(1, 1, 2, 4, 4)
    y = block.shortcut(x)
    assert y.shape == (1, 1, 4, 2, 2)
    assert y[0, 0, 1].tolist() == [[0, 2], [8, 10]]
    assert y[0, 0, [0, 3]].abs().sum() == 0


def test_dsr_s_shortcut_is_fed_by_spikes():
    block = models.PreActBlock(4, 4, 1, nn.IF).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    y = block(torch.randn(6, 2, 4, 3, 3))
    assert y.unique().tolist() == [0.0, 1.0]
    # and the network's answers are spikes
    assert set(SMALL["preact_resnet18"](nn.LIF, 2)(torch.rand(1, 2, 1, 32, 32)).unique().tolist()) <= {0.0, 1.0}


def test_a_recurrent_network_of_relus_is_elman_s():
    """The ANN of a recurrent network: torch's own RNN with the same weights."""
    net = models.srnn(3, [5], 2, RELU, readout=torch.nn.Identity)
    theirs = torch.nn.RNN(3, 5, nonlinearity="relu")
    theirs.load_state_dict(
        {
            "weight_ih_l0": net.linear1.weight,
            "bias_ih_l0": net.linear1.bias,
            "weight_hh_l0": net.neuron1.feedback.weight,
            "bias_hh_l0": net.neuron1.feedback.bias,
        }
    )
    x = torch.randn(7, 4, 3)
    expected = torch.nn.functional.linear(theirs(x)[0], net.output.weight, net.output.bias)
    assert torch.allclose(net(x), expected, atol=1e-6)


def test_lsnn_has_no_connection_from_a_neuron_to_itself():
    layer = models.NoSelf(4)
    x = torch.eye(4).view(1, 4, 4)
    y = layer(x)[0].T
    assert torch.equal(y.diagonal(), torch.zeros(4))
    assert torch.equal(y - torch.diag(y.diagonal()), layer.weight - torch.diag(layer.weight.diagonal()))


@pytest.mark.parametrize(
    "build",
    [
        lambda: models.srnn(6, [5, 4], 3, recurrent=[True, False]),
        lambda: models.lsnn(6, 3, regular_neurons=3, adaptive_neurons=2),
    ],
)
def test_recurrent_networks_may_be_cut(build):
    net = build().double()
    x = torch.randn(9, 2, 6, dtype=torch.float64) * 3
    whole = net(x)
    first, state = snn4.run(net, x[:4])
    second, _ = snn4.run(net, x[4:], state)
    assert torch.allclose(torch.cat([first, second]), whole, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: models.srnn(4, [], 2),
        lambda: models.srnn(4, [3, 3], 2, recurrent=[True]),
        lambda: models.lsnn(0, 2),
        lambda: models.sew_resnet18(0),
        lambda: models.ms_resnet18(classes=0),
        lambda: models.plif_net((1, 8, 8), 10, stages=4),
        lambda: models.vgg_snn((2, 8, 8)),
        lambda: models.preact_resnet18((3, 28, 28)),
        lambda: models.resnet20(steps=0),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(OptionError):
        wrong()


def test_the_small_ms_resnet_begins_on_a_quarter_of_the_pixels():
    net, seen = models.ms_resnet_small(steps=3), {}
    for name, module in net.named_children():
        module.register_forward_hook(lambda _m, _x, y, name=name: seen.update({name: tuple(y.shape)}))
    net(torch.zeros(1, 2, 3, 32, 32))
    # all that comes before the hold runs once a frame
    assert seen["norm"] == (1, 2, 48, 32, 32)
    assert seen["hold"] == (3, 2, 48, 16, 16)
    assert (seen["stage1"], seen["stage2"]) == ((3, 2, 48, 16, 16), (3, 2, 80, 8, 8))
    assert seen["output"] == (3, 2, 10)
    # products of a step, by hand: four convolutions of 48 channels, then 48 to 80, three of 80 and the projection
    convolutions = 4 * 9 * 48 * 48 * 256 + (9 * 48 * 80 + 3 * 9 * 80 * 80 + 48 * 80) * 64
    assert round(convolutions / 1e6) == 35
    assert count(net) == 297_530 < 300_000


def test_the_small_ms_resnet_refuses_what_does_not_belong_together():
    for wrong in ({"widths": (8, 8), "depths": (1,)}, {"widths": (), "depths": ()}, {"widths": (0,), "depths": (1,)}):
        with pytest.raises(OptionError, match="ms_resnet_small"):
            models.ms_resnet_small(**wrong)
