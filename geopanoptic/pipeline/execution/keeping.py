"""Jobs kept at their number while a run lasts: one that ends is replaced, and what keeps workers away is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client

from geopanoptic.errors import ResourceError
from geopanoptic.pipeline.execution import slurm_queue
from geopanoptic.pipeline.execution.looking import looked_after
from geopanoptic.pipeline.execution.loss import asking_scheduler

LOOK_S = 5.0

# Jobs that may end one after the other without a worker before it is clear that the next would, too.
_TRIES = 3
# Looks without an answer of Slurm and without a worker, together about five minutes.
_PATIENCE = 60
_LAST_WORDS = 300


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Keeps ``number`` jobs of ``script``, whose Dask workers carry the ids of their jobs as names."""

    client: Client
    script: str
    number: int
    logs: Path
    """Folder for what the jobs say."""
    say: Callable[[str], None]
    jobs: set[str] = field(default_factory=set)
    _started: set[str] = field(default_factory=set)
    _in_vain: list[str] = field(default_factory=list)
    _unanswered: int = 0
    _said: str = ""

    def submit(self) -> None:
        """As many jobs as are missing. Raises ResourceError."""
        while len(self.jobs) < self.number:
            self.jobs.add(slurm_queue.submit(self.script, log=self._log("%j")))

    def look(self) -> int:
        """Workers that are there now; jobs that have ended are replaced.

        Raises ResourceError where there is none and jobs end before theirs starts, or Slurm does not answer for long.
        """
        with asking_scheduler(self.client):
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        present = {str(worker["name"]) for worker in workers}
        try:
            standing = slurm_queue.standings(self.jobs)
        except ResourceError as trouble:
            # Controllers are restarted now and then; workers need none.
            self._unanswered += 1
            if not present and self._unanswered > _PATIENCE:
                raise
            self._say_once(trouble.message)
            return len(present)
        self._unanswered = 0
        ended = self.jobs - set(standing)
        if present - self._started or ended & self._started:
            self._in_vain.clear()
        self._started |= present
        self._in_vain += sorted(ended - self._started)
        self.jobs -= ended
        if len(self._in_vain) < _TRIES:
            news = self._replace(ended)
        elif present or standing:
            news = self._useless().message
        else:
            raise self._useless()
        if not (news or present):
            news = f"Waiting for workers: {slurm_queue.told(standing.values())}."
        self._say_once(news)
        return len(present)

    def _replace(self, ended: set[str]) -> str:
        try:
            self.submit()
        except ResourceError as trouble:
            return trouble.message
        return f"Replaced jobs that have ended: {', '.join(sorted(ended))}." if ended else ""

    def _useless(self) -> ResourceError:
        last = self._in_vain[-1]
        try:
            lines = self._log(last).read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        said = " / ".join([line.strip() for line in lines if line.strip()][-2:])[-_LAST_WORDS:]
        return ResourceError(
            f"{len(self._in_vain)} Slurm jobs ended before a worker started. The last one, {last}, said: {said or '-'}",
            remedy=f"A job needs this command's Python and packages (job-script-prologue in the file that DASK_CONFIG "
            f"names), a network to this machine (interface there), and the folder {self.logs}, in which its log lies.",
        )

    def _log(self, job: str) -> Path:
        return self.logs / f"{job}.log"

    def _say_once(self, text: str) -> None:
        if text and text != self._said:
            self.say(text)
            self._said = text


@contextmanager
def kept(keeper: Keeper) -> Iterator[None]:
    """Jobs from the first worker on, looked after by a thread, cancelled at the end.

    Raises ResourceError where they cannot be submitted, and as ``Keeper.look`` at any time.
    """
    try:
        keeper.submit()
        time.sleep(LOOK_S)
        while not keeper.look():
            time.sleep(LOOK_S)
        with looked_after(keeper.look, every_s=LOOK_S, end=keeper.client.close, name="slurm jobs"):
            yield
    finally:
        with suppress(ResourceError):
            slurm_queue.cancel(keeper.jobs)
