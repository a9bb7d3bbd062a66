"""A run folder made by hand: no network is trained to test what is written about it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

CONV = "Conv(1, 32, 3) BN {0} - Conv(32, 64, 3) BN {0} - Linear(1024, 128) {0} - Linear(128, 10)"
CLASSES = [str(digit) for digit in range(10)]
LAYERS = ["2", "5", "8"]


def _energy(factor: float, formats: list[str]) -> dict[str, Any]:
    """Seven models a number format, in the shape that the profiler writes."""
    names = [
        ("compute {}", 1.0, False),
        ("compute {}, zeros skipped", 0.8, False),
        ("compute {}, every step", 1.5, False),
        ("compute {}, every step, neuron updates", 2.1, False),
        ("with memory {}, published", 9.0, True),
        ("with memory {}, no reuse", 14.0, True),
        ("with memory {}, full reuse", 4.0, True),
    ]
    models = [
        {
            "name": name.format(kind),
            "pj": factor * weight * (1.0 if k == 0 else 0.6),
            "memory": memory,
            "assumes": f"45 nm, {kind}; an assumption of {name.format(kind)}",
        }
        for k, kind in enumerate(formats)
        for name, weight, memory in names
    ]
    ends = {
        kind: [m["pj"] for m in models if m["memory"] == memory]
        for kind, memory in (("compute", False), ("with_memory", True))
    }
    return {"energy_pj": {kind: [min(pj), max(pj)] for kind, pj in ends.items()}, "energy_models": models}


def _layers(spiking: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number in (0, 3, 6):
        rows.append(
            {
                "name": str(number),
                "kind": "synapses",
                "type": "Conv2d",
                "weights": 288 * (number + 1),
                "input_rate": 0.21,
                "macs": 18432.0,
                "acs": 5012.25,
            }
        )
        if spiking:
            rows.append(
                {
                    "name": str(number + 2),
                    "kind": "spiking",
                    "type": "LIF",
                    "neurons": 512,
                    "firing_rate": 0.124,
                    "spikes": 507.3,
                    "state_bytes": 2048,
                }
            )
    return rows


def result() -> dict[str, Any]:
    """A complete result.json."""
    return {
        "schema": 1,
        "recipe": "digits",
        "title": "Handwritten digits, 8 x 8",
        "seed": 0,
        "steps": 8,
        "command": "snn4 run digits --seed 0",
        "data": {
            "name": "digits",
            "train": 1221,
            "validation": 216,
            "test": 360,
            "classes": CLASSES,
            "licence": "CC BY 4.0",
            "about": "Handwritten digits of 8 x 8 pixels in 17 grey levels, from the UCI repository.",
        },
        "snn": {
            "architecture": CONV.format("LIF") + " LI",
            "test_accuracy": 0.9722,
            "val_accuracy": 0.9815,
            "parameters": 151242,
            "bytes": 604968,
            "steps": 8,
            **_energy(310_000.0, ["fp32", "int32"]),
            "latency_ms": 3.42,
            "latency_ms_p95": 4.06,
            "train_seconds": 84.2,
            "epochs": 12,
            "macs_per_sample": 147456.0,
            "acs_per_sample": 402113.6,
            "dense_macs_per_sample": 11_403_264.0,
            "membrane_updates_per_sample": 9216.5,
            "bits": {"weights": 32, "activations": 32},
            "layers": _layers(spiking=True),
            "notes": ["softmax was not counted"],
            "spikes_per_sample": 1843.25,
            "synops_per_sample": 398_220.0,
            "firing_rate": {"2": 0.124, "5": 0.087, "8": 0.051},
            "mean_firing_rate": 0.0931,
            "silent_share": {"2": 0.031, "5": 0.12, "8": 0.34},
            "saturated_share": {"2": 0.004, "5": 0.0, "8": 0.0},
            "accuracy_by_step": [0.4306, 0.7833, 0.9083, 0.9472, 0.9611, 0.9667, 0.9694, 0.9722],
        },
        "ann": {
            "architecture": CONV.format("ReLU"),
            "test_accuracy": 0.9861,
            "val_accuracy": 0.9861,
            "parameters": 151242,
            "bytes": 604968,
            "steps": 1,
            **_energy(4_900_000.0, ["fp32", "int32"]),
            "latency_ms": 0.61,
            "latency_ms_p95": 0.72,
            "train_seconds": 11.8,
            "epochs": 12,
            "macs_per_sample": 812_000.0,
            "acs_per_sample": 0.0,
            "dense_macs_per_sample": 1_425_408.0,
            "membrane_updates_per_sample": 0.0,
            "bits": {"weights": 32, "activations": 32},
            "layers": _layers(spiking=False),
        },
        "ann_quantised": {
            "architecture": CONV.format("QuantReLU"),
            "test_accuracy": 0.9806,
            "val_accuracy": 0.9815,
            "parameters": 151242,
            "bytes": 151818,
            "steps": 1,
            **_energy(340_000.0, ["int8"]),
            "latency_ms": 0.74,
            "latency_ms_p95": 0.9,
            "train_seconds": 13.1,
            "epochs": 12,
            "macs_per_sample": 790_112.0,
            "acs_per_sample": 0.0,
            "dense_macs_per_sample": 1_425_408.0,
            "membrane_updates_per_sample": 0.0,
            "bits": {"weights": 8, "activations": 4},
            "layers": _layers(spiking=False),
        },
        "expected": {"snn": {"test_accuracy": 0.97}},
        "environment": {"python": "3.11.7"},
    }


def metrics() -> list[dict[str, Any]]:
    """Rows of metrics.jsonl for three models and twelve epochs."""
    rows: list[dict[str, Any]] = []
    for offset, model in enumerate(("snn", "ann", "ann_quantised")):
        for epoch in range(1, 13):
            left = 0.8 * 0.62**epoch + 0.006 * (3 - offset)
            rows.append(
                {
                    "model": model,
                    "epoch": epoch,
                    "step": 10 * epoch,
                    "train_loss": 2.2 * left,
                    "train_accuracy": 1 - 0.7 * left,
                    "val_loss": 2.5 * left + 0.03,
                    "val_accuracy": 1 - left - 0.01,
                    "learning_rate": 1e-3,
                    "seconds": 1.5 * epoch,
                }
            )
    return rows


def tensors() -> dict[str, np.ndarray[Any, Any]]:
    """A complete pictures.safetensors."""
    rng = np.random.default_rng(0)
    image = np.zeros((1, 8, 8), dtype=np.float32)
    image[0, 1:7, 2:6] = [
        [0, 1, 1, 0],
        [1, 0.2, 0, 1],
        [0, 0, 0.7, 1],
        [0, 0.8, 1, 0.1],
        [0.3, 1, 0.1, 0],
        [1, 1, 1, 1],
    ]
    made: dict[str, np.ndarray[Any, Any]] = {
        "sample/image": image,
        "sample/label": np.array(2, dtype=np.int64),
        "sample/prediction": np.array(2, dtype=np.int64),
    }
    for layer, rate in zip(LAYERS, (0.124, 0.087, 0.051), strict=True):
        made[f"raster/{layer}"] = (rng.random((8, 200)) < rate).astype(np.uint8)
        inputs = rng.normal(0.35, 0.35, (8, 6)).astype(np.float32)
        membrane, spikes, v = [], [], np.zeros(6, dtype=np.float32)
        for x in inputs:
            v = 0.5 * v + x
            membrane.append(v)
            spikes.append((v >= 1).astype(np.uint8))
            v = v - spikes[-1]
        made[f"membrane/{layer}"] = np.stack(membrane).astype(np.float32)
        made[f"spikes/{layer}"] = np.stack(spikes)
        made[f"threshold/{layer}"] = np.array(1.0, dtype=np.float32)
    for layer in ("0", "3", "6", "9"):
        counts, edges = np.histogram(rng.normal(0, 0.1 + 0.02 * int(layer), 4000), 50)
        made[f"weights/{layer}/counts"], made[f"weights/{layer}/edges"] = (
            counts.astype(np.float32),
            edges.astype(np.float32),
        )
    output = rng.normal(0, 0.25, (8, 10)).cumsum(axis=0)
    output[:, 2] = np.linspace(0.2, 3.1, 8)
    made["output"] = output.astype(np.float32)
    for model, wrong in (("snn", 10), ("ann", 5), ("ann_quantised", 7)):
        confusion = np.diag(np.full(10, 36))
        for true, predicted in rng.integers(0, 10, (wrong, 2)).tolist():
            confusion[true, true] -= 1
            confusion[true, predicted if predicted != true else (true + 1) % 10] += 1
        made[f"confusion/{model}"] = confusion.astype(np.int64)
    return made


def write(
    folder: Path,
    *,
    change: Callable[[dict[str, Any]], object] | None = None,
    change_tensors: Callable[[dict[str, Any]], object] | None = None,
    without: tuple[str, ...] = (),
) -> Path:
    """Write the folder: `change` edits result.json, `change_tensors` the pictures, `without` names files to omit."""
    folder.mkdir(parents=True, exist_ok=True)
    content, pictures = copy.deepcopy(result()), tensors()
    if change is not None:
        change(content)
    if change_tensors is not None:
        change_tensors(pictures)
    texts = {
        "result.json": json.dumps(content),
        "config.json": json.dumps(
            {
                "recipe": "digits",
                "seed": 0,
                "steps": 8,
                "neuron": {"tau": 2.0, "v_threshold": 1.0},
                "fit": {
                    "epochs": 12,
                    "batch_size": 128,
                    "optimiser": "adamw",
                    "learning_rate": 1e-3,
                    "weight_decay": 0.01,
                },
            }
        ),
        "metrics.jsonl": "".join(json.dumps(row) + "\n" for row in metrics()),
        "environment.json": json.dumps(
            {
                "python": "3.11.7",
                "torch": "2.13.0",
                "snn4": "0.1.0",
                "platform": "Linux x86_64",
                "cpu": "generic, 2 cores",
            }
        ),
    }
    for name, text in texts.items():
        if name not in without:
            (folder / name).write_text(text, encoding="utf-8")
    if "pictures.safetensors" not in without:
        save_file(pictures, folder / "pictures.safetensors")
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of one complete run folder, by language; drawn once, because drawing takes most of the time."""
    from snn4.view import write_report

    folder = write(tmp_path_factory.mktemp("whole") / "run")
    return {lang: write_report(folder, lang=lang).rename(folder / f"{lang}.html") for lang in ("ja", "en")}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are laid out but not rendered, for tests of words and numbers."""
    from snn4.view.report import figures

    monkeypatch.setattr(figures, "data_uri", lambda figure: "data:,")


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """`run_folder(change=..., without=...)` writes a run folder and returns it."""
    return lambda **options: write(tmp_path / "run", **options)
