"""What autograd keeps for backward(), in as little memory as it needs: `with saved_as("bits"):`.

A convolution or a linear layer keeps its input for the gradient of its weights, and pooling keeps its own. Behind a
spiking layer these are zeros and ones in float32. Inside `saved_as("bits")` each tensor that is about to be kept is
looked at: spikes become bits, averages of 2 x 2 spikes half bytes, indices the smallest integers that hold them, and
everything else is kept as it is. backward() gets the same values in the same layout, and so gives the same gradient,
bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from snn4.core.errors import GraphError, OptionError, suggest
from snn4.kernels import torch_facts
from snn4.kernels.spikes.bits import Packed, pack, unpack

__all__ = ["Kept", "Memory", "check_memory", "keep", "keep_dense", "restore", "saved_as"]

Memory: TypeAlias = Literal["dense", "bits"]
MEMORIES = ("dense", "bits")

# what is smaller is not worth a look
_SMALL = 256


@dataclass(frozen=True)
class Kept:
    """A tensor as it is.

    Args:
        tensor: cut from its graph, which autograd itself remembers.
        version: how often it had been changed in place.
    """

    tensor: Tensor
    version: int


@dataclass(frozen=True)
class _Narrow:
    """Indices in a smaller integer type."""

    tensor: Tensor


def saved_as(memory: Memory = "bits") -> AbstractContextManager[None]:
    """Keep spikes for backward() as bits, inside a `with`, in this thread.

    It holds for everything that runs inside: layers, functions, modules of others. Inside `torch.compile` and the
    transforms of `torch.func` it does nothing, since these choose for themselves what they keep.

    Args:
        memory: `"bits"`, or `"dense"` to keep tensors as they are again, in a part of a larger `with`.

    Raises:
        OptionError: an unknown name.
        GraphError: at backward(), when a tensor that was kept as it is has been changed in place since.

    Example:
        >>> from snn4 import nn
        >>> net = torch.nn.Sequential(nn.Linear(20, 30), nn.LIF(), nn.Linear(30, 10))
        >>> with saved_as("bits"):
        ...     y = net(torch.rand(5, 8, 20))
        >>> y.sum().backward()
    """
    check_memory("saved_as", memory)
    return _saving(memory)


def check_memory(owner: str, memory: object) -> None:
    """Refuse an unknown way to keep tensors."""
    if memory not in MEMORIES:
        raise OptionError(f"{owner} got memory={memory!r}", "'dense' or 'bits'", suggest(str(memory), MEMORIES))


@contextmanager
def _saving(memory: Memory) -> Iterator[None]:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or torch_facts.watched() is not None:
        yield
        return
    with torch.autograd.graph.saved_tensors_hooks(keep if memory == "bits" else keep_dense, restore):
        yield


def keep(tensor: Tensor) -> Packed | Kept | _Narrow:
    """What is kept of a tensor."""
    # a parameter is in memory anyway
    if type(tensor) is Tensor and tensor.numel() >= _SMALL and not (tensor.is_leaf and tensor.requires_grad):
        if tensor.is_floating_point():
            packed = pack(tensor, quarters=True)
            if packed is not None:
                return packed
        elif tensor.dtype == torch.int64 and tensor.layout == torch.strided and tensor.device.type != "meta":
            return _narrow(tensor)
    return keep_dense(tensor)


def keep_dense(tensor: Tensor) -> Kept:
    """A tensor as it is."""
    return Kept(tensor.detach(), tensor._version)


def _narrow(indices: Tensor) -> _Narrow | Kept:
    low, high = (int(bound) for bound in indices.aminmax())
    for dtype in (torch.uint8, torch.int16, torch.int32):
        about = torch.iinfo(dtype)
        if about.min <= low and high <= about.max:
            return _Narrow(indices.to(dtype))
    return keep_dense(indices)


def restore(kept: Packed | Kept | _Narrow) -> Tensor:
    """The tensor again.

    Raises:
        GraphError: it was kept as it is, and has been changed in place since.
    """
    if isinstance(kept, Packed):
        return unpack(kept)
    if isinstance(kept, _Narrow):
        return kept.tensor.long()
    # torch itself counts changes only for tensors that no hook has seen
    if kept.tensor._version != kept.version:
        raise GraphError(
            f"a tensor of shape {tuple(kept.tensor.shape)} that backward() needs was changed in place after its use "
            f"(version {kept.tensor._version}, kept at version {kept.version})",
            "tensors that stay as they were until backward() has run",
            "Replace x += y by x = x + y, or call backward() before the optimiser's step.",
        )
    return kept.tensor
