"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import snn4

SOURCE = Path(snn4.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = sorted(
    ["snn4", *(module.name for module in pkgutil.walk_packages([str(SOURCE)], "snn4."))],
)
PACKAGES = [".".join(("snn4", *path.parent.relative_to(SOURCE).parts)) for path in FILES if path.name == "__init__.py"]

# what unpickles or runs text as code
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torchvision", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save"}
OPTIONAL = {"h5py", "matplotlib", "rich", "safetensors", "scipy", "sklearn", "torchvision", "triton", "tyro"}


def name_of(node: ast.expr) -> str:
    """`a.b.c` of an expression that is one, else nothing."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists_and_is_documented(package):
    module = importlib.import_module(package)
    assert module.__doc__, f"{package} has no docstring"
    assert "__all__" in vars(module), f"{package} has no __all__"
    names = module.__all__
    assert len(set(names)) == len(names), f"{package}.__all__ names something twice"
    for name in names:
        member = getattr(module, name)
        if isinstance(member, ModuleType):
            assert member.__doc__, f"{package}.{name} has no docstring"
        elif inspect.isclass(member) or inspect.isroutine(member):
            assert documented(member), f"{package}.{name} has no docstring"


def documented(member: type | object) -> bool:
    """Whether it has a docstring of its own, not one that is inherited or that a dataclass makes."""
    text = vars(member).get("__doc__") if inspect.isclass(member) else inspect.getdoc(member)
    return bool(text) and not str(text).startswith(f"{getattr(member, '__name__', '')}(")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_names_in_all_only_what_it_has(module):
    found = importlib.import_module(module)
    missing = [name for name in getattr(found, "__all__", ()) if not hasattr(found, name)]
    assert not missing


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_unpickles_or_runs_text(path):
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call) and name_of(node.func) in FORBIDDEN_CALLS:
            found.append(name_of(node.func))
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            # numpy's own default is to refuse; saying so is fine
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                found.append("allow_pickle")
    assert not found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_holds_two_ideas(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{path.relative_to(SOURCE)} has {lines} lines: what is the second idea in it?"


def test_import_is_light():
    code = "import sys, torch; before = set(sys.modules); import snn4; print(*(set(sys.modules) - before))"
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    brought = {name.split(".")[0] for name in done.stdout.split()}
    assert "snn4" in brought
    assert not brought & OPTIONAL


def test_the_version_is_the_same_everywhere():
    top = SOURCE.parents[1]
    citation = (top / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {snn4.__version__}\n" in citation
    assert f"\n## {snn4.__version__}" in (top / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_every_dependency():
    import tomllib

    top = SOURCE.parents[1]
    project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [line.split("==") for line in (top / "constraints.txt").read_text().splitlines() if "==" in line]
    pinned = {name.lower() for name, version in pins if version}
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(wish for extra in extras for wish in extra)]
    names = {wish.split(">=")[0].split("[")[0].lower() for wish in wanted} - {"snn4"}
    assert names - pinned == set()


def test_every_paper_that_is_named_has_an_entry():
    from snn4.core.papers import entries

    named = {
        key.strip(): path.relative_to(SOURCE)
        for path in FILES
        for keys in re.findall(r"Paper:\s*\[([a-z][a-z0-9, ]*)\]", path.read_text(encoding="utf-8"))
        for key in keys.split(",")
    }
    assert named, "no docstring names a paper"
    assert {key: str(path) for key, path in named.items() if key not in entries() and key != "key"} == {}


def test_every_data_set_can_be_cited():
    from snn4.core.papers import entries
    from snn4.data import card, names

    assert {name: card(name).key for name in names() if card(name).key and card(name).key not in entries()} == {}
