"""The first screen: what the numbers allow to say, in a few sentences and four cards."""

from __future__ import annotations

from snn4.view import units
from snn4.view.report import judge
from snn4.view.report.context import Context
from snn4.view.report.html import Html, element, join
from snn4.view.report.run_folder import Model

__all__ = ["summary"]


def summary(context: Context) -> Html:
    """Cards, sentences and the statement of trust."""
    other = judge.opponent(context.run)
    texts = context.texts.summary
    lead = None
    if other is None:
        paragraphs = [texts.alone]
        trust = texts.trust_none
    else:
        lead = element("p", _lead(context, other), class_="lead")
        paragraphs = [accuracy(context, other), energy(context, other), latency(context, other)]
        trust = texts.trust_quantised if other.key == "ann_quantised" else texts.trust_float
    return join(
        [
            lead,
            element("div", *_cards(context, other), class_="cards"),
            *(element("p", text) for text in paragraphs),
            element("aside", element("h3", texts.trust), element("p", trust), class_="trust"),
        ]
    )


def _lead(context: Context, other: Model) -> str:
    """One sentence that a hurried reader takes away."""
    texts, found = context.texts.summary, judge.accuracy(context.run, other)
    first = texts.lead_no_accuracy
    if found is not None:
        # without a number of test samples nothing says that the difference is chance
        settled = found.difference != 0 and (found.low is None or found.clear)
        first = texts.lead_draw if not settled else texts.lead_ahead if found.difference > 0 else texts.lead_behind
    verdict = judge.energy(context.run, other).verdict
    second = {
        None: texts.lead_no_energy,
        "lower": texts.lead_lower,
        "higher": texts.lead_higher,
        "overlap": texts.lead_undecided,
        "contradict": texts.lead_undecided,
    }[verdict]
    return texts.lead.format(accuracy=first.format(opponent=context.opponent_name(other)), energy=second)


def accuracy(context: Context, other: Model) -> str:
    """Who is ahead on accuracy, and whether the test samples can tell."""
    texts, run = context.texts.summary, context.run
    found = judge.accuracy(run, other)
    if found is None:
        return texts.no_accuracy
    mine, theirs = context.snn.test_accuracy or 0.0, other.test_accuracy or 0.0
    choice = texts.equal if found.difference == 0 else texts.ahead if found.difference > 0 else texts.behind
    first = choice.format(
        snn=context.share(mine),
        other=context.share(theirs),
        opponent=context.opponent_name(other),
        points=units.points(found.difference, run.test),
        test=units.count(run.test) if run.test else "?",
    )
    chance = None
    if found.difference != 0 and found.low is not None and found.high is not None:
        chance = (texts.clear if found.clear else texts.noise).format(
            low=units.signed(found.low, run.test), high=units.signed(found.high, run.test)
        )
    return context.sentences(first, chance, _against_float(context, other))


def _against_float(context: Context, other: Model) -> str | None:
    ann = context.run.models.get("ann")
    if ann is None or ann is other or ann.test_accuracy is None or context.snn.test_accuracy is None:
        return None
    texts = context.texts.summary
    difference = context.snn.test_accuracy - ann.test_accuracy
    choice = texts.float_equal if difference == 0 else texts.float_ahead if difference > 0 else texts.float_behind
    return choice.format(other=context.share(ann.test_accuracy), points=units.points(difference, context.run.test))


def energy(context: Context, other: Model) -> str:
    """Where the modelled ranges lie, and whether they can decide."""
    texts = context.texts.summary
    found = judge.energy(context.run, other)
    if found.verdict is None:
        return texts.no_energy
    headline = {
        "lower": texts.lower,
        "higher": texts.higher,
        "overlap": texts.overlap,
        "contradict": texts.contradict,
    }[found.verdict].format(opponent=context.opponent_name(other))
    positions = {"lower": texts.lies_lower, "higher": texts.lies_higher, "overlap": texts.lies_overlap}
    clauses: list[str] = []
    for template, mine, theirs, position in (
        (texts.compute, context.snn.compute, other.compute, found.compute),
        (texts.with_memory, context.snn.with_memory, other.with_memory, found.with_memory),
    ):
        if mine is not None and theirs is not None and position is not None:
            clauses.append(
                template.format(snn=context.range(mine), other=context.range(theirs), position=positions[position])
            )
    return context.sentences(headline, *clauses, _formats(context, other), _like_for_like(context, other))


def _formats(context: Context, other: Model) -> str | None:
    mine, theirs = context.snn.weight_bits, other.weight_bits
    if mine is None or theirs is None or mine == theirs:
        return None
    return context.texts.summary.formats.format(
        mine=units.count(mine), theirs=units.count(theirs), opponent=context.opponent_name(other)
    )


def _like_for_like(context: Context, other: Model) -> str | None:
    """Against the opponent, or else against the float ANN, whose numbers are those of the SNN."""
    for model in (other, context.run.models.get("ann")):
        lower, count = (0, 0) if model is None else judge.like_for_like(context.run, model)
        if model is not None and count:
            name = context.opponent_name(model)
            return context.texts.summary.like_for_like.format(lower=lower, all=count, network=name)
    return None


def latency(context: Context, other: Model) -> str:
    """How long one sample takes here, and why that says little about a chip."""
    texts, mine, theirs = context.texts.summary, context.snn.latency_ms, other.latency_ms
    ratio = judge.slowdown(context.run, other)
    if ratio is None or mine is None or theirs is None:
        return texts.no_latency
    return (texts.slower if ratio >= 1 else texts.faster).format(
        snn=context.latency(mine),
        other=context.latency(theirs),
        steps=context.steps(),
        opponent=context.opponent_name(other),
        ratio=units.amount(round(max(ratio, 1 / ratio), 1)),
    )


def _cards(context: Context, other: Model | None) -> list[Html]:
    """One card a question: the SNN's number, the opponent's, and a word of judgement."""
    rows, snn, names = context.texts.rows, context.snn, context.texts.names
    tags = _tags(context, other)
    shown: list[tuple[str, str | None, str | None]] = [
        (
            rows.test_accuracy,
            None if snn.test_accuracy is None else context.share(snn.test_accuracy),
            None if other is None or other.test_accuracy is None else context.share(other.test_accuracy),
        ),
        (
            rows.compute,
            context.range(snn.compute) if snn.compute else None,
            context.range(other.compute) if other and other.compute else None,
        ),
        (
            rows.with_memory,
            context.range(snn.with_memory) if snn.with_memory else None,
            context.range(other.with_memory) if other and other.with_memory else None,
        ),
        (
            rows.latency,
            context.latency(snn.latency_ms) if snn.latency_ms else None,
            context.latency(other.latency_ms) if other and other.latency_ms else None,
        ),
    ]
    cards: list[Html] = []
    for (title, mine, theirs), (tone, tag) in zip(shown, tags, strict=True):
        against = None
        if other is not None:
            before, _, after = context.texts.tags.against.partition("{value}")
            value = element("span", theirs or names.not_recorded, class_="whole")
            against = join([before.format(opponent=context.opponent_name(other)), value, after])
        cards.append(
            element(
                "div",
                element("p", title, class_="label"),
                element("p", mine or names.not_recorded, class_="value"),
                element("p", against, class_="against"),
                element("p", tag, class_=f"tag {tone}"),
                class_="card",
            )
        )
    return cards


def _tags(context: Context, other: Model | None) -> list[tuple[str, str]]:
    """Tone and words for accuracy, the two energies and latency."""
    texts = context.texts.tags
    unknown = ("open", texts.unknown)
    if other is None:
        return [unknown] * 4
    found, ranges = judge.accuracy(context.run, other), judge.energy(context.run, other)
    ratio = judge.slowdown(context.run, other)
    accuracy_tag = unknown
    if found is not None:
        accuracy_tag = ("good", texts.ahead) if found.difference > 0 else ("bad", texts.behind)
        if found.difference == 0:
            accuracy_tag = ("open", texts.equal)
        elif found.low is not None and not found.clear:
            accuracy_tag = ("open", texts.tie)
    words = {"lower": ("good", texts.lower), "higher": ("bad", texts.higher), "overlap": ("open", texts.undecided)}
    time_tag = unknown if ratio is None else ("bad", texts.slower) if ratio >= 1 else ("good", texts.faster)
    compute, memory = (unknown if v is None else words[v] for v in (ranges.compute, ranges.with_memory))
    return [accuracy_tag, compute, memory, time_tag]
