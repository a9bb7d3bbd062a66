"""Purity is what torch's transforms ask for: functional_call, grad, vmap, jacobians."""

from __future__ import annotations

import pytest
import torch
from torch.func import functional_call, grad, jacrev, vmap

from snn4 import Learned, nn, run, surrogates

T, B, N = 6, 4, 3


def net(surrogate=None):
    generator = torch.Generator().manual_seed(0)
    made = torch.nn.Sequential(
        nn.Linear(N, 5), nn.LIF(surrogate=surrogate), nn.Recurrent(nn.LIF(), nn.Linear(5, 5)), nn.Linear(5, 2), nn.LI()
    ).double()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "raw" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) + 0.2)
    return made


def inputs():
    return torch.randn(T, B, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.3


SURROGATES = [None, surrogates.Triangle(Learned(1.0)), surrogates.Sigmoid(torch.tensor(3.0))]


@pytest.mark.parametrize("surrogate", SURROGATES, ids=["fixed", "learned", "tensor"])
def test_grad_of_a_functional_call_is_backward(surrogate):
    n, x = net(surrogate), inputs()
    parameters = dict(n.named_parameters())

    def loss(p):
        return functional_call(n, p, (x,)).square().sum()

    found = grad(loss)(parameters)
    loss(parameters).backward()
    for name, p in parameters.items():
        assert torch.allclose(found[name], p.grad, rtol=1e-10, atol=1e-12), name


@pytest.mark.parametrize("surrogate", SURROGATES, ids=["fixed", "learned", "tensor"])
def test_vmap_gives_the_gradient_of_every_sample(surrogate):
    n, x = net(surrogate), inputs()
    parameters = {name: p.detach() for name, p in n.named_parameters()}

    def loss(p, sample):
        return functional_call(n, p, (sample.unsqueeze(1),)).square().sum()

    each = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for b in range(B):
        one = grad(loss)(parameters, x[:, b])
        for name in parameters:
            assert torch.allclose(each[name][b], one[name], rtol=1e-9, atol=1e-11), name


def test_an_ensemble_is_a_vmap_over_weights():
    n, x = net(), inputs()
    parameters = {name: p.detach() for name, p in n.named_parameters()}
    stacked = {name: torch.stack([p, 0.5 * p, 2 * p]) for name, p in parameters.items()}
    ys = vmap(lambda p: functional_call(n, p, (x,)))(stacked)
    for k, factor in enumerate((1, 0.5, 2)):
        single = functional_call(n, {name: factor * p for name, p in parameters.items()}, (x,))
        assert torch.allclose(ys[k], single, rtol=1e-10)


def test_the_jacobian_in_time_is_lower_triangular():
    neuron = nn.LIF()
    x = inputs()[:, :1, :1]
    jacobian = jacrev(lambda z: neuron(z.view(T, 1, 1)).flatten())(x.flatten())
    assert torch.equal(jacobian, jacobian.tril())
    assert jacobian.diagonal().ne(0).all()


def test_a_run_inside_a_transform():
    n, x = net(), inputs()
    _, state = run(n, x[:3])
    state = state.detach()

    def loss(z):
        y, _ = run(n, z, state)
        return y.square().sum()

    leaf = x[3:].clone().requires_grad_()
    loss(leaf).backward()
    assert torch.allclose(torch.func.grad(loss)(x[3:]), leaf.grad, rtol=1e-10)
