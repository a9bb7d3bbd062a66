"""One safetensors file that holds tensors and JSON together: it is there whole, or it is not read.

The JSON stands in the file's own header, so that one rename replaces both. A checksum over both finds what the
format itself does not: a changed byte among the numbers.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import CheckpointError
from snn4.core.files import atomic
from snn4.core.optional import need

__all__ = ["read", "write"]

SCHEMA = 1


def _checksum(tensors: Mapping[str, Tensor], about: str) -> str:
    total = zlib.crc32(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def write(
    path: str | os.PathLike[str],
    kind: str,
    tensors: Mapping[str, Tensor],
    about: Mapping[str, Any],
    *,
    keep: bool = False,
) -> None:
    """Write tensors and JSON as one unit.

    Args:
        path: the file; a reader sees the old one or the new one, never a part.
        kind: what the file is, checked by `read`: `"checkpoint"`, `"weights"`.
        tensors: on any device; tensors that share memory are written apart.
        about: what JSON can hold.
        keep: whether the file that stands there goes on as `previous(path)`.

    Raises:
        StorageError: the folder cannot be written or the disk is full; what stood at `path` still stands there.
    """
    whole = {name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(about, allow_nan=False)
    header = {"kind": kind, "schema": str(SCHEMA), "about": text, "checksum": _checksum(whole, text)}
    content: bytes = need("safetensors.torch", "to write weights").save(whole, header)
    with atomic(path) as file:
        file.write(content)
        # a full disk shows itself here, before anything that stands is touched
        file.flush()
        if keep:
            _keep(Path(path))


def previous(path: str | os.PathLike[str]) -> Path:
    """Where the file goes that `path` takes the place of.

    Example:
        >>> previous("run/snn.checkpoint.safetensors").name
        'snn.checkpoint.previous.safetensors'
    """
    path = Path(path)
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _keep(path: Path) -> None:
    """Give the file that stands at `path` a second name, so that at no moment either name is without a whole file."""
    if not path.exists():
        return
    try:
        second = path.with_name(f".{path.name}.second.partial")
        second.unlink(missing_ok=True)
        second.hardlink_to(path)
        second.replace(previous(path))
    except OSError:
        # a file system without hard links
        with atomic(previous(path)) as file:
            file.write(path.read_bytes())


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote: tensors on the CPU, and the JSON.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind or of another version.
    """
    path = Path(path)
    library = need("safetensors", "to read weights")
    try:
        # a copy of each tensor, because the file's own memory is neither aligned nor ours
        with library.safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as cause:
        raise CheckpointError(f"there is no file {path}", f"a {kind} file", "Check the path.") from cause
    except (OSError, library.SafetensorError) as cause:
        raise _damaged(path, kind, f"cannot be read as safetensors ({cause})") from cause
    if header.get("kind") != kind:
        came = (
            f"a file of kind {header['kind']!r}" if "kind" in header else "a safetensors file that snn4 did not write"
        )
        raise CheckpointError(f"{path} is {came}", f"a {kind} file", "Check the path.")
    if header.get("schema") != str(SCHEMA):
        raise CheckpointError(
            f"{path} is a {kind} file of version {header.get('schema')}",
            f"version {SCHEMA}",
            "Read it with the release of snn4 that wrote it, or start again in another folder.",
        )
    if header.get("checksum") != _checksum(tensors, header.get("about", "")):
        raise _damaged(path, kind, "has changed since it was written: its checksum is another")
    return tensors, json.loads(header["about"])


def _damaged(path: Path, kind: str, how: str) -> CheckpointError:
    before = previous(path)
    advice = (
        f"The one before it is still there, {before.name}: delete the damaged file to go on from that one."
        if before.exists()
        else "Delete it and start again, or restore it from a copy."
    )
    return CheckpointError(f"{path} {how}", f"a whole {kind} file", advice)
