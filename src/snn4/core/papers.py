"""Where each method comes from: BibTeX entries, and who cites which."""

from __future__ import annotations

import functools
import inspect
import re
from importlib import resources

import torch

from snn4.core.errors import OptionError, suggest

__all__ = ["bibtex", "cite", "entries", "keys_of"]

_KEYS = re.compile(r"Paper:\s*\[([^\]]+)\]")


@functools.cache
def entries() -> dict[str, str]:
    """All entries of `references.bib`, key -> BibTeX text."""
    text = resources.files("snn4.core").joinpath("references.bib").read_text(encoding="utf-8")
    found = (part.strip() for part in re.split(r"^(?=@)", text, flags=re.MULTILINE))
    return {re.split(r"[{,]", part)[1].strip(): part for part in found if part.startswith("@")}


def keys_of(member: object) -> list[str]:
    """The paper keys that a member's docstring, else its file's docstring, names after `Paper:`.

    Example:
        >>> from snn4.surrogates import ATan
        >>> keys_of(ATan)
        ['fang2021plif']
    """
    described = member if inspect.isclass(member) or inspect.isroutine(member) else type(member)
    text = inspect.getdoc(described) or ""
    if not _KEYS.search(text):
        module = inspect.getmodule(described)
        text = (module.__doc__ or "") if module is not None else ""
    return [key.strip() for match in _KEYS.finditer(text) for key in match[1].split(",")]


def bibtex(key: str) -> str:
    """The BibTeX entry of a key.

    Raises:
        OptionError: there is none.
    """
    try:
        return entries()[key]
    except KeyError:
        known = sorted(entries())
        raise OptionError(f"the paper key {key!r}", "a key of references.bib", suggest(key, known)) from None


def cite(*things: object) -> str:
    """BibTeX of every method that is used: of a network's modules, of classes, functions or keys.

    Args:
        things: networks, members of snn4 (classes, builders, instances), or keys of `references.bib`.

    Raises:
        OptionError: a key that does not exist.

    Example:
        >>> from snn4 import nn
        >>> print(cite(nn.Sequential(nn.Linear(2, 2), nn.TdBN1d(2)))[:28])
        @inproceedings{zheng2021tdbn
    """
    keys: dict[str, None] = {}
    for thing in things:
        if isinstance(thing, str):
            keys[thing] = None
            continue
        members = thing.modules() if isinstance(thing, torch.nn.Module) else [thing]
        for member in members:
            if type(member).__module__.startswith("torch."):
                continue
            keys.update(dict.fromkeys(keys_of(member)))
            if isinstance(member, torch.nn.Module):
                # settings that are objects of their own: the route
                for setting in vars(member).values():
                    if type(setting).__module__.startswith("snn4."):
                        keys.update(dict.fromkeys(keys_of(setting)))
    return "\n\n".join(bibtex(key) for key in keys)
