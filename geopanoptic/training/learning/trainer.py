"""The training loop: a budget of steps or of wall clock, a cosine over it, a running average of the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from geopanoptic.errors import LockedError, UsageError
from geopanoptic.models.manifest import channels_of
from geopanoptic.pipeline.progress import Progress, Silent
from geopanoptic.products.staging import forbidden_folder
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.identity import identity_of
from geopanoptic.training.datasets.mixture import Mixture
from geopanoptic.training.learning.batch import Batch
from geopanoptic.training.learning.checkpoint import (
    Course,
    best_loss,
    save_best,
    save_checkpoint,
)
from geopanoptic.training.learning.feed import Feed
from geopanoptic.training.learning.journal import Journal
from geopanoptic.training.learning.learner import Learner
from geopanoptic.training.learning.parallel import Ranks

LAST, BEST = "last.safetensors", "best.safetensors"

_MOST_IN_A_ROW = 20


def train(config: TrainingConfig, out: Path, *, progress: Progress | None = None) -> Path:
    """Train until the budget is spent; return the checkpoint with the resulting weights.

    ``out/last.safetensors`` is the state to go on from, which a second call does; ``out/best.safetensors`` are
    the averaged weights of least loss on the validation crops, where there are any, and then the result.
    ``out/log.csv`` gets the mean of every loss term, ``out/pictures`` a look at some crops.

    Batches whose loss is not finite are left out and told of.

    Raises ``UsageError``, ``SceneError`` or ``ModelError`` for data, starting weights and teachers that do not fit,
    ``UsageError`` where most batches, or many in a row, are left out or ``out`` holds a run of other settings or data,
    ``LockedError`` where another run trains in ``out``, ``OutputError`` where nothing can be written there.
    """
    with ExitStack() as stack:
        ranks = stack.enter_context(Ranks.joined(config.device))
        if ranks.is_first:
            stack.enter_context(_claimed(out))
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(1)
        torch.manual_seed(config.seed)
        run = _Run(config, out, ranks, (progress or Silent()) if ranks.is_first else Silent())
        stack.enter_context(closing(run))
        run.go()
    best = out / BEST
    return best if config.validation else out / LAST


@contextmanager
def _claimed(out: Path) -> Iterator[None]:
    """Hold the folder of a run, which is made where it is missing: two would take turns at its checkpoint."""
    held = FileLock(out / ".lock", blocking=False, fallback_to_soft=False, thread_local=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout:
        raise LockedError(
            f"Another run is training in {out}.", remedy="Wait for it to end, or choose another --out."
        ) from None
    except OSError as failure:
        raise forbidden_folder(out, failure) from failure
    try:
        yield
    finally:
        (out / ".lock").unlink(missing_ok=True)
        held.release()


class _Run:
    """A learner on its way through a budget."""

    def __init__(self, config: TrainingConfig, out: Path, ranks: Ranks, progress: Progress) -> None:
        if config.batch % ranks.size:
            raise UsageError(
                f"A batch of {config.batch} cannot be shared by {ranks.size} processes.",
                remedy="Give a batch that is a multiple of their number.",
            )
        self._config, self._out, self._ranks, self._progress = config, out, ranks, progress
        bands, classes = config.bands, config.classes

        def feed(source: Mixture, part: slice) -> Feed:
            return Feed(
                source=source,
                augmentation=config.augmentation,
                crop_px=config.crop_px,
                batch=config.batch,
                seed=config.seed,
                part=part,
                season=config.season if config.network.temporal is not None else None,
                with_clear=config.losses.agreement > 0,
            )

        self._feed = feed(Mixture.open(config.data, bands=bands, classes=classes), ranks.share(config.batch))
        self._validation: list[Batch] = []
        if config.validation and ranks.is_first:
            held_out = Mixture.open(config.validation, bands=bands, classes=classes)
            self._validation = feed(held_out, slice(None)).fixed_batches(config.validation_crops)
        self._data = identity_of((*config.data, *config.validation))
        self._learner = Learner(config, ranks)
        self._course = Course()
        if (out / LAST).exists():
            self._course = self._learner.load(out / LAST, self._data)
            progress.note(f"going on from step {self._course.step}")
        elif ranks.is_first:
            (out / BEST).unlink(missing_ok=True)  # of a run that was removed
        self._journal: Journal | None = None
        if ranks.is_first:
            self._journal = Journal(out, tensorboard=config.tensorboard, since=self._course)
        self._best = best_loss(out / BEST) if ranks.is_first else math.inf
        self._looked_s, self._looked_step = 0.0, -1
        self._left_out_in_a_row = 0

    def go(self) -> None:
        started, spent_before = time.monotonic(), self._course.elapsed_s
        saved_s = self._looked_s = spent_before
        gathered = _Means()
        if self._validation and not (self._out / BEST).exists():
            self._look()
        batches = self._feed.batches(self._course.step, readers=self._config.readers)
        with closing(batches):
            while self._spent < 1 and not self._ranks.of_first(self._has_lost_patience):
                self._learner.set_rates(self._rate_factor())
                batch = next(batches)
                terms = self._learner.step(batch, self._course.step + 1)
                gathered.add(terms)
                elapsed_s = self._ranks.of_first(spent_before + time.monotonic() - started)
                self._course = replace(self._course, step=self._course.step + 1, elapsed_s=elapsed_s)
                if terms:
                    self._left_out_in_a_row = 0
                else:
                    self._leave_out()
                if not self._ranks.is_first:
                    continue
                self._write_up(batch, gathered)
                if elapsed_s - saved_s > self._config.checkpoint_minutes * 60:
                    self._save()
                    saved_s = elapsed_s
        left_out = f"{self._course.left_out} of {self._course.step} batches were left out"
        if 2 * self._course.left_out > self._course.step:
            raise _refusal(left_out)
        if self._course.left_out:
            self._progress.warn(f"{left_out}, as their loss was not finite")
        if self._ranks.is_first:
            if self._validation and self._looked_step < self._course.step:
                self._look()
            self._save()

    def _leave_out(self) -> None:
        """Count a batch that taught nothing."""
        step = self._course.step
        if not self._course.left_out:
            self._progress.warn(f"step {step}: the loss is not finite; such batches are left out")
        self._course = replace(self._course, left_out=self._course.left_out + 1)
        self._left_out_in_a_row += 1
        if self._left_out_in_a_row == _MOST_IN_A_ROW:
            raise _refusal(f"{_MOST_IN_A_ROW} batches in a row were left out, the last at step {step}")

    @property
    def _has_lost_patience(self) -> bool:
        return self._config.patience is not None and self._course.vain_looks >= self._config.patience

    @property
    def _spent(self) -> float:
        """Share of the budget."""
        if self._config.steps is not None:
            return self._course.step / self._config.steps
        return self._course.elapsed_s / (60 * (self._config.minutes or 1))

    def _rate_factor(self) -> float:
        warm = min(1.0, (self._course.step + 1) / self._config.warm_up_steps)
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self._spent))))

    def _write_up(self, batch: Batch, gathered: _Means) -> None:
        step, config = self._course.step, self._config
        held_out = self._look() if self._validation and self._time_to_look() else None
        if step % config.log_steps == 0 or held_out is not None:
            terms = gathered.take()
            if terms and self._journal is not None:
                self._journal.row(self._course, terms, rate=self._learner.rate, held_out=held_out)
            self._say(terms, held_out)
        drawn = config.network.outputs == "dense"
        if drawn and config.picture_steps and step % config.picture_steps == 0 and self._journal is not None:
            things = channels_of(config.classes, "thing")
            self._journal.picture(self._course, batch, self._learner.outputs(batch), things)

    def _time_to_look(self) -> bool:
        if self._config.validation_steps is not None:
            return self._course.step % self._config.validation_steps == 0
        return self._course.elapsed_s - self._looked_s > self._config.validation_minutes * 60

    def _look(self) -> float:
        """Take the held-out loss and keep the weights where it is the least so far."""
        loss = self._learner.loss(self._validation)
        self._looked_s, self._looked_step = self._course.elapsed_s, self._course.step
        if loss < self._best:
            self._best = loss
            self._course = replace(self._course, vain_looks=0)
            # First what a killed run goes on from, so that the best weights are never of steps that it forgot.
            self._save()
            save_best(self._out / BEST, self._learner.state, self._course, loss)
        else:
            self._course = replace(self._course, vain_looks=self._course.vain_looks + 1)
        return loss

    def _say(self, terms: dict[str, float], held_out: float | None) -> None:
        minutes = self._course.elapsed_s / 60
        of = f" of {self._config.minutes:g}" if self._config.minutes else ""
        steps = f" of {self._config.steps}" if self._config.steps else ""
        text = f"step {self._course.step}{steps}  {minutes:.1f}{of} min"
        if terms:
            text += f"  loss {sum(terms.values()):.3f}"
        if held_out is not None:
            text += f"  held-out loss {held_out:.3f} (least {self._best:.3f})"
        self._progress.note(text)

    def _save(self) -> None:
        save_checkpoint(self._out / LAST, self._learner.state, self._course, self._config, self._data)

    def close(self) -> None:
        self._learner.close()
        if self._journal is not None:
            self._journal.close()


def _refusal(left_out: str) -> UsageError:
    return UsageError(
        f"{left_out}, as their loss was not finite.",
        remedy="Lower encoder_rate and decoder_rate, or look for values beyond all bounds in the data.",
    )


class _Means:
    """Loss terms since they were last taken."""

    def __init__(self) -> None:
        self._entries: list[dict[str, float]] = []

    def add(self, terms: dict[str, float]) -> None:
        if terms:
            self._entries.append(terms)

    def take(self) -> dict[str, float]:
        entries, self._entries = self._entries, []
        return {name: sum(e[name] for e in entries) / len(entries) for name in entries[0]} if entries else {}
