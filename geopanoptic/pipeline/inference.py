"""Steps 3 and 4 for a planned run: normalise, read, infer, quantise into the run store."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.panoptic.quantisation import Quantiser
from geopanoptic.pipeline.aoi import read_aoi
from geopanoptic.pipeline.dense import TileReader, infer_blocks
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.plan import Plan
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.store import RunStore
from geopanoptic.scene import Normalisation, measure, survey, take_sample


def infer(store: RunStore, planned: Plan, asked: Parameters, record: Record) -> Normalisation:
    """Fill ``store`` with the quantised layers of every block; returns the normalisation that was used."""
    from geopanoptic.models.runtime import load_runtime

    with record.stage("normalise"):
        sample = take_sample(planned.scene, planned.bands)
        normalisation = measure(planned.scene, planned.bands, sample=sample)
        wanted = read_aoi(asked.aoi, planned.grid) if asked.aoi is not None else None
    for warning in survey(planned.scene, sample=sample).warnings:
        record.warn(warning)
    with record.stage("load model"):
        runtime = load_runtime(planned.bundle, device=asked.device, threads=asked.threads)  # type: ignore[arg-type]
    blocks = infer_blocks(
        store,
        planned.layout,
        planned.bundle.output_scale,
        read=tile_reader(planned, normalisation),
        network=runtime,
        quantise=quantiser(planned.bundle),
        wanted=wanted,
        clock=time.perf_counter,
    )
    scene_px = planned.scene.grid.height * planned.scene.grid.width
    with record.stage("network", total=scene_px, unit="px") as stage:
        for _, count in blocks:
            record.network_px += count.network_px
            record.network_s += count.network_s
            stage.advance(count.core_px)
    return normalisation


def quantiser(bundle: Bundle) -> Quantiser:
    """The quantiser of a bundle's classes and relief."""
    return Quantiser(
        thing_channels=channels_of(bundle, "thing"),
        stuff_channels=channels_of(bundle, "stuff"),
        relief_boundary_weight=bundle.thresholds.relief_boundary_weight,
    )


def channels_of(bundle: Bundle, kind: str) -> tuple[int, ...]:
    """Semantic channels of one kind of class, in the bundle's order."""
    return tuple(channel for channel, each in enumerate(bundle.classes) if each.kind == kind)


def tile_reader(planned: Plan, normalisation: Normalisation) -> TileReader:
    """Gives network input: normalised bands, zero where invalid or absent, then availability flags."""
    model_bands = planned.bundle.bands
    channels = [model_bands.index(band) for band in planned.bands]

    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, valid = planned.scene.read(window, planned.bands)
        network_input = np.zeros((2 * len(model_bands), *window.shape), np.float32)
        network_input[channels] = normalisation.apply(values, valid)
        network_input[[len(model_bands) + channel for channel in channels]] = valid
        return network_input, valid

    return read
