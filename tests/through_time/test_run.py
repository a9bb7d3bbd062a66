"""`run` and `Stream`: whose state is whose."""

from __future__ import annotations

import copy

import pytest
import torch

import snn4
from snn4 import NotFiniteError, OptionError, StateError, States, Stream, nn, run, state
from snn4.through_time import Neuron
from snn4.through_time.session import current, path_of


def mlp():
    return torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2), nn.LI())


def test_a_state_is_a_mapping_from_path_to_named_tuple():
    _, state = run(mlp(), torch.randn(5, 2, 3))
    assert isinstance(state, States)
    assert list(state) == ["1", "3"]
    assert state["1"]._fields == ("v",)
    assert state["1"].v.shape == (2, 4)


def test_run_without_state_is_a_call():
    net, x = mlp(), torch.randn(5, 2, 3)
    y, _ = run(net, x)
    assert torch.equal(y, net(x))
    assert torch.equal(run(net, x, States())[0], y)


def test_the_given_state_is_left_alone():
    net, x = mlp(), torch.randn(5, 2, 3)
    _, state = run(net, x)
    kept, entries = state.clone(), dict(state)
    _, new = run(net, x, state)
    assert new is not state
    for key in kept:
        assert state[key] is entries[key]
        assert torch.equal(state[key][0], kept[key][0])
    # the same state may be used again
    assert torch.equal(run(net, x, state)[0], run(net, x, state)[0])


def test_gradients_flow_into_earlier_chunks_unless_detached():
    net = torch.nn.Sequential(nn.LI(tau=2.0))
    x = torch.ones(1, 1, 1, requires_grad=True)
    _, carried = run(net, x)
    y, _ = run(net, torch.zeros(2, 1, 1), carried)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.item() == 0.75
    _, carried = run(net, x)
    assert not run(net, torch.zeros(2, 1, 1), carried.detach())[0].requires_grad


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lif = nn.LIF()

    def forward(self, x):
        return self.lif(2 * self.lif(x))


def test_a_module_that_is_called_twice_has_two_entries():
    net, x = Twice(), torch.randn(6, 2, 3) + 0.7
    ys, state = run(net, x)
    assert list(state) == ["lif", "lif#2"]
    assert not torch.equal(state["lif"].v, state["lif#2"].v)
    assert torch.equal(ys, net.lif(2 * net.lif(x)))
    y1, state = run(net, x[:2])
    assert torch.equal(torch.cat([y1, run(net, x[2:], state)[0]]), ys)


def test_a_module_under_two_names_is_one():
    lif = nn.LIF()
    net, x = torch.nn.Sequential(lif, lif), torch.randn(6, 2, 3) + 0.7
    ys, state = run(net, x)
    assert list(state) == ["0", "0#2"]
    assert torch.equal(ys, lif(lif(x)))
    y1, state = run(net, x[:2])
    assert torch.equal(torch.cat([y1, run(net, x[2:], state)[0]]), ys)


class Sometimes(torch.nn.Module):
    """Calls its second neuron only when told."""

    def __init__(self):
        super().__init__()
        self.always, self.sometimes, self.both = nn.LI(), nn.LI(), True

    def forward(self, x):
        y = self.always(x)
        return y + self.sometimes(x) if self.both else y


def test_what_is_not_called_keeps_its_state():
    net, x = Sometimes(), torch.randn(3, 1, 2)
    _, first = run(net, x)
    net.both = False
    _, second = run(net, x, first)
    assert torch.equal(second["sometimes"].v, first["sometimes"].v)
    assert not torch.equal(second["always"].v, first["always"].v)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", ""),
        ("module", ""),
        ("module.0.lif", "0.lif"),
        ("_orig_mod.lif", "lif"),
        ("a.module.b", "a.b"),
        ("module._orig_mod.block.lif", "block.lif"),
        ("modules.lif", "modules.lif"),
    ],
)
def test_prefixes_of_wrappers_are_no_part_of_a_path(name, path):
    assert path_of(name) == path


def test_a_state_fits_a_network_inside_wrappers():
    class Wrapper(torch.nn.Module):
        """What DistributedDataParallel does to names."""

        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)

    net, x = mlp(), torch.randn(6, 2, 3)
    ys, _ = run(net, x)
    y1, state = run(Wrapper(net), x[:2])
    assert list(state) == ["1", "3"]
    y2, _ = run(net, x[2:], state)
    assert torch.allclose(torch.cat([y1, y2]), ys, atol=1e-6)


def test_a_neuron_alone_is_a_network():
    _, state = run(nn.LIF(), torch.ones(2, 1, 1))
    assert list(state) == [""]
    assert "(the network itself)" in str(state)


def test_a_network_without_state():
    net, x = nn.Linear(3, 2), torch.randn(4, 1, 3)
    y, state = run(net, x)
    assert torch.equal(y, net(x))
    assert state == {}
    assert torch.equal(Stream(net)(x), y)


@pytest.mark.parametrize(
    ("x", "told"),
    [(torch.full((2, 1, 3), float("nan")), "6 values that are NaN"), (torch.full((2, 1, 3), float("inf")), "infinite")],
)
def test_numbers_that_are_not_finite_are_refused(x, told):
    with pytest.raises(NotFiniteError, match=told):
        run(mlp(), x)


def test_the_state_of_another_network_is_refused():
    net, x = mlp(), torch.randn(5, 2, 3)
    _, state = run(net, x)
    with pytest.raises(StateError, match="the state has entries for 'lif'"):
        run(net, x, States({"lif": state["1"]}))
    with pytest.raises(StateError, match="'it has none'|it has none"):
        run(nn.Linear(3, 2), x, state)
    other = torch.nn.Sequential(nn.Linear(3, 4), nn.CubaLIF(), nn.Linear(4, 2), nn.LI())
    with pytest.raises(StateError, match=r"has the fields \('v',\): expected \('v', 'i'\) of CubaLIF"):
        run(other, x, state)
    wider = torch.nn.Sequential(nn.Linear(3, 5), nn.LIF(), nn.Linear(5, 2), nn.LI())
    with pytest.raises(StateError, match=r"v of shape \(2, 4\): expected \(2, 5\)"):
        run(wider, x, state)


def test_the_state_of_another_batch_is_refused():
    net = mlp()
    _, state = run(net, torch.randn(5, 2, 3))
    with pytest.raises(StateError, match=r"The batch changed.*state.select\(i\)"):
        run(net, torch.randn(5, 3, 3), state)


def test_the_state_of_another_device_is_refused():
    net = torch.nn.Sequential(nn.LIF())
    _, carried = run(net, torch.randn(5, 2, 3))
    with pytest.raises(StateError, match=r"lies on meta: expected cpu.*state.to\(x.device\)"):
        run(net, torch.randn(5, 2, 3), carried.to("meta"))


def test_a_module_outside_of_the_network_is_refused():
    class Hides(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.LIF()
            self.hidden = [nn.LIF()]

        def forward(self, x):
            return self.hidden[0](self.inner(x))

    net, x = Hides(), torch.randn(4, 1, 3)
    net(x)  # a plain call needs no path
    with pytest.raises(StateError, match="is not part of the network.*ModuleList"):
        run(net, x)
    assert current() is None


def test_neurons_that_are_called_in_other_threads_are_refused():
    import threading

    class Parallel(torch.nn.Module):
        """What torch.nn.DataParallel does."""

        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()

        def forward(self, x):
            out = []
            thread = threading.Thread(target=lambda: out.append(self.lif(x)))
            thread.start()
            thread.join()
            return out[0]

    with pytest.raises(StateError, match="DistributedDataParallel"):
        run(Parallel(), torch.randn(4, 1, 3))


class Whole(Neuron):
    """Sees a whole sequence at once."""

    State = state("v")
    chunkable = False
    unchunkable_reason = "its weights are as long as the sequence"

    def step(self, x, state):
        return x, state


def test_a_member_that_cannot_be_cut_is_refused_with_its_reason():
    net, x = torch.nn.Sequential(nn.Linear(3, 3), Whole()), torch.randn(4, 1, 3)
    _, carried = run(net, x)
    for call in (lambda: run(net, x, carried), lambda: Stream(net)):
        with pytest.raises(StateError, match=r"1 \(Whole\): its weights are as long as the sequence"):
            call()


def test_a_foreign_batch_norm_over_the_wrong_axis_is_refused():
    net = torch.nn.Sequential(nn.Conv2d(1, 2, 3), torch.nn.SyncBatchNorm(2), nn.LIF())
    with pytest.raises(OptionError, match=r"1 is torch.nn.SyncBatchNorm.*snn4.nn.SyncBatchNorm.convert"):
        run(net, torch.randn(2, 2, 1, 5, 5))
    inside = torch.nn.Sequential(nn.Fold(torch.nn.Sequential(torch.nn.SyncBatchNorm(2))), nn.LIF()).eval()
    run(inside, torch.randn(2, 2, 2, 5, 5))


def test_outputs_may_be_anything():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = nn.LIF()

        def forward(self, x):
            return {"spikes": self.lif(x), "input": x}

    y, state = run(Two(), torch.ones(2, 1, 1))
    assert y["spikes"].shape == (2, 1, 1)
    assert list(state) == ["lif"]


def test_streams_are_apart_and_detached():
    net, x = mlp(), torch.randn(6, 2, 3, requires_grad=True)
    one, other = Stream(net), Stream(net)
    first = one(x)
    assert first.requires_grad
    assert not any(t.requires_grad for entry in one.state.values() for t in entry)
    assert torch.equal(other(x), first)
    assert not torch.equal(one(x), first)
    one.reset()
    assert torch.equal(one(x), first)
    assert repr(one) == "Stream(Sequential, running)"
    one.reset()
    assert repr(one) == "Stream(Sequential, at rest)"


def test_a_stream_survives_an_exception():
    net, x = mlp(), torch.randn(6, 2, 3)
    stream, undisturbed = Stream(net), Stream(net)
    stream(x[:2])
    undisturbed(x[:2])
    with pytest.raises(StateError):
        stream(torch.randn(2, 5, 3))  # another batch
    with pytest.raises(snn4.ShapeError):
        stream(x[2])
    assert torch.equal(stream(x[2:]), undisturbed(x[2:]))


def test_a_stream_can_be_copied():
    net, x = mlp(), torch.randn(6, 2, 3)
    stream = Stream(net)
    stream(x[:3])
    twin = copy.deepcopy(stream)
    assert torch.equal(twin(x[3:]), stream(x[3:]))
    assert twin.net is not net
