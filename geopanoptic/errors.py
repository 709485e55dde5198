"""What can go wrong, and the exit code it gets.

One root, one class per kind of refusal. A message says what was found and where; ``remedy`` says what
to do next. The command line prints both without a traceback and leaves with ``exit_code``.
"""

from __future__ import annotations

import errno

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Numbers of OSError where a disk, a quota or the size that a file may have is used up."""


class GeopanopticError(Exception):
    """Root of every refusal. ``remedy`` is a sentence that tells the user what to do."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.remedy))


def _rebuild(kind: type[GeopanopticError], message: str, remedy: str) -> GeopanopticError:
    # Keyword-only arguments do not survive the default pickling of exceptions between processes.
    return kind(message, remedy=remedy)


class UsageError(GeopanopticError):
    """An option or argument that cannot be meant."""

    exit_code = 2


class SceneError(GeopanopticError):
    """An input scene that cannot be read, or cannot be read without guessing."""

    exit_code = 3


class ModelError(GeopanopticError):
    """A model bundle that is damaged, unknown or does not fit the scene."""

    exit_code = 4


class OutputError(GeopanopticError):
    """An output that cannot be written, or would overwrite something."""

    exit_code = 5


class ResourceError(GeopanopticError):
    """Not enough memory, disk or device for the plan."""

    exit_code = 7


class LockedError(GeopanopticError):
    """Another run is writing the same output."""

    exit_code = 75


class InterruptedRunError(GeopanopticError):
    """Ctrl-C (130), a closed terminal (129) or SIGTERM (143); nothing was changed at the output."""

    exit_code = 130


class TerminatedRunError(InterruptedRunError):
    """SIGTERM."""

    exit_code = 143


class HungUpRunError(InterruptedRunError):
    """SIGHUP: the terminal was closed."""

    exit_code = 129


PARTS_SKIPPED = 6
"""Exit code of an output that lacks blocks, dates or pixels which failed (``--on-error skip``)."""

DEFECTS = 8
"""Exit code where labels were checked and have defects: no refusal, nothing went wrong."""

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "a bug in geopanoptic",
    2: "an option or argument is wrong",
    3: "the scene cannot be used",
    4: "the model cannot be used",
    5: "the output cannot be written",
    PARTS_SKIPPED: "finished, with parts skipped (listed in run.json)",
    7: "not enough memory, disk or device",
    DEFECTS: "labels have defects (labels check) or conflicts (labels merge)",
    75: "another run is writing this output",
    129: "the terminal was closed (SIGHUP)",
    130: "interrupted (Ctrl-C)",
    143: "terminated (SIGTERM)",
}
"""Every exit code of the command line."""
