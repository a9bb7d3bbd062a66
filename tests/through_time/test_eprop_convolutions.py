"""e-prop through convolutions: an eligibility for each weight at each place."""

from __future__ import annotations

import pytest
import torch

from snn4 import EProp, nn, use_route
from snn4.training import online

D = torch.float64


def made(*layers):
    """The layers with weights that follow from a seed."""
    net = torch.nn.Sequential(*layers).double()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw, dtype=D) / max(1, p[0].numel()) ** 0.5)
    return net


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)


def by_eprop(net, xs, targets, route=None):
    count = iter(range(len(xs)))
    use_route(net, route or EProp())
    steps = online(net, xs, lambda y: (y[0] - targets[next(count)]).square().sum())
    return steps.outputs, {name: p.grad for name, p in net.named_parameters()}


def assert_close(found, expected):
    for name in expected:
        assert torch.allclose(found[name], expected[name], rtol=1e-9, atol=1e-12), name
        assert expected[name].any(), name


KERNELS = {
    "plain": (nn.Conv2d, {}),
    "same": (nn.Conv2d, {"padding": "same", "dilation": 2}),
    "strided": (nn.Conv2d, {"stride": (2, 1), "padding": (1, 2)}),
    "grouped": (nn.Conv2d, {"groups": 2, "padding": 1}),
    "depthwise": (nn.Conv2d, {"groups": 4, "padding": 1, "bias": False}),
    "reflecting": (nn.Conv2d, {"padding": 1, "padding_mode": "reflect"}),
    "of lines": (nn.Conv1d, {"padding": 1, "padding_mode": "circular"}),
    "of volumes": (nn.Conv3d, {"stride": 2}),
}


@pytest.mark.parametrize("name", KERNELS)
def test_without_recurrence_it_is_back_propagation_through_time(name):
    kind, options = KERNELS[name]
    places = {nn.Conv1d: (7,), nn.Conv2d: (5, 4), nn.Conv3d: (3, 4, 3)}[kind]
    xs = 2 * drawn(7, 2, 4, *places)
    layer = kind(4, 4, 3 if kind is not nn.Conv3d else (2, 3, 2), **options).double()
    features = layer(xs)[0, 0].numel()
    layers = [layer, nn.ALIF(tau=4.0, tau_a=10.0, v_threshold=0.2), nn.Flatten(), nn.Linear(features, 3), nn.LI(4.0)]
    targets = drawn(7, 2, 3, seed=2)
    net = made(*layers)
    expected_ys = net(xs)
    ((expected_ys - targets).square().sum() / len(xs)).backward()
    expected = {key: p.grad.clone() for key, p in net.named_parameters()}
    net.zero_grad()
    ys, found = by_eprop(net, xs, targets)
    assert torch.allclose(ys, expected_ys, rtol=1e-12, atol=1e-14)
    assert_close(found, expected)


@pytest.mark.parametrize("feedback", ["symmetric", "random"])
def test_layer_by_layer_errors_of_a_step_meet_all_that_a_weight_has_done(feedback):
    """The reference: autograd through the steps of one layer at a time, its errors those of each step alone."""
    net = made(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.LIF(tau=3.0, v_threshold=0.5),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 2),
        nn.LIF(tau=2.0, v_threshold=0.3),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    xs, targets = 2 * drawn(6, 2, 2, 6, 6), drawn(6, 2, 2, seed=2)
    route = EProp() if feedback == "symmetric" else EProp("random", generator=torch.Generator().manual_seed(3))
    ys, found = by_eprop(net, xs, targets, route)

    one, first, _, two, second, _, last = net
    backs = [layer.weight if layer.rule.back is None else layer.rule.back.double() for layer in (two, last)]
    if feedback == "random":
        assert backs[0].std() == pytest.approx(two.weight[0].numel() ** -0.5, rel=0.3)
    conv = torch.nn.functional.conv2d
    v1, v2 = torch.zeros(2, 3, 6, 6, dtype=D), torch.zeros(2, 4, 2, 2, dtype=D)
    s1s, s2s, e1s, e2s, outputs = [], [], [], [], []
    # weights have a graph of their layer alone
    w1, b1, w2, b2 = (p.detach().requires_grad_() for p in (one.weight, one.bias, two.weight, two.bias))
    for x, target in zip(xs, targets, strict=True):
        before = type(first.initial(x))(v1)
        s1, state1 = first.step(conv(x, w1, b1, padding=1), before)
        seen = s1.detach().requires_grad_()
        pooled = torch.nn.functional.max_pool2d(seen, 2)
        i2 = conv(pooled, w2, b2)
        s2, state2 = second.step(i2, type(second.initial(i2))(v2))
        out = last(s2.detach().flatten(1)[None])[0].detach()
        e2 = ((out - target) * 2 / len(xs) @ backs[1]).view_as(s2)
        # from this step's spikes to this step's current, and through the weights that send errors back
        i = i2.detach().requires_grad_()
        now, _ = second.step(i, type(second.initial(i2))(v2.detach()))
        (into,) = torch.autograd.grad(now, i, e2)
        (e1,) = torch.autograd.grad(conv(pooled, backs[0].detach()), seen, into)
        v1, v2 = state1.v, state2.v
        s1s.append(s1)
        s2s.append(s2)
        e1s.append(e1)
        e2s.append(e2.detach())
        outputs.append(out)
    assert torch.allclose(ys, torch.stack(outputs), rtol=1e-12, atol=1e-14)
    grads = [
        *torch.autograd.grad(torch.stack(s1s), (w1, b1), torch.stack(e1s), retain_graph=True),
        *torch.autograd.grad(torch.stack(s2s), (w2, b2), torch.stack(e2s)),
    ]
    assert_close(found, dict(zip(("0.weight", "0.bias", "3.weight", "3.bias"), grads, strict=True)))


def test_a_convolution_that_feeds_back_leaves_out_the_way_through_other_neurons():
    xs, targets = 2 * drawn(7, 2, 1, 4, 4), drawn(7, 2, 16 * 2, seed=2)
    loop = nn.Recurrent(nn.LIF(tau=3.0, v_threshold=0.4), nn.Conv2d(2, 2, 3, padding=1))
    net = made(nn.Conv2d(1, 2, 3, padding=1), loop, nn.Flatten(), nn.LI(4.0))
    first, loop, _, readout = net
    state, spikes, v, ys = loop.body.initial(first(xs)[0]), torch.zeros(2, 2, 4, 4, dtype=D), 0.0, []
    for x in first(xs):
        spikes, state = loop.body.step(x + loop.feedback(spikes.detach()[None])[0], state)
        v = readout.beta * v + spikes.flatten(1)
        ys.append(v)
    ((torch.stack(ys) - targets).square().sum() / len(xs)).backward()
    expected = {key: p.grad.clone() for key, p in net.named_parameters()}
    net.zero_grad()
    found_ys, found = by_eprop(net, xs, targets)
    assert torch.allclose(found_ys, torch.stack(ys), rtol=1e-12, atol=1e-14)
    assert_close(found, expected)


def test_what_is_carried_is_one_number_a_synapse_place_and_field_however_long_the_sequence():
    for steps, kappa in ((2, 0.0), (9, 0.0), (9, 0.5)):
        net = made(nn.Conv2d(2, 3, 3), nn.ALIF(), nn.Flatten(), nn.Linear(12, 2))
        use_route(net, EProp(filter=kappa))
        state = online(net, drawn(steps, 5, 2, 4, 4), lambda y: y.sum()).state
        sizes = [tuple(field.shape) for field in state["0"]]
        # v, a and the last spike of ALIF, and the filtered trace behind a leaky readout
        assert sizes == [(5, 3, 2, 2, 2 * 9 + 1)] * (len(net[1].State._fields) + bool(kappa))


def test_standardised_weights_stand_in_for_a_norm():
    net = made(nn.standardised(nn.Conv2d(2, 3, 3)), nn.LIF(), nn.Flatten(), nn.Linear(12, 2))
    xs, targets = 2 * drawn(6, 2, 2, 4, 4), drawn(6, 2, 2, seed=2)
    ((net(xs) - targets).square().sum() / len(xs)).backward()
    expected = {key: p.grad.clone() for key, p in net.named_parameters()}
    net.zero_grad()
    assert_close(by_eprop(net, xs, targets)[1], expected)
