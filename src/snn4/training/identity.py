"""What makes a run the run it is: a checkpoint is for the run that agrees with it in all of this."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from typing import Any

import torch

from snn4.core.errors import OptionError
from snn4.core.quantity import Quantified
from snn4.data import Split
from snn4.surrogates import Dspike
from snn4.through_time import Neuron
from snn4.training.task import FitConfig
from snn4.training.weights import state_of

__all__ = ["differences", "identity_of"]

# options that change what is written and said, or where numbers are computed, and not what is trained
_FREE = ("checkpoint_seconds", "checkpoint_steps", "alarms", "device")


def identity_of(
    net: torch.nn.Module,
    train: Split,
    val: Split,
    config: FitConfig,
    seed: int,
    name: str,
    more: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Name, seed, options, network, data and whatever else the caller says, as JSON.

    Raises:
        OptionError: `more` is not JSON.
    """
    tensors, _ = state_of(net)
    identity = {
        "name": name,
        "seed": seed,
        "config": {key: value for key, value in dataclasses.asdict(config).items() if key not in _FREE},
        "net": {key: f"{t.dtype} {tuple(t.shape)}".removeprefix("torch.") for key, t in tensors.items()},
        "settings": {path: found for path, m in net.named_modules() if (found := _settings(m))},
        "routes": sorted({str(m.route) for m in net.modules() if isinstance(m, Neuron)}),
        "frozen": [key for key, p in net.named_parameters() if not p.requires_grad],
        "data": {"train": _fingerprint(train), "validation": _fingerprint(val)},
        "recipe": more or {},
    }
    try:
        # as it will look when it is read again: tuples are lists
        return json.loads(json.dumps(identity, allow_nan=False))
    except (TypeError, ValueError) as cause:
        raise OptionError(f"fit got an identity that JSON cannot hold ({cause})", "JSON", "Leave that out.") from cause


def _settings(module: torch.nn.Module) -> dict[str, Any]:
    """What a neuron or surrogate is, and was told; not what training changes: tensors, and a searched temperature."""
    if not isinstance(module, Quantified):
        return {}
    searched = {"b"} if isinstance(module, Dspike) else set[str]()
    plain = {
        name: value.hex() if isinstance(value, float) else value
        for name, value in vars(module).items()
        if type(value) in (bool, int, float, str, type(None)) and name[0] != "_" and name not in searched | {"training"}
    }
    return {"kind": type(module).__name__, **plain}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Where two identities differ, each as a phrase.

    Example:
        >>> differences({"seed": 0, "config": {"epochs": 3}}, {"seed": 0, "config": {"epochs": 4}})
        ['config.epochs 3 there, 4 here']
    """
    theirs, mine = _flat(there), _flat(here)
    return [
        f"{key} {theirs.get(key, 'nothing')!r} there, {mine.get(key, 'nothing')!r} here"
        for key in dict.fromkeys([*mine, *theirs])
        if mine.get(key) != theirs.get(key)
    ]


def _flat(value: object, path: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted names."""
    if not isinstance(value, Mapping):
        return {path: value}
    flat: dict[str, object] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{path}.{key}" if path else str(key))
    return flat


def _fingerprint(split: Split) -> str:
    """Tells splits apart by size, all targets and a few samples."""
    some = torch.linspace(0, len(split) - 1, min(len(split), 64)).long()
    total = zlib.crc32(split.targets.cpu().numpy().tobytes())
    total = zlib.crc32(split.inputs[some.to(split.inputs.device)].cpu().numpy().tobytes(), total)
    return f"{len(split)} samples {tuple(split.inputs.shape[1:])} {total:08x}"
