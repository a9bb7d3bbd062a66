"""The shape of every language: one field a text, none optional, so that a missing translation does not construct.

Words in braces are filled in by the report. All texts are plain: the page escapes them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Assumptions",
    "Compared",
    "Data",
    "Gaps",
    "Headings",
    "Limits",
    "Names",
    "Next",
    "Page",
    "Picture",
    "Pictures",
    "Reproduce",
    "Rows",
    "Summary",
    "Tags",
    "Texts",
]


@dataclass(frozen=True)
class Page:
    """The frame around everything."""

    title: str
    kicker: str
    seed: str
    contents: str
    footer: str
    seconds: str
    minutes: str
    hours: str
    dash: str
    comma: str
    between_sentences: str


@dataclass(frozen=True)
class Names:
    """What the networks are called."""

    snn: str
    ann: str
    ann_quantised: str
    ann_float: str
    not_recorded: str
    not_run: str
    not_applicable: str
    steps: str
    no_steps: str


@dataclass(frozen=True)
class Headings:
    """The sections, in their order."""

    summary: str
    compared: str
    data: str
    numbers: str
    pictures: str
    assumptions: str
    limits: str
    next: str
    reproduce: str
    glossary: str
    gaps: str


@dataclass(frozen=True)
class Tags:
    """One judgement in a few words."""

    ahead: str
    behind: str
    tie: str
    equal: str
    lower: str
    higher: str
    undecided: str
    faster: str
    slower: str
    unknown: str
    against: str


@dataclass(frozen=True)
class Summary:
    """Sentences that the numbers choose."""

    lead: str
    lead_ahead: str
    lead_draw: str
    lead_behind: str
    lead_no_accuracy: str
    lead_lower: str
    lead_higher: str
    lead_undecided: str
    lead_no_energy: str
    ahead: str
    behind: str
    equal: str
    clear: str
    noise: str
    float_ahead: str
    float_behind: str
    float_equal: str
    no_accuracy: str
    alone: str
    lower: str
    higher: str
    overlap: str
    contradict: str
    compute: str
    with_memory: str
    lies_lower: str
    lies_higher: str
    lies_overlap: str
    like_for_like: str
    formats: str
    no_energy: str
    slower: str
    faster: str
    no_latency: str
    trust: str
    trust_quantised: str
    trust_float: str
    trust_none: str


@dataclass(frozen=True)
class Compared:
    """Who took part, under which conditions."""

    intro: str
    caption: str
    network: str
    what: str
    architecture: str
    snn: str
    ann: str
    ann_quantised: str
    same_budget: str
    other_budget: str
    epochs_of: str
    fair_bits: str
    unfair_bits: str
    recipe: str
    option: str
    value: str


@dataclass(frozen=True)
class Data:
    """The data and its split."""

    caption: str
    part: str
    samples: str
    use: str
    train: str
    train_use: str
    validation: str
    validation_use: str
    test: str
    test_use: str
    policy: str
    classes: str
    licence: str


@dataclass(frozen=True)
class Rows:
    """The table of numbers."""

    caption: str
    measure: str
    test_accuracy: str
    val_accuracy: str
    parameters: str
    bytes: str
    bits: str
    bits_value: str
    steps: str
    dense_macs: str
    macs: str
    acs: str
    membrane_updates: str
    spikes: str
    mean_firing_rate: str
    compute: str
    with_memory: str
    latency: str
    latency_p95: str
    epochs: str
    train_time: str
    per_sample: str
    layers: str
    layers_note: str


@dataclass(frozen=True)
class Picture:
    """One picture: its heading, how to read it, and what it shows for those who cannot see it."""

    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Pictures:
    """All pictures, in their order."""

    accuracy_by_step: Picture
    energy: Picture
    learning: Picture
    confusion: Picture
    sample: Picture
    raster: Picture
    membrane: Picture
    spike_times: Picture
    firing_rates: Picture
    weights: Picture
    language_note: str
    absent: str
    early: str
    worst_pair: str
    no_mistake: str
    sample_right: str
    sample_wrong: str
    sample_unknown: str
    some_layers: str
    busiest: str


@dataclass(frozen=True)
class Assumptions:
    """What the energy models take for granted."""

    intro: str
    counting: str
    bracket: str
    excluded: str
    caption: str
    model: str
    kind: str
    compute: str
    memory: str
    assumes: str
    language_note: str
    vocabulary: str
    words: tuple[tuple[str, str], ...]
    notes: str
    none: str


@dataclass(frozen=True)
class Limits:
    """What cannot be concluded."""

    seed: str
    test: str
    small: str
    one_data_set: str
    chip: str
    no_quantised: str
    no_ann: str
    latency: str
    bits: str
    silent: str
    budget: str


@dataclass(frozen=True)
class Next:
    """What would settle the open questions."""

    seeds: str
    more_test: str
    accuracy: str
    measure_undecided: str
    measure_lower: str
    activity: str
    fewer_steps: str
    quantise: str
    add_ann: str


@dataclass(frozen=True)
class Reproduce:
    """How to get the same numbers again."""

    command: str
    no_command: str
    close: str
    environment: str
    item: str
    config: str
    expected: str


@dataclass(frozen=True)
class Gaps:
    """Missing pieces."""

    none: str
    intro: str
    missing: str
    damaged: str
    lines: str
    field: str
    picture: str


@dataclass(frozen=True)
class Texts:
    """Everything the report says in one language."""

    lang: str
    page: Page
    names: Names
    headings: Headings
    tags: Tags
    summary: Summary
    compared: Compared
    data: Data
    rows: Rows
    pictures: Pictures
    assumptions: Assumptions
    limits: Limits
    next: Next
    reproduce: Reproduce
    glossary: tuple[tuple[str, str], ...]
    gaps: Gaps
