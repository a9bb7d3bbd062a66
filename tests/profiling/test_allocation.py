"""Peak memory of a call, against what one can count by hand."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.profiling import peak_bytes


def test_what_is_alive_at_once_counts_and_what_was_there_before_does_not():
    before = torch.ones(1000)

    def one_after_the_other():
        for _ in range(5):
            torch.empty(250)

    def together():
        return [torch.empty(250) for _ in range(5)]

    assert peak_bytes(lambda: before.view(10, 100)) == 0
    assert peak_bytes(one_after_the_other) == 1000
    assert peak_bytes(together) == 5000


def test_layer_by_layer_grows_with_time_and_the_same_call_counts_the_same():
    net = torch.nn.Sequential(nn.Linear(50, 100), nn.LIF(), nn.Linear(100, 3))

    def step(xs):
        net(xs).sum().backward()
        net.zero_grad(set_to_none=True)

    short, long = torch.ones(4, 8, 50), torch.ones(16, 8, 50)
    first, again, longer = (peak_bytes(lambda xs=xs: step(xs)) for xs in (short, short, long))
    assert first == again
    # at the least the outputs of the linear layer and of the neuron
    assert longer - first >= 2 * 12 * 8 * 100 * 4


def test_a_negative_number_of_calls_is_refused():
    with pytest.raises(OptionError, match="warm_up=-1"):
        peak_bytes(lambda: None, warm_up=-1)


def test_counting_is_silent_and_leaves_the_environment_as_it_was():
    lines = "import os; from snn4.profiling import peak_bytes; import torch; peak_bytes(lambda: torch.zeros(10)); "
    lines += "print('KINETO_LOG_LEVEL' in os.environ)"
    free = {key: value for key, value in os.environ.items() if key != "KINETO_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, env=free)
    assert (done.stdout, done.stderr) == ("False\n", "")
