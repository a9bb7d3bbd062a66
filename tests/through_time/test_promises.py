"""The user's code, as the project's own front page promises it, and torch's tools around a network."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import snn4
from snn4 import Neuron, nn
from snn4.testing import check_neuron


def test_the_code_of_the_front_page():
    net = torch.nn.Sequential(
        nn.Conv2d(2, 32, 3),
        nn.BatchNorm2d(32),
        nn.LIF(tau=2.0),
        nn.Flatten(),
        nn.Linear(32 * 30 * 30, 11),
        nn.LI(),
    )
    x = torch.randn(4, 2, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    assert net(x).shape == (4, 2, 11)
    net.eval()
    y = net(x)
    y1, state = snn4.run(net, x[:1])
    y2, state = snn4.run(net, x[1:], state)
    assert torch.allclose(torch.cat([y1, y2]), y, atol=1e-4)
    stream = snn4.Stream(net)
    assert torch.equal(stream(x[:1]), y1)
    stream.reset()
    assert torch.equal(stream(x[:1]), y1)


class LIF(Neuron):
    """Leaky integrate-and-fire.   v[t] = beta v[t-1] + x[t];  s = H(v - v_threshold);  soft reset."""

    State = snn4.state("v")

    def __init__(self, tau=2.0, v_threshold=1.0, surrogate=None):
        super().__init__()
        self.beta, self.v_threshold = 1 - 1 / tau, v_threshold
        self.surrogate = surrogate or snn4.surrogates.ATan()

    def step(self, x, state):
        v = self.beta * state.v + x
        s = self.surrogate(v - self.v_threshold)
        return s, self.State(v - s * self.v_threshold)


def test_this_is_all_that_a_researcher_writes():
    check_neuron(LIF())
    x = torch.randn(20, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.5
    assert torch.equal(LIF(3.0)(x), nn.LIF(3.0)(x))


def small():
    return torch.nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.LIF(), nn.Linear(6, 2), nn.LI())


def test_an_averaged_model_is_a_network():
    net, x = small(), torch.randn(6, 4, 3)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        net(x).square().sum().backward()
        optimiser.step()
        average.update_parameters(net)
    average.eval()
    ys, end = snn4.run(average, x)
    assert list(end) == ["2", "4"]
    y1, state = snn4.run(average, x[:2])
    assert torch.allclose(torch.cat([y1, snn4.run(average, x[2:], state)[0]]), ys, atol=1e-6)
    # a state of the averaged network fits the plain one
    snn4.run(net.eval(), x, state)


def test_training_learns():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 3, generator=generator)
    target = (x.sum(1) > 0).long()
    net = torch.nn.Sequential(nn.Linear(3, 16), nn.LIF(), nn.Linear(16, 2), nn.LI(), nn.MeanOverTime())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x.expand(5, 64, 3)), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert (net(x.expand(5, 64, 3)).argmax(1) == target).float().mean() > 0.9


def test_a_state_dict_has_nothing_of_a_call():
    net = small()
    before = set(net.state_dict())
    snn4.run(net, torch.randn(6, 4, 3))
    assert set(net.state_dict()) == before
    assert set(net.state_dict()) == {
        *(f"{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")),
        *(f"1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")),
    }


def test_the_number_of_steps_and_items_may_change_from_call_to_call():
    net = small().eval()
    for steps, batch in ((1, 1), (7, 2), (3, 5)):
        assert net(torch.randn(steps, batch, 3)).shape == (steps, batch, 2)


def test_on_the_meta_device_shapes_are_known_without_numbers():
    net = small().to("meta").eval()
    y = net(torch.empty(4, 2, 3, device="meta"))
    assert y.shape == (4, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_in_another_dtype(dtype):
    net = small().to(dtype)
    y, state = snn4.run(net, torch.randn(4, 3, 3, dtype=dtype))
    assert y.dtype == dtype
    assert {t.dtype for entry in state.values() for t in entry} == {dtype}


# folding time gives views, which only in-place operations on them would make a fault
@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")
def test_sharded_networks():
    dist = torch.distributed
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("this build of torch has no gloo")
    from torch.distributed.fsdp import fully_shard

    x = torch.randn(6, 4, 3)
    plain = small().eval()
    net = small().eval()
    net.load_state_dict(plain.state_dict())
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        mesh = dist.init_device_mesh("cpu", (1,))
        for layer in net:
            if list(layer.parameters()):
                fully_shard(layer, mesh=mesh)
        fully_shard(net, mesh=mesh)
        assert torch.allclose(net(x), plain(x), atol=1e-6)
        ys, end = snn4.run(plain, x)
        y1, state = snn4.run(net, x[:2])
        assert list(state) == list(end)
        y2, _ = snn4.run(net, x[2:], state)
        assert torch.allclose(torch.cat([y1, y2]), ys, atol=1e-6)
    finally:
        dist.destroy_process_group()
