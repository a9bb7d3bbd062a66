"""Sort the nodes of a traced step: into the kernel, or to the host."""

from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.fx.node import map_arg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from snn4.kernels.graph import ARITY, Arg, Constant, Number, Op, Parameter, Root, StepGraph
from snn4.kernels.lowering import BOOLEAN, LOWERED, Unsupported
from snn4.kernels.record import Recording

if TYPE_CHECKING:
    from snn4.through_time import Neuron

__all__ = ["HostCall", "Ref", "Refused", "RootSum", "Splitter", "Traced", "host_name"]

_FILLED = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "_efficientzerotensor"), 0.0),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), 1.0),
}
_FILLED_BY = {"full": 1, "full_like": 1, "new_full": 2, "scalar_tensor": 0}


class Refused(Exception):  # noqa: N818  (it becomes a reason, not an error)
    """Why a neuron, or a call of it, cannot become a kernel."""


@dataclass(frozen=True)
class Ref:
    """A value that the host computed earlier."""

    name: str


@dataclass(frozen=True)
class HostCall:
    """One torch operation on tensors of the neuron's own size, outside the kernel."""

    out: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class RootSum:
    """How a sum that the kernel made per neuron becomes what the trace had.

    Args:
        name: its name for the host.
        shape: its shape in the trace.
        kept: the axes of a step (0 is the batch) that are not summed; `None` where the kernel has summed over all.
    """

    name: str
    shape: tuple[int, ...]
    kept: tuple[int, ...] | None


@dataclass(frozen=True)
class Traced:
    """A neuron's step, ready for a printer, and what the host does around it.

    Args:
        graph: the elementwise part.
        calls: what the host computes from the neuron's tensors, in order.
        inputs: for each of `graph.parameters`, the host's value that it is.
        roots: for each of `graph.roots`, how to go on from it.
        tail: what the host computes from `roots`, in order.
        gradients: for each tensor, the host's value that is its gradient; `None` where it has none.
    """

    graph: StepGraph
    calls: tuple[HostCall, ...]
    inputs: tuple[str, ...]
    roots: tuple[RootSum, ...]
    tail: tuple[HostCall, ...]
    gradients: tuple[str | None, ...]


def host_name(index: int) -> str:
    """The host's name of a neuron's tensor."""
    return f"tensor{index}"


@dataclass
class Splitter:
    """Sorts the nodes of a traced step into kernel and host."""

    owner: str
    neuron: Neuron
    recording: Recording
    fields: int
    tensors: list[str]
    learned: Sequence[str]
    shape: tuple[int, ...]
    dtype: torch.dtype
    ops: list[Op] = field(default_factory=list[Op])
    numbers: list[float] = field(default_factory=list[float])
    calls: list[HostCall] = field(default_factory=list[HostCall])
    tail: list[HostCall] = field(default_factory=list[HostCall])
    parameters: list[Parameter] = field(default_factory=list[Parameter])
    inputs: list[str] = field(default_factory=list[str])
    roots: list[Root] = field(default_factory=list[Root])
    sums: list[RootSum] = field(default_factory=list[RootSum])
    # node -> its value in the kernel, for nodes that depend on input, state or gradients
    data: dict[torch.fx.Node, Arg] = field(default_factory=dict[torch.fx.Node, Arg])
    # nodes that hold one number everywhere
    filled: dict[torch.fx.Node, float] = field(default_factory=dict[torch.fx.Node, float])
    # node -> its name on the host, for nodes that depend on the neuron's tensors alone
    host: dict[torch.fx.Node, str] = field(default_factory=dict[torch.fx.Node, str])
    # the same, after sums
    late: dict[torch.fx.Node, str] = field(default_factory=dict[torch.fx.Node, str])
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    known: dict[torch.fx.Node, Arg] = field(default_factory=dict[torch.fx.Node, Arg])

    def split(self) -> Traced:
        """The whole trace, sorted."""
        nodes = list(self.recording.graph.nodes)
        given = [n for n in nodes if n.op == "placeholder"]
        names = ["x", *(f"s{k}" for k in range(self.fields)), "gy", *(f"g{k}" for k in range(self.fields))]
        for node, name in zip(given, names, strict=False):
            self.data[node] = name
            self.kinds[name] = "real"
        for k, node in enumerate(given[len(names) :]):
            self.host[node] = host_name(k)
        for node in nodes:
            if node.op == "get_attr":
                self._constant(node)
            elif node.op == "call_function":
                self._place(node)
            elif node.op not in ("placeholder", "output"):
                raise Refused(f"{self.owner}.step does {node.op} {node.target}, which the compiler does not know")
        (output,) = (n for n in nodes if n.op == "output")
        leaves = tree_leaves(output.args[0])
        wide = 1 + self.fields
        elementwise = [self._result(n) for n in leaves[: 2 * wide]]
        gradients: list[str | None] = [self._gradient(n) for n in leaves[2 * wide :]]
        graph = StepGraph(
            x="x",
            states=tuple(f"s{k}" for k in range(self.fields)),
            grads=("gy", *(f"g{k}" for k in range(self.fields))),
            ops=tuple(self.ops),
            y=elementwise[0],
            new_states=tuple(elementwise[1:wide]),
            grad_x=elementwise[wide],
            grad_states=tuple(elementwise[wide + 1 :]),
            roots=tuple(self.roots),
            parameters=tuple(self.parameters),
            numbers=tuple(self.numbers),
        )
        gradients += [None] * (len(self.tensors) - len(gradients))
        return Traced(
            graph, tuple(self.calls), tuple(self.inputs), tuple(self.sums), tuple(self.tail), tuple(gradients)
        )

    # ------------------------------------------------------------------------------------------------ one node

    def _place(self, node: torch.fx.Node) -> None:
        """Decide where a node runs."""
        name = _packet(node)
        if name in _FILLED or name in _FILLED_BY:
            fill: Any = _FILLED.get(name)
            if fill is None:
                fill = node.args[_FILLED_BY[name]]
            if not isinstance(fill, torch.fx.Node):
                self.filled[node] = float(fill)
                # a fill is told from its arguments alone; on the host it is made when it is needed
                return
        inputs = node.all_input_nodes
        if any(n in self.late for n in inputs):
            self._on_host(node, self.late, self.tail)
        elif any(n in self.data for n in inputs) or _shape(node) == self.shape:
            if _shape(node) == self.shape:
                self.data[node] = self._elementwise(node, name)
            elif name == "sum":
                self._sum(node)
            else:
                raise self._refusal(node, "not elementwise")
        elif all(n in self.filled for n in inputs) and inputs and name in LOWERED and LOWERED[name].__name__ == "_same":
            self.filled[node] = self.filled[inputs[0]]
        else:
            self._on_host(node, self.host, self.calls)

    def _constant(self, node: torch.fx.Node) -> None:
        """A tensor that `step` made from a number."""
        value = self.recording.constants[str(node.target)]
        if value.numel() != 1:
            raise Refused(
                f"{self.owner}.step uses a tensor of shape {tuple(value.shape)} that is neither a parameter nor a "
                "buffer; register it with register_buffer"
            )
        self.filled[node] = float(value)

    def _on_host(self, node: torch.fx.Node, where: dict[torch.fx.Node, str], calls: list[HostCall]) -> None:
        if any(isinstance(n, torch.fx.Node) and n in self.data for n in node.all_input_nodes):
            raise self._refusal(node, "not elementwise")
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise self._refusal(node, "random")

        def seen(n: torch.fx.Node) -> Any:
            if n in self.filled:
                return self._filled_on_host(n)
            return Ref(self.late.get(n) or self.host[n])

        args, kwargs = map_arg((node.args, node.kwargs), cast("Any", seen))
        where[node] = node.name
        calls.append(HostCall(node.name, cast("Callable[..., Any]", node.target), tuple(args), dict(kwargs)))

    def _filled_on_host(self, node: torch.fx.Node) -> Tensor:
        value = node.meta.get("val")
        if isinstance(value, Tensor):
            return torch.full(value.shape, self.filled[node], dtype=value.dtype, device="cpu")
        return torch.tensor(self.filled[node], dtype=self.dtype, device="cpu")

    # ------------------------------------------------------------------------------------------- in the kernel

    def _elementwise(self, node: torch.fx.Node, name: str) -> Arg:
        lower = LOWERED.get(name)
        dtype = _dtype(node)
        if name == "_to_copy":
            (value,) = (self._arg(a) for a in node.args)
            if dtype == torch.bool:
                return value if self._kind(value) == "bool" else self._emit("ne", value, Constant(0.0))
            if dtype != self.dtype:
                raise self._refusal(node, f"a change to {dtype} inside a step of {self.dtype}")
            return value
        if lower is None:
            raise self._refusal(node, "unknown")
        if dtype not in (self.dtype, torch.bool):
            raise self._refusal(node, f"its value is {dtype} inside a step of {self.dtype}")
        if str(node.target).split(".")[-2].endswith("_") and not str(node.target).split(".")[-2].startswith("_"):
            self._check_in_place(node)
        args = [self._arg(a) for a in node.args] if name != "pow" else [*map(self._arg_of_pow, node.args)]
        if name.startswith("bitwise") and any(self._kind(a) != "bool" for a in args):
            raise self._refusal(node, "bits of numbers")
        kwargs = {k: self._arg(v) if isinstance(v, torch.fx.Node) else v for k, v in node.kwargs.items()}
        try:
            return lower(self._emit, args, kwargs)
        except Unsupported as problem:
            raise self._refusal(node, str(problem)) from None

    def _check_in_place(self, node: torch.fx.Node) -> None:
        """An operation in place is one that makes a new value, if nobody reads the old one afterwards."""
        target = node.args[0]
        order = list(self.recording.graph.nodes)
        if isinstance(target, torch.fx.Node) and any(order.index(u) > order.index(node) for u in target.users):
            raise self._refusal(node, "in place, on a value that is read again")

    def _emit(self, name: str, *args: Arg) -> Arg:
        assert len(args) == ARITY[name], name
        if name == "copy":
            return args[0]
        out = f"v{len(self.ops)}"
        kind = "bool" if name in BOOLEAN else "real"
        self.ops.append(Op(out, name, args, kind))
        self.kinds[out] = kind
        return out

    def _kind(self, arg: Arg) -> str:
        return self.kinds.get(arg, "real") if isinstance(arg, str) else "real"

    def _arg_of_pow(self, value: Any) -> Any:
        # the exponent decides which operation it is
        return value if isinstance(value, (int, float)) else self._arg(value)

    def _arg(self, value: Any) -> Any:
        """A node's argument as the kernel sees it."""
        if isinstance(value, torch.fx.Node):
            if value in self.data:
                return self.data[value]
            if value not in self.known:
                self.known[value] = self._number(self.filled[value]) if value in self.filled else self._parameter(value)
            return self.known[value]
        if isinstance(value, bool):
            return Constant(float(value))
        if isinstance(value, (int, float)):
            return self._number(float(value))
        return value

    def _number(self, value: float) -> Arg:
        if math.isnan(value):
            return Constant(value)
        self.numbers.append(value)
        return Number(len(self.numbers) - 1)

    def _parameter(self, node: torch.fx.Node) -> str:
        shape = _shape(node)
        if len(shape) == len(self.shape) and shape[0] != 1:
            raise Refused(f"{self.owner} reads a tensor of shape {shape}, which has an axis for the batch")
        if len(shape) > len(self.shape):
            raise Refused(f"{self.owner} reads a tensor of shape {shape} in steps of {len(self.shape)} axes")
        name = f"p{len(self.parameters)}"
        self.parameters.append(Parameter(name, math.prod(shape) != 1))
        self.inputs.append(self.host[node])
        self.kinds[name] = "bool" if _dtype(node) == torch.bool else "real"
        return name

    # ------------------------------------------------------------------------------------------- out of the kernel

    def _sum(self, node: torch.fx.Node) -> None:
        """A sum on the way to a parameter's gradient."""
        dims: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        axes = range(len(self.shape))
        gone = {d % len(self.shape) for d in (dims or axes)}
        if 0 not in gone or _dtype(node) != self.dtype:
            raise self._refusal(node, "not elementwise")
        kept = tuple(d for d in axes if d not in gone)
        (source,) = node.all_input_nodes
        per_neuron = any(self.shape[d] > 1 for d in kept)
        self.roots.append(Root(self._arg(source), per_neuron))
        self.sums.append(RootSum(node.name, _shape(node), kept if per_neuron else None))
        self.late[node] = node.name

    def _result(self, node: Any) -> Arg:
        if not isinstance(node, torch.fx.Node) or _shape(node) != self.shape:
            raise Refused(f"{self.owner}.step gives a value that is not shaped like its input")
        if _dtype(node) != self.dtype:
            raise Refused(f"{self.owner}.step gives {_dtype(node)} from an input of {self.dtype}")
        return self._arg(node)

    def _gradient(self, node: Any) -> str | None:
        if not isinstance(node, torch.fx.Node) or node in self.filled:
            return None
        if node in self.late:
            return self.late[node]
        if node in self.data:
            raise Refused(f"{self.owner} learns a tensor with an axis for the batch")
        raise Refused(f"{self.owner}.step has a gradient that depends on nothing but its parameters")

    def _refusal(self, node: torch.fx.Node, why: str) -> Refused:
        line = _line(self.neuron, _packet(node), self.shape, self.dtype)
        return Refused(f"{self.owner}.step does {node.target}, {why}{f' ({line})' if line else ''}")


def _packet(node: torch.fx.Node) -> str:
    target = node.target
    name = target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else str(target)  # pyright: ignore[reportPrivateUsage]
    return name if name.startswith("_") else name.rstrip("_")


def _value(node: torch.fx.Node) -> Any:
    value = node.meta.get("val")
    return node.meta.get("tensor_meta") if value is None else value


def _shape(node: torch.fx.Node) -> tuple[int, ...]:
    value = _value(node)
    return tuple(value.shape) if value is not None and not isinstance(value, (tuple, list)) else (-1,)


def _dtype(node: torch.fx.Node) -> Any:
    return getattr(_value(node), "dtype", None)


class _Finder(TorchDispatchMode):
    """Remembers the line that first asks for an operation."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.line = name, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.line and func.overloadpacket.__name__ == self.name:
            frames = traceback.extract_stack()[:-1]
            user = [f for f in frames if "/torch/" not in f.filename and "/snn4/kernels/" not in f.filename]
            self.line = f"{Path(user[-1].filename).name}, line {user[-1].lineno}: {user[-1].line}" if user else ""
        return func(*args, **(kwargs or {}))


def _line(neuron: Neuron, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> str:
    """Where `step` asks for an operation: found by running it once more, because a trace does not keep lines."""
    finder = _Finder(name)
    try:
        twin, x = copy.deepcopy(neuron), torch.full(shape, 0.5, dtype=dtype, device="cpu")
        with torch.no_grad(), finder:
            twin.step(x, twin.State(*(torch.full_like(x, 0.25) for _ in twin.State._fields)))
    except Exception:
        return ""  # the message is then without a line
    return finder.line
