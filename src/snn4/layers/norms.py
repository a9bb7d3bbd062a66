"""Normalisation, over sequences. Batch statistics are taken over time, batch and space together."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from snn4.core.checks import check_sequence
from snn4.core.errors import OptionError, ShapeError
from snn4.layers.folded import Folded

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


_TORCH_CONVERSION: Any = torch.nn.SyncBatchNorm.convert_sync_batchnorm


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None and (frame := frame.f_back) is not None:
        yield frame


# the base of all of torch's batch norms
AnyBatchNorm = torch.nn.modules.batchnorm._BatchNorm  # pyright: ignore[reportPrivateUsage]


class _FoldedBatchNorm(Folded):
    """What our batch norms share: they notice when torch's conversion would take the batch axis for the channels."""

    def named_children(self) -> Any:
        """As in torch.nn.Module; refuses torch.nn.SyncBatchNorm.convert_sync_batchnorm.

        That conversion asks each layer it replaces for its children, and there is no other moment at which the layer
        could notice. Its product would normalise (T, B, C, ...) over the wrong axis, silently where B equals C.
        """
        frame = inspect.currentframe()
        conversion = _TORCH_CONVERSION.__func__.__code__
        # a decorator may stand between the two
        callers = itertools.islice(_callers(frame), 8)
        if any(c.f_code is conversion and c.f_locals.get("cls") is torch.nn.SyncBatchNorm for c in callers):
            raise OptionError(
                f"torch.nn.SyncBatchNorm.convert_sync_batchnorm met snn4.nn.{type(self).__name__}",
                "snn4's conversion, which knows the time axis",
                "Call snn4.nn.SyncBatchNorm.convert_sync_batchnorm(net).",
            )
        return super().named_children()


class BatchNorm1d(_FoldedBatchNorm, torch.nn.BatchNorm1d):
    """torch.nn.BatchNorm1d with statistics over time and batch. Shape: (T, B, C) or (T, B, C, L), kept."""

    features = (1, 2)


class BatchNorm2d(_FoldedBatchNorm, torch.nn.BatchNorm2d):
    """torch.nn.BatchNorm2d with statistics over time, batch and space. Shape: (T, B, C, H, W), kept."""

    features = (3,)


class BatchNorm3d(_FoldedBatchNorm, torch.nn.BatchNorm3d):
    """torch.nn.BatchNorm3d with statistics over time, batch and space. Shape: (T, B, C, D, H, W), kept."""

    features = (4,)


class SyncBatchNorm(_FoldedBatchNorm, torch.nn.SyncBatchNorm):
    """torch.nn.SyncBatchNorm with time folded: statistics over all processes. Shape: (T, B, C, ...), kept."""

    features = (1, 2, 3, 4)

    @classmethod
    def convert_sync_batchnorm(cls, module: torch.nn.Module, process_group: Any = None) -> torch.nn.Module:
        """Replace every batch norm of snn4.nn in `module` by this class; weights and statistics are kept.

        Args:
            module: a network, or a single layer.
            process_group: whose statistics are joined; default all.

        Returns:
            The network (changed in place), or the new layer where `module` is itself a batch norm.
        """
        if isinstance(module, _FoldedBatchNorm) and isinstance(module, AnyBatchNorm):
            # `new` keeps what a subclass adds, as the scale of tdBN
            new = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            if isinstance(module, Scaled):
                raise OptionError(
                    f"convert_sync_batchnorm met {type(module).__name__}, whose scale it would lose",
                    "plain batch norms",
                    "Write the network with nn.BatchNorm2d and a threshold of 1, or leave this layer unsynchronised.",
                )
            reference = next(iter(module.state_dict().values()), None)
            if reference is not None:
                new.to(reference)
            new.load_state_dict(module.state_dict())
            return new.train(module.training)
        for name, child in list(module._modules.items()):
            if child is not None:
                module._modules[name] = cls.convert_sync_batchnorm(child, process_group)
        return module


class Scaled:
    """Mark of a batch norm that multiplies its output by more than its weight."""


class GroupNorm(Folded, torch.nn.GroupNorm):
    """torch.nn.GroupNorm at every step. Shape: (T, B, C, *), kept."""


class InstanceNorm1d(Folded, torch.nn.InstanceNorm1d):
    """torch.nn.InstanceNorm1d at every step. Shape: (T, B, C, L), kept."""

    features = (2,)


class InstanceNorm2d(Folded, torch.nn.InstanceNorm2d):
    """torch.nn.InstanceNorm2d at every step. Shape: (T, B, C, H, W), kept."""

    features = (3,)


def _check_axes(norm: torch.nn.LayerNorm | torch.nn.RMSNorm, x: Tensor) -> None:
    """Refuse an input so short of axes that time or batch would be normalised over."""
    owner, axes = type(norm).__name__, len(norm.normalized_shape)
    check_sequence(owner, x)
    if x.ndim < 2 + axes:
        raise ShapeError(
            f"{owner} over the last {axes} axes got x of shape {tuple(x.shape)}",
            f"(T, B, ...) and {axes} axes more",
            "Is the time axis missing? snn4.data.repeat(x, steps=8) adds it.",
        )


class LayerNorm(torch.nn.LayerNorm):
    """torch.nn.LayerNorm over the last axes at every step. Shape: (T, B, *features), kept."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """The layer at every step."""
        _check_axes(self, input)
        return super().forward(input)


class RMSNorm(torch.nn.RMSNorm):
    """torch.nn.RMSNorm over the last axes at every step. Shape: (T, B, *features), kept."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer at every step."""
        _check_axes(self, x)
        return super().forward(x)
