"""What a run tells while it runs: stages with rate and remaining time, notes, warnings.

A run talks to a ``Progress``. ``Silent`` says nothing, ``Warnings`` only what should be checked, and ``Held`` keeps that,
and ``WarningsOf`` passes it on; ``Lines`` prints one line per stage, for logs and pipes; ``Bars`` draws bars on a terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Any, Protocol, cast

from geopanoptic.errors import UsageError


class Stage(Protocol):
    """A stage under way."""

    def advance(self, amount: float) -> None:
        """``amount`` more of the stage's total is done."""


class Progress(Protocol):
    """Receives stages, notes and warnings."""

    def stage(self, name: str, *, total: float, unit: str) -> AbstractContextManager[Stage]:
        """Gives a ``Stage`` of ``total`` units (``px``, ``parcels``, ...)."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something the user should check."""


class Silent:
    """Says nothing."""

    @contextmanager
    def stage(self, name: str, *, total: float, unit: str) -> Iterator[Stage]:
        yield _Counter()

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


class Held(Silent):
    """Keeps what should be checked in ``warnings``, for someone else to tell."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings

    def warn(self, text: str) -> None:
        self._warnings.append(text)


class WarningsOf(Silent):
    """Passes warnings on to ``progress``, with the name of the one of many runs that they are of."""

    def __init__(self, name: str, progress: Progress) -> None:
        self._name = name
        self._progress = progress

    def warn(self, text: str) -> None:
        self._progress.warn(f"{self._name}: {text}")


class Lines(Silent):
    """One plain line when a stage ends, and every ``every_s`` seconds until then; notes and warnings as they come."""

    def __init__(self, stream: IO[str], *, every_s: float = 30.0) -> None:
        self._stream = stream
        self._every_s = every_s

    @contextmanager
    def stage(self, name: str, *, total: float, unit: str) -> Iterator[Stage]:
        teller = _Teller(self._say, name=name, total=total, unit=unit, every_s=self._every_s)
        yield teller
        if not teller.done:
            return
        seconds = time.perf_counter() - teller.started
        self._say(f"{name}: {seconds:.1f} s, {rate(teller.done / max(seconds, 1e-9), unit)}")

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class Bars:
    """Bars with rate and remaining time (rich) on a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)

    @contextmanager
    def stage(self, name: str, *, total: float, unit: str) -> Iterator[Stage]:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=36),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]:>12}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self._console) as bars:
            task = bars.add_task(name, total=total, rate="")
            started = time.perf_counter()

            class _Bar:
                done = 0.0

                def advance(self, amount: float) -> None:
                    self.done += amount
                    per_second = self.done / max(time.perf_counter() - started, 1e-9)
                    bars.update(task, advance=amount, rate=rate(per_second, unit))

            yield _Bar()
            bars.update(task, completed=total)

    def note(self, text: str) -> None:
        self._console.print(text, style="dim", markup=False)

    def warn(self, text: str) -> None:
        self._console.print(f"warning: {text}", style="yellow", markup=False)


class Unheard:
    """A stream that a terminal or pipe may have left, which is no reason to stop a run."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def progress_for(stream: IO[str], *, quiet: bool) -> Progress:
    """Bars on a terminal, plain lines elsewhere, nothing but warnings when quiet. Nobody need listen."""
    stream = cast(IO[str], Unheard(stream))
    if quiet:
        return Warnings(stream)
    return Bars(stream) if stream.isatty() else Lines(stream)


def progress_of(given: Progress | bool | None) -> Progress:
    """Who is told of a run from Python: ``given`` itself, standard error of all for True, else of warnings alone.

    Raises UsageError for anything else.
    """
    if given is None or isinstance(given, bool):
        return progress_for(sys.stderr, quiet=not given)
    if all(callable(getattr(given, name, None)) for name in ("stage", "note", "warn")):
        return given
    raise UsageError(
        f"progress is {given!r}, which has no stage, note and warn.",
        remedy="Give progress=True to be shown what a run does, or a geopanoptic.pipeline.progress.Progress.",
    )


def rate(per_second: float, unit: str) -> str:
    """``1.9 Mpx/s``, ``310 parcels/s``."""
    for factor, prefix in ((1e6, "M"), (1e3, "k")):
        if per_second >= factor:
            return f"{per_second / factor:.1f} {prefix}{unit}/s"
    return f"{per_second:.0f} {unit}/s"


def duration_text(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 10 min``: as exact as an estimate is."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Counter:
    def __init__(self) -> None:
        self.done = 0.0

    def advance(self, amount: float) -> None:
        self.done += amount


class _Teller(_Counter):
    """Says now and then how far a stage is, and about how long it still takes."""

    def __init__(
        self, say: Callable[[str], None], *, name: str, total: float, unit: str, every_s: float
    ) -> None:
        super().__init__()
        self._say, self._name, self._total, self._unit = say, name, total, unit
        self._every_s = every_s
        self.started = self._told = time.perf_counter()

    def advance(self, amount: float) -> None:
        super().advance(amount)
        now = time.perf_counter()
        if now - self._told < self._every_s or not 0 < self.done < self._total:
            return
        self._told = now
        per_second = self.done / (now - self.started)
        left = duration_text((self._total - self.done) / per_second)
        self._say(
            f"{self._name}: {self.done / self._total:.0%}, {rate(per_second, self._unit)}, about {left} left"
        )


class Warnings(Lines):
    @contextmanager
    def stage(self, name: str, *, total: float, unit: str) -> Iterator[Stage]:
        yield _Counter()

    def note(self, text: str) -> None:
        pass
