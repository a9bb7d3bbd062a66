"""Floor 9: experiments, one file each."""

from __future__ import annotations

from snn4.recipes.recipe import Recipe, get, names

__all__ = ["Recipe", "get", "names"]
