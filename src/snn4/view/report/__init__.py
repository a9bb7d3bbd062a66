"""The report of a run, as one HTML file."""

from __future__ import annotations

from snn4.view.report.page import write_report
from snn4.view.report.study import write_study

__all__ = ["write_report", "write_study"]
