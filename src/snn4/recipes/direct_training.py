"""One recipe, one network: every surrogate, every route through time and every neuron, then the best of each again.

The short part trains each member once, with one seed and a small budget: every surrogate with LIF and BPTT, every
route with LIF and ATan, every neuron with BPTT and its own surrogate. Validation then chooses the best of each kind.
These and the common baseline (LIF, ATan, BPTT) are trained with several seeds and the full budget. What cannot be
trained stands in the table with the reason. Members come with their defaults: nobody has tuned any of them here, and a
member that was made for long sequences or physical units may do badly at T = 4 for that reason alone.

`--kinds`, `--only` and `--no-full` make parts of the study, `snn4 resume` goes on with what is left.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from snn4.core.errors import OptionError, suggest
from snn4.recipes import members
from snn4.recipes.fixed import ROUTE, settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.search import experiment_of, folder_name
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import Cells, Row, grouped, table
from snn4.recipes.trials import Trial, best, run_trials, seeds_of
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "arms", "main"]

TITLE = "Every surrogate, route and neuron in one recipe, Fashion-MNIST, T = 4"
# a comparison: whatever comes out
EXPECTED: dict[str, float] = {}

Kind = Literal["surrogates", "routes", "neurons"]
# what stands in the table, the route's settings, the order of time, and the neuron where it is not LIF
_ROUTES: tuple[tuple[str, str, tuple[str, ...], Literal["no", "batch", "step"], str], ...] = (
    ("BPTT, truncate=2", "bptt", ("truncate=2",), "no", "lif"),
    ("SLTT", "sltt", (), "batch", "lif"),
    ("SLTT, k=2", "sltt", ("k=2",), "batch", "lif"),
    ("OTTT", "ottt", (), "batch", "lif"),
    ("OTTT, a step of the optimiser each step", "ottt", (), "step", "lif"),
    ("EProp", "eprop", (), "batch", "lif"),
    ("DSR", "dsr", (), "no", "lif"),
    ("DSR with DSRIF", "dsr", (), "no", "dsrif"),
    ("DSR with DSRLIF", "dsr", (), "no", "dsrlif"),
)
# what a neuron needs besides its defaults
_NEEDS = {"maskedpsn": ("k=2",)}


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the study."""

    seed: int = 0
    """The first seed; the short part has no other."""
    seeds: int = 3
    """How many the full part has, counted up from the first."""
    kinds: tuple[Kind, ...] = ("surrogates", "routes", "neurons")
    """Which kinds of members are compared."""
    only: tuple[str, ...] = ()
    """Only these members, by the names that the table has; without it all."""
    full: bool = True
    """Whether the best are trained with several seeds and the full budget."""
    best: int = 3
    """How many of each kind validation chooses for the full part."""
    epochs: int = 5
    """Passes over the training split, in the short part."""
    limit: int | None = 10_000
    """Use only so many training samples, in the short part."""
    full_epochs: int = 10
    """Passes over the training split, in the full part."""
    full_limit: int | None = None
    """Use only so many training samples, in the full part."""
    steps: int = 4
    """Time steps."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the stages of convolution; the first two halve the map."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden dense layers."""
    neuron: NeuronOptions = dataclasses.field(default_factory=NeuronOptions)
    """Of the runs that do not vary the neuron, an LIF; its surrogate, of those that do not vary it."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(weight_decay=0.05, shift=1, flip=True, autocast=True, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(
            seeds=1,
            only=("Triangle", "EProp"),
            best=1,
            epochs=1,
            limit=256,
            full_epochs=1,
            full_limit=256,
            steps=2,
            channels=(4, 8),
            hidden=(16,),
        )


def arms(config: Config) -> dict[tuple[str, str], tuple[NeuronOptions, TrainingOptions]]:
    """What is compared: kind and member to the options that make it; the baseline first.

    Raises:
        OptionError: `--only` names a member that there is not.
    """
    neuron, train = config.neuron, config.train
    usual = members.surrogate_member("--neuron.surrogate", neuron.surrogate or "atan")
    found = {("baseline", f"LIF, {usual.__name__}, BPTT"): (neuron, train)}
    if "surrogates" in config.kinds:
        for name, member in members.surrogates().items():
            if member is not usual:
                changed = dataclasses.replace(neuron, surrogate=name, surrogate_settings=())
                found["surrogate", member.__name__] = (changed, train)
    if "routes" in config.kinds:
        for label, route, settings, online, kind in _ROUTES:
            changed = dataclasses.replace(train, route=route, route_settings=settings, online=online)
            found["route", label] = (dataclasses.replace(neuron, kind=kind), changed)
    if "neurons" in config.kinds:
        own = NeuronOptions(detach_reset=neuron.detach_reset)
        for name, member in members.kinds().items():
            if name != "lif":
                options = dataclasses.replace(own, kind=name, settings=_NEEDS.get(name, ()))
                found["neuron", member.__name__] = (options, train)
    if config.only:
        known = [member for _, member in found]
        for name in config.only:
            if name not in known:
                raise OptionError(
                    f"--only got {name!r}", "a member of the kinds that are compared", suggest(name, known)
                )
        found = {key: value for key, value in found.items() if key[0] == "baseline" or key[1] in config.only}
    return found


def _trials(config: Config, keys: Sequence[tuple[str, str]], budget: Literal["short", "full"]) -> Iterator[Trial]:
    """The runs of these members, seed by seed."""
    made = arms(config)
    full = budget == "full"
    for seed in seeds_of(config) if full else (config.seed,):
        for kind, member in keys:
            neuron, train = made[kind, member]
            one = dataclasses.replace(
                config,
                seed=seed,
                neuron=neuron,
                train=train,
                epochs=config.full_epochs if full else config.epochs,
                limit=config.full_limit if full else config.limit,
            )
            labels = {"kind": kind, "member": member, "budget": budget, "seed": seed}
            yield Trial(
                folder_name(budget, kind, member, seed), labels, experiment_of("direct_training", TITLE, one), one
            )


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Train every member once, then the best of each kind in full; write tables, pictures and the page."""
    seeds_of(config)
    settled("direct_training", config, ("neuron.kind", *ROUTE), "It compares them: see --kinds and --only.")
    keys = list(arms(config))
    study.begin()
    rows = run_trials(study, _trials(config, keys, "short"))
    if config.full:
        chosen = [keys[0], *((row["kind"], row["member"]) for row in _chosen(rows, config.best))]
        rows += run_trials(study, _trials(config, chosen, "full"))
    return study.end(rows, tables(rows), draw(rows))


main = study_runner("direct_training", TITLE, carry_out)


def _chosen(rows: Sequence[Row], count: int) -> list[Row]:
    """The best of each kind on validation, the baseline not among them."""
    kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind != "baseline"]
    return [row for kind in kinds for row in best((r for r in rows if r["kind"] == kind), count)]


def _parts(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
    """Kind, budget and rows of each table, the baseline in each."""
    for budget in ("full", "short"):
        for kind in ("surrogate", "route", "neuron"):
            some = [row for row in rows if row["budget"] == budget and row["kind"] in ("baseline", kind)]
            if any(row["kind"] == kind for row in some):
                yield kind, budget, some


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """One table for each kind and budget, the best validation first."""
    return {
        f"{kind}s, {budget} budget": table(some, {"member": kind}, order="val_accuracy")
        for kind, budget, some in _parts(rows)
    }


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """One picture for each table: who is how good, and what a step costs."""
    from snn4.view.pictures.canvas import figure

    found: dict[str, Figure] = {}
    for kind, budget, some in _parts(rows):
        marked = next((row["member"] for row in some if row["kind"] == "baseline"), None)
        whole = grouped([row for row in some if "failed" not in row], ["member"])
        if not whole:
            continue
        drawing = figure(9.6, 1.4 + 0.2 * len(whole))
        left, right = drawing.subplots(1, 2)
        order: list[str] = []
        for ax, key, scale, across, title in (
            (left, "test_accuracy", 100, "test accuracy (%)", f"{kind}s, {budget} budget"),
            (right, "step_ms", 1, "forward and backward (ms)", "the same, time"),
        ):
            values = {member: [scale * row[key] for row in many] for (member,), many in whole.items()}
            order = order or sorted(values, key=lambda member: -statistics.mean(values[member]))
            pictures.ranking(values, across=across, marked=marked, order=order, ax=ax, title=title)
        found[f"{kind}s, {budget} budget"] = drawing
    return found
