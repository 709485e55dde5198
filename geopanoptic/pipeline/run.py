"""A run from scene to products: the eight steps, in order."""

from __future__ import annotations

import datetime
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.models.bundle import Bundle, load_bundle
from geopanoptic.panoptic.coverage import assemble, link, simplify, trace_block
from geopanoptic.panoptic.quantisation import Quantiser
from geopanoptic.panoptic.repair import PanopticRegions, RepairRules
from geopanoptic.pipeline.aoi import read_aoi
from geopanoptic.pipeline.dense import TileReader, infer_blocks
from geopanoptic.pipeline.executor import map_blocks
from geopanoptic.pipeline.plan import Plan, check_disk, make_plan
from geopanoptic.pipeline.progress import Progress, Silent, Stage
from geopanoptic.pipeline.result import Result
from geopanoptic.pipeline.segmentation import GroupingRules, segment
from geopanoptic.pipeline.store import RunStore
from geopanoptic.products.cog import (
    RasterProduct,
    class_raster,
    confidence_raster,
    instance_raster,
    verify_cog,
    write_cog,
)
from geopanoptic.products.commit import Check, Commit
from geopanoptic.products.geopackage import verify_geopackage, write_geopackage
from geopanoptic.products.layers import landcover_layer, parcel_layer
from geopanoptic.products.report import peak_memory_bytes, versions, write_run_report
from geopanoptic.scene import Scene, open_scene
from geopanoptic.scene.radiometry import Normalisation, measure

SceneSource = Scene | str | Path | Sequence[str | Path]

# A GeoPackage without a clock: the same run gives the same bytes. Scenes with a date carry theirs.
UNDATED = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a user can ask of a run; None means the default. See :func:`run`."""

    model: str | Path | None = None
    bands: str | Sequence[str] | None = None
    dates: str | Sequence[str] | None = None
    aoi: Path | None = None
    min_area_m2: float | None = None
    simplify_m: float | None = None
    tile_px: int | None = None
    block_px: int | None = None
    batch: int | None = None
    memory: str | int | None = None
    device: str = "auto"
    threads: int | None = None
    assume_crs: str | None = None


def plan(scene: SceneSource, **parameters: Any) -> Plan:
    """What :func:`run` would do with the same arguments: layout, memory, disk. Reads headers only."""
    return _plan(scene, Parameters(**parameters))


def run(
    scene: SceneSource,
    out: str | Path | None = None,
    *,
    rasters: str | Path | None = None,
    work: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **parameters: Any,
) -> Result:
    """Map one scene: parcels as polygons, land cover as polygons and rasters.

    Parameters
    ----------
    scene
        A file, a folder, several files (one per band), or a ``Scene`` from :func:`open_scene`.
    out
        GeoPackage to write; without it nothing is written and the result holds its rasters in memory.
    rasters
        Folder for ``class.tif``, ``parcel_id.tif`` and ``confidence.tif`` (cloud-optimised GeoTIFF).
    work
        Folder for intermediate data; by default beside ``out``.
    overwrite
        Replace existing outputs, once the new ones are complete and verified.
    progress
        Receives stages, notes and warnings; nothing is shown by default.
    model, bands, dates, aoi, min_area_m2, simplify_m, tile_px, block_px, batch, memory, device, threads, \
assume_crs
        As the options of ``geopanoptic run``. The result does not depend on ``tile_px``, ``block_px``,
        ``batch``, ``memory`` and ``threads``.

    Raises
    ------
    SceneError, ModelError, UsageError, OutputError, ResourceError, LockedError
        See ``geopanoptic.errors``; an existing output is untouched then.
    """
    progress = progress or Silent()
    journal = _Journal(progress)
    asked = Parameters(**parameters)
    out = Path(out) if out is not None else None
    targets = _targets(out, Path(rasters) if rasters is not None else None)

    # 1 open and 2 plan, before any output is touched.
    with journal.stage("plan"):
        planned = _plan(scene, asked)
    for warning in (*planned.scene.warnings, *planned.warnings):
        journal.warn(warning)
    fingerprint = _fingerprint(planned.scene)

    with ExitStack() as stack:
        commit = None
        if out is not None:
            if targets.rasters:
                next(iter(targets.rasters.values())).parent.mkdir(parents=True, exist_ok=True)
            commit = stack.enter_context(
                Commit(targets.all, overwrite=overwrite, inputs=[Path(file) for file in planned.scene.files])
            )
        folder = _work_folder(stack, commit, Path(work) if work is not None else None)
        check_disk(planned, folder)
        store = RunStore(
            folder=folder,
            shape=planned.grid.shape,
            block_px=planned.layout.block_px * planned.bundle.output_scale,
        )

        # 3 read and 4 infer.
        normalisation = _infer(store, planned, asked, journal)
        # 5 group and 6 fuse.
        final = segment(store, _rules(planned), workers=planned.workers, progress=journal)
        # 7 trace.
        parcels, landcover = _trace(store, planned, final, journal)
        if not final.n_regions:
            journal.warn("The scene has no valid pixel: the layers are empty.")

        # 8 commit.
        report = _report(planned, asked, normalisation, final, journal)
        arrays = _raster_arrays(store, planned, final) if out is None else None
        if commit is not None and out is not None:
            with journal.stage("write"):
                checks = _write(commit, targets, planned, asked, store, final, parcels, landcover)
            _refuse_changed(planned.scene, fingerprint)
            report |= journal.summary(planned)
            write_run_report(commit.staged(targets.report), report)
            commit.publish(checks)
        else:
            report |= journal.summary(planned)
    return Result(
        parcels=parcels,
        landcover=landcover,
        rasters=_dataset(arrays, planned.grid) if arrays else _open_rasters(targets.rasters),
        report=report,
        out=out,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Targets:
    vector: Path | None
    report: Path
    rasters: Mapping[str, Path]

    @property
    def all(self) -> list[Path]:
        vectors = [self.vector] if self.vector is not None else []
        return [*vectors, self.report, *self.rasters.values()]


def _targets(out: Path | None, rasters: Path | None) -> _Targets:
    if out is None and rasters is not None:
        raise UsageError("--rasters needs --out.", remedy="Name the GeoPackage with --out as well.")
    if out is not None and out.suffix.lower() != ".gpkg":
        raise UsageError(
            f"{out} does not end in .gpkg.", remedy="The output is a GeoPackage: name it, say, parcels.gpkg."
        )
    names = ("class", "parcel_id", "confidence") if rasters is not None else ()
    return _Targets(
        vector=out,
        report=(out or Path("none")).with_suffix(".run.json"),
        rasters={name: rasters / f"{name}.tif" for name in names if rasters is not None},
    )


def _plan(source: SceneSource, asked: Parameters) -> Plan:
    scene = (
        source
        if isinstance(source, Scene)
        else open_scene(source, bands=asked.bands, dates=asked.dates, assume_crs=asked.assume_crs)
    )
    return make_plan(
        scene,
        load_bundle(asked.model),
        min_area_m2=asked.min_area_m2,
        simplify_m=asked.simplify_m,
        tile_px=asked.tile_px,
        block_px=asked.block_px,
        batch=asked.batch,
        memory=asked.memory,
        workers=asked.threads,
    )


def _work_folder(stack: ExitStack, commit: Commit | None, work: Path | None) -> Path:
    if work is None and commit is not None:
        commit.work.mkdir(parents=True, exist_ok=True)
        return commit.work
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="geopanoptic-", dir=work))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _infer(store: RunStore, planned: Plan, asked: Parameters, journal: _Journal) -> Normalisation:
    from geopanoptic.models.runtime import load_runtime

    bundle, scale = planned.bundle, planned.bundle.output_scale
    with journal.stage("normalise"):
        normalisation = measure(planned.scene, planned.bands)
    with journal.stage("load model"):
        runtime = load_runtime(bundle, device=asked.device, threads=asked.threads)
        wanted = read_aoi(asked.aoi, planned.grid) if asked.aoi is not None else None
    things, stuffs = _channels(bundle)
    blocks = infer_blocks(
        store,
        planned.layout,
        scale,
        read=_tile_reader(planned, normalisation),
        network=runtime,
        quantise=Quantiser(
            thing_channels=things,
            stuff_channels=stuffs,
            relief_boundary_weight=bundle.thresholds.relief_boundary_weight,
        ),
        wanted=wanted,
        clock=time.perf_counter,
    )
    total = planned.grid.height * planned.grid.width // scale**2
    with journal.stage("network", total=total, unit="px") as stage:
        for _, count in blocks:
            journal.network_px += count.network_px
            journal.network_s += count.network_s
            stage.advance(count.core_px)
    return normalisation


def _tile_reader(planned: Plan, normalisation: Normalisation) -> TileReader:
    model_bands = planned.bundle.bands
    channels = [model_bands.index(band) for band in planned.bands]

    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, valid = planned.scene.read(window, planned.bands)
        network_input = np.zeros((2 * len(model_bands), *window.shape), np.float32)
        network_input[channels] = normalisation.apply(values, valid)
        network_input[[len(model_bands) + channel for channel in channels]] = valid
        return network_input, valid

    return read


def _channels(bundle: Bundle) -> tuple[tuple[int, ...], tuple[int, ...]]:
    things = tuple(i for i, each in enumerate(bundle.classes) if each.kind == "thing")
    stuffs = tuple(i for i, each in enumerate(bundle.classes) if each.kind == "stuff")
    return things, stuffs


def _rules(planned: Plan) -> GroupingRules:
    thresholds = planned.bundle.thresholds
    things, stuffs = _channels(planned.bundle)
    return GroupingRules(
        centre=thresholds.centre,
        centre_radius_px=thresholds.centre_radius_px,
        field=thresholds.field,
        repair=RepairRules(
            merge_boundary=thresholds.merge_boundary,
            drop_field=thresholds.drop_field,
            min_area_px=planned.min_area_px,
        ),
        n_thing_classes=len(things),
        n_stuff_classes=len(stuffs),
    )


def _class_ids(planned: Plan, final: PanopticRegions) -> NDArray[np.int32]:
    """Class id of every label, (n_regions + 1,); 0 for nodata."""
    ids = np.array([each.id for each in planned.bundle.classes], np.int32)
    things, stuffs = (ids[list(channels)] for channels in _channels(planned.bundle))
    n = final.n_things
    return np.concatenate([[0], things[final.class_index[:n]], stuffs[final.class_index[n:]]]).astype(
        np.int32
    )


def _trace(store: RunStore, planned: Plan, final: PanopticRegions, journal: _Journal):  # type: ignore[no-untyped-def]
    grid, blocks = planned.grid, store.blocks()

    def trace(block: Window):  # type: ignore[no-untyped-def]
        return trace_block(store.read("label", block.grown(1)), block, store.shape)

    with journal.stage("trace", total=grid.height * grid.width, unit="px") as stage:
        traced = []
        for block, arcs in zip(blocks, map_blocks(trace, blocks, workers=planned.workers), strict=True):
            traced.append(arcs)
            stage.advance(block.size_px)
        linked = link(traced)
    with journal.stage("simplify"):
        along_row_m, along_col_m = grid.pixel_size_m()
        if planned.simplify_m > 0:
            linked = simplify(linked, (planned.simplify_m / along_row_m, planned.simplify_m / along_col_m))
    with journal.stage("polygons"):
        labels, polygons = assemble(linked, grid.transform)
        class_id = _class_ids(planned, final)[labels]
        is_thing = labels <= final.n_things
        parcels = parcel_layer(
            polygons[is_thing],
            parcel_id=labels[is_thing],
            class_id=class_id[is_thing],
            score=final.score[labels[is_thing] - 1],
            classes=planned.bundle.classes,
            crs=grid.crs,
        )
        landcover = landcover_layer(
            polygons[~is_thing], class_id=class_id[~is_thing], classes=planned.bundle.classes, crs=grid.crs
        )
    return parcels, landcover


def _raster_windows(
    store: RunStore, planned: Plan, final: PanopticRegions
) -> dict[str, tuple[RasterProduct, Callable[[Window], NDArray[np.generic]]]]:
    class_id = _class_ids(planned, final).astype(np.uint8)

    def classes(window: Window) -> NDArray[np.generic]:
        return class_id[store.read("label", window)]

    def instances(window: Window) -> NDArray[np.generic]:
        label = store.read("label", window)
        return np.where(label <= final.n_things, label, 0).astype(np.int32)

    def confidence(window: Window) -> NDArray[np.generic]:
        label = store.read("label", window)
        thing = store.read("field", window).astype(np.uint16)
        stuff = (255 - thing) * store.read("stuff_score", window) // 255
        inside = (label > 0) & (label <= final.n_things)
        return np.where(label > 0, np.maximum(np.where(inside, thing, stuff), 1), 0).astype(np.uint8)

    return {
        "class": (class_raster(planned.bundle.classes), classes),
        "parcel_id": (instance_raster(), instances),
        "confidence": (confidence_raster(), confidence),
    }


def _raster_arrays(store: RunStore, planned: Plan, final: PanopticRegions) -> dict[str, NDArray[np.generic]]:
    whole = planned.grid.window
    return {name: read(whole) for name, (_, read) in _raster_windows(store, planned, final).items()}


def _write(
    commit: Commit,
    targets: _Targets,
    planned: Plan,
    asked: Parameters,
    store: RunStore,
    final: PanopticRegions,
    parcels: Any,
    landcover: Any,
) -> dict[Path, Check]:
    checks: dict[Path, Check] = {}
    if targets.vector is not None:
        write_geopackage(
            commit.staged(targets.vector),
            parcels=parcels,
            landcover=landcover,
            classes=planned.bundle.classes,
            metadata=_metadata(planned, asked),
            timestamp=_timestamp(planned.scene),
        )
        checks[targets.vector] = lambda path: verify_geopackage(
            path, parcels=len(parcels), landcover=len(landcover)
        )
    if targets.rasters:
        products = _raster_windows(store, planned, final)

        def write_one(name: str) -> None:
            product, read = products[name]
            blocks = ((block, read(block)) for block in store.blocks())
            write_cog(commit.staged(targets.rasters[name]), blocks, grid=planned.grid, product=product)

        for _ in map_blocks(write_one, list(targets.rasters), workers=planned.workers):
            pass
        for path in targets.rasters.values():
            checks[path] = lambda staged: verify_cog(staged, grid=planned.grid)
    return checks


def _dataset(arrays: Mapping[str, NDArray[np.generic]], grid: Grid) -> Any:
    import rioxarray  # noqa: F401  registers .rio
    import xarray

    coordinates = {}
    if grid.transform.b == 0 and grid.transform.d == 0:
        coordinates = {
            "x": grid.transform.c + grid.transform.a * (np.arange(grid.width) + 0.5),
            "y": grid.transform.f + grid.transform.e * (np.arange(grid.height) + 0.5),
        }
    layers = {name: (("y", "x"), array) for name, array in arrays.items()}
    dataset = xarray.Dataset(layers, coords=coordinates)
    return dataset.rio.write_crs(grid.crs_wkt).rio.write_transform(grid.transform)


def _open_rasters(paths: Mapping[str, Path]) -> Any:
    if not paths:
        return None
    import rioxarray
    import xarray

    opened = {
        name: rioxarray.open_rasterio(path, chunks={"x": 2048, "y": 2048}).squeeze("band", drop=True)
        for name, path in paths.items()
    }
    return xarray.Dataset(opened)


def _timestamp(scene: Scene) -> datetime.datetime:
    dates = [date for date in scene.dates if date is not None]
    if not dates:
        return UNDATED
    return datetime.datetime(dates[-1].year, dates[-1].month, dates[-1].day, tzinfo=datetime.UTC)


def _metadata(planned: Plan, asked: Parameters) -> dict[str, Any]:
    """What can change the map, and nothing that cannot: the same map has the same bytes."""
    return {
        "software": f"geopanoptic {versions().get('geopanoptic', '')}".strip(),
        "model": planned.bundle.name,
        "model_sha256": planned.bundle.sha256,
        "scene": planned.scene.name,
        "dates": [str(date) for date in planned.scene.dates if date is not None],
        "bands": list(planned.bands),
        "missing_bands": list(planned.missing_bands),
        "min_area_m2": asked.min_area_m2,
        "min_area_output_px": planned.min_area_px,
        "simplify_m": planned.simplify_m,
        "area_of_interest": asked.aoi.name if asked.aoi is not None else None,
        "assumed_crs": asked.assume_crs,
        "warnings": [*planned.scene.warnings, *planned.warnings],
    }


def _report(
    planned: Plan, asked: Parameters, normalisation: Normalisation, final: PanopticRegions, journal: _Journal
) -> dict[str, Any]:
    return {
        **_metadata(planned, asked),
        "files": [str(file) for file in planned.scene.files],
        "plan": planned.to_dict(),
        "device": asked.device,
        "normalisation": {
            band: [low, high]
            for band, low, high in zip(planned.bands, normalisation.low, normalisation.high, strict=True)
        },
        "thresholds": _plain(planned.bundle.thresholds),
        "parcels": final.n_things,
        "landcover_areas": final.n_regions - final.n_things,
        "versions": versions(),
    }


def _plain(value: Any) -> Any:
    return (
        value.model_dump()
        if hasattr(value, "model_dump")
        else {name: getattr(value, name) for name in value.__dataclass_fields__}
    )


def _fingerprint(scene: Scene) -> list[tuple[str, int, int]]:
    stats = [(str(file), Path(file).stat()) for file in scene.files]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _refuse_changed(scene: Scene, fingerprint: list[tuple[str, int, int]]) -> None:
    for (name, *before), (_, *now) in zip(fingerprint, _fingerprint(scene), strict=True):
        if before != now:
            raise SceneError(f"{name} changed while it was read.", remedy="Run again once it is complete.")


@dataclass(slots=True)
class _Journal:
    """Passes progress on and remembers seconds and warnings for the report."""

    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    network_px: int = 0
    network_s: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str, *, total: float = 1, unit: str = "") -> Iterator[Stage]:
        started = time.perf_counter()
        if unit:
            with self.progress.stage(name, total=total, unit=unit) as stage:
                yield stage
        else:
            yield _NoStage()
        self.seconds[name] = time.perf_counter() - started

    def note(self, text: str) -> None:
        self.progress.note(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.progress.warn(text)

    def summary(self, planned: Plan) -> dict[str, Any]:
        total_s = time.perf_counter() - self.started
        scene_px = planned.scene.grid.height * planned.scene.grid.width
        return {
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "seconds_total": round(total_s, 3),
            "scene_px": scene_px,
            "px_per_s": round(scene_px / total_s),
            "network_px": self.network_px,
            "network_seconds": round(self.network_s, 3),
            "network_px_per_s": round(self.network_px / self.network_s) if self.network_s else None,
            "share_of_network_rate": round(self.network_s / total_s, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "warnings": self.warnings,
        }


class _NoStage:
    def advance(self, amount: float) -> None:
        pass
