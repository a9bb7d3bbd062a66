"""Layers with weights, over sequences."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import OptionError, suggest
from snn4.kernels.product import linear_by_onednn
from snn4.kernels.spikes.events import conv2d_of_events, linear_by_events, linear_of_events
from snn4.layers.convolution import Convolution
from snn4.layers.folded import Folded, fold, unfold
from snn4.layers.memory import Keeps, Memory
from snn4.through_time.synapse import Synapse, linear_traced

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Linear",
    "PReLU",
    "Synaptic",
    "use_events",
    "use_product",
]

Net = TypeVar("Net", bound=torch.nn.Module)
Events: TypeAlias = bool | Literal["always"]
Product: TypeAlias = Literal["torch", "onednn"]
PRODUCTS = ("torch", "onednn")
# what has synapses: torch's layers, and so ours
Synaptic = (
    torch.nn.Linear,
    torch.nn.Conv1d,
    torch.nn.Conv2d,
    torch.nn.Conv3d,
    torch.nn.ConvTranspose1d,
    torch.nn.ConvTranspose2d,
    torch.nn.ConvTranspose3d,
)


class Linear(Keeps, Synapse, torch.nn.Linear):
    """torch.nn.Linear at every step. Shape: (T, B, *, in_features) -> (T, B, *, out_features).

    Args:
        in_features: size of each input.
        out_features: size of each output.
        bias: whether a bias is learned.
        device: as in torch.
        dtype: as in torch.
        memory: `"bits"` keeps an input of spikes as bits for backward(), 32 times smaller, with the same gradient;
            `"dense"` as it is; `None` as `snn4.kernels.saved_as` around the call says.
        events: whether an input of spikes is multiplied by adding the weights of those that fired. `True` is for
            inference: without gradients, and where the input is made of few enough spikes, some 20 %, which each call
            measures. `"always"` is for training too: with gradients, and whatever the share, so that the order in
            which numbers are added never depends on it; the input is kept as bits. Either is equal to the dense product
            up to that order.
        product: `"onednn"` computes dense products of float32 on the CPU by oneDNN, which takes half the time of the
            library that torch takes on some CPUs, and adds in another order as well.

    Raises:
        OptionError: another `events` or `product`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        memory: Memory | None = None,
        events: Events = False,
        product: Product = "torch",
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.keep(memory)
        check_events("Linear", events)
        self.events: Events = events
        check_product("Linear", product)
        self.product: Product = product

    def forward(self, input: Float[Tensor, "T B *other in"]) -> Float[Tensor, "T B *other out"]:  # noqa: A002  (torch's name)
        """The layer at every step."""
        check_sequence("Linear", input)
        if self.rule is not None:
            return self.rule.through(self, input)
        weight, bias = self.matrix()
        if self.events:
            added = linear_by_events if self.events == "always" else linear_of_events
            ys = added(input, weight, bias)
            if ys is not None:
                return ys
        with self.saving():
            if self.product == "onednn":
                return linear_by_onednn(input, weight, bias)
            return torch.nn.functional.linear(input, weight, bias)

    def matrix(self) -> tuple[Tensor, Tensor | None]:
        """W (out, in) and b (out), as `forward` applies them: what a subclass overrides to mask or bind its weights."""
        return self.weight, self.bias

    def acting(self) -> tuple[Tensor, Tensor | None]:
        """As `matrix`."""
        return self.matrix()

    rows = -1

    def seen(self, x: Tensor) -> Tensor:
        """The input, whole. Shape: (B, *, in) -> (B, *, 1, in)."""
        return x.unsqueeze(-2)

    def apply_weight(self, xs: Tensor, trace: Tensor | None, *, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b, with the weight's gradient from the trace. Shape: (T, B, *, in) -> (T, B, *, out)."""
        if trace is None:
            return torch.nn.functional.linear(xs, weight, bias)
        return linear_traced(xs, trace, weight, bias)


class Conv1d(Convolution, torch.nn.Conv1d):
    """torch.nn.Conv1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)
    rows = 1


class Conv2d(Convolution, torch.nn.Conv2d):
    """torch.nn.Conv2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W').

    `events` is as in `Linear`, for inputs in channels_last and without groups; `use_events` sets it.
    """

    features = (3,)
    rows = 1
    events: bool = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """The layer at every step."""
        ys = self._of_events(input) if self.events and self.rule is None else None
        return super().forward(input) if ys is None else ys

    def _of_events(self, x: Tensor) -> Tensor | None:
        self.check(x)
        padding = self.padding
        if self.padding_mode != "zeros" or isinstance(padding, str) or self.groups != 1:
            return None
        ys = conv2d_of_events(fold(x), self.weight, self.bias, self.stride, padding, self.dilation)
        return None if ys is None else unfold(ys, *x.shape[:2])


class Conv3d(Convolution, torch.nn.Conv3d):
    """torch.nn.Conv3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)
    rows = 1


class ConvTranspose1d(Convolution, torch.nn.ConvTranspose1d):
    """torch.nn.ConvTranspose1d at every step. Shape: (T, B, C, L) -> (T, B, C', L')."""

    features = (2,)


class ConvTranspose2d(Convolution, torch.nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d at every step. Shape: (T, B, C, H, W) -> (T, B, C', H', W')."""

    features = (3,)


class ConvTranspose3d(Convolution, torch.nn.ConvTranspose3d):
    """torch.nn.ConvTranspose3d at every step. Shape: (T, B, C, D, H, W) -> (T, B, C', D', H', W')."""

    features = (4,)


class PReLU(Folded, torch.nn.PReLU):
    """torch.nn.PReLU at every step; its slopes belong to the channels, axis 2. Shape: (T, B, C, *), kept."""


def check_events(owner: str, events: object) -> None:
    """Refuse an unknown way to add up events."""
    if not isinstance(events, bool) and events != "always":
        advice = suggest(str(events), ["always"])
        raise OptionError(f"{owner} got events={events!r}", "True, False or 'always'", advice)


def use_events(net: Net, on: Events = True) -> Net:
    """Let every `Linear` and `Conv2d` multiply by adding weights, where its input is sparse enough; returns the net.

    Args:
        net: a network.
        on: `"always"` for the linear layers in training too, as `Linear` tells, where convolutions take it as `True`;
            `False` for dense products throughout.

    Raises:
        OptionError: the network has neither of snn4.nn, or another `on`.

    Example:
        >>> net = use_events(torch.nn.Sequential(Linear(20, 30)))
        >>> net[0].events
        True
    """
    check_events("use_events", on)
    layers = [module for module in net.modules() if isinstance(module, (Linear, Conv2d))]
    if not layers:
        raise OptionError(f"{type(net).__name__} has no Linear or Conv2d of snn4.nn", "a network with at least one")
    for layer in layers:
        if isinstance(layer, Linear):
            layer.events = on
        else:
            # a convolution knows sums over events without gradients alone
            layer.events = bool(on)
    return net


def check_product(owner: str, product: object) -> None:
    """Refuse an unknown library."""
    if product not in PRODUCTS:
        raise OptionError(f"{owner} got product={product!r}", "'torch' or 'onednn'", suggest(str(product), PRODUCTS))


def use_product(net: Net, product: Product = "onednn") -> Net:
    """Let every `Linear` of snn4.nn compute its dense products with a library; returns the net.

    Args:
        net: a network.
        product: `"onednn"`, or `"torch"` for what torch takes.

    Raises:
        OptionError: the network has no such layer, or another library.

    Example:
        >>> use_product(torch.nn.Sequential(Linear(20, 30)))[0].product
        'onednn'
    """
    check_product("use_product", product)
    layers = [module for module in net.modules() if isinstance(module, Linear)]
    if not layers:
        raise OptionError(f"{type(net).__name__} has no Linear of snn4.nn", "a network with at least one")
    for layer in layers:
        layer.product = product
    return net
