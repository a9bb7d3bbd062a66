"""Triton's interpreter, mended where it computes otherwise than a GPU does.

It has no libdevice, rounds to bfloat16 towards zero, its fma rounds twice, and that of Triton 3.6 does not know how
numpy 2.4 makes an integer of an array. Import this before triton, in a process of its own: the interpreter is switched
on when triton is imported.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch
import triton.language as tl
import triton.runtime.interpreter as interpreter
from triton.language.extra import libdevice

from snn4.kernels.triton_kernel import TritonKernel

KERNEL = TritonKernel("cpu")


def _by_torch(function):
    """A function of libdevice, by torch's CPU kernels."""

    def call(*args):
        arrays = np.broadcast_arrays(*(np.atleast_1d(a.handle.data) for a in args))
        found = function(*(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)).numpy()
        return tl.tensor(interpreter.TensorHandle(found, args[0].dtype), args[0].type)

    return call


def _rounded(data, source, target, mode):
    if source == tl.float32 and target == tl.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(data)).bfloat16().view(torch.uint16).numpy()
    return _convert(data, source, target, mode)


def _fma(_self, x, y, z):
    if x.data.dtype == np.float32:
        wide = x.data.astype(np.float64) * y.data.astype(np.float64) + z.data.astype(np.float64)
        return interpreter.TensorHandle(wide.astype(np.float32), z.dtype.scalar)
    return interpreter.TensorHandle(x.data * y.data + z.data, z.dtype.scalar)


def _patched(tensor, scope):
    _patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.squeeze()))


_patch = interpreter._patch_lang_tensor
interpreter._patch_lang_tensor = _patched
_convert = interpreter._convert_float
interpreter._convert_float = _rounded
interpreter.InterpreterBuilder.create_fma = _fma
for _name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tan", "atan", "erf", "tanh", "pow", "fmod", "trunc"):
    setattr(libdevice, _name, _by_torch(getattr(torch, _name)))
libdevice.rint = _by_torch(torch.round)
