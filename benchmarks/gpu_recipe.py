"""Train a recipe on a GPU that is there for minutes, call by call: one command does all of a call.

    python benchmarks/gpu_recipe.py cifar10_resnet19_lsg --set networks=snn --minutes 8 --to OUT
    python benchmarks/gpu_recipe.py cifar10_resnet19_lsg --from OUT --minutes 8 --to OUT2        # goes on
    python benchmarks/gpu_recipe.py cifar10_resnet19_lsg --dry --to OUT                          # no GPU: seconds

A call unpacks what the one before has left in parts (`--from`), compares the recipe's neuron as a kernel with the loop
over its own step, trains until the minutes are over or the run is finished, and packs the run folder (`--to`). Only a
neuron that agrees is trained by kernels; else the loop trains, and the line at the end says so. That line is JSON: how
far the run is, and once it is finished accuracy, wall time and images a second, which also stand in its result.json.

Needs no network and no command line of snn4: torch, numpy, jaxtyping, safetensors, matplotlib, and triton for kernels.
`--set` changes options as `snn4 run` has them: steps=6, epochs=300, train.cutout=16, train.learning_rate=0.05.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from snn4.core.errors import OptionError
from snn4.kernels import triton_kernel, use
from snn4.recipes import get
from snn4.recipes.common import read_config, rebuilt
from snn4.training import OutOfTime, time_limit
from snn4.training.parts import pack, unpack

SHAPE = (5, 33, 7, 9)


def replaced(options: Any, path: Sequence[str], value: Any) -> Any:
    """Options with one of them changed, however deep it lies."""
    head, *rest = path
    if head not in {field.name for field in dataclasses.fields(options)}:
        raise OptionError(f"--set got {head}", f"an option of {type(options).__name__}")
    if rest:
        value = replaced(getattr(options, head), rest, value)
    return dataclasses.replace(options, **{head: tuple(value) if isinstance(value, list) else value})


def changed(config: Any, words: Sequence[str]) -> Any:
    """Options with `name=value` applied; a value is JSON, or else a word."""
    for word in words:
        name, _, text = word.partition("=")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        config = replaced(config, name.split("."), value)
    # a word that is none of those allowed is found here, and not by the next call
    return rebuilt(type(config), dataclasses.asdict(config))


def agrees(config: Any) -> str:
    """Whether this recipe's neuron is, as a kernel on this GPU, what its loop is: "kernels", or why not."""
    draw = torch.Generator("cuda").manual_seed(0)
    xs = torch.randn(SHAPE, generator=draw, device="cuda").mul_(0.8).add_(0.3)
    weight = torch.randn(SHAPE, generator=draw, device="cuda")
    found: list[list[torch.Tensor]] = []
    for way in ("triton", "reference"):
        neuron, leaf = config.neuron.factory(SHAPE[0])().to("cuda"), xs.clone().requires_grad_()
        try:
            with use(way):
                ys = neuron(leaf)
        except OptionError as reason:
            return f"the loop: {reason}"
        (ys * weight).sum().backward()
        found.append([ys, leaf.grad, *(p.grad for p in neuron.parameters())])
    for mine, loop in zip(*found, strict=True):
        gap = (mine.double() - loop.double()).norm() / loop.double().norm().clamp_min(1e-30)
        if not gap < 1e-5:
            return f"the loop: as a kernel, the neuron differs from it by {float(gap):.1e}"
    return "kernels"


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """One call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--run", type=Path, default=Path("gpu-run"), help="the run folder")
    parser.add_argument("--from", dest="source", type=Path, help="parts of a call before; left alone where --run is")
    parser.add_argument("--to", type=Path, required=True, help="a new folder for the parts")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training; reading and testing come on top")
    parser.add_argument("--mib", type=float, default=16.0, help="the size of one part, at most")
    parser.add_argument("--count", type=int, default=8, help="the number of parts, at most")
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="options of a new run")
    parser.add_argument("--dry", action="store_true", help="the tiny run of seconds, on the CPU")
    options = parser.parse_args(words)
    recipe = get(options.recipe)
    goes_on = (options.run / "config.json").is_file()
    if not goes_on and options.source is not None:
        sys.stdout.write(f"{unpack(options.source, options.run)}\n")
        goes_on = True
    if goes_on:
        recipe, config = read_config(options.run)
    else:
        config = changed(recipe.smoke() if options.dry else recipe.config(), options.set)
        options.run.mkdir(parents=True, exist_ok=True)
    how = "the CPU" if options.dry else agrees(config)
    # for this process alone: what is checked for everybody stands in that file
    triton_kernel._CHECKED = triton_kernel._CHECKED or how == "kernels"
    found: dict[str, Any] = {"recipe": recipe.name, "finished": False, "neurons": how}
    began = time.monotonic()
    try:
        with time_limit(options.minutes):
            result = recipe.main(
                config, out=options.run, resume=goes_on, progress=True, lang="en", data=options.data, download=False
            )
        found["finished"] = True
        keys = ("test_accuracy", "val_accuracy", "epochs", "train_seconds", "samples_per_second", "device")
        found["networks"] = {
            name: {key: result[name][key] for key in keys} for name in ("snn", "ann", "ann_quantised") if name in result
        }
    except OutOfTime:
        rows = (options.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        found["last_epoch"] = json.loads(rows[-1]) if rows else None
    found["seconds_of_this_call"] = round(time.monotonic() - began, 1)
    packed = pack(options.run, options.to, mib=options.mib, count=options.count)
    found |= {"parts": len(packed.parts), "mib": round(packed.bytes / 2**20, 1), "changed": list(packed.changed)}
    sys.stdout.write(f"{json.dumps(found)}\n")
    return found


if __name__ == "__main__":
    main()
