"""LSG against windows of fixed width, with equal search budgets; and what a bad first width costs.

Part one: fixed width with a fixed decay, fixed width with a learned decay, a learned width, and LSG, whose width
follows the learned decay. Each arm has four candidates; validation chooses.

Part two: the width starts 0.2, 1 or 5 times as wide as LSG's own, and stays (fixed), is learned freely, or is LSG's
with a learned factor. No search. LSG without a factor has no width that could start badly.

The network's norms hand currents of standard deviation 1 to thresholds of 1, the paper's condition.

Paper: [lian2023lsg]
Differs from the paper: a small network and a threshold of 1 in place of 0.5, which is the same in other units.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from snn4.core.errors import OptionError
from snn4.recipes import members
from snn4.recipes.fixed import settled
from snn4.recipes.options import NeuronOptions, TrainingOptions
from snn4.recipes.search import Arm, compare_arms, experiment_of
from snn4.recipes.study import Study, study_runner
from snn4.recipes.tables import COLUMNS, Cells, Row, grouped, table
from snn4.recipes.trials import seeds_of
from snn4.view import pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EXPECTED", "TITLE", "Config", "arms", "judged", "main"]

TITLE = "LSG against fixed widths, from good and from bad first widths, Fashion-MNIST"
# what the paper lets hope is compared with, not required: see `judged`
EXPECTED: dict[str, float] = {}

Part = Literal["search", "starts"]
_DECAY = 0.2


@dataclasses.dataclass(frozen=True)
class Config:
    """Options of the study."""

    seed: int = 0
    """The first seed; searches have no other."""
    seeds: int = 3
    """How many, counted up from the first."""
    parts: tuple[Part, ...] = ("search", "starts")
    """search: equal budgets; starts: good and bad first widths."""
    widths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """First widths that are searched, in units of LSG's own."""
    decays: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    """First decays that are searched for LSG; as many as there are widths."""
    starts: tuple[float, ...] = (0.2, 1.0, 5.0)
    """First widths of the second part, in units of LSG's own."""
    epochs: int = 5
    """Passes over the training split, in a search."""
    limit: int | None = 10_000
    """Use only so many training samples, in a search."""
    full_epochs: int = 10
    """Passes over the training split, in the runs that count."""
    full_limit: int | None = None
    """Use only so many training samples, in the runs that count."""
    steps: int = 4
    """Time steps."""
    channels: tuple[int, ...] = (16, 32, 32)
    """Channels of the stages of convolution; the first two halve the map."""
    hidden: tuple[int, ...] = (64,)
    """Widths of the hidden dense layers."""
    neuron: NeuronOptions = dataclasses.field(
        default_factory=lambda: NeuronOptions(tau=1 / (1 - _DECAY), learn_tau=True, v_threshold=1.0, v_reset=0.0)
    )
    """Of all runs; the surrogate and the first decay are varied."""
    train: TrainingOptions = dataclasses.field(
        default_factory=lambda: TrainingOptions(weight_decay=0.05, shift=1, flip=True, autocast=True, threads=1)
    )

    @classmethod
    def smoke(cls) -> Config:
        """A run of seconds."""
        return cls(
            seeds=1,
            widths=(1.0,),
            decays=(0.2,),
            starts=(5.0,),
            epochs=1,
            limit=128,
            full_epochs=1,
            full_limit=128,
            steps=2,
            channels=(4, 8),
            hidden=(16,),
        )


def arms(config: Config) -> list[Arm]:
    """Both parts.

    Raises:
        OptionError: a neuron that has nothing to vary.
    """
    base = config.neuron
    member = members.neuron_member("--neuron.kind", base.kind)
    # what is varied, and what is set for all
    needs = ["tau", "surrogate", *(name for name in ("v_threshold", "v_reset") if getattr(base, name) is not None)]
    lacks = [name for name in needs if not members.accepts(member, name)]
    if lacks:
        fits = [kind for kind, one in members.kinds().items() if all(members.accepts(one, name) for name in needs)]
        raise OptionError(
            f"lsg_ablation got --neuron.kind {base.kind}, that is {member.__name__}, without {' and '.join(lacks)}",
            f"a neuron with {', '.join(needs)}, which this study sets",
            f"These have them: {', '.join(fits)}.",
        )
    threshold = 1.0 if base.v_threshold is None else base.v_threshold
    own = 2 * threshold * math.sqrt(1 + _DECAY**2)

    def rectangle(factor: float, *, learned: bool = False, decay: bool = True) -> NeuronOptions:
        width = f"width={'learned:' * learned}{factor * own:.6g}"
        return dataclasses.replace(base, surrogate="rectangle", surrogate_settings=(width,), learn_tau=decay)

    def lsg(scale: str, decay: float = _DECAY) -> NeuronOptions:
        changed = dataclasses.replace(base, surrogate="lsg", surrogate_settings=(f"scale={scale}",))
        return dataclasses.replace(changed, tau=1 / (1 - decay))

    def searched(name: str, candidates: Mapping[str, NeuronOptions]) -> Arm:
        return Arm({"part": "search", "arm": name}, candidates)

    found: list[Arm] = []
    if "search" in config.parts:
        found += [
            searched("fixed width, fixed decay", {f"x{w:g}": rectangle(w, decay=False) for w in config.widths}),
            searched("fixed width", {f"x{w:g}": rectangle(w) for w in config.widths}),
            searched("learned width", {f"x{w:g}": rectangle(w, learned=True) for w in config.widths}),
            searched("LSG", {f"decay {d:g}": lsg("1", d) for d in config.decays}),
        ]
    if "starts" in config.parts:
        for start in config.starts:
            word = f"x{start:g}"
            for name, neuron in (
                ("fixed width", rectangle(start)),
                ("learned width", rectangle(start, learned=True)),
                ("LSG, learned factor", lsg(f"learned:{start:g}")),
            ):
                found.append(Arm({"part": "starts", "arm": name, "start": word}, {word: neuron}))
    return found


def carry_out(study: Study, config: Config) -> dict[str, Any]:
    """Search, train, and say what the source lets hope and what came out."""
    seeds_of(config)
    parts = [f"neuron.{name}" for name in ("tau", "learn_tau", "surrogate", "surrogate_settings")]
    settled("lsg_ablation", config, parts, "It varies them: see --widths, --decays and --starts.")
    made = arms(config)
    study.begin()
    # the two parts have budgets of their own
    rows = [
        row
        for part in config.parts
        for row in compare_arms(
            study,
            [arm for arm in made if arm.labels["part"] == part],
            config,
            lambda one, _labels: experiment_of("lsg_ablation", TITLE, one),
        )
    ]
    return study.end(rows, tables(rows), draw(rows), judged=judged(rows))


main = study_runner("lsg_ablation", TITLE, carry_out)


def tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """Search, its winners in full, and the starts."""
    found: dict[str, Cells] = {}
    for name, part, budget, by in (
        ("equal search budgets", "search", "full", {"arm": "arm", "setting": "chosen"}),
        ("first widths", "starts", "full", {"start": "first width", "arm": "arm"}),
        ("the search", "search", "short", {"arm": "arm", "setting": "setting"}),
    ):
        some = [row for row in rows if row["part"] == part and row["budget"] == budget]
        if some:
            found[name] = table(some, by, COLUMNS)
    return found


def judged(rows: Sequence[Row]) -> dict[str, Any]:
    """What the starts say: for each first width but the good one, what each arm loses against its own good start.

    `recovers`: LSG with a learned factor loses at most 0.5 points where the fixed width loses at least 5; None where
    the fixed width does not lose that much, so that there is nothing to recover from.
    """
    means: dict[str, dict[str, float]] = {}
    for (start, arm), many in grouped([r for r in rows if r["part"] == "starts"], ["start", "arm"]).items():
        values = [row["test_accuracy"] for row in many if "failed" not in row]
        if values:
            means.setdefault(start, {})[arm] = sum(values) / len(values)
    good = means.get("x1", {})
    found: dict[str, Any] = {}
    for start, by_arm in means.items():
        if start == "x1" or not good:
            continue
        lost = {arm: 100 * (good[arm] - value) for arm, value in by_arm.items() if arm in good}
        fixed, lsg = lost.get("fixed width"), lost.get("LSG, learned factor")
        hurt = fixed is not None and fixed >= 5
        found[start] = {"points_lost": lost, "recovers": lsg <= 0.5 if hurt and lsg is not None else None}
    return found


def draw(rows: Sequence[Row]) -> dict[str, Figure]:
    """Accuracy against the first width, and the arms of the search."""
    found: dict[str, Figure] = {}
    starts = [row for row in rows if row["part"] == "starts" and "failed" not in row]
    if starts:
        groups = grouped(starts, ["arm", "start"])
        words = list(dict.fromkeys(row["start"] for row in starts))
        names = [
            arm for arm in dict.fromkeys(row["arm"] for row in starts) if all((arm, word) in groups for word in words)
        ]
        series = {arm: [[100 * row["test_accuracy"] for row in groups[arm, word]] for word in words] for arm in names}
        if series:
            ax = pictures.study(words, series, across="first width", up="test accuracy (%)", title="First widths")
            found["first widths"] = ax.figure  # pyright: ignore[reportArgumentType]
    searched = [row for row in rows if row["part"] == "search" and row["budget"] == "full" and "failed" not in row]
    if searched:
        values = {
            arm: [100 * row["test_accuracy"] for row in many] for (arm,), many in grouped(searched, ["arm"]).items()
        }
        ax = pictures.ranking(values, across="test accuracy (%)", marked="fixed width", title="Equal search budgets")
        found["equal search budgets"] = ax.figure  # pyright: ignore[reportArgumentType]
    return found
