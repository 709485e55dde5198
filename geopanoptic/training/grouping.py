"""Fit the learned grouping of a bundle on labelled samples: ``grouping.json``.

``python -m geopanoptic.training.grouping --pool POOL --model BUNDLE --out BUNDLE`` reads the pool that
``python -m geopanoptic.training.samples`` or ``geopanoptic.training.samples.season_pool`` writes. Every folder of
training samples with parcels counts the same, however many it holds. Of each, a quarter of the images only
calibrates the score. The ``val-`` folders choose the price of a parcel and show the figures before and after;
they fit nothing else. With ``--trees BUNDLE`` the trees are that bundle's, and only price and
score are fitted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import GeopanopticError, UsageError
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.pools.reliability import calibration_error, draw_reliability
from geopanoptic.models.bundle import Bundle, Grouping, load_bundle, save_with_grouping
from geopanoptic.models.grouping import Trees
from geopanoptic.models.runtimes import load_runtime
from geopanoptic.panoptic.parcels.choice import ChoiceRules
from geopanoptic.panoptic.parcels.repair import repair
from geopanoptic.panoptic.parcels.scoring import FEATURES
from geopanoptic.pipeline.grouping.rules import GroupingRules, learned_rules, rules_of_bundle
from geopanoptic.training.candidates import (
    Candidates,
    DenseImage,
    find_candidates,
    image_of,
    map_sample,
    sample_files,
)

TRAINING_FOLDERS = ("generated", "collage", "naip", "ndvi", "season", "austria", "boerde")
"""Folders whose parcels somebody drew or generated, or that several dates agree on: a model's own parcels of
one date teach nothing about itself."""

OVERSEGMENTATION: dict[str, Any] = {"centre": 0.1, "centre_radius_px": 2, "field": 0.4}
"""Many seeds and much ground, so that hardly a true parcel lies across two regions."""
PRICES = (0.26, 0.29, 0.32, 0.35, 0.38)
"""Around half the PQ of large and small fields; below, PQ of coarse scenes hardly gains and fine ones lose."""
NUMBERS_OF_DATES = (1, 2, 4, 8)
"""Of series every sample in turn is seen on so many dates: one grouping serves them all."""
MIN_AREA_PX = 40
"""Smallest parcel that is fitted and scored, output pixels."""

_TREES = {
    "max_iter": 100,
    "max_depth": 8,
    "max_leaf_nodes": 64,
    "learning_rate": 0.12,
    "min_samples_leaf": 200,
}
# A more certain field or a stronger rim never speaks against a parcel.
_RISING = ("field", "rim_boundary")
_CALIBRATING_SHARE = 4
_NEARLY = 0.003
_MATCH_IOU = 0.5

Pools = Mapping[str, Sequence[Candidates]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Chosen parcels on known ground: expected IoU, score, whether a true parcel is met, weight; all (n,)."""

    expected_iou: NDArray[np.float64]
    score: NDArray[np.float64]
    matched: NDArray[np.bool_]
    weight: NDArray[np.float64]


def fit_grouping(
    training: Pools, validation: Pools, rules: GroupingRules, trees: Trees | None = None
) -> Grouping:
    """Fit trees on three quarters of the images of every training folder, calibrate the score on the others.

    ``validation`` chooses the price of a parcel, the middle one without any; ``rules`` are those by which the
    candidates were found; ``trees`` are taken as they are. Raises ``UsageError`` where there is nothing to fit.
    """
    fitting = {
        name: [each for each in pool if not _calibrates(each.image)] for name, pool in training.items()
    }
    held_out = {name: [each for each in pool if _calibrates(each.image)] for name, pool in training.items()}
    grouping = Grouping(
        centre=rules.centre,
        centre_radius_px=rules.centre_radius_px,
        field=rules.field,
        features=FEATURES,
        trees=_fit_trees(fitting) if trees is None else trees,
        price=PRICES[len(PRICES) // 2],
        score_slope=1.0,
        score_offset=0.0,
    )
    if validation:
        grouping = grouping.model_copy(update={"price": choose_price(grouping, validation)})
    return calibrate(grouping, held_out)


def choose_price(grouping: Grouping, validation: Pools) -> float:
    """The lowest price that reaches nearly the best PQ on known ground.

    PQ hardly changes over a wide range of prices, but a low one finds more of the true parcels. It is the
    mean over the folders of one origin, then over origins.

    ``val-naip-5m`` and ``val-naip-10m`` are of one origin: the words between the first two hyphens.
    """
    origins = sorted({name.split("-")[1] for name in validation})

    def mean_pq(price: float) -> float:
        rules = learned_rules(grouping.model_copy(update={"price": price}), min_area_px=MIN_AREA_PX)
        pqs = {name: parcel_quality(pool, rules)["known"].pq for name, pool in validation.items()}
        of_origin = [[pq for name, pq in pqs.items() if name.split("-")[1] == each] for each in origins]
        return float(np.mean([np.mean(each) for each in of_origin]))

    reached = {price: mean_pq(price) for price in PRICES}
    return min(price for price in PRICES if reached[price] >= max(reached.values()) - _NEARLY)


def calibrate(grouping: Grouping, pools: Pools) -> Grouping:
    """Fit the logistic function from expected IoU to a match (Platt, 1999) on the parcels chosen in pools."""
    from sklearn.linear_model import LogisticRegression

    judged = judge_chosen(grouping, pools)
    if len(np.unique(judged.matched)) < 2:
        return grouping
    model = LogisticRegression(C=1e4).fit(judged.expected_iou[:, None], judged.matched, judged.weight)
    return grouping.model_copy(
        update={
            "score_slope": max(float(model.coef_[0, 0]), 0.0),
            "score_offset": float(model.intercept_[0]),
        }
    )


def judge_chosen(grouping: Grouping, pools: Pools) -> Judged:
    """The parcels that a grouping chooses in all images, every folder weighing the same."""
    rules = learned_rules(grouping, min_area_px=MIN_AREA_PX)
    expected, matched, weight = [np.zeros(0)], [np.zeros(0, bool)], [np.zeros(0)]
    score = [np.zeros(0)]
    for pool in pools.values():
        count = 0
        for each in pool:
            chosen = rules.choose(each.tree)
            nodes = np.unique(chosen.node)
            nodes = nodes[nodes >= 0]
            nodes = nodes[each.unknown[nodes] <= 0.5]
            expected.append(rules.trees(each.features[nodes]))
            score.append(chosen.score[nodes])
            matched.append(each.iou[nodes] > _MATCH_IOU)
            count += len(nodes)
        weight.append(np.full(count, 1000 / max(count, 1)))
    return Judged(
        expected_iou=np.concatenate(expected),
        score=np.concatenate(score),
        matched=np.concatenate(matched),
        weight=np.concatenate(weight),
    )


def _calibrates(image: str) -> bool:
    return sum(image.encode()) % _CALIBRATING_SHARE == 0


def _fit_trees(pools: Pools) -> Trees:
    from sklearn.ensemble import HistGradientBoostingRegressor

    features, expected, weight = [], [], []
    for pool in pools.values():
        kept = []
        for each in pool:
            eligible = (each.unknown <= 0.5) & (each.area_px >= MIN_AREA_PX)
            eligible[: each.tree.n_leaves] &= each.tree.graph.label > 0
            kept.append(eligible)
            features.append(each.features[eligible])
            expected.append(np.where(each.iou > _MATCH_IOU, each.iou, 0)[eligible])
        count = sum(int(eligible.sum()) for eligible in kept)
        weight.append(np.full(count, 1000 / max(count, 1)))
    if not sum(map(len, features)):
        raise UsageError("The pool holds no labelled parcel to fit on.", remedy="Name another --pool.")
    model = HistGradientBoostingRegressor(
        **_TREES,
        early_stopping=False,
        random_state=0,
        monotonic_cst=[int(name in _RISING) for name in FEATURES],
    ).fit(np.concatenate(features), np.concatenate(expected), np.concatenate(weight))
    return plain_arrays(model)


def plain_arrays(model: object) -> Trees:
    """The trees of a fitted scikit-learn model; learning rate and leaves are already one number there."""
    nodes = [predictor.nodes for (predictor,) in model._predictors]  # type: ignore[attr-defined]
    roots = np.concatenate([[0], np.cumsum([len(each) for each in nodes])[:-1]])
    together = np.concatenate(nodes)
    offset = np.repeat(roots, [len(each) for each in nodes])
    leaf = together["is_leaf"].astype(bool)
    return Trees(
        base=float(model._baseline_prediction.item()),  # type: ignore[attr-defined]
        root=tuple(roots.tolist()),
        feature=tuple(np.where(leaf, -1, together["feature_idx"]).astype(int).tolist()),
        threshold=tuple(np.where(leaf, 0.0, together["num_threshold"]).tolist()),
        left=tuple(np.where(leaf, -1, together["left"] + offset).astype(int).tolist()),
        right=tuple(np.where(leaf, -1, together["right"] + offset).astype(int).tolist()),
        value=tuple(together["value"].tolist()),
    )


def parcel_quality(pool: Sequence[Candidates], rules: ChoiceRules) -> dict[str, PanopticQuality]:
    """PQ of parcels over images, unknown ground counted against a parcel (``all``) or ignored (``known``)."""
    totals = {"all": {1: PanopticQuality()}, "known": {1: PanopticQuality()}}
    for each in pool:
        final = repair(each.tree.graph, rules)
        label = np.concatenate([final.final_label, np.zeros(1, np.int32)])[each.region]
        parcels, truth = np.where(label <= final.n_things, label, 0), np.maximum(each.truth, 0)
        one = dict.fromkeys(range(max(int(parcels.max()), int(truth.max())) + 1), 1)
        for name, total in totals.items():
            void = each.truth < 0 if name == "known" else None
            add_image(total, parcels, one, truth, one, void=void)
    return {name: total[1] for name, total in totals.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m geopanoptic.training.grouping", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--model", default=None, help="bundle to start from; the bundled default without it")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument("--train", nargs="+", default=TRAINING_FOLDERS, help="folders of the pool to fit on")
    parser.add_argument("--samples", type=int, default=150, help="at most so many of each folder (150)")
    parser.add_argument("--trees", metavar="BUNDLE", help="take the trees of this bundle")
    parser.add_argument("--reliability", type=Path, help="draw the score's reliability on val- folders (PNG)")
    asked = parser.parse_args()
    try:
        folders = [asked.pool / name for name in asked.train] + sorted(asked.pool.glob("val-*"))
        folders = [folder for folder in folders if folder.is_dir()]
        trees = None if asked.trees is None else _trees_of(load_bundle(asked.trees))
        _fit_bundle(load_bundle(asked.model), folders, asked.samples, asked.out, asked.reliability, trees)
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    return 0


def _trees_of(bundle: Bundle) -> Trees:
    if bundle.grouping is None:
        raise UsageError(f"{bundle.name} has no trees.", remedy="Name another bundle with --trees.")
    return bundle.grouping.trees


def _fit_bundle(
    bundle: Bundle,
    folders: Sequence[Path],
    samples: int,
    out: Path,
    picture: Path | None,
    trees: Trees | None = None,
) -> None:
    """Fit on at most ``samples`` of every folder, the ``val-`` ones held out, and write the bundle to ``out``.

    ``picture``: where to draw how far the score can be taken at its word. ``trees``: see ``fit_grouping``.
    """
    network = load_runtime(bundle, device="cpu", precision="auto")
    dense: dict[str, list[DenseImage]] = {}
    for folder in folders:
        shown = (1,) if not bundle.takes_series else NUMBERS_OF_DATES
        paths = sample_files(folder, samples)
        if trees is not None and not folder.name.startswith("val-"):
            paths = [path for path in paths if _calibrates(image_of(path))]
        dense[folder.name] = [
            map_sample(path, bundle, network, n_dates=count)
            for path, count in zip(paths, cycle(shown), strict=False)
        ]
        print(f"{folder.name:<16} {len(dense[folder.name]):>4} samples", flush=True)

    before = rules_of_bundle(replace(bundle, grouping=None), min_area_px=MIN_AREA_PX)
    rules = replace(before, **OVERSEGMENTATION)
    found = {name: [find_candidates(each, rules) for each in images] for name, images in dense.items()}
    training = {name: each for name, each in found.items() if not name.startswith("val-")}
    validation = {name: each for name, each in found.items() if name.startswith("val-")}
    grouping = fit_grouping(training, validation, rules, trees)

    metrics: dict[str, float] = {}
    after = learned_rules(grouping, min_area_px=MIN_AREA_PX)
    for name, pool in validation.items():
        old = parcel_quality([find_candidates(each, before) for each in dense[name]], before.repair)
        new = parcel_quality(pool, after)
        metrics |= {f"{name} {protocol}": round(each.pq, 4) for protocol, each in new.items()}
        changes = (f"{key}: PQ {old[key].pq:.3f} -> {new[key].pq:.3f}" for key in new)
        print(f"{name:<16} {', '.join(changes)}", flush=True)
    judged = judge_chosen(grouping, validation)
    if len(judged.matched):
        metrics["calibration error"] = round(calibration_error(judged.score, judged.matched), 4)
        print(f"calibration error of the score: {metrics['calibration error']}, {len(judged.score)} parcels")
        if picture is not None:
            draw_reliability(picture, judged.score, judged.matched)
    written = save_with_grouping(bundle, grouping.model_copy(update={"metrics": metrics}), out)
    print(f"{written.path}: price {grouping.price}, {len(grouping.trees.root)} trees")


if __name__ == "__main__":
    sys.exit(main())
