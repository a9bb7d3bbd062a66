"""Directives whose contents are computed from the code while the pages are built.

```{members} neurons            the table of `snn4 list neurons`
```{surrogates}                 a picture of each surrogate, forward and derivative
```{study} learning_dynamics    pictures and tables of a study of many runs, from its stored rows
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

_RESULTS = Path(__file__).resolve().parents[1] / "results"
# beside the pages, because an image is named by its place under the source folder; it is never committed
_PICTURES = Path(__file__).parent / "_build" / "pictures"


def _table(rows: list[dict[str, str]]) -> nodes.table:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    group = nodes.tgroup(cols=len(columns))
    group += [nodes.colspec(colwidth=1) for _ in columns]
    head, body = nodes.thead(), nodes.tbody()
    for part, texts in ((head, [columns]), (body, [[row.get(column, "") for column in columns] for row in rows])):
        for cells in texts:
            line = nodes.row()
            for text in cells:
                line += nodes.entry("", nodes.paragraph("", text))
            part += line
    group += [head, body]
    return nodes.table("", group)


class Members(Directive):
    """The listing of one kind of member."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        from snn4.cli.listing import KINDS

        return [_table(KINDS[self.arguments[0]]())]


class Surrogates(Directive):
    """A picture of each surrogate with its defaults."""

    def run(self) -> list[nodes.Node]:
        """The pictures."""
        made: list[nodes.Node] = []
        for name in _draw():
            path = f"/_build/pictures/{name}.svg"
            about = f"{name}: what it sends forward, and the derivative that it hands back"
            made.append(nodes.image(uri=path, alt=about, width="48%"))
        return [nodes.paragraph("", "", *made)]


class Study(Directive):
    """The pictures and tables of a stored study; it says so where none is stored."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """What `results/*/*/result.json` of that recipe holds."""
        recipe = self.arguments[0]
        made: list[nodes.Node] = []
        for path in sorted(_RESULTS.glob("*/*/result.json")):
            result = json.loads(path.read_text(encoding="utf-8"))
            if result["recipe"] == recipe and "study" in result:
                made.append(nodes.literal_block("", f"$ {result['command']}"))
                made += _study(recipe, path.parent.name, result["study"])
        return made or [nodes.paragraph("", f"No result is stored yet: snn4 run {recipe} makes it.")]


def _study(recipe: str, part: str, rows: list[dict[str, Any]]) -> list[nodes.Node]:
    module = importlib.import_module(f"snn4.recipes.{recipe}")
    made: list[nodes.Node] = []
    _PICTURES.mkdir(parents=True, exist_ok=True)
    for number, (heading, figure) in enumerate(module.draw(rows).items()):
        name = f"{recipe}-{part}-{number}"
        figure.savefig(_PICTURES / f"{name}.svg", metadata={"Date": None})
        made.append(nodes.image(uri=f"/_build/pictures/{name}.svg", alt=heading, width="100%"))
    for heading, (header, *lines) in module.tables(rows).items():
        made.append(nodes.paragraph("", "", nodes.strong("", heading)))
        made.append(_table([dict(zip(header, line, strict=True)) for line in lines]))
    return made


def _draw() -> list[str]:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    from snn4 import surrogates
    from snn4.view import pictures

    _PICTURES.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    for name in surrogates.__all__:
        member = getattr(surrogates, name)
        if inspect.isclass(member) and issubclass(member, surrogates.Surrogate) and not inspect.isabstract(member):
            ax = pictures.surrogate(member().eval(), low=-1.5, high=1.5, title=name)
            ax.figure.savefig(_PICTURES / f"{name}.svg")
            plt.close(ax.figure)
            names.append(name)
    return names


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("members", Members)
    app.add_directive("surrogates", Surrogates)
    app.add_directive("study", Study)
    return {"parallel_read_safe": False}
