"""A bundle's STAC item by the Machine Learning Model extension (MLM 1.5.2): what catalogues of models read.

It says nothing that ``bundle.json`` does not, from which it follows; this package reads ``bundle.json`` alone.
"""

from __future__ import annotations

from typing import Any

from geopanoptic.models.manifest import WEIGHTS_FILE, FixedNormalisation, Manifest

ITEM_FILE = "stac.json"

_EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_SHA256 = "1220"
"""As a multihash: the function, and 32 bytes."""
_TASKS = ["panoptic-segmentation", "instance-segmentation", "semantic-segmentation"]
_EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def mlm_item(manifest: Manifest) -> dict[str, Any]:
    """The item of a bundle, whose files lie beside it. It is for any place and time, as MLM writes that; the card says
    where the model was tried."""
    west, south, east, north = _EVERYWHERE
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": manifest.name,
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": list(_EVERYWHERE),
        "properties": {
            "datetime": None,
            "start_datetime": "1900-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
            "title": manifest.title or manifest.name,
            "license": manifest.licence,
            "mlm:name": manifest.name,
            "mlm:architecture": f"{manifest.architecture} ({manifest.network.encoder})",
            "mlm:tasks": _TASKS,
            "mlm:framework": "pytorch",
            "mlm:memory_size": manifest.weights.size_bytes,
            "mlm:input": _inputs(manifest),
            "mlm:output": [_output(manifest)],
            "mlm:hyperparameters": {
                "pixel_size_m": list(manifest.pixel_size_m),
                "stride_px": manifest.stride_px,
                "reach_px": manifest.reach_px,
                "output_scale": manifest.output_scale,
                "views": manifest.views,
                "two_scales": manifest.two_scales,
                "thresholds": manifest.thresholds.model_dump(mode="json"),
            },
        },
        "links": [],
        "assets": {
            "model": {
                "href": WEIGHTS_FILE,
                "type": "application/octet-stream; application=safetensors",
                "title": "Weights",
                "roles": ["mlm:model", "mlm:weights"],
                "mlm:artifact_type": "safetensors",
                "file:size": manifest.weights.size_bytes,
                "file:checksum": _SHA256 + manifest.weights.sha256,
            },
            **(
                {}
                if manifest.grouping is None
                else {
                    "grouping": {
                        "href": manifest.grouping.file,
                        "type": "application/json",
                        "title": "Learned grouping of the network's outputs into parcels",
                        "roles": ["mlm:inference-runtime"],
                        "file:checksum": _SHA256 + manifest.grouping.sha256,
                    }
                }
            ),
            "card": {
                "href": "card.md",
                "type": "text/markdown",
                "title": "Model card: training data, accuracy, where it fails",
                "roles": ["metadata"],
            },
        },
    }


def _inputs(manifest: Manifest) -> list[dict[str, Any]]:
    """The image, which of its bands are there, and the days of a season."""
    temporal = manifest.network.temporal
    time = {} if temporal is None else {"time": -1}
    sizes = {"batch": -1, **time, "bands": len(manifest.bands), "height": -1, "width": -1}
    inputs = [
        _input("image", sizes, bands=list(manifest.bands), value_scaling=_scaling(manifest)),
        _input(
            "availability", sizes, description="1 where the band is there and valid, else 0 (as the image is)"
        ),
    ]
    if temporal is not None:
        days = {"batch": -1, **time, "harmonics": 2 * temporal.harmonics + 1}
        told = "Sines and cosines of the day of the year, then 1; zeros where it is not known"
        inputs.append(_input("dates", days, description=told))
    return inputs


def _input(
    name: str, sizes: dict[str, int], *, bands: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "bands": bands or [],
        "input": {"shape": [*sizes.values()], "dim_order": [*sizes], "data_type": "float32"},
        "resize_type": None,
        "pre_processing_function": None,
        **more,
    }


def _scaling(manifest: Manifest) -> list[dict[str, Any]]:
    stated = manifest.normalisation
    if isinstance(stated, FixedNormalisation):
        return [
            {"type": "min-max", "minimum": low, "maximum": high}
            for low, high in zip(stated.low, stated.high, strict=True)
        ]
    low, high = (
        f"percentile(band, {percent:g})" for percent in (stated.low_percentile, stated.high_percentile)
    )
    least, most = stated.clip
    return [
        {
            "type": "processing",
            "format": "text",
            "expression": f"clip((band - {low}) / ({high} - {low}), {least:g}, {most:g}), percentiles over the whole scene",
        }
    ]


def _output(manifest: Manifest) -> dict[str, Any]:
    channels, what = (
        (
            len(manifest.classes) + 3,
            "Probabilities of the classes, then heat of centres, boundary and distance from it",
        )
        if manifest.network.outputs == "dense"
        else (
            2,
            "Logits of heat of centres and saliency; class, size and shape of a parcel are computed at its centre",
        )
    )
    return {
        "name": "outputs",
        "description": what,
        "tasks": _TASKS,
        "result": {
            "shape": [-1, channels, -1, -1],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": [
            {
                "value": each.id,
                "name": each.name,
                "description": f"{each.name} ({each.kind})",
                "color_hint": each.colour.removeprefix("#").upper(),
            }
            for each in manifest.classes
        ],
        "post_processing_function": {"format": "python", "expression": "geopanoptic.run"},
    }
