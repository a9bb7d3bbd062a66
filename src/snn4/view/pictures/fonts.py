"""Text that the font can draw.

Labels are English, but names of layers and classes come from the user: they may hold a dollar sign (which matplotlib
reads as mathematics), or characters that its own font lacks. Where the machine has a Japanese font it steps in;
where it has not, the character is shown as a question mark, instead of an empty box and a warning.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from snn4.core.optional import need

__all__ = ["families", "label", "shorten"]

_OWN = "DejaVu Sans"
_JAPANESE = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Source Han Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "Meiryo",
    "MS Gothic",
    "TakaoGothic",
)


@functools.cache
def families() -> tuple[str, ...]:
    """Matplotlib's own font and the first Japanese one on this machine, if there is one."""
    known = {font.name for font in need("matplotlib.font_manager", "to draw pictures").fontManager.ttflist}
    return (_OWN, *[name for name in _JAPANESE if name in known][:1])


@functools.cache
def _characters() -> frozenset[int]:
    """The code points that `families` can draw."""
    manager = need("matplotlib.font_manager", "to draw pictures")
    files: Sequence[str] = [manager.findfont(name) for name in families()]
    return frozenset().union(*(manager.get_font(file).get_charmap() for file in files))


def label(text: str) -> str:
    r"""`text` made safe to draw: no mathematics, no missing glyph, one line.

    Example:
        >>> label("cost in $")
        'cost in \\$'
        >>> label("first\nsecond")
        'first second'
    """
    one_line = " ".join(text.split())
    if not one_line.isascii():
        one_line = "".join(c if ord(c) in _characters() else "?" for c in one_line)
    return one_line.replace("$", r"\$")


def shorten(text: str, length: int = 24) -> str:
    """At most `length` characters, the rest as an ellipsis; then safe to draw.

    Example:
        >>> shorten("a_name_that_goes_on_and_on_and_on", 12)
        'a_name_that…'
    """
    return label(text if len(text) <= length else text[: length - 1] + "…")
