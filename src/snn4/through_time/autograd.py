"""The few facts about a running backward() that torch tells only in private, asked for in one place.

Where a release of torch lacks one, the check that needs it is left out; no result depends on any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch

__all__ = ["backward_task", "keeps_graph", "saved_tensor_hooks"]


def _private(*path: str) -> Callable[..., Any] | None:
    found: Any = torch
    for name in path:
        found = getattr(found, name, None)
    return cast("Callable[..., Any] | None", found)


_task_id = _private("_C", "_current_graph_task_id")
_keep_graph = _private("_C", "_autograd", "_get_current_graph_task_keep_graph")
_top_hooks = _private("_C", "_autograd", "_top_saved_tensors_default_hooks")


def backward_task() -> int | None:
    """The number of the backward() that runs in this thread, or None outside of one."""
    task = -1 if _task_id is None else int(_task_id())
    return None if task == -1 else task


def keeps_graph() -> bool:
    """Whether the running backward() was asked to keep its graph."""
    return True if _keep_graph is None else bool(_keep_graph())


def saved_tensor_hooks() -> tuple[object, ...] | None:
    """What packs saved tensors at the moment: torch.utils.checkpoint, for one, inside its region."""
    hooks = None if _top_hooks is None else _top_hooks(False)
    return None if hooks is None else tuple(hooks)
