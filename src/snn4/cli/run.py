"""`snn4 run RECIPE`: train, evaluate, compare with the ANN, write the report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from snn4.cli.folders import CONFIG, forget_empty, keep, new_run
from snn4.cli.options import parse
from snn4.cli.summary import show
from snn4.core.errors import OptionError, suggest
from snn4.core.optional import need

__all__ = ["Go", "Paused", "go_on", "run", "stopped", "tell", "tell_english"]

_HELP = """\
Train a spiking network, evaluate it once on the test split, compare it with the ANN of the same architecture, report.

usage: snn4 run RECIPE [options]

{recipes}

snn4 run RECIPE --help tells the options of a recipe."""


@dataclasses.dataclass(frozen=True)
class Go:
    """What can be said about any run, whatever its recipe."""

    out: Path | None = None
    """The run folder; without it, runs/RECIPE/TIME-seedN."""
    json: bool = False
    """Print the result as JSON, as the last line."""
    lang: Literal["en", "ja"] = "en"
    """The language of the table and the report; those of a study of many runs are in English."""
    data: Path | None = None
    """The folder of the data sets; without it, $SNN4_DATA, then the cache folder."""
    download: bool = False
    """Fetch the data set where it is missing."""
    smoke: bool = False
    """A tiny run of seconds, to see that everything works; its numbers mean nothing."""
    small: bool = False
    """The same experiment with a network and a budget for a CPU, where the recipe has one."""
    quiet: bool = False
    """No progress bars."""
    minutes: float | None = None
    """Stop the training after so long with everything saved; snn4 resume goes on. The exit status is then 3."""


class Paused(KeyboardInterrupt):
    """The time of `--minutes` is over."""


def run(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 run`.

    Raises:
        OptionError: an unknown recipe or option.
    """
    from snn4.recipes import get, names

    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, names()), default=0)
        print(_HELP.format(recipes="\n".join(f"  {name:<{width}}   {get(name).title}" for name in names())))
        return
    if args[0].startswith("-"):
        raise OptionError(f"snn4 run got {args[0]} first", "the name of a recipe", f"Write: snn4 run digits {args[0]}")
    if args[0] not in names():
        raise OptionError(f"snn4 run got {args[0]!r}", "a recipe", suggest(args[0], names()))

    recipe = get(args[0])
    config = recipe.smoke() if "--smoke" in args else recipe.small() if "--small" in args else recipe.config()
    config, go = _parse(config, args[1:], recipe.name, recipe.title)
    folder = new_run(recipe.name, config.seed, go.out)
    try:
        keep(folder, go.lang, go.data)
        result = go_on(recipe, config, folder, go, resume=False)
    finally:
        forget_empty(folder)
    tell(result, folder, go.lang, as_json=go.json)


def go_on(recipe: Any, config: Any, folder: Path, go: Any, *, resume: bool) -> dict[str, Any]:
    """Begin a run or go on with it, for so many minutes; returns its result.

    Args:
        recipe: what runs.
        config: its options.
        folder: of the run.
        go: lang, data, download, quiet and minutes, as the command line has them.
        resume: whether the folder holds the run already.

    Raises:
        Paused: the minutes are over; how to go on stands in the message.
        KeyboardInterrupt: it was stopped; likewise.
    """
    from snn4.training import OutOfTime, time_limit

    if recipe.experiment is None:
        tell_english(go.lang)
    how: dict[str, Any] = {"progress": not go.quiet, "lang": go.lang, "data": go.data, "download": go.download}
    try:
        with time_limit(go.minutes):
            return recipe.main(config, out=folder, resume=resume, **how)
    except OutOfTime:
        raise Paused(f"{go.minutes:g} minutes are over. Go on with: snn4 resume {folder}") from None
    except KeyboardInterrupt:
        raise stopped(folder) from None


def _parse(default: Any, args: Sequence[str], name: str, title: str) -> tuple[Any, Go]:
    """The recipe's own options and those of every run, read from one command line."""
    conf = need("tyro", "to read the command line").conf
    flat = {"flat": True}
    both = dataclasses.make_dataclass(
        "Run",
        [
            ("go", Annotated[Go, conf.arg(name="")], dataclasses.field(metadata=flat)),
            ("config", Annotated[type(default), conf.arg(name="")], dataclasses.field(metadata=flat)),
        ],
        frozen=True,
    )
    filled: Any = parse(both, args, f"snn4 run {name}", default=both(Go(), default), about=title)
    return filled.config, filled.go


def tell_english(lang: str) -> None:
    """Say of a study that its page is in English, where another language was asked for."""
    if lang != "en":
        print(f"snn4: a study is written in English: --lang {lang} changes nothing in its tables.", file=sys.stderr)


def stopped(folder: Path) -> KeyboardInterrupt:
    """What a stopped run leaves to say."""
    if (folder / CONFIG).exists():
        return KeyboardInterrupt(f"Stopped. Go on with: snn4 resume {folder}")
    return KeyboardInterrupt("Stopped before anything was saved.")


def tell(result: dict[str, Any], folder: Path, lang: str, *, as_json: bool) -> None:
    """Show a result: the table, where the files are, and as the very last line the JSON that was asked for."""
    show(result, folder, lang)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
