"""The weights of a network in a file that anyone can read: safetensors, with a description in its header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DataParallel, DistributedDataParallel

from snn4.core.errors import CheckpointError
from snn4.training import tensorfile

__all__ = ["load_weights", "save_weights"]

KIND = "weights"


def save_weights(net: torch.nn.Module, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
    """Write the weights and buffers of a network, atomically.

    A weight that stands at two places of the network (tied) is written once.

    Args:
        net: the network; wrappers (DDP, `torch.compile`) leave no trace in the names.
        path: the file, `model.safetensors`.
        about: what to write into the header: anything that JSON can hold.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
        CheckpointError: the network keeps something that is neither a tensor nor JSON.

    Example:
        >>> import tempfile
        >>> net, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(net, f"{folder}/model.safetensors", {"classes": ["cat", "dog"]})
        ...     load_weights(other, f"{folder}/model.safetensors")
        {'classes': ['cat', 'dog']}
        >>> torch.equal(net.weight, other.weight)
        True
    """
    tensors, extra = state_of(net)
    kept: dict[tuple[object, ...], str] = {}
    # the same memory, seen in the same way, is the same weight
    tied = {
        name: first
        for name, tensor in tensors.items()
        if tensor.numel() and (first := kept.setdefault(_place(tensor), name)) != name
    }
    header = {"about": dict(about or {}), "tied": tied, "extra": extra}
    try:
        tensorfile.write(path, KIND, {name: t for name, t in tensors.items() if name not in tied}, header)
    except TypeError as cause:
        raise CheckpointError(f"{path} was to hold what JSON cannot ({cause})", "JSON", "Simplify `about`.") from cause


def load_weights(net: torch.nn.Module, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read weights into a network of the same architecture; all of them, or none.

    The network keeps its device and its dtypes: numbers are converted.

    Args:
        net: the network to fill.
        path: a file that `save_weights` wrote.

    Returns:
        What `save_weights` got as `about`.

    Raises:
        CheckpointError: the file cannot be read, or belongs to another network; every difference is listed.
    """
    tensors, header = tensorfile.read(path, KIND)
    tensors |= {name: tensors[first] for name, first in header["tied"].items()}
    load_state(net, tensors, header["extra"], str(path))
    return header["about"]


def _place(tensor: Tensor) -> tuple[object, ...]:
    return (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)


def _bare(net: torch.nn.Module, name: str) -> str:
    """The name of an entry without the traces of wrappers."""
    if isinstance(net, DataParallel | DistributedDataParallel):
        name = name.removeprefix("module.")
    return name.replace("_orig_mod.", "")


def state_of(net: torch.nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A network's `state_dict`, apart: its tensors; and the extra state that modules keep, which must be JSON."""
    state: dict[str, Any] = net.state_dict()
    tensors = {_bare(net, name): value for name, value in state.items() if isinstance(value, Tensor)}
    return tensors, {_bare(net, name): value for name, value in state.items() if not isinstance(value, Tensor)}


def load_state(net: torch.nn.Module, tensors: Mapping[str, Tensor], extra: Mapping[str, Any], origin: str) -> None:
    """Fill a network with what `state_of` took apart, after a check of every entry."""
    own: dict[str, Any] = net.state_dict()
    names = {_bare(net, name): name for name in own}
    came = {**tensors, **extra}
    problems = [f"{name} is missing" for name in names if name not in came]
    problems += [f"{name} is not in the network" for name in came if name not in names]
    for name, tensor in tensors.items():
        mine = own[names[name]] if name in names else None
        if isinstance(mine, Tensor):
            if mine.shape != tensor.shape:
                problems.append(f"{name} is {tuple(tensor.shape)}, in the network {tuple(mine.shape)}")
            elif _sort(mine) != _sort(tensor):
                problems.append(f"{name} is {_short(tensor)}, in the network {_short(mine)}")
    # of tied weights, the file must give both the same value, or one would be lost
    first: dict[tuple[object, ...], str] = {}
    for name in tensors:
        mine = own[names[name]] if name in names else None
        if isinstance(mine, Tensor) and mine.numel():
            other = first.setdefault(_place(mine), name)
            if tensors[other].shape == tensors[name].shape and not _same(tensors[other], tensors[name]):
                problems.append(f"{name} differs from {other}, in the network they are one weight")
    if problems:
        more = f"; and {len(problems) - 12} more" if len(problems) > 12 else ""
        raise CheckpointError(
            f"{origin} does not fit the network ({'; '.join(problems[:12])}{more})",
            "the weights of the same architecture",
            "Build the network with the options that the file was written with.",
        )
    net.load_state_dict({names[name]: value for name, value in came.items()})


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.equal(a, b)) or bool(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))


def _sort(tensor: Tensor) -> str:
    """Numbers of one sort convert into each other without a change of meaning."""
    if tensor.is_complex():
        return "complex"
    if tensor.is_floating_point():
        return "floating"
    return "bool" if tensor.dtype == torch.bool else "integer"


def _short(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
