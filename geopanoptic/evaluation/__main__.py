"""Validation figures of bundles beside classical segmentations tuned on the same images.

``python -m geopanoptic.evaluation --pool POOL [--model BUNDLE ...] [--fusion RULE ...] [--tune] [--failures PNG]``:
POOL is what ``python -m geopanoptic.training.samples`` writes; only its ``val-`` folders are read. The class parcel
is scored at the resolution of the labels, segments summed over all images of a folder, with unlabelled ground
counted against a prediction (``all``) or ignored (``known``), by the COCO protocol or the PASTIS one. Every method
has one set of parameters for all folders; the classical ones, and with --tune the bundles' thresholds, are searched
on these very images for the greatest mean PQ ``known``. A bundle sees an image of fine pixels (folder
``val-naip-2.5m``) as ``geopanoptic run`` shows it, averaged to its working pixel size. With --failures the two
images of every folder on which the one bundle asked for does worst are drawn.

Folders of seasons (``python -m geopanoptic.training.samples.season_pool``) are scored for each bundle of series
with 1, 3, 6, 12 and 24 of their dates, see ``seasons``; a bundle of single images sees one.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from geopanoptic.errors import GeopanopticError, UsageError
from geopanoptic.evaluation.metrics.matching import PROTOCOLS, Protocol
from geopanoptic.evaluation.metrics.panoptic_quality import PanopticQuality, add_image
from geopanoptic.evaluation.pools.baselines import BASELINES
from geopanoptic.evaluation.pools.failures import draw_failures, worst
from geopanoptic.evaluation.pools.samples import (
    TUNABLE,
    BundleMapper,
    LabelledImage,
    Prediction,
    read_images,
    rules_of,
)
from geopanoptic.evaluation.pools.season_samples import is_season, read_seasons
from geopanoptic.evaluation.pools.seasons import NUMBERS_OF_DATES, figures_by_dates
from geopanoptic.evaluation.pools.tuning import best
from geopanoptic.panoptic.fusion.rules import DEEPLAB, FUSION_RULES

PARCEL = 1
GROUND = ("all", "known")
SEASON_MARGIN_STRIDES = 2
"""No data around a season that the network sees; its whole reach would cost ten times the sample itself."""

Folders = Mapping[str, Sequence[LabelledImage]]
Mapper = Callable[[LabelledImage], Prediction]
Qualities = dict[str, PanopticQuality]


def quality(images: Sequence[LabelledImage], mapper: Mapper, *, protocol: Protocol = "coco") -> Qualities:
    """Panoptic quality of parcels, with unlabelled ground counted (``all``) and ignored (``known``)."""
    totals: dict[str, dict[int, PanopticQuality]] = {name: {PARCEL: PanopticQuality()} for name in GROUND}
    with ThreadPoolExecutor() as pool:
        predictions = list(pool.map(mapper, images))
    for image, prediction in zip(images, predictions, strict=True):
        parcels = np.where(prediction.labels <= prediction.n_things, prediction.labels, 0)
        truth = np.where(image.void, 0, image.instances)
        ours = dict.fromkeys(range(1 + int(parcels.max(initial=0))), PARCEL)
        theirs = dict.fromkeys(range(1 + int(truth.max(initial=0))), PARCEL)
        for name in GROUND:
            # Ground known to hold no parcel (roads, water) always counts against a prediction there.
            void = image.void if name == "known" else None
            add_image(totals[name], parcels, ours, truth, theirs, void=void, protocol=protocol)
    return {name: totals[name][PARCEL] for name in GROUND}


def mean_known(folders: Folders, mapper: Mapper) -> float:
    """What is searched for: the mean over folders of the PQ on known ground."""
    return float(np.nanmean([quality(each, mapper)["known"].pq for each in folders.values()]))


def main() -> int:
    asked = _parser().parse_args()
    try:
        figures = _evaluate(asked)
    except GeopanopticError as error:
        print(f"{error.message}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m geopanoptic.evaluation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument(
        "--model", "--models", nargs="*", default=None, metavar="BUNDLE",
        help="bundles by name or folder, several of one training for the spread; the default one without it",
    )  # fmt: skip
    parser.add_argument(
        "--baselines", nargs="*", choices=BASELINES, default=list(BASELINES), help="none: --baselines"
    )
    parser.add_argument(
        "--fusion", nargs="+", choices=FUSION_RULES, default=[DEEPLAB.name], metavar="RULE",
        help=f"rules by which parcels and stuff become one map, each scored: {', '.join(FUSION_RULES)}",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=("auto", "f32", "bf16"), default="f32",
        help="of the network's numbers; runs take auto, figures are given in f32, which every CPU has",
    )  # fmt: skip
    parser.add_argument("--protocol", choices=PROTOCOLS, default="coco")
    parser.add_argument(
        "--tune", action="store_true", help="also search the bundles' thresholds on these images"
    )
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument(
        "--failures", type=Path, metavar="PNG", help="draw the images on which the bundle does worst there"
    )
    return parser


def _evaluate(asked: argparse.Namespace) -> dict[str, object]:
    n_bundles = (1 if asked.model is None else len(asked.model)) * len(asked.fusion)
    if asked.failures and n_bundles != 1:
        raise UsageError(
            f"--failures shows one bundle with one rule, {n_bundles} were asked for.",
            remedy="Name one after --model and one after --fusion.",
        )
    chosen = [folder for folder in sorted(asked.pool.glob("val-*")) if folder.is_dir()]
    if not chosen:
        raise UsageError(
            f"{asked.pool} has no folder val-*.", remedy="Write it: python -m geopanoptic.training.samples."
        )
    of_seasons = [folder for folder in chosen if any(map(is_season, islice(folder.glob("[!.]*.npz"), 1)))]
    folders = {folder.name: read_images(folder) for folder in chosen if folder not in of_seasons}
    if asked.failures and not folders:
        raise UsageError(
            f"--failures draws single images, and {asked.pool} has seasons only.",
            remedy="Leave it out, or add a folder of images: python -m geopanoptic.training.samples.",
        )
    seasons = _evaluate_seasons(asked, of_seasons) if of_seasons else {}
    if not folders:
        return {"protocol": asked.protocol, "seasons": seasons}
    return _evaluate_images(asked, folders) | ({"seasons": seasons} if seasons else {})


def _evaluate_seasons(asked: argparse.Namespace, chosen: Sequence[Path]) -> dict[str, object]:
    """Rows by bundle, folder and number of dates."""
    from geopanoptic.models.bundle import load_bundle
    from geopanoptic.models.runtimes import load_runtime

    folders = {folder.name: read_seasons(folder) for folder in chosen}
    figures: dict[str, object] = {}
    for asked_model in asked.model if asked.model is not None else [None]:
        bundle = load_bundle(asked_model)
        print(bundle.name, bundle.sha256[:12])
        rows: dict[str, dict[int, object]] = {name: {} for name in folders}
        with tempfile.TemporaryDirectory(prefix="geopanoptic-") as scratch:
            load = partial(load_runtime, device="cpu", precision=asked.precision)
            rules = rules_of(bundle)
            maps = BundleMapper(
                bundle, load, Path(scratch), margin_px=SEASON_MARGIN_STRIDES * bundle.stride_px
            )
            for folder, seasons in folders.items():
                for found in figures_by_dates(
                    seasons,
                    lambda season, maps=maps, rules=rules: maps(season, rules),  # type: ignore[misc]
                    kinds=[each.name for each in bundle.classes if each.kind == "thing"],
                    numbers=NUMBERS_OF_DATES if bundle.takes_series else (1,),
                    protocol=asked.protocol,
                ):
                    rows[folder][found.n_dates] = found.to_row()
                    print(f"  {folder:<14} {len(seasons):>3} seasons  {found.in_words()}", flush=True)
        figures[bundle.name] = rows
    return figures


def _evaluate_images(asked: argparse.Namespace, folders: Folders) -> dict[str, object]:
    figures: dict[str, object] = {"protocol": asked.protocol, "methods": {}, "folders": {}}
    told = {"methods": figures["methods"], "folders": figures["folders"]}
    of_models: dict[str, list[Qualities]] = {name: [] for name in folders}
    for name, about, mapper in _methods(asked, folders):
        told["methods"][name] = about  # type: ignore[index]
        print(name, json.dumps(about))
        for folder, images in folders.items():
            found = quality(images, mapper, protocol=asked.protocol)
            row = {"images": len(images)} | {ground: _row(each) for ground, each in found.items()}
            told["folders"].setdefault(folder, {})[name] = row  # type: ignore[attr-defined]
            print(f"  {folder:<14} {len(images):>3} images   {_in_words(found)}")
            print(f"  {'':<14} recall by size (output px): {_recall(found['known'].recall_by_size)}")
            if name not in BASELINES and len(asked.fusion) == 1:
                of_models[folder].append(found)
        if asked.failures and name not in BASELINES:
            failures = {
                each: worst(images, mapper, protocol=asked.protocol) for each, images in folders.items()
            }
            draw_failures(failures, bundle=name, path=asked.failures)
    spread = {folder: _spread(each) for folder, each in of_models.items() if len(each) > 1}
    for folder, by_ground in spread.items():
        words = ", ".join(f"{ground}: PQ {m:.3f} +- {s:.3f}" for ground, (m, s) in by_ground.items())
        print(f"{len(of_models[folder])} models     {folder:<14} {words} (standard deviation)")
    return figures | ({"spread": spread} if spread else {})


def _methods(asked: argparse.Namespace, folders: Folders) -> Iterator[tuple[str, dict[str, object], Mapper]]:
    """Name, what is to be said of it, and the mapper with its parameters."""
    from geopanoptic.models.bundle import load_bundle
    from geopanoptic.models.runtimes import load_runtime

    seen: set[str] = set()
    for asked_model in asked.model if asked.model is not None else [None]:
        bundle = load_bundle(asked_model)
        name = bundle.name if bundle.name not in seen else f"{bundle.name} {bundle.sha256[:8]}"
        seen.add(name)
        about: dict[str, object]
        with tempfile.TemporaryDirectory(prefix="geopanoptic-") as scratch:
            load = partial(load_runtime, device="cpu", precision=asked.precision)
            maps = BundleMapper(bundle, load, Path(scratch))
            for fusion in asked.fusion:
                rules = rules_of(bundle, fusion=fusion)
                about = {"sha256": bundle.sha256, "fusion": fusion, "precision": asked.precision}
                if asked.tune:
                    start = {each: getattr(bundle.thresholds, each) for each in TUNABLE}
                    choice = best(
                        TUNABLE,
                        start,
                        lambda tried, maps=maps, bundle=bundle, fusion=fusion: mean_known(  # type: ignore[misc]
                            folders, lambda image: maps.as_run(image, rules_of(bundle, tried, fusion=fusion))
                        ),
                    )
                    about["thresholds"] = choice
                    rules = rules_of(bundle, choice, fusion=fusion)
                called = name if len(asked.fusion) == 1 else f"{name} {fusion}"
                yield called, about, lambda image, maps=maps, rules=rules: maps.as_run(image, rules)  # type: ignore[misc]
    for each in asked.baselines:
        baseline = BASELINES[each]
        choice = best(
            baseline.grid,
            baseline.start,
            lambda tried, method=baseline: mean_known(folders, lambda image: method(image, tried)),  # type: ignore[misc]
        )
        about = {"source": baseline.source, "parameters": choice}
        yield each, about, lambda image, method=baseline, choice=choice: method(image, choice)  # type: ignore[misc]


def _row(quality: PanopticQuality) -> dict[str, object]:
    return {
        "pq": round(quality.pq, 4),
        "sq": round(quality.sq, 4),
        "rq": round(quality.rq, 4),
        "recall_by_size": quality.recall_by_size,
    }


def _in_words(found: Qualities) -> str:
    return ", ".join(
        f"{name}: PQ {each.pq:.3f} SQ {each.sq:.3f} RQ {each.rq:.3f}" for name, each in found.items()
    )


def _recall(table: dict[str, list[int]]) -> str:
    rows = sorted(table.items(), key=lambda item: int(item[0].rstrip("+").split("-")[0]))
    return ", ".join(f"{name}: {found / total:.2f} of {total}" for name, (found, total) in rows)


def _spread(found: Sequence[Qualities]) -> dict[str, tuple[float, float]]:
    """Mean and sample standard deviation of the PQ, by ground."""
    result = {}
    for ground in GROUND:
        values = [each[ground].pq for each in found]
        result[ground] = (float(np.mean(values)), float(np.std(values, ddof=1)))
    return result


if __name__ == "__main__":
    sys.exit(main())
