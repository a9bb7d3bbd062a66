"""A linear layer by oneDNN: the same product, and the same gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from snn4 import nn
from snn4.core.errors import OptionError
from snn4.kernels import saved_as
from snn4.kernels.product import linear_by_onednn


@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 1), (2, 3, 4, 64), (100, 33)], ids=str)
@pytest.mark.parametrize("outputs", [1, 16, 70])
@pytest.mark.parametrize("memory", ["dense", "bits"])
def test_it_is_the_product(shape, outputs, memory):
    draw = torch.Generator().manual_seed(0)
    # small integers: every sum is exact in any order
    leaves = [torch.randint(-9, 9, s, generator=draw).float() for s in (shape, (outputs, shape[-1]), (outputs,))]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    for given in (leaves, [*leaves[:2], None]):
        wanted = [leaf for leaf in given if leaf is not None]
        with saved_as(memory):
            ys = linear_by_onednn(*given)
        expected = F.linear(*given)
        assert torch.equal(ys, expected)
        assert ys.is_contiguous()
        grad = torch.randint(-9, 9, ys.shape, generator=draw).float()
        for mine, right in zip(
            torch.autograd.grad(ys, wanted, grad), torch.autograd.grad(expected, wanted, grad), strict=True
        ):
            assert torch.equal(mine, right)


def test_it_goes_through_a_convolution_where_it_can(monkeypatch):
    seen = []
    run = F.conv2d
    monkeypatch.setattr(F, "conv2d", lambda *given: seen.append(1) or run(*given))
    layer = nn.Linear(6, 5, product="onednn")
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert seen == [1]
    for other in (x.transpose(0, 1), x[:, :0]):
        assert torch.equal(layer(other), F.linear(other, layer.weight, layer.bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert torch.equal(layer.double()(x.double()), F.linear(x.double(), layer.weight, layer.bias))
    nn.use_product(torch.nn.Sequential(layer.float()), "torch")(x)
    assert seen == [1]


def test_an_unknown_library_is_refused():
    for make in (
        lambda: nn.Linear(2, 3, product="onedn"),
        lambda: nn.use_product(torch.nn.Sequential(nn.Linear(2, 3)), "mkl"),
        lambda: nn.use_product(torch.nn.Sequential(torch.nn.Linear(2, 3))),
    ):
        with pytest.raises(OptionError):
            make()
