"""The learned grouping of an experiment: fitted on its training folds, its price chosen on the validation fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geopanoptic.errors import UsageError
from geopanoptic.models.bundle import Bundle, save_with_grouping
from geopanoptic.pipeline.grouping.rules import rules_of_bundle
from geopanoptic.pipeline.progress import Progress
from geopanoptic.training.candidates import Candidates, DenseImage, find_candidates
from geopanoptic.training.grouping import MIN_AREA_PX, OVERSEGMENTATION, fit_grouping
from geopanoptic.training.pastis.folder import VOID, PastisPatch
from geopanoptic.training.pastis.mapping import BundleMapper
from geopanoptic.training.pastis.season import SeasonReader

_FITTED, _JUDGED = 120, 60
"""Most patches that the trees and the price are fitted on."""


def with_fitted_grouping(
    bundle: Bundle,
    mapper: BundleMapper,
    reader: SeasonReader,
    *,
    training: Sequence[PastisPatch],
    validation: Sequence[PastisPatch],
    progress: Progress,
) -> Bundle:
    """Write the bundle with trees that judge its parcels; as it is where it finds none to fit them on."""
    rules = replace(
        rules_of_bundle(replace(bundle, grouping=None), min_area_px=MIN_AREA_PX), **OVERSEGMENTATION
    )
    fitted, judged = _spread(training, _FITTED), _spread(validation, _JUDGED)
    with progress.stage("grouping", total=len(fitted) + len(judged), unit="patches") as stage:

        def candidates(patch: PastisPatch) -> Candidates:
            layers, valid = mapper.layers(reader(patch))
            labels, scale = reader.folder.labels(patch), bundle.output_scale
            truth = (
                np.where(labels.target_hw == VOID, -1, labels.instances_hw).repeat(scale, 0).repeat(scale, 1)
            )
            stage.advance(1)
            dense = DenseImage(
                image=str(patch.number),
                layers=layers,
                valid=valid,
                truth=np.where(valid, truth, -1).astype(np.int32),
            )
            return find_candidates(dense, rules)

        pools = {"pastis": [candidates(patch) for patch in fitted]}
        held_out = {"val-pastis": [candidates(patch) for patch in judged]}
        try:
            grouping = fit_grouping(pools, held_out, rules)
        except UsageError:
            progress.warn(f"{bundle.name} finds no parcel in the training folds; its thresholds decide.")
            return bundle
    return save_with_grouping(bundle, grouping, bundle.path)


def _spread(patches: Sequence[PastisPatch], limit: int) -> list[PastisPatch]:
    """At most ``limit`` patches, evenly spread."""
    chosen = np.unique(np.linspace(0, len(patches) - 1, min(limit, len(patches))).astype(int))
    return [patches[number] for number in chosen]
