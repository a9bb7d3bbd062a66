"""Neighbours that run together give what they give one by one, bit for bit, and keep less."""

from __future__ import annotations

import copy
import gc
import warnings

import pytest
import torch
import torch.nn.functional as F
from tests.kernels.twins import Adaptive, Dendrite

import snn4
from snn4 import Learned, nn
from snn4.core.errors import GraphError, ShapeError
from snn4.kernels import pool, saved_as, use
from snn4.kernels.spikes import again, normed
from snn4.neurons import LIF, CubaLIF, exponential
from snn4.surrogates import FastSigmoid

NEURONS = {
    "soft": lambda: LIF(),
    "hard": lambda: LIF(v_reset=0.0, detach_reset=True, surrogate=FastSigmoid()),
    "rest": lambda: LIF(v_reset=-0.5, decay=exponential, decay_input=True),
    "two states": lambda: CubaLIF(tau=3.0, tau_syn=2.0),
    "a user's": lambda: Adaptive(),
    "learned per channel": lambda: LIF(tau=Learned(torch.linspace(1.6, 3.0, 5).view(5, 1, 1))),
}

QUICK = ("hard", "learned per channel")
MEMBERS = [
    pytest.param(make, id=name, marks=() if name in QUICK else pytest.mark.slow) for name, make in NEURONS.items()
]


def images(*shape, dtype=torch.float32, channels_last=False, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 1.3 + 0.4
    if channels_last:
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, shape[:2])
    return x


def block(neuron, channels=5, dtype=torch.float32, **options):
    """Batch norm with a history, and a neuron."""
    norm = nn.BatchNorm2d(channels, **options).to(dtype)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if tensor is not None:
                tensor.copy_(torch.rand(channels, generator=draw, dtype=dtype) + 0.5)
    return torch.nn.Sequential(norm, neuron.to(dtype))


def everything(net, x, loss=lambda y: y.pow(2).sum()):
    """Outputs, gradients, buffers."""
    net.zero_grad()
    leaf = x.clone().requires_grad_()
    y = net(leaf)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(y)
    (loss(y) + (y * weights).sum()).backward()
    return [y.detach(), leaf.grad, *(p.grad.clone() for p in net.parameters()), *(b.clone() for b in net.buffers())]


def assert_equal(net, x):
    """Fused and not, from equal copies."""
    plain, fused = copy.deepcopy(net), nn.fuse(copy.deepcopy(net))
    if isinstance(net, torch.nn.Sequential):
        assert type(fused) is nn.Fused
    for k, (one, other) in enumerate(zip(everything(plain, x), everything(fused, x), strict=True)):
        assert torch.equal(one, other), f"{k}: {int((one != other).sum())} of {one.numel()} differ"
    return fused


@pytest.mark.parametrize("make", MEMBERS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_neuron(make, training, channels_last):
    net = block(make()).train(training)
    x = images(6, 3, 5, 7, 9, channels_last=channels_last)
    fused = assert_equal(net, x)
    assert "with BatchNorm2d" in snn4.explain(fused, x).choices[0].implementation
    assert everything(net, x)[0].any(), "it never fired"


@pytest.mark.slow
def test_learned_parameters_of_a_users_neuron():
    net, x = block(Dendrite()), images(6, 3, 5, 4, 4)
    one, other = everything(copy.deepcopy(net), x), everything(nn.fuse(copy.deepcopy(net)), x)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"affine": False}, {"track_running_stats": False}, {"momentum": None}, {"momentum": 0.0}, {"eps": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_every_option_of_the_norm(options, training):
    net = block(LIF(), **options).train(training)
    x = images(4, 3, 5, 6, 6)
    plain, fused = copy.deepcopy(net), nn.fuse(copy.deepcopy(net))
    for _ in range(3):
        # momentum=None means over calls, so that there have to be several
        assert all(map(torch.equal, everything(plain, x), everything(fused, x)))


def test_float64_and_other_ranks():
    assert_equal(block(LIF(), dtype=torch.float64), images(5, 2, 5, 6, 6, dtype=torch.float64))
    assert_equal(torch.nn.Sequential(nn.BatchNorm1d(5), LIF()), images(5, 4, 5))
    assert_equal(torch.nn.Sequential(nn.BatchNorm1d(5), LIF()), images(5, 4, 5, 17))
    assert_equal(torch.nn.Sequential(nn.BatchNorm3d(5), LIF()), images(3, 2, 5, 4, 3, 2))
    # time inside the batch in memory, and a step with holes
    assert_equal(block(LIF()), images(4, 6, 5, 6, 6).transpose(0, 1))
    assert_equal(block(LIF()), images(4, 6, 5, 6, 12)[..., ::2])


class Smooth(snn4.Neuron):
    """A neuron without a threshold, so that finite differences see its gradient."""

    State = snn4.state("v")

    def step(self, x, state):
        v = 0.6 * state.v + x
        y = v / (1 + v * v)
        return y, self.State(v - 0.3 * y)


@pytest.mark.parametrize("training", [True, False])
def test_against_finite_differences(training):
    net = nn.fuse(block(Smooth(), channels=3, dtype=torch.float64)).train(training)
    norm = net[0]
    assert "with BatchNorm2d" in snn4.explain(net, images(3, 2, 3, 2, 2, dtype=torch.float64)).choices[0].implementation

    def call(x, weight, bias):
        return torch.func.functional_call(net, {"0.weight": weight, "0.bias": bias}, (x,))

    x = images(3, 2, 3, 2, 2, dtype=torch.float64).requires_grad_()
    weight, bias = (p.detach().clone().requires_grad_() for p in (norm.weight, norm.bias))
    # gradcheck also asks for a second backward through the same graph
    assert torch.autograd.gradcheck(call, (x, weight, bias), atol=1e-7, fast_mode=False)
    assert torch.autograd.gradgradcheck(call, (x, weight, bias), atol=1e-6, fast_mode=True)


def test_by_hand():
    """One channel, three steps, numbers worked by hand: mean 2, variance 2, x = (z - 2) / sqrt(2 + 2)."""
    norm = nn.BatchNorm1d(1, eps=2.0)
    net = nn.Fused(norm, LIF(tau=2.0, v_threshold=0.75))
    z = torch.tensor([2.0, 4.0, 0.0, 4.0, 2.0, 0.0]).view(6, 1, 1)
    # variance (0 + 4 + 4 + 4 + 0 + 4) / 6 = 8/3; eps makes it 14/3
    scale = (8 / 3 + 2.0) ** -0.5
    v, expected = 0.0, []
    for value in (0.0, 2.0, -2.0, 2.0, 0.0, -2.0):
        v = 0.5 * v + value * scale
        expected.append(float(v >= 0.75))
        v -= 0.75 * expected[-1]
    assert net(z).flatten().tolist() == expected
    assert sum(expected) >= 1
    assert norm.running_mean.item() == pytest.approx(0.1 * 2.0)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 8 / 3 * 6 / 5)
    assert norm.num_batches_tracked.item() == 1


def conv_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), LIF(), nn.MaxPool2d(2)),
        torch.nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.AvgPool2d(2), LIF()),
        *(nn.Flatten(), nn.Linear(72, 30), LIF(), nn.Dropout(0.3), nn.Linear(30, 4), nn.LI()),
    )


FRAMES = torch.rand(6, 3, 2, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("amp", [False, True])
def test_a_network(recompute, amp):
    plain = conv_net()
    plain[8].eval()
    fused = nn.fuse(copy.deepcopy(plain), recompute=recompute)
    assert type(fused[4]) is nn.Fused
    assert not fused[8].training
    assert list(fused.state_dict()) == list(plain.state_dict())
    found = []
    for net in (plain, fused):
        leaf = FRAMES.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            y = net(leaf)
        y.float().pow(2).sum().backward()
        found.append([y.detach(), leaf.grad, *(p.grad for p in net.parameters()), *net.buffers()])
    assert all(map(torch.equal, *found))


class Outer(torch.nn.Module):
    def __init__(self, net, checkpointed):
        super().__init__()
        self.net, self.checkpointed = net, checkpointed

    def forward(self, x):
        return snn4.checkpoint(self.net, x) if self.checkpointed else self.net(x)


def test_states_go_in_and_out():
    plain = conv_net().eval()
    fused = nn.fuse(copy.deepcopy(plain))
    one, state = snn4.run(plain, FRAMES)
    first, middle = snn4.run(fused, FRAMES[:2])
    assert list(middle) == list(state)
    second, end = snn4.run(plain, FRAMES[2:4], middle)
    third, _ = snn4.run(fused, FRAMES[4:], end)
    torch.testing.assert_close(torch.cat([first, second, third]), one)
    stream = snn4.Stream(fused)
    chunks = [stream(chunk) for chunk in FRAMES.split(3)]
    torch.testing.assert_close(torch.cat(chunks), one)
    # through the state into the earlier chunk, and with a checkpoint
    found = []
    for net, checkpointed in ((plain, False), (fused, False), (fused, True)):
        leaf = FRAMES.clone().requires_grad_()

        outer = Outer(net, checkpointed)
        _, state = snn4.run(outer, leaf[:3])
        y, _ = snn4.run(outer, leaf[3:], state)
        y.pow(2).sum().backward()
        found.append(leaf.grad)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def why(net, x):
    choice = snn4.explain(net, x).choices[0]
    return choice.implementation, dict(choice.refused)


def test_who_refuses_says_why(monkeypatch):
    x = images(4, 2, 5, 6, 6)
    # in eval mode, where a look does not move the running statistics
    net = nn.fuse(block(LIF()).eval())
    assert why(net, x) == ("c++, with BatchNorm2d", {})
    with use("reference"):
        implementation, refused = why(net, x)
        assert implementation == "reference loop"
        assert "use('reference')" in refused["with BatchNorm2d"]
        expected = everything(copy.deepcopy(net), x)
    assert all(map(torch.equal, everything(copy.deepcopy(net), x), expected))
    monkeypatch.setattr(normed, "_rounding", lambda dtype: None)
    assert "a way of its own" in why(net, x)[1]["with BatchNorm2d"]
    assert all(map(torch.equal, everything(copy.deepcopy(net), x), expected))
    monkeypatch.setattr(normed, "library", lambda: None)
    assert why(net, x)[1]["with BatchNorm2d"] == "no compiler"


def test_a_member_with_a_hook_is_called():
    net, seen = nn.fuse(block(LIF())), []
    x = images(4, 2, 5, 6, 6)
    expected = net(x)
    for member in net:
        handle = member.register_forward_hook(lambda module, _inputs, y: seen.append((type(module).__name__, y)))
        fresh = nn.fuse(block(LIF()))
        fresh.load_state_dict(net.state_dict())
        assert torch.equal(net(x), expected)
        handle.remove()
    assert [name for name, _ in seen] == ["BatchNorm2d", "LIF"]
    assert torch.equal(seen[1][1], expected)


def test_shapes_are_refused_as_ever():
    net = nn.Fused(nn.BatchNorm2d(5), LIF())
    with pytest.raises(ShapeError, match="BatchNorm2d got x"):
        net(torch.zeros(4, 5, 6, 6))
    with pytest.raises(RuntimeError):
        net(torch.zeros(4, 2, 3, 6, 6))
    one = nn.Fused(nn.BatchNorm1d(5), LIF())
    with pytest.raises(ValueError, match="more than 1 value"):
        one(torch.zeros(1, 1, 5))


@pytest.mark.slow
def test_compile_and_func_run_one_by_one():
    net, x = nn.fuse(conv_net().eval(), recompute=True), FRAMES
    expected = net(x)
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), expected)
    torch.compiler.reset()
    part, z = nn.fuse(block(LIF()).eval()), images(4, 2, 5, 6, 6)
    leaf = z.clone().requires_grad_()
    part(leaf).sum().backward()
    torch.testing.assert_close(torch.func.grad(lambda z: part(z).sum())(z), leaf.grad)


def alive(call):
    gc.collect()
    # torch counts what it allocates itself
    pool(0)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = call()
    pool(1024)
    del result
    return sum(int(event.self_cpu_memory_usage) for event in profile.key_averages())


def test_what_is_kept():
    x = images(8, 4, 16, 16, 16)
    size = 4 * x.numel()
    net = torch.nn.Sequential(nn.BatchNorm2d(16), LIF(), nn.MaxPool2d(2))
    fused, leaf = nn.fuse(net), x.clone().requires_grad_()
    net(leaf), fused(leaf)
    # the norm's input is there already; the neuron's input, its spikes and the indices are not kept any more
    outputs = size // 4
    assert alive(lambda: net(leaf)) >= outputs + 2 * size
    assert alive(lambda: fused(leaf)) <= outputs + size // 8
    spikes = (torch.rand(20, 10, 256, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    mlp = nn.fuse(torch.nn.Sequential(nn.Linear(256, 1024), LIF()), recompute=True)
    mlp(spikes * 1)
    hidden, inputs = 4 * 200 * 1024, 4 * spikes.numel()
    with saved_as("bits"):
        plain = alive(lambda: torch.nn.Sequential(*mlp)(spikes * 1))
    assert plain >= 2 * hidden
    # outputs, bits of the input, and bits of the state at rest
    assert alive(lambda: mlp(spikes * 1)) <= hidden + inputs // 32 + 4 * 10 * 1024 // 32 + 64


@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv2d(3, 5, 3)], ids=["linear", "conv"])
@pytest.mark.parametrize("binary", [True, False])
def test_layers_that_run_again(layer, binary):
    draw = torch.Generator().manual_seed(4)
    x = torch.rand((6, 4, 40) if isinstance(layer, nn.Linear) else (6, 4, 3, 9, 9), generator=draw)
    x = (x < 0.4).float() if binary else x
    net = torch.nn.Sequential(layer, LIF(tau=Learned(2.0)))
    fused = nn.fuse(copy.deepcopy(net), recompute=True)
    assert all(map(torch.equal, everything(copy.deepcopy(net), x), everything(fused, x)))
    y = fused(x).sum()
    with torch.no_grad():
        fused[0].weight.add_(1.0)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_running_again_happens_once_for_each_backward(monkeypatch):
    made = []
    make = again._Recipe.make
    monkeypatch.setattr(again._Recipe, "make", lambda self: made.append(1) or make(self))
    x = (torch.rand(6, 4, 40, generator=torch.Generator().manual_seed(4)) < 0.4).float()
    net = nn.Fused(nn.Linear(40, 300), LIF(), recompute=True)
    net(x).sum().backward()
    assert made == [1]
    with torch.no_grad():
        net(x)
    assert made == [1]


def test_rounding_of_this_torch_is_known():
    """Without it nothing would run together, and the tests above would compare a network with itself."""
    assert normed._rounding(torch.float32) is not None
    assert normed._rounding(torch.float64) is not None
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    norm = normed.Norm(None, None, None, None, batch=True, momentum=None, eps=1e-5)
    a, b, _, _ = norm.line(x.unsqueeze(0))
    expected = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(x * a.view(-1, 1, 1) + b.view(-1, 1, 1), expected)


def test_fusing_again_and_what_stands_twice():
    block = torch.nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.LIF())

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = self.other = block

    net = nn.fuse(Twice())
    assert net.one is net.other
    assert type(net.one) is nn.Fused
    assert not net.one.recompute
    assert nn.fuse(net, recompute=True).one.recompute
    assert nn.fuse(net).one.recompute
    part = net.one[:1]
    assert type(part) is nn.Fused
    assert part.recompute
    assert part[0] is block[0]
