"""Each law of surrogates rejects a surrogate that breaks it, and names it."""

from __future__ import annotations

import pytest
import torch

from snn4 import Learned, OptionError
from snn4.core.quantity import POSITIVE
from snn4.surrogates import Surrogate
from snn4.testing import LawError, check_surrogate
from snn4.testing.surrogates import SURROGATE_LAWS


class Plain(Surrogate):
    """A logistic density with a scale, written by a user; it keeps every law."""

    area = 1.0

    def __init__(self, k=2.0):
        super().__init__()
        self.quantity("k", k, POSITIVE)

    def derivative(self, x):
        y = torch.sigmoid(self.k * x)
        return self.k * y * (1 - y)

    def primitive(self, x):
        return torch.sigmoid(self.k * x)


class LearnedPlain(Plain):
    def __init__(self):
        super().__init__(Learned(2.0))


class WrongPrimitive(Plain):
    def primitive(self, x):
        return torch.tanh(self.k * x)


class WrongArea(Plain):
    area = 2.0


class WrongTails(Plain):
    """Right wherever the grid looks, wrong beyond."""

    def derivative(self, x):
        return super().derivative(x) + (x.abs() > 100) / (1 + x * x)


class FiresAbove(Plain):
    """Does not fire exactly at the threshold."""

    def forward(self, x):
        return super().forward(x) * (x != 0)


class Soft(Plain):
    """Puts the smooth function forward."""

    def forward(self, x):
        return self.primitive(x)


class OtherBackward(Plain):
    """Follows another derivative than it says."""

    def forward(self, x):
        smooth = torch.sigmoid(4 * x)
        return (x >= 0).to(x.dtype) + smooth - smooth.detach()


class Blocks(Plain):
    def forward(self, x):
        return (x >= 0).to(x.dtype)


class ScaleUntaught(LearnedPlain):
    """Its scale is learned, but gets no gradient."""

    def primitive(self, x):
        return torch.sigmoid(self.k.detach() * x)


class ScaleMistaught(LearnedPlain):
    """Its scale gets a gradient, of the wrong sign."""

    def forward(self, x):
        k = 2 * self.k.detach() - self.k
        smooth = torch.sigmoid(k * x)
        return (x >= 0).to(x.dtype) + smooth - smooth.detach()


class DropsDtype(Plain):
    def derivative(self, x):
        return super().derivative(x).float()


class DropsShape(Plain):
    def derivative(self, x):
        return super().derivative(x)[..., :1]


class Overflows(Plain):
    """exp(x) / (1 + exp(x))^2, written without care."""

    def derivative(self, x):
        e = torch.exp(self.k * x)
        return self.k * e / (1 + e) ** 2


class Mixes(Plain):
    """Centred on the mean of its neighbours."""

    def derivative(self, x):
        return super().derivative(x - x.mean())


class Remembers(Plain):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def derivative(self, x):
        self.calls += 1
        return super().derivative(x)


class HidesScale(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("gain", torch.tensor(2.0, dtype=torch.float64), persistent=False)

    def derivative(self, x):
        y = torch.sigmoid(self.gain * x)
        return self.gain * y * (1 - y)

    def primitive(self, x):
        return torch.sigmoid(self.gain * x)


BROKEN = [
    (WrongPrimitive, "primitive"),
    (WrongArea, "area"),
    (WrongTails, "area"),
    (FiresAbove, "step"),
    (Soft, "step"),
    (OtherBackward, "backward"),
    (Blocks, "backward"),
    (ScaleUntaught, "learned scale"),
    (ScaleMistaught, "learned scale"),
    (DropsDtype, "shape and dtype"),
    (DropsShape, "shape and dtype"),
    (Overflows, "shape and dtype"),
    (Mixes, "elementwise"),
    (Remembers, "copies"),
    (HidesScale, "copies"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_surrogate_is_rejected_by_name(broken, law):
    with pytest.raises(LawError) as caught:
        check_surrogate(broken())
    assert law in caught.value.names, str(caught.value)


def test_every_law_has_a_surrogate_that_it_rejects():
    assert {law.name for law in SURROGATE_LAWS} == {law for _, law in BROKEN}


@pytest.mark.parametrize("good", [Plain, LearnedPlain])
def test_a_good_surrogate_keeps_all(good):
    report = check_surrogate(good())
    assert len(report.kept) == len(SURROGATE_LAWS)
    assert report.exempt == ()


def test_exemptions_and_options():
    report = check_surrogate(WrongArea(), exempt={"area": "its area is a setting"})
    assert report.exempt == (("area", "its area is a setting"),)
    with pytest.raises(OptionError):
        check_surrogate(Plain(), exempt={"areas": "?"})
    with pytest.raises(OptionError):
        check_surrogate(Plain(), span=0.0)
    with pytest.raises(OptionError, match=r"check_surrogate\(MySurrogate\(\)\)"):
        check_surrogate(Plain)
