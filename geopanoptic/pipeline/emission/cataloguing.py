"""What a catalogue is told of a run's map."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geopanoptic.errors import UsageError
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.products.geoparquet import MEDIA_TYPE as GEOPARQUET
from geopanoptic.products.stac import COG, GEOPACKAGE, JSON, Asset, classes_of_raster, write_stac_item
from geopanoptic.scene import Scene
from geopanoptic.wording import counted

_TITLES = {
    "class": "Class of every pixel",
    "parcel_id": "Parcel of every pixel, parcel_id of the parcels layer",
    "confidence": "Probability of the class of every pixel, 1 to 255 for 1/255 to 1",
}


def refuse_undated(scene: Scene) -> None:
    """Raises UsageError for a scene of which no date is known: every STAC item has a time."""
    if not any(scene.dates):
        raise UsageError(
            f"{scene.name} states no date, and every STAC item has one.",
            remedy="Give --dates, as in --dates 2021-06-15, or leave --stac out.",
        )


def write_item(
    staged: Path,
    planned: Plan,
    told: Mapping[str, Any],
    *,
    item: Path,
    vector: Path,
    parquet: Path | None,
    report: Path,
    rasters: Mapping[str, Path],
) -> None:
    """Writes the STAC item of a map to ``staged``: of ``item``, where it will lie, beside the map's other files; ``told`` is
    the run's report."""
    parcels, areas = told["parcels"], told["landcover_areas"]
    write_stac_item(
        staged,
        item=item,
        grid=planned.grid,
        dates=[when for when in planned.scene.dates if when is not None],
        assets={
            "parcels": Asset(path=vector, media_type=GEOPACKAGE, title="Parcels and land cover"),
            **(
                {
                    "geoparquet": Asset(
                        path=parquet, media_type=GEOPARQUET, title="Parcels as GeoParquet (fiboa)"
                    )
                }
                if parquet is not None
                else {}
            ),
            **{
                name: Asset(
                    path=path,
                    media_type=COG,
                    title=_TITLES[name],
                    more=classes_of_raster(planned.classes) if name == "class" else {},
                )
                for name, path in rasters.items()
            },
            "report": Asset(path=report, media_type=JSON, title="What ran", role="metadata"),
        },
        properties={
            "title": f"Parcels of {planned.scene.name}",
            "description": f"{counted(parcels, 'parcel')} and {counted(areas, 'land-cover area')}, by {told['software']} with "
            f"its model {planned.bundle.name}.",
            "gsd": round(told["pixel_m"], 3),
            "processing:software": {"geopanoptic": told["versions"]["geopanoptic"]},
            "processing:lineage": f"Model {planned.bundle.name}, weights {planned.bundle.sha256}; bands "
            f"{', '.join(planned.bands)}; computed by {told['runtime']}.",
        },
    )
