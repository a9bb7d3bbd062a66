"""A route's rule, bits for backward, and sums over events: each may be asked for with the others."""

from __future__ import annotations

import pytest
import torch

from snn4 import BPTT, OTTT, SLTT, EProp, explain, nn, use_route
from snn4.training import online


def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.LIF(),
        nn.Conv2d(4, 4, 3),
        nn.LIF(),
        nn.Flatten(),
        nn.Linear(16, 8),
        nn.LIF(),
        nn.Linear(8, 3),
    )


def xs():
    draw = torch.Generator().manual_seed(1)
    return (torch.rand(5, 2, 2, 6, 6, generator=draw) < 0.4).float()


def learned(net):
    ys = net(xs())
    ys.square().sum().backward()
    return [ys.detach(), *(p.grad for p in net.parameters())]


CHANGES = {
    "bits": lambda net: nn.use_memory(net, "bits"),
    "events": nn.use_events,
    "fused": nn.fuse,
    "recomputed": lambda net: nn.fuse(net, recompute=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("route", [BPTT(), BPTT(truncate=2), SLTT(), OTTT(), OTTT(first="trace")], ids=str)
def test_no_setting_changes_what_a_route_gives(route, change):
    plain = learned(use_route(make(), route))
    for net in (use_route(change(make()), route), change(use_route(make(), route))):
        for mine, theirs in zip(learned(net), plain, strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_nor_what_eprop_gives(change):
    def dense():
        torch.manual_seed(0)
        return torch.nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.LIF(), nn.Linear(8, 3))

    def by_steps(net):
        steps = online(use_route(net, EProp()), xs(), lambda y: y.square().sum())
        return [steps.outputs, *(p.grad for p in net.parameters())]

    for mine, theirs in zip(by_steps(change(dense())), by_steps(dense()), strict=True):
        assert torch.equal(mine, theirs)


def test_explain_names_the_route_inside_a_fused_block():
    net = use_route(nn.fuse(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF())), OTTT(first="trace"))
    assert "OTTT" in str(explain(net, torch.randn(5, 2, 3)))


def test_a_layer_tells_its_memory_and_takes_a_rule():
    layer = nn.Conv2d(2, 4, 3, memory="bits")
    assert "memory=bits" in repr(layer)
    assert layer.rule is None
