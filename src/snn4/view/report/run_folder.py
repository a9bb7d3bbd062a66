"""What a run left behind, read with care: a missing or damaged piece becomes a stated gap, never a guess."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from snn4.core.errors import CheckpointError
from snn4.core.optional import need

__all__ = ["MODELS", "SCHEMA", "EnergyModel", "Gap", "Model", "Range", "Run", "read_run"]

SCHEMA = 1
MODELS = ("snn", "ann", "ann_quantised")

Problem = Literal["missing", "damaged", "lines", "field", "picture"]


@dataclass(frozen=True)
class Gap:
    """A piece that could not be shown.

    Args:
        piece: the file, the field as a path, or the heading of the picture.
        problem: what is the matter with it.
        number: how many lines, for `lines`.
    """

    piece: str
    problem: Problem
    number: int = 0


@dataclass(frozen=True)
class Range:
    """From the lowest to the highest, both included."""

    low: float
    high: float


@dataclass(frozen=True)
class EnergyModel:
    """One way to turn operations into energy, with what it takes for granted."""

    name: str
    pj: Range | None
    memory: bool | None
    assumes: str


@dataclass(frozen=True)
class Model:
    """One of the networks that stand side by side; what the result does not hold is `None`."""

    key: str
    architecture: str | None = None
    test_accuracy: float | None = None
    val_accuracy: float | None = None
    parameters: float | None = None
    bytes: float | None = None
    weight_bits: float | None = None
    activation_bits: float | None = None
    steps: float | None = None
    epochs: float | None = None
    train_seconds: float | None = None
    dense_macs: float | None = None
    macs: float | None = None
    acs: float | None = None
    membrane_updates: float | None = None
    spikes: float | None = None
    synops: float | None = None
    mean_firing_rate: float | None = None
    latency_ms: float | None = None
    latency_ms_p95: float | None = None
    compute: Range | None = None
    with_memory: Range | None = None
    energy_models: tuple[EnergyModel, ...] = ()
    firing_rate: Mapping[str, float] = field(default_factory=dict[str, float])
    silent: Mapping[str, float] = field(default_factory=dict[str, float])
    saturated: Mapping[str, float] = field(default_factory=dict[str, float])
    accuracy_by_step: tuple[float, ...] = ()
    layers: tuple[Mapping[str, str | float], ...] = ()
    notes: tuple[str, ...] = ()
    event_driven: bool = False


@dataclass(frozen=True)
class Run:
    """A run folder as the report sees it."""

    folder: Path
    title: str
    recipe: str
    command: str | None
    seed: float | None
    steps: float | None
    data_name: str | None
    train: int | None
    validation: int | None
    test: int | None
    classes: tuple[str, ...]
    licence: str | None
    about: str | None
    models: Mapping[str, Model]
    expected: Mapping[str, str]
    config: Mapping[str, str]
    environment: Mapping[str, str]
    metrics: tuple[Mapping[str, object], ...]
    tensors: Mapping[str, npt.NDArray[Any]]
    gaps: tuple[Gap, ...]


class _Fields:
    """A JSON object whose fields are asked for by type; a field of another type is noted as damaged."""

    def __init__(self, values: Mapping[str, Any], where: str, gaps: list[Gap]) -> None:
        self.values, self.where, self.gaps = values, where, gaps

    def _bad(self, key: str) -> None:
        self.gaps.append(Gap(f"{self.where}.{key}" if self.where else key, "field"))

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if value is None:
            return None
        found = _number(value)
        if found is None:
            self._bad(key)
        return found

    def share(self, key: str) -> float | None:
        found = self.number(key)
        if found is not None and not 0 <= found <= 1:
            self._bad(key)
            return None
        return found

    def whole(self, key: str) -> int | None:
        found = self.number(key)
        return None if found is None else int(found)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value or None
        self._bad(key)
        return None

    def range(self, key: str) -> Range | None:
        value = self.values.get(key)
        if value is None:
            return None
        single = _number(value)
        ends = [single, single] if single is not None else [_number(v) for v in _list(value)]
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and 0 <= ends[0] <= ends[1]:
            return Range(ends[0], ends[1])
        self._bad(key)
        return None

    def inside(self, key: str) -> _Fields:
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            self._bad(key)
        return _Fields(_object(value), f"{self.where}.{key}" if self.where else key, self.gaps)

    def numbers(self, key: str) -> dict[str, float]:
        """A mapping from name to number."""
        inside = self.inside(key)
        found = {name: inside.number(name) for name in inside.values}
        return {name: value for name, value in found.items() if value is not None}

    def series(self, key: str) -> tuple[float, ...]:
        value = self.values.get(key)
        found = [_number(v) for v in _list(value)]
        if (value is not None and not isinstance(value, list)) or None in found:
            self._bad(key)
            return ()
        return tuple(v for v in found if v is not None)


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: what a recipe wrote.

    Raises:
        CheckpointError: `result.json` is missing, damaged or of another version: without it there is nothing to report.
    """
    gaps: list[Gap] = []
    result = _Fields(_result(folder / "result.json"), "", gaps)
    data = result.inside("data")
    models = {key: _model(key, result.inside(key)) for key in MODELS if isinstance(result.values.get(key), dict)}
    gaps += [Gap(key, "field") for key in MODELS if result.values.get(key) is not None and key not in models]
    environment = _json(folder / "environment.json", gaps)
    return Run(
        folder=folder,
        title=result.text("title") or result.text("recipe") or folder.name,
        recipe=result.text("recipe") or folder.name,
        command=result.text("command"),
        seed=result.number("seed"),
        steps=result.number("steps"),
        data_name=data.text("name"),
        train=data.whole("train"),
        validation=data.whole("validation"),
        test=data.whole("test"),
        classes=tuple(str(name) for name in _list(data.values.get("classes"))),
        licence=data.text("licence"),
        about=data.text("about"),
        models=models,
        expected=flatten(_object(result.values.get("expected"))),
        config=flatten(_json(folder / "config.json", gaps)),
        environment=flatten(environment or _object(result.values.get("environment"))),
        metrics=_metrics(folder / "metrics.jsonl", gaps),
        tensors=_tensors(folder / "pictures.safetensors", gaps),
        gaps=tuple(gaps),
    )


def _result(path: Path) -> dict[str, Any]:
    advice = "Run the recipe again, or name the folder of a run that came to its end."
    try:
        result: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise CheckpointError(f"{path} does not exist", "the result of a run that came to its end", advice) from cause
    except (OSError, ValueError) as cause:
        raise CheckpointError(f"{path} is damaged ({cause})", "a JSON object", advice) from cause
    if not isinstance(result, dict):
        raise CheckpointError(f"{path} holds a {type(result).__name__}", "a JSON object", advice)
    result = cast("dict[str, Any]", result)
    if result.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path} has schema {result.get('schema')!r}",
            f"schema {SCHEMA}",
            "Write the report with the version of snn4 that made the run.",
        )
    if not isinstance(result.get("snn"), dict):
        raise CheckpointError(f"{path} has no entry 'snn'", "what was measured of the SNN", advice)
    return result


def _model(key: str, fields: _Fields) -> Model:
    bits, energy = fields.inside("bits"), fields.inside("energy_pj")
    energy_models: list[EnergyModel] = []
    for number, entry in enumerate(_list(fields.values.get("energy_models"))):
        inside = _Fields(_object(entry), f"{key}.energy_models[{number}]", fields.gaps)
        memory = inside.values.get("memory")
        energy_models.append(
            EnergyModel(
                name=inside.text("name") or f"#{number + 1}",
                pj=inside.range("pj"),
                memory=memory if isinstance(memory, bool) else None,
                assumes=inside.text("assumes") or "",
            )
        )
    return Model(
        key=key,
        architecture=fields.text("architecture"),
        test_accuracy=fields.share("test_accuracy"),
        val_accuracy=fields.share("val_accuracy"),
        parameters=fields.number("parameters"),
        bytes=fields.number("bytes"),
        weight_bits=bits.number("weights"),
        activation_bits=bits.number("activations"),
        steps=fields.number("steps"),
        epochs=fields.number("epochs"),
        train_seconds=fields.number("train_seconds"),
        dense_macs=fields.number("dense_macs_per_sample"),
        macs=fields.number("macs_per_sample"),
        acs=fields.number("acs_per_sample"),
        membrane_updates=fields.number("membrane_updates_per_sample"),
        spikes=fields.number("spikes_per_sample"),
        synops=fields.number("synops_per_sample"),
        mean_firing_rate=fields.number("mean_firing_rate"),
        latency_ms=fields.number("latency_ms"),
        latency_ms_p95=fields.number("latency_ms_p95"),
        compute=_positive(energy.range("compute")),
        with_memory=_positive(energy.range("with_memory")),
        energy_models=tuple(energy_models),
        firing_rate=fields.numbers("firing_rate"),
        silent=fields.numbers("silent_share"),
        saturated=fields.numbers("saturated_share"),
        accuracy_by_step=fields.series("accuracy_by_step"),
        layers=tuple(_scalars(row) for row in _list(fields.values.get("layers")) if isinstance(row, dict)),
        event_driven=fields.values.get("event_driven") is True,
        notes=tuple(note for note in _list(fields.values.get("notes")) if isinstance(note, str)),
    )


def _positive(found: Range | None) -> Range | None:
    """A range that ends at zero comes from no model at all."""
    return found if found is not None and found.high > 0 else None


def _json(path: Path, gaps: list[Gap]) -> dict[str, Any]:
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        gaps.append(Gap(path.name, "missing"))
        return {}
    except (OSError, ValueError):
        gaps.append(Gap(path.name, "damaged"))
        return {}
    if not isinstance(value, dict):
        gaps.append(Gap(path.name, "damaged"))
    return _object(value)


def _metrics(path: Path, gaps: list[Gap]) -> tuple[Mapping[str, object], ...]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        gaps.append(Gap(path.name, "missing"))
        return ()
    except OSError:
        gaps.append(Gap(path.name, "damaged"))
        return ()
    rows: list[dict[str, object]] = []
    for line in filter(None, map(bytes.strip, lines)):
        try:
            row: object = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(cast("dict[str, object]", row))
    lost = sum(1 for line in lines if line.strip()) - len(rows)
    if lost:
        gaps.append(Gap(path.name, "lines", lost))
    return tuple(rows)


def _tensors(path: Path, gaps: list[Gap]) -> Mapping[str, npt.NDArray[Any]]:
    if not path.is_file():
        gaps.append(Gap(path.name, "missing"))
        return {}
    load = need("safetensors.numpy", "to read the pictures of a run").load
    broken = need("safetensors", "to read the pictures of a run").SafetensorError
    try:
        loaded: dict[str, npt.NDArray[Any]] = load(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, broken):
        gaps.append(Gap(path.name, "damaged"))
        return {}
    return {name: np.asarray(value) for name, value in loaded.items()}


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested options as dotted names with plain texts, in their order.

    Example:
        >>> flatten({"fit": {"epochs": 3}, "sizes": [1, 2]})
        {'fit.epochs': '3', 'sizes': '[1, 2]'}
    """
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat |= flatten(cast("dict[str, Any]", inner), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
    return flat


def _number(value: object) -> float | None:
    """A finite number; a whole one stays whole."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) else None


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _scalars(row: Mapping[str, object]) -> dict[str, str | float]:
    """What of a row fits into the cell of a table."""
    return {key: value for key, value in row.items() if isinstance(value, str) or _number(value) is not None}  # pyright: ignore[reportReturnType]
