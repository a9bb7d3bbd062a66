"""One operation of a step as a C++ expression."""

from __future__ import annotations

from snn4.kernels.graph import Arg, Constant, Number, Op

__all__ = ["atom", "expression"]

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "==", "ne": "!="}
_LIBRARY = {
    **{name: f"std::{name}" for name in ("floor", "ceil", "trunc", "sqrt", "expm1", "log", "log1p", "fmod", "pow")},
    **{name: f"std::{name}" for name in ("sin", "cos", "tan", "atan", "erf", "abs")},
    **{name: f"f_{name}" for name in ("exp", "tanh", "sigmoid", "fma")},
    # round half to even, as torch does
    "round": "std::nearbyint",
}


def atom(arg: Arg) -> str:
    """A value by its name, or a number."""
    if isinstance(arg, Number):
        return f"c{arg.index}"
    if isinstance(arg, Constant):
        value = arg.value
        if value != value:
            return "(real)NAN"
        if value in (float("inf"), -float("inf")):
            return f"(real){'-' * (value < 0)}INFINITY"
        return f"(real){value!r}"
    return arg


def expression(op: Op) -> str:
    """An operation on values that have names."""
    a = [atom(arg) for arg in op.args]
    name = op.name
    if name in _INFIX:
        return f"({a[0]} {_INFIX[name]} {a[1]})"
    if name in _COMPARE:
        return f"({a[0]} {_COMPARE[name]} {a[1]} ? (real)1 : (real)0)"
    if name == "where":
        return f"({a[0]} != (real)0 ? {a[1]} : {a[2]})"
    if name in ("max", "min"):
        # as torch: NaN wins, from either side
        sign = "<" if name == "max" else ">"
        nan = "" if isinstance(op.args[1], (Number, Constant)) else f" || {a[1]} != {a[1]}"
        return f"(({a[0]} {sign} {a[1]}{nan}) ? {a[1]} : {a[0]})"
    table = {
        "neg": "(-{0})",
        "copy": "{0}",
        "sign": "((real)({0} > (real)0) - (real)({0} < (real)0))",
        "not": "({0} != (real)0 ? (real)0 : (real)1)",
        "and": "(({0} != (real)0) & ({1} != (real)0) ? (real)1 : (real)0)",
        "or": "(({0} != (real)0) | ({1} != (real)0) ? (real)1 : (real)0)",
        "xor": "(({0} != (real)0) != ({1} != (real)0) ? (real)1 : (real)0)",
    }
    if name in table:
        return table[name].format(*a)
    return f"{_LIBRARY[name]}({', '.join(a)})"
