"""Augmentation: every image of a batch is changed in its own way, drawn from a generator.

An augmentation is a callable `(x, generator) -> x` on stored images (B, C, H, W), bytes or floating point, and keeps
shape, type and device. It goes into the training task, and only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from snn4.core.errors import OptionError, ShapeError

__all__ = ["Augmentation", "Compose", "Cutout", "Flip", "Shift", "Stretch", "compose"]


class Augmentation(Protocol):
    """What changes a batch of images."""

    def __call__(self, x: Tensor, generator: Generator, /) -> Tensor:
        """A changed copy of `x`."""
        ...


@dataclass(frozen=True)
class Shift:
    """Move each image by up to `pixels` in both directions; what comes in from outside is `fill`.

    The same as padding by `pixels` on all sides and cutting out the old size at a random place. Every one of the
    `(2 * pixels + 1) ** 2` places is equally likely.

    Args:
        pixels: 0 or more.
        fill: value of the background, in the scale of the images.

    Shape:
        (B, C, H, W); the same.

    Example:
        >>> x = torch.ones(4, 1, 8, 8)
        >>> Shift(2)(x, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 8, 8])
    """

    pixels: int
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.pixels < 0:
            raise OptionError(f"Shift got pixels = {self.pixels}", "0 or more")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """A moved copy of `x`."""
        batch, _, height, width = _images("Shift", x)
        dy, dx = (_draw(batch, -self.pixels, self.pixels, generator, x) for _ in "yx")
        rows, inside_rows = _source(height, dy)
        columns, inside_columns = _source(width, dx)
        samples = torch.arange(batch, device=x.device)[:, None, None]
        # the advanced indices put (B, H, W) first and leave the channels last
        moved = x[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
        inside = (inside_rows[:, :, None] & inside_columns[:, None, :]).unsqueeze(1)
        return moved.masked_fill(~inside, self.fill).contiguous()


@dataclass(frozen=True)
class Flip:
    """Mirror left and right, each image with probability `p`.

    Not for digits and letters, which mean something else in a mirror.

    Args:
        p: between 0 and 1.

    Shape:
        (B, C, H, W); the same.

    Example:
        >>> x = torch.arange(3.0).reshape(1, 1, 1, 3)
        >>> Flip(p=1.0)(x, torch.Generator()).flatten()
        tensor([2., 1., 0.])
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise OptionError(f"Flip got p = {self.p}", "a probability between 0 and 1")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """A copy of `x`, partly mirrored."""
        batch, *_ = _images("Flip", x)
        chosen = torch.rand(batch, generator=generator, device=generator.device) < self.p
        return torch.where(chosen.to(x.device).reshape(-1, 1, 1, 1), x.flip(-1), x)


@dataclass(frozen=True)
class Cutout:
    """Blank out one square of each image.

    Its centre is drawn from all pixels, so that at the border a part of it lies outside. A square of even size reaches
    one pixel further up and left.

    Paper: [devries2017cutout].

    Args:
        size: side of the square in pixels, 1 or more.
        fill: what the square is filled with, in the scale of the images.

    Shape:
        (B, C, H, W); the same.

    Example:
        >>> x = torch.ones(1, 3, 1, 1)
        >>> Cutout(1)(x, torch.Generator()).sum()
        tensor(0.)
    """

    size: int
    fill: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise OptionError(f"Cutout got size = {self.size}", "1 or more")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """A copy of `x` with a blank square."""
        batch, _, height, width = _images("Cutout", x)
        cy, cx = _draw(batch, 0, height - 1, generator, x), _draw(batch, 0, width - 1, generator, x)
        rows, columns = self._covered(height, cy), self._covered(width, cx)
        return x.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), self.fill)

    def _covered(self, length: int, centre: Tensor) -> Tensor:
        first = centre[:, None] - self.size // 2
        position = torch.arange(length, device=centre.device)[None, :]
        return (position >= first) & (position < first + self.size)


@dataclass(frozen=True)
class Stretch:
    """Stretch or squeeze each image about its middle, then move it, along both axes and with interpolation.

        y(r, c) = x(a r + da, b c + db),   log a from U(-rows, rows), log b from U(-columns, columns)

    Outside of the image is 0. Made for frames of spikes, whose rows are steps and whose columns are channels: another
    speed and, where channels are frequencies, another voice; VTLP warps frequencies in pieces, this in one.

    Paper: [jaitly2013vtlp].

    Args:
        rows: the largest logarithm of a factor, 0 or more; 0.2 is a fifth longer or shorter.
        columns: the same along the other axis.
        by: how far each image is moved at most, in rows and columns.

    Shape:
        (B, C, H, W); the same. Bytes are rounded.

    Example:
        >>> x = torch.ones(4, 1, 50, 140)
        >>> Stretch(0.3, 0.2, by=(3, 8))(x, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 50, 140])
    """

    rows: float
    columns: float
    by: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not all(value >= 0 for value in (self.rows, self.columns, *self.by)):
            raise OptionError(f"Stretch got {self.rows}, {self.columns} and by = {self.by}", "numbers of 0 or more")

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """A stretched copy of `x`."""
        batch, _, height, width = _images("Stretch", x)
        if not x.numel():
            return x.clone()
        values = x if x.is_floating_point() else x.float()
        # rows of [x, y, 1] to [x, y], in coordinates that run from -1 to 1
        map_ = torch.zeros(batch, 2, 3, dtype=values.dtype, device=x.device)
        for axis, size, factor, way in ((0, width, self.columns, self.by[1]), (1, height, self.rows, self.by[0])):
            map_[:, axis, axis] = _between(batch, factor, generator, values).exp()
            map_[:, axis, 2] = _between(batch, 2 * way / size, generator, values)
        grid = torch.nn.functional.affine_grid(map_, list(x.shape), align_corners=False)
        moved = torch.nn.functional.grid_sample(values, grid, align_corners=False)
        return moved if x.is_floating_point() else moved.round().to(x.dtype)


@dataclass(frozen=True)
class Compose:
    """Several augmentations one after the other; `compose(...)` makes it."""

    parts: tuple[Augmentation, ...]

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """`x` changed by each in turn."""
        for part in self.parts:
            x = part(x, generator)
        return x


def compose(*parts: Augmentation) -> Compose:
    """Several augmentations one after the other; none at all changes nothing.

    Example:
        >>> compose(Shift(4), Flip())
        Compose(parts=(Shift(pixels=4, fill=0.0), Flip(p=0.5)))
    """
    return Compose(parts)


def _images(name: str, x: Tensor) -> tuple[int, int, int, int]:
    if x.dim() != 4:
        raise ShapeError(
            f"{name} got x of shape {tuple(x.shape)}",
            "(B, C, H, W)",
            "Augment the stored batch, before it is encoded over time.",
        )
    return x.shape[0], x.shape[1], x.shape[2], x.shape[3]


def _draw(count: int, low: int, high: int, generator: Generator, x: Tensor) -> Tensor:
    """`count` whole numbers from `low` to `high`, both included, on the device of `x`."""
    return torch.randint(low, high + 1, (count,), generator=generator, device=generator.device).to(x.device)


def _between(count: int, most: float, generator: Generator, x: Tensor) -> Tensor:
    """`count` numbers from -`most` to `most`, of the type and on the device of `x`."""
    drawn = torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)
    return ((2 * drawn - 1) * most).to(x)


def _source(length: int, shift: Tensor) -> tuple[Tensor, Tensor]:
    """From where each position of each image comes (B, length), clamped to the image, and whether it lies in it."""
    wanted = torch.arange(length, device=shift.device)[None, :] - shift[:, None]
    return wanted.clamp(0, length - 1), (wanted >= 0) & (wanted < length)
