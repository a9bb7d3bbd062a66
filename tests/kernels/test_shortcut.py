"""A call like an earlier one goes to its kernel at once; any other is found out anew, and nobody sees a difference."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from tests.kernels.twins import Adaptive

import snn4
from snn4 import Learned
from snn4.kernels import use
from snn4.kernels.shortcut import Shortcut
from snn4.neurons import LI, LIF, RPLIF, AdEx, Izhikevich
from snn4.surrogates import ATan, FastSigmoid
from snn4.through_time import again, registry

X = torch.linspace(-1, 2, 7 * 4 * 6).view(7, 4, 6)


def taken(neuron, x):
    """Outputs by the shortcut, or None where it does not take the call."""
    found = again.remembered(neuron, x)
    return None if found is None else found(neuron, x)


def both(neuron, x):
    """Outputs and gradients by the loop and by whatever runs now."""
    found = []
    for implementation in ("reference", None):
        neuron.zero_grad()
        leaf = x.detach().requires_grad_()
        leaf.grad = None
        if implementation:
            with use(implementation):
                ys = neuron(leaf)
        else:
            ys = neuron(leaf)
        (ys * torch.linspace(-1, 1, ys.numel()).view(ys.shape)).sum().backward()
        found.append([ys.detach(), leaf.grad.clone(), *(p.grad.clone() for p in neuron.parameters())])
    return found


@pytest.mark.parametrize("mode", ["recompute", "checkpoint", "save"])
@pytest.mark.parametrize("make", [lambda: LIF(tau=3.0), lambda: Adaptive()], ids=["ours", "a user's"])
def test_the_second_call_gives_what_the_first_gave(make, mode):
    neuron = make()
    x = torch.linspace(-1, 2, 70 * 33).view(70, 33, 1)
    with use("auto", backward=mode):
        first = both(neuron, x)
        assert taken(neuron, x) is not None
        second = both(neuron, x)
    assert all(map(torch.equal, first[0], first[1]))
    assert all(map(torch.equal, second[0], second[1]))
    assert first[1][0].any()


def test_learned_tensors_are_read_at_every_call():
    neuron = LIF(tau=Learned(torch.linspace(1.6, 3.0, 6)), v_threshold=Learned(torch.linspace(0.7, 1.3, 6)))
    x = X.clone().requires_grad_()
    neuron(x)
    for shift in (0.0, 0.5):
        with torch.no_grad():
            for parameter in neuron.parameters():
                parameter.add_(shift)
        assert taken(neuron, x) is not None
        reference, kernel = both(neuron, X)
        assert all(map(torch.equal, reference[:2], kernel[:2]))
        for one, other in zip(reference[2:], kernel[2:], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "scale"),
    [(RPLIF, 1.0), (lambda: AdEx(v_rest=-60.0), 4e4), (Izhikevich, 100.0)],
    ids=["RPLIF", "AdEx", "Izhikevich"],
)
def test_a_state_that_rests_at_other_numbers_than_zero_is_no_tensor(make, scale):
    neuron = make()
    first = both(neuron, scale * X)
    assert taken(neuron, (scale * X).requires_grad_()) is not None
    resting = neuron.resting(X[0])
    assert all(field.stride() == (0, 0) for field in resting)
    assert all(map(torch.equal, resting, neuron.initial(X[0])))
    assert any(field.any() for field in resting)
    second = both(neuron, scale * X)
    for reference, kernel in (first, second):
        assert torch.equal(reference[0], kernel[0])
        assert reference[0].any()
        torch.testing.assert_close(reference[1], kernel[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rest", [-60.0, torch.linspace(-70.0, -50.0, 6)], ids=["one", "one a neuron"])
def test_a_resting_potential_can_be_learned(rest):
    neuron = AdEx(v_rest=Learned(rest)).double()
    for _ in range(2):
        reference, kernel = both(neuron, 4e4 * X.double())
        assert torch.equal(reference[0], kernel[0])
        assert reference[0].any()
        assert reference[2].any()
        for one, other in zip(reference[1:], kernel[1:], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    # beyond what the membrane does with it, it is where the first state begins
    assert neuron.initial(X[0].double()).v.requires_grad


@pytest.mark.parametrize(
    "change",
    [
        lambda n: setattr(n, "surrogate", FastSigmoid()),
        lambda n: setattr(n.surrogate, "alpha", 5.0),
        lambda n: setattr(n, "v_reset", 0.0),
        lambda n: setattr(n, "detach_reset", True),
        lambda n: n._buffers.__setitem__("tau", torch.tensor(4.0)),
        lambda n: n.surrogate.register_forward_hook(lambda *_: None),
        lambda n: snn4.use_route(n, snn4.BPTT(truncate=2)),
    ],
    ids=["surrogate", "width", "reset", "detached", "buffer", "hook", "route"],
)
def test_a_changed_neuron_is_another_call(change):
    neuron = LIF(tau=torch.tensor(2.0))
    neuron(X)
    assert taken(neuron, X) is not None
    change(neuron)
    assert taken(neuron, X) is None
    reference, now = both(neuron, X)
    assert all(map(torch.equal, reference, now))


@pytest.mark.parametrize(
    ("owner", "name", "method"),
    [
        (LIF, "step", lambda self, x, state: (x, self.State(state.v + x))),
        (ATan, "derivative", lambda self, x: 1 / (1 + x * x)),
    ],
    ids=["neuron", "surrogate"],
)
def test_a_method_of_ours_that_is_replaced_is_called(owner, name, method, monkeypatch):
    neuron = LIF(surrogate=ATan())
    before = both(neuron, X)
    assert taken(neuron, X) is not None
    monkeypatch.setattr(owner, name, method)
    assert taken(neuron, X) is None
    for _ in range(2):  # by a new kernel, then by its shortcut
        reference, now = both(neuron, X)
        assert all(map(torch.equal, reference, now))
        assert not torch.equal(before[0][1], now[1])
    monkeypatch.undo()
    assert all(map(torch.equal, before[1], both(neuron, X)[1]))


def closing(factor):
    """A user's neuron whose step reads a cell, and a function that fills the cell anew."""

    class Inner(Adaptive):
        def step(self, x, state):
            return super().step(x * factor, state)

    def turn(value):
        nonlocal factor
        factor = value

    return Inner(), turn


def test_a_cell_that_is_filled_anew_is_seen():
    neuron, turn = closing(1.0)
    first = neuron(X)
    assert taken(neuron, X) is not None
    turn(1.5)
    assert taken(neuron, X) is None
    with use("reference"):
        expected = neuron(X)
    assert torch.equal(neuron(X), expected)
    assert not torch.equal(first, expected)


def test_another_input_is_another_call():
    neuron = LIF()
    neuron(X)
    assert taken(neuron, X) is not None
    others = {
        "shape": X[:5],
        "strides": X.transpose(1, 2).contiguous().transpose(1, 2),
        "dtype": X.double(),
        "device": X.to("meta"),
        "holes": torch.stack([X, X], -1)[..., 0],
        "subclass": X.as_subclass(type("Sub", (torch.Tensor,), {})),
    }
    for name, other in others.items():
        assert taken(neuron, other) is None, name
    for name in ("shape", "strides", "dtype", "holes"):
        with use("reference"):
            expected = neuron(others[name])
        assert torch.equal(neuron(others[name]), expected), name
    assert torch.equal(neuron(torch.nn.Parameter(X.clone())), neuron(X))


def test_what_is_under_way_is_another_call():
    neuron = LIF()
    expected = neuron(X)
    assert taken(neuron, X) is not None
    for wished in ("reference", "c++"):
        with use(wished):
            assert taken(neuron, X) is None, wished
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        assert taken(neuron, X) is None
    assert torch.equal(torch.func.vmap(neuron, in_dims=1, out_dims=1)(X.unsqueeze(2)).squeeze(2), expected)
    ys, state = snn4.run(neuron, X)
    assert torch.equal(ys, expected)
    assert state[""].v.any()
    # from a state that is not rest
    with use("reference"):
        carried, _ = snn4.run(neuron, X, state)
    assert torch.equal(snn4.run(neuron, X, state)[0], carried)
    assert not torch.equal(carried, expected)
    assert torch.equal(neuron(X), expected)


def test_a_kernel_that_comes_is_asked():
    class Mine:
        name = "mine"

        def refuses(self, neuron, xs, state):
            return None

        def __call__(self, neuron, xs, state):
            return torch.full_like(xs, 7.0), state

    neuron, mine = LIF(), Mine()
    neuron(X)
    registry.register(mine)
    try:
        assert taken(neuron, X) is None
        assert torch.equal(neuron(X), torch.full_like(X, 7.0))
    finally:
        registry.unregister(mine)
    assert taken(neuron, X) is not None


def test_gradients_are_asked_for_call_by_call():
    neuron = LIF(tau=Learned(2.0))
    with torch.no_grad():
        assert not neuron(X).requires_grad
        assert not neuron(X).requires_grad
    assert neuron(X).requires_grad
    neuron.requires_grad_(False)
    assert not neuron(X).requires_grad
    assert neuron(X.clone().requires_grad_()).requires_grad


def test_a_recomputation_is_no_shortcut():
    """torch.utils.checkpoint calls the neuron inside backward()."""
    from torch.utils.checkpoint import checkpoint

    neuron = LIF(tau=Learned(2.5))
    neuron(X.clone().requires_grad_())
    grads = []
    for call in (
        neuron,
        # what is kept is counted and compared with what the recomputation keeps
        lambda x: checkpoint(neuron, x, use_reentrant=False, early_stop=False),
        lambda x: checkpoint(neuron, x, use_reentrant=True),
    ):
        leaf = X.clone().requires_grad_()
        neuron.zero_grad()
        call(leaf).square().sum().backward()
        grads.append((leaf.grad, *(p.grad for p in neuron.parameters())))
    assert all(map(torch.equal, grads[0], grads[1]))
    assert all(map(torch.equal, grads[0], grads[2]))


def test_second_derivatives_of_a_shortcut():
    neuron, found = LIF(tau=Learned(2.0)).double(), []
    x = X.double()
    neuron(x)
    for implementation in ("reference", "auto"):
        leaf = x.clone().requires_grad_()
        with use(implementation):
            ys = neuron(leaf)
        (grad,) = torch.autograd.grad(ys.square().sum(), leaf, create_graph=True)
        found.append(torch.autograd.grad(grad.square().sum(), [leaf, *neuron.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_nobody_is_kept_alive():
    neuron = LIF()
    leaf = X.clone().requires_grad_()
    neuron(leaf)
    ys = neuron(leaf)
    gone, key = weakref.ref(neuron), id(neuron)
    del neuron
    # its graph still needs it
    ys.sum().backward(retain_graph=True)
    del ys
    gc.collect()
    assert gone() is None
    assert key not in again._known


def test_few_shapes_are_kept():
    neuron = LIF()
    for steps in range(1, 30):
        neuron(torch.zeros(steps, 1, 2))
    assert len(again._known[id(neuron)][1]) <= again._SHAPES
    again.forget()
    assert again.remembered(neuron, X) is None


def test_methods_of_ones_own_are_called():
    class Checked(LIF):
        def check(self, xs):
            if float(xs.detach().max()) > 100:
                raise ValueError("too large")
            super().check(xs)

    neuron = Checked()
    neuron(X)
    assert again.remembered(neuron, X) is None
    with pytest.raises(ValueError, match="too large"):
        neuron(X + 1000)


def test_threads_share_a_neuron():
    neuron, found = LIF(), {}
    inputs = [X + 0.1 * k for k in range(4)]
    with use("reference"):
        expected = [neuron(x) for x in inputs]
    neuron(X)

    def work(k):
        found[k] = all(torch.equal(neuron(inputs[k]), expected[k]) for _ in range(50))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


def test_readouts_take_it_too():
    neuron = LI(tau=3.0)
    expected = neuron(X)
    assert isinstance(again.remembered(neuron, X), Shortcut)
    assert torch.equal(neuron(X), expected)
