"""Memory that is used again: who may have it when, and how much of it."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from snn4.kernels import blocks, pool, use
from snn4.neurons import LIF

MIB = 1 << 20


def room(mib, dtype=torch.float32):
    count = mib * MIB // dtype.itemsize
    return blocks.empty((4, count // 4), (count // 4, 1), dtype)


@pytest.fixture(autouse=True)
def clean():
    gc.collect()
    pool(0)
    pool(64)
    yield
    pool(1024)


def test_a_freed_block_comes_back_and_a_used_one_does_not():
    one = room(8)
    other = room(8)
    where = {one.data_ptr(), other.data_ptr()}
    assert len(where) == 2
    one.fill_(1.0)
    other.fill_(2.0)
    assert one.eq(1.0).all()
    del one
    assert pool() == 8 * MIB
    view = other[1:].t()
    del other
    assert pool() == 8 * MIB, "a view still uses it"
    assert view.eq(2.0).all()
    del view
    assert pool() == 16 * MIB
    assert {room(8).data_ptr(), room(8).data_ptr()} <= where


def test_it_is_like_a_tensor_of_torch():
    found = blocks.empty((3, 5, 1 << 18), (5 << 18, 1, 5), torch.float64)
    assert found.shape == (3, 5, 1 << 18)
    assert found.stride() == (5 << 18, 1, 5)
    assert found.dtype == torch.float64
    assert found.data_ptr() % 64 == 0
    assert not found.requires_grad
    with torch.inference_mode():
        assert room(4).is_inference()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_floating_point_type(dtype):
    found = room(4, dtype).fill_(1.5)
    assert found.dtype == dtype
    assert found.nbytes == 4 * MIB
    assert found.eq(1.5).all()


def test_the_bound_holds():
    held = [room(8) for _ in range(12)]
    held.clear()
    assert pool() == 64 * MIB
    assert pool(20) == 16 * MIB
    big = room(32)
    del big
    assert pool() == 16 * MIB, "what is larger than the bound is not kept"
    assert pool(0) == 0
    room(8)
    assert pool() == 0


def test_threads_do_not_get_the_same_block():
    wrong = []

    def work(number):
        for _ in range(50):
            mine = room(4)
            mine[0, 0] = mine[-1, -1] = number
            if mine[0, 0] != number or mine[-1, -1] != number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_process_without_it(python):
    script = """
import torch
from snn4.kernels import blocks, pool
blocks.empty((1 << 22,), (1,), torch.float32)
assert pool() == 0
"""
    ran = python(script, SNN4_POOL="0")
    _, said = ran.communicate()
    assert ran.returncode == 0, said


def test_a_child_has_memory_of_its_own(python):
    script = """
import os, torch
from snn4.kernels import blocks, pool
torch.set_num_threads(1)
kept = blocks.empty((1 << 22,), (1,), torch.float32)
kept[0] = 1.0
free = blocks.empty((1 << 22,), (1,), torch.float32)
del free
child = os.fork()
mine = blocks.empty((1 << 22,), (1,), torch.float32)
mine[0] = kept[0] = 2.0 if child else 3.0
if child == 0:
    os._exit(0 if kept[0] == 3.0 and pool() == 0 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert kept[0] == mine[0] == 2.0
"""
    ran = python(script)
    _, said = ran.communicate()
    assert ran.returncode == 0, said


def test_results_that_live_on_are_not_overwritten():
    draw = torch.Generator().manual_seed(0)
    xs = torch.randn(4, 8, 1 << 15, generator=draw, requires_grad=True)
    neuron = LIF()
    with use("c++"):
        first = neuron(xs)
        first.sum().backward()
        before, gradient = first.detach().clone(), xs.grad.clone()
        for _ in range(3):
            neuron(xs * 2.0).square().sum().backward()
            neuron(xs * -1.0)
    assert torch.equal(first, before)
    (again,) = torch.autograd.grad(neuron(xs).sum(), xs)
    assert torch.equal(again, gradient)
