"""Everything between the library and the person at the terminal: progress, messages, signals, exit codes.

Results go to standard output; progress, warnings and errors go to standard error. Nothing is ever asked.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

import typer

from vtryon.cli.meter import meter
from vtryon.errors import VtryonError
from vtryon.progress import Progress

_LIBRARIES = "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0"


class Stopped(BaseException):
    """A signal asked us to end. Not an Exception, so that nothing on the way out mistakes it for a failure."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Terminal:
    """What a command says to its user; made by :func:`reporting`."""

    def __init__(self, *, verbose: int, quiet: bool, if_stopped: str = "nothing was written") -> None:
        self.if_stopped = if_stopped
        self.verbose = verbose
        self.quiet = quiet
        self._meter = meter() if not quiet else None

    def progress(self, at: Progress) -> None:
        """Show how far the work is (a ``vtryon.progress.Report``)."""
        if self._meter is not None:
            self._meter.show(at)

    def warn(self, message: str) -> None:
        if not self.quiet:
            self._say(f"warning: {message}")

    def result(self, line: str, record: Mapping[str, Any] | None = None) -> None:
        """The outcome, on standard output: one JSON object where ``record`` is given, else the line (unless quiet)."""
        self.clear()
        if record is not None:
            typer.echo(json.dumps(record, indent=2))
        elif not self.quiet:
            typer.echo(line)

    def clear(self) -> None:
        """Take the progress display away."""
        if self._meter is not None:
            self._meter.close()

    def fail(self, message: str, code: int, details: str = "") -> NoReturn:
        """One line on standard error, below it the details where there are any, and out."""
        self._say(f"error: {message}")
        if details:
            typer.echo(f"\n{details}", err=True)
        raise typer.Exit(code)

    def stopped(self, signum: int) -> NoReturn:
        self._say(f"stopped by {signal.Signals(signum).name}, {self.if_stopped}")
        raise typer.Exit(128 + signum)

    def _say(self, text: str) -> None:
        self.clear()
        one_line = " ".join(text.split())
        try:
            typer.echo(f"vtryon: {one_line}", err=True)
        except BrokenPipeError:
            _to_nowhere(sys.stderr)  # else Python fails to flush at its end, and its code 120 replaces ours


class _Told(logging.Handler):
    """Shows the library's warnings as those of the command."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.warn(record.getMessage())


@contextmanager
def reporting(
    *, verbose: int = 0, quiet: bool = False, if_stopped: str = "nothing was written", warnings: bool = False
) -> Iterator[Terminal]:
    """Run a command's body: whatever ends it becomes at most one line and an exit code.

    ``if_stopped`` is what a user who ends it by a signal is told about its outputs; ``warnings`` shows what the library
    logs as warnings without ``verbose`` too.

    Raises:
        typer.Exit: with the code of the failure (``vtryon.errors``), 128 + n for signal n, 1 for a defect of ours.
    """
    with _signals():
        terminal = Terminal(verbose=verbose, quiet=quiet, if_stopped=if_stopped)
        _configure_logging(verbose, terminal if warnings else None)
        try:
            yield terminal
        except VtryonError as problem:
            if verbose > 1:
                _show_traceback(terminal)
            terminal.fail(str(problem), problem.exit_code, problem.details)
        except (Stopped, KeyboardInterrupt) as stop:
            terminal.stopped(stop.signum if isinstance(stop, Stopped) else signal.SIGINT)
        except (typer.Exit, typer.BadParameter, typer.Abort):
            raise
        except OSError as problem:
            if problem.errno == errno.EPIPE:
                _leave_broken_pipe()
            _unexpected(terminal, problem)
        except ImportError as problem:
            hint = f"; {_LIBRARIES}" if ".so" in str(problem) and sys.platform == "linux" else ""
            terminal.fail(f"a library is missing or broken: {problem}{hint}", 69)
        except Exception as problem:
            _unexpected(terminal, problem)
        finally:
            terminal.clear()


def _unexpected(terminal: Terminal, problem: Exception) -> NoReturn:
    if terminal.verbose > 1:
        _show_traceback(terminal)
    what = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
    terminal.fail(f"unexpected {what} (run with -vv for the traceback)", 1)


def _show_traceback(terminal: Terminal) -> None:
    import traceback

    terminal.clear()
    typer.echo(traceback.format_exc(), err=True, nl=False)


def _leave_broken_pipe() -> NoReturn:
    """The reader of our output has gone (``| head -1``): no message, and no second failure when Python flushes."""
    _to_nowhere(sys.stdout)
    raise typer.Exit(1)


def _to_nowhere(stream: TextIO) -> None:
    with suppress(OSError, ValueError):  # a captured stream (tests, notebooks) has no descriptor
        descriptor = stream.fileno()
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), descriptor)


def _configure_logging(verbose: int, told: Terminal | None) -> None:
    logger = logging.getLogger("vtryon")
    logger.handlers.clear()
    if told is not None and not verbose:
        logger.setLevel(logging.WARNING)
        logger.addHandler(_Told(told))
    else:
        logger.setLevel((logging.ERROR, logging.INFO, logging.DEBUG)[min(verbose, 2)])
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("vtryon: %(message)s"))
        logger.addHandler(handler)
    logger.propagate = False


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that every temporary file is removed.

    The second signal gets the system's own treatment: whoever insists is not held up by our cleaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in wanted}
    handled = [number for number in wanted if before[number] is not signal.SIG_IGN]  # nohup ignores SIGHUP

    def stop(signum: int, _: FrameType | None) -> NoReturn:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        raise Stopped(signum)

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
