"""HTML that is safe by construction: text is escaped unless it was made here.

`element("td", "a < b")` escapes; `element("tr", element("td", ...))` does not escape twice. There is no other way to
put text on the page.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["Html", "data", "element", "join", "listing", "table"]

_VOID = frozenset({"img", "meta", "link", "br", "hr"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def join(parts: Iterable[str | Html | None]) -> Html:
    """Several pieces behind each other; `None` is nothing.

    Example:
        >>> join(["a & b", Html("<br>"), None])
        'a &amp; b<br>'
    """
    return Html("".join(p if isinstance(p, Html) else html.escape(p, quote=True) for p in parts if p is not None))


def element(tag: str, *children: str | Html | None, **attributes: str | None) -> Html:
    """One element with its children.

    Args:
        tag: its name.
        children: text or elements; `None` is left out.
        attributes: their names, with `_` for `-` and at the end of a Python word (`class_`); `None` is left out.

    Example:
        >>> element("p", "1 < 2", class_="note")
        '<p class="note">1 &lt; 2</p>'
        >>> element("img", src="data:,", alt='"a"')
        '<img src="data:," alt="&quot;a&quot;">'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value, quote=True)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{given}>") if tag in _VOID else Html(f"<{tag}{given}>{join(children)}</{tag}>")


def data(value: float, text: str) -> Html:
    """A number for people that keeps the exact one for machines.

    Example:
        >>> data(1234.5, "1,235")
        '<data value="1234.5">1,235</data>'
    """
    # a number is not parted from its unit at the end of a line
    return element("data", text.replace(" ", "\N{NO-BREAK SPACE}"), value=repr(value))


def listing(items: Iterable[str | Html], tag: str = "ul", class_: str | None = None) -> Html:
    """A list, one item a line."""
    return element(tag, *(element("li", item) for item in items), class_=class_)


def table(
    caption: str,
    header: Sequence[str | Html],
    rows: Iterable[tuple[str | Html, Sequence[str | Html]]],
    *,
    class_: str | None = None,
) -> Html:
    """A table whose first column and first row are headers, in a box that scrolls sideways on a narrow screen.

    Args:
        caption: what the table holds, above it and read out by a screen reader.
        header: the first row, its first cell included.
        rows: the header of each row, and its cells.
        class_: for the style.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in header))
    body = [element("tr", element("th", name, scope="row"), *(element("td", c) for c in cells)) for name, cells in rows]
    inner = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body), class_=class_
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)
