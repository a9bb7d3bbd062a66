"""Fewer bits: activations with a learned step, weights on a grid, and the quantised twin of an ANN.

An SNN of T binary steps tells at most T + 1 values apart, so the fair opponent is not the float ANN but one with
`bits_for_steps(T)` bits.
"""

from __future__ import annotations

from snn4.quantization.relu import QuantReLU
from snn4.quantization.twin import bits_for_steps, quantised_twin
from snn4.quantization.weights import FakeQuantise, baked, quantise_weights, weight_bits

__all__ = ["FakeQuantise", "QuantReLU", "baked", "bits_for_steps", "quantise_weights", "quantised_twin", "weight_bits"]
