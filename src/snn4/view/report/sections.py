"""The sections around the numbers: what was compared, on what, under which assumptions, and what is left open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from snn4.view import units
from snn4.view.report import judge
from snn4.view.report.context import Context
from snn4.view.report.figures import early_step
from snn4.view.report.html import Html, data, element, join, listing, table
from snn4.view.report.run_folder import MODELS, EnergyModel, Gap, Model

__all__ = ["assumptions", "compared", "data_used", "gaps", "glossary", "limits", "next_steps", "reproduce"]

_SMALL = 10_000  # training samples
_SILENT = 0.2  # share of neurons that never fire
# the settings that make up a training recipe, by the last part of their name
_RECIPE = (
    "epochs",
    "batch_size",
    "optimiser",
    "learning_rate",
    "neuron_rate",
    "weight_decay",
    "momentum",
    "warmup_epochs",
    "schedule",
    "clip_norm",
    "patience",
    "ema",
    "dropout",
    "label_smoothing",
    "shift",
    "flip",
)


def compared(context: Context) -> Html:
    """The networks, the budget, the fairness of the bits, the training settings."""
    texts, run = context.texts.compared, context.run
    rows: list[tuple[str | Html, list[str | Html]]] = []
    for key in MODELS:
        model = run.models.get(key)
        if model is None:
            rows.append((context.name(key), [context.texts.names.not_run, context.texts.names.not_applicable]))
            continue
        what = {"snn": texts.snn, "ann": texts.ann, "ann_quantised": texts.ann_quantised}[key].format(
            steps=context.steps(),
            weights=_number(model.weight_bits),
            activations=_number(model.activation_bits),
        )
        architecture = element("code", model.architecture) if model.architecture else context.texts.names.not_recorded
        rows.append((context.name(key), [what, architecture]))
    recipe = {name: value for name, value in run.config.items() if name.rsplit(".", 1)[-1] in _RECIPE}
    return join(
        [
            element("p", texts.intro),
            table(texts.caption, [texts.network, texts.what, texts.architecture], rows),
            _paragraph(_budget(context)),
            _paragraph(_bits(context)),
            _pairs(texts.recipe, texts.option, texts.value, recipe) if recipe else None,
        ]
    )


def _budget(context: Context) -> str | None:
    texts = context.texts.compared
    epochs = {key: model.epochs for key, model in context.run.models.items() if model.epochs is not None}
    if len(epochs) < 2:
        return None
    if len(set(epochs.values())) == 1:
        return texts.same_budget.format(epochs=_number(next(iter(epochs.values()))))
    parts = [texts.epochs_of.format(name=context.name(key), epochs=_number(value)) for key, value in epochs.items()]
    return texts.other_budget.format(budgets=context.texts.page.comma.join(parts))


def _bits(context: Context) -> str | None:
    """Whether T steps and the quantised ANN's activations are equally fine: ceil(log2(T + 1)) bits."""
    steps, quantised = context.snn.steps or context.run.steps, context.run.models.get("ann_quantised")
    if not steps or quantised is None or quantised.activation_bits is None:
        return None
    fair = math.ceil(math.log2(steps + 1))
    texts = context.texts.compared
    return (texts.fair_bits if fair == quantised.activation_bits else texts.unfair_bits).format(
        steps=_number(steps), levels=_number(steps + 1), bits=fair, actual=_number(quantised.activation_bits)
    )


def data_used(context: Context) -> Html:
    """Counts, the use of each part, classes, licence."""
    texts, run = context.texts.data, context.run
    names = context.texts.names
    parts = (
        (texts.train, run.train, texts.train_use),
        (texts.validation, run.validation, texts.validation_use),
        (texts.test, run.test, texts.test_use),
    )
    rows = [
        (name, [names.not_recorded if size is None else data(size, units.count(size)), use])
        for name, size, use in parts
    ]
    classes = context.texts.page.comma.join(run.classes)
    return join(
        [
            table(
                texts.caption.format(name=run.data_name or names.not_recorded),
                [texts.part, texts.samples, texts.use],
                rows,
            ),
            element("p", texts.policy),
            _paragraph(texts.classes.format(number=len(run.classes), names=classes) if run.classes else None),
            _paragraph(run.about),
            _paragraph(texts.licence.format(licence=run.licence) if run.licence else None),
        ]
    )


def assumptions(context: Context) -> Html:
    """Every energy model with its results and what it takes for granted."""
    texts, run = context.texts.assumptions, context.run
    notes = listing([texts.counting, texts.bracket, texts.excluded])
    models = {m.name: m for key in MODELS if key in run.models for m in run.models[key].energy_models}
    if not models:
        return join([element("p", texts.intro), notes, element("p", texts.none)])

    def pj(model: Model | None, name: str) -> Html | str:
        if model is None:
            return context.texts.names.not_run
        found = next((m.pj for m in model.energy_models if m.name == name), None)
        return context.texts.names.not_applicable if found is None else context.energy_cell(found)

    kinds = {True: texts.memory, False: texts.compute, None: context.texts.names.not_recorded}
    rows = [(name, [kinds[m.memory], *(pj(run.models.get(key), name) for key in MODELS)]) for name, m in models.items()]
    header = [texts.model, texts.kind, *(context.name(key) for key in MODELS)]
    return join(
        [
            element("p", texts.intro),
            notes,
            table(texts.caption, header, rows, class_="models"),
            _vocabulary(context, list(models)),
            _spelt_out(context, models.values()),
            _notes(context),
        ]
    )


def _spelt_out(context: Context, models: Iterable[EnergyModel]) -> Html | None:
    """The models' own words, folded away: they are long, and the vocabulary says the same in short."""
    texts = context.texts.assumptions
    entries = [join([element("dt", element("code", m.name)), element("dd", m.assumes)]) for m in models if m.assumes]
    if not entries:
        return None
    return element(
        "details",
        element("summary", texts.assumes),
        _paragraph(texts.language_note or None),
        element("dl", *entries, class_="fine"),
        class_="paper",
    )


def _notes(context: Context) -> Html | None:
    """What the profiler left out or assumed."""
    notes = [f"{context.name(model)}: {note}" for model in context.run.models.values() for note in model.notes]
    return join([element("h3", context.texts.assumptions.notes), listing(notes)]) if notes else None


def _vocabulary(context: Context, names: list[str]) -> Html | None:
    """What the parts of the models' names mean, as far as they occur here."""
    texts = context.texts.assumptions
    entries = [
        join([element("dt", element("code", word)), element("dd", meaning)])
        for word, meaning in texts.words
        if any(word in name for name in names)
    ]
    return join([element("h3", texts.vocabulary), element("dl", *entries)]) if entries else None


def limits(context: Context) -> Html:
    """What the reader must not conclude, as far as the run itself tells it."""
    texts, run, snn = context.texts.limits, context.run, context.snn
    found: list[str] = [texts.seed.format(seed=_number(run.seed))]
    if run.test and snn.test_accuracy is not None:
        half = judge.half_width(snn.test_accuracy, run.test)
        found.append(
            texts.test.format(
                test=units.count(run.test), accuracy=context.share(snn.test_accuracy), half=units.points(half, run.test)
            )
        )
    if run.train is not None and run.train < _SMALL:
        found.append(texts.small.format(train=units.count(run.train)))
    found += [texts.one_data_set, texts.chip]
    if snn.latency_ms is not None:
        found.append(texts.latency)
    if "ann" not in run.models and "ann_quantised" not in run.models:
        found.append(texts.no_ann)
    elif "ann_quantised" not in run.models:
        found.append(texts.no_quantised)
    if snn.weight_bits is not None and snn.weight_bits > 8:
        found.append(texts.bits.format(bits=_number(snn.weight_bits)))
    if snn.silent:
        layer = max(snn.silent, key=lambda name: snn.silent[name])
        if snn.silent[layer] > _SILENT:
            found.append(texts.silent.format(layer=layer, share=f"{snn.silent[layer]:.0%}"))
    if len({model.epochs for model in run.models.values() if model.epochs is not None}) > 1:
        found.append(texts.budget)
    return listing(found)


def next_steps(context: Context) -> Html:
    """What would settle what this run leaves open."""
    texts, run, snn = context.texts.next, context.run, context.snn
    other = judge.opponent(run)
    found: list[str | Html] = []
    if "ann_quantised" not in run.models:
        found.append(texts.add_ann)
    if other is not None:
        accuracy = judge.accuracy(run, other)
        mine, theirs = snn.test_accuracy, other.test_accuracy
        if accuracy is not None and accuracy.low is not None and mine is not None and theirs is not None:
            if accuracy.clear and accuracy.difference < 0:
                found.append(texts.accuracy)
            elif not accuracy.clear and accuracy.difference != 0:
                found.append(texts.more_test.format(needed=_rounded(judge.needed_samples(mine, theirs))))
        verdict = judge.energy(run, other).verdict
        if verdict in ("overlap", "contradict"):
            found.append(texts.measure_undecided)
        elif verdict == "lower":
            found.append(texts.measure_lower)
        steps = snn.steps or run.steps
        if verdict in ("higher", "overlap", "contradict") and snn.mean_firing_rate is not None and steps:
            found.append(texts.activity.format(spikes=units.amount(snn.mean_firing_rate * steps)))
    series = snn.accuracy_by_step
    if len(series) > 1 and early_step(series) < len(series):
        step = early_step(series)
        found.append(texts.fewer_steps.format(step=step, steps=len(series), accuracy=context.share(series[step - 1])))
    if snn.weight_bits is not None and snn.weight_bits > 8:
        found.append(texts.quantise)
    seeds = f"snn4 run {run.recipe} --seed {int(run.seed or 0) + 1}"
    before, _, after = texts.seeds.partition("{command}")
    found.append(join([before, element("code", seeds), after]))
    return listing(found, "ol")


def reproduce(context: Context) -> Html:
    """Command, seed, versions, every setting."""
    texts, run, compared_texts = context.texts.reproduce, context.run, context.texts.compared
    command = (
        join([element("p", texts.command), element("pre", element("code", run.command))])
        if run.command
        else element("p", texts.no_command)
    )
    return join(
        [
            command,
            element("p", texts.close),
            _pairs(texts.environment, texts.item, compared_texts.value, run.environment) if run.environment else None,
            _folded(texts.config, compared_texts.option, compared_texts.value, run.config),
            _folded(texts.expected, texts.item, compared_texts.value, run.expected),
        ]
    )


def glossary(context: Context) -> Html:
    """The words of this report."""
    return element(
        "dl", *(join([element("dt", term), element("dd", meaning)]) for term, meaning in context.texts.glossary)
    )


def gaps(context: Context, found: list[Gap]) -> Html:
    """What the report had to do without."""
    texts = context.texts.gaps
    if not found:
        return element("p", texts.none)
    words = {
        "missing": texts.missing,
        "damaged": texts.damaged,
        "lines": texts.lines,
        "field": texts.field,
        "picture": texts.picture,
    }
    return join(
        [element("p", texts.intro), listing(words[g.problem].format(piece=g.piece, number=g.number) for g in found)]
    )


def _paragraph(text: str | None) -> Html | None:
    return element("p", text) if text else None


def _pairs(caption: str, name: str, value: str, pairs: Mapping[str, str]) -> Html:
    rows = [(element("code", key), [element("span", text)]) for key, text in pairs.items()]
    return table(caption, [name, value], rows, class_="pairs")


def _folded(title: str, name: str, value: str, pairs: Mapping[str, str]) -> Html | None:
    return (
        element("details", element("summary", title), _pairs(title, name, value, pairs), class_="paper")
        if pairs
        else None
    )


def _number(value: float | None) -> str:
    return "?" if value is None else units.count(value)


def _rounded(value: int) -> str:
    """Two significant digits, upwards: the formula promises no more."""
    step = 10 ** max(0, len(str(value)) - 2)
    return f"{-(-value // step) * step:,}"
