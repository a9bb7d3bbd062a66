"""What every implementation of a kernel must keep, beside the loop over the neuron's own step."""

from __future__ import annotations

import torch
from tests.kernels.twins import Adaptive, assert_same_bits, inputs, relative, run

from snn4 import Learned
from snn4.kernels import use
from snn4.neurons import IF, LI, LIF, CubaLIF, exponential
from snn4.surrogates import FastSigmoid, Rectangle, Sigmoid, Triangle

EXACT = {
    "IF": lambda: IF(),
    "LIF": lambda: LIF(),
    "LIF hard": lambda: LIF(v_reset=0.0, surrogate=FastSigmoid()),
    "LIF all options": lambda: LIF(
        v_reset=-0.5, detach_reset=True, decay=exponential, decay_input=True, surrogate=Triangle()
    ),
    "CubaLIF": lambda: CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle()),
    "LI": lambda: LI(tau=3.0, decay_input=True),
    "a user's": lambda: Adaptive(),
}
"""Neurons of + - * / and comparisons alone, where bits are the same."""

LAYOUTS = {
    "repeated": lambda xs: xs[:1].expand(6, *xs.shape[1:]),
    "every other step": lambda xs: xs[::2],
    "strided features": lambda xs: xs[:, :, ::2],
    "strided batch": lambda xs: xs[:, ::2],
    "features first": lambda xs: xs.transpose(1, 2).contiguous().transpose(1, 2),
    "batch first": lambda xs: xs.transpose(0, 1).contiguous().transpose(0, 1),
    "broadcast features": lambda xs: xs[:, :, :, :1].expand(-1, -1, -1, 4),
    "unaligned": lambda xs: xs.flatten()[1 : 1 + 3 * 240].view(3, 4, 5, 12),
}


def parameters_of_every_shape(implementation, channels_last, learned):
    """One number, one a channel, one an element; learned or not."""
    channel = torch.linspace(1.6, 3.0, 5).view(5, 1, 1)
    each = torch.linspace(0.7, 1.3, 60).view(5, 3, 4)
    wrap = Learned if learned else lambda value: value
    for neuron in (
        LIF(tau=wrap(channel), v_threshold=wrap(each), decay_input=True),
        LIF(tau=wrap(torch.tensor(2.5)), v_threshold=wrap(torch.linspace(0.7, 1.3, 4).view(1, 1, 4))),
    ):
        xs, first = inputs(neuron, (7, 3, 5, 3, 4), channels_last=channels_last)
        reference, kernel = run(neuron, xs, first, "reference"), run(neuron, xs, first, implementation)
        assert_same_bits(kernel, reference)
        assert kernel.ys.stride() == xs.stride()
        assert set(kernel.grads) == set(reference.grads)
        assert len(kernel.grads) == 2 * learned
        exact = run(neuron.double(), xs.double(), tuple(f.double() for f in first), "reference")
        assert torch.equal(exact.ys.float(), reference.ys), "choose another seed: a spike sits on the threshold"
        for name, grad in kernel.grads.items():
            assert relative(grad, exact.grads[name]) < 1e-5, name


def any_layout(implementation, arrange):
    """An input that does not lie in memory as it was made."""
    plain, _ = inputs(LIF(), (6, 4, 10, 4))
    shape = arrange(plain).shape
    neuron = LIF(tau=torch.linspace(1.5, 3.0, shape[-1]).expand(shape[2:]).contiguous())
    ran = []
    for name in ("reference", implementation):
        leaf = plain.clone().requires_grad_()
        with use(name):
            ys, last = neuron.sequence(arrange(leaf), neuron.State(torch.full(shape[1:], 0.1)))
            (ys * torch.arange(ys.numel()).view(ys.shape).cos()).sum().backward()
        ran.append((ys.detach(), last.v.detach(), leaf.grad))
    for a, b in zip(*ran, strict=True):
        # a gradient of repeated memory is a sum, whose order may differ
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert torch.equal(ran[0][0], ran[1][0])


def gradient_of_a_part(implementation):
    """Only spikes, only a state, or one step have a gradient."""
    neuron = CubaLIF(tau=3.0, tau_syn=2.0, surrogate=Rectangle())
    xs, first = inputs(neuron, (5, 3, 4))
    for pick in (lambda ys, last: ys.sum(), lambda ys, last: last.i.sum(), lambda ys, last: (ys[2] * last.v).sum()):
        grads = []
        for name in ("reference", implementation):
            leaf = xs.clone().requires_grad_()
            with use(name):
                pick(*neuron.sequence(leaf, neuron.State(*first))).backward()
            grads.append(leaf.grad)
        assert torch.equal(*grads)


def second_derivatives(implementation):
    """Of the input and a learned quantity."""
    neuron = LIF(tau=Learned(2.0)).double()
    xs, _ = inputs(neuron, (5, 2, 3), torch.float64)
    found = []
    for name in ("reference", implementation):
        leaf = xs.clone().requires_grad_()
        with use(name):
            ys = neuron(leaf)
            first = torch.autograd.grad(
                (ys * ys.detach().cumsum(0)).sum(), [leaf, *neuron.parameters()], create_graph=True
            )
            found.append(torch.autograd.grad(sum((g * g).sum() for g in first), [leaf, *neuron.parameters()]))
    assert found[0][0].any()
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def extreme_values(implementation):
    """NaN, infinity, the largest and the smallest numbers."""
    neuron = LIF(surrogate=Sigmoid())
    xs = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 1e-45, -0.0, 300.0, -300.0])
    xs = xs.expand(3, 1, 9).contiguous()
    reference, kernel = (run(neuron, xs, (torch.zeros(1, 9),), name) for name in ("reference", implementation))
    for name in ("ys", "grad_x"):
        torch.testing.assert_close(
            getattr(kernel, name), getattr(reference, name), equal_nan=True, rtol=1e-6, atol=1e-7
        )
