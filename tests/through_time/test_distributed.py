"""DistributedDataParallel: purity makes it correct without a word."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import snn4
from snn4 import nn, run

dist = torch.distributed
pytestmark = pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(), reason="this build of torch has no gloo"
)


def net():
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Recurrent(nn.LIF(), nn.Linear(4, 4)), nn.LI()).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) + 0.2)
    return made


def inputs():
    return torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def alone(tmp_path):
    """A process group of one process."""
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=dt.timedelta(seconds=60))
    yield
    dist.destroy_process_group()


def test_one_process(alone):
    n, x = net(), inputs()
    wrapped = torch.nn.parallel.DistributedDataParallel(net())
    assert torch.allclose(wrapped(x), n(x))
    ys, end = run(n, x)
    y1, state = run(wrapped, x[:2])
    assert list(state) == list(end)  # no `module.` in the keys
    y2, _ = run(wrapped, x[2:], state)
    assert torch.allclose(torch.cat([y1, y2]), ys)
    y, _ = run(wrapped, x)
    y.square().sum().backward()
    ys.square().sum().backward()
    for one, other in zip(wrapped.parameters(), n.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-10)


WORKER = """
import datetime, sys, importlib.util
import torch, torch.distributed as dist
from snn4 import run
spec = importlib.util.spec_from_file_location("these_tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
rank, store = int(sys.argv[2]), dist.FileStore(sys.argv[3], 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
net = torch.nn.parallel.DistributedDataParallel(tests.net())
x = tests.inputs()[:, 2 * rank : 2 * rank + 2]          # each process has half of the batch
y1, state = run(net, x[:2])
y2, _ = run(net, x[2:], state.detach())
# the first chunk is run without a gradient, so that one backward reduces all
torch.cat([y1.detach(), y2]).square().mean().backward()
# alone, on the whole batch
alone = tests.net()
z1, state = run(alone, tests.inputs()[:2])
z2, _ = run(alone, tests.inputs()[2:], state.detach())
torch.cat([z1.detach(), z2]).square().mean().backward()
for one, other in zip(net.parameters(), alone.parameters(), strict=True):
    assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-12), (one.grad, other.grad)
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_share_a_batch(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(snn4.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WORKER, __file__]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], env=environment, stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    try:
        for worker in workers:
            _, errors = worker.communicate(timeout=120)
            assert worker.returncode == 0, errors.decode()
    finally:
        for worker in workers:
            worker.kill()
