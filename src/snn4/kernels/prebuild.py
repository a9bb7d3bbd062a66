"""Compile kernels ahead, for those who pack snn4: a wheel then brings its own neurons' kernels.

An installed kernel is used where its source is the one that the neuron gives today and the CPU has its level of
instructions; else snn4 compiles, as from a checkout. The arithmetic is IEEE at every level, and the bits are the same.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from snn4.core.errors import MissingLibraryError
from snn4.core.files import atomic, write_json
from snn4.kernels import blocks, build, compiler
from snn4.kernels.identity import identity
from snn4.kernels.plan import Plan, kernel
from snn4.kernels.spikes.source import SOURCE as SPIKES
from snn4.kernels.split import Refused
from snn4.kernels.trace import traced_step
from snn4.through_time import Neuron

__all__ = ["prebuild"]


def prebuild(
    neurons: Iterable[Neuron],
    folder: Path,
    levels: Iterable[str] = (),
    *,
    shared: bool = False,
    more: Mapping[str, str] | None = None,
) -> list[str]:
    """Compile the kernels of `neurons` for float32 into `folder`.

    Args:
        neurons: whose kernels. One that cannot become a kernel is left out.
        folder: made where it is missing.
        levels: of instructions, as gcc's `-march` names them; none are those that this kind of CPU has.
        shared: whether also what all neurons share: the list of freed blocks, spikes as bits.
        more: other sources that `snn4.kernels.build.library` is asked for, by label.

    Returns:
        The names of the shared objects.

    Raises:
        MissingLibraryError: there is no compiler.
        BuildError: it refused a source.
    """
    found = compiler.find_compiler()
    if found is None:
        raise MissingLibraryError("kernels cannot be compiled ahead", "a C++ compiler", "Install g++.")
    arm = platform.machine() in ("aarch64", "arm64")
    levels = tuple(levels) or (("armv8-a",) if arm else ("x86-64-v3", "x86-64-v4"))
    folder.mkdir(parents=True, exist_ok=True)
    sources: dict[str, tuple[str, tuple[str, ...]]] = {}
    if shared:
        sources |= {blocks.SOURCE: ("memory pool", blocks.FLAGS), SPIKES: ("spikes as bits", ())}
    sources |= {source: (label, ()) for label, source in (more or {}).items()}
    for neuron in neurons:
        source = _source(neuron)
        if source is not None:
            sources[source] = type(neuron).__name__, ()
    sums: dict[str, str] = {}
    for source, (label, flags) in sources.items():
        for level in levels:
            options = (*compiler.level_flags(found, level), *flags)
            binary = compiler.compiled(source, label, found, options, folder / "source")
            name = build.prebuilt_name(source, level, flags)
            sums[name] = hashlib.sha256(binary).hexdigest()
            with atomic(folder / name) as file:
                file.write(binary)
    (folder / "source.cpp").unlink(missing_ok=True)
    write_json(folder / "index.json", {"format": build.FORMAT, "sha256": sums})
    return sorted(sums)


def _source(neuron: Neuron) -> str | None:
    """The C++ of a neuron's kernels, those that `use(backward="auto")` takes."""
    try:
        traced = traced_step(neuron, identity(neuron), (8,), torch.float32)
    except Refused:
        return None
    if isinstance(traced, str):
        return None
    return Plan(traced, type(neuron).__name__, torch.float32).source(kernel("auto"))
