"""Floor 1: what stands for the derivative of a spike."""

from __future__ import annotations

from snn4.surrogates.atan import ATan
from snn4.surrogates.fast_sigmoid import FastSigmoid, superspike
from snn4.surrogates.gaussian import Gaussian
from snn4.surrogates.multi_gaussian import MultiGaussian
from snn4.surrogates.rectangle import Rectangle
from snn4.surrogates.sigmoid import Sigmoid
from snn4.surrogates.surrogate import Surrogate
from snn4.surrogates.triangle import Triangle

__all__ = [
    "ATan",
    "FastSigmoid",
    "Gaussian",
    "MultiGaussian",
    "Rectangle",
    "Sigmoid",
    "Surrogate",
    "Triangle",
    "superspike",
]
