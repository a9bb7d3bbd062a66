"""Networks of exact spike times: what their options build."""

from __future__ import annotations

import math

import pytest
import torch

from snn4 import models
from snn4.core.errors import OptionError

X = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("delays", "shape"), [("axonal", (1, 5)), ("dendritic", (7, 1)), ("synaptic", (7, 5))])
def test_delays_are_learned_and_late(delays, shape):
    def network(kind):
        torch.manual_seed(0)
        return models.timing_mlp(5, [7], 3, models.Firing(init_mean=20.0, init_std=0.0, delays=kind))

    late, prompt = network(delays), network(None)
    layer = late.get_submodule("body.fire1")
    assert layer.delay.shape == shape
    first = [net.get_submodule("body.fire1")(net.get_submodule("body.latency")(X[0])) for net in (late, prompt)]
    # all inputs come later by the same delay, and so does every spike, unless the window ends before
    both = torch.isfinite(first[0])
    assert both.any()
    torch.testing.assert_close((first[0] - first[1])[both], torch.full_like(first[0][both], 0.05))
    late(X).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in late.parameters())


def test_a_kind_of_delay_that_does_not_exist_is_named():
    with pytest.raises(OptionError, match="sideways.*axonal, dendritic, synaptic or None"):
        models.timing_mlp(5, [7], 3, models.Firing(delays="sideways"))


def test_no_delays_are_no_parameters():
    plain = models.timing_mlp(5, [7], 3, models.Firing(tau_v=math.inf))
    assert sum(p.numel() for p in plain.parameters()) == 5 * 7 + 7 * 3
