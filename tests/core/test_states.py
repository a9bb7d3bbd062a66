"""States: mapped, moved, saved, loaded, damaged."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn4 import CheckpointError, GraphError, OptionError, States, StorageError, nn, run, state


def example():
    draw = torch.Generator().manual_seed(0)
    return States(
        {
            "0": state("v")(torch.randn(4, 3, generator=draw)),
            "block.lif#2": state("v", "i")(
                torch.randn(4, 2, 2, generator=draw), torch.randn(4, 2, 2, generator=draw, dtype=torch.float64)
            ),
            "readout": state("total", "count")(torch.ones(4, 2), torch.tensor(5, dtype=torch.int64)),
        }
    )


def same(one, other):
    assert list(one) == list(other)
    for key in one:
        assert one[key]._fields == other[key]._fields
        for a, b in zip(one[key], other[key], strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_equal_fields_are_the_same_type():
    assert state("v", "i") is state("v", "i")
    assert state("v", "i") is not state("i", "v")
    assert isinstance(state("v")(1), tuple)


@pytest.mark.parametrize("fields", [(), ("v", "v"), ("1v",), ("_v",), ("a b",)])
def test_names_that_are_none_are_refused(fields):
    with pytest.raises(OptionError, match=r"state\(\) got the fields"):
        state(*fields)


def test_map_makes_new_ones():
    one = example()
    two = one.map(lambda t: t * 2)
    assert torch.equal(two["0"].v, one["0"].v * 2)
    assert type(two) is States
    assert type(two["block.lif#2"]) is type(one["block.lif#2"])
    same(one, example())


def test_to_casts_floating_numbers_only():
    cast = example().to(torch.bfloat16)
    assert cast["block.lif#2"].i.dtype == torch.bfloat16
    assert cast["readout"].count.dtype == torch.int64


def test_to_moves():
    moved = example().to("meta")
    assert moved["0"].v.device.type == "meta"
    same(example().to("cpu"), example())
    same(example().to(torch.device("cpu"), non_blocking=True), example())


def test_detach_and_clone():
    x = torch.ones(2, 3, requires_grad=True)
    one = States({"a": state("v")(x * 2)})
    assert one["a"].v.requires_grad
    assert not one.detach()["a"].v.requires_grad
    cloned = one.detach().clone()
    cloned["a"].v.zero_()
    assert one["a"].v.sum() == 12


def test_select_takes_items_of_the_batch():
    one = example()
    for items in (slice(1, 3), torch.tensor([3, 0]), torch.tensor([True, False, True, True])):
        part = one.select(items)
        assert torch.equal(part["0"].v, one["0"].v[items])
        # what has no batch axis stays
        assert part["readout"].count.item() == 5


def test_a_copy_shares_nothing():
    one = example()
    twin = copy.deepcopy(one)
    same(one, twin)
    twin["0"].v.zero_()
    same(one, example())


def test_a_file_brings_back_every_bit(tmp_path):
    path = tmp_path / "state.safetensors"
    one = example()
    one.save(path)
    same(States.load(path), one)
    assert type(States.load(str(path))["0"]) is state("v")
    States().save(path)
    same(States.load(path), States())


def test_what_lies_oddly_in_memory_is_saved(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    x = torch.ones(2, requires_grad=True)
    one = States({"a": state("v", "i")(base.t()[::2], base[:, 1]), "b": state("v", "i")(x * 2, base)})
    one.save(tmp_path / "s")
    same(States.load(tmp_path / "s"), one.detach())


@given(
    st.lists(
        st.tuples(
            st.text(min_size=0, max_size=12).filter(lambda s: "\ud800" > max(s, default=" ")),
            st.lists(st.sampled_from(["v", "i", "a", "w", "mask"]), min_size=1, max_size=3, unique=True),
            st.lists(st.integers(0, 3), max_size=3),
            st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]),
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=40)
def test_any_states_come_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("states") / "s"
    one = States(
        {key: state(*fields)(*(torch.ones(shape).to(dtype) for _ in fields)) for key, fields, shape, dtype in entries}
    )
    one.save(path)
    same(States.load(path), one)


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "state.safetensors"
    example().save(path)
    whole = path.read_bytes()
    for size in (0, 7, 8, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match="cannot be read"):
            States.load(path)
    path.write_bytes(b"\xff" * 200)
    with pytest.raises(CheckpointError):
        States.load(path)


def test_a_file_of_another_kind_is_told(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    path = tmp_path / "weights.safetensors"
    files.save_file({"w": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="'no format mark'"):
        States.load(path)
    files.save_file({"w": torch.ones(2)}, path, metadata={"format": "snn4.states.9"})
    with pytest.raises(CheckpointError, match=r"'snn4.states.9'"):
        States.load(path)
    # the right mark over the wrong content
    for layout in ('[["0", ["v"]]]', "not json", '[["0"]]', '[["0", ["_v"]]]', "[1]", '[["0", "v"]]', '[["0", 5]]'):
        files.save_file({"w": torch.ones(2)}, path, metadata={"format": "snn4.states.1", "layout": layout})
        with pytest.raises(CheckpointError, match="cannot be read"):
            States.load(path)
    files.save_file({"w": torch.ones(2)}, path, metadata={"format": "snn4.states.1"})
    with pytest.raises(CheckpointError, match="cannot be read"):
        States.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="nothing.safetensors"):
        States.load(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError):
        States.load(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        example().save(tmp_path / "nowhere" / "s")


def test_it_prints_what_it_holds():
    lines = str(example()).splitlines()
    # 12 + 16 + 8 floats of 4 bytes, 16 doubles and a count of 8
    assert lines[0] == "States: 3 modules, 53 values, 280 bytes"
    assert lines[1] == "  0            v (4, 3) float32"
    assert lines[2] == "  block.lif#2  v (4, 2, 2) float32, i (4, 2, 2) float64"
    assert lines[3] == "  readout      total (4, 2) float32, count () int64"
    assert "(the network itself)" in str(States({"": state("v")(torch.ones(1))}))


def test_the_function_state_is_not_hidden_by_a_module():
    # a package whose names are found on first use is shadowed by a submodule of the same name
    import importlib

    for package in ("snn4", "snn4.core"):
        module = importlib.import_module(package)
        for name in module.__all__:
            found = getattr(module, name)
            assert not isinstance(found, type(importlib)) or found.__name__ == f"snn4.{name}", (package, name)
    from snn4.core import state

    assert state("v")(1.0).v == 1.0


def test_pickle_brings_back_every_bit_and_no_graph():
    leaf = torch.rand(2, 3, requires_grad=True)
    ys, kept = run(nn.Sequential(nn.Linear(3, 3), nn.ALIF(), nn.SlidingPSN(4)), leaf.expand(5, 2, 3))
    assert ys.requires_grad
    there = pickle.loads(pickle.dumps(kept.detach()))
    assert type(there) is States
    assert there.keys() == kept.keys()
    for key, entry in kept.items():
        assert type(there[key]) is type(entry)
        assert all(torch.equal(one, other) for one, other in zip(there[key], entry, strict=True))


def test_a_shallow_copy_knows_which_graph_is_gone():
    """A second backward through a freed graph is explained for the copy as for the state itself."""
    leaf = torch.rand(2, 3, requires_grad=True)
    net = nn.Sequential(nn.Linear(3, 3), nn.ALIF())
    ys, kept = run(net, leaf.expand(5, 2, 3))
    ys.sum().backward()
    for again in (kept, copy.copy(kept)):
        ys, _ = run(net, leaf.expand(5, 2, 3), again)
        with pytest.raises(GraphError, match="an earlier backward"):
            ys.sum().backward()
