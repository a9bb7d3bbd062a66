"""The mark of a module that folds time into the batch for what it holds."""

from __future__ import annotations

import torch

__all__ = ["FoldsTime"]


class FoldsTime(torch.nn.Module):
    """Base of modules whose children see (T * B, *features) in place of (T, B, *features)."""
