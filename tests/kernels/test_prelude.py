"""The transcendental functions of generated kernels, against numpy in higher precision."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest

from snn4.kernels import build
from snn4.kernels.prelude import PRELUDE

FUNCTIONS = ("exp", "sigmoid", "tanh")
SOURCE = PRELUDE + "".join(
    f'extern "C" void {name}_{real}(const {real}* x, {real}* y, i64 n) {{\n'
    f"#pragma omp simd\n  for (i64 i = 0; i < n; i++) y[i] = f_{name}(x[i]); }}\n"
    for name in FUNCTIONS
    for real in ("float", "double")
)


def compute(name, x):
    real = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}[x.dtype]
    y = np.empty_like(x)
    function = build.library(SOURCE, label="functions")[f"{name}_{real}"]
    function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(len(x)))
    return y


def true(name, x):
    x = x.astype(np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        return {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[name](x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(name, dtype):
    draw = np.random.default_rng(0)
    parts = [draw.uniform(-a, a, 20_000) for a in (1e-3, 1.0, 10.0, 80.0)]
    x = np.concatenate([*parts, [0.0, -0.0, 0.625, -0.625, 0.6249, 88.5, -87.0]]).astype(dtype)
    expected = true(name, x)
    with np.errstate(over="ignore"):
        unit = np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)
    error = np.abs(compute(name, x).astype(np.longdouble) - expected) / unit
    assert error.max() <= 2.0, f"{float(error.max()):.2f} at {x[error.argmax()]}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 1e4, -1e4, 0.0], dtype)
    assert np.array_equal(compute("exp", x), np.array([np.inf, 0, np.nan, np.inf, 0, 1], dtype), equal_nan=True)
    assert np.array_equal(compute("sigmoid", x), np.array([1, 0, np.nan, 1, 0, 0.5], dtype), equal_nan=True)
    assert np.array_equal(compute("tanh", x), np.array([1, -1, np.nan, 1, -1, 0], dtype), equal_nan=True)


@pytest.mark.parametrize(("dtype", "x"), [(np.float32, -95.0), (np.float64, -730.0)])
def test_denormal_results(dtype, x):
    (y,) = compute("exp", np.array([x], dtype))
    assert 0 < y < np.finfo(dtype).tiny
    assert math.isclose(float(y), math.exp(x), rel_tol=0.02)
