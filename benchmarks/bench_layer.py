"""One layer of neurons, forward and backward: how near to the speed of memory, and how far from a loop over steps.

    python benchmarks/bench_layer.py                     # seven shapes, all peers that are installed
    python benchmarks/bench_layer.py --shapes large      # those of 16.8 million elements, beyond the caches
    python benchmarks/bench_layer.py --shapes 4x64x64x32x32 --repeats 9 --keep-memory

Correctness comes first: an entry that does not agree with the reference loop is not timed. Entries take turns in one
process, round by round; medians are reported. The floor is what memory allows for the same bytes, measured in the same
rounds: a streaming copy (forward: read x, write s) and a streaming sum of two (backward: read x and the gradient, write
the gradient of x). Peers run their own LIF with its ordinary options; their dynamics differ a little from ours, so they
are timed, not compared.

`bytes_MB` are the bytes that a layer of ours cannot do without: x, the spikes, their gradient and that of x, each once;
what autograd keeps for backward(), x itself once more, everything else (states, learned tensors) twice. States at rest
are no memory, and what stays in the caches, such as partial sums of a learned tensor's gradient, is not counted.
`times_bytes_at_lif` is the time divided by that which these bytes take at the bandwidth of our LIF in the same rounds:
1 is a neuron that costs what its bytes cost, however many states it has.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import time
from typing import Any

import torch
from common import ALIF, Dendrite, Layer, ours, peers, turns, write
from torch import Tensor

from snn4.kernels import build, keep_memory
from snn4.neurons import LIF

# all with as many elements as the first: beyond the caches at every T
LARGE = "4x64x64x32x32,16x64x16384,100x40x4096,500x64x512"
SHAPES = LARGE + ",16x16x16384,100x16x4096,500x16x512"

STREAM = r"""
#include <cstddef>
#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 16
#define PUT(d, v) _mm512_stream_ps(d, v)
#define GET(s) _mm512_loadu_ps(s)
#define SUM(a, b) _mm512_add_ps(a, b)
#elif defined(__AVX2__)
#include <immintrin.h>
#define WIDTH 8
#define PUT(d, v) _mm256_stream_ps(d, v)
#define GET(s) _mm256_loadu_ps(s)
#define SUM(a, b) _mm256_add_ps(a, b)
#else
#define WIDTH 1
#define PUT(d, v) *(d) = (v)
#define GET(s) (*(s))
#define SUM(a, b) ((a) + (b))
#endif
extern "C" void copy(const float* a, float* b, size_t n, int threads) {
  #pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t i = 0; i < n / WIDTH; i++) PUT(b + i * WIDTH, GET(a + i * WIDTH)); }
extern "C" void add(const float* a, const float* b, float* c, size_t n, int threads) {
  #pragma omp parallel for schedule(static) num_threads(threads)
  for (size_t i = 0; i < n / WIDTH; i++) PUT(c + i * WIDTH, SUM(GET(a + i * WIDTH), GET(b + i * WIDTH))); }
"""


def agree(layer: Layer, reference: Layer, x: Tensor, grad: Tensor) -> str:
    """How a layer differs from the reference loop, or nothing."""
    found = []
    for one in (reference, layer):
        leaf = x.detach().clone().requires_grad_()
        spikes = one(leaf)
        spikes.backward(grad)
        found.append((spikes.detach(), leaf.grad))
    (spikes, gradient), (mine, my_gradient) = found
    if not torch.equal(spikes, mine):
        return f"{int((spikes != mine).sum())} spikes differ"
    gap = float((gradient - my_gradient).abs().max())
    return "" if gap <= 1e-5 * max(1.0, float(gradient.abs().max())) else f"gradients differ by {gap:.2g}"


def moved(layer: Layer, x: Tensor) -> int:
    """The bytes that forward and backward read and write at least, by what is kept in between."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        spikes = layer(x)
    again = kept.pop(x.untyped_storage().data_ptr(), 0)
    return 2 * (x.nbytes + spikes.nbytes) + again + 2 * sum(kept.values())


def measure(
    entries: dict[str, tuple[Layer, Tensor, Tensor]], count: int, repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of forward and backward, entry by entry, round by round; the first round is thrown away.

    Args:
        entries: a layer, its input and the gradient of its output.
        count: elements of the streaming limit.
        repeats: rounds that count.
    """
    library = build.library(STREAM, label="streaming limit")
    threads = torch.get_num_threads()
    buffers = [torch.rand(count) for _ in range(3)]
    a, b, c = (ctypes.c_void_p(t.data_ptr()) for t in buffers)
    size = ctypes.c_size_t(count)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("floor", *entries)}
    for counts, name in turns(times, repeats):
        began = time.perf_counter()
        if name == "floor":
            library.copy(a, b, size, threads)
            middle = time.perf_counter()
            library.add(a, b, c, size, threads)
            pair = (middle - began, time.perf_counter() - middle)
        else:
            layer, x, grad = entries[name]
            spikes = layer(x)
            middle = time.perf_counter()
            spikes.backward(grad)
            pair = (middle - began, time.perf_counter() - middle)
            x.grad = None
            del spikes
        if counts:
            times[name].append(pair)
    return times


def entries_for(features: tuple[int, ...], *, slow: bool) -> tuple[dict[str, Layer], dict[str, tuple[Layer, Layer]]]:
    """What is timed, and what is checked against what."""
    lif, alif, dendrite = LIF(tau=10.0), ALIF(), Dendrite(features)
    entries: dict[str, Layer] = {
        "snn4 LIF": ours(lif, "c++"),
        # a neuron of its own: what was found out for a call is kept until it is called in another way
        "snn4 LIF, states saved": ours(LIF(tau=10.0), "c++", backward="save"),
        "snn4 ALIF": ours(alif, "c++"),
        "snn4 three states, learned per channel": ours(dendrite, "c++"),
    }
    loop = ours(lif, "reference")
    checks = {
        "snn4 LIF": (entries["snn4 LIF"], loop),
        "snn4 LIF, states saved": (entries["snn4 LIF, states saved"], loop),
        "snn4 ALIF": (entries["snn4 ALIF"], ours(alif, "reference")),
        "snn4 three states, learned per channel": (
            entries["snn4 three states, learned per channel"],
            ours(dendrite, "reference"),
        ),
    }
    if slow:
        entries["snn4 LIF, reference loop"] = loop
        entries.update({name: make() for name, make in peers(10.0).items()})
    return entries, checks


def main() -> None:
    """Check, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=SHAPES, help="TxBxfeatures, separated by commas, or 'large'")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--keep-memory", action="store_true", help="glibc keeps freed memory, for everybody")
    parser.add_argument("--ours-only", action="store_true", help="neither the loop nor peers, whose caches disturb")
    parser.add_argument("--out", default="layer", help="name of the file of results")
    options = parser.parse_args()
    kept = keep_memory() if options.keep_memory else False
    for text in (LARGE if options.shapes == "large" else options.shapes).split(","):
        shape = tuple(int(n) for n in text.split("x"))
        draw = torch.Generator().manual_seed(0)
        entries, checks = entries_for(shape[2:], slow=not options.ours_only)
        small = (min(shape[0], 25), 2, *shape[2:])
        x, grad = torch.randn(small, generator=draw) * 0.5 + 0.15, torch.randn(small, generator=draw)
        wrong = {name: said for name, (one, other) in checks.items() if (said := agree(one, other, x, grad))}
        if wrong:
            sys.exit(f"not timed, because results differ: {wrong}")
        x = (torch.randn(shape, generator=draw) * 0.5 + 0.15).requires_grad_()
        grad = torch.randn(shape, generator=draw)
        times = measure({name: (layer, x, grad) for name, layer in entries.items()}, x.numel(), options.repeats)
        bytes_ = {name: moved(entries[name], x) for name in checks}
        rows: dict[str, Any] = {}
        base = statistics.median(sum(pair) for pair in times["snn4 LIF"])
        for name, pairs in times.items():
            total = statistics.median(sum(pair) for pair in pairs)
            rows[name] = {
                "forward_ms": round(1e3 * statistics.median(p[0] for p in pairs), 3),
                "backward_ms": round(1e3 * statistics.median(p[1] for p in pairs), 3),
                "total_ms": round(1e3 * total, 3),
                "fastest_ms": round(1e3 * min(sum(p) for p in pairs), 3),
                "times_ours": round(total / base, 2),
                "share_of_limit": round(statistics.median(sum(p) for p in times["floor"]) / total, 3),
            }
            if name in bytes_:
                rows[name]["bytes_MB"] = round(1e-6 * bytes_[name], 1)
                rows[name]["times_bytes_at_lif"] = round(total / base * bytes_["snn4 LIF"] / bytes_[name], 2)
        setting = (", memory kept" if kept else "") + (", ours alone" if options.ours_only else "")
        write(options.out, f"{text}{setting}", {"repeats": options.repeats, "keep_memory": kept, "rows": rows})
        sys.stdout.write(f"\n{text}, {x.numel() / 1e6:.1f} million elements\n")
        for name, row in rows.items():
            sys.stdout.write(
                f"  {name:<42}{row['forward_ms']:>9.2f} +{row['backward_ms']:>9.2f} ={row['total_ms']:>9.2f} ms "
                f"{row['times_ours']:>7.2f} x ours {100 * row['share_of_limit']:>6.0f} % of the limit"
                f"{row.get('times_bytes_at_lif', ''):>7}\n"
            )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
