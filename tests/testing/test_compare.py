"""Comparisons find what differs, and only that."""

from __future__ import annotations

import torch

from snn4 import state
from snn4.testing.compare import changes, differs, differs_all, fingerprint


def test_equal_tensors_do_not_differ():
    nan = torch.tensor([1.0, float("nan"), float("inf")])
    assert list(differs("it", nan, nan.clone())) == []


def test_bits_tolerance_shape_dtype_and_nan():
    one = torch.tensor([1.0, 2.0])
    assert list(differs("it", one, torch.tensor([1.0, 2.5]))) == ["it: 1 of 2 values differ, by up to 0.5"]
    assert list(differs("it", one + 1e-6, one, 1e-5)) == []
    assert list(differs("it", one + 1e-4, one, 1e-5))
    # relative to the largest value
    assert list(differs("it", 1e6 * one + 1, 1e6 * one, 1e-5)) == []
    assert list(differs("it", one, one[:1])) == ["it: (2,) float32 on cpu, expected (1,) float32 on cpu"]
    assert list(differs("it", one, one.double()))
    assert list(differs("it", torch.tensor([float("nan")]), torch.ones(1), 1.0))


def test_named_tuples_by_field():
    V, VI = state("v"), state("v", "i")
    assert list(differs_all("s", VI(torch.ones(1), torch.ones(1)), VI(torch.ones(1), torch.zeros(1)))) == [
        "s field i: 1 of 1 values differ, by up to 1"
    ]
    assert list(differs_all("s", V(torch.ones(1)), VI(torch.ones(1), torch.ones(1))))


class Holder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(2))
        self.child = torch.nn.Linear(2, 2)
        self.history, self.count, self.table = [1.0], 0, {"a": torch.ones(1)}


def test_a_fingerprint_sees_every_kind_of_change():
    def spoil_tensor(h):
        with torch.no_grad():
            h.seen.add_(1)

    def deep(h):
        h.table["a"].add_(1)

    spoilers = {
        "_buffers": spoil_tensor,
        "history": lambda h: h.history.append(2.0),
        "count": lambda h: setattr(h, "count", 1),
        "new": lambda h: setattr(h, "new", 1),
        "table": deep,
        "child._parameters": lambda h: h.child.register_parameter("bias", None),
        "training": lambda h: setattr(h, "training", False),
    }
    for name, spoil in spoilers.items():
        holder = Holder()
        before = fingerprint(holder)
        assert changes(before, fingerprint(holder)) == []
        spoil(holder)
        assert changes(before, fingerprint(holder)) == [name]


def test_a_fingerprint_sees_what_is_removed():
    holder = Holder()
    before = fingerprint(holder)
    del holder.count
    assert changes(before, fingerprint(holder)) == ["count"]
