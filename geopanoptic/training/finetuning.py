"""A person's own labels improve an existing model, in minutes and without making it forget.

All weights learn the drawn fields; on the ground between, of which nobody said anything, the old model's outputs
are what is learned. Without that the weights drift: inside a field there is only field to be seen. The grouping stays
as it is: fitted again to a hundred fields it drew other fields worse.

Whether this helps on new ground is not taken on trust: for every fold of the fields a model is trained without it
and maps it. Only where all fields together are met better than by the old model, and by more than the gain's standard
error, does a last training learn all of them; else the old weights stay.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geopanoptic.arguments import path_text
from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.pipeline.planning.suitability import bundle_for
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.scene import open_scene
from geopanoptic.training.config import TrainingConfig, configured
from geopanoptic.training.datasets.labelled_scene import LabelledScene
from geopanoptic.training.datasets.settings import VectorData
from geopanoptic.training.held_out import HeldOutFigures, score_held_out
from geopanoptic.training.labels import deal, survey_labels
from geopanoptic.training.tuned import decided, keep_records, staged_bundle, write_tuned

LEAST_FIELDS = 10
FOLDS = 3
STEPS = 80
"""Of every training; the last is one more than there are folds."""
_FIXED = ("from", "bands", "classes", "network", "data", "validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPair:
    """A scene of one or several files, and the vector file of its fields.

    Raises UsageError for what is no path, such as polygons in memory.
    """

    scene: str | Path | tuple[str | Path, ...]
    labels: str | Path

    def __post_init__(self) -> None:
        files = self.scene if isinstance(self.scene, tuple) else (self.scene,)
        for file in files:
            path_text(file, "A scene", remedy="Give a file, a folder, or a tuple of files.")
        path_text(self.labels, "The file of labels", remedy="Write the polygons to a GeoPackage first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """The new bundle, and how the old and the new weights map fields that they did not learn.

    Both figures are of all fields, each mapped by the training that was not shown it; None where the fields lie too
    close together to hold any out. Where the gain was no larger than twice its standard error, the bundle has the old
    weights and both figures are the old ones. ``decision`` says which weights the bundle has, and why.
    """

    bundle: Bundle
    before: HeldOutFigures | None
    after: HeldOutFigures | None
    decision: str

    def __repr__(self) -> str:
        return f"<FineTuned {self.bundle.name}: {self.decision}>"


def fine_tune(
    pairs: Sequence[LabelledPair],
    out: str | Path,
    *,
    base: str | None = None,
    known: Literal["sparse", "full"] = "sparse",
    minutes: float | None = None,
    name: str | None = None,
    seed: int = 0,
    bands: str | None = None,
    dates: str | None = None,
    assume_crs: str | None = None,
    layer: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    changes: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | bool | None = None,
) -> FineTuned:
    """Teach the bundle ``base`` (default: the one that maps such scenes by default) the fields of ``pairs`` and write a
    bundle to ``out``.

    ``bands``, ``dates`` and ``assume_crs`` are those of ``open_scene``, for every scene, ``layer`` is that of every
    file of labels. ``minutes`` is the time for
    all trainings together; None: ``STEPS`` each. ``changes`` are ``key=value`` of the configuration. The scenes
    are normalised as ``geopanoptic run`` normalises them.

    Raises
    ------
    UsageError
        No polygon overlaps its scene, labels without polygons or CRS, too few fields, changes of what the
        bundle decides.
    SceneError, ModelError
        A scene that cannot be read or lacks the model's bands; no such model.
    OutputError
        ``out`` exists and ``overwrite`` is not set, is no bundle, or cannot be written.
    """
    from geopanoptic.training.learning.checkpoint import save_averaged
    from geopanoptic.training.learning.trainer import LAST, train

    progress = progress_of(progress)
    out = Path(path_text(out, "The new bundle", remedy="Give the folder that it shall be written to."))
    if unlike := [pair for pair in pairs if not isinstance(pair, LabelledPair)]:
        raise UsageError(
            f"{unlike[0]!r} is no pair of a scene and its labels.",
            remedy="Give LabelledPair(scene='scene.tif', labels='fields.gpkg').",
        )
    bundle = _default_of(pairs, bands, dates, assume_crs) if base is None else load_bundle(base)
    _refuse_fixed(changes, bundle)
    data = [
        VectorData(
            kind="vectors",
            scene=_as_text(pair.scene),
            labels=Path(pair.labels),
            layer=layer,
            known=known,
            bands=bands,
            dates=dates,
            assume_crs=assume_crs,
            pixel_m=bundle.reading_pixel_m,
            folds=FOLDS,
        )
        for pair in pairs
    ]
    surveys = [survey_labels(each, bundle) for each in data]
    total = sum(survey.fields for survey in surveys)
    if total < LEAST_FIELDS:
        layers = ", ".join(survey.layer for survey in surveys if survey.layer)
        notes = "; ".join(note for survey in surveys for note in survey.notes)
        raise UsageError(
            f"{total} usable field{'s' * (total != 1)} {f'of layer {layers} ' if layers else ''}overlap the scene"
            f"{f' ({notes})' if notes else ''}; fine-tuning needs at least {LEAST_FIELDS}.",
            remedy="Draw more fields; 50 are a good start."
            + (" Or name the layer that holds them with --layer." if layers else ""),
        )
    dealt = deal(surveys, folds=FOLDS)
    measured = set(range(FOLDS)) <= set(np.concatenate(dealt).tolist())
    length = {"steps": STEPS} if minutes is None else {"minutes": minutes / (1 + FOLDS * measured)}
    settings = _settings(bundle) | length | {"name": name or _name_of(out), "seed": seed, "device": device}

    def learning(own: Sequence[VectorData]) -> TrainingConfig:
        dumped = [each.model_dump(mode="json") for each in own]
        return configured(settings | {"data": dumped}, changes, source="The settings")

    def part(fold: int, which: Literal["training", "held-out"]) -> list[VectorData]:
        """Of every scene that has fields there."""
        return [
            each.model_copy(update={"fold": fold, "part": which, "dealt": tuple(folds.tolist())})
            for each, folds in zip(data, dealt, strict=True)
            if (((folds == fold) == (which == "held-out")) & (folds >= 0)).any()
        ]

    config = learning(data)
    progress.note(_announcement(total, pairs, bundle, measured))

    with staged_bundle(out, overwrite=overwrite) as folder, tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)

        def figures(fold: int) -> tuple[HeldOutFigures, HeldOutFigures]:
            train(learning(part(fold, "training")), scratch / str(fold), progress=progress)
            tried = write_tuned(scratch / "tried", config, bundle, scratch / str(fold) / LAST, surveys)
            scenes = [
                LabelledScene.open(each, bands=config.bands, classes=config.classes)
                for each in part(fold, "held-out")
            ]
            old, new = (score_held_out(each, scenes, threads=config.threads) for each in (bundle, tried))
            progress.note(f"fold {fold + 1} of {FOLDS}, {old.fields} fields: {old.gain(new)}")
            return old, new

        before = after = None
        decision = "The new weights are taken without a measurement: the fields lie too close together to hold some out."
        if measured:
            before, after = map(HeldOutFigures.joined, zip(*map(figures, range(FOLDS)), strict=True))
            progress.note(f"all {before.fields} fields: {before.gain(after)}")
            decision = decided(bundle, before, after)
        if before is None or after is None or before.is_beaten_by(after):
            train(config, scratch, progress=progress)
            keep_records(config, scratch, folder)
        else:
            after = before
            save_averaged(scratch / LAST, bundle.network().state_dict())
        write_tuned(folder, config, bundle, scratch / LAST, surveys, before, after, decision)
    return FineTuned(bundle=load_bundle(out), before=before, after=after, decision=decision)


def _default_of(
    pairs: Sequence[LabelledPair], bands: str | None, dates: str | None, assume_crs: str | None
) -> Bundle:
    """What maps all of these scenes where no model is asked for; the fast one where they differ or are seasons."""
    defaults = {}
    for pair in pairs:
        source = list(pair.scene) if isinstance(pair.scene, tuple) else pair.scene
        bundle = bundle_for(open_scene(source, bands=bands, dates=dates, assume_crs=assume_crs))
        defaults[bundle.name] = bundle
    (bundle,) = defaults.values() if len(defaults) == 1 else (load_bundle(),)
    return load_bundle() if bundle.takes_series else bundle


def _refuse_fixed(changes: Sequence[str], bundle: Bundle) -> None:
    for change in changes:
        key = re.split(r"[.=]", change, maxsplit=1)[0].strip()
        if key in _FIXED:
            raise UsageError(
                f"--set {change!r} changes {key}, which fine-tuning takes over from {bundle.name} and your labels.",
                remedy="Leave it out, or train from a CONFIG with --from.",
            )


def _settings(bundle: Bundle) -> dict[str, Any]:
    return {
        "from": str(bundle.path),
        "bands": list(bundle.bands),
        "classes": [each.model_dump() for each in bundle.classes],
        "network": bundle.manifest.network.model_dump(),
        "crop_px": 96,
        "batch": 4,
        "encoder_rate": 3e-4,
        "decoder_rate": 1e-3,
        "average_decay": 0.95,
        "warm_up_steps": 10,
        "frozen_norms": True,
        "losses": {"keeping": 0.0 if bundle.finds_parcels else 1.0},
        "augmentation": {
            "zoom_chance": 0.3,
            "zoom": (0.8, 1.5),
            "gain": 0.08,
            "shift": 0.03,
            "grey_chance": 0.0,
            "permute_chance": 0.0,
            "noise": 0.02,
            "visible_only": 0.1,
            "visible_and_nir": 0.1,
            "nodata_chance": 0.0,
        },
        "picture_steps": 100,
        "log_steps": 10,
    }


def _announcement(total: int, pairs: Sequence[LabelledPair], bundle: Bundle, measured: bool) -> str:
    scenes = f"{len(pairs)} scene{'s' * (len(pairs) > 1)}"
    how = (
        f"{FOLDS} trainings, each without the fields in a third of the ground, show first whether new ground gains"
        if measured
        else "they lie too close together to hold some out, so nothing shows whether new ground gains"
    )
    return f"{total} fields on {scenes} for {bundle.name}; {how}"


def _as_text(scene: str | Path | tuple[str | Path, ...]) -> str | tuple[str, ...]:
    return tuple(str(file) for file in scene) if isinstance(scene, tuple) else str(scene)


def _name_of(out: Path) -> str:
    """The folder's name as a bundle may be called."""
    name = re.sub(r"[^a-z0-9._-]+", "-", out.resolve().name.lower()).strip("-._")[:64]
    return name or "fine-tuned"
