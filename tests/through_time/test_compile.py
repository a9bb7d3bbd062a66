"""torch.compile sees one graph: a compiled network under run, and a compiled run."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch

from snn4 import Learned, checkpoint, nn, run

T, B, N = 3, 2, 4


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        yield
    torch.compiler.reset()


def net():
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Sequential(
        nn.Linear(N, N),
        nn.BatchNorm1d(N),
        nn.LIF(tau=Learned(2.0, (N,))),
        nn.Dropout(0.5),
        nn.Recurrent(nn.LIF(), nn.Linear(N, N)),
        nn.Linear(N, 2),
        nn.LI(),
    ).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "raw" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) + 0.2)
    return made


def inputs():
    return torch.randn(2 * T, B, N, generator=torch.Generator().manual_seed(1)) + 0.3


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager", dynamic=False)


def same(one, other):
    assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def same_states(one, other):
    assert list(one) == list(other)
    for key in one:
        assert one[key]._fields == other[key]._fields
        for a, b in zip(one[key], other[key], strict=True):
            same(a, b)


def test_a_compiled_network_is_a_network():
    n, x, leaf = net(), inputs(), inputs().requires_grad_()
    fast = compiled(n)
    ys = fast(leaf)
    same(ys, n(x))
    (grad,) = torch.autograd.grad(ys.square().sum(), leaf)
    plain = inputs().requires_grad_()
    (expected,) = torch.autograd.grad(n(plain).square().sum(), plain)
    same(grad, expected)


def test_a_compiled_network_under_run():
    n, x = net(), inputs()
    fast = compiled(n)
    ys, end = run(n, x)
    y1, state = run(fast, x[:T])
    y2, last = run(fast, x[T:], state)
    same(torch.cat([y1, y2]), ys)
    # the keys know nothing of the wrapper, so that states go to and fro
    same_states(last, end)
    same(run(n, x[T:], state)[0], y2)
    # and a call without run starts at rest again
    same(fast(x[:T]), y1)


def test_a_compiled_run():
    n, x = net(), inputs()
    fast = compiled(lambda z, s: run(n, z, s))
    y1, state = fast(x[:T], None)
    y2, last = fast(x[T:], state)
    ys, end = run(n, x)
    same(torch.cat([y1, y2]), ys)
    same_states(last, end)


def test_gradients_through_compiled_chunks():
    n = net()
    fast = compiled(lambda z, s: run(n, z, s))
    one, other = inputs().requires_grad_(), inputs().requires_grad_()
    y1, state = fast(one[:T], None)
    y2, _ = fast(one[T:], state)
    (y1.square().sum() + y2.square().sum()).backward()
    n.zero_grad()
    n(other).square().sum().backward()
    same(one.grad, other.grad)


def test_a_checkpoint_inside_a_compiled_network():
    class Part(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.part = torch.nn.Sequential(nn.Linear(N, N), nn.LIF())

        def forward(self, x):
            return checkpoint(self.part, x)

    n, x = Part(), inputs()
    fast = compiled(n)
    y1, state = run(fast, x[:T])
    same(torch.cat([y1, run(fast, x[T:], state)[0]]), n(x))


def test_a_module_that_is_called_twice():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()

        def forward(self, x):
            return self.lif(2 * self.lif(x))

    n, x = Twice(), inputs()
    fast = compiled(n)
    y1, state = run(fast, x[:T])
    assert list(state) == ["lif", "lif#2"]
    same(torch.cat([y1, run(fast, x[T:], state)[0]]), n(x))


def test_in_a_thread_where_nothing_ran_before():
    # a thread's own session is not there before its first use: the graph must not be guarded by that
    n, x, seen = torch.nn.Sequential(nn.LIF(), nn.MeanOverTime()), inputs(), []
    fast, net_of_its_own = compiled(lambda z, s: run(n, z, s)), compiled(n)

    def work():
        y1, state = fast(x[:T], None)
        y2, _ = fast(x[T:], state)
        seen.append((y1, y2, net_of_its_own(x)))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(seen) == 2
    for y1, y2, whole in seen:
        same(y1, n(x[:T]))
        same(y2, n(x))
        same(whole, n(x))


def test_dropout_keeps_its_mask_in_compiled_chunks():
    n = torch.nn.Sequential(nn.Dropout(0.5), nn.LI(tau=1.0))
    fast = compiled(lambda z, s: run(n, z, s))
    y1, state = fast(torch.ones(T, B, N), None)
    y2, last = fast(torch.ones(T, B, N), state)
    assert torch.equal(y1, y2)
    assert torch.equal(last["0"].mask, state["0"].mask)
    assert 0 < y1.mean() < 2
