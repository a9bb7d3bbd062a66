"""The pictures hold the data they were given, and say what it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.view import pictures
from snn4.view.pictures.canvas import figure

SPIKES = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]]
ENERGIES = {"snn": {"compute": (2e3, 8e3), "with_memory": (3e4, 9e4)}, "ann": {"compute": (5e3, 5e3)}}

EVERY: dict[str, Callable[..., Any]] = {
    "raster": lambda **o: pictures.raster(SPIKES, **o),
    "membrane": lambda **o: pictures.membrane([0.2, 1.1, 0.4], threshold=1.0, spikes=[0, 1, 0], **o),
    "firing_rates": lambda **o: pictures.firing_rates({"1": 0.1, "4": 0.02}, **o),
    "confusion": lambda **o: pictures.confusion([[3, 1], [0, 4]], **o),
    "accuracy_by_step": lambda **o: pictures.accuracy_by_step([0.4, 0.8, 0.9], references={"ann": 0.95}, **o),
    "learning_curves": lambda **o: pictures.learning_curves([{"model": "snn", "epoch": 1, "val_accuracy": 0.5}], **o),
    "weights": lambda **o: pictures.weights([1, 2], [0.0, 0.5, 1.0], **o),
    "energy_bars": lambda **o: pictures.energy_bars(ENERGIES, **o),
    "sample_input": lambda **o: pictures.sample_input(np.eye(4), **o),
    "outputs": lambda **o: pictures.outputs([[0.0, 1.0], [0.5, 2.0]], label=1, prediction=1, **o),
    "events": lambda **o: pictures.events([0.1, 0.5], [3, 0], **o),
    "potential": lambda **o: pictures.potential([0.0, 1.0], [0.0, 0.9], current=[1.0, 0.5], threshold=1.0, **o),
    "potentials": lambda **o: pictures.potentials([0.0, 1.0], [[0.0, 0.0], [0.4, 0.9]], names=["a", "b"], **o),
    "study": lambda **o: pictures.study(["1", "none"], {"a": [[0.1, 0.2], [0.3, 0.3]]}, **o),
    "ranking": lambda **o: pictures.ranking({"a": [0.1, 0.3], "b": [0.5]}, marked="a", **o),
    "heat": lambda **o: pictures.heat([[0.1, 0.9], [0.2, 0.3]], ["a", "b"], ["1", "2"], **o),
    "surrogate": lambda **o: pictures.surrogate(torch.sigmoid, **o),
}


def test_every_public_picture_is_checked_below() -> None:
    assert sorted(EVERY) == sorted(pictures.__all__)


@pytest.mark.parametrize("name", EVERY)
def test_a_picture_names_its_axes_and_draws_without_a_warning(name: str) -> None:
    ax = EVERY[name]()
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()
    assert ax.get_ylabel() or name in ("energy_bars", "heat", "ranking")  # their rows are named one by one
    ax.figure.canvas.draw()
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("name", EVERY)
def test_a_picture_draws_on_the_axes_it_is_given(name: str) -> None:
    mine = figure(4, 3).add_subplot()
    assert EVERY[name](ax=mine, title="mine") is mine
    assert mine.get_title(loc="left") == "mine"


def test_ranking_has_a_point_a_seed_a_bar_at_the_mean_and_the_best_on_top() -> None:
    ax = pictures.ranking({"low": [1.0, 3.0], "high": [5.0], "none": []}, marked="low")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["high", "low"]
    assert ax.yaxis_inverted()
    drawn = [line.get_xdata() for line in ax.lines]
    assert [list(xs) for xs in drawn] == [[5.0], [5.0], [1.0, 3.0], [2.0], [2.0, 2.0]]
    given = pictures.ranking({"low": [1.0], "high": [5.0]}, order=["low", "high"])
    assert [label.get_text() for label in given.get_yticklabels()] == ["low", "high"]
    with pytest.raises(ShapeError, match="no values"):
        pictures.ranking({"none": []})


def test_ranking_has_room_for_its_rows_and_for_their_names() -> None:
    long = "OTTT, a step of the optimiser each step"
    ax = pictures.ranking({long: [1.0], "high": [5.0]})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["high", long]
    # no row lies on an edge
    assert ax.get_ylim() == (1.5, -0.5)


def test_heat_shows_each_number_at_its_place() -> None:
    ax = pictures.heat([[0.0, 1.0], [0.5, 0.25]], ["a", "b"], ["1", "2"], form=".1f")
    assert np.allclose(ax.images[0].get_array(), [[0.0, 1.0], [0.5, 0.25]])
    places = {text.get_position(): text.get_text() for text in ax.texts}
    assert places == {(0, 0): "0.0", (1, 0): "1.0", (0, 1): "0.5", (1, 1): "0.2"}
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        pictures.heat([[0.0, 1.0]], ["a", "b"], ["1", "2", "3"])


def test_heat_with_given_ends_has_the_same_shades_in_every_picture() -> None:
    good, bad = (pictures.heat([[value] * 2], ["a"], ["1", "2"], ends=(0.0, 1.2)) for value in (0.1, 1.0))
    assert good.images[0].get_clim() == bad.images[0].get_clim() == (0.0, 1.2)
    # so that numbers on dark shades are white, also where all are equal
    assert {text.get_color() for text in good.texts} == {"#fff"}
    assert {text.get_color() for text in bad.texts} == {"#000"}
    with pytest.raises(OptionError, match=r"ends=\(1\.0, 0\.0\)"):
        pictures.heat([[0.5]], ["a"], ["1"], ends=(1.0, 0.0))


def test_heat_writes_what_it_is_told_to() -> None:
    ax = pictures.heat([[-12.0, -3.0]], ["a"], ["1", "2"], texts=[["", "$3"]])
    assert [text.get_text() for text in ax.texts] == ["", r"\$3"]
    with pytest.raises(ShapeError, match="1 lines of 2"):
        pictures.heat([[-12.0, -3.0]], ["a"], ["1", "2"], texts=[["≤ -12"]])


def test_raster_has_one_mark_a_spike() -> None:
    ax = pictures.raster(torch.tensor(SPIKES, dtype=torch.bool))
    marks = sorted(map(tuple, ax.collections[0].get_offsets().tolist()))
    assert marks == [(1, 0), (1, 2), (3, 1), (4, 0), (4, 1)]


def test_raster_tells_negative_spikes_apart() -> None:
    positive, negative = pictures.raster([[1, 0], [0, -1]]).collections
    assert positive.get_offsets().tolist() == [[1, 0]]
    assert negative.get_offsets().tolist() == [[2, 1]]


def test_raster_of_silence_has_no_mark() -> None:
    assert len(pictures.raster(np.zeros((5, 3))).collections[0].get_offsets()) == 0


def test_membrane_marks_spikes_where_they_happened() -> None:
    v = torch.tensor([[0.5, 0.1], [1.5, 0.9], [0.2, 1.2]])
    ax = pictures.membrane(v, threshold=[1.0, 0.8], spikes=[[0, 0], [1, 1], [0, 1]])
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [
        pytest.approx([0.5, 1.5, 0.2]),
        pytest.approx([0.1, 0.9, 1.2]),
    ]
    assert sorted(line.get_ydata()[0] for line in ax.lines[2:]) == [0.8, 1.0]
    found = sorted(map(tuple, ax.collections[0].get_offsets().tolist()))
    assert np.allclose(found, [(2, 0.9), (2, 1.5), (3, 1.2)])


def test_firing_rates_are_bars_with_their_number() -> None:
    ax = pictures.firing_rates({"a": 0.25, "b": 0.5}, silent={"a": 0.125}, saturated={"b": 0.01})
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.5]
    assert [text.get_text() for text in ax.texts] == ["0.25,  silent 12%", "0.5,  saturated 1%"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_confusion_writes_counts_and_colours_shares() -> None:
    ax = pictures.confusion(torch.tensor([[8, 2], [0, 5]]), classes=["cat", "dog"])
    assert np.allclose(ax.images[0].get_array(), [[0.8, 0.2], [0, 1]])
    assert [text.get_text() for text in ax.texts] == ["8", "2", "5"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog"]


def test_confusion_of_many_classes_stays_readable() -> None:
    ax = pictures.confusion(np.eye(100))
    assert not ax.texts
    assert len(ax.get_xticks()) <= 20


def test_accuracy_by_step_in_percent_with_references() -> None:
    ax = pictures.accuracy_by_step([0.25, 0.5], references={"ann": 0.75, "ann_quantised": 0.5, "ours": 0.25})
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert ax.lines[0].get_ydata().tolist() == [25, 50]
    assert [line.get_ydata()[0] for line in ax.lines[1:]] == [75, 50, 25]
    assert [line.get_label() for line in ax.lines] == ["SNN", "ANN", "quantised ANN", "ours"]


def test_learning_curves_leave_out_what_a_row_lacks() -> None:
    rows = [
        {"model": "snn", "epoch": 1, "train_accuracy": 0.5},
        {"model": "snn", "epoch": 2, "train_accuracy": 0.75, "val_accuracy": 0.5},
        {"model": "ann", "epoch": 1, "val_accuracy": float("nan")},
        {"model": "ann", "epoch": 2, "val_accuracy": 0.25},
    ]
    lines = {line.get_label(): line.get_xydata().tolist() for line in pictures.learning_curves(rows).lines}
    assert lines == {
        "SNN, validation": [[2, 50]],
        "SNN, training": [[1, 50], [2, 75]],
        "ANN, validation": [[2, 25]],
    }


def test_weights_are_the_histogram_they_were_given() -> None:
    (stairs,) = pictures.weights([3.0, 1.0], [-1.0, 0.0, 2.0]).patches
    assert stairs.get_data().values.tolist() == [3, 1]
    assert stairs.get_data().edges.tolist() == [-1, 0, 2]


def test_energy_bars_are_ranges_on_a_logarithmic_axis() -> None:
    ax = pictures.energy_bars(ENERGIES)
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "energy per sample (nJ, logarithmic)"
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert np.allclose(ends, [(2, 8), (5, 5), (30, 90)])
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "SNN, compute only",
        "ANN, compute only",
        "SNN, with memory",
    ]
    assert [text.get_text() for text in ax.texts] == ["2–8 nJ", "5 nJ", "30–90 nJ"]
    assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, False, True]


@pytest.mark.parametrize("shape", [(1, 4, 5), (2, 4, 5), (3, 4, 5), (6, 4, 5), (4, 5)])
def test_sample_input_keeps_height_and_width(shape: tuple[int, ...]) -> None:
    assert pictures.sample_input(torch.rand(shape, generator=torch.Generator().manual_seed(0))).images[
        0
    ].get_array().shape[:2] == (4, 5)


def test_two_polarities_are_two_colours_on_white() -> None:
    image = np.zeros((2, 1, 3))
    image[0, 0, 0] = image[1, 0, 1] = 1
    first, second, none = pictures.sample_input(image).images[0].get_array()[0]
    assert np.allclose(first * 255, [0xD5, 0x5E, 0x00])
    assert np.allclose(second * 255, [0x00, 0x72, 0xB2])
    assert np.allclose(none, 1)


def test_outputs_name_the_predicted_and_the_true_class() -> None:
    values = torch.arange(6.0).reshape(2, 3)
    ax = pictures.outputs(values, classes=["a", "b", "c"], label=0, prediction=2)
    named = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}
    assert named == {"predicted: c": [2, 5], "true: a": [0, 3]}
    assert len(ax.lines) == 3


def test_surrogate_shows_the_derivative_that_autograd_gives() -> None:
    ax = pictures.surrogate(lambda u: u**3, low=-1, high=1, points=5)
    x = np.array([-1, -0.5, 0, 0.5, 1])
    assert np.allclose(ax.lines[0].get_ydata(), x**3)
    assert np.allclose(ax.lines[1].get_ydata(), 3 * x**2)


def test_names_of_layers_and_classes_may_be_anything() -> None:
    names = ["$x_1$", "cost $", "日本語", "a\nb", "\U0001f600", "<b>&amp;", "x" * 300, "\\frac{", "_hidden"]
    for ax in (
        pictures.firing_rates(dict.fromkeys(names, 0.1), title="$x日本語\U0001f600" * 30),
        pictures.confusion(np.eye(len(names)), classes=names),
        pictures.outputs([[0.0] * len(names)], classes=names, prediction=2, label=4),
        pictures.energy_bars({name: {"compute": (1, 2)} for name in names}),
        pictures.accuracy_by_step([0.5], references=dict.fromkeys(names, 0.5)),
    ):
        ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("draw", "error"),
    [
        (lambda: pictures.raster([1, 0]), ShapeError),
        (lambda: pictures.raster(np.zeros((0, 3))), ShapeError),
        (lambda: pictures.membrane([0.0, float("nan")]), NotFiniteError),
        (lambda: pictures.membrane([0.0, 1.0], spikes=[1]), ShapeError),
        (lambda: pictures.membrane([[0.0, 1.0]], threshold=[1.0, 1.0, 1.0]), ShapeError),
        (lambda: pictures.firing_rates({}), ShapeError),
        (lambda: pictures.confusion(np.zeros((2, 3))), ShapeError),
        (lambda: pictures.confusion(np.eye(2), classes=["a"]), ShapeError),
        (lambda: pictures.accuracy_by_step([]), ShapeError),
        (lambda: pictures.learning_curves([]), ShapeError),
        (lambda: pictures.learning_curves([], measure="speed"), OptionError),  # pyright: ignore[reportArgumentType]
        (lambda: pictures.weights([1, 2], [0, 1]), ShapeError),
        (lambda: pictures.energy_bars({}), ShapeError),
        (lambda: pictures.energy_bars({"snn": {"compute": (2, 1)}}), ShapeError),
        (lambda: pictures.sample_input(np.zeros((1, 1, 1, 1))), ShapeError),
        (lambda: pictures.outputs([[0.0, 1.0]], label=2), ShapeError),
        (lambda: pictures.outputs([[0.0, 1.0]], classes=["a"]), ShapeError),
        (lambda: pictures.surrogate(torch.sigmoid, low=1, high=1), OptionError),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        draw()


def test_without_a_japanese_font_unknown_characters_become_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    from snn4.view.pictures import fonts

    caches = (fonts.families, fonts._characters)
    try:
        monkeypatch.setattr(fonts, "_JAPANESE", ())
        for cached in caches:
            cached.cache_clear()
        assert fonts.label("é 猫 dog") == "é ? dog"
        pictures.confusion([[1, 0], [0, 1]], classes=["猫", "dog"], title="猫").figure.canvas.draw()
    finally:
        monkeypatch.undo()
        for cached in caches:
            cached.cache_clear()
