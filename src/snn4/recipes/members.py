"""Neurons, surrogates and routes by the names and settings that a command line can hold.

    --neuron.kind da_lif --neuron.settings beta=learned:0.8 activation=sigmoid

A name is the class's or the builder's, in any case and with or without underscores. A setting is `name=value`: a
number, `true`, `false`, `none`, `learned:2.0` for a quantity that training changes, or a word (`activation=sigmoid`,
`decay=exponential`, `base=triangle`). What a member can do is read from its own signature, so that a new member needs
nothing here.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from snn4.core.errors import OptionError, suggest
from snn4.core.quantity import Learned
from snn4.neurons import euler, exponential
from snn4.surrogates import Surrogate
from snn4.through_time import Neuron, Route

__all__ = [
    "accepts",
    "default",
    "kinds",
    "make",
    "neuron_member",
    "route_member",
    "routes",
    "settings",
    "surrogate_member",
    "surrogates",
]

Member = Callable[..., Any]
# what a neuron may need besides its defaults: the length of a sequence, which a recipe knows, and an order, a setting
_GIVEN = {"steps", "k"}
_WORDS: dict[str, Any] = {"none": None, "true": True, "false": False}
_DECAYS = {"euler": euler, "exponential": exponential}


def _key(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _members(package: str, base: type) -> dict[str, Member]:
    """Classes of a package, and functions without arguments of their own that make one; a class before its builder."""
    module = importlib.import_module(package)
    found: dict[str, Member] = {}
    for name in module.__all__:
        member = getattr(module, name)
        made = _made_by(member) if inspect.isfunction(member) else member
        if not (inspect.isclass(made) and issubclass(made, base)) or inspect.isabstract(made):
            continue
        wanted = {p.name for p in _parameters(member).values() if p.default is p.empty}
        if wanted <= _GIVEN and (inspect.isclass(member) or _key(name) not in found):
            found[_key(name)] = member
    return dict(sorted(found.items()))


def _made_by(builder: Member) -> Any:
    """The class that a builder says it returns."""
    return vars(importlib.import_module(builder.__module__)).get(str(inspect.signature(builder).return_annotation))


def _parameters(member: Member) -> Mapping[str, inspect.Parameter]:
    return {
        p.name: p
        for p in inspect.signature(member).parameters.values()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


@functools.cache
def kinds() -> Mapping[str, Member]:
    """The neurons that spike and need no more than settings; readouts and twins made from another neuron are none."""
    return {name: made for name, made in _members("snn4.neurons", Neuron).items() if not getattr(made, "linear", False)}


@functools.cache
def surrogates() -> Mapping[str, Member]:
    """The surrogates."""
    return _members("snn4.surrogates", Surrogate)


@functools.cache
def routes() -> Mapping[str, Member]:
    """The routes through time."""
    return _members("snn4.through_time", Route)


def _found(option: str, name: str, known: Mapping[str, Member], what: str) -> Member:
    if _key(name) not in known:
        raise OptionError(f"{option} got {name!r}", what, suggest(_key(name), list(known)))
    return known[_key(name)]


def neuron_member(option: str, name: str) -> Member:
    """A neuron's class or builder by name.

    Raises:
        OptionError: there is none, or it needs a network of another form.
    """
    member = _found(option, name, kinds(), "a neuron")
    if _key(name) == "dhlif":
        raise OptionError(
            f"{option} got {name!r}, whose input has branches",
            "a neuron that takes what a layer gives",
            "Build the network by hand, with snn4.nn.DendriticLinear before each DHLIF.",
        )
    return member


def surrogate_member(option: str, name: str) -> Member:
    """A surrogate's class or builder by name.

    Raises:
        OptionError: there is none.
    """
    return _found(option, name, surrogates(), "a surrogate")


def route_member(option: str, name: str) -> Member:
    """A route's class by name.

    Raises:
        OptionError: there is none.
    """
    return _found(option, name, routes(), "a route")


def accepts(member: Member, name: str) -> bool:
    """Whether a member has an argument of this name.

    Example:
        >>> accepts(kinds()["tclif"], "tau"), accepts(kinds()["lif"], "tau")
        (False, True)
    """
    return name in _parameters(member)


def default(member: Member, name: str) -> Any:
    """What an argument is where nothing is said."""
    return _parameters(member)[name].default


def settings(option: str, texts: Sequence[str], member: Member) -> dict[str, Any]:
    """`name=value` texts as arguments of a member.

    Args:
        option: how the command line calls it, for errors.
        texts: the settings.
        member: whose arguments they are.

    Raises:
        OptionError: no `=`, or a name that the member does not have.

    Example:
        >>> settings("--neuron.settings", ["v_reset=none", "activation=sigmoid"], kinds()["dalif"])
        {'v_reset': None, 'activation': 'sigmoid'}
    """
    known = _parameters(member)
    filled: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise OptionError(f"{option} got {text!r}", "name=value", "Write tau=2.0, or tau=learned:2.0.")
        if name not in known:
            raise OptionError(f"{option} got {name}", f"an argument of {member.__name__}", suggest(name, list(known)))
        filled[name] = _value(option, value, str(known[name].annotation))
    return filled


def _value(option: str, text: str, annotation: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text.lower().startswith("learned:"):
        number = _number(text.partition(":")[2])
        if number is None:
            raise OptionError(f"{option} got {text!r}", "learned: and a number", "Write tau=learned:2.0.")
        return Learned(float(number))
    number = _number(text)
    if number is not None:
        return number
    if "Surrogate" in annotation:
        return make(option, _found(option, text, surrogates(), "a surrogate"), {})
    return _DECAYS.get(text, text) if annotation == "Decay" else text


def _number(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def make(option: str, member: Member, given: Mapping[str, Any]) -> Any:
    """A member from its arguments.

    Raises:
        OptionError: a value out of range or of another kind, or an argument without a value.
    """
    wanted = [p.name for p in _parameters(member).values() if p.default is p.empty and p.name not in given]
    if wanted:
        raise OptionError(
            f"{option} got {member.__name__} without {', '.join(wanted)}",
            "a value for each argument that has no default",
            f"Write {' '.join(f'{name}=2' for name in wanted)} among its settings.",
        )
    try:
        return member(**given)
    except TypeError as cause:
        raise OptionError(
            f"{option} got {', '.join(f'{k}={v!r}' for k, v in given.items())} ({cause})",
            f"arguments that {member.__name__} takes",
        ) from cause
