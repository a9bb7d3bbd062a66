"""How members are judged: every law is tried, and all that is broken is told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from snn4.core.errors import OptionError, suggest
from snn4.core.report import table

__all__ = ["Law", "LawError", "LawReport", "judge", "law"]

S = TypeVar("S")


@dataclass(frozen=True)
class Law(Generic[S]):
    """A promise of every member of a kind.

    Args:
        name: what `exempt` calls it.
        says: the promise, one sentence.
        problems: looks at a subject and yields what speaks against it; nothing where the law is kept.
    """

    name: str
    says: str
    problems: Callable[[S], Iterator[str]]


def law(name: str, says: str) -> Callable[[Callable[[S], Iterator[str]]], Law[S]]:
    """Make a law of a generator function that yields problems.

    Example:
        >>> @law("even", "It can be halved.")
        ... def even(number: int):
        ...     if number % 2:
        ...         yield f"{number} / 2 leaves 1"
        >>> list(even.problems(3))
        ['3 / 2 leaves 1']
    """
    return lambda problems: Law(name, says, problems)


@dataclass(frozen=True)
class LawReport:
    """What a member keeps. Prints as a table.

    Args:
        member: who was judged.
        kept: the laws that were tried and held.
        exempt: the laws that were not tried, each with its reason.
    """

    member: str
    kept: tuple[tuple[str, str], ...]
    exempt: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        rows = [[name, "kept", says] for name, says in self.kept]
        rows += [[name, "exempt", reason] for name, reason in self.exempt]
        return f"{self.member}\n{table(['law', '', 'what it says, or why it does not hold here'], rows, indent='  ')}"


class LawError(AssertionError):
    """A member breaks laws. `broken` has (name, sentence, what was seen) of each.

    Args:
        member: who was judged.
        broken: name, sentence and observations of each broken law.
    """

    def __init__(self, member: str, broken: Sequence[tuple[str, str, tuple[str, ...]]]) -> None:
        super().__init__(member, tuple(broken))
        self.member, self.broken = member, tuple(broken)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the broken laws."""
        return tuple(name for name, _, _ in self.broken)

    def __str__(self) -> str:
        lines = [f"{self.member} breaks {len(self.broken)} law{'s' * (len(self.broken) != 1)}"]
        for name, says, seen in self.broken:
            lines.append(f"  {name}: {says}")
            lines += [f"    seen: {one}" for one in seen[:5]]
            lines += [f"    and {len(seen) - 5} more" for _ in seen[5:6]]
        lines.append("  A law that cannot hold is declared: exempt={'name': 'the reason'}.")
        return "\n".join(lines)


def judge(member: str, laws: Sequence[Law[S]], subject: S, exempt: Mapping[str, str]) -> LawReport:
    """Try every law that is not exempt.

    Args:
        member: who is judged.
        laws: what to try.
        subject: what the laws look at.
        exempt: law -> why it cannot hold.

    Raises:
        LawError: names each broken law, with what was seen.
        OptionError: an exemption from a law that does not exist, or without a reason.
    """
    names = [one.name for one in laws]
    for name, reason in exempt.items():
        if name not in names:
            raise OptionError(f"exempt got the law {name!r}", "the name of a law", suggest(name, names))
        if not reason.strip():
            raise OptionError(f"exempt got no reason for {name!r}", "a sentence", "Say why the law cannot hold.")
    broken = [(one.name, one.says, seen) for one in laws if one.name not in exempt and (seen := _seen(one, subject))]
    if broken:
        raise LawError(member, broken)
    kept = tuple((one.name, one.says) for one in laws if one.name not in exempt)
    return LawReport(member, kept, tuple((name, exempt[name]) for name in names if name in exempt))


def _seen(one: Law[S], subject: S) -> tuple[str, ...]:
    """Everything that speaks against one law; what it raises speaks against it too."""
    seen: list[str] = []
    try:
        seen += one.problems(subject)
    except Exception as error:  # a member may fail in any way, and the other laws still want their turn
        text = str(error).strip().split("\n")[0]
        seen.append(f"{type(error).__name__}: {text}")
    return tuple(seen)
