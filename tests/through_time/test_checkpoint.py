"""Activation checkpointing: the gradient is the plain one, also with a state and after `run` has returned."""

from __future__ import annotations

import gc
import threading

import pytest
import torch
import torch.utils.checkpoint

from snn4 import GraphError, checkpoint, nn, run
from snn4.through_time.session import current

T, B, N = 8, 3, 5


@pytest.fixture(autouse=True)
def _collected():
    # a forward that raises inside torch's checkpoint leaves its hooks on until the generator behind it is collected
    yield
    gc.collect()


def inputs(seed=0):
    return torch.randn(T, B, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.4


class Net(torch.nn.Module):
    """Two parts, of which the second may be checkpointed."""

    def __init__(self, how=None):
        super().__init__()
        self.first = torch.nn.Sequential(nn.Linear(N, N), nn.LIF())
        self.part = torch.nn.Sequential(nn.Linear(N, N), nn.LIF(tau=4.0), nn.Linear(N, N), nn.LIF())
        self.last = nn.LI()
        self.how = how
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) + 0.2)
        self.double()

    def forward(self, x):
        x = self.first(x)
        return self.last(self.part(x) if self.how is None else self.how(self.part, x))


def ours(function, *args):
    return checkpoint(function, *args)


def twice(function, x):
    """The same part, called in two checkpoints."""
    return checkpoint(function, checkpoint(function, x))


def nested(function, x):
    """A checkpoint inside a checkpoint."""
    return checkpoint(lambda z: checkpoint(function, z), x)


class Loop(torch.nn.Module):
    """A loop over time whose body is checkpointed at every step."""

    def __init__(self, how=None):
        super().__init__()
        body = Net(how)
        self.loop = nn.Loop(body, feedback=nn.Linear(N, N, bias=False))
        with torch.no_grad():
            self.loop.feedback.weight.copy_(torch.linspace(-1, 1, N * N).view(N, N))
        self.double()

    def forward(self, x):
        return self.loop(x)


class Around(torch.nn.Module):
    """A checkpoint around a whole loop."""

    def __init__(self, how=None):
        super().__init__()
        self.inner, self.how = Loop(), how

    def forward(self, x):
        return self.inner(x) if self.how is None else self.how(self.inner, x)


def gradients(net, x, lengths, *, apart=False, thread=False):
    """Outputs and gradients over chunks that carry a state; the backward pass comes after all runs have returned."""
    x = x.clone().requires_grad_()
    state, parts = None, []
    for chunk in x.split(lengths):
        y, state = run(net, chunk, state.detach() if apart and state is not None else state)
        parts.append(y)
    ys = torch.cat(parts)
    assert current() is None
    found = []

    def back():
        found.extend(torch.autograd.grad(ys.square().sum(), [x, *net.parameters()]))

    if thread:
        worker = threading.Thread(target=back)
        worker.start()
        worker.join()
    else:
        back()
    return ys.detach(), found


def same(ones, others):
    (ys, found), (expected, wanted) = ones, others
    assert torch.equal(ys, expected)
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("lengths", [[T], [3, 5], [1] * T])
@pytest.mark.parametrize("net", [Net, Loop, Around])
def test_the_gradient_is_the_plain_one(net, lengths, apart, thread):
    plain = gradients(net(), inputs(), lengths, apart=apart)
    assert any(g.abs().max() > 0.1 for g in plain[1])
    same(gradients(net(ours), inputs(), lengths, apart=apart, thread=thread), plain)


@pytest.mark.parametrize("lengths", [[T], [3, 5]])
def test_a_checkpoint_in_a_checkpoint(lengths):
    same(gradients(Net(nested), inputs(), lengths), gradients(Net(), inputs(), lengths))


@pytest.mark.parametrize("lengths", [[T], [3, 5]])
def test_the_same_part_in_two_checkpoints(lengths):
    plain = Net(lambda part, x: part(part(x)))
    same(gradients(Net(twice), inputs(), lengths), gradients(plain, inputs(), lengths))


def test_a_state_that_is_not_at_rest_does_matter():
    # or the tests above would prove nothing
    whole = gradients(Net(), inputs(), [T])
    rest = Net()
    y, _ = run(rest, inputs()[3:])
    assert not torch.equal(y, whole[0][3:])


@pytest.mark.parametrize("net", [Net, Loop, Around])
def test_without_run(net):
    x, y = inputs().requires_grad_(), inputs().requires_grad_()
    net(ours)(x).square().sum().backward()
    net()(y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=1e-11, atol=1e-12)


def test_without_gradients_it_is_a_call():
    with torch.no_grad():
        assert torch.equal(run(Net(ours), inputs())[0], run(Net(), inputs())[0])


def test_arguments_by_name():
    def scaled(x, *, factor):
        return factor * x

    x = torch.ones(2, requires_grad=True)
    checkpoint(scaled, x, factor=3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_dropout_is_drawn_again_as_it_was():
    class Drops(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.part = torch.nn.Sequential(nn.Dropout(0.5), nn.LI())

        def forward(self, x):
            return checkpoint(self.part, x)

    net, x = Drops(), torch.ones(4, 3, 50, requires_grad=True)
    y, state = run(net, x)
    y[-1].sum().backward()
    assert torch.equal(x.grad[-1] != 0, state["part.0"].mask != 0)
    # and with a carried mask nothing is drawn
    x2 = torch.ones(4, 3, 50, requires_grad=True)
    y, _ = run(net, x2, state.detach())
    y[-1].sum().backward()
    assert torch.equal(x2.grad[-1] != 0, state["part.0"].mask != 0)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("net", [Net, Loop, Around])
def test_torch_s_own_checkpoint_is_refused_under_run(net, reentrant):
    def foreign(function, x):
        return torch.utils.checkpoint.checkpoint(function, x, use_reentrant=reentrant)

    _, state = run(net(), inputs())
    x = inputs().requires_grad_()
    with pytest.raises(GraphError, match=r"snn4.checkpoint\(function, x\)"):
        run(net(foreign), x, state.detach())[0].sum().backward()
    assert current() is None


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("net", [Net, Around])
def test_torch_s_own_checkpoint_is_right_without_run(net, reentrant):
    def foreign(function, x):
        return torch.utils.checkpoint.checkpoint(function, x, use_reentrant=reentrant)

    x, y = inputs().requires_grad_(), inputs().requires_grad_()
    checkpointed = net(foreign)
    checkpointed.how = None
    with torch.no_grad():
        run(checkpointed, inputs())  # an evaluation before must not matter
    checkpointed.how = foreign
    checkpointed(x).square().sum().backward()
    net()(y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("reentrant", [False, True])
def test_torch_s_own_checkpoint_inside_a_loop_is_refused(reentrant):
    # at every step the body goes on from its last state, which torch's checkpoint would not bring back
    def foreign(function, x):
        return torch.utils.checkpoint.checkpoint(function, x, use_reentrant=reentrant)

    with pytest.raises(GraphError, match=r"snn4.checkpoint\(function, x\)"):
        Loop(foreign)(inputs().requires_grad_()).sum().backward()


def test_torch_s_checkpoint_inside_ours_is_refused():
    def mixed(function, x):
        return checkpoint(lambda z: torch.utils.checkpoint.checkpoint(function, z, use_reentrant=True), x)

    x = inputs().requires_grad_()
    with pytest.raises(GraphError, match="recomputed by torch"):
        run(Net(mixed), x)[0].sum().backward()


def test_what_ran_under_run_may_be_checkpointed_plainly_later():
    def foreign(function, x):
        return torch.utils.checkpoint.checkpoint(function, x, use_reentrant=False)

    net = Net()
    run(net, inputs())[0].sum().backward()
    net.how = foreign
    x = inputs().requires_grad_()
    net(x).sum().backward()
    assert x.grad.any()
