"""Spikes as bits: exact or not at all. What autograd keeps changes, what it gives does not."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref

import pytest
import torch
import torch.nn.functional as F

import snn4
from snn4 import nn
from snn4.core.errors import GraphError, OptionError
from snn4.kernels import saved_as
from snn4.kernels.spikes import bits, events, pack, pool, pool_spikes, unpack
from snn4.kernels.spikes.events import linear_by_events, linear_of_events

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def spikes(*shape, share=0.3, seed=0, dtype=torch.float32):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share).to(dtype)


def last(x):
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture(params=["compiled", "torch"])
def either(request, monkeypatch):
    """With the compiled functions, and without a compiler."""
    if request.param == "torch":
        monkeypatch.setattr(bits, "library", lambda: None)


# ------------------------------------------------------------------------------------------------------------ packing


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("either")
def test_bits_come_back(dtype):
    for count in (1, 7, 8, 63, 64, 65, 300, 5000):
        x = spikes(count, dtype=dtype)
        packed = pack(x)
        assert packed is not None
        assert packed.data.numel() == -(-count // 8)
        assert packed.ones == int(x.double().sum())
        # bit k of byte j is element 8 j + k
        for k in range(count):
            assert (int(packed.data[k // 8]) >> (k % 8)) & 1 == int(x[k])
        assert torch.equal(unpack(packed), x)
        assert unpack(packed).dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.5, -0.0, 2.0, -1.0, float("nan"), float("inf"), 1.0 + 2**-7])
@pytest.mark.usefixtures("either")
def test_what_is_no_spike_is_found_wherever_it_stands(dtype, value):
    for count, places in ((1, (0,)), (70, (0, 63, 64, 69)), (9000, (0, 4095, 4096, 8999))):
        for place in places:
            x = spikes(count, dtype=dtype)
            x[place] = value
            assert pack(x) is None


def test_no_pattern_of_bfloat16_is_taken_for_another():
    words = torch.arange(-(2**15), 2**15, 7).to(torch.int16).view(torch.bfloat16)
    words = torch.cat([words, torch.tensor([0.0, 1.0], dtype=torch.bfloat16)])
    taken = [float(word) for word in words if pack(word.view(1)) is not None]
    assert sorted(set(taken)) == [0.0, 1.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.usefixtures("either")
def test_quarters_come_back(dtype):
    for count in (1, 2, 33, 5001):
        x = (torch.arange(count) * 7 % 16 / 4).to(dtype)
        packed = pack(x, quarters=True)
        assert packed is not None
        assert torch.equal(unpack(packed), x)
    for value in (4.0, 0.125, -0.25, -0.0, float("nan"), float("-inf")):
        x[4096] = value
        assert pack(x, quarters=True) is None


def test_layouts_come_back():
    x = spikes(3, 4, 5, 6)
    for one in (x, last(x), x.permute(3, 0, 2, 1), x[:, :1], x[..., :1].squeeze(-1)):
        packed = pack(one)
        if packed is None:
            # holes between the elements
            assert one.numel() < x.numel()
            continue
        assert unpack(packed).stride() == one.stride()
        assert torch.equal(unpack(packed), one)
    assert pack(x[::2, :, 1:]) is None
    assert pack(torch.zeros(1).expand(100)) is None
    assert pack(torch.zeros(0)) is None
    assert pack(torch.zeros(5, dtype=torch.int64)) is None


# ------------------------------------------------------------------------------------------------- kept for backward()


def conv_net(pooling=nn.MaxPool2d):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.LIF(), pooling(2)),
        *(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LIF(), pooling(2)),
        *(nn.Flatten(), nn.Linear(72, 30), nn.LIF(), nn.Linear(30, 4)),
    )


FRAMES = torch.rand(5, 3, 2, 12, 12, generator=torch.Generator().manual_seed(1))


def gradients(net, x, *, amp=False, around=None):
    """Outputs and all gradients."""
    net.zero_grad()
    leaf = x.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        if around is None:
            y = net(leaf)
        else:
            with around:
                y = net(leaf)
    y.float().pow(2).sum().backward()
    return [y.detach(), leaf.grad, *(p.grad.clone() for p in net.parameters())]


@pytest.mark.parametrize("pooling", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("amp", [False, True])
def test_gradients_are_the_same_bit_for_bit(pooling, channels_last, amp):
    net, x = conv_net(pooling), FRAMES
    if channels_last:
        net.to(memory_format=torch.channels_last)
        x = last(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    plain = gradients(net, x, amp=amp)
    assert plain[1].any()
    assert all(map(torch.equal, gradients(net, x, amp=amp, around=saved_as("bits")), plain))
    nn.use_memory(net, "bits")
    assert all(map(torch.equal, gradients(net, x, amp=amp), plain))


def kept(call):
    """Bytes that a call leaves alive."""
    gc.collect()
    with (
        warnings.catch_warnings(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile,
    ):
        result = call()
    del result
    return sum(int(event.self_cpu_memory_usage) for event in profile.key_averages())


def test_a_linear_layer_keeps_a_bit_for_a_spike():
    layer, x = nn.Linear(512, 3), spikes(20, 10, 512)
    x = torch.cat([x, x])  # made in the call: nobody else keeps it
    for memory, share in (("dense", 1.0), ("bits", 1 / 32)):
        layer.memory = memory
        found = kept(lambda: layer(x * 1)) - 4 * 400 * 3
        assert found == pytest.approx(share * 4 * x.numel(), rel=0.02)
    layer.memory = "bits"
    found = kept(lambda: layer(F.avg_pool1d(x, 2).repeat(1, 1, 2))) - 4 * 400 * 3
    assert found == pytest.approx(4 * x.numel() / 8, rel=0.02)
    # what is no spike is kept as it is
    assert kept(lambda: layer(x * 0.3)) - 4 * 400 * 3 == pytest.approx(4 * x.numel(), rel=0.02)


@pytest.mark.parametrize("layer", [nn.MaxPool2d(2), nn.AvgPool2d(2)], ids=["max", "mean"])
def test_pooling_keeps_a_bit_for_a_spike(layer):
    leaf = spikes(4, 2, 8, 16, 16).requires_grad_()
    outputs = leaf.numel()  # a quarter of the elements, 4 bytes each
    plain = kept(lambda: layer(leaf * 1))
    layer.memory = "bits"
    assert plain >= outputs + 4 * leaf.numel()
    assert kept(lambda: layer(leaf * 1)) <= outputs + leaf.numel() // 8 + 16


def test_an_input_that_is_not_binary_trains_alike():
    net = torch.nn.Sequential(nn.Linear(30, 40), nn.LIF(), nn.Linear(40, 3))
    x = torch.randn(6, 4, 30)
    plain = gradients(net, x)
    assert all(map(torch.equal, gradients(nn.use_memory(net, "bits"), x), plain))


def test_parts_can_stay_dense():
    x = spikes(10, 4, 512)
    layer = nn.Linear(512, 2)

    def call(inner):
        with saved_as("bits"), saved_as(inner):
            return layer(x * 1)

    assert kept(lambda: call("dense")) > 8 * kept(lambda: call("bits"))
    layer.memory = "dense"
    assert kept(lambda: call("bits")) > 8 * 4 * x.numel() / 32


def test_changes_in_place_are_noticed():
    x, weight = torch.randn(20, 30), torch.randn(30, 30, requires_grad=True)
    with saved_as("bits"):
        y = (x @ weight).sum()
    x.add_(1)
    with pytest.raises(GraphError, match="changed in place after its use"):
        y.backward()
    # packed spikes are a copy: the gradient is that of the values that were used
    x, layer = spikes(4, 2, 300), nn.Linear(300, 2, memory="bits")
    y = layer(x)
    before = x.sum((0, 1))
    x.zero_()
    y.sum().backward()
    torch.testing.assert_close(layer.weight.grad[0], before)


def test_derivatives_of_second_order():
    found = []
    for memory in ("dense", "bits"):
        x, weight = spikes(10, 64).requires_grad_(), torch.linspace(-1, 1, 320).view(5, 64).requires_grad_()
        with saved_as(memory):
            y = F.linear(x, weight).pow(3).sum()
        (first,) = torch.autograd.grad(y, weight, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), (x, weight)))
    assert all(map(torch.equal, *found))


def test_with_checkpoints_and_states():
    net, x = conv_net(), FRAMES
    net.eval()
    _, state = snn4.run(net, x)
    state = state.detach()

    def steps(memory, checkpointed):
        nn.use_memory(net, memory)
        net.zero_grad()
        whole = (lambda x: snn4.checkpoint(net, x)) if checkpointed else net

        class Outer(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = net

            def forward(self, x):
                return whole(x)

        y, _ = snn4.run(Outer(), x, state.__class__({f"net.{k}": v for k, v in state.items()}))
        y.pow(2).sum().backward()
        return [p.grad.clone() for p in net.parameters()]

    plain = steps(None, False)
    assert all(map(torch.equal, steps("bits", False), plain))
    assert all(map(torch.equal, steps("bits", True), plain))


def test_a_neuron_can_be_traced_inside():
    class Once(snn4.neurons.LIF):
        pass

    neuron, x = Once(tau=1.75), torch.linspace(-1, 2, 24).view(4, 2, 3).requires_grad_()
    with saved_as("bits"):
        assert neuron(x).grad_fn.name() == "FusedBackward"


def test_torch_func_and_compile_do_without():
    layer, x = nn.Linear(300, 2, memory="bits"), spikes(4, 2, 300)
    grad = torch.func.grad(lambda w: torch.func.functional_call(layer, {"weight": w}, (x,)).sum())(
        layer.weight.detach()
    )
    torch.testing.assert_close(grad, x.sum((0, 1)).expand(2, 300))
    pooling = nn.MaxPool2d(2)
    pooling.memory = "bits"
    images = spikes(2, 3, 4, 8, 8)
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        compiled = torch.compile(lambda x, z: (layer(x), pooling(z)), fullgraph=True, backend="aot_eager")
        y, z = compiled(x, images)
    torch.testing.assert_close(y, layer(x))
    assert torch.equal(z, pooling(images))
    torch.compiler.reset()


@pytest.mark.parametrize(
    "call",
    [
        lambda: saved_as("bit"),
        lambda: nn.Linear(2, 3, memory="packed"),
        lambda: nn.Conv2d(2, 3, 3, memory=1),
        lambda: nn.use_memory(torch.nn.Sequential(torch.nn.Linear(2, 3)), "bits"),
        lambda: nn.use_events(torch.nn.Sequential(torch.nn.Linear(2, 3))),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(OptionError):
        call()


def test_a_setting_is_told_and_copied():
    layer = nn.Conv2d(2, 3, 3, padding=1, memory="bits")
    assert repr(copy.deepcopy(layer)).endswith("padding=(1, 1), memory=bits)")
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert "memory" not in repr(nn.use_memory(layer, None))


# ------------------------------------------------------------------------------------------------------------ pooling


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling_is_torchs(dtype, channels_last, kind):
    reference = F.max_pool2d if kind == "max" else F.avg_pool2d
    for shape in ((5, 3, 12, 14), (2, 20, 7, 9), (1, 1, 2, 2), (2, 2, 130, 131)):
        for window in ((2, 2), (3, 3), (1, 2), (2, 1)):
            if shape[2] < window[0] or shape[3] < window[1]:
                continue
            x = spikes(*shape, share=0.15, dtype=dtype)
            x = last(x) if channels_last else x
            mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
            ys, expected = pool_spikes(mine, window, kind), reference(theirs, window)
            assert ys is not None
            assert torch.equal(ys, expected)
            assert ys.stride() == expected.stride()
            weights = torch.randn(ys.shape, generator=torch.Generator().manual_seed(2), dtype=dtype)
            ys.backward(weights)
            expected.backward(weights)
            assert torch.equal(mine.grad, theirs.grad)


def test_pooling_differentiates_twice():
    for kind, reference in (("max", F.max_pool2d), ("mean", F.avg_pool2d)):
        found = []
        for function in (lambda x, k=kind: pool_spikes(x, (2, 2), k), lambda x, f=reference: f(x, 2)):
            x, scale = spikes(2, 3, 4, 4).requires_grad_(), torch.tensor(2.0, requires_grad=True)
            (first,) = torch.autograd.grad((function(x) * scale.square()).sum(), x, create_graph=True)
            found.append(torch.autograd.grad(first.pow(2).sum(), scale)[0])
        assert torch.equal(*found)


def test_pooling_declines():
    x = spikes(2, 3, 8, 8)
    assert pool_spikes(x * 0.5, (2, 2), "max") is None
    assert pool_spikes(x.bfloat16(), (2, 2), "max") is None
    assert pool_spikes(x[:, :, ::2], (2, 2), "max") is None
    assert pool_spikes(x, (9, 2), "max") is None
    for layer in (
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(2, padding=1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, 2, 0, 2),
    ):
        layer.memory = "bits"
        assert layer.of_spikes(x.unsqueeze(0)) is None
        assert torch.equal(layer(x.unsqueeze(0)), copy.deepcopy(layer).forward(x.unsqueeze(0)))
    assert pool.pool_spikes(x, (2, 2), "max") is not None


# ------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize("outputs", [1, 15, 16, 70, 192, 300])
@pytest.mark.parametrize("inputs", [5, 64, 100])
def test_events_add_the_weights(inputs, outputs):
    x = spikes(3, 100, inputs, share=0.1)
    # small integers: every sum is exact in any order
    draw = torch.Generator().manual_seed(3)
    weight = torch.randint(-50, 50, (outputs, inputs), generator=draw).float()
    bias = torch.randint(-50, 50, (outputs,), generator=draw).float()
    for b in (bias, None):
        ys = linear_of_events(x, weight, b)
        assert ys is not None
        assert torch.equal(ys, F.linear(x, weight, b))


def test_events_are_exact_within_rounding():
    x, weight = spikes(300, 1000, share=0.1), torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
    ys = linear_of_events(x, weight, None)
    exact = F.linear(x.double(), weight.double())
    # each of n additions rounds by at most 2^-24 of a partial sum
    bound = 2**-24 * 100 * F.linear(x.double(), weight.double().abs())
    assert ((ys - exact).abs() <= bound * 1.5).all()


def test_events_run_where_they_were_asked_for_and_pay():
    asked, plain = nn.Linear(64, 32, events=True), nn.Linear(64, 32)
    plain.load_state_dict(asked.state_dict())
    with torch.no_grad():
        for share, rows in ((0.05, 300), (0.6, 300), (0.05, 3)):
            x = spikes(2, rows, 64, share=share)
            used = linear_of_events(x, asked.weight, asked.bias) is not None
            assert used == (share < events.dense_from(asked.weight) and rows > 3)
            torch.testing.assert_close(asked(x), plain(x))
            # the same input gives the same output, whatever came before
            assert torch.equal(asked(x), asked(x))
    x = spikes(2, 300, 64, share=0.05)
    assert torch.equal(asked(x), plain(x))
    assert linear_of_events(x, asked.weight, asked.bias) is None, "with gradients"
    with torch.no_grad():
        assert linear_of_events(x * 0.5, asked.weight, asked.bias) is None
        assert linear_of_events(x.double(), asked.weight.double(), None) is None
        with torch.autocast("cpu", torch.bfloat16):
            assert linear_of_events(x, asked.weight, asked.bias) is None
    assert not nn.use_events(torch.nn.Sequential(asked), False)[0].events


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 1), (64, 16), (100, 70), (515, 193), (784, 10)])
def test_events_train(inputs, outputs, share):
    draw = torch.Generator().manual_seed(3)

    def whole(*shape):
        return torch.randint(-50, 50, shape, generator=draw).float().requires_grad_()

    # small integers: every sum is exact in any order
    x, weight, bias = spikes(3, 200, inputs, share=share).requires_grad_(), whole(outputs, inputs), whole(outputs)
    for given in ((x, weight, bias), (x, weight, None), (x.detach(), weight, bias)):
        leaves = [t for t in given if t is not None and t.requires_grad]
        ys, expected = linear_by_events(*given), F.linear(*given)
        assert ys is not None
        assert torch.equal(ys, expected)
        grad = whole(*ys.shape).detach()
        for mine, right in zip(
            torch.autograd.grad(ys, leaves, grad), torch.autograd.grad(expected, leaves, grad), strict=True
        ):
            assert torch.equal(mine, right)
            assert mine.is_contiguous()


def test_the_order_of_a_sum_over_events_depends_on_nothing_else():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(70, 300, generator=draw).requires_grad_()
    few, grad = spikes(2, 300, 300, share=0.05), torch.randn(2, 300, 70, generator=draw)
    many = few.clone()
    many[1] = 1.0
    threads = torch.get_num_threads()
    try:
        seen = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for x in (few, many):
                ys = linear_by_events(x, weight, None)
                (gradient,) = torch.autograd.grad(ys, weight, grad * torch.tensor([1.0, 0.0]).view(2, 1, 1))
                seen.append((ys[0].detach(), gradient))
    finally:
        torch.set_num_threads(threads)
    # neither on what else is in the input, nor on who adds
    for ys, gradient in seen[1:]:
        assert torch.equal(ys, seen[0][0])
        assert torch.equal(gradient, seen[0][1])
    # one by one, in the order of the inputs
    by_hand = torch.zeros(300, 70)
    for k in range(300):
        by_hand = torch.where(few[0, :, k : k + 1] == 1, by_hand + weight[:, k], by_hand)
    assert torch.equal(seen[0][0], by_hand)


def test_a_layer_of_events_trains_with_bits():
    layer, plain = nn.Linear(64, 32, events="always"), nn.Linear(64, 32)
    plain.load_state_dict(layer.state_dict())
    x, grad = spikes(4, 80, 64, share=0.9), torch.randn(4, 80, 32, generator=torch.Generator().manual_seed(0))
    alive = weakref.ref(given := x.clone())
    ys = layer(given)
    del given
    assert alive() is None, "only its bits are kept"
    for one in (layer, plain):
        one(x).backward(grad)
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(layer.bias.grad, plain.bias.grad)
    with torch.no_grad():
        # what training gave, inference gives, and so does every other number of rows
        assert torch.equal(layer(x), ys)
        assert torch.equal(layer(x[:1]), ys[:1])
    ys = layer(x)
    with torch.no_grad():
        layer.weight.add_(1.0)
    with pytest.raises(GraphError, match="changed in place"):
        ys.backward(grad)
    for other in (x * 0.5, x[:, ::2]):
        assert linear_by_events(other, layer.weight, layer.bias) is None
        torch.testing.assert_close(layer(other), F.linear(other, layer.weight, layer.bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_events_have_second_derivatives():
    x = spikes(3, 4, 6).requires_grad_()
    weight, bias = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(5)
    found = []
    for run in (linear_by_events, F.linear):
        leaves = (x, weight.clone().requires_grad_(), bias.clone().requires_grad_())
        first = torch.autograd.grad(run(*leaves).pow(3).sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(g.pow(2).sum() for g in first), leaves))
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-3, atol=1e-3)


def test_use_events_tells_what_it_knows():
    net = torch.nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3))
    nn.use_events(net, "always")
    assert [layer.events for layer in net] == [True, "always"]
    for make in (lambda: nn.use_events(net, "alway"), lambda: nn.Linear(2, 3, events=1)):
        with pytest.raises(OptionError, match="'always'"):
            make()


@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"stride": 2}, {"kernel_size": (1, 3), "padding": (0, 2)}, {"dilation": 2, "bias": False}],
    ids=str,
)
@pytest.mark.parametrize(("channels", "outputs"), [(3, 5), (8, 16), (37, 70)])
def test_convolutions_of_events_add_the_weights(options, channels, outputs, monkeypatch):
    monkeypatch.setattr(events, "_PIXELS", 1)
    monkeypatch.setattr(events, "dense_from", lambda _weight: 0.3)
    layer = nn.Conv2d(channels, outputs, **{"kernel_size": 3, **options})
    draw = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.data = torch.randint(-50, 50, parameter.shape, generator=draw).float()
    x = last(spikes(6, channels, 9, 7, share=0.1))
    given = (layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation)
    with torch.no_grad():
        expected = layer(x.unflatten(0, (3, 2)))
        ys = events.conv2d_of_events(x, *given)
        assert ys is not None
        assert torch.equal(ys, expected.flatten(0, 1))
        assert ys.stride() == expected.flatten(0, 1).stride()
        assert torch.equal(nn.use_events(layer)(x.unflatten(0, (3, 2))), expected)
        assert events.conv2d_of_events(x.contiguous(), *given) is None
        assert events.conv2d_of_events(x * 0.5, *given) is None
        assert events.conv2d_of_events(last(spikes(6, channels, 9, 7, share=0.5)), *given) is None
    assert events.conv2d_of_events(x, *given) is None, "with gradients"


def test_tensors_of_other_kinds_are_left_alone():
    x = spikes(40, 30)
    with saved_as("bits"):
        # a sparse matrix is kept by its product; an embedding keeps its indices
        weight = torch.ones(30, 2, requires_grad=True)
        y = torch.sparse.mm(x.to_sparse(), weight).sum()
        table = torch.ones(70_000, 2, requires_grad=True)
        indices = torch.tensor([0, 255, 256, 65_536, 69_999]).repeat(100)
        z = F.embedding(indices, table).sum()
    (y + z).backward()
    torch.testing.assert_close(weight.grad[:, 0], x.sum(0))
    assert table.grad[:, 0].nonzero().flatten().tolist() == [0, 255, 256, 65_536, 69_999]
    assert pack(torch.zeros(300, device="meta")) is None
