"""Every language says everything, with the same gaps to fill."""

from __future__ import annotations

import string
from dataclasses import fields, is_dataclass

import pytest

from snn4.core.errors import OptionError
from snn4.view.texts import LANGUAGES, texts

# the catalogue says "nothing to say" in one language where the other needs a note
MAY_BE_EMPTY = {"page.between_sentences", "pictures.language_note", "assumptions.language_note"}


def leaves(value: object, path: str = "") -> dict[str, str]:
    """Every text by its path."""
    if isinstance(value, str):
        return {path: value}
    found: dict[str, str] = {}
    if isinstance(value, tuple):
        for number, inner in enumerate(value):
            found |= leaves(inner, f"{path}[{number}]")
    else:
        assert is_dataclass(value)
        for field in fields(value):
            found |= leaves(getattr(value, field.name), f"{path}.{field.name}".lstrip("."))
    return found


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_all_languages_have_the_same_texts_with_the_same_gaps() -> None:
    english, japanese = leaves(LANGUAGES["en"]), leaves(LANGUAGES["ja"])
    assert english.keys() == japanese.keys()
    assert {path for path in english if gaps(english[path]) != gaps(japanese[path])} == set()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_text_is_left_empty(lang: str) -> None:
    assert {path for path, text in leaves(texts(lang)).items() if not text.strip()} <= MAY_BE_EMPTY | {"page.comma"}


def test_japanese_is_japanese() -> None:
    """Nothing but names and signs is the same in both languages, so nothing fell back to English."""
    english, japanese = leaves(LANGUAGES["en"]), leaves(LANGUAGES["ja"])
    same = {path for path in english if english[path] == japanese[path]}
    words = {path for path in same if path.startswith("assumptions.words") and path.endswith("[0]")}
    terms = {f"glossary[{k}][0]" for k in range(20)}
    assert same - words - terms <= {"names.snn", "names.ann", "names.not_applicable"}
    kana = [p for p, text in japanese.items() if any("぀" <= c <= "ヿ" or "一" <= c <= "鿿" for c in text)]
    assert len(kana) > 0.85 * len(japanese)


def test_an_unknown_language_is_refused_with_advice() -> None:
    with pytest.raises(OptionError, match="en, ja"):
        texts("fr")
