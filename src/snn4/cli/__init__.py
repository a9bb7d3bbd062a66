"""The command `snn4`: one small file a command, and what they share.

    app       which command, and what becomes of an error
    options   a dataclass, filled from the command line
    folders   where a run lives, and reading it back
    summary   the table that sets the SNN beside its ANN
    run, resume, evaluate, report, profile, listing, cite, doctor    the commands

What is heavy (torch, the recipes) is imported inside the functions that need it, so that `snn4 --help` answers at once.
"""

from __future__ import annotations

from snn4.cli.app import main

__all__ = ["main"]
