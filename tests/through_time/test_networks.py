"""Whole networks in chunks: bit for bit where arithmetic is exact, to 1e-12 elsewhere, with spike flips counted."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import Neuron, States, Stream, nn, run

EXAMPLES = settings(deadline=None, max_examples=12)


class Net(torch.nn.Module):
    """A bit of everything: convolution, norm, pooling, a residual, recurrence, dropout, feedback, a readout."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LIF(tau=2.0))
        self.block = torch.nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.TdBN2d(4), nn.IF(v_reset=0.0))
        self.pool = torch.nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.5))
        self.recurrent = nn.Recurrent(nn.LIF(tau=2.0), nn.Linear(16, 16))
        self.loop = nn.Loop(torch.nn.Sequential(nn.Linear(16, 8), nn.LIF(tau=2.0)), feedback=nn.Linear(8, 16))
        self.shared = nn.LIF(tau=2.0)
        self.readout = torch.nn.Sequential(nn.Linear(8, 3), nn.LI(tau=2.0))

    def forward(self, x):
        x = self.stem(x)
        x = x + self.block(x)
        x = self.loop(self.recurrent(self.pool(x)))
        x = self.shared(2 * self.shared(x) + 0.5)
        return self.readout(x)


def drawn(net, seed, *, dyadic):
    """Weights that make it fire: multiples of 1/8, or any number."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if not value.is_floating_point():
                continue
            if dyadic:
                new = torch.randint(-8, 13, value.shape, generator=generator) / 8
            else:
                new = torch.randn(value.shape, generator=generator, dtype=torch.float64) + 0.2
            if name.endswith("running_var"):
                new = torch.tensor([0.25, 1.0, 4.0])[torch.randint(0, 3, value.shape, generator=generator)]
            value.copy_(new)
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eps = 0.0 if dyadic else module.eps  # so that 1 / sqrt(var) is a power of two
    return net.eval()


def spikes_of(net, call):
    """What `call` returns, and every spike of every neuron, joined over time."""
    seen = {}
    hooks = [
        m.register_forward_hook(lambda module, args, ys, name=name: seen.setdefault(name, []).append(ys.detach()))
        for name, m in net.named_modules()
        if isinstance(m, Neuron) and m.alphabet is not None
    ]
    try:
        return call(), {name: torch.cat(parts) for name, parts in seen.items()}
    finally:
        for hook in hooks:
            hook.remove()


def in_chunks(net, x, lengths):
    state, parts = None, []
    for chunk in x.split(lengths):
        y, state = run(net, chunk, state)
        parts.append(y)
    return torch.cat(parts), state


def lengths_of(draw_cuts, steps):
    edges = [0, *sorted({c for c in draw_cuts if 0 < c < steps}), steps]
    return [b - a for a, b in itertools.pairwise(edges)]


cuts = st.lists(st.integers(1, 7), max_size=4)


@given(seed=st.integers(0, 10**6), cuts=cuts, dtype=st.sampled_from([torch.float32, torch.float64]))
@EXAMPLES
def test_on_dyadic_numbers_no_bit_changes(seed, cuts, dtype):
    net = drawn(Net(), seed, dyadic=True).to(dtype)
    x = torch.randint(-8, 17, (8, 2, 2, 4, 4), generator=torch.Generator().manual_seed(seed)).to(dtype) / 8
    ys, end = run(net, x)
    parts, last = in_chunks(net, x, lengths_of(cuts, 8))
    assert torch.equal(parts, ys)
    assert torch.equal(net(x), ys)
    assert set(last) == set(end)
    for key in end:
        for one, other in zip(last[key], end[key], strict=True):
            assert torch.equal(one, other), key


def test_the_dyadic_network_does_fire():
    rates = []
    for seed in range(8):
        net = drawn(Net(), seed, dyadic=True)
        x = torch.randint(-8, 17, (8, 2, 2, 4, 4), generator=torch.Generator().manual_seed(seed)) / 8
        _, spikes = spikes_of(net, lambda net=net, x=x: net(x))
        rates.append({name: s.mean().item() for name, s in spikes.items()})
    for name in rates[0]:
        assert any(0.02 < r[name] < 0.98 for r in rates), name


@given(seed=st.integers(0, 10**6), cuts=cuts)
@EXAMPLES
def test_in_float64_to_1e12_with_flips_counted(seed, cuts):
    net = drawn(Net().double(), seed, dyadic=False)
    x = torch.randn(8, 2, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
    lengths = lengths_of(cuts, 8)
    whole, spikes = spikes_of(net, lambda: net(x))
    (parts, _), chunked = spikes_of(net, lambda: in_chunks(net, x, lengths))
    flips, total = 0, 0
    for name, one in spikes.items():
        # a module that is called twice a chunk comes in another order
        other = chunked[name]
        if name == "shared":
            pieces = other.split([n for n in lengths for _ in (0, 1)])
            other = torch.cat(pieces[::2] + pieces[1::2])
        flips += int((one != other).sum())
        total += one.numel()
    assert flips <= 1e-3 * total
    if not flips:
        assert (parts - whole).abs().max() <= 1e-12 * max(1.0, whole.abs().max().item())


@given(seed=st.integers(0, 10**6))
@EXAMPLES
def test_items_of_a_batch_do_not_meet(seed):
    net = drawn(Net(), seed, dyadic=True)
    x = torch.randint(-8, 17, (6, 3, 2, 4, 4), generator=torch.Generator().manual_seed(seed)) / 8
    ys = net(x)
    for order in ([2, 0, 1], [1, 0, 2]):
        assert torch.equal(net(x[:, order]), ys[:, order])
    assert torch.equal(net(x[:, 1:2]), ys[:, 1:2])
    assert torch.equal(net(torch.cat([x[:, :1], 2 - 3 * x[:, 1:]], 1))[:, :1], ys[:, :1])


def test_gradients_through_chunks_are_those_of_the_whole():
    net = drawn(Net().double(), 1, dyadic=False)
    x = (torch.randn(8, 2, 2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).requires_grad_()
    leaves = [x, *net.parameters()]
    whole = torch.autograd.grad(net(x).square().sum(), leaves)
    cut = torch.autograd.grad(in_chunks(net, x, [3, 1, 4])[0].square().sum(), leaves)
    for one, other in zip(cut, whole, strict=True):
        assert (one - other).abs().max() <= 1e-10 * max(1.0, other.abs().max().item())


def test_a_stream_and_a_saved_state_go_on(tmp_path):
    net = drawn(Net(), 3, dyadic=True)
    x = torch.randint(-8, 17, (8, 2, 2, 4, 4), generator=torch.Generator().manual_seed(3)) / 8
    ys = net(x)
    stream = Stream(net)
    assert torch.equal(torch.cat([stream(chunk) for chunk in x.split([1, 4, 3])]), ys)
    _, state = run(net, x[:5])
    state.save(tmp_path / "s")
    assert torch.equal(run(net, x[5:], States.load(tmp_path / "s"))[0], ys[5:])


def test_some_items_go_on_alone():
    net = drawn(Net(), 3, dyadic=True)
    x = torch.randint(-8, 17, (8, 3, 2, 4, 4), generator=torch.Generator().manual_seed(3)) / 8
    _, state = run(net, x[:5])
    y, _ = run(net, x[5:, 1:], state.select(slice(1, None)))
    assert torch.equal(y, net(x)[5:, 1:])


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(2), nn.TdBN2d(2), nn.BatchNorm2d(2, track_running_stats=False)])
def test_batch_statistics_cannot_be_cut(norm):
    net, x = torch.nn.Sequential(nn.Conv2d(2, 2, 1), norm, nn.LIF()), torch.randn(4, 2, 2, 3, 3)
    _, state = run(net, x)  # a first call has no cut
    for call in (lambda: run(net, x, state), lambda: Stream(net)):
        with pytest.raises(RuntimeError, match=f"1 \\({type(norm).__name__}\\): it normalises by the statistics"):
            call()
    if norm.running_mean is not None:
        run(net.eval(), x, state)
        stream = Stream(net)
        stream(x)
        net.train()
        with pytest.raises(RuntimeError, match=r"net\.eval\(\)"):
            stream(x)
