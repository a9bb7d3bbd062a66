"""No state survives a call inside a module: after an exception, in a copy, in threads, in a run inside a run."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from snn4 import StateError, nn, run
from snn4.testing.compare import changes, fingerprint
from snn4.through_time.session import current


def mlp():
    recurrent = nn.Recurrent(nn.LIF(), nn.Linear(8, 8))
    return torch.nn.Sequential(nn.Linear(3, 8), nn.LIF(), recurrent, nn.Linear(8, 2), nn.LI())


class Fails(torch.nn.Module):
    """Breaks off between two neurons."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.broken = nn.LIF(), nn.LIF(), False

    def forward(self, x):
        y = self.first(x)
        if self.broken:
            raise KeyboardInterrupt
        return self.second(2 * y)


def test_an_exception_leaves_nothing_behind():
    net, x = Fails(), torch.randn(6, 2, 3) + 0.7
    ys, state = run(net, x)
    before = fingerprint(net)
    for call in (lambda: net(x), lambda: run(net, x), lambda: run(net, x, state)):
        net.broken = True
        with pytest.raises(KeyboardInterrupt):
            call()
        net.broken = False
        assert current() is None
        assert changes(before, fingerprint(net)) == []
        assert torch.equal(net(x), ys)
        assert torch.equal(run(net, x)[0], ys)


def test_a_network_is_the_same_after_a_call():
    net, x = mlp().eval(), torch.randn(6, 2, 3)
    before = fingerprint(net)
    net(x)
    _, state = run(net, x)
    run(net, x, state)
    assert changes(before, fingerprint(net)) == []


def test_a_copy_in_the_middle_of_a_call():
    class Copies(torch.nn.Module):
        """Copies itself while it runs."""

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LIF(), nn.LIF()

        def forward(self, x):
            y = self.first(x)
            self.__dict__["twin"] = copy.deepcopy(self.second)
            return self.second(y)

    net, x = Copies(), torch.randn(6, 2, 3) + 1
    run(net, x)
    ys = net(x)
    assert torch.equal(net.twin(net.first(x)), ys)


def test_a_copy_shares_nothing():
    net, x = mlp(), torch.randn(6, 2, 3)
    ys, state = run(net, x)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), ys)
    # a state goes on in a copy as well
    assert torch.equal(run(twin, x, state)[0], run(net, x, state)[0])


def test_threads_do_not_meet():
    net = mlp().double()
    generator = torch.Generator().manual_seed(0)
    xs = [torch.randn(20, 2, 3, generator=generator, dtype=torch.float64) for _ in range(8)]
    expected = [run(net, x) for x in xs]
    parameters = list(net.parameters())
    gradients = [torch.autograd.grad(net(x).sum(), parameters) for x in xs]
    barrier = threading.Barrier(4)

    def work(k):
        barrier.wait(timeout=30)
        for _ in range(3):
            state, parts = None, []
            for chunk in xs[k].split(4):
                y, state = run(net, chunk, state)
                parts.append(y)
            ys = torch.cat(parts)
            assert torch.allclose(ys, expected[k][0], rtol=1e-12)
            assert torch.allclose(state["4"].v, expected[k][1]["4"].v, rtol=1e-12)
            assert torch.allclose(net(xs[k]), expected[k][0], rtol=1e-12)
            # gradients of this thread only
            for one, other in zip(torch.autograd.grad(ys.sum(), parameters), gradients[k], strict=True):
                assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
        assert all(pool.map(work, range(4, 8)))


def test_a_session_is_of_one_thread():
    seen = []

    class Looks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()

        def forward(self, x):
            thread = threading.Thread(target=lambda: seen.append(current()))
            thread.start()
            thread.join()
            seen.append(current())
            return self.lif(x)

    run(Looks(), torch.ones(2, 1, 1))
    assert seen[0] is None
    assert seen[1] is not None
    assert current() is None


class Teacher(torch.nn.Module):
    """Runs another network with a state of its own while it runs."""

    def __init__(self, inner):
        super().__init__()
        self.lif, self.inner, self.state = nn.LIF(), [inner], None

    def forward(self, x):
        y, self.state = run(self.inner[0], x, self.state)
        return self.lif(x) + y


def test_a_run_inside_a_run_is_apart():
    inner, x = torch.nn.Sequential(nn.LIF(tau=4.0)), torch.randn(6, 2, 3) + 0.7
    net = Teacher(inner)
    y1, state = run(net, x[:3])
    y2, state = run(net, x[3:], state)
    assert list(state) == ["lif"]
    assert torch.equal(torch.cat([y1, y2]), net.lif(x) + inner(x))


def test_a_run_of_a_part_inside_a_run():
    class Part(torch.nn.Module):
        """Looks ahead with a part of itself, from rest, without touching the state."""

        def __init__(self):
            super().__init__()
            self.part = torch.nn.Sequential(nn.LIF())

        def forward(self, x):
            ahead, _ = run(self.part, x)
            return self.part(x) + 10 * ahead

    net, x = Part(), torch.randn(6, 2, 3) + 0.7
    y1, state = run(net, x[:3])
    y2, _ = run(net, x[3:], state)
    part = net.part
    assert list(state) == ["part.0"]
    assert torch.equal(torch.cat([y1, y2]), part(x) + 10 * torch.cat([part(x[:3]), part(x[3:])]))


def test_the_same_network_inside_itself():
    class Self(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif, self.deep = nn.LIF(), True

        def forward(self, x):
            if self.deep:
                self.deep = False
                try:
                    run(self, -x)
                finally:
                    self.deep = True
            return self.lif(x)

    net, x = Self(), torch.randn(6, 2, 3) + 0.7
    ys, state = run(net, x)
    assert torch.equal(ys, net.lif(x))
    assert list(state) == ["lif"]


def test_an_error_inside_an_inner_run_leaves_the_outer_one():
    class Tries(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()
            self.failing = Fails()
            self.failing.broken = True

        def forward(self, x):
            try:
                run(self.failing, x)
            except KeyboardInterrupt:
                pass
            return self.lif(x)

    net, x = Tries(), torch.randn(6, 2, 3) + 0.7
    ys, state = run(net, x)
    assert list(state) == ["lif"]
    assert torch.equal(ys, net.lif(x))


def test_neurons_called_by_hand_start_at_rest_every_time():
    lif, x = nn.LIF(), torch.full((1, 1, 1), 0.75)
    assert [lif(x).item() for _ in range(4)] == [0.0] * 4
    state, spikes = None, []
    for _ in range(4):
        y, state = run(lif, x, state)
        spikes.append(y.item())
    assert spikes == [0.0, 1.0, 0.0, 1.0]


def test_a_half_taken_state_is_told():
    with pytest.raises(StateError):
        run(mlp(), torch.randn(2, 1, 3), {"nothing": ()})
