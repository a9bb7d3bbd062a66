"""Linear + LIF of other packages, each used as its documentation shows.

snntorch and norse: a loop over the steps, which calls the linear layer and the neuron in turn. spikingjelly and sinabs:
layers over whole sequences, so that the linear layer takes all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from common import installed
from torch import Tensor

Run = Callable[[], Tensor]


def documented(linear: torch.nn.Linear, x: Tensor, tau: float = 10.0) -> dict[str, Run]:
    """Runs over x (T, B, in) with the weights of `linear`, those packages that are installed, by name and version."""
    makers = {"snntorch": _snntorch, "spikingjelly": _spikingjelly, "norse": _norse, "sinabs": _sinabs}
    found: dict[str, Run] = {}
    for name, make in makers.items():
        if version := installed(name):
            found |= {f"{name} {version}, {reset} reset": run for reset, run in make(linear, x, tau).items()}
    return found


def _steps(linear: torch.nn.Linear, x: Tensor, cell: Callable[[Tensor, Any], Any], start: Callable[[], Any]) -> Run:
    def run() -> Tensor:
        state, out = start(), []
        for now in x:
            spikes, state = cell(linear(now), state)
            out.append(spikes)
        return torch.stack(out)

    return run


def _snntorch(linear: torch.nn.Linear, x: Tensor, tau: float) -> dict[str, Run]:
    import snntorch

    leaky = snntorch.Leaky(beta=1 - 1 / tau)
    return {"soft": _steps(linear, x, leaky, leaky.reset_mem)}


def _norse(linear: torch.nn.Linear, x: Tensor, tau: float) -> dict[str, Run]:
    import norse.torch as norse

    cell = norse.LIFBoxCell(p=norse.LIFBoxParameters(tau_mem_inv=torch.as_tensor(1e3 / tau)), dt=1e-3)
    return {"hard": _steps(linear, x, cell, lambda: None)}


def _spikingjelly(linear: torch.nn.Linear, x: Tensor, tau: float) -> dict[str, Run]:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def make(v_reset: float | None) -> Run:
        dense = layer.Linear(linear.in_features, linear.out_features, step_mode="m")
        dense.weight, dense.bias = linear.weight, linear.bias
        options: dict[str, Any] = {"surrogate_function": surrogate.ATan(), "step_mode": "m", "v_reset": v_reset}
        net = torch.nn.Sequential(dense, neuron.LIFNode(tau=tau, decay_input=False, **options))

        def run() -> Tensor:
            functional.reset_net(net)
            return net(x)

        return run

    return {"soft": make(None), "hard": make(0.0)}


def _sinabs(linear: torch.nn.Linear, x: Tensor, tau: float) -> dict[str, Run]:
    import sinabs
    import sinabs.layers

    net = torch.nn.Sequential(linear, sinabs.layers.LIF(tau_mem=tau, norm_input=False))
    batch_first = x.transpose(0, 1).contiguous()

    def run() -> Tensor:
        sinabs.reset_states(net)
        return net(batch_first)

    return {"soft": run}
