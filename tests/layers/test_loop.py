"""Loops over time across layers, against loops that are written out here."""

from __future__ import annotations

import pytest
import torch

from snn4 import ShapeError, StateError, Stream, nn, run, surrogates
from snn4.neurons import LIF

T, B, N = 6, 3, 4


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def spike(v, psi_alpha=2.0):
    """A step with the derivative of an arctangent, without the library's own surrogate."""

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x >= 0).to(x.dtype)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * (psi_alpha / 2) / (1 + (torch.pi / 2 * psi_alpha * x) ** 2)

    return Spike.apply(v)


def gradients(ys, *leaves):
    weights = draw(*ys.shape, seed=9)
    return torch.autograd.grad((ys * weights).sum(), leaves)


def close(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert torch.allclose(one, other, rtol=1e-11, atol=1e-12)


def test_recurrent_equals_the_loop_written_out():
    net = strong(nn.Recurrent(LIF(tau=2.0), nn.Linear(N, N)).double())
    x = (draw(T, B, N) + 0.7).requires_grad_()
    weight, bias = net.feedback.weight, net.feedback.bias
    v = s = torch.zeros(B, N, dtype=torch.float64)
    expected = []
    for t in range(T):
        v = 0.5 * v + x[t] + s @ weight.T + bias
        s = spike(v - 1)
        v = v - s
        expected.append(s)
    expected = torch.stack(expected)
    ys = net(x)
    assert 0 < ys.mean() < 1
    assert torch.equal(ys, expected)
    close(gradients(ys, x, weight, bias), gradients(expected, x, weight, bias))


def two_layers():
    body = torch.nn.Sequential(nn.Linear(N, 5), nn.LIF(tau=2.0), nn.Linear(5, 3), nn.LIF(tau=4.0))
    return nn.Loop(body, feedback=nn.Linear(3, N, bias=False)).double()


def written_out(net, x):
    """Two layers of neurons, whose upper spikes drive the lower layer one step later."""
    first, second, back = net.body[0], net.body[2], net.feedback
    v1 = v2 = 0.0
    s2, ys = None, []
    for t in range(len(x)):
        drive = x[t] if s2 is None else x[t] + s2 @ back.weight.T
        v1 = 0.5 * v1 + drive @ first.weight.T + first.bias
        s1 = spike(v1 - 1)
        v1 = v1 - s1
        v2 = 0.75 * v2 + s1 @ second.weight.T + second.bias
        s2 = spike(v2 - 1)
        v2 = v2 - s2
        ys.append(s2)
    return torch.stack(ys)


def strong(net, seed=3):
    """The net with weights large enough that it fires now and then."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) + 0.2)
    return net


def test_feedback_from_above_equals_the_loop_written_out():
    net, x = strong(two_layers()), (draw(T, B, N) + 0.3).requires_grad_()
    ys, expected = net(x), written_out(net, x)
    assert 0 < ys.mean() < 1
    assert torch.equal(ys, expected)
    close(gradients(ys, x, *net.parameters()), gradients(expected, x, *net.parameters()))


@pytest.mark.parametrize("lengths", [[1] * T, [2, 4], [5, 1]])
def test_loops_go_on_where_they_stopped(lengths):
    for net in (strong(two_layers()), strong(nn.Recurrent(LIF(), nn.Linear(N, N)).double()), nn.Loop(LIF()).double()):
        x = (draw(T, B, N) + 0.5).requires_grad_()
        ys, _ = run(net, x)
        state, parts = None, []
        for chunk in x.split(lengths):
            y, state = run(net, chunk, state)
            parts.append(y)
        assert torch.equal(torch.cat(parts), ys)
        leaves = [x, *net.parameters()]
        close(gradients(torch.cat(parts), *leaves), gradients(ys, *leaves))


def test_a_loop_without_feedback_is_its_body():
    body = torch.nn.Sequential(nn.Linear(N, 5), nn.LIF(), nn.Linear(5, 3), nn.LI()).double()
    x = draw(T, B, N) * 3
    assert torch.allclose(nn.Loop(body)(x), body(x), rtol=1e-12)


def test_per_step_losses_inside_the_body():
    class Watched(torch.nn.Module):
        """Gives its spikes, and how far its membrane-like input lies from a target at each step."""

        def __init__(self):
            super().__init__()
            self.layer, self.lif = nn.Linear(N, N), nn.LIF()

        def forward(self, x):
            drive = self.layer(x)
            return self.lif(drive), (drive - 0.5).square().mean((-1, -2), keepdim=True)

    class First(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(N, N)

        def forward(self, outputs):
            return self.inner(outputs[0])

    body = strong(Watched().double())
    net = nn.Loop(body, feedback=First().double())
    x = (draw(T, B, N) + 0.5).requires_grad_()
    ys, losses = net(x)
    assert ys.shape == (T, B, N)
    assert losses.shape == (T, 1, 1)
    # written out
    weight, bias = net.feedback.inner.weight, net.feedback.inner.bias
    v, s, expected, total = 0.0, None, [], []
    for t in range(T):
        inputs = x[t] if s is None else x[t] + s @ weight.T + bias
        drive = inputs @ body.layer.weight.T + body.layer.bias
        total.append((drive - 0.5).square().mean())
        v = 0.5 * v + drive
        s = spike(v - 1)
        v = v - s
        expected.append(s)
    assert torch.equal(ys, torch.stack(expected))
    close([losses.flatten()], [torch.stack(total)])
    leaves = [x, *net.parameters()]
    close(torch.autograd.grad(losses.sum(), leaves), torch.autograd.grad(sum(total), leaves))
    # and in chunks
    (y1, l1), state = run(net, x[:2])
    (y2, l2), _ = run(net, x[2:], state)
    assert torch.equal(torch.cat([y1, y2]), ys)
    close([torch.cat([l1, l2])], [losses])


def test_an_inner_state_that_is_fed_back_through_a_neuron():
    # the feedback path has a neuron of its own, with a state of its own
    net = nn.Loop(
        torch.nn.Sequential(nn.Linear(N, N), nn.LIF()), feedback=torch.nn.Sequential(nn.Linear(N, N), nn.LI(tau=4.0))
    ).double()
    net = strong(net)
    x = (draw(T, B, N) + 0.3).requires_grad_()
    first, back = net.body[0], net.feedback[0]
    v = u = 0.0
    s, expected = None, []
    for t in range(T):
        drive = x[t]
        if s is not None:
            u = 0.75 * u + s @ back.weight.T + back.bias
            drive = drive + u
        v = 0.5 * v + drive @ first.weight.T + first.bias
        s = spike(v - 1)
        v = v - s
        expected.append(s)
    ys = net(x)
    assert torch.equal(ys, torch.stack(expected))
    close(gradients(ys, x, *net.parameters()), gradients(torch.stack(expected), x, *net.parameters()))
    y1, state = run(net, x[:3])
    assert set(state) == {"", "body.1", "feedback.1"}
    assert torch.equal(torch.cat([y1, run(net, x[3:], state)[0]]), ys)


def test_a_loop_in_a_loop():
    inner = nn.Recurrent(nn.LIF(), nn.Linear(N, N))
    net = strong(nn.Loop(torch.nn.Sequential(nn.Linear(N, N), inner), feedback=nn.Linear(N, N)).double())
    x = draw(T, B, N).requires_grad_()
    first, back, around = net.body[0], inner.feedback, net.feedback
    v, s, expected = 0.0, None, []
    for t in range(T):
        drive = x[t] if s is None else x[t] + s @ around.weight.T + around.bias
        drive = drive @ first.weight.T + first.bias
        last = torch.zeros(B, N, dtype=torch.float64) if s is None else s
        v = 0.5 * v + drive + last @ back.weight.T + back.bias
        s = spike(v - 1)
        v = v - s
        expected.append(s)
    ys = net(x)
    assert 0 < ys.mean() < 1
    assert torch.equal(ys, torch.stack(expected))
    close(gradients(ys, x, *net.parameters()), gradients(torch.stack(expected), x, *net.parameters()))
    y1, state = run(net, x[:3])
    assert torch.equal(torch.cat([y1, run(net, x[3:], state)[0]]), ys)


def test_another_way_to_combine():
    net = nn.Loop(nn.LI(tau=2.0), feedback=nn.Identity(), combine=torch.mul)
    # v = v/2 + x y:  1, .5 + 1, .75 + 1.5
    assert net(torch.ones(3, 1, 1)).flatten().tolist() == [1.0, 1.5, 2.25]


def test_dropout_inside_a_loop_keeps_its_mask():
    y = nn.Loop(torch.nn.Sequential(nn.Identity(), nn.Dropout(0.5)))(torch.ones(5, 2, 50))
    assert torch.equal(y, y[:1].expand_as(y))
    assert 0 < y.mean() < 2


class Twice(torch.nn.Module):
    """Sends its input through the same loop two times."""

    def __init__(self, loop):
        super().__init__()
        self.loop = loop

    def forward(self, x):
        return self.loop(self.loop(x))


@pytest.mark.parametrize("lengths", [[1] * T, [2, 4]])
def test_a_loop_that_is_called_twice_has_two_states(lengths):
    net = strong(Twice(nn.Recurrent(nn.LIF(), nn.Linear(N, N))).double())
    x = draw(T, B, N) + 0.3
    ys, state = run(net, x)
    assert torch.equal(ys, net(x))
    assert torch.equal(ys, net.loop(net.loop(x)))
    parts, state = [], None
    for chunk in x.split(lengths):
        y, state = run(net, chunk, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), ys)


def test_a_neuron_inside_and_outside_of_a_loop_has_two_states():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()
            self.loop = nn.Loop(torch.nn.Sequential(nn.Linear(N, N), self.lif))

        def forward(self, x):
            return self.loop(self.lif(x))

    net = strong(Net().double())
    x = draw(T, B, N) + 0.3
    ys = net(x)
    assert torch.equal(ys, net.loop(net.lif(x)))
    assert torch.equal(run(net, x)[0], ys)
    y1, state = run(net, x[:3])
    assert torch.equal(torch.cat([y1, run(net, x[3:], state)[0]]), ys)


def test_a_stream_through_a_loop():
    net, x = strong(two_layers()), draw(T, B, N)
    stream = Stream(net)
    assert torch.equal(torch.cat([stream(chunk) for chunk in x.split(1)]), net(x))


def test_the_state_of_a_loop_has_the_batch_first():
    net, x = strong(two_layers()), draw(T, B, N)
    _, state = run(net, x[:3])
    assert all(len(field) == B for entry in state.values() for field in entry)
    assert torch.equal(run(net, x[3:, 1:], state.select(slice(1, None)))[0], net(x)[3:, 1:])
    with pytest.raises(StateError, match="The batch changed"):
        run(net, x[3:, 1:], state)


def test_feedback_of_another_size_is_told():
    net = nn.Loop(nn.Linear(N, 3), feedback=nn.Linear(3, 1))
    with pytest.raises(ShapeError, match=r"Loop got feedback of shape \(1,\) a sample: expected \(4,\)"):
        net(torch.zeros(T, B, N))


def test_a_missing_time_axis_is_refused():
    for net in (nn.Loop(nn.LIF()), nn.Recurrent(nn.LIF(), nn.Linear(N, N))):
        with pytest.raises(ShapeError, match=type(net).__name__):
            net(torch.zeros(B, N))


def test_the_surrogate_of_the_oracle_is_the_published_one():
    x = draw(20).requires_grad_()
    (one,) = torch.autograd.grad(spike(x).sum(), x)
    (other,) = torch.autograd.grad(surrogates.ATan()(x).sum(), x)
    assert torch.allclose(one, other)
