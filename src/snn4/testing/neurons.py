"""`check_neuron`: all that a neuron promises, in one call."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import torch

from snn4.core.errors import OptionError
from snn4.testing import compiling, credit, cuts, purity, signals, storage
from snn4.testing.judge import Law, LawReport, judge
from snn4.testing.subject import Subject
from snn4.through_time import Neuron
from snn4.through_time.contract import answered

__all__ = ["NEURON_LAWS", "check_neuron"]

NEURON_LAWS: tuple[Law[Subject], ...] = (
    purity.step_folds,
    cuts.cuts,
    cuts.batch_items,
    purity.mutates,
    purity.again,
    purity.interrupted,
    purity.shapes,
    signals.kept_dtype,
    signals.alphabet,
    signals.silent,
    signals.responds,
    signals.rate,
    credit.reaches,
    credit.finite,
    storage.copies,
    storage.states,
    storage.files,
    compiling.compiles,
)


def check_neuron(
    neuron: Neuron,
    *,
    features: tuple[int, ...] = (3,),
    steps: int = 7,
    batch: int = 4,
    scale: float = 1.0,
    exempt: Mapping[str, str] | None = None,
    compiled: bool = False,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> LawReport:
    """Try every law of neurons on copies of `neuron`, in evaluation mode.

    Args:
        neuron: the neuron; it is left as it is.
        features: the shape of one sample at one step; it must fit per-channel and per-neuron quantities.
        steps: length of the sequences, at least 4.
        batch: items of a batch, at least 2.
        scale: size of the inputs; choose it so that the neuron fires now and then.
        exempt: laws that cannot hold, each with its reason, which the report prints; those in the neuron's own
            `exempt` need not be repeated. A neuron that says `chunkable = False` is exempt from cuts with its own
            `unchunkable_reason`.
        compiled: also try `torch.compile`, which takes some seconds.
        device: where to judge.
        seed: of the inputs.

    Returns:
        The laws kept and exempted; prints as a table.

    Raises:
        LawError: names every broken law, with what was seen.
        OptionError: what keeps every law from being tried: no `State`, no `super().__init__()`, a `step` that returns
            something else than output and state; an exemption from an unknown law or without a reason, or arguments
            out of range.

    Example:
        >>> import torch, snn4
        >>> class Leaky(snn4.Neuron):
        ...     State = snn4.state("v")
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.surrogate = snn4.surrogates.ATan()
        ...     def step(self, x, state):
        ...         v = 0.5 * state.v + x
        ...         s = self.surrogate(v - 1.0)
        ...         return s, self.State(v - s)
        >>> report = check_neuron(Leaky())
        >>> len(report.kept) > 15, report.exempt
        (True, (('compiles', 'not asked for: compiled=False'),))
        >>> class Forgetful(Leaky):
        ...     def step(self, x, state):
        ...         self.v = getattr(self, "v", 0) + x        # a state that nobody carries
        ...         return self.surrogate(self.v - 1.0), state
        >>> check_neuron(Forgetful())                         # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        snn4.testing.judge.LawError: Forgetful breaks 6 laws
    """
    if not isinstance(neuron, Neuron):
        raise OptionError(
            f"check_neuron got {type(neuron).__name__}", "an instance of a Neuron", "Write check_neuron(MyNeuron())."
        )
    if steps < 4 or batch < 2 or not scale > 0:
        raise OptionError(
            f"check_neuron got steps={steps}, batch={batch}, scale={scale}", "steps >= 4, batch >= 2, scale > 0"
        )
    excused = {**neuron.exempt, **(exempt or {})}
    if not neuron.chunkable:
        reason = neuron.unchunkable_reason or "it says chunkable = False and gives no reason"
        if not neuron.unchunkable_reason:
            raise OptionError(
                f"{type(neuron).__name__} says chunkable = False", "a reason", "Set unchunkable_reason as well."
            )
        # each of these goes on from a carried state
        for uncut in (cuts.cuts, storage.states, storage.files):
            excused.setdefault(uncut.name, reason)
    if not compiled:
        excused.setdefault(compiling.compiles.name, "not asked for: compiled=False")
    if importlib.util.find_spec("safetensors") is None:
        excused.setdefault(storage.files.name, "not tried: the library safetensors is not installed")
    subject = Subject(neuron, features, steps, batch, scale, torch.device(device), seed)
    _refuse_unfit(subject)
    return judge(type(neuron).__name__, NEURON_LAWS, subject, excused)


def _refuse_unfit(subject: Subject) -> None:
    """Refuse a neuron that no call can serve: else every law would say so."""
    for name in ("_modules", "State"):
        getattr(subject.original, name)
    try:
        neuron, x = subject.neuron(), subject.inputs()[0]
        before = neuron.initial(x)
        found = neuron.step(x, before)
    except Exception:
        return  # the laws tell how it fails
    answered(neuron, found, before)
