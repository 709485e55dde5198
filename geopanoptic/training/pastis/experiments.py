"""The official protocol: train on three folds, choose by the fourth, score the fifth, five times in turn."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.models.manifest import FixedNormalisation
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.models.weights import sha256_of
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.products.writing import put_text
from geopanoptic.training.config import TrainingConfig
from geopanoptic.training.datasets.pastis import sensors_of
from geopanoptic.training.datasets.settings import DataSettings, PastisData
from geopanoptic.training.pastis.folder import PastisFolder, PastisLabels
from geopanoptic.training.pastis.folds import FOLDS
from geopanoptic.training.pastis.grouping import with_fitted_grouping
from geopanoptic.training.pastis.mapping import BundleMapper, Device, ParcelMap, mapper_of
from geopanoptic.training.pastis.scoring import FoldScore, score_fold
from geopanoptic.training.pastis.season import Ranges, SeasonReader
from geopanoptic.training.pastis.table import FoldTable, fold_from_dict, fold_to_dict

TABLE, SCORES = "table.md", "scores.json"
SCORE = "score.json"
"""Beside the bundle that it is of."""


def run_experiments(
    configs: Sequence[TrainingConfig],
    out: Path,
    *,
    train: bool = True,
    progress: Progress | bool | None = None,
) -> FoldTable:
    """Train and score one experiment per configuration; write ``out/table.md`` and ``out/scores.json``.

    Experiment k lies in ``out/fold<k>`` and its bundle in ``bundle`` there. What is trained already is not
    trained again; without ``train`` the bundles that lie there are scored. Where a configuration states no
    thresholds, its grouping is learned, see ``grouping``. Table and scores are written anew after every fold, from
    the scores of all bundles in ``out``: folds of other calls count where they have the same name.

    Raises ``UsageError`` for configurations without one PASTIS experiment each, else as ``train_bundle``.
    """
    from geopanoptic.training.recipe import train_bundle

    progress = progress_of(progress)
    experiments = [experiment_of(config) for config in configs]
    folds = [each.fold for each in experiments]
    if len(set(folds)) < len(folds):
        raise UsageError(
            f"The configurations are of the folds {', '.join(map(str, folds))}.",
            remedy="Give one configuration per fold.",
        )
    name = configs[0].name.removesuffix(f"-fold{folds[0]}")
    table = FoldTable(name=name, folds=())
    for config, experiment in zip(configs, experiments, strict=True):
        folder = out / f"fold{experiment.fold}"
        bundle = train_bundle(config, folder, progress=progress) if train else load_bundle(folder / "bundle")
        if bundle is None:  # one of several processes, not the first
            continue
        if train and config.thresholds is None and bundle.manifest.network.outputs == "dense":
            bundle = _grouped(bundle, experiment, config, progress)
        score = score_bundle(
            bundle, experiment, device=config.device, threads=config.threads, progress=progress
        )
        of = {"model": name, "bundle_sha256": _bundle_sha256(folder)}
        put_text(folder / SCORE, _json(of | fold_to_dict(score)))
        table = FoldTable(name=name, folds=_scored(name, out))
        put_text(out / TABLE, str(table))
        put_text(out / SCORES, _json(table.to_dict()))
    return table


def experiment_of(config: TrainingConfig) -> PastisData:
    """The PASTIS data that a configuration trains on; ``UsageError`` unless there is exactly that."""
    if len(config.data) == 1 and isinstance(config.data[0], PastisData):
        return config.data[0]
    raise UsageError(
        f"{config.name} trains on {', '.join(each.kind for each in config.data)}; one data set of kind pastis was "
        "expected.",
        remedy="Take configs/pastis-fold1.yaml as an example.",
    )


def on_folder(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The same experiment with the data set in another folder."""

    def moved(sources: tuple[DataSettings, ...]) -> tuple[DataSettings, ...]:
        return tuple(
            each.model_copy(update={"folder": folder}) if isinstance(each, PastisData) else each
            for each in sources
        )

    return config.model_copy(update={"data": moved(config.data), "validation": moved(config.validation)})


def score_bundle(
    bundle: Bundle,
    experiment: PastisData,
    *,
    device: Device = "auto",
    threads: int | None = None,
    progress: Progress | bool | None = None,
) -> FoldScore:
    """Map and score every patch of the experiment's test fold, each once.

    A bundle with ranges of its own is shown the patches in these, another one as scenes of their own.
    """
    reader = _reader(bundle, experiment)
    patches = reader.folder.in_folds(FOLDS[experiment.fold]["test"])
    mapper = mapper_of(bundle, device=device, threads=threads)

    def mapped() -> Iterator[tuple[ParcelMap, PastisLabels]]:
        told = progress_of(progress)
        with told.stage(f"fold {experiment.fold}", total=len(patches), unit="patches") as stage:
            for patch in patches:
                yield mapper(reader(patch)), reader.folder.labels(patch)
                stage.advance(1)

    return score_fold(experiment.fold, mapped())


def _reader(bundle: Bundle, experiment: PastisData) -> SeasonReader:
    return SeasonReader(
        folder=PastisFolder.open(experiment.folder),
        bands=bundle.bands,
        sensors=sensors_of(experiment),
        ranges=_ranges(bundle),
    )


def _grouped(bundle: Bundle, experiment: PastisData, config: TrainingConfig, progress: Progress) -> Bundle:
    """The bundle with a grouping that the folds but the test fold have taught."""
    reader, folds = _reader(bundle, experiment), FOLDS[experiment.fold]
    return with_fitted_grouping(
        bundle,
        BundleMapper(bundle, load_runtime(bundle, device=config.device, threads=config.threads)),
        reader,
        training=reader.folder.in_folds(folds["training"]),
        validation=reader.folder.in_folds(folds["validation"]),
        progress=progress,
    )


def _ranges(bundle: Bundle) -> Ranges | None:
    stated = bundle.manifest.normalisation
    if not isinstance(stated, FixedNormalisation):
        return None
    return dict(zip(bundle.bands, zip(stated.low, stated.high, strict=True), strict=True))


def _scored(name: str, out: Path) -> list[FoldScore]:
    """Of every fold whose bundle is still the one that was scored."""
    folds = []
    for path in sorted(out.glob(f"fold*/{SCORE}")):
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
            if (stated["model"], stated["bundle_sha256"]) == (name, _bundle_sha256(path.parent)):
                folds.append(fold_from_dict(stated))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{path} is no score of a fold.", remedy="Delete it, and score its bundle with --score-only."
            ) from None
    return folds


def _bundle_sha256(folder: Path) -> str | None:
    manifest = folder / "bundle" / "bundle.json"  # states the hashes of weights and grouping
    return sha256_of(manifest) if manifest.exists() else None


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2)
