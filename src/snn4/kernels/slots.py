"""What the compiled kernels are given: sizes and addresses, one behind the other, and how large a piece of work is."""

from __future__ import annotations

from typing import Literal, TypeAlias

from snn4.kernels.graph import StepGraph

__all__ = [
    "BACKWARD_SIZES",
    "FORWARD_SIZES",
    "TILE",
    "Mode",
    "Travels",
    "backward_slots",
    "forward_slots",
    "segment",
    "width",
]

Mode: TypeAlias = Literal["recompute", "save"]
Travels: TypeAlias = Literal["real", "bf16"]

# elements of a tile
TILE = 256
# up to so many steps, shorter tiles are faster
FEW = 5
# what is kept of a segment of a tile fits into the first cache
SEGMENT_BYTES = 32 << 10
# the first slots of every kernel's array
FORWARD_SIZES = ("T", "N", "P", "XS", "W", "K", "stream", "threads", "numbers", "x", "y")
BACKWARD_SIZES = (
    *("T", "N", "P", "XS", "W", "K", "B", "G", "stream", "threads", "numbers"),
    *("x", "gy", "gx", "partial", "sums"),
)


def width(steps: int, size: int) -> int:
    """Elements of a tile of `steps` numbers of `size` bytes: half of the room where few rows are open at a time."""
    return min(TILE, TILE * 4 // size // (1 if steps > FEW else 2))


def segment(graph: StepGraph) -> int:
    """Steps of a segment of the backward pass."""
    return max(8, SEGMENT_BYTES // (TILE * 4 * max(1, len(graph.near()))))


def forward_slots(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """What the forward function reads from its array, in order."""
    states = range(len(graph.states))
    kept = range(len(graph.saved()) if mode == "save" else 0)
    return (
        *FORWARD_SIZES,
        *(f"first{k}" for k in states),
        *(f"step{k}" for k in states),
        *(f"last{k}" for k in states),
        *(f"mark{k}" for k in states),
        *(f"kept{k}" for k in kept),
        *(p.name for p in graph.parameters),
    )


def backward_slots(graph: StepGraph, mode: Mode) -> tuple[str, ...]:
    """What the backward function reads from its array, in order."""
    states = range(len(graph.states))
    kept = range(len(graph.saved()) if mode == "save" else 0)
    return (
        *BACKWARD_SIZES,
        *(f"first{k}" for k in states),
        *(f"step{k}" for k in states),
        *(f"glast{k}" for k in states),
        *(f"gfirst{k}" for k in states),
        *(f"mark{k}" for k in states),
        *(f"kept{k}" for k in kept),
        *(p.name for p in graph.parameters),
    )
