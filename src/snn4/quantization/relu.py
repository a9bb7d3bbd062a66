"""LSQ: a ReLU on 2^b levels whose step is learned.

    n = 2^b - 1        y = s round( clip(x / s, 0, n) )

    dy/dx = 1 where 0 < x/s < n, else 0                        (straight through the rounding)
    dy/ds = g ( round(x/s) - x/s )   where 0 < x/s < n
            g n                      where x/s >= n,           0 below
    g = 1 / sqrt(N n),   N = features of one sample and step

    s starts as 2 mean(relu(x)) / sqrt(n) of the first batch in training.

Paper: [esser2020lsq]. Equations 1 to 3, sections 2.1 and 2.2.
Differs from the paper: rectification and quantiser are one module, so the start value uses the rectified input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snn4.core.errors import OptionError

__all__ = ["QuantReLU"]


class QuantReLU(torch.nn.Module):
    """A ReLU whose output takes 2^b levels, 0, s, 2 s, ..., with the step s learned (LSQ).

    It keeps two things, both in `state_dict`: the parameter `step` and the buffer `initialised`. The first batch that
    it sees in training mode sets the step. In evaluation mode an uninitialised one takes the step from the input at
    hand and keeps nothing. Several processes that train one network must start from equal steps: initialise before
    wrapping, by one call or by the `calibration` of `quantised_twin`.

    Args:
        bits: b, 1 to 16.
        step: a step to start from; `None` takes it from the first batch.

    Shape:
        (T, B, *features) -> the same.

    Raises:
        OptionError: bits or step out of range.

    Example:
        >>> relu = QuantReLU(bits=2, step=0.5)
        >>> relu(torch.tensor([[[-1.0, 0.2, 0.3, 0.8, 9.0]]])).tolist()
        [[[0.0, 0.0, 0.5, 1.0, 1.5]]]
    """

    step: torch.nn.Parameter
    initialised: Tensor

    def __init__(self, bits: int, step: float | None = None) -> None:
        super().__init__()
        if not 1 <= bits <= 16:
            raise OptionError(f"QuantReLU got bits={bits}", "1 to 16", "With more bits, use torch.nn.ReLU.")
        if step is not None and not 0 < step < math.inf:
            raise OptionError(f"QuantReLU got step={step}", "a positive number", "None takes it from the first batch.")
        self.bits = bits
        self.levels = 2**bits - 1
        self.step = torch.nn.Parameter(torch.tensor(1.0 if step is None else step))
        self.register_buffer("initialised", torch.tensor(step is not None))

    def forward(self, xs: Tensor) -> Tensor:
        """Rectify and quantise. Shape kept."""
        step = self._step_for(xs)
        features = max(1, xs.numel() // max(1, math.prod(xs.shape[:2])))
        scale = 1.0 / math.sqrt(features * self.levels)
        # the value of the step, with its gradient scaled
        s = step * scale + (step * (1.0 - scale)).detach()
        v = xs / s
        inside = (v > 0) & (v < self.levels)
        clipped = torch.where(inside, v, v.detach().clamp(0, self.levels))
        return s * (clipped + (clipped.round() - clipped).detach())

    def _step_for(self, xs: Tensor) -> Tensor:
        if not bool(self.initialised):
            start = self.starting_step(xs.detach())
            if not self.training:
                return torch.where(start > 0, start, self.step.detach())
            if float(start) > 0:
                with torch.no_grad():
                    self.step.copy_(start)
                    self.initialised.fill_(True)
        # training may carry a step across zero; its size is what counts, and it must not be zero
        return self.step.abs().clamp_min(torch.finfo(self.step.dtype).tiny)

    def starting_step(self, xs: Tensor) -> Tensor:
        """The step that LSQ starts from on the input `xs`: 2 mean(relu(x)) / sqrt(n). 0 where nothing is positive."""
        return (2.0 * xs.relu().mean() / math.sqrt(self.levels)).to(self.step.dtype)

    def extra_repr(self) -> str:
        """Bits, for `print(net)`."""
        return f"bits={self.bits}"
