"""The report: every section put on one page, in one file."""

from __future__ import annotations

import os
from pathlib import Path

from snn4.core.files import write_text
from snn4.view.report import sections
from snn4.view.report.context import Context
from snn4.view.report.figures import draw_all
from snn4.view.report.html import Html, element, join
from snn4.view.report.numbers import numbers
from snn4.view.report.run_folder import read_run
from snn4.view.report.style import STYLE
from snn4.view.report.summary import summary
from snn4.view.texts import texts

__all__ = ["write_report"]


def write_report(folder: str | os.PathLike[str], *, lang: str = "en") -> Path:
    """Write `report.html` into a run folder: one file that opens without a network and compares SNN and ANN.

    Written for a person who must decide whether to go on with an SNN. Every sentence with a judgement is computed from
    `result.json`; what is missing in the folder is stated on the page.

    Args:
        folder: a run folder with `result.json` and, as far as they exist, `config.json`, `metrics.jsonl`,
            `environment.json` and `pictures.safetensors`.
        lang: `"en"` or `"ja"`.

    Returns:
        The path of the report.

    Raises:
        CheckpointError: `result.json` is missing or damaged.
        OptionError: a language that the report does not speak.
        StorageError: the folder cannot be written.
        MissingLibraryError: matplotlib or safetensors is not installed.

    Example:
        >>> write_report("no/such/run")
        Traceback (most recent call last):
        snn4.core.errors.CheckpointError: no/such/run/result.json does not exist: expected the result of a run that \
came to its end. Run the recipe again, or name the folder of a run that came to its end.
    """
    words = texts(lang)
    folder = Path(folder)
    context = Context(read_run(folder), words)
    path = folder / "report.html"
    write_text(path, _page(context))
    return path


def _page(context: Context) -> str:
    run, words = context.run, context.texts
    headings, note = words.headings, words.pictures.language_note
    figures, undrawn = draw_all(context)
    parts: dict[str, tuple[str, Html]] = {
        "summary": (headings.summary, summary(context)),
        "compared": (headings.compared, sections.compared(context)),
        "data": (headings.data, sections.data_used(context)),
        "numbers": (headings.numbers, numbers(context)),
        "pictures": (headings.pictures, join([element("p", note) if note else None, *figures])),
        "assumptions": (headings.assumptions, sections.assumptions(context)),
        "limits": (headings.limits, sections.limits(context)),
        "next": (headings.next, sections.next_steps(context)),
        "reproduce": (headings.reproduce, sections.reproduce(context)),
        "glossary": (headings.glossary, sections.glossary(context)),
        "gaps": (headings.gaps, sections.gaps(context, [*run.gaps, *undrawn])),
    }
    kicker = words.page.kicker.format(recipe=run.recipe)
    if run.seed is not None:
        kicker += words.page.comma + words.page.seed.format(seed=f"{run.seed:.0f}")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", words.page.title.format(title=run.title)),
        element("style", Html(STYLE)),
    )
    links = [element("li", element("a", title, href=f"#{key}")) for key, (title, _) in parts.items()]
    body = element(
        "body",
        element(
            "header", element("p", kicker, class_="kicker"), element("h1", words.page.title.format(title=run.title))
        ),
        element("nav", element("ol", *links), aria_label=words.page.contents),
        element(
            "main",
            *(
                element(
                    "section", element("h2", title, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title"
                )
                for key, (title, content) in parts.items()
            ),
        ),
        element("footer", element("p", words.page.footer)),
    )
    return "<!doctype html>\n" + element("html", head, body, lang=words.lang) + "\n"
