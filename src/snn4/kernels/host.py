"""What of a step runs on the host, once a call: torch operations on the neuron's own tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from snn4.kernels.split import HostCall, Ref

__all__ = ["needed_calls", "run_calls"]


def run_calls(calls: Sequence[HostCall], values: dict[str, Tensor]) -> None:
    """Run torch operations on the host, adding their values."""

    def seen(arg: Any) -> Any:
        kind = type(arg)
        if kind is Ref:
            return values[arg.name]
        if kind is list or kind is tuple:
            return [seen(a) for a in arg]
        return arg

    for call in calls:
        args = [seen(a) for a in call.args]
        if call.kwargs:
            values[call.out] = call.function(*args, **{name: seen(v) for name, v in call.kwargs.items()})
        else:
            values[call.out] = call.function(*args)


def needed_calls(calls: Sequence[HostCall], names: Sequence[str]) -> list[HostCall]:
    """The calls that these values need, in order."""
    wanted = set(names)
    chosen: list[HostCall] = []
    for call in reversed(calls):
        if call.out in wanted:
            chosen.append(call)
            for arg in tree_leaves((call.args, dict(call.kwargs))):
                if isinstance(arg, Ref):
                    wanted.add(arg.name)
    return chosen[::-1]
