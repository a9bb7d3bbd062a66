"""Which command is meant, and what becomes of an error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence

import snn4
from snn4.cli import cite, doctor, evaluate, listing, pack, profile, report, resume, run
from snn4.core.errors import OptionError, Snn4Error, suggest

__all__ = ["COMMANDS", "main"]

Command = Callable[[Sequence[str]], None]

COMMANDS: dict[str, tuple[str, Command]] = {
    "run": ("train, evaluate, compare with the ANN, write the report", run.run),
    "resume": ("go on with a run that was stopped", resume.resume),
    "pack": ("write a run folder as a few files of limited size", pack.pack),
    "unpack": ("make the run folder again that pack was given", pack.unpack),
    "eval": ("evaluate the trained networks of a run folder", evaluate.evaluate),
    "report": ("write the report of a run folder again", report.report),
    "profile": ("spikes, operations, energy, memory and latency of a run's networks", profile.profile),
    "list": ("recipes, models, neurons, surrogates, routes, encoders or datasets", listing.listing),
    "cite": ("the BibTeX entries of what you used", cite.cite),
    "doctor": ("versions, compilers, GPU, data: what this machine has", doctor.doctor),
}

_HELP = """\
Deep spiking neural networks, trained in one command and compared with their ANN.

usage: snn4 COMMAND [options]

{commands}

  -h, --help   this text; snn4 COMMAND --help tells a command's options
  --version    the version
  --debug      with any command: show the traceback of an error

Start with: snn4 run digits"""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 done; 2 an error that says what to do; 3 the time of --minutes is over; 130 stopped with Ctrl-C; 1 an error that
    snn4 did not foresee.

    Args:
        args: the words after `snn4`; `None` takes them from the process.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        snn4 ...
        0
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        _dispatch(words)
        sys.stdout.flush()
    except SystemExit as stop:  # --help inside a command
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt as stop:
        _traceback(debug)
        _say(str(stop) or "Stopped.")
        return 3 if isinstance(stop, run.Paused) else 130
    except BrokenPipeError:
        # the reader (`| head`) has gone; Python would complain once more when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Snn4Error as error:
        _traceback(debug)
        _say("\n".join([str(error), *_notes(error)]))
        return 2
    except Exception as error:  # the last door before the user
        _traceback(debug)
        _say("\n".join([f"{type(error).__name__}: {error}", *_notes(error)]))
        if not debug:
            _say("snn4 did not expect this. Run the command again with --debug to see where it happened.")
        return 1
    return 0


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(_HELP.format(commands="\n".join(f"  {name:<{width}}   {about}" for name, (about, _) in COMMANDS.items())))
    elif words[0] == "--version":
        print(f"snn4 {snn4.__version__}")
    elif words[0] in COMMANDS:
        COMMANDS[words[0]][1](words[1:])
    else:
        raise OptionError(f"snn4 got {words[0]!r}", "a command", suggest(words[0], list(COMMANDS)))


def _say(text: str) -> None:
    print(f"snn4: {text}", file=sys.stderr)


def _notes(error: Exception) -> list[str]:
    """What was added on the way, as the run of a study in which it happened."""
    return list(getattr(error, "__notes__", ()))


def _traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()
