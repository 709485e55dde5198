"""One measurement is one fresh process: its seconds, what it printed, and the peak of its whole tree."""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from geopanoptic.errors import (
    GeopanopticError,
    LockedError,
    ModelError,
    OutputError,
    ResourceError,
    SceneError,
    UsageError,
)

SAMPLING_S = 0.05

_REFUSALS = {
    kind.exit_code: kind
    for kind in (UsageError, SceneError, ModelError, OutputError, ResourceError, LockedError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A process that ended well."""

    seconds: float
    """From its start to its end, the interpreter's start included."""
    processor_s: float
    """Of all its threads and of the descendants it waited for: what other load hardly changes."""
    peak_bytes: int
    """Largest sum of the resident sizes of the process and its descendants, sampled every 50 ms. Pages that
    processes share count once for each."""
    output: str
    """What it wrote to stdout."""


def run_measured(command: Sequence[str]) -> Finished:
    """Run ``command`` to its end and measure it.

    A failure raises the class of ``geopanoptic.errors`` that its exit code stands for, else GeopanopticError,
    with what the process told on stderr.
    """
    started, before_s = time.perf_counter(), _processor_s()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as told:
        process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=told)
        peak_bytes = 0
        try:
            while process.poll() is None:
                peak_bytes = max(peak_bytes, tree_bytes(process))
                _wait(process)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - started
        output.seek(0)
        told.seek(0)
        if process.returncode:
            raise _refusal(process.returncode, command, told.read().decode(errors="replace"))
        return Finished(
            seconds=seconds,
            processor_s=_processor_s() - before_s,
            peak_bytes=peak_bytes,
            output=output.read().decode(),
        )


def tree_bytes(process: psutil.Process) -> int:
    """Resident size of a process and its descendants; those that end meanwhile count nothing."""
    total = 0
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            total += member.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def _processor_s() -> float:
    """Of all child processes that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _wait(process: psutil.Popen) -> None:
    try:
        process.wait(timeout=SAMPLING_S)
    except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
        return


def _refusal(code: int, command: Sequence[str], told: str) -> GeopanopticError:
    kind = _REFUSALS.get(code, GeopanopticError)
    last = told.strip().rsplit("\n", 1)[-1]
    try:
        said = json.loads(last)
        return kind(said["error"], remedy=said["remedy"])
    except (ValueError, KeyError, TypeError):
        return kind(f"{' '.join(command)} ended with {code}: {last or 'it said nothing'}")
