"""The quantised twin of an ANN: the opponent that an SNN of T steps should be measured against.

T binary steps carry at most T + 1 levels, which b = ceil(log2(T + 1)) bits carry as well: 1, 2, 2, 3 ... bits for
T = 1, 2, 3, 4 ...

Paper: [yan2024reconsidering]
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.quantization.relu import QuantReLU
from snn4.quantization.weights import quantise_weights

__all__ = ["bits_for_steps", "quantised_twin"]


def bits_for_steps(steps: int) -> int:
    """Bits that tell apart as many values as `steps` binary time steps: ceil(log2(steps + 1)).

    Raises:
        OptionError: fewer than one step.

    Example:
        >>> [bits_for_steps(t) for t in (1, 3, 4, 8, 16)]
        [1, 2, 3, 4, 5]
    """
    if steps < 1:
        raise OptionError(f"steps={steps}", "at least one time step")
    return steps.bit_length()


def quantised_twin(
    ann: torch.nn.Module, activation_bits: int, weight_bits: int = 8, *, calibration: Tensor | None = None
) -> torch.nn.Module:
    """A copy of an ANN in which every ReLU is a `QuantReLU` and every weight is quantised; train it as the ANN was.

    The input is left as it is: 8-bit images need no quantiser. The weights of the first layer get at least 8 bits. A
    ReLU module that the forward uses twice becomes one `QuantReLU` with one step. A ReLU that is called as a function
    (`torch.relu`) is no module and cannot be replaced.

    Args:
        ann: the network; it is not changed.
        activation_bits: of the activations, `bits_for_steps(T)` for an SNN of T steps.
        weight_bits: of the weights.
        calibration: a batch (T, B, *features) that sets the steps of the activations at once; `None` leaves that to the
            first training batch.

    Raises:
        OptionError: no `torch.nn.ReLU` in the network, quantised already, or bits out of range.

    Example:
        >>> ann = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> twin = quantised_twin(ann, activation_bits=2)
        >>> twin(torch.randn(1, 5, 3)).shape
        torch.Size([1, 5, 2])
    """
    twin = copy.deepcopy(ann)
    found = [(name, m) for name, m in twin.named_modules(remove_duplicate=False) if isinstance(m, torch.nn.ReLU)]
    if not found:
        raise OptionError(
            f"{type(ann).__name__} has no torch.nn.ReLU module",
            "an ANN whose activations are ReLU modules",
            "Build the ANN with torch.nn.ReLU() in the neurons' place, not with torch.relu.",
        )
    like = next((p for p in twin.parameters() if p.is_floating_point()), torch.empty(0))
    made: dict[int, QuantReLU] = {}
    for name, relu in found:
        if id(relu) not in made:
            made[id(relu)] = QuantReLU(activation_bits).to(device=like.device, dtype=like.dtype).train(relu.training)
        if not name:
            raise OptionError(f"the network is a single {type(relu).__name__}", "a network with weights")
        parent, _, child = name.rpartition(".")
        setattr(twin.get_submodule(parent), child, made[id(relu)])
    quantise_weights(twin, weight_bits)
    if calibration is not None:
        _calibrate(twin, list(made.values()), calibration)
    return twin


def _calibrate(twin: torch.nn.Module, relus: list[QuantReLU], batch: Tensor) -> None:
    """Set the steps from one batch, without touching batch statistics or drawing random numbers."""
    modes = [(m, m.training) for m in twin.modules()]
    twin.eval()
    for relu in relus:
        relu.train()
    try:
        with torch.no_grad():
            twin(batch)
    finally:
        for module, mode in modes:
            module.training = mode
