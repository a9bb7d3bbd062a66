"""The README does what it says, and the Japanese one says the same."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from snn4.cli.app import COMMANDS
from snn4.cli.listing import KINDS
from snn4.cli.run import Go

TOP = Path(__file__).parents[1]
READMES = ["README.md", "README.ja.md"]
DOCUMENTS = [*READMES, "CONTRIBUTING.md", *sorted(str(p.relative_to(TOP)) for p in (TOP / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    text = (TOP / document).read_text(encoding="utf-8")
    return [body for found, body in BLOCK.findall(text) if found == kind]


def commands(document: str) -> list[str]:
    """The command lines of a document, without the prompt and the comment."""
    lines = [line for body in blocks(document, "console") for line in body.splitlines()]
    return [line.removeprefix("$ ").split("  #")[0].strip() for line in lines if line.startswith("$ ")]


def test_the_python_of_the_readme_runs(capsys):
    found = blocks("README.md", "python")
    assert len(found) >= 3
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, body in enumerate(found):
        exec(compile(body, f"README.md, block {number}", "exec"), namespace)
    # what the comments in the README promise
    assert tuple(namespace["y1"].shape) == (5, 4, 11)
    assert tuple(namespace["y2"].shape) == (3, 4, 11)
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("document", [page for page in DOCUMENTS if page not in READMES and "docs/ja" not in page])
def test_the_python_of_the_documentation_runs(document):
    namespace: dict[str, object] = {"__name__": "documentation"}
    random = torch.get_rng_state()
    try:
        for number, body in enumerate(blocks(document, "python")):
            exec(compile(body, f"{document}, block {number}", "exec"), namespace)
    finally:
        torch.set_rng_state(random)
    if document == "docs/tutorial.md":
        assert namespace["accuracy"] > 0.8  # type: ignore[operator]


@pytest.mark.parametrize(
    ("english", "japanese"),
    [
        ("README.md", "README.ja.md"),
        ("docs/tutorial.md", "docs/ja/tutorial.md"),
        ("docs/explanation/purity-and-state.md", "docs/ja/purity-and-state.md"),
        ("docs/explanation/spike-times.md", "docs/ja/spike-times.md"),
        ("docs/how-to/memory.md", "docs/ja/memory.md"),
        ("docs/how-to/one-gpu.md", "docs/ja/one-gpu.md"),
        ("docs/explanation/neuron-compiler.md", "docs/ja/neuron-compiler.md"),
        ("docs/how-to/choose-a-route.md", "docs/ja/choose-a-route.md"),
        ("docs/explanation/routes.md", "docs/ja/routes.md"),
        ("docs/how-to/choose-a-neuron.md", "docs/ja/choose-a-neuron.md"),
        ("docs/how-to/choose-a-surrogate.md", "docs/ja/choose-a-surrogate.md"),
    ],
)
def test_the_japanese_pages_show_the_same_code(english, japanese):
    kinds = ("python", "console")
    assert any(blocks(english, kind) for kind in kinds)
    assert [blocks(english, kind) for kind in kinds] == [blocks(japanese, kind) for kind in kinds]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in commands(document):
        program, *words = line.removeprefix(".venv/bin/").split()
        assert program in ("make", "snn4", "pip", "git", "cd"), line
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, line
        if program == "snn4":
            command = words[0]
            assert command in {*COMMANDS, "--version", "--help"}, line
            if command == "list":
                assert words[1] in KINDS, line


@pytest.mark.parametrize("line", sorted({line for page in DOCUMENTS for line in commands(page) if "snn4 run" in line}))
def test_every_recipe_and_option_that_is_shown_exists(line):
    from snn4.recipes import get, names

    recipe, *options = line.split("snn4 run ")[1].split()
    assert recipe in names()
    config = get(recipe).config()
    general = {f"--{field.name}" for field in dataclasses.fields(Go)}
    for option in {word.split("=")[0] for word in options if word.startswith("--")} - general:
        value: object = config
        *path, last = option.removeprefix("--").replace("-", "_").split(".")
        for part in path:
            value = getattr(value, part)
        assert hasattr(value, last) or getattr(value, last.removeprefix("no_")) in (True, False), option


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(document):
    here = (TOP / document).parent
    text = BLOCK.sub("", (TOP / document).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"\w+:", target):
            assert (here / target).exists(), target
