"""The command line: names, flags and printing. Nothing here computes, and nothing heavy is imported before a verb runs."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run `epiverb` and exit: 0 done, 2 the user's mistake (one line), 1 a fault of ours."""
    # Imports make some 80,000 objects that live to the end: to look for garbage among them again and again takes a tenth
    # of a short command. `app.execute` turns the collector on when they are done.
    gc.disable()
    from epiverb.cli.app import app
    from epiverb.errors import EpiverbError, Stopped

    try:
        app(prog_name="epiverb")
    except Stopped as stop:
        _fail(f"epiverb: {stop}", 130)
    except EpiverbError as error:
        _fail(f"epiverb: {error}", 2)
    except BrokenPipeError:
        # `epiverb ... | head`: the reader has seen enough. Python would complain again while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        _fail("epiverb: stopped.", 130)
    except OSError as error:
        # Disk full, permission denied, too many files: the machine's word, with the file it concerns.
        _fail(f"epiverb: {error.filename or 'operating system'}: {error.strerror or error}", 2)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (hint := _missing(error.name or "")):
            _fail(f"epiverb: {hint}", 2)
        _fail(
            f"epiverb: a fault of epiverb, not of yours: {type(error).__name__}: {error}. EPIVERB_DEBUG=1 shows where.",
            1,
        )


def _missing(module: str) -> str | None:
    """What to install for a module that an extra brings; None where it is of none, or is there and lacks something."""
    from importlib.util import find_spec

    from epiverb.errors import MissingExtra
    from epiverb.extras import wanted_by

    one = wanted_by(module)
    return str(MissingExtra(one.package, str(one.extra))) if one and find_spec(one.module) is None else None


def _fail(message: str, code: int) -> None:
    if os.environ.get("EPIVERB_DEBUG") == "1":
        raise
    from epiverb.cli.terminal import printable

    if sys.argv[1:2] == ["train"] and os.environ.get("RANK", "0") != "0":
        # One of several processes: what all of them meet is said by the first one.
        if code == 130 or isinstance(sys.exc_info()[1], ValueError | ImportError):
            sys.exit(code)
        message = f"{message} (process {os.environ['RANK']})"
    print(printable(message), file=sys.stderr)
    sys.exit(code)
