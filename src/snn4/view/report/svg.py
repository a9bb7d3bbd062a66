"""A figure as an SVG that stands inside the page, the same bytes for the same data."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_uri", "svg"]

# dates and versions would make two reports of one run differ
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
# pixels of the parts that are stored as pixels: sharp on a dense screen, small in the file
_DPI = 140


def svg(figure: Figure) -> str:
    """The figure as SVG, transparent so that the page's own ground shows, with ids numbered in their order."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=_METADATA, dpi=_DPI)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    used = dict.fromkeys(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    short = {name: f"i{number}" for number, name in enumerate(used)}

    def rename(match: re.Match[str]) -> str:
        return f' id="{short[match[1]]}"' if match[1] in short else ""

    text = re.sub(r' id="([^"]*)"', rename, text)
    text = re.sub(r'(url\(#|href="#)([^)"]+)', lambda match: match[1] + short[match[2]], text)
    return re.sub(r"\n\s*", "\n", text)


def data_uri(figure: Figure) -> str:
    """The figure as the address of an image that holds its own content."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode()).decode("ascii")
