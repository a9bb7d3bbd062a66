"""The pictures of the report: which to draw from what was recorded, and what each says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from snn4.core.errors import Snn4Error
from snn4.view import pictures, units
from snn4.view.pictures.canvas import LOOKS, figure
from snn4.view.report.context import Context
from snn4.view.report.html import Html, element
from snn4.view.report.run_folder import MODELS, Gap
from snn4.view.report.svg import data_uri
from snn4.view.texts.catalogue import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_all"]

_LAYERS, _NEURONS = 6, 3  # how many layers, and membranes of each, a picture shows
_TIMING = ("time", "moments", "window", "threshold", "input", "v", "i", "spikes", "hidden", "output")
_WIDTH = 8.2  # inches; the page scales it


@dataclass(frozen=True)
class Drawn:
    """A finished figure.

    Args:
        figure: what to show.
        alt: its content in words.
        facts: what these very numbers say, added to the caption.
        photo: whether its colours are content, and so must not follow dark mode.
    """

    figure: Figure
    alt: str
    facts: Sequence[str] = ()
    photo: bool = False


def draw_all(context: Context) -> tuple[list[Html], list[Gap]]:
    """All pictures as HTML figures, in their order, and those that could not be drawn."""
    texts = context.texts.pictures
    plan: list[tuple[Picture, Callable[[Context], Drawn | None]]] = [
        (texts.energy, _energy),
        (texts.learning, _learning),
        (texts.confusion, _confusion),
    ]
    if context.snn.event_driven:
        plan.append((texts.spike_times, _spike_times))
    else:
        plan.insert(0, (texts.accuracy_by_step, _accuracy_by_step))
        plan += [(texts.sample, _sample), (texts.raster, _raster), (texts.membrane, _membrane)]
        plan.append((texts.firing_rates, _firing_rates))
    plan.append((texts.weights, _weights))
    made: list[Html] = []
    gaps: list[Gap] = []
    for words, draw in plan:
        try:
            drawn = draw(context)
        except (Snn4Error, ValueError, TypeError):
            # what was recorded has a shape that no picture knows: said on the page, the other pictures go on
            gaps.append(Gap(words.title, "picture"))
            drawn = None
        made.append(_html(context, words, drawn))
    return made, gaps


def _html(context: Context, words: Picture, drawn: Drawn | None) -> Html:
    title = element("h3", words.title)
    if drawn is None:
        return element("figure", title, element("p", context.texts.pictures.absent, class_="absent"))
    image = element("img", src=data_uri(drawn.figure), alt=drawn.alt, class_="photo" if drawn.photo else None)
    gap = context.texts.page.between_sentences
    facts = element("b", context.sentences(*drawn.facts)) if drawn.facts else None
    return element("figure", title, image, element("figcaption", words.caption, gap if facts else None, facts))


def _tensors(context: Context, group: str) -> dict[str, npt.NDArray[Any]]:
    """The recorded tensors `group/<name>`, by name, in the order of the layers as far as it is known."""
    prefix = group + "/"
    found = {key[len(prefix) :]: value for key, value in context.run.tensors.items() if key.startswith(prefix)}
    order = {name: number for number, name in enumerate(context.snn.firing_rate)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), _natural(item[0]))))


def _natural(name: str) -> list[tuple[int, str]]:
    """Layer 10 after layer 9.

    Example:
        >>> sorted(["10", "9", "2.lif"], key=_natural)
        ['2.lif', '9', '10']
    """
    return [(int(part), "") if part.isdigit() else (1 << 30, part) for part in name.split(".")]


def _spread(names: Sequence[str], most: int = _LAYERS) -> list[str]:
    """At most `most` names, first and last among them, the others evenly between."""
    if len(names) <= most:
        return list(names)
    return [names[round(k * (len(names) - 1) / (most - 1))] for k in range(most)]


def _grid(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` axes in rows of `columns`."""
    columns = min(columns, count)
    rows = -(-count // columns)
    drawing = figure(_WIDTH, height * rows + 0.2)
    return drawing, [drawing.add_subplot(rows, columns, k + 1) for k in range(count)]


def _columns(shown: Sequence[str]) -> int:
    """Full rows, as far as possible."""
    return 2 if len(shown) in (2, 4) else 3


def _some(context: Context, shown: Sequence[str], everything: Sequence[str]) -> list[str]:
    texts = context.texts.pictures
    return [texts.some_layers.format(shown=len(shown), all=len(everything))] if len(shown) < len(everything) else []


def _join(context: Context, parts: Sequence[str]) -> str:
    return context.texts.page.comma.join(parts)


def _accuracy_by_step(context: Context) -> Drawn | None:
    series, texts = context.snn.accuracy_by_step, context.texts.pictures
    if not series:
        return None
    others = {key: m.test_accuracy for key, m in context.run.models.items() if key != "snn"}
    references = {key: value for key, value in others.items() if value is not None}
    drawing, (ax,) = _grid(1, 1, 3.1)
    pictures.accuracy_by_step(series, references=references, ax=ax, title="")
    alt = texts.accuracy_by_step.alt.format(
        first=context.share(series[0]), last=context.share(series[-1]), steps=len(series)
    )
    step = early_step(series)
    facts = [texts.early.format(step=step, steps=len(series))] if len(series) > 1 else []
    return Drawn(drawing, alt, facts)


def early_step(series: Sequence[float]) -> int:
    """The first step from which on the accuracy stays within one point of the last.

    Example:
        >>> early_step([0.5, 0.953, 0.94, 0.955, 0.96])
        4
    """
    far = [t for t, value in enumerate(series, start=1) if abs(value - series[-1]) > 0.01 + 1e-9]
    return far[-1] + 1 if far else 1


def _energy(context: Context) -> Drawn | None:
    energies: dict[str, dict[str, tuple[float, float]]] = {}
    for key, model in context.run.models.items():
        pairs = {"compute": model.compute, "with_memory": model.with_memory}
        found = {kind: (pair.low, pair.high) for kind, pair in pairs.items() if pair is not None}
        if found:
            energies[key] = found
    if not energies:
        return None
    drawing, (ax,) = _grid(1, 1, 0.9 + 0.36 * sum(map(len, energies.values())))
    pictures.energy_bars(energies, ax=ax, title="")
    kinds = {"compute": context.texts.assumptions.compute, "with_memory": context.texts.assumptions.memory}
    dash = context.texts.page.dash
    ranges = [
        f"{context.name(key)} ({kinds[kind]}): {units.energy_range(*pair, dash)}"
        for key, found in energies.items()
        for kind, pair in found.items()
    ]
    return Drawn(drawing, context.texts.pictures.energy.alt.format(ranges=_join(context, ranges)))


def _learning(context: Context) -> Drawn | None:
    rows = [row for row in context.run.metrics if row.get("model") in MODELS]
    if not rows:
        return None
    drawing, (left, right) = _grid(2, 2, 3.0)
    pictures.learning_curves(rows, measure="accuracy", ax=left)
    pictures.learning_curves(rows, measure="loss", ax=right)
    # the two panels share one legend
    shown = right.get_legend()
    if shown is not None:
        shown.remove()
    names = [context.name(str(key)) for key in dict.fromkeys(row["model"] for row in rows)]
    return Drawn(drawing, context.texts.pictures.learning.alt.format(models=_join(context, names)))


def _confusion(context: Context) -> Drawn | None:
    tensors = _tensors(context, "confusion")
    found = [key for key in MODELS if key in tensors]
    if not found:
        return None
    texts, classes = context.texts.pictures, context.run.classes
    drawing, panels = _grid(len(found), 3, 2.9)
    for key, ax in zip(found, panels, strict=True):
        counts = tensors[key]
        names = classes if len(classes) == len(counts) else None
        pictures.confusion(counts, classes=names, ax=ax, title=LOOKS[key].name)
    facts: list[str] = []
    if "snn" in found:
        counts = tensors["snn"]
        names = classes if len(classes) == len(counts) else [str(c) for c in range(len(counts))]
        wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
        true, predicted = (int(k) for k in np.unravel_index(int(wrong.argmax()), wrong.shape))
        facts.append(
            texts.worst_pair.format(
                true=names[true],
                predicted=names[predicted],
                count=units.count(float(wrong[true, predicted])),
                total=units.count(float(counts[true].sum())),
            )
            if wrong.max() > 0
            else texts.no_mistake
        )
    alt = texts.confusion.alt.format(models=_join(context, [context.name(key) for key in found]))
    return Drawn(drawing, alt, facts)


def _sample(context: Context) -> Drawn | None:
    tensors, texts, classes = context.run.tensors, context.texts.pictures, context.run.classes
    image, output = tensors.get("sample/image"), tensors.get("output")
    if image is None or output is None:
        return None
    label, prediction = (_whole(tensors.get(f"sample/{name}")) for name in ("label", "prediction"))
    if prediction is None:
        prediction = int(output.mean(axis=0).argmax())
    names = classes if len(classes) == output.shape[-1] else [str(c) for c in range(output.shape[-1])]
    drawing = figure(_WIDTH, 3.0)
    left, right = drawing.subplots(1, 2, width_ratios=(1, 2.2))
    pictures.sample_input(image, ax=left)
    pictures.outputs(output, classes=names, label=label, prediction=prediction, ax=right)
    words = texts.sample_unknown if label is None else texts.sample_right if label == prediction else texts.sample_wrong
    fact = words.format(label="" if label is None else names[label], prediction=names[prediction])
    return Drawn(drawing, texts.sample.alt.format(steps=len(output)), [fact], photo=True)


def _whole(value: npt.NDArray[Any] | None) -> int | None:
    return None if value is None or value.size != 1 else int(value.reshape(-1)[0])


def _raster(context: Context) -> Drawn | None:
    tensors, texts = _tensors(context, "raster"), context.texts.pictures
    if not tensors:
        return None
    shown = _spread(list(tensors))
    drawing, panels = _grid(len(shown), _columns(shown), 2.4)
    for name, ax in zip(shown, panels, strict=True):
        pictures.raster(tensors[name], ax=ax, title=f"Layer {name}")
    shares = [f"{name}: {units.percent(float((tensors[name] != 0).mean()))}" for name in shown]
    alt = texts.raster.alt.format(layers=_join(context, shown), shares=_join(context, shares))
    return Drawn(drawing, alt, _some(context, shown, list(tensors)))


def _membrane(context: Context) -> Drawn | None:
    tensors, texts = _tensors(context, "membrane"), context.texts.pictures
    if not tensors:
        return None
    thresholds, spikes = _tensors(context, "threshold"), _tensors(context, "spikes")
    shown = _spread(list(tensors), 4)
    traces = {name: tensors[name].reshape(len(tensors[name]), -1) for name in shown}
    neurons = max(min(_NEURONS, trace.shape[1]) for trace in traces.values())
    drawing = figure(_WIDTH, 1.7 * len(shown) + 0.3)
    places = [(row, k) for row, name in enumerate(shown) for k in range(min(neurons, traces[name].shape[1]))]
    for row, k in places:
        name, ax = shown[row], drawing.add_subplot(len(shown), neurons, row * neurons + k + 1)
        level, fired = thresholds.get(name), spikes.get(name)
        pictures.membrane(
            traces[name][:, k],
            threshold=None if level is None else level.reshape(-1)[k if level.size > 1 else 0],
            spikes=None if fired is None else fired.reshape(len(fired), -1)[:, k],
            ax=ax,
            title=f"Layer {name}, example {k + 1}",
        )
        # the caption names the marks, and outer labels serve all panels
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
        if k > 0:
            ax.set_ylabel("")
        if name != shown[-1]:
            ax.set_xlabel("")
    return Drawn(drawing, texts.membrane.alt.format(layers=_join(context, shown)), _some(context, shown, list(tensors)))


def _spike_times(context: Context) -> Drawn | None:
    tensors, texts, classes = context.run.tensors, context.texts.pictures, context.run.classes
    found = {key: tensors.get(f"timing/{key}") for key in _TIMING}
    if any(value is None for value in found.values()):
        return None
    arrays = {key: value for key, value in found.items() if value is not None}
    time, window, spikes = arrays["time"], float(arrays["window"]), arrays["spikes"]
    level = float(arrays["threshold"])
    drawing, (top_left, top_right, left, right) = _grid(4, 2, 2.7)
    pictures.events(arrays["input"][:, 0], arrays["input"][:, 1], window=window, ax=top_left, title="Input spikes")
    pictures.potential(
        arrays["moments"],
        arrays["v"],
        current=arrays["i"],
        threshold=level,
        spikes=spikes,
        ax=top_right,
        title="One hidden neuron",
    )
    pictures.potentials(time, arrays["hidden"], threshold=level, ax=left, title="Hidden potentials")
    answer = int(arrays["output"][-1].argmax())
    names = classes if len(classes) == arrays["output"].shape[1] else [str(c) for c in range(arrays["output"].shape[1])]
    pictures.potentials(time, arrays["output"], names=names, chosen=answer, ax=right, title="Output potentials")
    label = _whole(tensors.get("sample/label"))
    words = texts.sample_unknown if label is None else texts.sample_right if label == answer else texts.sample_wrong
    fact = words.format(label="" if label is None else names[label], prediction=names[answer])
    return Drawn(drawing, texts.spike_times.alt.format(spikes=len(spikes)), [fact])


def _firing_rates(context: Context) -> Drawn | None:
    snn, texts = context.snn, context.texts.pictures
    if not snn.firing_rate:
        return None
    drawing, (ax,) = _grid(1, 1, 0.9 + 0.3 * len(snn.firing_rate))
    pictures.firing_rates(snn.firing_rate, silent=snn.silent, saturated=snn.saturated, ax=ax, title="")
    rates = [f"{name}: {units.amount(rate)}" for name, rate in snn.firing_rate.items()]
    busiest = max(snn.firing_rate, key=lambda name: snn.firing_rate[name])
    fact = texts.busiest.format(layer=busiest, rate=units.amount(snn.firing_rate[busiest]))
    return Drawn(drawing, texts.firing_rates.alt.format(rates=_join(context, rates)), [fact])


def _weights(context: Context) -> Drawn | None:
    tensors, texts = _tensors(context, "weights"), context.texts.pictures
    names = [name[: -len("/counts")] for name in tensors if name.endswith("/counts")]
    names = [name for name in names if f"{name}/edges" in tensors]
    if not names:
        return None
    shown = _spread(names)
    drawing, panels = _grid(len(shown), _columns(shown), 2.0)
    for name, ax in zip(shown, panels, strict=True):
        pictures.weights(tensors[f"{name}/counts"], tensors[f"{name}/edges"], ax=ax, title=f"Layer {name}")
    return Drawn(drawing, texts.weights.alt.format(layers=_join(context, shown)), _some(context, shown, names))
