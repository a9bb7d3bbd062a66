"""A recipe that trains nothing, so that the command line is tested alone."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from snn4.cli import main


@dataclasses.dataclass(frozen=True)
class FakeNeuron:
    """The neuron's options."""

    tau: float = 2.0
    """Time constant in steps."""


@dataclasses.dataclass(frozen=True)
class FakeConfig:
    """The recipe's options."""

    seed: int = 0
    """Of every random number."""
    epochs: int = 3
    """Passes over the training split."""
    batch_size: int = 8
    augment: bool = True
    neuron: FakeNeuron = FakeNeuron()


MODEL = {
    "test_accuracy": 0.975,
    "val_accuracy": 0.98,
    "parameters": 12345,
    "bytes": 2048,
    "steps": 8,
    "energy_pj": {"compute": [1500.0, 3000.0], "with_memory": [4000.0, 90000.0]},
    "latency_ms": 1.25,
    "train_seconds": 12.0,
}


@dataclasses.dataclass
class FakeRecipe:
    name: str = "fake"
    title: str = "A recipe that trains nothing"
    config: type = FakeConfig
    expected: dict[str, Any] = dataclasses.field(default_factory=dict)
    experiment: Any = "a comparison"
    error: BaseException | None = None
    calls: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def smoke(self) -> FakeConfig:
        return FakeConfig(epochs=1)

    def main(self, config: FakeConfig, out: Path, **rest: Any) -> dict[str, Any]:
        self.calls.append({"config": config, "out": out, **rest})
        (out / "config.json").write_text(json.dumps({"recipe": self.name, "config": dataclasses.asdict(config)}))
        if self.error is not None:
            raise self.error
        print("a line of the training itself")
        (out / "report.html").write_text("<html>")
        result = {"schema": 1, "recipe": self.name, "title": self.title, "seed": config.seed, "steps": 8}
        return {**result, "snn": MODEL | {"spikes_per_sample": 321.0}, "ann": MODEL | {"steps": 1}}


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeRecipe:
    """The only recipe there is; the working directory is empty."""
    fake = FakeRecipe()

    def read_config(folder: Path) -> tuple[FakeRecipe, FakeConfig]:
        stored = json.loads((folder / "config.json").read_text())["config"]
        return fake, FakeConfig(**stored | {"neuron": FakeNeuron(**stored["neuron"])})

    def evaluate_folder(folder: Path, data: Path | None, download: bool) -> dict[str, Any]:
        return {"folder": str(folder), "data": str(data), "download": download, "snn": {"test_accuracy": 0.5}}

    recipes = types.ModuleType("snn4.recipes")
    vars(recipes).update(names=lambda: ["fake"], get={"fake": fake}.__getitem__)
    common = types.ModuleType("snn4.recipes.common")
    vars(common).update(
        read_config=read_config,
        evaluate_folder=evaluate_folder,
        study_result=lambda folder: None,
        report_folder=lambda folder, lang: f"{folder}/report.html in {lang}",
        profile_folder=lambda folder, data, download: f"profile of {folder}, {data}, {download}",
    )
    monkeypatch.setitem(sys.modules, "snn4.recipes", recipes)
    monkeypatch.setitem(sys.modules, "snn4.recipes.common", common)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return fake


@dataclasses.dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def snn4(capsys: pytest.CaptureFixture[str]):
    """Runs a command line as a user would type it."""

    def command(line: str) -> Answer:
        capsys.readouterr()
        code = main(line.split())
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return command
