"""What printed Python says to LLVM through Numba: reading and writing memory, and functions rounded as in C++.

Called by printed kernels while Numba compiles them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from snn4.core.optional import need

__all__ = ["functions", "memory"]


@functools.cache
def _libraries() -> tuple[Any, Any, Any, Any]:
    """Numba's types, its `intrinsic` and `njit`, and LLVM's own types."""
    why = "to compile kernels without a C++ compiler"
    numba: Any = need("numba", why)
    return numba.types, need("numba.extending", why).intrinsic, numba.njit, need("llvmlite.ir", why)


@functools.cache
def _kinds() -> dict[str, tuple[Any, Any]]:
    types, _, _, ir = _libraries()
    return {
        "float32": (types.float32, ir.FloatType()),
        "float64": (types.float64, ir.DoubleType()),
        "int32": (types.int32, ir.IntType(32)),
        "int64": (types.int64, ir.IntType(64)),
    }


def memory(name: str, scopes: Sequence[str], kind: str) -> tuple[Any, Any]:
    """Functions `read(address, index)` and `write(address, index, value)` for one piece of memory.

    Args:
        name: of the piece; a member of `scopes`.
        scopes: all pieces. No two overlap: LLVM is told, so that loops over them become vector code.
        kind: of a value.
    """
    types, intrinsic, _, ir = _libraries()
    number, form = _kinds()[kind]

    def place(builder: Any, address: Any, index: Any) -> Any:
        return builder.gep(builder.inttoptr(address, ir.PointerType(form)), [index])

    def tell(builder: Any, instruction: Any) -> None:
        module = builder.module
        domain = module.add_metadata(["snn4"])
        nodes = {other: module.add_metadata([other, domain]) for other in scopes}
        instruction.set_metadata("alias.scope", module.add_metadata([nodes.pop(name)]))
        instruction.set_metadata("noalias", module.add_metadata(list(nodes.values())))

    @intrinsic
    def read(_t: Any, _address: Any, _index: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            value = builder.load(place(builder, *args))
            tell(builder, value)
            return value

        return number(types.int64, types.int64), code

    @intrinsic
    def write(_t: Any, _address: Any, _index: Any, _value: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            tell(builder, builder.store(args[2], place(builder, *args[:2])))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, number), code

    return read, write


def _called(name: str, count: int, kind: str) -> Any:
    """A function of LLVM (`llvm.floor`) or of the C library (`erf`) on numbers of one kind."""
    _, intrinsic, _, ir = _libraries()
    number, form = _kinds()[kind]
    whole = f"{name}.f{form.intrinsic_name[1:]}" if name.startswith("llvm.") else name + "f" * (kind == "float32")

    def emit(builder: Any, args: Sequence[Any]) -> Any:
        kind_of = ir.FunctionType(form, [form] * count)
        known = builder.module.globals.get(whole)
        return builder.call(known or ir.Function(builder.module, kind_of, whole), args)

    if count == 1:

        @intrinsic
        def one(_t: Any, _a: Any) -> Any:
            return number(number), lambda _c, builder, _s, args: emit(builder, args)

        return one
    if count == 2:

        @intrinsic
        def two(_t: Any, _a: Any, _b: Any) -> Any:
            return number(number, number), lambda _c, builder, _s, args: emit(builder, args)

        return two

    @intrinsic
    def three(_t: Any, _a: Any, _b: Any, _c: Any) -> Any:
        return number(number, number, number), lambda _c, builder, _s, args: emit(builder, args)

    return three


def _bits(kind: str) -> Any:
    """An integer's bits as a number."""
    _, intrinsic, _, _ = _libraries()
    number, form = _kinds()[kind]
    integer, _ = _kinds()["int32" if kind == "float32" else "int64"]

    @intrinsic
    def bits(_t: Any, _value: Any) -> Any:
        return number(integer), lambda _c, builder, _s, args: builder.bitcast(args[0], form)

    return bits


@functools.cache
def functions(kind: str) -> dict[str, Callable[..., Any]]:
    """Every function of an operation list that is not written with an operator, by name."""
    import numpy as np

    library = ("expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf")
    found: dict[str, Any] = {name: _called(name, 1, kind) for name in library}
    found.update({name: _called(name, 2, kind) for name in ("pow", "fmod")})
    found.update({name: _called(f"llvm.{name}", 1, kind) for name in ("floor", "ceil", "trunc", "sqrt")})
    # round half to even, as torch does
    found.update(abs=_called("llvm.fabs", 1, kind), round=_called("llvm.nearbyint", 1, kind))
    fma = found["fma"] = _called("llvm.fma", 3, kind)
    floor, size, bits = found["floor"], found["abs"], _bits(kind)
    real: Any = getattr(np, kind)
    inline: Any = _libraries()[2](inline="always")
    if kind == "float32":
        high, low, integer, bias, shift = real(89), real(-104), np.int32, np.int32(127), np.int32(23)
        one_over, part1, part2 = real(1.44269504088896341), real(-0.693359375), real(2.12194440e-4)
        terms = tuple(map(real, (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2)))
        terms = (*terms, *map(real, (1.6666665459e-1, 5.0000001201e-1)))
    else:
        high, low, integer, bias, shift = real(710), real(-746), np.int64, np.int64(1023), np.int64(52)
        one_over, part1 = real(1.4426950408889634074), real(-6.93147180369123816490e-01)
        part2 = real(-1.90821492927058770002e-10)
        factorials = (
            6227020800.0,
            479001600.0,
            39916800.0,
            3628800.0,
            362880.0,
            40320.0,
            5040.0,
            720.0,
            120.0,
            24.0,
            6.0,
        )
        terms = (*(real(1.0) / real(f) for f in factorials), real(0.5))
    one, half, two = real(1), real(0.5), real(2)
    rest = terms[1:]

    @inline
    def two_to(n: Any) -> Any:
        return bits((integer(n) + bias) << shift)

    @inline
    def exp(x: Any) -> Any:
        x = high if x > high else (low if x < low else x)  # NaN stays
        n = floor(x * one_over + half)
        r = fma(n, part1, x)
        r = fma(n, part2, r)
        p = terms[0]
        for term in rest:
            p = fma(p, r, term)
        p = fma(p, r * r, r) + one
        part = floor(n * half)
        return p * two_to(part) * two_to(n - part)

    @inline
    def sigmoid(x: Any) -> Any:
        return one / (one + exp(-x))

    if kind == "float32":
        odd = tuple(
            map(real, (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1))
        )

        @inline
        def small(x: Any) -> Any:
            z = x * x
            p = odd[0]
            for term in odd[1:]:
                p = fma(p, z, term)
            return fma(p * z, x, x)
    else:
        p0, p1, p2 = -9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3
        q0, q1, q2 = 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3

        @inline
        def small(x: Any) -> Any:
            z = x * x
            p = fma(fma(p0, z, p1), z, p2)
            q = fma(fma(z + q0, z, q1), z, q2)
            return fma(x * z, p / q, x)

    edge = real(0.625)

    @inline
    def tanh(x: Any) -> Any:
        a = size(x)
        big = one - two / (exp(two * a) + one)
        near = small(x)
        return near if a < edge else (-big if x < real(0) else big)

    found.update(exp=exp, sigmoid=sigmoid, tanh=tanh)
    return found
