"""Floor 1: what stands for the derivative of a spike."""

from __future__ import annotations

from snn4.surrogates.annealed import Annealed, anneal
from snn4.surrogates.atan import ATan
from snn4.surrogates.dspike import Dspike, TemperatureSearch, search_temperature
from snn4.surrogates.fast_sigmoid import FastSigmoid, superspike
from snn4.surrogates.gaussian import Gaussian
from snn4.surrogates.lsg import LSG
from snn4.surrogates.msg import MSG
from snn4.surrogates.multi_gaussian import MultiGaussian, double_gaussian
from snn4.surrogates.rectangle import Rectangle
from snn4.surrogates.sigmoid import Sigmoid
from snn4.surrogates.slayer import Slayer
from snn4.surrogates.surrogate import Surrogate
from snn4.surrogates.triangle import Triangle

__all__ = [
    "LSG",
    "MSG",
    "ATan",
    "Annealed",
    "Dspike",
    "FastSigmoid",
    "Gaussian",
    "MultiGaussian",
    "Rectangle",
    "Sigmoid",
    "Slayer",
    "Surrogate",
    "TemperatureSearch",
    "Triangle",
    "anneal",
    "double_gaussian",
    "search_temperature",
    "superspike",
]
