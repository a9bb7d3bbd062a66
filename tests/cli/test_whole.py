"""The real commands on the smallest real run, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import snn4 as snn4_package

SOURCE = Path(snn4_package.__file__).parents[1]
CODE = """
import sys
from snn4.cli import main
for line in sys.argv[1:]:
    code = main(line.split())
    print(f"exit {code}", flush=True)
"""
LINES = [
    "run digits --smoke --seed 3 --out first --json --quiet",
    "eval first --json",
    "profile first",
    "resume first --json --quiet",
    "report first --lang ja",
    "run digits --smoke --out first",
    "run digits --neuron.tau 0.1",
    "run digits --smoke --out cut --quiet --minutes 1e-6",
    "pack cut cut-parts --mib 0.05 --count 20",
    "unpack cut-parts moved",
    "resume moved --quiet",
    "pack moved moved-parts",
    "run digits --small",
]


def test_every_command_on_one_run(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *LINES], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("exit ")
    codes = [part.splitlines()[0] for part in parts[1:]]
    assert codes == [*"0000022300002"], done.stderr
    assert "snn4: --small is given for digits" in done.stderr
    assert "Go on with: snn4 resume moved" in parts[9]
    whole, moved = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "moved"))
    assert len(whole) == len(moved)
    ran, evaluated, profiled, resumed, reported, *_ = (
        "\n".join(part.splitlines()[k > 0 :]) for k, part in enumerate(parts)
    )

    result = json.loads(ran.splitlines()[-1])
    assert (result["recipe"], result["seed"], result["steps"]) == ("digits", 3, 2)
    for model in ("snn", "ann", "ann_quantised"):
        wanted = {"test_accuracy", "val_accuracy", "parameters", "energy_pj", "latency_ms", "train_seconds"}
        assert wanted <= set(result[model])
        assert all(low <= high for low, high in result[model]["energy_pj"].values())
    assert {"spikes_per_sample", "synops_per_sample", "firing_rate", "accuracy_by_step"} <= set(result["snn"])

    # the weights that were kept are those that were tested
    again = json.loads(evaluated.splitlines()[-1])
    assert {name: again[name]["test_accuracy"] for name in again} == {
        name: result[name]["test_accuracy"] for name in ("snn", "ann", "ann_quantised")
    }
    once_more = json.loads(resumed.splitlines()[-1])
    assert once_more == json.loads((tmp_path / "first/result.json").read_text())
    assert once_more["snn"]["test_accuracy"] == result["snn"]["test_accuracy"]
    assert "energy" in profiled.lower()
    assert reported.strip() == "first/report.html"
    assert '<html lang="ja"' in (tmp_path / "first/report.html").read_text(encoding="utf-8")

    assert "--out first holds a run already" in done.stderr
    assert "tau=0.1" in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
    assert "Traceback" not in done.stderr
