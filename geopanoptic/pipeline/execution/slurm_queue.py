"""The three commands of Slurm that a run needs: submit a job, ask how jobs stand, cancel them."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from geopanoptic.errors import ResourceError

PATIENCE_S = 30
"""Longer than a busy controller takes to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands that has not ended: its state as ``squeue`` spells it, and why it is in it."""

    state: str
    reason: str

    def __str__(self) -> str:
        told = self.state.lower()
        return told if self.reason in ("None", "") else f"{told} ({self.reason})"


def submit(script: str, *, log: Path) -> str:
    """The id of a new job; both its streams go to ``log``, where ``%j`` is that id. Raises ResourceError."""
    # What is said on the command line goes before the script.
    said = _ask("sbatch", "--parsable", f"--output={log}", f"--error={log}", given=script)
    return said.strip().partition(";")[0]


def standings(jobs: Collection[str]) -> dict[str, Standing]:
    """How those of ``jobs`` stand that have not ended. Raises ResourceError."""
    # Of this user, not by id: squeue refuses ids that Slurm has forgotten by now.
    lines = _ask("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i|%T|%r").splitlines()
    fields = (line.strip().split("|", 2) for line in lines)
    return {
        job: Standing(state=state, reason=reason)
        for job, state, reason in fields
        if job in jobs and state != "COMPLETING"
    }


def cancel(jobs: Iterable[str]) -> None:
    """End jobs; those that have ended do not matter. Raises ResourceError."""
    if ids := sorted(jobs):
        _ask("scancel", *ids)


def told(standing: Iterable[Standing]) -> str:
    """``1 job running, 3 jobs pending (Resources)``."""
    counted = Counter(map(str, standing))
    return ", ".join(f"{number} job{'s' * (number > 1)} {how}" for how, number in sorted(counted.items()))


def _ask(command: str, *options: str, given: str | None = None) -> str:
    try:
        done = subprocess.run(
            [command, *options], input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except FileNotFoundError:
        raise ResourceError(
            f"Slurm is not here: there is no command `{command}`.",
            remedy="Run on a machine from which `sbatch` works.",
        ) from None
    except OSError as failure:
        raise ResourceError(
            f"`{command}` cannot be started: {failure.strerror}.",
            remedy="See what this machine allows (processes, memory, permissions), and try again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise ResourceError(
            f"Slurm has not answered `{command}` for {PATIENCE_S} s.",
            remedy="Try again when `sinfo` answers.",
        ) from None
    if done.returncode:
        words = [line.removeprefix(f"{command}: error: ") for line in done.stderr.splitlines()]
        raise ResourceError(
            f"Slurm refuses: {'; '.join(words)}.",
            remedy="Set what this cluster gives (queue, account, cores, memory, walltime) in the file that DASK_CONFIG "
            "names.",
        )
    return done.stdout
