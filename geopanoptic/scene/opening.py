"""``open_scene``: from paths to a Scene, by headers only."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyproj

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.scene.assembling import Choice, assemble
from geopanoptic.scene.bands.bandlist import name_by_list, parse_band_list
from geopanoptic.scene.bands.dating import date_of_names, in_several_folders
from geopanoptic.scene.bands.filenames import parse, stem_of
from geopanoptic.scene.bands.headers import FileHeader, UnplacedError, assumed_wkt, read_header
from geopanoptic.scene.bands.masking import CloudMask
from geopanoptic.scene.bands.naming import name_by_evidence
from geopanoptic.scene.choosing import Dates, parse_dates
from geopanoptic.scene.clouds import stated_cloud
from geopanoptic.scene.containers.contents import Contents
from geopanoptic.scene.containers.recognising import Opening, read_containers
from geopanoptic.scene.containers.safe import METADATA
from geopanoptic.scene.files.arrays import is_array
from geopanoptic.scene.files.formats import is_archive, is_picture, looks_like_image
from geopanoptic.scene.files.sources import (
    SceneSource,
    as_list,
    files_in,
    folders_in,
    is_folder,
    named_files,
    shown,
    without_secrets,
)
from geopanoptic.scene.scene import DateLeftOut, Scene

if TYPE_CHECKING:
    import xarray

OnDamaged = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The files that a source stands for; ``lenient`` where the user named a folder, not each file."""

    name: str
    paths: tuple[Path | str, ...]
    lenient: bool


_ALSO_WHILE_READING = ("allow_remote", "on_error")


def as_scene(source: Scene | SceneSource | xarray.DataArray | xarray.Dataset, **options: Any) -> Scene:
    """A scene that is open already as it is, anything else by ``open_scene`` with ``options``.

    Raises UsageError for an open scene and options that only its opening could heed, and as ``open_scene``.
    """
    if not isinstance(source, Scene):
        return open_scene(source, **options)
    usual = {name: each.default for name, each in inspect.signature(open_scene).parameters.items()}
    ignored = [
        name
        for name, value in options.items()
        if name not in _ALSO_WHILE_READING and value != usual.get(name)
    ]
    if ignored:
        raise UsageError(
            f"{', '.join(ignored)} would change how {source.name} is opened, which it is already.",
            remedy="Give them to open_scene.",
        )
    return source


def open_scene(
    source: SceneSource | xarray.DataArray | xarray.Dataset,
    *,
    bands: str | Sequence[str] | None = None,
    dates: Dates | None = None,
    start: str | date | None = None,
    end: str | date | None = None,
    max_cloud: float | None = None,
    cloud_mask: CloudMask = "auto",
    align: bool = False,
    assume_crs: str | None = None,
    allow_vrt: bool = False,
    allow_remote: bool = False,
    on_error: OnDamaged = "fail",
) -> Scene:
    """Opens a GeoTIFF, JPEG 2000 or georeferenced PNG or JPEG, several of them, or a folder of them; or one or
    several Sentinel-2 products (SAFE folders), STAC documents, NetCDF or Zarr cubes, or a patch of PASTIS.

    Bands and dates come from descriptions, tags and file names (``s2_l3a_20210615_nir.tif``,
    ``T32UQD_20210615T101559_B08_10m.jp2``), dates also from the names of folders where there are several.
    Bands of other resolutions are read on the finest band's grid, bilinear. Only headers are read: nothing
    is allocated for a file's size.

    An xarray DataArray or Dataset ((time,) band, y, x, with a CRS for rioxarray) is opened likewise: its
    band coordinate or variables name the bands, and lazy chunks are computed when they are read.

    Args:
        source: one path, several paths, a folder, or an xarray object. Of a folder that holds no image
            itself, those of its subfolders are taken.
        bands: names in the order of the file's bands, as a list or comma separated; ``-`` leaves one out.
            For several single-band files: one name per file. For a file of several dates: those of one.
        dates: the dates to keep, as dates or ``2021-06-15`` (a list, or comma separated). Where nothing
            states a date: those of the images in their order (in a folder by name), and within a file of
            its bands.
        start, end: leave out what was taken before or after.
        max_cloud: leave out dates with more cloud, in percent, as their files state it, else as a sample of
            their masks shows.
        cloud_mask: what hides pixels: the mask that lies beside the images of a date (``auto``; a
            classification counts before other kinds), only a Sentinel-2 scene classification (``scl``) or
            only another cloud band (``band``), what the package ukis-csmask finds (``ukis``), or ``none``.
        align: resample dates that lie on other grids, bilinear, onto that of the finest pixels; of several
            such onto the one that most dates have, then the earliest.
        assume_crs: CRS of files that state none, for example ``EPSG:32632``.
        allow_vrt: also open GDAL VRT files whose sources lie below their own folder.
        allow_remote: also open GeoTIFFs at http, https and s3 addresses.
        on_error: ``skip`` leaves out a date with a file that cannot be opened (see ``Scene.left_out``). The
            files of a date that is not asked for need not open.

    Raises:
        SceneError: the files are missing, unreadable, of another format, damaged, not georeferenced, or
            their bands cannot be named without a guess; dates that are missing, doubled, differ in
            grid, or are none of those asked for; or a remote server refuses.
        UsageError: options that cannot be meant, or ``ukis`` without that package.
    """
    choice = Choice(
        dates=dates, start=start, end=end, max_cloud=max_cloud, cloud_mask=cloud_mask, align=align
    )

    if assume_crs is not None:
        assumed_wkt(assume_crs)  # refused before any file is opened

    def may_fail(when: date) -> bool:
        return on_error == "skip" or not choice.asks_for(when)

    failed: dict[date, SceneError] = {}
    n_dates = len(parse_dates(dates) or (None,))
    if is_array(source):
        from geopanoptic.scene.containers.from_xarray import array_headers

        files = list(array_headers(source, assume_crs=assume_crs))
        found = _Found(name=files[0].source.name, paths=(), lenient=False)
        contents = _named(files, bands, found, n_dates=n_dates)
    elif held := read_containers(
        as_list(source, allow_remote=allow_remote),  # type: ignore[arg-type]
        Opening(words=parse_band_list(bands), assume_crs=assume_crs, allow_remote=allow_remote),
        may_fail=may_fail,
    ):
        contents, failed = held
    else:
        found = _find(source, allow_vrt=allow_vrt, allow_remote=allow_remote)  # type: ignore[arg-type]
        files, failed, pictures = _headers(found, may_fail, assume_crs=assume_crs, allow_vrt=allow_vrt)
        contents = _named(files, bands, found, n_dates=n_dates)
        if pictures:
            note = f"{named_files(pictures)} left out: no place on Earth, so a picture for people."
            contents = replace(contents, notes=(*contents.notes, note))
    lost = {when: error for when, error in failed.items() if choice.asks_for(when)}
    contents = _without(contents, failed)
    if lost and not any(item.date is None or choice.asks_for(item.date) for item in contents.bands):
        raise next(iter(lost.values()))
    files_used = [*(band.file for band in contents.bands), *(mask.file for mask in contents.masks)]
    used = list({file.source: file for file in files_used}.values())
    assumed = any(file.crs_assumed for file in used)
    warnings = _told_of_place(contents.name, used, assume_crs)
    scene = assemble(replace(contents, warnings=(*contents.warnings, *warnings)), choice.without(lost))
    _require_place(scene, assumed=assumed)
    if assumed:
        scene = replace(scene, assumed_crs=assume_crs)
    return _told_of(lost, scene) if lost else scene


def _told_of_place(name: str, files: Sequence[FileHeader], assume_crs: str | None) -> Iterator[str]:
    """What of the files' place is not from them, and a CRS that is stated in vain."""
    if assumed := [file.source.name for file in files if file.crs_assumed]:
        yield f"{named_files(assumed)}: the CRS is assumed to be {assume_crs}."
    elif assume_crs is not None and files and files[0].grid.crs != pyproj.CRS(assumed_wkt(assume_crs)):
        yield f"{name} states its CRS, {files[0].grid.crs.name}: {assume_crs} is not assumed."
    if unplaced := [file.source.name for file in files if file.transform_assumed]:
        yield (
            f"{named_files(unplaced)}: without a transform every pixel counts as one unit of the CRS, near its origin; place, "
            "areas and the size of the pixels mean nothing."
        )


def _require_place(scene: Scene, *, assumed: bool) -> None:
    """Raises SceneError where the coordinates mean no place in their CRS."""
    grid = scene.grid
    if all(0 < length_m < math.inf for length_m in grid.pixel_size_m()):
        return
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    raise SceneError(
        f"In {grid.crs.name} {scene.name} would lie at x {x:,.0f}, y {y:,.0f}, which is not on Earth.",
        remedy="State the CRS that these coordinates are in with --assume-crs EPSG:<code>: large numbers are mostly "
        "metres, of a projected one."
        if assumed
        else "Repair the file's CRS or its transform: `gdal_edit -a_srs EPSG:<code>`.",
    )


def _named(
    files: Sequence[FileHeader], bands: str | Sequence[str] | None, found: _Found, *, n_dates: int
) -> Contents:
    words = parse_band_list(bands)
    if words is None:
        naming = name_by_evidence(files, lenient=found.lenient)
    else:
        naming = name_by_list(files, words, n_dates=n_dates)
    return Contents(
        name=found.name,
        bands=naming.bands,
        masks=naming.masks,
        cloud_percent=stated_cloud(naming.bands),
        notes=naming.notes,
        warnings=naming.warnings,
    )


def _find(source: SceneSource, *, allow_vrt: bool, allow_remote: bool) -> _Found:
    paths = as_list(source, allow_remote=allow_remote)
    folders = [path for path in paths if isinstance(path, Path) and path.is_dir()]
    if len(folders) == len(paths):
        return _Found(name=_joint_name(folders), paths=tuple(_images_of(folders, allow_vrt)), lenient=True)
    if folders:
        raise SceneError(
            f"{shown(folders[0])} is a folder among files.", remedy="Give folders only, or files only."
        )
    return _Found(name=_joint_name(paths), paths=tuple(paths), lenient=False)


def _joint_name(paths: Sequence[Path | str]) -> str:
    # The same for any order of the files, as the map's bytes hold it, and a mask's only where there is nothing else.
    first = min(map(_name_of, paths), key=lambda name: (parse(name).ancillary is not None, name))
    return shown(first) + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def _name_of(path: Path | str) -> str:
    if isinstance(path, str):
        return stem_of(without_secrets(path).rpartition("/")[2])
    return path.resolve().name if path.is_dir() else stem_of(path.name)


def _images_of(folders: Sequence[Path], allow_vrt: bool) -> list[Path]:
    """The images of the folders; of one folder without any, but for pictures, also those of its subfolders, as seasons
    are kept."""
    images = [path for each in folders for path in _images_in(each, allow_vrt=allow_vrt)]
    # An overview that lies beside the folders of the dates is told of as the picture that it is.
    if len(folders) == 1 and all(map(is_picture, images)):
        images += [path for each in folders_in(folders[0]) for path in _images_in(each, allow_vrt=allow_vrt)]
    if not images:
        raise _no_image_in(folders[0])
    return images


def _no_image_in(folder: Path) -> SceneError:
    """What the archives deliver lies one step away from what can be opened."""
    if archives := [path.name for path in files_in(folder) if is_archive(path)]:
        return SceneError(
            f"The folder {shown(folder)} holds no image, but {named_files(archives)}, packed.",
            remedy="Unpack first, and give the folder of what was in it.",
        )
    if granules := sorted(folder.glob("GRANULE/*/IMG_DATA")):
        finest = granules[0] / "R10m"
        return SceneError(
            f"The folder {shown(folder)} is a Sentinel-2 product without its metadata ({' or '.join(METADATA)}).",
            remedy="Download the product again, whole; or give the folder of the images that you have: "
            f"{shown(finest if is_folder(finest) else granules[0])}.",
        )
    return SceneError(
        f"The folder {shown(folder)} holds no image.",
        remedy="Give a folder of GeoTIFF or JPEG 2000 files, or of one such folder per date.",
    )


def _images_in(folder: Path, *, allow_vrt: bool) -> list[Path]:
    suffixes = (".tif", ".tiff", ".jp2", *((".vrt",) if allow_vrt else ()))
    return [
        path
        for path in files_in(folder)
        if not path.name.lower().endswith((".msk", ".ovr"))
        # What calls itself an image and is none must be refused, not passed over.
        and (path.suffix.lower() in suffixes or looks_like_image(path))
    ]


def _headers(
    found: _Found, may_fail: Callable[[date], bool], *, assume_crs: str | None, allow_vrt: bool
) -> tuple[list[FileHeader], dict[date, SceneError], dict[str, SceneError]]:
    """The headers, the dates that are left out as a whole because one of their files cannot be opened, and the
    pictures that lie beside a folder's images."""
    headers: list[FileHeader] = []
    failed: dict[date, SceneError] = {}
    pictures: dict[str, SceneError] = {}
    parts = [Path(path).parts for path in found.paths]
    for path, names in zip(found.paths, parts, strict=True):
        try:
            headers.append(read_header(path, assume_crs=assume_crs, allow_vrt=allow_vrt))
        except SceneError as error:
            if found.lenient and isinstance(error, UnplacedError) and is_picture(Path(path)):
                pictures[names[-1]] = error
                continue
            when = date_of_names(names, by_folder=in_several_folders(parts))
            if when is None or not may_fail(when):
                raise
            failed.setdefault(when, error)
    if not headers:
        raise next(iter((*failed.values(), *pictures.values())))
    return headers, failed, pictures


def _without(contents: Contents, failed: dict[date, SceneError]) -> Contents:
    """Without the dates of which a file cannot be opened."""
    return replace(contents, bands=tuple(item for item in contents.bands if item.date not in failed))


def _told_of(failed: dict[date, SceneError], scene: Scene) -> Scene:
    left_out = tuple(
        DateLeftOut(date=when, reason=error.message.rstrip("."), damaged=True)
        for when, error in sorted(failed.items())
    )
    return replace(
        scene,
        left_out=(*left_out, *scene.left_out),
        warnings=(*scene.warnings, *(item.message for item in left_out)),
    )
