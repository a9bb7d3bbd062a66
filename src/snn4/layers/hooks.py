"""Who waits for a module to be called: a container that runs members together has to look first."""

from __future__ import annotations

from typing import Any, cast

import torch

from snn4.through_time.explain import Looking

__all__ = ["hooked", "lookers"]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def hooked(module: torch.nn.Module) -> bool:
    """Whether somebody waits for this module to be called. `snn4.explain`, which only looks, is told in another way."""
    hooks = (hook for name in _HOOKS for hook in cast("dict[int, Any]", vars(module)[name]).values())
    return any(not isinstance(hook, Looking) for hook in hooks)


def lookers(module: torch.nn.Module) -> list[Looking]:
    """Where `snn4.explain` looks at this module."""
    hooks = cast("dict[int, Any]", vars(module)["_forward_pre_hooks"])
    return [hook for hook in hooks.values() if isinstance(hook, Looking)]
