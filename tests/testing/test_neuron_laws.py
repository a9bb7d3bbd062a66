"""Each law of neurons rejects a neuron that breaks it, and names it."""

from __future__ import annotations

import pytest
import torch

import snn4
from snn4 import OptionError
from snn4.surrogates import ATan
from snn4.testing import LawError, check_neuron
from snn4.testing.neurons import NEURON_LAWS
from snn4.through_time import reference_loop


class Plain(snn4.Neuron):
    """A leaky neuron with one learned number, written by a user; it keeps every law."""

    State = snn4.state("v")

    def __init__(self):
        super().__init__()
        self.surrogate = ATan()
        self.beta = torch.nn.Parameter(torch.tensor(0.5))

    def step(self, x, state):
        v = self.beta * state.v + x
        s = self.surrogate(v - 1.0)
        return s, self.State(v - s)


class Remembers(Plain):
    """Keeps its membrane in the module."""

    def __init__(self):
        super().__init__()
        self.kept = 0.0

    def step(self, x, state):
        self.kept = (self.beta * self.kept + x).detach()
        s = self.surrogate(self.kept + x - 1.0)
        return s, self.State(state.v + 0)


class Counts(Plain):
    """Every call leaves a mark, which changes nothing else."""

    def __init__(self):
        super().__init__()
        self.calls = [0]

    def step(self, x, state):
        self.calls[0] += 1
        return super().step(x, state)


class Swallows(Plain):
    """Adapts to whatever it has seen in earlier calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def step(self, x, state):
        s, new = super().step(x - self.seen, state)
        self.seen += 0.1
        return s, new


class Trips(Plain):
    """Puts a mark down while it works and takes it up only when all went well."""

    def __init__(self):
        super().__init__()
        self.offset = 0.0

    def sequence(self, xs, state):
        self.offset = 1.0
        ys, state = super().sequence(xs, state)
        self.offset = 0.0
        return ys, state

    def step(self, x, state):
        return super().step(x + (self.offset - 1.0 if self.offset else 0.0), state)


class MixesQuietly(Plain):
    """Subtracts the mean of the batch, hidden from the gradient: reordering does not show it."""

    def step(self, x, state):
        return super().step(x - x.mean(0, keepdim=True).detach(), state)


class MixesGradients(Plain):
    """Adds nothing to the value, but lets the gradients of the batch meet."""

    def step(self, x, state):
        mean = x.mean(0, keepdim=True)
        return super().step(x + (mean - mean.detach()), state)


class PrefersTheFirst(Plain):
    """Item 0 drives the others."""

    def step(self, x, state):
        return super().step(x + 0.5 * x[:1], state)


class ChangesState(Plain):
    """Decays the state that it is given in place."""

    def step(self, x, state):
        with torch.no_grad():
            state.v.mul_(0.9)
        return super().step(x, state)


class ChangesInput(Plain):
    """Rectifies the caller's input in place."""

    def step(self, x, state):
        with torch.no_grad():
            x.clamp_(min=0)
        return super().step(x, state)


class Shortcut(Plain):
    """A fast path that is not what `step` says."""

    def sequence(self, xs, state):
        ys, state = reference_loop(self, 1.1 * xs, state)
        return ys, state


class ShortcutBackwards(Plain):
    """A fast path with the right values and another gradient."""

    def sequence(self, xs, state):
        return reference_loop(self, 2 * xs - xs.detach(), state)


class SeesTheChunk(Plain):
    """Normalises by what it sees in one call."""

    def sequence(self, xs, state):
        return super().sequence(xs - xs.mean(0, keepdim=True) + 0.5, state)


class SeesTheLength(Plain):
    """Cuts gradients at the start of every call."""

    def sequence(self, xs, state):
        return super().sequence(xs, self.State(state.v.detach()))


class OnlyManySteps(Plain):
    """Squeezes the batch away when it is 1."""

    def forward(self, xs):
        return super().forward(xs).squeeze(1)


class TakesAnything(Plain):
    """Does not check what it gets."""

    def check(self, xs):
        pass


class DropsDtype(Plain):
    """Returns float32 whatever came."""

    def step(self, x, state):
        s, new = super().step(x, state)
        return s.float(), new


class WidensState(Plain):
    """Keeps its state in float64 whatever came."""

    def initial(self, x):
        return self.State(torch.zeros_like(x, dtype=torch.float64))


class LeavesAlphabet(Plain):
    """Fires bursts, but claims to be binary."""

    def step(self, x, state):
        s, new = super().step(x, state)
        return s + self.surrogate(x - 5.0), new


class Overflows(Plain):
    """A graded output that is not finite for large inputs."""

    alphabet = None

    def step(self, x, state):
        s, new = super().step(x, state)
        return s * torch.exp(torch.relu(x)), new


class Restless(Plain):
    """Has a bias current."""

    def step(self, x, state):
        return super().step(x + 0.75, state)


class Mute(Plain):
    """Its threshold is out of reach."""

    def step(self, x, state):
        v = self.beta * state.v + x
        s = self.surrogate(v - 1e6)
        return s, self.State(v)


class WrongRate(Plain):
    """Promises twice what it does."""

    def transfer(self, mean_x):
        return (2 * mean_x).clamp(0, 1)


class WrongRateShape(Plain):
    """Promises a number a layer."""

    def transfer(self, mean_x):
        return mean_x.mean()


class NoRate(Plain):
    """Has no closed form for its setting, and says so."""

    def transfer(self, mean_x):
        raise NotImplementedError("only for beta = 1")


class Idle(Plain):
    """Owns a parameter that does nothing."""

    def __init__(self):
        super().__init__()
        self.idle = torch.nn.Parameter(torch.ones(3))


class Deaf(Plain):
    """Its spikes carry no gradient."""

    def step(self, x, state):
        v = self.beta * state.v + x
        s = (v >= 1.0).to(x.dtype)
        return s, self.State(v - s)


class HearsTheLastStep(Plain):
    """Only the last input of a call gets a gradient."""

    def sequence(self, xs, state):
        return super().sequence(torch.cat([xs[:-1].detach(), xs[-1:]]), state)


class Explodes(Plain):
    """Divides by zero in the backward pass where x is 0."""

    def step(self, x, state):
        return super().step(torch.where(x == 0, 0.0 * x.sqrt(), x), state)


class HidesWeights(Plain):
    """What it computes with is not in the state_dict."""

    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.tensor(1.5), persistent=False)

    def step(self, x, state):
        return super().step(self.gain * x, state)


class SharesMemory(Plain):
    """Its copies are the neuron itself."""

    def __deepcopy__(self, memo):
        twin = type(self)()
        twin.beta = self.beta
        return twin


class WrongBatch(Plain):
    """The batch is the second axis of its state."""

    def initial(self, x):
        return self.State(torch.zeros_like(x).transpose(0, 1).contiguous())

    def step(self, x, state):
        s, new = super().step(x, self.State(state.v.transpose(0, 1)))
        return s, self.State(new.v.transpose(0, 1).contiguous())


class Untraceable(Plain):
    """Looks at values with Python."""

    def step(self, x, state):
        if x.sum().item() > 1e9:
            x = -x
        return super().step(x, state)


BROKEN = [
    (Remembers, {"step changes nothing", "a call starts at rest", "cuts in time"}),
    (Counts, {"step changes nothing"}),
    (Swallows, {"step changes nothing", "a call starts at rest"}),
    (Trips, {"an exception leaves nothing"}),
    (MixesQuietly, {"batch items do not meet"}),
    (MixesGradients, {"batch items do not meet"}),
    (PrefersTheFirst, {"batch items do not meet"}),
    (ChangesState, {"step changes nothing"}),
    (ChangesInput, {"step changes nothing"}),
    (Shortcut, {"step folds to forward"}),
    (ShortcutBackwards, {"step folds to forward"}),
    (SeesTheChunk, {"cuts in time"}),
    (SeesTheLength, {"cuts in time"}),
    (OnlyManySteps, {"sequences"}),
    (TakesAnything, {"sequences"}),
    (DropsDtype, {"dtype and device"}),
    (WidensState, {"dtype and device"}),
    (LeavesAlphabet, {"alphabet"}),
    (Overflows, {"alphabet"}),
    (Restless, {"silent at rest"}),
    (Mute, {"responds"}),
    (WrongRate, {"rate"}),
    (WrongRateShape, {"rate"}),
    (Idle, {"gradients arrive"}),
    (Deaf, {"gradients arrive"}),
    (HearsTheLastStep, {"gradients arrive"}),
    (Explodes, {"gradients are finite"}),
    (HidesWeights, {"copies"}),
    (SharesMemory, {"copies"}),
    (WrongBatch, {"states"}),
]


@pytest.mark.parametrize(("broken", "laws"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_neuron_is_rejected_by_name(broken, laws):
    with pytest.raises(LawError) as caught:
        check_neuron(broken())
    assert laws <= set(caught.value.names), str(caught.value)
    assert broken.__name__ in str(caught.value)


# faults of one place are found by one law, or the verdict would not help
@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Trips, "an exception leaves nothing"),
        (Idle, "gradients arrive"),
        (LeavesAlphabet, "alphabet"),
        (Restless, "silent at rest"),
        (WrongRate, "rate"),
        (HidesWeights, "copies"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_fault_of_one_place_breaks_one_law(broken, law):
    with pytest.raises(LawError) as caught:
        check_neuron(broken())
    assert caught.value.names == (law,), str(caught.value)


def test_a_neuron_that_cannot_be_traced_is_rejected_when_asked():
    check_neuron(Untraceable())
    with pytest.raises(LawError) as caught:
        check_neuron(Untraceable(), compiled=True)
    assert caught.value.names == ("compiles",)


class LosesNames(Plain):
    """Its state cannot be written: the fields of one tuple share a tensor of no fixed size."""

    State = snn4.state("v", "n")

    def step(self, x, state):
        s, new = Plain.step(self, x, snn4.state("v")(state.v))
        return s, self.State(new.v, torch.sparse_coo_tensor(size=(2,)))

    def initial(self, x):
        return self.State(torch.zeros_like(x), torch.sparse_coo_tensor(size=(2,)))


def test_a_state_that_no_file_takes_is_rejected():
    pytest.importorskip("safetensors")
    with pytest.raises(LawError) as caught:
        check_neuron(LosesNames())
    assert "state files" in caught.value.names


def test_every_law_has_a_neuron_that_it_rejects():
    rejecting = {law for _, laws in BROKEN for law in laws} | {"compiles", "state files"}
    assert {law.name for law in NEURON_LAWS} == rejecting


@pytest.mark.parametrize("neuron", [Plain, NoRate])
def test_a_good_neuron_keeps_all(neuron):
    report = check_neuron(neuron(), compiled=neuron is Plain)
    assert len(report.kept) + len(report.exempt) == len(NEURON_LAWS)
    assert len(report.exempt) == (neuron is not Plain)


def test_the_neuron_itself_is_left_alone():
    neuron = Swallows().train()
    with pytest.raises(LawError):
        check_neuron(neuron)
    assert neuron.training
    assert neuron.seen.item() == 0


def test_an_exemption_with_its_reason():
    report = check_neuron(Restless(), exempt={"silent at rest": "a bias current is the point of it"})
    assert ("silent at rest", "a bias current is the point of it") in report.exempt
    assert "a bias current" in str(report)


class SeesAll(Plain):
    """Normalises by the whole sequence, and says so."""

    chunkable = False
    unchunkable_reason = "it normalises by the whole sequence"

    def sequence(self, xs, state):
        return super().sequence(xs - 0.5 * xs.mean(0, keepdim=True), state)


def test_a_neuron_that_cannot_be_cut_says_so_itself():
    report = check_neuron(SeesAll(), exempt={"step folds to forward": "it normalises first"})
    assert ("cuts in time", "it normalises by the whole sequence") in report.exempt


class SaysNoReason(SeesAll):
    unchunkable_reason = ""


def test_not_to_be_cut_needs_a_reason():
    with pytest.raises(OptionError, match="a reason"):
        check_neuron(SaysNoReason())


@pytest.mark.parametrize("options", [{"steps": 3}, {"batch": 1}, {"scale": 0.0}, {"exempt": {"no law": "why"}}])
def test_bad_options_are_refused(options):
    with pytest.raises(OptionError):
        check_neuron(Plain(), **options)


def test_a_class_is_not_a_neuron():
    with pytest.raises(OptionError, match=r"check_neuron\(MyNeuron\(\)\)"):
        check_neuron(Plain)


def test_a_neuron_that_fails_everywhere_is_still_told_in_full():
    class Fails(Plain):
        def step(self, x, state):
            raise ValueError("not written yet")

    with pytest.raises(LawError) as caught:
        check_neuron(Fails())
    assert len(caught.value.broken) > 10
    assert "not written yet" in str(caught.value)


def test_no_global_random_number_is_drawn():
    before = torch.get_rng_state()
    check_neuron(Plain())
    assert torch.equal(before, torch.get_rng_state())
