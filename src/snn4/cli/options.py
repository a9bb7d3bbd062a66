"""A dataclass, filled from the command line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

from snn4.core.errors import OptionError, suggest
from snn4.core.optional import need

__all__ = ["parse"]

T = TypeVar("T")

_BOX = "╭╮╰╯─│ "


def parse(kind: type[T], args: Sequence[str], command: str, *, default: T | None = None, about: str = "") -> T:
    """Fill a dataclass from the words of the command line.

    A field without a default is positional; a bool is two switches, `--flip` and `--no-flip`; a nested dataclass gives
    dotted options: `--neuron.tau`.

    Args:
        kind: its fields are the options, their docstrings the help.
        args: the words after the command.
        command: how the user wrote it, `"snn4 eval"`, for help and errors.
        default: the values of what is not given; `None` takes those of the fields.
        about: what the help says first; empty for the docstring of `kind`.

    Raises:
        OptionError: an option that does not exist, or a value that does not fit.
        SystemExit: after `--help`.
    """
    tyro = need("tyro", "to read the command line")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            filled, unknown = tyro.cli(
                kind,
                prog=command,
                description=about or kind.__doc__,
                args=list(args),
                return_unknown_args=True,
                config=(tyro.conf.PositionalRequiredArgs,),
                **({} if default is None else {"default": default}),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise OptionError(
            f"{command} cannot read {' '.join(args)!r} ({_reason(said.getvalue())})",
            "the options that its --help tells",
            f"See: {command} --help",
        ) from None
    if unknown:
        known = list(_names(kind if default is None else default))
        word = next((word for word in unknown if word.startswith("-")), unknown[0]).split("=")[0]
        what = "an option of this command" if word.startswith("-") else "no further word"
        near = suggest(word.replace("_", "-"), known) if known and word.startswith("-") else ""
        raise OptionError(f"{command} got {word}", what, f"{near} See: {command} --help".strip())
    return cast("T", filled)


def _reason(box: str) -> str:
    """What stands in the first part of the parser's framed message, on one line."""
    lines = [line.strip(_BOX) for line in box.splitlines()[1:]]
    first = lines[: lines.index("")] if "" in lines else lines
    return " ".join(first).rstrip(".: ") or "not understood"


def _names(holder: Any, prefix: str = "--") -> Iterator[str]:
    """The options that a dataclass, or an instance with nested ones, makes. A field marked `flat` gives no prefix."""
    for field in dataclasses.fields(holder):
        value = getattr(holder, field.name, None)
        if dataclasses.is_dataclass(value):
            yield from _names(value, prefix if field.metadata.get("flat") else f"{prefix}{_dashed(field.name)}.")
        else:
            yield prefix + _dashed(field.name)
            if isinstance(value, bool):
                yield f"{prefix}no-{_dashed(field.name)}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
