"""The table that puts the networks side by side, and the layers behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from snn4.view import units
from snn4.view.report.context import Context
from snn4.view.report.html import Html, data, element, join, table
from snn4.view.report.run_folder import MODELS, Model, Range

__all__ = ["numbers"]


@dataclass(frozen=True)
class _Measure:
    """One row.

    Args:
        label: what the row holds.
        cell: its cell for a network; `None` where it was not recorded.
        spiking: whether only a network with time has it.
    """

    label: str
    cell: Callable[[Model], Html | None]
    spiking: bool = False


def numbers(context: Context) -> Html:
    """One row a measure, one column a network; a network that was not run says so in every cell."""
    rows = context.texts.rows
    body = [(measure.label, [_cell(context, key, measure) for key in MODELS]) for measure in _measures(context)]
    main = table(rows.caption, [rows.measure, *(context.name(key) for key in MODELS)], body, class_="numbers")
    return join([main, *(_layers(context, model) for model in context.run.models.values() if model.layers)])


def _cell(context: Context, key: str, measure: _Measure) -> Html | str:
    names = context.texts.names
    model = context.run.models.get(key)
    if model is None:
        return element("span", names.not_run, class_="none")
    if measure.spiking and key != "snn":
        return names.not_applicable
    made = measure.cell(model)
    if made is not None:
        return made
    return element("span", names.not_recorded, class_="none")


def _measures(context: Context) -> list[_Measure]:
    texts = context.texts.rows

    def number(value: float | None, text: Callable[[float], str]) -> Html | None:
        return None if value is None else data(value, text(value))

    def energy(value: Range | None) -> Html | None:
        return None if value is None else context.energy_cell(value)

    def bits(model: Model) -> Html | None:
        if model.weight_bits is None or model.activation_bits is None:
            return None
        weights, activations = units.count(model.weight_bits), units.count(model.activation_bits)
        return element("span", texts.bits_value.format(weights=weights, activations=activations))

    def steps(model: Model) -> Html | None:
        if model.event_driven:
            return element("span", context.texts.names.no_steps)
        return number(model.steps, units.count)

    def each(label: str) -> str:
        return texts.per_sample.format(measure=label)

    return [
        _Measure(texts.test_accuracy, lambda m: number(m.test_accuracy, context.share)),
        _Measure(texts.val_accuracy, lambda m: number(m.val_accuracy, units.percent)),
        _Measure(texts.parameters, lambda m: number(m.parameters, units.count)),
        _Measure(texts.bytes, lambda m: number(m.bytes, units.bytes_text)),
        _Measure(texts.bits, bits),
        _Measure(texts.steps, steps),
        _Measure(each(texts.dense_macs), lambda m: number(m.dense_macs, units.count)),
        _Measure(each(texts.macs), lambda m: number(m.macs, units.count)),
        _Measure(each(texts.acs), lambda m: number(m.acs, units.count)),
        _Measure(each(texts.membrane_updates), lambda m: number(m.membrane_updates, units.count), spiking=True),
        _Measure(each(texts.spikes), lambda m: number(m.spikes, units.count), spiking=True),
        _Measure(texts.mean_firing_rate, lambda m: number(m.mean_firing_rate, units.amount), spiking=True),
        _Measure(each(texts.compute), lambda m: energy(m.compute)),
        _Measure(each(texts.with_memory), lambda m: energy(m.with_memory)),
        _Measure(texts.latency, lambda m: number(m.latency_ms, units.milliseconds)),
        _Measure(texts.latency_p95, lambda m: number(m.latency_ms_p95, units.milliseconds)),
        _Measure(texts.epochs, lambda m: number(m.epochs, units.count)),
        _Measure(texts.train_time, lambda m: number(m.train_seconds, context.duration)),
    ]


def _layers(context: Context, model: Model) -> Html:
    """The profiler's rows of one network, folded away."""
    texts = context.texts.rows
    title = texts.layers.format(name=context.name(model))
    # synapses and neurons are counted differently: one table each, so that no cell is empty
    groups: dict[str | float, list[Mapping[str, str | float]]] = {}
    for row in model.layers:
        groups.setdefault(row.get("kind", ""), []).append(row)
    tables = [_layer_table(context, title, rows) for rows in groups.values()]
    return element("details", element("summary", title), element("p", texts.layers_note), *tables)


def _layer_table(context: Context, title: str, rows: Sequence[Mapping[str, str | float]]) -> Html:
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: str | float | None) -> Html | str:
        if value is None:
            return context.texts.names.not_applicable
        return (
            value
            if isinstance(value, str)
            else data(value, units.count(value) if value >= 100 else units.amount(value))
        )

    first, rest = columns[0], columns[1:]
    body = [(str(row.get(first, "")), [cell(row.get(column)) for column in rest]) for row in rows]
    return table(title, [element("code", column) for column in columns], body, class_="layers")
