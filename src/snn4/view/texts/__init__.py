"""What the report says, language by language."""

from __future__ import annotations

from snn4.core.errors import OptionError, suggest
from snn4.view.texts.catalogue import Texts
from snn4.view.texts.en import ENGLISH
from snn4.view.texts.ja import JAPANESE

__all__ = ["LANGUAGES", "Texts", "texts"]

LANGUAGES: dict[str, Texts] = {known.lang: known for known in (ENGLISH, JAPANESE)}


def texts(lang: str) -> Texts:
    """The texts of one language.

    Raises:
        OptionError: a language that the report does not speak.

    Example:
        >>> texts("ja").headings.summary
        '要点'
    """
    if lang not in LANGUAGES:
        raise OptionError(
            f"the report got lang={lang!r}", f"one of {', '.join(LANGUAGES)}", suggest(lang, list(LANGUAGES))
        )
    return LANGUAGES[lang]
