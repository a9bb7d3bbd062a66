"""Hooks on every layer of a network, for the length of a `with`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import parametrize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from snn4.core.errors import OptionError
from snn4.profiling.events import EventRecorder
from snn4.profiling.recorders import ActivationRecorder, Frame, NeuronRecorder, NormRecorder, SynapseRecorder
from snn4.profiling.records import Other, Row
from snn4.profiling.synapses import Synaptic
from snn4.quantization import QuantReLU
from snn4.through_time import Neuron
from snn4.through_time.session import path_of
from snn4.through_time.stateful import Stateful
from snn4.timing import TimingLayer

__all__ = ["Watch", "evaluating"]

_HOMES = {
    "torch.nn.modules.pooling": "pool",
    "torch.nn.modules.batchnorm": "norm",
    "torch.nn.modules.instancenorm": "norm",
    "torch.nn.modules.normalization": "norm",
    "torch.nn.modules.activation": "activation",
}
# layers with products or look-ups of their own that have no rule here
_UNCOUNTED = (
    torch.nn.MultiheadAttention,
    torch.nn.Bilinear,
    torch.nn.RNNBase,
    torch.nn.RNNCellBase,
    torch.nn.Embedding,
    torch.nn.EmbeddingBag,
    torch.nn.Softmax,
    torch.nn.LogSoftmax,
    torch.nn.Softmin,
)


class _Recorder(Protocol):
    def begin(self, frame: Frame) -> None: ...
    def after(self, x: Tensor, out: Tensor, frame: Frame) -> None: ...
    def row(self) -> Row: ...


class _Products(TorchDispatchMode):
    """Adds up the multiply-accumulates of all matrix products and convolutions, whoever asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.paused = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = None if self.paused else flop_registry.get(func.overloadpacket)
        if count is not None:
            self.macs += count(*args, **(kwargs or {}), out_val=out) // 2
        return out


class Watch:
    """What runs inside a network: one recorder for each layer, and a count of the products that no layer explains.

    Args:
        net: the network. Its hooks are there while the `with` lasts.
    """

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net
        self.names: dict[int, str] = {}
        self.types: dict[int, str] = {}
        self.recorders: dict[int, _Recorder | EventRecorder] = {}
        self.uncounted: dict[int, str] = {}
        self.order: list[int] = []
        self.products_of: dict[int, int] = {}
        self.never_called: list[str] = []
        self._products = _Products()
        self._claimed = 0
        self._open: list[int] = []
        self._frame: Frame | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._plan()

    def _plan(self) -> None:
        inside: list[str] = []
        for name, module in self.net.named_modules():
            path = path_of(name)
            # what belongs to a weight's parametrisation or to attention computes nothing that is not counted there
            if any(name.startswith(above) for above in inside):
                continue
            if isinstance(module, parametrize.ParametrizationList):
                inside.append(f"{name}.")
                continue
            key = id(module)
            self.names[key], self.types[key] = path, parametrize.type_before_parametrizations(module).__name__
            if isinstance(module, torch.nn.MultiheadAttention):
                inside.append(f"{name}.")
            recorder = self._recorder_for(module, path, self.types[key])
            if recorder is not None:
                self.recorders[key] = recorder
            elif why := self._why_uncounted(module, name):
                self.uncounted[key] = why

    @staticmethod
    def _recorder_for(module: torch.nn.Module, path: str, type_name: str) -> _Recorder | EventRecorder | None:
        if isinstance(module, Synaptic):
            return SynapseRecorder(path, type_name, module)
        if isinstance(module, TimingLayer):
            return EventRecorder(path, type_name, module)
        if isinstance(module, Neuron):
            return NeuronRecorder(path, type_name, module)
        if isinstance(module, QuantReLU):
            return ActivationRecorder(path, type_name)
        if isinstance(module, _UNCOUNTED):
            return None
        home = _home(module)
        if home == "norm":
            batch_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
            return NormRecorder(path, type_name, foldable=batch_norm and module.running_mean is not None)
        return ActivationRecorder(path, type_name) if home == "activation" else None

    def _why_uncounted(self, module: torch.nn.Module, name: str) -> str | None:
        if _home(module) == "pool":
            return "pooling: not counted"
        if isinstance(module, _UNCOUNTED):
            return "not counted, except for matrix products that torch reports"
        parameters = any(True for _ in module.parameters(recurse=False))
        above = [self.net.get_submodule(".".join(name.split(".")[:k])) for k in range(len(name.split(".")) + 1)]
        if parameters and not any(isinstance(m, Stateful) for m in above):
            return "parameters of its own: not counted, except for matrix products that torch reports"
        return None

    def __enter__(self) -> Watch:
        for module in self.net.modules():
            if id(module) in self.names:
                self._handles.append(module.register_forward_pre_hook(self._before))
                self._handles.append(module.register_forward_hook(self._after, with_kwargs=True))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def run(self, x: Tensor) -> None:
        """One batch through the network. Shape: (T, B, *features)."""
        constant = x.shape[0] > 1 and bool((x == x[:1]).all())
        self._frame = Frame(steps=x.shape[0], batch=x.shape[1], constant=constant)
        self._open.clear()
        for recorder in self.recorders.values():
            recorder.begin(self._frame)
        with self._products:
            self.net(x)

    def _before(self, module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        self._open.append(self._products.macs - self._claimed)

    def _after(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        frame, key = self._frame, id(module)
        if frame is None or self._products.paused:
            return
        if key not in self.order:
            self.order.append(key)
        # products since the call began that no module inside it has claimed
        own = self._products.macs - self._claimed - self._open.pop()
        self._claimed += own
        recorder = self.recorders.get(key)
        if not isinstance(recorder, SynapseRecorder | EventRecorder):
            self.products_of[key] = self.products_of.get(key, 0) + own
        if recorder is None:
            return
        given = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(given, Tensor) or not isinstance(out, Tensor):
            raise OptionError(
                f"{self.names[key] or 'the network'} ({self.types[key]}) was called without a tensor as first argument",
                "layers from tensor to tensor",
                "Wrap the layer in a module whose forward takes one tensor and returns one.",
            )
        self._products.paused = True
        try:
            recorder.after(given, out, frame)
        finally:
            self._products.paused = False

    def rows(self, samples: int) -> list[Row]:
        """One row for each layer that ran, in the order in which they ran first."""
        rows: list[Row] = []
        for key in self.order:
            recorder, macs = self.recorders.get(key), self.products_of.get(key, 0)
            if isinstance(recorder, EventRecorder):
                rows += recorder.rows()
            elif recorder is not None:
                rows.append(recorder.row())
            elif key in self.uncounted and not macs:
                kind = "pool" if self.uncounted[key].startswith("pooling") else "not counted"
                rows.append(Other(self.names[key], self.types[key], kind, 0.0, self.uncounted[key]))
            if macs:
                note = "matrix products outside linear and convolution layers: dense MACs"
                rows.append(
                    Other(self.names[key] or "(network)", self.types[key], "products", macs / max(1, samples), note)
                )
        ran = set(self.order)
        self.never_called = [
            self.names[key] for key in self.recorders if key not in ran and self.names[key] not in self.never_called
        ]
        return rows


def _home(module: torch.nn.Module) -> str | None:
    """What torch files a layer, or the torch layer that it derives from, under."""
    return next((_HOMES[base.__module__] for base in type(module).__mro__ if base.__module__ in _HOMES), None)


@contextmanager
def evaluating(net: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, no compiled code that would skip the hooks; all as before afterwards."""
    modes = [(m, m.training) for m in net.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(lambda: [setattr(m, "training", mode) for m, mode in modes])
        # the fused attention of torch runs no modules and shows no products
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        net.eval()
        stack.enter_context(torch.no_grad())
        # nothing is compiled where the compiler was never loaded, and loading it takes a second
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
