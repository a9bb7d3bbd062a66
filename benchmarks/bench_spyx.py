"""spyx's Linear + LIF, batch 16, T = 500, compiled by JAX; spyx.sh runs it in its environment.

In the two settings of bench_linear.py: as documented (`spyx.nn.Sequential` under `spyx.nn.run`, which scans over linear
layer and neuron together), and with one product over all steps before the scan over the neuron.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import spyx.nn as snn
from flax import nnx

STEPS, BATCH, ROUNDS = 500, 16, 7


class OneProduct(nnx.Module):
    """All steps through the linear layer, then the neuron."""

    def __init__(self, size: int) -> None:
        self.linear = nnx.Linear(size, size, rngs=nnx.Rngs(0))
        self.cell = snn.LIF((size,), beta=0.9, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        """All steps."""
        current = self.linear(x)
        structure, weights = nnx.split(self.cell)

        def step(v: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
            spikes, v = nnx.merge(structure, weights)(now, v)
            return v, spikes

        return jax.lax.scan(step, self.cell.initial_state(BATCH), current)[1]


class Documented(nnx.Module):
    """Both, step by step."""

    def __init__(self, size: int) -> None:
        rngs = nnx.Rngs(0)
        self.net = snn.Sequential(nnx.Linear(size, size, rngs=rngs), snn.LIF((size,), beta=0.9, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        """All steps."""
        return snn.run(self.net, x)[0]


def main() -> None:
    """Measure, print, write."""
    rows = {}
    for size in map(int, (sys.argv[1] if len(sys.argv) > 1 else "512").split(",")):
        x = (jax.random.uniform(jax.random.PRNGKey(0), (STEPS, BATCH, size)) > 0.9).astype(jnp.float32)
        steps, firsts = {}, {}
        for setting, net in (("as documented", Documented(size)), ("one product", OneProduct(size))):
            structure, weights = nnx.split(net)
            compiled = jax.jit(jax.value_and_grad(lambda w, x, s=structure: nnx.merge(s, w)(x).sum()))
            steps[setting] = lambda compiled=compiled, weights=weights, x=x: jax.block_until_ready(compiled(weights, x))
            began = time.perf_counter()
            steps[setting]()
            firsts[setting] = time.perf_counter() - began
        seconds: dict[str, list[float]] = {setting: [] for setting in steps}
        for _ in range(ROUNDS):
            for setting, step in steps.items():
                began = time.perf_counter()
                step()
                seconds[setting].append(time.perf_counter() - began)
        for setting, taken in seconds.items():
            row = {"ms": round(1e3 * statistics.median(taken), 3), "compiled_in_s": round(firsts[setting], 2)}
            rows[f"n = {size}, {setting}"] = row
            sys.stdout.write(f"spyx n = {size}, {setting}: {row}\n")
    path = Path(__file__).parent / "results" / "spyx.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    versions = {name: importlib.metadata.version(name) for name in ("spyx", "jax")}
    path.write_text(json.dumps({**known, **rows, **versions, "rounds": ROUNDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
