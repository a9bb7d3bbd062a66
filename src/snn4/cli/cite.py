"""`snn4 cite NAME...`: the BibTeX entries of what you used."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence

from snn4.cli.listing import members
from snn4.cli.options import parse
from snn4.core.errors import OptionError, suggest

__all__ = ["cite"]

# where members with a paper live
_PACKAGES = ("snn4.neurons", "snn4.surrogates", "snn4.nn", "snn4.data")


@dataclasses.dataclass(frozen=True)
class Cite:
    """Print the BibTeX entries of neurons, surrogates, layers, encoders, data sets, or paper keys."""

    names: tuple[str, ...]
    """Names as `snn4 list` shows them (LIF, ATan, mnist), or keys (fang2021plif)."""


def cite(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: the words after `snn4 cite`.

    Raises:
        OptionError: an unknown name, or none.
    """
    asked = parse(Cite, args, "snn4 cite").names
    if not asked:
        raise OptionError("snn4 cite got no name", "one or more", "For example: snn4 cite LIF ATan")
    from snn4.core.papers import bibtex, entries, keys_of
    from snn4.data import card, names

    known = {key: [key] for key in entries()}
    known |= {name: keys_of(member) for package in _PACKAGES for name, member in members(package)}
    known |= {name: [key] if (key := card(name).key) else [] for name in names()}
    keys: list[str] = []
    for name in asked:
        if name not in known:
            raise OptionError(f"snn4 cite got {name!r}", "a member or a paper key", suggest(name, list(known)))
        if not known[name]:
            print(f"% {name} names no paper", file=sys.stderr)
        keys += known[name]
    for key in dict.fromkeys(keys):
        print(bibtex(key), end="\n\n")
