"""What goes wrong while a network learns, with the layer where it starts and what to do about it.

Three alarms: a layer that never fires, a layer that always fires, and a number that is not finite. The first two warn;
the third ends the training. Its layer is found by doing the step again with hooks, so that a healthy step pays nothing.
Layers that know more about themselves say it through `Warns`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from snn4.through_time import Neuron

__all__ = ["Alarm", "Warns", "check_rates", "find_non_finite", "heard_warnings"]

SATURATED = 0.99


@dataclasses.dataclass(frozen=True)
class Alarm:
    """One alarm.

    Args:
        layer: the layer's path in the network.
        kind: `"dead"`, `"saturated"`, or what a layer calls its own warning.
        text: what was seen and what to do.
    """

    layer: str
    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def check_rates(net: torch.nn.Module, spikes: Mapping[str, Tensor]) -> list[Alarm]:
    """The layers that fired nothing, or at (almost) every step, in a whole batch.

    Args:
        net: the network, for the kinds of its layers.
        spikes: what each spiking layer fired, by path. Shape of each: (T, B, *features).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Identity())
        >>> print(*check_rates(net, {"0": torch.zeros(4, 2, 3)}))
        layer '0' (Identity) fired no spike in a whole batch, so that nothing passes it. Lower its v_threshold, \
enlarge the weights or the input before it, or put a norm before it.
    """
    alarms: list[Alarm] = []
    for path, fired in spikes.items():
        name = _name(net, path)
        rate = fired.detach().float().mean().item()
        if rate == 0:
            text = (
                f"layer {name} fired no spike in a whole batch, so that nothing passes it. "
                "Lower its v_threshold, enlarge the weights or the input before it, or put a norm before it."
            )
            alarms.append(Alarm(path, "dead", text))
        elif rate >= SATURATED:
            text = (
                f"layer {name} fired at {rate:.1%} of all steps in a whole batch, so that it tells nothing. "
                "Raise its v_threshold, scale down the weights or the input before it, or put a norm before it."
            )
            alarms.append(Alarm(path, "saturated", text))
    return alarms


@runtime_checkable
class Warns(Protocol):
    """A layer that can judge one of its own calls, like those of `snn4.timing`."""

    def warnings(self, x: Tensor, y: Tensor) -> Mapping[str, str]:
        """What is wrong with a call: the kind of each problem, and a sentence with advice, without the layer's name.

        Args:
            x: what the layer was given.
            y: what it answered.
        """
        ...


@contextlib.contextmanager
def heard_warnings(net: torch.nn.Module) -> Iterator[list[Alarm]]:
    """Listen to every layer that `Warns`: `with heard_warnings(net) as heard: net(xs)`.

    Example:
        >>> with heard_warnings(torch.nn.Identity()) as heard:
        ...     pass
        >>> heard
        []
    """
    heard: list[Alarm] = []
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def listen(path: str, layer: Warns) -> None:
        def hook(_module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            with torch.no_grad():
                found = layer.warnings(inputs[0].detach(), output.detach())
            heard.extend(Alarm(path, kind, f"layer {_name(net, path)}: {text}") for kind, text in found.items())

        handles.append(net.get_submodule(path).register_forward_hook(hook))

    for path, module in net.named_modules():
        if isinstance(module, Warns):
            listen(path, module)
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _name(net: torch.nn.Module, path: str) -> str:
    return f"{path!r} ({type(net.get_submodule(path)).__name__})"


def _bad(value: object) -> bool:
    """Whether a tensor, or one inside tuples, lists and mappings, holds NaN or infinity."""
    return any(not bool(torch.isfinite(tensor).all()) for tensor in _tensors(value))


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point() or value.is_complex():
            yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)


@contextlib.contextmanager
def _hooked(net: torch.nn.Module, hook: Callable[[str, tuple[Any, ...], Any], None]) -> Iterator[None]:
    """Let `hook(path, inputs, output)` see every call of every layer, inner ones first; a neuron is one layer."""
    handles: list[torch.utils.hooks.RemovableHandle] = []

    def watch(path: str, module: torch.nn.Module) -> None:
        def seen(_module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            hook(path, inputs, output)

        handles.append(module.register_forward_hook(seen))

    inside = {part for module in net.modules() if isinstance(module, Neuron) for part in module.modules()}
    for path, module in net.named_modules():
        if isinstance(module, Neuron) or module not in inside:
            watch(path, module)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclasses.dataclass
class _Call:
    """One call of a module, and which gradients at its doors were not finite."""

    path: str
    doors: dict[str, list[bool]] = dataclasses.field(default_factory=lambda: {"in": [], "out": []})


def find_non_finite(net: torch.nn.Module, xs: Tensor, forward: Callable[[Tensor], Tensor]) -> str:
    """Where the first NaN or infinity of a step appears, as a sentence with advice.

    The forward pass and, if that is finite, the backward pass are done once more; gradients are left at None.

    Args:
        net: the network, in the state in which the step failed.
        xs: its input. Shape (T, B, *features).
        forward: from the input, by way of `net`, to the loss.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Identity())
        >>> _ = torch.nn.init.constant_(net[0].weight, float("inf"))
        >>> find_non_finite(net, torch.ones(1, 1, 2), lambda xs: net(xs).sum())
        "It starts in the parameter '0.weight', which is not finite itself. Lower the learning rate, or go back to an \
earlier checkpoint."
    """
    if _bad(xs):
        return "It starts in the encoded input. Look at the data and at task.encode."
    for name, tensor in [*net.named_parameters(), *net.named_buffers()]:
        if _bad(tensor):
            kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "buffer"
            return (
                f"It starts in the {kind} {name!r}, which is not finite itself. "
                "Lower the learning rate, or go back to an earlier checkpoint."
            )
    first: list[str] = []
    calls: list[_Call] = []

    def look(path: str, inputs: tuple[Any, ...], output: Any) -> None:
        if not first and _bad(output):
            first.append(path)
        call = _Call(path)
        calls.append(call)
        for door, tensors in (("in", _tensors(inputs)), ("out", _tensors(output))):
            for tensor in tensors:
                if tensor.requires_grad:
                    flags = call.doors[door]
                    # not the tensor itself: the hook would keep it alive in a cycle
                    tensor.register_hook(lambda grad, flags=flags: flags.append(_bad(grad)))

    net.zero_grad(set_to_none=True)
    with torch.enable_grad(), _hooked(net, look):
        loss = forward(xs)
        if first:
            return (
                f"The output of layer {_of(net, first[0])} is the first that is not finite. "
                "Lower the learning rate, clip the gradient (clip_norm), or look for a division or logarithm in it."
            )
        if _bad(loss):
            return "All layers are finite, the loss is not. Look at task.loss and task.readout, and at its arguments."
        if loss.requires_grad:
            loss.backward()
    sentence = _where_gradient_starts(net, calls)
    net.zero_grad(set_to_none=True)
    return sentence


def _where_gradient_starts(net: torch.nn.Module, calls: list[_Call]) -> str:
    advice = "Lower the learning rate, narrow or widen the surrogate, or clip the gradient (clip_norm)."
    broken = {name for name, p in net.named_parameters() if p.grad is not None and _bad(p.grad)}
    # from the output backwards: a layer into which a finite gradient goes, and out of which it comes broken
    guilty = [
        call.path
        for call in reversed(calls)
        if not any(call.doors["out"])
        and (any(call.doors["in"]) or any(name.rpartition(".")[0] == call.path for name in broken))
    ]
    # a block is guilty with the layer inside it: the layer is meant
    for path in guilty:
        if any(other != path and (not path or other.startswith(f"{path}.")) for other in guilty):
            continue
        return f"The gradient is finite behind layer {_of(net, path)} and not before it. {advice}"
    if any(flag for call in calls for flag in call.doors["out"]):
        return f"The gradient is not finite where it leaves the loss. Look at task.loss and task.readout. {advice}"
    return f"Each number is finite, their norm is not: the gradient explodes. {advice}"


def _of(net: torch.nn.Module, path: str) -> str:
    return _name(net, path) if path else f"{type(net).__name__} itself, outside of its layers,"
