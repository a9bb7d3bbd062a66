"""Kernels inside torch.compile: one custom operation a neuron, with the same bits as outside."""

from __future__ import annotations

import warnings

import pytest
import torch
from tests.kernels.test_choice import Mixing
from tests.kernels.twins import Adaptive, Dendrite, inputs

import snn4
from snn4 import Learned, nn
from snn4.core.errors import GraphError
from snn4.kernels import use
from snn4.neurons import LI, LIF, CubaLIF
from snn4.surrogates import FastSigmoid
from snn4.testing import check_neuron


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()
    with warnings.catch_warnings():
        # what torch's tracer warns of while it looks around
        warnings.simplefilter("ignore")
        yield
    torch.compiler.reset()


class Seen:
    """A backend that remembers its graphs."""

    def __init__(self):
        self.graphs = []

    def __call__(self, module, _inputs):
        self.graphs.append(module)
        return module.forward

    @property
    def kernels(self):
        nodes = self.graphs[-1].graph.nodes
        return sum("snn4.neuron" in str(n.target) for n in nodes if n.op == "call_function")


def everything(function, xs, parameters):
    xs = xs.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    for p in parameters:
        p.grad = None
    ys = function(xs)
    (ys * torch.linspace(-1, 1, ys.numel()).view(ys.shape)).sum().backward()
    return [ys.detach(), xs.grad, *(p.grad for p in parameters)]


NEURONS = {
    "LIF": lambda: LIF(v_reset=0.0, surrogate=FastSigmoid()),
    "LIF learned": lambda: LIF(tau=Learned(2.0, shape=(5, 1, 1)), v_threshold=Learned(1.0)),
    "CubaLIF": lambda: CubaLIF(tau=3.0, tau_syn=2.0),
    "LI": lambda: LI(),
    "a user's": lambda: Adaptive(),
    "a user's, learned": lambda: Dendrite(),
}


QUICK = ("LIF learned", "a user's, learned")


@pytest.mark.parametrize(
    "make",
    [pytest.param(m, id=n, marks=[] if n in QUICK else pytest.mark.slow) for n, m in NEURONS.items()],
)
@pytest.mark.parametrize("channels_last", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_compiled_neuron_has_the_bits_of_a_kernel(make, channels_last):
    neuron = make()
    xs, _ = inputs(neuron, (6, 3, 5, 4, 4), channels_last=channels_last, scale=0.5)
    with use("c++"):
        expected = everything(neuron, xs, list(neuron.parameters()))
        compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
        found = everything(compiled, xs, list(neuron.parameters()))
    assert all(map(torch.equal, found, expected))
    assert expected[1].any()


def test_a_whole_network_is_one_graph_with_its_kernels():
    net = torch.nn.Sequential(nn.Linear(4, 6), nn.LIF(tau=Learned(2.0)), nn.Linear(6, 3), nn.LI())
    xs, backend = torch.linspace(-2, 3, 5 * 2 * 4).view(5, 2, 4), Seen()
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    assert torch.equal(compiled(xs), net(xs))
    assert (len(backend.graphs), backend.kernels) == (1, 2)


def test_a_compiled_run_carries_its_state():
    neuron = CubaLIF(tau=3.0, tau_syn=2.0)
    xs, _ = inputs(neuron, (7, 2, 5))
    compiled = torch.compile(lambda x, s: snn4.run(neuron, x, s), fullgraph=True, backend="aot_eager")
    y1, state = compiled(xs[:3], None)
    y2, state = compiled(xs[3:], state)
    ys, last = snn4.run(neuron, xs)
    assert torch.equal(torch.cat([y1, y2]), ys)
    assert all(map(torch.equal, state[""], last[""]))


@pytest.mark.parametrize(
    "arrange",
    [lambda xs: xs[:, :, ::2], lambda xs: xs[::2], lambda xs: xs.transpose(1, 2), lambda xs: xs.transpose(0, 1),
     lambda xs: xs[:1].expand(5, 4, 6)],
    ids=["strided features", "every other step", "features first", "time second", "repeated"],
)  # fmt: skip
def test_any_layout(arrange):
    xs = arrange(torch.linspace(-2, 3, 5 * 4 * 6).view(5, 4, 6))
    neuron = LIF(tau=torch.linspace(1.5, 3.0, xs.shape[-1]))
    expected = everything(neuron, xs, [])
    found = everything(torch.compile(neuron, fullgraph=True, backend="aot_eager"), xs, [])
    assert all(map(torch.equal, found, expected))


def test_a_setting_that_changes_is_seen():
    neuron, x, backend = LIF(), torch.full((8, 1, 2), 0.24), Seen()
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    seen = []
    for change in ({}, {"v_threshold": 0.25}, {"v_reset": 0.0}, {"tau": 9.0}, {"surrogate": FastSigmoid()}):
        for name, value in change.items():
            setattr(neuron, name, value)
        seen.append(compiled(x))
        assert torch.equal(seen[-1], neuron(x))
        assert backend.kernels == 1
    assert len({tuple(ys.flatten().tolist()) for ys in seen}) == 3, "threshold and reset change the spikes"


def test_other_lengths_and_batches():
    neuron = LIF()
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    for steps, batch in ((5, 2), (6, 2), (7, 3), (1, 1), (40, 9)):
        xs, _ = inputs(neuron, (steps, batch, 3))
        assert torch.equal(compiled(xs), neuron(xs))


def test_what_is_no_kernel_is_the_loop():
    neuron, x, backend = Mixing(), torch.linspace(-1, 2, 24).view(4, 2, 3), Seen()
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), neuron(x))
    assert backend.kernels == 0


def test_use_reaches_into_a_graph():
    neuron, x, backend = LIF(), torch.linspace(-1, 2, 24).view(4, 2, 3), Seen()
    compiled = torch.compile(neuron, fullgraph=True, backend=backend)
    for implementation, count in (("reference", 0), ("auto", 1)):
        with use(implementation):
            compiled(x)
        assert backend.kernels == count


def test_a_transform_inside_a_graph_falls_back():
    neuron, x = LI(tau=3.0), torch.linspace(-1, 2, 24).view(4, 2, 3)
    compiled = torch.compile(
        lambda x: torch.func.grad(lambda x: neuron(x).square().sum())(x), fullgraph=True, backend="aot_eager"
    )
    leaf = x.clone().requires_grad_()
    neuron(leaf).square().sum().backward()
    torch.testing.assert_close(compiled(x), leaf.grad)


def test_a_vmap_inside_a_graph_falls_back():
    neuron, x = LIF(), torch.linspace(-1, 2, 24).view(4, 2, 3)
    compiled = torch.compile(
        lambda x: torch.func.vmap(lambda z: neuron(z), in_dims=1, out_dims=1)(x), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(x.unsqueeze(2)).squeeze(2), neuron(x))


def test_autocast_inside_a_graph():
    net = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF())
    x = torch.linspace(-1, 2, 24).view(4, 2, 3)

    def call(x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net(x)

    ys = torch.compile(call, fullgraph=True, backend="aot_eager")(x)
    assert ys.dtype == torch.bfloat16
    assert torch.equal(ys, call(x))


def test_an_exported_program_stands_alone():
    neuron, x = LIF(), torch.linspace(-1, 2, 24).view(4, 2, 3)
    program = torch.export.export(neuron, (x,))
    assert not any("snn4" in str(n.target) for n in program.graph.nodes)
    assert torch.equal(program.module()(x), neuron(x))


@pytest.mark.parametrize("need_x", [True, False])
def test_torch_checks_the_operations(need_x):
    """Schema, shapes, strides and the registration of the gradient, as torch's own tool sees them."""
    neuron = LIF(tau=Learned(2.0, shape=(3,)), v_threshold=Learned(1.0))
    x, (v,) = inputs(neuron, (4, 2, 3))
    from snn4.kernels import compiled
    from snn4.kernels.plan import plan_for

    _, plan, *paths = compiled._asked(plan_for, neuron, (3,), torch.float32).split(" ")
    tensors = [neuron.get_parameter(p).detach().requires_grad_() for p in paths]
    x.requires_grad_(need_x)
    arguments = (x, [v.requires_grad_()], tensors, plan)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(torch.ops.snn4.neuron.default, arguments, test_utils=tests)


def test_a_graph_from_elsewhere_is_refused():
    with pytest.raises(GraphError, match="has not traced"):
        torch.ops.snn4.neuron(torch.ones(2, 1, 3), [torch.zeros(1, 3)], [], "0123")


@pytest.mark.parametrize(
    "make",
    [
        LIF,
        *(pytest.param(m, marks=pytest.mark.slow) for m in (lambda: LIF(tau=Learned(2.0, shape=(3,))), Adaptive)),
    ],
)
def test_the_laws_of_compiled_neurons_hold(make):
    check_neuron(make(), compiled=True)


@pytest.mark.slow
def test_with_the_default_backend():
    net = torch.nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LIF(tau=Learned(2.0)), nn.Flatten(), nn.LI())
    net.eval()
    xs = torch.linspace(-2, 3, 5 * 2 * 2 * 6 * 6).view(5, 2, 2, 6, 6)
    expected = everything(net, xs, list(net.parameters()))
    found = everything(torch.compile(net, fullgraph=True), xs, list(net.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
