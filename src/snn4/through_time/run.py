"""`run`: a call that starts from a state and returns the new one.  `Stream`: the one object that hides it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn4.core.checks import check_finite
from snn4.core.errors import OptionError, StateError
from snn4.core.states import States
from snn4.through_time.folding import FoldsTime
from snn4.through_time.session import Session, opened, path_of
from snn4.through_time.stateful import Stateful
from snn4.through_time.synapse import Synapse

__all__ = ["Stream", "refuse_uncut", "run", "stateful_paths"]


def stateful_paths(net: torch.nn.Module) -> dict[int, str]:
    """`id(module)` -> path, of every module in `net` that has a state: also synapses that keep a trace."""
    return {
        id(m): path_of(name)
        for name, m in net.named_modules()
        if isinstance(m, Stateful) or (isinstance(m, Synapse) and m.rule is not None)
    }


def refuse_uncut(net: torch.nn.Module) -> None:
    """Refuse a network with a member for which a sequence may not be cut.

    Raises:
        StateError: names every such member, with its reason.
    """
    reasons = [
        f"{path_of(name) or 'the network'} ({type(m).__name__}): {reason}"
        for name, m in net.named_modules()
        if (reason := _why_uncut(m)) is not None
    ]
    if reasons:
        raise StateError(
            f"this network cannot run in chunks, because of {'; '.join(reasons)}",
            "members for which a sequence may be cut",
            "Call net.eval() if that is the reason, or give the whole sequence in one call.",
        )


def _why_uncut(module: torch.nn.Module) -> str | None:
    if isinstance(module, Stateful):
        return None if module.chunkable else module.unchunkable_reason
    normalises = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)  # pyright: ignore[reportPrivateUsage]
    # with batch statistics, every chunk would be normalised by its own mean
    if normalises and (module.training or module.running_mean is None):
        return "it normalises by the statistics of each chunk"
    return None


def refuse_foreign_norm(net: torch.nn.Module) -> None:
    """Refuse a batch norm of torch that would take the batch axis for the channels.

    Raises:
        OptionError: one stands where snn4.nn's should, as after torch's `convert_sync_batchnorm`.
    """
    for name, m in net.named_modules():
        if type(m) is torch.nn.SyncBatchNorm and not _folded_above(net, name):
            raise OptionError(
                f"{path_of(name)} is torch.nn.SyncBatchNorm, which takes axis 1 of (T, B, C, ...) for the channels",
                "snn4.nn.SyncBatchNorm",
                "Convert with snn4.nn.SyncBatchNorm.convert_sync_batchnorm(net).",
            )


def _folded_above(net: torch.nn.Module, name: str) -> bool:
    """Whether an ancestor of the module folds time into the batch for it."""
    parts = name.split(".")
    above = (net.get_submodule(".".join(parts[:k])) for k in range(len(parts)))
    return any(isinstance(m, FoldsTime) for m in above)


def run(net: torch.nn.Module, x: Tensor, state: States | None = None) -> tuple[Any, States]:
    """Call a network from a state, and get the new state back. The graph is kept.

    Running a sequence in one call or cut into chunks gives the same: `run(net, x2, run(net, x1)[1])` continues where
    `x1` stopped. Gradients flow through the state into earlier chunks; `state.detach()` cuts them.

    Args:
        net: any module that contains stateful ones (neurons, dropout ...).
        x: its input. Shape (T, B, *features).
        state: where to start; `None` is at rest.

    Returns:
        What `net(x)` returns, and the `States` after the last step.

    Raises:
        StateError: the state belongs to another network or batch, or a member cannot be cut in time.
        NotFiniteError: NaN or infinity in `x` (checked on the CPU).

    Example:
        >>> from snn4 import nn
        >>> net, x = torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()), torch.randn(6, 1, 3)
        >>> y1, state = run(net, x[:2])
        >>> y2, state = run(net, x[2:], state)
        >>> torch.equal(torch.cat([y1, y2]), net(x))
        True
    """
    compiling = torch.compiler.is_compiling()
    if not compiling:
        if isinstance(x, Tensor) and x.device.type == "cpu":
            check_finite("run", x)
        refuse_foreign_norm(net)
        if state is not None:
            refuse_uncut(net)
    paths = stateful_paths(net)
    if state is not None and not compiling:
        _check_keys(state, set(paths.values()))
    session = Session(paths, state if state is not None else {})
    with opened(session):
        y = net(x)
    if paths and not session.calls:
        raise StateError(
            f"no stateful module of {type(net).__name__} was called in this thread",
            "the forward to call its neurons in the thread that called run()",
            "torch.nn.DataParallel calls them in threads of its own; use DistributedDataParallel.",
        )
    # what was not called this time keeps the state it had
    new = States({**(state if state is not None else {}), **session.outgoing})
    new._graphs = session.graphs  # pyright: ignore[reportPrivateUsage]
    return y, new


def _check_keys(state: States, paths: set[str]) -> None:
    unknown = sorted(key for key in state if key.split("#")[0] not in paths)
    if unknown:
        raise StateError(
            f"the state has entries for {', '.join(map(repr, unknown))}",
            f"stateful modules of this network: {', '.join(map(repr, sorted(paths))) or 'it has none'}",
            "Is it the state of another network?",
        )


class Stream:
    """A network on an endless input: it remembers its state between calls.

    The state is detached after each call, so that memory stays bounded; a loss on one chunk trains within that chunk.

    Args:
        net: a network whose members can all be cut in time. Call `net.eval()` first if it has batch norm.

    Example:
        >>> from snn4 import nn
        >>> stream = Stream(torch.nn.Sequential(nn.Linear(3, 4), nn.LIF()))
        >>> stream(torch.randn(5, 1, 3)).shape
        torch.Size([5, 1, 4])
        >>> stream.reset()
    """

    def __init__(self, net: torch.nn.Module) -> None:
        refuse_uncut(net)
        self.net = net
        self.state: States | None = None

    def __call__(self, chunk: Tensor) -> Any:
        """The outputs of the next chunk. Shape (T, B, *features); T may differ from call to call.

        An exception leaves the state as it was before the call.
        """
        refuse_uncut(self.net)
        y, state = run(self.net, chunk, self.state)
        self.state = state.detach()
        return y

    def reset(self) -> None:
        """Start the next chunk at rest."""
        self.state = None

    def __repr__(self) -> str:
        return f"Stream({type(self.net).__name__}, {'at rest' if self.state is None else 'running'})"
