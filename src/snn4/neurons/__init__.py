"""Floor 4: neurons, one model a file."""

from __future__ import annotations

import snn4.kernels  # noqa: F401  (from now on the compiler runs what it can)
from snn4.neurons.cuba_lif import CubaLIF
from snn4.neurons.decay import Decay, euler, exponential
from snn4.neurons.integrate_and_fire import IF
from snn4.neurons.li import LI
from snn4.neurons.lif import LIF, plif
from snn4.neurons.spiking import SpikingNeuron

__all__ = ["IF", "LI", "LIF", "CubaLIF", "Decay", "SpikingNeuron", "euler", "exponential", "plif"]
