"""spyx's Linear + LIF, batch 16, T = 500, compiled by JAX; spyx.sh runs it in its environment."""

from __future__ import annotations

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


class Net(nnx.Module):
    """One layer."""

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


def main() -> None:
    """Measure, print, write."""
    rows = {}
    for size in map(int, (sys.argv[1] if len(sys.argv) > 1 else "512").split(",")):
        x = (jax.random.uniform(jax.random.PRNGKey(0), (STEPS, BATCH, size)) > 0.9).astype(jnp.float32)
        structure, weights = nnx.split(Net(size))
        step = jax.jit(jax.value_and_grad(lambda w, x, s=structure: nnx.merge(s, w)(x).sum()))
        began = time.perf_counter()
        jax.block_until_ready(step(weights, x))
        first, seconds = time.perf_counter() - began, []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            jax.block_until_ready(step(weights, x))
            seconds.append(time.perf_counter() - began)
        rows[f"n = {size}"] = {"ms": round(1e3 * statistics.median(seconds), 3), "compiled_in_s": round(first, 2)}
        sys.stdout.write(f"spyx n = {size}: {rows[f'n = {size}']}\n")
    path = Path(__file__).parent / "results" / "spyx.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **rows, "jax": jax.__version__, "rounds": ROUNDS}, indent=2) + "\n")


if __name__ == "__main__":
    main()
