"""Ctrl-C, SIGTERM and SIGHUP: they end a command wherever they arrive.

All raise KeyboardInterrupt, which no ``except Exception`` takes for a damaged file. It can be lost all the same: out of
a callback of C code Python lets no exception pass, and GDAL passes on no more than that reading failed. So what was lost
is raised again, and whatever a command fails with after a signal is answered as that signal.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from geopanoptic.errors import HungUpRunError, InterruptedRunError, TerminatedRunError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_AFTER_S = 0.05

_arrived: int | None = None
"""The signal that is to end the command."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, the three raise KeyboardInterrupt, again where that is lost. For a process's main thread."""
    global _arrived
    tell_lost = sys.unraisablehook

    def raise_again(lost: UnraisableHookArgs) -> None:
        if lost.exc_type is KeyboardInterrupt:
            # Not at once: that would be in the callback still.
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_AFTER_S)
        else:
            tell_lost(lost)

    ends = [signal.SIGTERM, signal.SIGALRM]
    # Else they are ignored, as behind a shell's & and nohup.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        ends.append(signal.SIGINT)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        ends.append(signal.SIGHUP)
    before = {number: signal.signal(number, _end) for number in ends}
    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = tell_lost
        for number, handler in before.items():
            signal.signal(number, handler)
        _arrived = None


def _end(number: int, frame: FrameType | None) -> NoReturn:
    global _arrived
    if number != signal.SIGALRM:
        _arrived = number
    if number == signal.SIGHUP:
        # The shell tells of a closed terminal and so does the kernel: once is enough, for cleaning up takes a while.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def answering_signals(
    *, stands: str = "nothing was changed at the output", remedy: str = ""
) -> Iterator[None]:
    """What fails after Ctrl-C leaves as InterruptedRunError, after SIGTERM as TerminatedRunError and after SIGHUP as
    HungUpRunError.

    ``stands`` says what has become of the output until then.
    """
    try:
        yield
    except (click.exceptions.Exit, InterruptedRunError):
        raise
    except BaseException as failure:
        if _arrived == signal.SIGTERM:
            raise TerminatedRunError(f"Terminated; {stands}.", remedy=remedy) from None
        if _arrived == signal.SIGHUP:
            raise HungUpRunError(f"The terminal was closed; {stands}.", remedy=remedy) from None
        if _arrived is not None or isinstance(failure, KeyboardInterrupt | click.Abort):
            raise InterruptedRunError(f"Interrupted; {stands}.", remedy=remedy) from None
        raise
