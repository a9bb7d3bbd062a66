from __future__ import annotations

import pytest
import torch

from snn4 import OptionError, nn
from snn4.profiling import representation_error

D = torch.float64


def test_the_error_of_each_layer_stands_beside_its_bound():
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.DSRIF(2.0), nn.Linear(4, 2), nn.DSRLIF(v_threshold=0.3)).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for layer in (net[0], net[2]):
            torch.nn.init.normal_(layer.weight)
    xs = torch.rand(10, 6, 3, dtype=D, generator=torch.Generator().manual_seed(1)) * 2
    rows = representation_error(net, xs).layers
    assert [row.path for row in rows] == ["1", "3"]
    with torch.no_grad():
        mean = net[0](xs).mean(0)
        gap = (net[1](net[0](xs)).mean(0) - mean.clamp(0, 2)).abs()
    assert rows[0].mean == pytest.approx(gap.mean().item())
    assert rows[0].worst == pytest.approx(gap.max().item())
    assert rows[0].bound == pytest.approx(0.5 * 2 / 10)
    assert rows[0].beyond == pytest.approx((gap > 0.1).double().mean().item())
    assert "DSRLIF" in str(representation_error(net, xs))
    with pytest.raises(OptionError, match="no neuron with a representation"):
        representation_error(torch.nn.Sequential(nn.ALIF()), xs)
