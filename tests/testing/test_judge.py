"""How verdicts are told."""

from __future__ import annotations

import pytest

from snn4 import OptionError
from snn4.testing import LawError
from snn4.testing.judge import judge, law


@law("positive", "It is above zero.")
def positive(number):
    if number <= 0:
        yield f"{number} is not above zero"


@law("small", "It is below ten.")
def small(number):
    if number >= 10:
        yield f"{number} is ten or more"


@law("divides", "It divides 12, seen two ways.")
def divides(number):
    if number > 12:
        yield f"{number} > 12"
    if 12 % number:
        yield f"12 % {number} != 0"


LAWS = (positive, small, divides)


def test_a_report_tells_what_is_kept_and_what_is_exempt():
    report = judge("seventy", (positive, small), 70, {"small": "it is meant to be large"})
    assert report.member == "seventy"
    assert report.kept == (("positive", "It is above zero."),)
    assert report.exempt == (("small", "it is meant to be large"),)
    first, header, *rows = str(report).splitlines()
    assert first == "seventy"
    assert header.split()[0] == "law"
    assert [row.split(maxsplit=2) for row in rows] == [
        ["positive", "kept", "It is above zero."],
        ["small", "exempt", "it is meant to be large"],
    ]


def test_all_that_is_broken_is_told_at_once():
    with pytest.raises(LawError) as caught:
        judge("nought", LAWS, 0, {})
    error = caught.value
    assert isinstance(error, AssertionError)
    assert error.names == ("positive", "divides")
    # a law that raises is broken, with what it raised
    assert error.broken[1][2] == ("ZeroDivisionError: integer modulo by zero",)
    assert str(error).splitlines() == [
        "nought breaks 2 laws",
        "  positive: It is above zero.",
        "    seen: 0 is not above zero",
        "  divides: It divides 12, seen two ways.",
        "    seen: ZeroDivisionError: integer modulo by zero",
        "  A law that cannot hold is declared: exempt={'name': 'the reason'}.",
    ]


def test_what_was_seen_before_a_law_raised_is_kept():
    @law("raises", "It goes well.")
    def raises(number):
        yield "first"
        raise ValueError("then\nmore")

    with pytest.raises(LawError) as caught:
        judge("it", (raises,), 1, {})
    assert caught.value.broken == (("raises", "It goes well.", ("first", "ValueError: then")),)


def test_long_lists_are_cut_short():
    @law("many", "It is one.")
    def many(number):
        for k in range(number):
            yield f"number {k}"

    with pytest.raises(LawError) as caught:
        judge("it", (many,), 9, {})
    assert "number 4" in str(caught.value)
    assert "number 5" not in str(caught.value)
    assert "and 4 more" in str(caught.value)


@pytest.mark.parametrize(
    ("exempt", "told"),
    [({"smal": "why not"}, "Did you mean small"), ({"small": " "}, "no reason for 'small'")],
)
def test_an_exemption_needs_a_law_and_a_reason(exempt, told):
    with pytest.raises(OptionError, match=told):
        judge("it", LAWS, 1, exempt)


def test_one_law_in_the_singular():
    with pytest.raises(LawError, match="^twenty breaks 1 law\n"):
        judge("twenty", (small,), 20, {})
