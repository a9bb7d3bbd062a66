"""Tables."""

from __future__ import annotations

from snn4.core.report import table


def test_numbers_right_text_left():
    assert table(["layer", "rate", "n"], [["lif", 0.25, 7], ["readout", 12.5, 1234]]).splitlines() == [
        "layer    rate     n",
        "lif      0.25     7",
        "readout  12.5  1234",
    ]


def test_a_column_with_one_text_is_text():
    assert table(["a", "b"], [[1, "x"], ["-", "y"]]).splitlines() == ["a  b", "1  x", "-  y"]


def test_japanese_takes_two_columns():
    assert table(["層", "x"], [["入力", "a"], ["b", "c"]]).splitlines() == ["層    x", "入力  a", "b     c"]


def test_without_rows_and_with_an_indent():
    assert table(["a", "bb"], []) == "a  bb"
    assert table(["a"], [["x"]], indent="  ") == "  a\n  x"


def test_no_line_ends_in_blanks():
    for line in table(["long header", "b"], [["x", ""], ["y", "z"]]).splitlines():
        assert line == line.rstrip()
