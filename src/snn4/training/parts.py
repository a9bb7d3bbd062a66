"""A run folder as a few files of limited size, for machines that let only such come and go.

    run folder -> one safetensors image of all its files -> parts of at most so many bytes -> the same run folder

Every part holds the sha256 of all, so that each can be checked and a missing one be named. A run that is not finished
travels with its checkpoints, a finished one with its weights; of a network whose training is over, the best weights are
all that is kept. Where that is too much, the other checkpoints are made smaller, in steps, and only as far as they
must: first the best weights so far are rounded to bfloat16, which changes nothing that is still trained, then the
optimiser's state, then the moving average; then the best weights stay behind; last the weights themselves are rounded.
Vectors, those of norms among them, are never rounded. Pack and unpack say which of this was done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import CheckpointError, StorageError
from snn4.core.files import atomic, make_folder
from snn4.core.optional import need
from snn4.training import tensorfile
from snn4.training.checkpoint import KIND

__all__ = ["Packed", "pack", "unpack"]

MIB, SCHEMA = 2**20, "1"
_SUFFIX, _PREVIOUS = ".checkpoint.safetensors", ".checkpoint.previous.safetensors"
_RUN, _RESULT = "config.json", "result.json"
# what is done to a checkpoint, one after the other, until it fits: what it costs, in words
_STEPS = (
    ("best", "the best weights so far are rounded to bfloat16; they count where no epoch to come is better"),
    ("optimiser", "the optimiser's state is rounded to bfloat16: the run goes on, but no longer bit for bit"),
    ("average", "the moving average of the weights is rounded to bfloat16"),
    ("", "the best weights so far stay behind: the best of the epochs to come is kept"),
    ("net", "the weights are rounded to bfloat16"),
)

Image = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Packed:
    """What `pack` has written, or `unpack` has read.

    Args:
        parts: the files.
        bytes: of all of them together.
        changed: what is not as it was in the run folder, in words; nothing, where the list is empty.
    """

    parts: tuple[Path, ...]
    bytes: int
    changed: tuple[str, ...]

    def __str__(self) -> str:
        size = f"{len(self.parts)} {'part' if len(self.parts) == 1 else 'parts'}, {self.bytes / MIB:.1f} MiB"
        return "\n".join([size, *(f"  {words}" for words in self.changed)])


def pack(folder: str | os.PathLike[str], out: str | os.PathLike[str], *, mib: float = 16.0, count: int = 8) -> Packed:
    """Write a run folder as parts; the folder stays as it is.

    Args:
        folder: the run folder.
        out: a folder that is new or empty.
        mib: the size of one part, at most.
        count: the number of parts, at most.

    Raises:
        CheckpointError: no run folder, or a checkpoint that is damaged.
        StorageError: `out` holds something or cannot be written, or the run does not fit into so many parts.
    """
    folder, out = Path(folder), Path(out)
    if not (folder / _RUN).is_file():
        raise CheckpointError(f"{folder} holds no {_RUN}", "a run folder", "Make a run with: snn4 run digits")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} is not empty", "a folder that is new or empty", "Choose another one.")
    # beside the bytes, a part holds a header with the hash of every part
    room = int(mib * MIB) - 512 - 80 * count
    if room < 1 or count < 1:
        raise StorageError(f"parts are to be {count} of {mib:g} MiB", "at least one, of 0.01 MiB or more")
    found = _collect(folder)
    level = 0
    content, changed = _image(found, level)
    while len(content) > room * count and level < len(_STEPS):
        level += 1
        content, changed = _image(found, level)
    if len(content) > room * count:
        raise StorageError(
            f"{folder} needs {len(content) / MIB:.1f} MiB, rounded as far as possible",
            f"at most {count} parts of {mib:g} MiB",
            "Allow more or larger parts, or train one network in a run: --networks snn.",
        )
    pieces = [content[k : k + room] for k in range(0, len(content), room)]
    hashes = [hashlib.sha256(piece).hexdigest() for piece in pieces]
    make_folder(out)
    paths: list[Path] = []
    for n, piece in enumerate(pieces):
        header = {"kind": "part", "schema": SCHEMA, "number": str(n + 1), "hashes": json.dumps(hashes)}
        paths.append(out / _name(n + 1, len(pieces)))
        with atomic(paths[-1]) as file:
            file.write(need("safetensors.torch", "to write parts").save({"bytes": _bytes(piece)}, header))
    return Packed(tuple(paths), sum(path.stat().st_size for path in paths), changed)


def unpack(parts: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Packed:
    """Make the run folder again that `pack` was given, after a check of every part.

    Nothing is written unless all parts are there and whole. `snn4 resume` then goes on with the run.

    Args:
        parts: the folder with the parts.
        folder: the run folder, new or empty.

    Raises:
        CheckpointError: a part is missing or damaged, or parts of several runs lie together; each is named.
        StorageError: `folder` holds something, or cannot be written.
    """
    parts, folder = Path(parts), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"{folder} is not empty", "a folder that is new or empty", "Choose another one.")
    paths, content = _joined(parts)
    library = need("safetensors.torch", "to read parts")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    about, image = json.loads(header["about"]), library.load(content)
    make_folder(folder)
    # the file that makes it a run folder comes last
    for name in sorted(about["files"], key=lambda name: name == _RUN):
        path = folder / _inside(name, parts)
        make_folder(path.parent)
        if about["files"][name] is None:
            with atomic(path) as file:
                file.write(image[name].numpy().tobytes())
            continue
        tensors = {key.partition("|")[2]: t for key, t in image.items() if key.startswith(f"{name}|")}
        dtypes = about["dtypes"].get(name, {})
        whole = {key: t.to(getattr(torch, dtypes[key])) if key in dtypes else t for key, t in tensors.items()}
        if not any(key.startswith("net/") for key in whole):
            whole |= {f"net/{key.removeprefix('best/')}": t for key, t in whole.items() if key.startswith("best/")}
        tensorfile.write(path, KIND, whole, about["files"][name])
    return Packed(tuple(paths), sum(path.stat().st_size for path in paths), tuple(about["changed"]))


def _collect(folder: Path) -> dict[str, Any]:
    """Every file that the run needs, by its place: bytes, or the tensors and the JSON of a checkpoint."""
    finished = (folder / _RESULT).is_file()
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.name.endswith((_SUFFIX, _PREVIOUS)):
            # the one before stands in for a newest one that is gone
            newest = path.with_name(path.name.replace(_PREVIOUS, _SUFFIX))
            if not finished and (path == newest or not newest.exists()):
                found[place.with_name(newest.name).as_posix()] = tensorfile.read(path, KIND)
        elif finished or path.suffix != ".safetensors":  # else the weights are in the checkpoint
            found[place.as_posix()] = path.read_bytes()
    return found


def _image(found: Mapping[str, Any], level: int) -> tuple[bytes, tuple[str, ...]]:
    """All files as one safetensors file, and what had to be changed for it."""
    image: Image = {}
    files: dict[str, Any] = {}
    dtypes: dict[str, dict[str, str]] = {}
    changed: list[str] = []
    for name, content in found.items():
        files[name] = None
        if isinstance(content, bytes):
            image[name] = _bytes(content)
            continue
        whole, files[name] = content[0], dict(content[1])
        tensors: Image = _best_alone(whole) if _over(files[name]) else whole
        for group, words in _STEPS[: 0 if tensors is not whole else level]:
            smaller = _rounded(tensors, group) if group else _without_best(tensors, files[name])
            if not group:
                # what stays behind was not rounded
                changed = [line for line in changed if line != f"{name}: {_STEPS[0][1]}"]
            changed += [f"{name}: {words}"] * (smaller is not tensors)
            tensors = smaller
        dtypes[name] = {key: _short(whole[key]) for key, t in tensors.items() if t.dtype != whole[key].dtype}
        image |= {f"{name}|{key}": tensor for key, tensor in tensors.items()}
    about = json.dumps({"files": files, "dtypes": dtypes, "changed": changed}, allow_nan=False)
    return need("safetensors.torch", "to write parts").save(image, {"about": about}), tuple(changed)


def _over(about: Mapping[str, Any]) -> bool:
    """Whether the training of a checkpoint is over, so that its best weights are all that is still asked for."""
    course, config = about["course"], about["identity"]["config"]
    patience = config["patience"]
    return course["epoch"] >= config["epochs"] or (
        patience is not None and course["epoch"] > 0 and course["epoch"] - course["risen_epoch"] >= patience
    )


def _best_alone(tensors: Image) -> Image:
    """What a training that is over hands on; unpacked, its weights are the best ones."""
    return {key: tensor for key, tensor in tensors.items() if key.startswith(("best/", "random/", "cache/"))}


def _rounded(tensors: Image, group: str) -> Image:
    """The group's weights, and what has their shape, in half of their bytes."""
    wide = [
        key for key, t in tensors.items() if key.startswith(f"{group}/") and t.dtype == torch.float32 and t.ndim > 1
    ]
    return tensors | {key: tensors[key].to(torch.bfloat16) for key in wide} if wide else tensors


def _without_best(tensors: Image, about: dict[str, Any]) -> Image:
    """A checkpoint that has not seen a best epoch yet."""
    if not about["course"]["best_epoch"]:
        return tensors
    about["course"] = about["course"] | {"best_accuracy": -1.0, "best_loss": 0.0, "best_epoch": 0}
    return {key: tensor for key, tensor in tensors.items() if not key.startswith("best/")}


def _joined(folder: Path) -> tuple[list[Path], bytes]:
    """The parts, and the bytes that they hold together, every one checked."""
    library = need("safetensors", "to read parts")
    paths = sorted(folder.glob("part-*-of-*.safetensors"))
    again = f"Copy {folder} again; nothing was written."
    if not paths:
        raise CheckpointError(f"{folder} holds no parts", "part-1-of-N.safetensors and so on", "Check the path.")
    pieces: dict[int, bytes] = {}
    lists: dict[str, Path] = {}
    wrong: list[str] = []
    for path in paths:
        try:
            with library.safe_open(path, framework="pt") as file:
                header: dict[str, str] = file.metadata() or {}
                piece = file.get_tensor("bytes").numpy().tobytes()
            if (header["kind"], header["schema"]) != ("part", SCHEMA):
                raise ValueError(f"kind {header['kind']!r}, version {header['schema']}")
            number, hashes = int(header["number"]), json.loads(header["hashes"])
            if hashlib.sha256(piece).hexdigest() != hashes[number - 1]:
                raise ValueError("its hash is another")
        except (OSError, KeyError, ValueError, IndexError, library.SafetensorError) as cause:
            wrong.append(f"{path.name} is damaged ({cause})")
            continue
        pieces[number] = piece
        lists.setdefault(header["hashes"], path)
    if len(lists) > 1:
        names = " and ".join(path.name for path in lists.values())
        raise CheckpointError(f"{folder} holds parts of several runs ({names})", "the parts of one", again)
    total = len(json.loads(next(iter(lists)))) if lists else 0
    there = {path.name for path in paths}
    wrong += [f"{name} is missing" for n in range(total) if (name := _name(n + 1, total)) not in there]
    if wrong:
        raise CheckpointError(f"{folder}: {'; '.join(wrong)}", "every part, as it was written", again)
    return paths, b"".join(pieces[n + 1] for n in range(total))


def _name(number: int, total: int) -> str:
    return f"part-{number}-of-{total}.safetensors"


def _inside(name: str, origin: Path) -> PurePosixPath:
    """A place within the run folder, whatever the parts say."""
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or ":" in name:
        raise CheckpointError(f"{origin} holds a file named {name!r}", "a place within a run folder", "Do not use it.")
    return place


def _short(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
