"""How samples come to the network: in batches, on the device where it learns.

What a device can hold stays there: the stored bytes of a data set are small against a network's activations, and
cutting out a batch and augmenting it on a GPU takes no time of the CPU. A set that would fill the device stays where it
is, and its batches travel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.data import Split

__all__ = ["batch_of", "batches", "chosen_device", "device_of", "resident", "tuned"]


def batches(samples: Tensor, size: int) -> list[Tensor]:
    """Cut samples into batches; one sample alone joins the batch before, because batch norms need two.

    Example:
        >>> [len(batch) for batch in batches(torch.arange(9), 4)]
        [4, 5]
    """
    parts = list(samples.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1 < size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def batch_of(split: Split, chosen: Tensor, place: torch.device) -> tuple[Tensor, Tensor]:
    """Some samples of a split, on a device."""
    inputs = split.inputs[chosen.to(split.inputs.device)]
    return inputs.to(place), split.targets[chosen.to(split.targets.device)].to(place)


def device_of(net: torch.nn.Module) -> torch.device:
    """Where a network's first tensor lies; the CPU if it has none."""
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")


def chosen_device(name: str | None, net: torch.nn.Module) -> torch.device:
    """The device of this name; without one, where the network is.

    Raises:
        OptionError: there is no GPU, or not this one.

    Example:
        >>> chosen_device(None, torch.nn.Linear(1, 1)), chosen_device("cpu", torch.nn.Linear(1, 1))
        (device(type='cpu'), device(type='cpu'))
    """
    if name is None:
        return device_of(net)
    place = torch.device(name)
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise OptionError(
            f"the device is to be {name}, and torch sees {torch.cuda.device_count()} GPUs",
            "a device that this machine has",
            "Choose 'cpu', or look at `snn4 doctor` and install torch for CUDA.",
        )
    return place


def resident(split: Split, place: torch.device) -> Split:
    """A split on the device, or as it is where it would take more than a quarter of what is free there."""
    if place.type != "cuda" or split.inputs.device == place:
        return split
    free, _ = torch.cuda.mem_get_info(place)
    if 4 * split.inputs.numel() * split.inputs.element_size() > free:
        return split
    return Split(split.inputs.to(place), split.targets.to(place))


@contextlib.contextmanager
def tuned(place: torch.device) -> Iterator[None]:
    """Inside, a GPU may try which convolution is the fastest: the shapes are the same in every step."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or place.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
