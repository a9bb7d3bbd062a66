from __future__ import annotations

import pytest
import torch

import snn4
from snn4 import nn
from snn4.core.errors import OptionError
from snn4.data import Split
from snn4.training import Average, FitConfig, Task, fit, make_optimiser


def groups(net, **options):
    names = {id(p): name for name, p in net.named_parameters()}
    optimiser = make_optimiser(net, FitConfig(weight_decay=0.1, **options))
    return {group["weight_decay"]: {names[id(p)] for p in group["params"]} for group in optimiser.param_groups}


def test_norms_biases_and_neurons_are_not_decayed(net):
    # the neuron's leak has two axes on purpose
    assert groups(net) == {
        0.1: {"0.weight", "3.weight"},
        0.0: {"0.bias", "1.weight", "1.bias", "2.leak", "3.bias"},
    }


def test_what_neurons_learn_has_a_rate_of_its_own(net):
    names = {id(p): name for name, p in net.named_parameters()}
    made = make_optimiser(net, FitConfig(weight_decay=0.1, neuron_rate=10.0)).param_groups
    found = [(group["weight_decay"], group["times"], {names[id(p)] for p in group["params"]}) for group in made]
    assert found == [
        (0.1, 1.0, {"0.weight", "3.weight"}),
        (0.0, 1.0, {"0.bias", "1.weight", "1.bias", "3.bias"}),
        (0.0, 10.0, {"2.leak"}),
    ]


def test_the_rate_of_neurons_is_a_factor_at_every_step_of_the_schedule():
    def distances(factor):
        net = torch.nn.Sequential(nn.Linear(2, 2), nn.LIF(tau=snn4.Learned(2.0)))
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([[1.0, 0.5], [0.7, 1.2]]))
            net[0].bias.fill_(0.3)
        task = Task(lambda x, _: x.expand(3, *x.shape), lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)
        split = Split(torch.rand(8, 2, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2)
        before = [p.detach().clone() for p in net.parameters()]
        config = FitConfig(epochs=1, batch_size=8, optimiser="sgd", momentum=0.0, neuron_rate=factor, clip_norm=None)
        fit(net, task, split, split, config, seed=0, progress=False)
        return [(p.detach() - b).abs().sum().item() for p, b in zip(net.parameters(), before, strict=True)]

    once, ten = distances(1.0), distances(10.0)
    assert once[:2] == ten[:2]
    assert once[2] > 0
    assert ten[2] == pytest.approx(10 * once[2], rel=1e-3)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_of_neurons_that_is_none_is_refused(factor):
    with pytest.raises(OptionError, match="neuron_rate > 0"):
        FitConfig(neuron_rate=factor)


def test_frozen_parameters_are_left_out_and_tied_ones_stand_once(make_net, leaky):
    net = make_net(leaky(), torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 6, bias=False))
    net[3].weight = net[2].weight
    net[0].requires_grad_(False)
    assert groups(net) == {0.1: {"2.weight", "4.weight"}, 0.0: {"1.leak", "4.bias"}}


def test_the_optimisers_are_those_of_torch(net):
    assert type(make_optimiser(net, FitConfig())) is torch.optim.AdamW
    sgd = make_optimiser(net, FitConfig(optimiser="sgd", momentum=0.8))
    assert type(sgd) is torch.optim.SGD
    assert {group["momentum"] for group in sgd.param_groups} == {0.8}


def test_nothing_to_learn_and_lazy_layers_are_told(net):
    with pytest.raises(OptionError, match="no parameter that learns"):
        make_optimiser(net.requires_grad_(False), FitConfig())
    with pytest.raises(OptionError, match=r"0\.weight, 0\.bias have no shape yet.*Call it once"):
        make_optimiser(torch.nn.Sequential(torch.nn.LazyLinear(3)), FitConfig())


def test_the_average_is_its_closed_form():
    net = torch.nn.Linear(1, 1, bias=False).double()
    weights = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]
    net.weight.data.fill_(weights[0])
    average = Average(net, 0.3)
    decays = []
    for step, weight in enumerate(weights[1:], start=1):
        net.weight.data.fill_(weight)
        average.follow(net, step)
        decays.append(min(0.3, (1 + step) / (10 + step)))
    # m[n] = w[0] d1...dn + sum_k (1 - dk) w[k] d(k+1)...dn
    expected = 0.0
    for k, weight in enumerate(weights):
        share = 1.0 if k == 0 else 1 - decays[k - 1]
        for decay in decays[k:]:
            share *= decay
        expected += share * weight
    assert decays[:2] == [2 / 11, 0.25]
    assert decays[2:] == [0.3] * 3
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-12)


def test_the_average_takes_in_buffers_and_leaves_the_network_as_it_was(net, norm):
    average = Average(net, 0.9)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)))
    trained = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    average.follow(net, 1)
    with pytest.raises(ZeroDivisionError), average.inside(net):  # noqa: PT012
        inside = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        raise ZeroDivisionError
    mean = "1.running_mean"
    assert torch.allclose(inside[mean], 2 / 11 * before[mean] + 9 / 11 * trained[mean])
    assert not torch.equal(before[mean], trained[mean])
    assert inside["1.num_batches_tracked"] == 1
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, trained[name])


def test_norms_with_a_scale_for_each_step_are_not_decayed():
    net = torch.nn.Sequential(nn.Linear(3, 3), nn.BNTT1d(3, steps=4), nn.TEBN1d(3, steps=4))
    decayed, others = make_optimiser(net, FitConfig(weight_decay=0.1)).param_groups
    assert [p.shape for p in decayed["params"]] == [(3, 3)]
    assert others["weight_decay"] == 0
    assert len(others["params"]) == 1 + 1 + 3


def test_no_scale_is_decayed_however_many_axes_it_has():
    net = torch.nn.Sequential(
        nn.standardised(nn.Conv2d(2, 3, 3)), nn.LayerNorm([3, 4, 4]), nn.Flatten(), nn.Linear(48, 2)
    )
    assert groups(net)[0.1] == {"0.parametrizations.weight.original", "3.weight"}
