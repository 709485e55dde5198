"""Validation figures of a bundle beside a classical segmentation tuned on the same images.

``python -m geopanoptic.evaluation --pool POOL [--model BUNDLE] [--tune]``: POOL is what
``python -m geopanoptic.training.samples`` writes; only its ``val-`` folders are read. Protocol: COCO panoptic
quality of the class parcel at the output resolution, segments summed over all images of a folder, with
unlabelled area counted against a prediction (``all``) or ignored (``known``). Both methods have one set of
parameters for all folders, tuned by the mean PQ ``known``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from geopanoptic.evaluation.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.samples import (
    BundleMapper,
    LabelledImage,
    Prediction,
    felzenszwalb,
    read_images,
    rules_of,
)

PARCEL = 1
PROTOCOLS = ("all", "known")


def quality(
    images: Sequence[LabelledImage], mapper: Callable[[LabelledImage], Prediction]
) -> dict[str, PanopticQuality]:
    """Panoptic quality of parcels by protocol."""
    totals: dict[str, dict[int, PanopticQuality]] = {name: {PARCEL: PanopticQuality()} for name in PROTOCOLS}
    with ThreadPoolExecutor() as pool:
        predictions = list(pool.map(mapper, images))
    for image, prediction in zip(images, predictions, strict=True):
        parcels = np.where(prediction.labels <= prediction.n_things, prediction.labels, 0)
        truth = np.where(image.void, 0, image.instances)
        n, m = int(parcels.max(initial=0)), int(truth.max(initial=0))
        predicted_class, true_class = dict.fromkeys(range(n + 1), PARCEL), dict.fromkeys(range(m + 1), PARCEL)
        for name in PROTOCOLS:
            # Ground known to hold no parcel (roads, water) always counts against a prediction there.
            void = image.void if name == "known" else None
            add_image(totals[name], parcels, predicted_class, truth, true_class, void=void)
    return {name: totals[name][PARCEL] for name in PROTOCOLS}


FELZENSZWALB_GRID = {"scale": (40, 80, 160, 320, 640), "sigma": (0.5,), "min_size": (100, 250, 500, 1000)}
BUNDLE_GRID = {
    "merge_boundary": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "centre": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "field": (0.4, 0.5, 0.6, 0.7, 0.8),
    "drop_field": (0.5, 0.6, 0.7, 0.8, 0.9),
    "centre_radius_px": (2, 3, 4, 6),
}


def best(
    grid: dict[str, tuple[float, ...]], start: dict[str, float], score: Callable[[dict[str, float]], float]
) -> dict[str, float]:
    """Coordinate search: each parameter in turn takes its best value, until a round changes nothing."""
    choice, reached = dict(start), score(start)
    while True:
        before = dict(choice)
        for name, values in grid.items():
            for value in values:
                tried = choice | {name: value}
                if value != choice[name] and (found := score(tried)) > reached:
                    choice, reached = tried, found
        if choice == before:
            return choice


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--model", default=None, help="bundle name or folder; the bundled default without it")
    parser.add_argument(
        "--tune", action="store_true", help="also search the bundle's thresholds on these images"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()

    from geopanoptic.models.bundle import load_bundle
    from geopanoptic.models.runtime import load_runtime

    bundle = load_bundle(options.model)
    folders = sorted(folder for folder in options.pool.glob("val-*") if folder.is_dir())
    images = {folder.name: read_images(folder) for folder in folders}
    figures: dict[str, object] = {"protocol": "coco", "model": bundle.name, "sha256": bundle.sha256}

    with tempfile.TemporaryDirectory() as scratch:
        mapper = BundleMapper(bundle, load_runtime(bundle, device="cpu"), Path(scratch))
        rules = rules_of(bundle)
        if options.tune:

            def score(choice: dict[str, float]) -> float:
                tried = rules_of(bundle, choice)
                qualities = [
                    quality(each, lambda image: mapper(image, tried))["known"] for each in images.values()
                ]
                return float(np.mean([each.pq for each in qualities]))

            start = {name: getattr(bundle.thresholds, name) for name in BUNDLE_GRID}
            choice = best(BUNDLE_GRID, start, score)
            figures["tuned_thresholds"] = choice
            rules = rules_of(bundle, choice)
            print("thresholds:", choice)

        def classical(choice: dict[str, float]) -> float:
            qualities = [
                quality(each, lambda image: felzenszwalb(image, **choice))["known"]  # type: ignore[arg-type]
                for each in images.values()
            ]
            return float(np.mean([each.pq for each in qualities]))

        # One choice of parameters for all images, as the bundle has one set of thresholds for all.
        middle = {name: values[len(values) // 2] for name, values in FELZENSZWALB_GRID.items()}
        tuned = best(FELZENSZWALB_GRID, middle, classical)
        for name, of_folder in images.items():
            ours = quality(of_folder, lambda image: mapper(image, rules))
            theirs = quality(of_folder, lambda image: felzenszwalb(image, **tuned))  # type: ignore[arg-type]
            figures[name] = {
                "images": len(of_folder),
                bundle.name: _figures(ours),
                "felzenszwalb": _figures(theirs) | {"parameters": tuned},
            }
            for who, of_whom in ((bundle.name, ours), ("felzenszwalb", theirs)):
                line = ", ".join(
                    f"{protocol}: PQ {q.pq:.3f} SQ {q.sq:.3f} RQ {q.rq:.3f}"
                    for protocol, q in of_whom.items()
                )
                print(f"{name:<14} {len(of_folder):>3} images  {who:<13} {line}")
            recall = ours["known"].recall_by_size
            print(f"{'':<14} recall by true size (output px): " + _recall(recall))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _figures(qualities: dict[str, PanopticQuality]) -> dict[str, object]:
    return {
        name: {
            "pq": round(q.pq, 4),
            "sq": round(q.sq, 4),
            "rq": round(q.rq, 4),
            "recall_by_size": q.recall_by_size,
        }
        for name, q in qualities.items()
    }


def _recall(table: dict[str, list[int]]) -> str:
    rows = sorted(table.items(), key=lambda item: int(item[0].rstrip("+").split("-")[0]))
    return ", ".join(f"{name}: {found / total:.2f} of {total}" for name, (found, total) in rows)


if __name__ == "__main__":
    main()
