"""A second backward through a carried graph is told, and only then."""

from __future__ import annotations

import pytest
import torch

from snn4 import GraphError, Stream, nn, run


def net():
    return torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Recurrent(nn.LIF(), nn.Linear(4, 4)), nn.LI())


def x():
    return torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0)) + 0.5


def test_a_second_backward_says_what_to_do():
    n = net()
    y1, state = run(n, x())
    y1.sum().backward()
    y2, _ = run(n, x(), state)
    with pytest.raises(GraphError, match=r"state.detach\(\).*retain_graph=True"):
        y2.sum().backward()


def test_detached_chunks_are_truncated_back_propagation():
    n = net()
    y1, state = run(n, x())
    y1.sum().backward()
    y2, state = run(n, x(), state.detach())
    y2.sum().backward()


def test_one_backward_for_all_chunks():
    n = net()
    y1, state = run(n, x())
    y2, state = run(n, x(), state)
    y3, _ = run(n, x(), state)
    (y1.sum() + y2.sum() + y3.sum()).backward()


def test_a_graph_that_is_kept():
    n = net()
    y1, state = run(n, x())
    y1.sum().backward(retain_graph=True)
    y2, _ = run(n, x(), state)
    y2.sum().backward()


def test_the_later_chunk_first():
    n = net()
    y1, state = run(n, x())
    y2, _ = run(n, x(), state)
    y2.sum().backward(retain_graph=True)
    y1.sum().backward()


def test_one_backward_at_the_end_is_right_and_equal_to_the_whole():
    n, whole = net().double(), x().double()
    n.zero_grad()
    n(torch.cat([whole, whole])).sum().backward()
    expected = [p.grad.clone() for p in n.parameters()]
    n.zero_grad()
    y1, state = run(n, whole)
    y2, _ = run(n, whole, state)
    (y1.sum() + y2.sum()).backward()
    for p, e in zip(n.parameters(), expected, strict=True):
        assert torch.allclose(p.grad, e, rtol=1e-10, atol=1e-12)


def test_only_the_state_is_used_of_the_first_chunk():
    # warm up, then learn: nothing has gone backward through the first chunk
    n = net()
    _, state = run(n, x())
    y, _ = run(n, x(), state)
    y.sum().backward()
    # now it has
    y, _ = run(n, x(), state)
    with pytest.raises((GraphError, RuntimeError), match="earlier|second time"):
        y.sum().backward()


def test_a_stream_never_meets_it():
    n = net()
    stream = Stream(n)
    for _ in range(3):
        stream(x()).sum().backward()


def test_two_states_from_one_first_chunk():
    n = net()
    _, state = run(n, x())
    y2, _ = run(n, x(), state)
    y3, _ = run(n, 2 * x(), state)
    y2.sum().backward(retain_graph=True)
    y3.sum().backward()


def test_the_caller_s_tensors_get_no_hooks():
    n = net()
    _, state = run(n, x())
    before = state["1"].v
    run(n, x(), state)
    assert state["1"].v is before
    assert not before._backward_hooks
