"""Random numbers that can be had again: a generator for each batch, and the states that a checkpoint keeps.

What `fit` draws itself comes from `generator(device, seed, epoch, step)` and needs no memory. What it cannot hand a
generator to, such as torch's dropout, reads the global states; they are captured, restored and left as they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["capture", "generator", "restore", "scope"]


def generator(device: torch.device | str, *numbers: int) -> Generator:
    """A generator that depends on these numbers and on nothing else.

    Example:
        >>> torch.rand(1, generator=generator("cpu", 0, 7)) == torch.rand(1, generator=generator("cpu", 0, 7))
        tensor([True])
        >>> torch.rand(1, generator=generator("cpu", 0, 7)) == torch.rand(1, generator=generator("cpu", 7, 0))
        tensor([False])
    """
    digest = hashlib.blake2b("/".join(map(str, numbers)).encode(), digest_size=8).digest()
    # 63 bits, because some devices take the seed as a signed number
    return Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


def _gpus(net: torch.nn.Module) -> list[torch.device]:
    tensors = [*net.parameters(), *net.buffers()]
    return sorted({t.device for t in tensors if t.device.type == "cuda"}, key=str)


def _owned(net: torch.nn.Module) -> dict[str, Generator]:
    """The generators that modules of the network hold as attributes."""
    return {
        f"{path}.{name}": value
        for path, module in net.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, Generator)
    }


def capture(net: torch.nn.Module) -> dict[str, Tensor]:
    """Every random state that a step may read: torch, the network's GPUs and own generators, Python, NumPy."""
    _, words, gauss = random.getstate()
    _, key, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002 (read, not drawn from)
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.from_numpy(np.array(words, dtype=np.int64)),
        "python.gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(np.append(key, [position, has_gauss]).astype(np.int64)),
        "numpy.gauss": torch.tensor([cached], dtype=torch.float64),
    }
    states |= {f"gpu.{gpu}": torch.cuda.get_rng_state(gpu) for gpu in _gpus(net)}
    return states | {f"generator.{path}": owned.get_state() for path, owned in _owned(net).items()}


def restore(net: torch.nn.Module, states: dict[str, Tensor]) -> None:
    """Set every random state to what `capture` has returned."""
    torch.set_rng_state(states["torch"])
    gauss: list[float] = states["python.gauss"].tolist()
    random.setstate((3, tuple(states["python"].tolist()), gauss[0] if gauss else None))
    *key, position, has_gauss = states["numpy"].tolist()
    state = ("MT19937", np.array(key, dtype=np.uint32), position, has_gauss, float(states["numpy.gauss"][0]))
    np.random.set_state(state)  # noqa: NPY002 (put back, not drawn from)
    for gpu in _gpus(net):
        if f"gpu.{gpu}" in states:
            torch.cuda.set_rng_state(states[f"gpu.{gpu}"], gpu)
    for path, owned in _owned(net).items():
        if f"generator.{path}" in states:
            owned.set_state(states[f"generator.{path}"])


@contextlib.contextmanager
def scope(net: torch.nn.Module, *numbers: int) -> Iterator[None]:
    """Inside, torch's global generators start from these numbers; outside, nothing has happened.

    Torch's dropout takes no generator: only so does a run depend on its seed and leave the user's numbers alone.
    """
    before = capture(net)
    try:
        torch.set_rng_state(generator("cpu", *numbers).get_state())
        for gpu in _gpus(net):
            torch.cuda.set_rng_state(generator(gpu, *numbers).get_state(), gpu)
        yield
    finally:
        restore(net, before)
