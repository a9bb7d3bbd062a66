"""Latency, comparison tables and units."""

from __future__ import annotations

import pytest
import torch

from snn4 import nn
from snn4.core import NotFiniteError, OptionError, ShapeError
from snn4.profiling import Latency, compare, latency, profile
from snn4.profiling.units import count, joules, share, size


def test_median_and_percentile():
    times = Latency(tuple(float(t) for t in range(1, 101)), threads=1, device="cpu", warm_up=0)
    assert times.median_ms == 50.5
    assert times.p95_ms == 95.0
    assert Latency((3.0,), 1, "cpu", 0).p95_ms == 3.0
    assert Latency((3.0, 9.0, 1.0), 2, "cpu", 0).p95_ms == 9.0
    assert "2 threads" in str(Latency((3.0, 9.0, 1.0), 2, "cpu", 0))


def test_latency_calls_with_single_samples_in_eval_mode():
    seen: list[tuple[tuple[int, ...], bool, bool, float]] = []

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append((tuple(x.shape), self.training, torch.is_grad_enabled(), float(x[0, 0, 0])))
            return x

    net = Spy()
    x = torch.arange(3.0).reshape(1, 3, 1).expand(4, -1, 2)
    found = latency(net, x, calls=5, warm_up=2)
    assert [s[:3] for s in seen] == [((4, 1, 2), False, False)] * 7
    # timed calls start with the first sample and take them in turn
    assert [s[3] for s in seen[2:]] == [0, 1, 2, 0, 1]
    assert net.training
    assert len(found.milliseconds) == 5
    assert found.threads == torch.get_num_threads()
    assert all(t >= 0 for t in found.milliseconds)
    assert found.to_dict()["latency_ms"] == found.median_ms


def test_latency_refuses_and_restores():
    with pytest.raises(ShapeError):
        latency(nn.Linear(2, 2), torch.zeros(3, 2))
    with pytest.raises(NotFiniteError):
        latency(nn.Linear(2, 2), torch.full((1, 1, 2), torch.inf))
    with pytest.raises(OptionError):
        latency(nn.Linear(2, 2), torch.zeros(1, 1, 2), calls=0)
    net = nn.Linear(3, 2)
    with pytest.raises(RuntimeError):
        latency(net, torch.zeros(1, 1, 2))
    assert net.training


def test_comparison():
    x = torch.full((1, 2, 4), 0.25)
    ann = torch.nn.Sequential(nn.Linear(4, 3), torch.nn.ReLU(), nn.Linear(3, 2))
    snn = torch.nn.Sequential(nn.Linear(4, 3), nn.LIF(), nn.Linear(3, 2))
    table = compare({"SNN": profile(snn, x.expand(8, -1, -1)), "ANN | float": profile(ann, x)})
    lines = str(table).splitlines()
    assert lines[0].split() == ["per", "sample", "SNN", "ANN", "|", "float"]
    assert lines[1].split() == ["time", "steps", "8", "1"]
    assert any(line.startswith("energy, with memory") for line in lines)
    markdown = table.markdown().splitlines()
    assert markdown[0] == "| per sample | SNN | ANN \\| float |"
    assert markdown[1] == "| --- | ---: | ---: |"
    assert len(markdown) == len(lines) + 1
    # rows that say nothing are left out
    assert "spikes" not in str(compare({"ANN": profile(ann, x)}))
    with pytest.raises(OptionError):
        compare({})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (count(999), "999"),
        (count(1000), "1 k"),
        (count(0.123), "0.123"),
        (count(123_456), "123 k"),
        (joules(0.23), "0.230 pJ"),
        (joules(8.3628e9), "8.36 mJ"),
        (joules(999_999), "1.00 uJ"),
        (size(1023), "1023 B"),
        (size(1536), "1.50 KiB"),
        (size(2**20), "1 MiB"),
        (share(0.5), "50 %"),
    ],
)
def test_units(found, expected):
    assert found == expected
