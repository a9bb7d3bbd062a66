"""Docstrings as they are written in snn4, made into what Sphinx reads.

A docstring is plain text: names stand between single backticks, equations are indented, `*` and `|` mean themselves.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Example|Examples|Note|Raises|Returns|Shape|Yields):$")
_CODE = re.compile(r"(`[^`\n]+`)")


def _inline(line: str) -> str:
    """Names become code, every other sign means itself."""
    parts = _CODE.split(line)
    return "".join(
        f"`{part}`" if part.startswith("`") and len(part) > 1 else re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part)
        for part in parts
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def to_rst(lines: list[str]) -> list[str]:
    """The lines of one docstring, for napoleon."""
    made: list[str] = []
    section, literal, listed = "", False, False
    for number, line in enumerate(lines):
        blank_before = number == 0 or not lines[number - 1].strip()
        if not line.strip():
            made.append("")
            listed = False
            continue
        if _indent(line) == 0:
            found = _SECTION.match(line)
            section = found[1] if found else ""
            literal = False
            if found:
                if made and made[-1]:
                    made.append("")
                made.append(line)
                continue
        if section.startswith("Example"):
            made.append(line)
            continue
        if not section and _indent(line) > 0 and not listed:
            if not literal:
                if not blank_before:  # an equation directly below the first line
                    made.append("")
                made += ["::", ""]
                literal = True
            made.append(f"    {line}")
            continue
        if line.lstrip().startswith(("- ", "* ")) and not section:
            if made and made[-1] and not listed:
                made.append("")
            listed = True
            made.append(f"{line[: _indent(line)]}- {_inline(line.lstrip()[2:])}")
            continue
        made.append(_inline(line))
    return made


def _of_the_file(obj: Any) -> list[str]:
    """The equations and the paper of a method, which its file tells."""
    module = sys.modules.get(getattr(obj, "__module__", None) or "")
    text = inspect.getdoc(module) or ""
    if "Paper:" not in text or "Paper:" in (obj.__doc__ or ""):
        return []
    return ["", *text.splitlines()[1:], ""]


def _process(_app: Any, what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    if what in ("class", "function"):
        end = lines.index("") if "" in lines else len(lines)
        lines[end:end] = _of_the_file(obj)
    lines[:] = to_rst(lines)


def setup(app: Any) -> dict[str, bool]:
    """Before napoleon, which listens at 500."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True}
