"""Who runs, who refuses and why, and that nothing lasts longer than it should."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

import pytest
import torch
from tests.kernels.twins import Adaptive

import snn4
from snn4 import nn
from snn4.core.errors import OptionError
from snn4.core.states import state
from snn4.kernels import numba_plan, use, warmup
from snn4.kernels.choice import wish
from snn4.neurons import LIF
from snn4.testing import check_neuron
from snn4.through_time import BPTT, Neuron, use_route

X = torch.linspace(-1, 2, 24).view(4, 2, 3)


def why(neuron, x=X):
    """What runs a neuron, and the kernel's reason."""
    (choice,) = snn4.explain(neuron, x).choices
    return choice.implementation, dict(choice.refused).get("c++")


def test_a_network_runs_as_kernels():
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF(), nn.Linear(4, 2), nn.LI())
    table = warmup(net, X)
    assert [c.implementation for c in table.choices] == ["c++", "c++"]
    assert "c++" in str(table)


class Sorting(Adaptive):
    def step(self, x, state):
        return super().step(x.cumsum(-1), state)


class Mixing(Adaptive):
    def step(self, x, state):
        return super().step(x - x.mean(-1, keepdim=True), state)


class Turning(Adaptive):
    def step(self, x, state):
        return super().step(x.flip(-1), state)


class Throwing(Adaptive):
    def step(self, x, state):
        return super().step(x + torch.rand_like(x), state)


class Deciding(Adaptive):
    def step(self, x, state):
        return super().step(x if bool((x > 0).any()) else -x, state)


class Counting(Adaptive):
    calls = 0

    def step(self, x, state):
        self.calls += 1
        return super().step(x * self.calls, state)


class Hiding(Adaptive):
    def __init__(self):
        super().__init__()
        self.loose = torch.tensor([1.0, 2.0, 3.0])

    def step(self, x, state):
        return super().step(x * self.loose, state)


class Growing(Neuron):
    State = state("v")

    def step(self, x, state):
        v = state.v + x
        return torch.cat([v, v], -1), self.State(v)


class Rounding(Neuron):
    State = state("v")

    def step(self, x, state):
        v = (state.v.bfloat16() + x.bfloat16()).to(x.dtype)
        return v, self.State(v)


class Overwriting(Adaptive):
    def step(self, x, state):
        return super().step(x, state._replace(v=state.v.mul_(0.5)))


class Ticking(Adaptive):
    def __init__(self):
        super().__init__()
        self.register_buffer("ticks", torch.zeros(()))

    def step(self, x, state):
        self.ticks.add_(1.0)
        return super().step(x * self.ticks, state)


@pytest.mark.parametrize(
    ("neuron", "reason"),
    [
        (Ticking, "add_.Tensor would change a tensor that it was given"),
        (Overwriting, "Overwriting.step cannot be traced"),
        (Sorting, r"Sorting.step does aten.cumsum.default, unknown \(test_choice.py, line \d+: .*cumsum"),
        (Mixing, r"aten.mean.dim, not elementwise \(test_choice.py"),
        (Turning, "aten.flip.default, unknown"),
        (Throwing, "aten.rand_like.default, unknown"),
        (Deciding, "Deciding.step cannot be traced"),
        (Counting, "changes its module"),
        (Hiding, "attribute loose is a tensor"),
        (Growing, "Growing.step gives a value that is not shaped like its input"),
        (Rounding, "bfloat16"),
    ],
)
def test_a_step_that_is_no_kernel_runs_in_the_loop(neuron, reason):
    made = neuron()
    import re

    implementation, said = why(made)
    assert implementation == "reference loop"
    assert re.search(reason, said or ""), said
    with use("reference"):
        expected = neuron()(X)
    torch.testing.assert_close(neuron()(X), expected) if neuron is not Throwing else None
    with use("c++"), pytest.raises(OptionError, match="cannot run as a kernel"):
        made(X)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (X.bfloat16(), "the input is bfloat16 and autocast is off, so that arithmetic is to be bfloat16 as well"),
        (X.half(), "the input is float16"),
        (X.to("meta"), "the input lies on meta"),
        (X[:, :0], "an empty input"),
    ],
    ids=["bf16", "fp16", "meta", "empty"],
)
def test_inputs_that_are_refused(x, reason):
    assert why(LIF(), x) == ("reference loop", reason)
    assert LIF()(x).shape == x.shape


def test_a_shape_that_the_step_asks_for_is_the_real_one():
    class Asking(Adaptive):
        def step(self, x, state):
            return super().step(x * 2 if x.shape[-1] > 3 else x, state)

    for features in (3, 4):
        x = torch.linspace(-1, 2, 8 * features).view(4, 2, features)
        with use("reference"):
            expected = Asking()(x)
        with use("c++"):
            assert torch.equal(Asking()(x), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch's own, on its first jvp
def test_torch_func_and_compile_fall_back():
    neuron = LIF()
    expected = neuron(X)
    assert torch.equal(torch.func.vmap(neuron, in_dims=1, out_dims=1)(X.unsqueeze(2)).squeeze(2), expected)
    grad = torch.func.grad(lambda x: neuron(x).sum())(X)
    leaf = X.clone().requires_grad_()
    neuron(leaf).sum().backward()
    assert torch.equal(grad, leaf.grad)
    _, tangent = torch.func.jvp(lambda x: nn.LI()(x), (X,), (X,))
    torch.testing.assert_close(tangent, nn.LI()(X))
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        compiled = torch.compile(lambda x: neuron(x), fullgraph=True, backend="eager")
        assert torch.equal(compiled(X), expected)


def test_a_dispatch_mode_sees_every_operation():
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        _, said = why(LIF())
    assert "dispatch mode" in (said or "")


def test_a_hook_inside_a_neuron_is_called():
    neuron, seen = LIF(), []
    neuron.surrogate.register_forward_hook(lambda *_: seen.append(1))
    assert "hook" in (why(neuron)[1] or "")
    seen.clear()
    neuron(X)
    assert len(seen) == len(X)


def test_other_routes_do_not_ask():
    (choice,) = snn4.explain(use_route(LIF(), BPTT(truncate=2)), X).choices
    assert (choice.implementation, choice.refused) == ("reference loop", ())


def test_use_nests_and_ends():
    assert wish().implementation == "auto"
    with use("reference"):
        assert "use('reference')" in (why(LIF())[1] or "")
        with use("c++", backward="save"):
            assert why(LIF())[0] == "c++"
            with use("auto"):
                assert wish().backward == "save"
        assert wish().backward == "auto"
        with pytest.raises(ZeroDivisionError), use("auto"):
            raise ZeroDivisionError
        assert wish().implementation == "reference"
    assert wish().implementation == "auto"


def test_use_is_of_one_thread():
    seen = []
    with use("reference"):
        thread = threading.Thread(target=lambda: seen.append(wish().implementation))
        thread.start()
        thread.join()
    assert seen == ["auto"]


@pytest.mark.parametrize(("name", "backward"), [("c", None), ("cuda", None), ("auto", "bits")])
def test_use_refuses_unknown_names(name, backward):
    with pytest.raises(OptionError, match="use\\(\\) got"), use(name, backward=backward):
        pass


def test_threads_share_a_neuron():
    neuron = LIF(tau=3.0)
    expected = [neuron(X * k) for k in range(1, 9)]
    found = [None] * 8

    def work(k):
        for _ in range(20):
            found[k] = neuron(X * (k + 1))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(torch.equal, found, expected))


def test_settings_that_change_are_seen():
    neuron, x = LIF(), torch.full((8, 1, 2), 0.24)
    one = neuron(x)
    neuron.v_threshold = 0.25
    two = neuron(x)
    neuron.v_reset = 0.0
    three = neuron(x)
    with use("reference"):
        assert torch.equal(neuron(x), three)
        neuron.v_reset = None
        assert torch.equal(neuron(x), two)
        neuron.v_threshold = 1.0
        assert torch.equal(neuron(x), one)
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


def test_a_trace_leaves_nothing_in_the_neuron():
    neuron = Counting()
    warmup(neuron, X)
    # the one call of warmup itself, in the reference loop
    assert neuron.calls == len(X)


@pytest.mark.parametrize("make", [lambda: LIF(), lambda: LIF(tau=snn4.Learned(2.0, shape=(3,))), Adaptive])
def test_every_law_holds_with_kernels(make):
    assert why(make())[0] == "c++"
    check_neuron(make())


def fresh():
    """A neuron of a class that nothing has compiled yet."""

    class Fresh(Adaptive):
        def step(self, x, state):
            return super().step(x + self.rho * self.rho * x, state)

    return Fresh()


@pytest.fixture
def no_numba(monkeypatch):
    monkeypatch.setattr(numba_plan, "no_numba_reason", lambda: "numba is not installed")


@pytest.mark.usefixtures("no_numba")
def test_without_a_compiler_the_loop_runs_and_says_why(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "")
    monkeypatch.setenv("SNN4_QUIET", "")
    neuron = fresh()
    implementation, said = why(neuron)
    assert implementation == "reference loop"
    assert "no C++ compiler found; install g++" in (said or "")
    with use("reference"):
        expected = neuron(X)
    assert torch.equal(neuron(X), expected)
    assert capfd.readouterr().err == ""
    # a compiler that comes later is taken
    monkeypatch.undo()
    assert why(neuron)[0] == "c++"
    assert torch.equal(neuron(X), expected)


@pytest.mark.usefixtures("no_numba")
def test_a_compiler_that_fails_is_no_end(monkeypatch, tmp_path, capfd):
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'error: internal compiler trouble' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path))
    monkeypatch.setenv("SNN4_QUIET", "")
    neuron = fresh()
    with use("reference"):
        expected = neuron(X)
    for _ in range(3):
        assert torch.equal(neuron(X), expected)
    implementation, said = why(neuron)
    assert implementation == "reference loop"
    assert "internal compiler trouble" in (said or "")
    assert ".cpp" in (said or "")
    assert capfd.readouterr().err.count("has no C++ kernel") == 1


ONE_OPENMP = """
import torch
import snn4.kernels
from pathlib import Path
from snn4 import nn
torch.ones(3).sum()
snn4.kernels.warmup(nn.LIF(), torch.ones(4, 2, 3))
print(len({line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "gomp" in line}))
"""


def test_one_openmp_is_shared_with_torch(python):
    # in a process of its own: other libraries bring an OpenMP of theirs
    if not Path("/proc/self/maps").exists():
        pytest.skip("no /proc on this system")
    out, err = python(ONE_OPENMP).communicate(timeout=120)
    assert out.strip() == "1", err


KEEPING = """
import ctypes, torch
from snn4.kernels import keep_memory

def on_the_heap(count):
    break_ = ctypes.CDLL(None).sbrk
    break_.restype = ctypes.c_void_p
    address = torch.empty(count).data_ptr()
    return address < break_(0)

assert not on_the_heap(50_000_000)
took = keep_memory()
assert on_the_heap(50_000_000) == took
assert keep_memory(False) == took
# more than what was kept
assert not on_the_heap(200_000_000)
"""


def test_keep_memory_takes_large_tensors_from_the_heap(python):
    process = python(KEEPING)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


BETA = 0.5


def test_numbers_outside_the_module_are_seen(monkeypatch):
    gain = 1.0

    class Outside(Neuron):
        State = state("v")
        offset = 0.0

        def step(self, x, state):
            v = BETA * state.v + gain * x + self.offset
            return v, self.State(v)

    neuron = Outside()

    def both():
        with use("reference"):
            expected = neuron(X)
        with use("c++"):
            assert torch.equal(neuron(X), expected)
        return expected

    first = both()
    monkeypatch.setitem(Outside.step.__globals__, "BETA", 0.25)
    second = both()
    Outside.offset = 1.0
    third = both()
    gain = 2.0
    fourth = both()
    Outside.step = lambda self, x, state: (x, state)
    fifth = both()
    found = [first, second, third, fourth, fifth]
    assert not any(torch.equal(a, b) for k, a in enumerate(found) for b in found[:k])


def test_attributes_that_hide_what_they_hold_are_refused():
    import functools
    from dataclasses import dataclass

    @dataclass
    class Options:
        gain: float

    class Holding(Adaptive):
        def __init__(self, held, gain=lambda held: 1.0):
            super().__init__()
            self.held, self.gain = held, gain

        def step(self, x, state):
            return super().step(x * self.gain(self.held), state)

    assert "partial" in (why(Holding(functools.partial(max, 1.0)))[1] or "")
    assert "generator" in (why(Holding(torch.Generator()))[1] or "")
    assert "float64" in (why(Holding(__import__("numpy").float64(1.0)))[1] or "")
    neuron = Holding(Options(2.0), gain=lambda held: held.gain)
    for gain in (2.0, 0.5):
        neuron.held.gain = gain
        with use("reference"):
            expected = neuron(X)
        with use("c++"):
            assert torch.equal(neuron(X), expected)


def test_hooks_and_locks_on_a_neuron_do_not_matter():
    class Watching:
        def __init__(self):
            self.lock, self.seen = threading.Lock(), 0

        def look(self, *_):
            self.seen += 1

    neuron, watching = LIF(tau=1.7), Watching()
    neuron.register_forward_hook(watching.look)
    assert why(neuron)[0] == "c++"
    assert watching.seen == 1


def test_asking_does_not_keep_the_input_alive():
    import gc
    import weakref

    x = torch.zeros(3, 1, 2)
    warmup(LIF(), x)
    there = weakref.ref(x)
    del x
    gc.collect()
    assert there() is None


def test_a_default_device_does_not_matter():
    neuron = LIF(tau=snn4.Learned(2.0))
    x = X.clone().requires_grad_()
    try:
        torch.set_default_device("meta")
        with use("c++"):
            neuron(x).sum().backward()
    finally:
        torch.set_default_device(None)
    assert x.grad.device.type == "cpu"


def test_tensors_in_the_place_of_parameters():
    """As meta-learning does: the parameters of one call are results of another computation."""
    neuron = LIF(tau=snn4.Learned(2.0))
    raw = torch.tensor(0.3, requires_grad=True)
    found = []
    for implementation in ("c++", "reference"):
        with use(implementation):
            ys = torch.func.functional_call(neuron, {"learned_tau.raw": raw * 2}, (X,))
            weights = torch.linspace(-1, 1, ys.numel()).view(ys.shape)
            found.append((ys.detach(), *torch.autograd.grad((ys * weights).sum(), raw)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=1e-7)
    with use("c++"):
        neuron(X)
