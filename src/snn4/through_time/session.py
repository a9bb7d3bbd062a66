"""The hidden thread of a call: which state each module starts from, and which it ends with.

`run` opens a session for the length of one call of the network. A stateful module that is called inside takes its
incoming state from it and hands the new one back; outside a session every call starts at rest. Nothing is stored in a
module, so an exception, a copy, another thread or a compiled graph cannot leave anything behind.

The session lives in a `threading.local`, which `torch.compile(fullgraph=True)` can trace (a `ContextVar` it cannot).
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from snn4.core.errors import GraphError, StateError
from snn4.core.states import States, _Graph  # pyright: ignore[reportPrivateUsage]
from snn4.through_time.autograd import backward_task, keeps_graph, saved_tensor_hooks

__all__ = ["Session", "at_rest", "current", "idle", "opened", "path_of", "ran"]


class _Local(threading.local):
    def __init__(self) -> None:
        # an attribute of each thread's own, not of the class: a compiled graph is guarded by whether it is there
        self.session: Session | None = None


_local = _Local()

# modules that ran under a session; only to tell a recomputation that lost its session from a fresh call
_ran_under_session: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()


def path_of(name: str) -> str:
    """A module path without the wrappers that DDP (`module.`) and compile (`_orig_mod.`) put into it.

    Example:
        >>> path_of("module._orig_mod.block.lif")
        'block.lif'
    """
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))


def current() -> Session | None:
    """The session of this thread, if a `run` is under way."""
    return _local.session


def idle(module: torch.nn.Module) -> bool:
    """Whether a call of `module` starts at rest and has nothing to note: outside of `run` and of backward()."""
    return _local.session is None and backward_task() is None and module not in _ran_under_session


@contextmanager
def opened(session: Session | None) -> Iterator[None]:
    """Make `session` the current one of this thread for the length of a `with`."""
    before = _local.session
    _local.session = session
    try:
        yield
    finally:
        _local.session = before


class Session:
    """Incoming and outgoing states of one call.

    Args:
        paths: `id(module)` -> path, for every stateful module of the network.
        incoming: the states to start from; a path that is missing starts at rest.
    """

    def __init__(self, paths: Mapping[int, str], incoming: Mapping[str, Any]) -> None:
        self.paths = paths
        self.incoming = incoming
        self.outgoing: dict[str, Any] = {}
        self.graphs: dict[str, _Graph] = {}
        self.incoming_graphs: dict[str, _Graph] = (
            incoming._graphs if isinstance(incoming, States) else {}  # pyright: ignore[reportPrivateUsage]
        )
        self.calls: dict[str, int] = {}
        # what synapses have left for the neuron that they feed; see `through_time.eprop`
        self.presynaptic: list[Any] = []
        self.in_checkpoint = False
        self.hooks = None if torch.compiler.is_compiling() else saved_tensor_hooks()

    def enter(self, module: torch.nn.Module) -> str:
        """The key of this call of `module`: its path, with `#2`, `#3` ... from the second call on."""
        path = self.paths.get(id(module))
        if path is None:
            raise StateError(
                f"{type(module).__name__} is called inside run(), but is not part of the network given to it",
                "every stateful module to be a submodule of the network",
                "Register it as an attribute in __init__, or use torch.nn.ModuleList.",
            )
        count = self.calls.get(path, 0) + 1
        self.calls[path] = count
        return path if count == 1 else f"{path}#{count}"

    def incoming_of(self, key: str) -> Any:
        """The state that this call starts from, or None for rest."""
        entry = self.incoming.get(key)
        if entry is None or torch.compiler.is_compiling():
            return entry
        graph = self.incoming_graphs.get(key)
        return entry if graph is None else _guarded(entry, key, graph)

    def leave(self, module: torch.nn.Module, key: str, ys: Any, state: Any) -> None:
        """Keep the new state of this call."""
        self.outgoing[key] = state
        ran(module)
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        if isinstance(ys, Tensor) and ys.requires_grad and any(t.requires_grad for t in state):
            graph = self.graphs[key] = _Graph()
            # when a gradient passes the output, the graph behind it is freed unless it was asked to be kept
            ys.register_hook(functools.partial(_pass, graph, key))

    def refuse_foreign_checkpoint(self, module: torch.nn.Module) -> None:
        """Refuse torch.utils.checkpoint inside a run: it would recompute without the session, from rest."""
        if self.in_checkpoint or torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        hooks = saved_tensor_hooks()
        if hooks is None or hooks == self.hooks:
            return
        if any("checkpoint" in getattr(hook, "__module__", "") for hook in hooks):
            raise _lost_session(type(module).__name__)

    def fork(self) -> Session:
        """A snapshot to recompute from: the same starting states and call counts, outgoing states thrown away."""
        copy = Session(self.paths, self.incoming)
        copy.calls = dict(self.calls)
        copy.in_checkpoint = True
        return copy

    def child(self, incoming: Mapping[str, Any]) -> Session:
        """A session for one step of a loop over time inside this call."""
        inner = Session(self.paths, incoming)
        inner.presynaptic = self.presynaptic
        inner.in_checkpoint, inner.hooks = self.in_checkpoint, self.hooks
        # what was called before the loop has taken its keys
        inner.calls = dict(self.calls)
        if not torch.compiler.is_compiling():
            # only what comes from the earlier run itself, not what an earlier step of this loop has made
            inner.incoming_graphs = {
                key: graph for key, graph in self.incoming_graphs.items() if incoming.get(key) is self.incoming.get(key)
            }
        return inner


def at_rest(module: torch.nn.Module) -> None:
    """Note a call of `module` without a session, which starts at rest; refuse it where that would be wrong.

    From inside backward(), when the module last ran under a session, it is torch.utils.checkpoint that recomputes a
    forward of `run`: it would start at rest, and the gradient would be silently wrong.

    Raises:
        GraphError: it is such a recomputation.
    """
    if torch.compiler.is_compiling():
        return
    if backward_task() is None:
        _ran_under_session.discard(module)
    elif torch.is_grad_enabled() and module in _ran_under_session:
        raise _lost_session(type(module).__name__)


def ran(module: torch.nn.Module) -> None:
    """Note that `module` ran under a session."""
    # also without gradients: so runs the first pass of torch's reentrant checkpoint
    if not torch.compiler.is_compiling():
        _ran_under_session.add(module)


def _lost_session(name: str) -> GraphError:
    return GraphError(
        f"{name} is recomputed by torch.utils.checkpoint without the state it had under run()",
        "activation checkpointing that knows the state",
        "Use snn4.checkpoint(function, x) in its place.",
    )


def _pass(graph: _Graph, key: str, _grad: Tensor) -> None:
    """A gradient enters the graph of one call: refuse a graph that an earlier backward() has freed."""
    task = backward_task()
    if graph.freed_by is not None and graph.freed_by != task:
        raise GraphError(
            f"backward() goes into an earlier run() at {key!r}, whose graph an earlier backward() has freed",
            "one backward through each graph",
            "run() keeps the graph on purpose. Cut it between chunks with state.detach() (truncated BPTT) or use "
            "snn4.Stream; or call backward() once on the sum of the losses, or with retain_graph=True.",
        )
    if not keeps_graph():
        graph.freed_by = task


def _guarded(entry: Any, key: str, graph: _Graph) -> Any:
    """The carried state, with a hook that explains a second backward through a freed graph."""
    fields: list[Tensor] = []
    for value in entry:
        if value.requires_grad and value.grad_fn is not None:
            value = value.view_as(value)  # a view of our own, so that the caller's tensor gets no hook
            value.register_hook(functools.partial(_pass, graph, key))
        fields.append(value)
    return type(entry)(*fields)
