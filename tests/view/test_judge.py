"""The judgements, against numbers worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snn4.view.report import judge
from snn4.view.report.run_folder import EnergyModel, Model, Range, Run


def run(test: int | None = 100, **models: Model) -> Run:
    nothing: dict[str, Any] = {}
    return Run(
        folder=Path(), title="", recipe="", command=None, seed=0, steps=4, data_name=None, train=None, validation=None,
        test=test, classes=(), licence=None, about=None, models=models, expected=nothing, config=nothing,
        environment=nothing, metrics=(), tensors=nothing, gaps=(),
    )  # fmt: skip


def test_interval_of_agresti_and_caffo_by_hand() -> None:
    # 56 and 48 right of 70 each: p~ = 57 of 72 and 49 of 72
    snn, ann = Model("snn", test_accuracy=56 / 70), Model("ann", test_accuracy=48 / 70)
    found = judge.accuracy(run(70, snn=snn, ann=ann), ann)
    assert found is not None
    p, q, n = 57 / 72, 49 / 72, 72
    half = 1.96 * (p * (1 - p) / n + q * (1 - q) / n) ** 0.5
    assert found.difference == pytest.approx(8 / 70)
    assert (found.low, found.high) == (pytest.approx(p - q - half), pytest.approx(p - q + half))
    assert found.low == pytest.approx(-0.0318, abs=1e-4)
    assert not found.clear


def test_the_same_difference_is_clear_with_more_samples() -> None:
    snn, ann = Model("snn", test_accuracy=0.80), Model("ann", test_accuracy=0.69)
    verdicts = [judge.accuracy(run(n, snn=snn, ann=ann), ann) for n in (70, 1000)]
    assert [found is not None and found.clear for found in verdicts] == [False, True]


def test_needed_samples_make_the_plain_interval_just_clear() -> None:
    n = judge.needed_samples(0.98, 0.97)
    half = [1.96 * ((0.98 * 0.02 + 0.97 * 0.03) / k) ** 0.5 for k in (n - 1, n)]
    assert half[0] > 0.01 >= half[1]


@pytest.mark.parametrize(
    ("compute", "memory", "expected"),
    [
        ((1, 2), (1, 2), "lower"),
        ((5, 6), (5, 6), "higher"),
        ((1, 3.5), (1, 2), "overlap"),
        ((1, 2), (3, 4), "overlap"),
        ((1, 2), (5, 6), "contradict"),
        ((5, 6), (1, 2), "contradict"),
        (None, (1, 2), "lower"),
        (None, None, None),
    ],
)
def test_energy_is_decided_only_where_every_pair_of_ranges_agrees(
    compute: tuple[float, float] | None, memory: tuple[float, float] | None, expected: str | None
) -> None:
    ann = Model("ann", compute=Range(3, 4), with_memory=Range(3, 4))
    snn = Model("snn", compute=Range(*compute) if compute else None, with_memory=Range(*memory) if memory else None)
    assert judge.energy(run(snn=snn, ann=ann), ann).verdict == expected


def test_like_for_like_counts_models_of_one_name_only() -> None:
    def models(**pj: float) -> tuple[EnergyModel, ...]:
        return tuple(EnergyModel(name, Range(value, value), False, "") for name, value in pj.items())

    snn, ann = Model("snn", energy_models=models(a=1, b=5, c=1)), Model("ann", energy_models=models(a=2, b=4, d=9))
    assert judge.like_for_like(run(snn=snn, ann=ann), ann) == (1, 2)


def test_the_quantised_ann_is_the_opponent_where_there_is_one() -> None:
    snn, ann, quantised = Model("snn"), Model("ann"), Model("ann_quantised")
    assert judge.opponent(run(snn=snn, ann=ann, ann_quantised=quantised)) is quantised
    assert judge.opponent(run(snn=snn, ann=ann)) is ann
    assert judge.opponent(run(snn=snn)) is None
