"""Record the ATen operations of a computation as a `torch.fx.Graph`.

What torch.fx.experimental's `make_fx` does, for a few eager operations on real tensors: without loading torch's whole
compiler, which takes longer than everything else that a neuron's first call does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from snn4.kernels.lowering import LOWERED, decompositions

__all__ = ["Recorder", "Recording", "Unrecordable"]

# what the compiler knows itself; only for others is torch's table of decompositions loaded
_WHOLE = frozenset((*LOWERED, "_to_copy", "sum", *("zeros", "zeros_like", "ones_like", "full_like", "scalar_tensor")))
# the memory, place and form of a tensor
_Place = tuple[int, int, torch.Size, tuple[int, ...], torch.dtype]


class Unrecordable(Exception):  # noqa: N818  (it becomes a reason, not an error)
    """An operation whose result cannot be followed."""


@functools.cache
def _decompositions() -> dict[Any, Callable[..., Any]]:
    return decompositions()


def _place(tensor: Tensor) -> _Place:
    # not the object: autograd gives a view another one than the operation that made it
    memory = tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
    return memory, int(tensor.storage_offset()), tensor.shape, tensor.stride(), tensor.dtype


@dataclass(frozen=True)
class Recording:
    """Operations, and the tensors that they read but were not given: by the name of their `get_attr` node."""

    graph: torch.fx.Graph
    constants: dict[str, Tensor]


class Recorder(TorchDispatchMode):
    """While it is active, operations are computed and noted. Operations that the compiler does not know are taken apart
    by torch, as far as it can.
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = torch.fx.Graph()
        self._constants: dict[str, Tensor] = {}
        self._nodes: dict[_Place, torch.fx.Node] = {}
        # memory that is kept cannot come back as that of another tensor
        self._alive: list[Tensor] = []

    def give(self, tensor: Tensor, name: str) -> None:
        """An input."""
        node = self.graph.placeholder(name)
        node.meta["val"] = tensor
        self._note(tensor, node)

    def finish(self, results: Sequence[Any]) -> Recording:
        """What was done to get these tensors (or None)."""
        self.graph.output([self._argument(r) for r in results])
        self.graph.eliminate_dead_code()
        return Recording(self.graph, self._constants)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # else torch loads its compiler, to keep it from compiling the method below
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation: computed, and noted or taken apart."""
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if (name if name.startswith("_") else name.rstrip("_")) not in _WHOLE:
            apart = _decompositions().get(func)
            if apart is not None:
                with self:
                    result = apart(*args, **kwargs)
                if result is not NotImplemented:
                    return result
        if func is torch.ops.aten._local_scalar_dense.default:
            raise Unrecordable("it asks for the value of a tensor")
        written = self._written(func, args, kwargs)
        node = self.graph.call_function(
            func, tuple(tree_map(self._argument, args)), cast("dict[str, Any]", tree_map(self._argument, kwargs))
        )
        result = func(*args, **kwargs)
        for tensor in written:
            memory = _place(tensor)[0]
            self._nodes = {place: n for place, n in self._nodes.items() if place[0] != memory}
        if isinstance(result, Tensor):
            node.meta["val"] = result
            self._note(result, node)
        elif isinstance(result, (tuple, list)):
            for k, part in enumerate(cast("Sequence[Any]", result)):
                if isinstance(part, Tensor):
                    item = self.graph.call_function(cast("Any", _item), (node, k))
                    item.meta["val"] = part
                    self._note(part, item)
        return result

    def _note(self, tensor: Tensor, node: torch.fx.Node) -> None:
        self._nodes[_place(tensor)] = node
        self._alive.append(tensor)

    def _argument(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        place = _place(value)
        node = self._nodes.get(place)
        if node is None:
            if any(known.untyped_storage()._cdata == place[0] for known in self._alive):  # pyright: ignore[reportPrivateUsage]
                raise Unrecordable("it reads a view of a tensor that was changed in place")
            name = f"constant{len(self._constants)}"
            self._constants[name] = value.detach()
            node = self.graph.get_attr(name)
            node.meta["val"] = value
            self._note(value, node)
        return node

    def _written(self, func: Any, args: Any, kwargs: Any) -> list[Tensor]:
        """The tensors that an operation changes."""
        if not func._schema.is_mutable:
            return []
        named = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | kwargs
        written = [
            leaf
            for argument in func._schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for leaf in tree_leaves(named.get(argument.name))
            if isinstance(leaf, Tensor)
        ]
        for tensor in written:
            node = self._nodes.get(_place(tensor))
            if node is None or node.op != "call_function":
                raise Unrecordable(f"{func} would change a tensor that it was given")
        return written


def _item(values: Sequence[Any], index: int) -> Any:
    return values[index]
