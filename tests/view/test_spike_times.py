"""Pictures of exact spike times, and of a study."""

from __future__ import annotations

import pytest

from snn4 import view
from snn4.core.errors import ShapeError


def test_a_potential_has_its_threshold_its_spikes_and_its_current():
    ax = view.potential([0.0, 0.5, 1.0], [0.0, 1.0, 0.2], current=[2.0, 1.0, 3.0], threshold=1.0, spikes=[0.5])
    assert ax.lines[1].get_ydata()[0] == 1.0
    assert ax.collections[0].get_offsets().tolist() == [[0.5, 1.0]]
    beside = next(other for other in ax.figure.axes if other is not ax)
    assert beside.lines[0].get_ydata().tolist() == [2.0, 1.0, 3.0]


def test_the_chosen_potential_stands_out():
    ax = view.potentials([0.0, 1.0], [[0.0, 0.0, 0.0], [0.1, 0.9, 0.2]], chosen=1)
    widths = [line.get_linewidth() for line in ax.lines]
    assert max(widths) == widths[1] > widths[0]


def test_a_study_draws_means_and_bands():
    ax = view.study(["1", "none"], {"a": [[0.1, 0.3], [0.4, 0.4]], "b": [[0.5], [0.6]]})
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0.2, 0.4])
    assert len(ax.collections) == 1
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "none"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: view.events([0.1, 0.2], [1]),
        lambda: view.events([], []),
        lambda: view.potential([0.0, 1.0], [0.0]),
        lambda: view.potential([0.0, 1.0], [0.0, 1.0], current=[1.0]),
        lambda: view.potentials([0.0], [[0.0, 1.0]], names=["one"]),
        lambda: view.study(["1"], {"a": [[0.1], [0.2]]}),
        lambda: view.study(["1"], {}),
    ],
)
def test_what_does_not_belong_together_is_refused(call):
    with pytest.raises(ShapeError):
        call()
