"""`check_surrogate`: a step forward, its surrogate backward, and formulas that agree with each other."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from snn4.core.errors import OptionError
from snn4.surrogates import Surrogate
from snn4.testing.compare import changes, differs, fingerprint
from snn4.testing.judge import Law, LawReport, judge, law

__all__ = ["SURROGATE_LAWS", "check_surrogate"]


@dataclass(frozen=True)
class SurrogateSubject:
    """A surrogate under judgement.

    Args:
        original: the surrogate as the user gave it; it is never called.
        features: the shape that per-channel scales fit.
        span: how far from the threshold it is looked at.
    """

    original: Surrogate
    features: tuple[int, ...]
    span: float

    def surrogate(self, dtype: torch.dtype = torch.float64) -> Surrogate:
        """A fresh copy in evaluation mode: a mask that is drawn in training is not looked at."""
        return copy.deepcopy(self.original).to(dtype).eval()

    def spread(self, x: Tensor) -> Tensor:
        """(N,) -> (N, *features)."""
        return x.view(-1, *(1 for _ in self.features)).expand(-1, *self.features).contiguous()

    def grid(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Points on both sides of the threshold, off the round numbers where kinks lie. Shape (601, *features)."""
        x = torch.linspace(-self.span, self.span, 601, dtype=torch.float64) + self.span * 4.567e-4
        return self.spread(x).to(dtype)

    @staticmethod
    def weights(x: Tensor) -> Tensor:
        """Upstream gradients."""
        draw = torch.Generator().manual_seed(1)
        return torch.randn(x.shape, generator=draw, dtype=torch.float64).to(x)


@law("step", "The forward pass is a step: 0 below the threshold, 1 above and exactly at it.")
def step(subject: SurrogateSubject) -> Iterator[str]:
    """Near, far, and at the threshold."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        far = torch.tensor([-1e30, -1e-30, -0.0, 0.0, 1e-30, 1e30], dtype=dtype)
        x = torch.cat([subject.grid(dtype), subject.spread(far)])
        s = subject.surrogate(dtype)(x)
        yield from differs(f"spikes in {dtype}", s, torch.where(x >= 0, 1.0, 0.0).to(dtype))


@law("primitive", "`derivative` is the derivative of `primitive`.")
def primitive(subject: SurrogateSubject) -> Iterator[str]:
    """Central differences in float64; a few points may lie on kinks."""
    surrogate, x, h = subject.surrogate(), subject.grid(), 1e-5 * subject.span
    with torch.no_grad():
        numeric = (surrogate.primitive(x + h) - surrogate.primitive(x - h)) / (2 * h)
        claimed = surrogate.derivative(x)
    gap = (numeric - claimed).abs()
    wrong = ~(gap <= 1e-4 * max(1e-3, claimed.abs().max().item()))
    if float(wrong.double().mean()) > 0.01:
        k = int(gap.flatten().nan_to_num(nan=math.inf).argmax())
        yield (
            f"at {int(wrong.sum())} of {wrong.numel()} points; at x = {x.flatten()[k].item():.4g} the derivative is "
            f"{claimed.flatten()[k].item():.6g}, the slope of the primitive {numeric.flatten()[k].item():.6g}"
        )


@law("area", "`area` is the integral of `derivative`, and the rise of `primitive`.")
def area(subject: SurrogateSubject) -> Iterator[str]:
    """Quadrature over the whole line: x = tan(a) brings heavy tails to a finite interval."""
    surrogate, n = subject.surrogate(), 200_001
    with torch.no_grad():
        a = ((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5) * math.pi
        x = subject.spread(a.tan())
        whole = (surrogate.derivative(x) * (1 + x * x)).sum(0) * (math.pi / n)
        claimed = torch.as_tensor(surrogate.area, dtype=torch.float64).expand_as(whole)
        far = subject.spread(torch.tensor([-1e12, 1e12], dtype=torch.float64))
        low, high = surrogate.primitive(far)
    size = max(1e-3, claimed.abs().max().item())
    for what, seen in (("the integral of derivative", whole), ("the rise of primitive over the line", high - low)):
        gap = (seen - claimed).abs()
        if not gap.max().item() <= 2e-3 * size:
            k = int(gap.flatten().nan_to_num(nan=math.inf).argmax())
            yield f"{what} is {seen.flatten()[k].item():.5g}, area says {claimed.flatten()[k].item():.5g}"


@law("backward", "The backward pass multiplies by `derivative`.")
def backward(subject: SurrogateSubject) -> Iterator[str]:
    """On the grid and at the threshold itself, for a weighted sum."""
    surrogate = subject.surrogate()
    x = torch.cat([subject.grid(), subject.spread(torch.zeros(1, dtype=torch.float64))]).requires_grad_()
    weights = subject.weights(x)
    s = surrogate(x)
    if not s.requires_grad:
        yield "the spikes carry no gradient"
        return
    (grad,) = torch.autograd.grad((s * weights).sum(), x)
    yield from differs("gradient of the input", grad, (weights * surrogate.derivative(x)).detach(), 1e-9)


@law("learned scale", "A scale that is learned gets the gradient of `primitive` with respect to it.")
def scale(subject: SurrogateSubject) -> Iterator[str]:
    """Against finite differences of the primitive, entry by entry."""
    surrogate, x = subject.surrogate(), subject.grid()
    weights = subject.weights(x)
    learned = [(name, p) for name, p in surrogate.named_parameters() if p.requires_grad]
    if not learned:
        return
    s = surrogate(x)
    if not s.requires_grad:
        yield "the spikes carry no gradient"
        return
    grads = torch.autograd.grad((s * weights).sum(), [p for _, p in learned], allow_unused=True)

    def loss() -> float:
        with torch.no_grad():
            return float((surrogate.primitive(x) * weights).sum())

    for (name, parameter), grad in zip(learned, grads, strict=True):
        if grad is None:
            yield f"no gradient reaches {name}"
            continue
        flat = parameter.data.view(-1)
        for k in range(flat.numel()):
            middle, h = flat[k].item(), 1e-6
            flat[k] = middle + h
            up = loss()
            flat[k] = middle - h
            numeric = (up - loss()) / (2 * h)
            flat[k] = middle
            given = grad.flatten()[k].item()
            if not abs(numeric - given) <= 1e-4 * max(1.0, abs(numeric)):
                yield f"the gradient of {name}[{k}] is {given:.6g}, differences of the primitive say {numeric:.6g}"


@law("shape and dtype", "Spikes and derivative have the shape and dtype of the input, and are finite.")
def kept(subject: SurrogateSubject) -> Iterator[str]:
    """In float32, float64 and bfloat16, also far from the threshold."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        surrogate = subject.surrogate(dtype)
        x = torch.cat([subject.grid(dtype), subject.spread(torch.tensor([-1e4, 0.0, 1e4], dtype=dtype))])
        for name, y in (("spikes", surrogate(x)), ("derivative", surrogate.derivative(x))):
            if y.dtype != dtype or y.shape != x.shape:
                yield f"{name} of {tuple(x.shape)} {dtype} are {tuple(y.shape)} {y.dtype}"
            elif not bool(y.isfinite().all()):
                yield f"{name} in {dtype} are not all finite"


@law("elementwise", "Each value is treated alone: its place and its neighbours do not matter.")
def elementwise(subject: SurrogateSubject) -> Iterator[str]:
    """Reordered, and among other values."""
    surrogate, x = subject.surrogate(), subject.grid()
    order = torch.arange(len(x) - 1, -1, -1)
    others = torch.cat([x[:1], 1 - 2 * x[1:]])
    for name, function in (("derivative", surrogate.derivative), ("primitive", surrogate.primitive)):
        y = function(x)
        # functions such as exp may round the last bits differently at another place of a vector
        yield from differs(f"{name} in another order", function(x[order]), y[order], 1e-12)
        yield from differs(f"{name} among other values", function(others)[:1], y[:1], 1e-12)


@law("copies", "A call changes nothing; a deep copy, and a copy that loads the state_dict, give the same bits.")
def copies(subject: SurrogateSubject) -> Iterator[str]:
    """The copy is spoilt before it loads."""
    surrogate, x = subject.surrogate(), subject.grid()
    before, kept_x = fingerprint(surrogate), x.clone()
    s, psi = surrogate(x), surrogate.derivative(x)
    yield from differs("the input after a call", x, kept_x)
    if changed := changes(before, fingerprint(surrogate)):
        yield f"a call changed {', '.join(changed)}"
    twin = copy.deepcopy(surrogate)
    yield from differs("derivative of a deep copy", twin.derivative(x), psi)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.mul_(1.25).add_(0.125)
    yield from differs("derivative of the original, after its copy was changed", surrogate.derivative(x), psi)
    twin.load_state_dict(surrogate.state_dict())
    yield from differs("derivative of a changed copy that loaded the state_dict", twin.derivative(x), psi)
    yield from differs("spikes of that copy", twin(x), s)


SURROGATE_LAWS: tuple[Law[SurrogateSubject], ...] = (
    step,
    primitive,
    area,
    backward,
    scale,
    kept,
    elementwise,
    copies,
)


def check_surrogate(
    surrogate: Surrogate,
    *,
    features: tuple[int, ...] = (3,),
    span: float = 3.0,
    exempt: Mapping[str, str] | None = None,
) -> LawReport:
    """Try every law of surrogates on copies of `surrogate`, in evaluation mode.

    Args:
        surrogate: the surrogate; it is left as it is.
        features: a shape that its scale fits, if it is a tensor.
        span: how far from the threshold to look; a few times its width.
        exempt: laws that cannot hold, each with its reason, which the report prints.

    Returns:
        The laws kept and exempted; prints as a table.

    Raises:
        LawError: names every broken law, with what was seen.
        OptionError: an exemption from an unknown law or without a reason, or arguments out of range.

    Example:
        >>> import torch, snn4
        >>> class Cosine(snn4.surrogates.Surrogate):
        ...     area = 1.0
        ...     def derivative(self, x):
        ...         return torch.where(x.abs() < 1, (1 + torch.cos(torch.pi * x)) / 2, 0.0)
        ...     def primitive(self, x):
        ...         u = x.clamp(-1, 1)
        ...         return 0.5 + u / 2 + torch.sin(torch.pi * u) / (2 * torch.pi)
        >>> print(check_surrogate(Cosine()))
        Cosine
          law              ...
          step             ...
          primitive        ...
          ...
    """
    if not isinstance(surrogate, Surrogate):
        raise OptionError(
            f"check_surrogate got {type(surrogate).__name__}",
            "an instance of a Surrogate",
            "Write check_surrogate(MySurrogate()).",
        )
    if not span > 0:
        raise OptionError(f"check_surrogate got span={span}", "a distance > 0")
    subject = SurrogateSubject(surrogate, features, span)
    return judge(type(surrogate).__name__, SURROGATE_LAWS, subject, dict(exempt or {}))
