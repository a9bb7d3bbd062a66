"""`snn4 list KIND`: the members, their papers and what they can do, computed from the code."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_type_hints

from snn4.cli.options import parse
from snn4.cli.tables import show_rows
from snn4.core.errors import OptionError, suggest

__all__ = ["KINDS", "listing", "members"]

Row = dict[str, str]


@dataclasses.dataclass(frozen=True)
class List:
    """List the members of one kind: recipes, models, neurons, surrogates, routes, encoders or datasets."""

    kind: str
    """recipes, models, neurons, surrogates, routes, encoders or datasets"""
    pattern: str = "*"
    """Only names like this, with wildcards, capitals or not: `snn4 list models --pattern "*resnet*"`."""
    json: bool = False
    """Print the rows as JSON."""


def listing(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 list`.

    Raises:
        OptionError: no kind, an unknown one, or a pattern that no name matches.
    """
    if not args:
        raise OptionError("snn4 list got no kind", f"one of {', '.join(KINDS)}", "For example: snn4 list neurons")
    go = parse(List, args, "snn4 list")
    if go.kind not in KINDS:
        raise OptionError(f"snn4 list got {go.kind!r}", "a kind of member", suggest(go.kind, list(KINDS)))
    pattern = go.pattern.casefold()
    rows = [row for row in KINDS[go.kind]() if fnmatch.fnmatchcase(row["name"].casefold(), pattern)]
    if not rows:
        one = go.kind.removesuffix("s")
        raise OptionError(
            f"no {one} matches {go.pattern!r}", "a name, with wildcards", f"snn4 list {go.kind} shows all."
        )
    if go.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    show_rows(go.kind, columns, [[row.get(column, "") for column in columns] for row in rows])


def members(package: str, base: type = object) -> Iterator[tuple[str, Any]]:
    """Name and object of every public class of a package that can be made, and of every function that makes one.

    Args:
        package: its path, `"snn4.neurons"`.
        base: only subclasses of this, and functions that return one.
    """
    module = importlib.import_module(package)
    for name in module.__all__:
        member = getattr(module, name)
        made = get_type_hints(member).get("return") if inspect.isfunction(member) else member
        if inspect.isclass(made) and issubclass(made, base) and not inspect.isabstract(made):
            yield name, member


def _row(name: str, member: Any) -> Row:
    from snn4.core.papers import keys_of

    first = (inspect.getdoc(member) or "").split("\n\n")[0]
    return {"name": name, "what": " ".join(first.split()), "paper": ", ".join(keys_of(member))}


def _recipes() -> list[Row]:
    from snn4.recipes import get, names

    return [{"name": name, "what": get(name).title} for name in names()]


def _models() -> list[Row]:
    from snn4.models import builder, names

    return [
        _row(name, build) | {"arguments": ", ".join(inspect.signature(build).parameters)}
        for name, build in ((name, builder(name)) for name in names())
    ]


def _surrogates() -> list[Row]:
    from snn4.surrogates import Surrogate

    return [_row(name, member) | _learnable(member) for name, member in members("snn4.surrogates", Surrogate)]


def _neurons() -> list[Row]:
    from snn4.through_time import Neuron

    rows: list[Row] = []
    for name, member in members("snn4.neurons", Neuron):
        row = _row(name, member) | _learnable(member)
        neuron = _made(member)
        if neuron is not None:
            row["state"] = ", ".join(neuron.State._fields)
            row["output"] = "any number" if neuron.alphabet is None else ", ".join(f"{a:g}" for a in neuron.alphabet)
        rows.append(row)
    return rows


def _routes() -> list[Row]:
    from snn4 import through_time
    from snn4.through_time import Route

    losses = {"no": "no", "yes": "may be", "only": "must be"}
    rows: list[Row] = []
    for name in through_time.__all__:
        member = getattr(through_time, name)
        if inspect.isclass(member) and issubclass(member, Route) and not inspect.isabstract(member):
            route = member()
            about = {"online": losses[route.online], "gradient between steps": "no" if route.local else "yes"}
            rows.append(_row(name, member) | about)
    return rows


def _made(member: Callable[..., Any]) -> Any:
    """A member with its defaults, or `None` where it has arguments without one."""
    wanted = inspect.signature(member).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if any(p.default is p.empty and p.kind not in variadic for p in wanted):
        return None
    return member()


def _learnable(member: Callable[..., Any]) -> Row:
    """The quantities that may be a float, a tensor, or learned."""
    made = _made(member)
    return {"learnable": "" if made is None else ", ".join(made.quantities)}


def _encoders() -> list[Row]:
    from snn4 import data

    # Encoder is a protocol, which anybody's class may follow: ours are those that live beside it
    home = data.Encoder.__module__.rpartition(".")[0]
    ours = ((name, member) for name, member in members("snn4.data") if member.__module__.startswith(home))
    return [_row(name, member) for name, member in ours if inspect.isclass(member) and member is not data.Encoder]


def _datasets() -> list[Row]:
    from snn4.data import available

    return [
        {
            "name": status.card.name,
            "what": status.card.title,
            "classes": str(len(status.card.classes)),
            "licence": status.card.licence,
            "here": status.where if status.found else "",
        }
        for status in available()
    ]


KINDS: dict[str, Callable[[], list[Row]]] = {
    "recipes": _recipes,
    "models": _models,
    "neurons": _neurons,
    "surrogates": _surrogates,
    "routes": _routes,
    "encoders": _encoders,
    "datasets": _datasets,
}
