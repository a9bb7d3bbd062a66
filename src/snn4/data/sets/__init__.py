"""The data sets that come with the toolkit, one family a file, and the catalogue that knows them by name."""

from __future__ import annotations

from snn4.data.sets.catalogue import Status, available, card, load, names, register
from snn4.data.sets.source import Card, Found, Remote, Source

__all__ = ["Card", "Found", "Remote", "Source", "Status", "available", "card", "load", "names", "register"]
