"""Floor 4: neurons, one model a file."""

from __future__ import annotations

import snn4.kernels  # noqa: F401  # pyright: ignore[reportUnusedImport]  (from now on the compiler runs what it can)
from snn4.neurons.adex import AdEx
from snn4.neurons.adlif import AdLIF
from snn4.neurons.alif import ALIF, lsnn
from snn4.neurons.brf import BRF, brf
from snn4.neurons.clif import CLIF
from snn4.neurons.cuba_lif import CubaLIF
from snn4.neurons.da_lif import DALIF
from snn4.neurons.decay import Decay, euler, exponential
from snn4.neurons.dh_lif import DHLIF, branch_mask, dh_lif
from snn4.neurons.dsr import DSRIF, DSRLIF
from snn4.neurons.glif import GLIF
from snn4.neurons.heterogeneous import heterogeneous
from snn4.neurons.ibra_lif import IBRALIF
from snn4.neurons.integer_lif import IntegerLIF, UnaryLIF, binary, unary
from snn4.neurons.integrate_and_fire import IF
from snn4.neurons.izhikevich import Izhikevich
from snn4.neurons.klif import KLIF
from snn4.neurons.li import LI
from snn4.neurons.lif import LIF, plif
from snn4.neurons.ltmd import ltmd
from snn4.neurons.psn import PSN, MaskedPSN
from snn4.neurons.rp_lif import RPLIF
from snn4.neurons.se_adlif import SEAdLIF, se_adlif
from snn4.neurons.sliding_psn import SlidingPSN
from snn4.neurons.spiking import SpikingNeuron
from snn4.neurons.tc_lif import TCLIF
from snn4.neurons.ternary_lif import TernaryLIF

__all__ = [
    "ALIF",
    "BRF",
    "CLIF",
    "DALIF",
    "DHLIF",
    "DSRIF",
    "DSRLIF",
    "GLIF",
    "IBRALIF",
    "IF",
    "KLIF",
    "LI",
    "LIF",
    "PSN",
    "RPLIF",
    "TCLIF",
    "AdEx",
    "AdLIF",
    "CubaLIF",
    "Decay",
    "IntegerLIF",
    "Izhikevich",
    "MaskedPSN",
    "SEAdLIF",
    "SlidingPSN",
    "SpikingNeuron",
    "TernaryLIF",
    "UnaryLIF",
    "binary",
    "branch_mask",
    "brf",
    "dh_lif",
    "euler",
    "exponential",
    "heterogeneous",
    "lsnn",
    "ltmd",
    "plif",
    "se_adlif",
    "unary",
]
