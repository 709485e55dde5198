"""geopanoptic beside what else one would use, on one scene, in one session.

``VENV/bin/python tests/benchmarks/peers/compare.py [--scene FILE] [--size 1024] [--patch 256] [--repeats 5]``

Peers take turns, each run is a fresh process; medians of seconds and processor seconds, largest peak of the
process tree. Seams: of every method's output against its own whole-image result. ``setup.sh`` makes the
environment; peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import rasterio
from dense import tile_borders_px
from rich.console import Console
from rich.table import Table
from seams import SeamError, labels_of, read_labels, seam_error

from geopanoptic.benchmark.benchmark import compile_kernels
from geopanoptic.benchmark.processes import Finished, run_measured
from geopanoptic.benchmark.scenes import write_mosaic
from geopanoptic.errors import GeopanopticError

HERE = Path(__file__).parent
PYTHON = sys.executable


@dataclass(kw_only=True)
class Peer:
    """``command`` writes ``out``; ``computes`` says whether that is the map that geopanoptic computes."""

    name: str
    computes: str
    command: list[str]
    out: Path
    seams: Callable[[], SeamError] | None = None
    runs: list[Finished] = field(default_factory=list)
    failure: str = ""

    def run(self) -> None:
        """Run once more, unless an earlier run failed."""
        if self.failure:
            return
        self.out.unlink(missing_ok=True)
        try:
            self.runs.append(run_measured(self.command))
        except GeopanopticError as failure:
            self.failure = failure.message

    def median(self, name: str) -> float:
        return statistics.median(getattr(run, name) for run in self.runs)


def mapping_peers(scene: Path, folder: Path, patch_px: int, skipped: Collection[str] = ()) -> list[Peer]:
    """Scene to parcels, all with the same network; without the ``skipped`` packages."""
    whole = folder / "whole.tif"
    run_measured([PYTHON, str(HERE / "dense.py"), str(scene), str(whole)])
    with rasterio.open(scene) as file:
        size_px = min(file.shape)

    def script(title: str, name: str, needs: str, stride_px: int, *options: str) -> Peer | None:
        if needs in skipped or importlib.util.find_spec(needs) is None:
            return None
        out = folder / f"{name}{''.join(options)}.gpkg"
        borders_px = tile_borders_px(size_px, patch_px, stride_px)
        return Peer(
            name=title,
            computes="no: plain watershed",
            command=[PYTHON, str(HERE / f"{name}.py"), str(scene), str(out), str(patch_px), *options],
            out=out,
            seams=lambda: seam_error(labels_of(out, whole), read_labels(whole), borders_px),
        )

    peers = [
        ours(scene, folder, patch_px),
        script("notebook: MONAI, PyTorch", "notebook", "monai", int(patch_px * 0.75), "plain"),
        script("notebook: MONAI, our runtime", "notebook", "monai", int(patch_px * 0.75)),
        script("torchgeo grid, our runtime", "torchgeo_grid", "torchgeo", patch_px),
        script("SAHI slices, our runtime", "sahi_merge", "sahi", int(patch_px * 0.8)),
    ]
    return [peer for peer in peers if peer is not None]


def ours(scene: Path, folder: Path, patch_px: int) -> Peer:
    """geopanoptic as it comes; instead of a whole-image result, its own with the peers' tiles."""
    out, other, whole = (folder / name for name in ("ours.gpkg", "ours-other.gpkg", "whole.tif"))

    def command(target: Path, *options: str) -> list[str]:
        common = ["--out", str(target), "--model", "fields-s", "--json", "--overwrite"]
        return [PYTHON, "-m", "geopanoptic", "run", str(scene), *common, *options]

    def seams() -> SeamError:
        run_measured(command(other, "--tile", str(patch_px), "--block", str(patch_px)))
        made, tiled = (labels_of(vector, whole, "parcels") for vector in (out, other))
        return seam_error(tiled, made, tile_borders_px(min(made.shape) // 2, patch_px, patch_px))

    return Peer(name="geopanoptic", computes="yes", command=command(out), out=out, seams=seams)


def tracing_peers(labels: Path, folder: Path) -> list[Peer]:
    """Label raster to polygons along pixel edges in a GeoPackage."""
    peers = []
    for method, title in (("coverage", "geopanoptic trace"), ("rasterio", "rasterio.features.shapes")):
        out = folder / f"trace-{method}.gpkg"
        command = [PYTHON, str(HERE / "tracing.py"), method, str(labels), str(out)]
        peers.append(Peer(name=title, computes="same outlines", command=command, out=out))
    if shutil.which("gdal_polygonize.py"):
        out = folder / "trace-gdal.gpkg"
        command = ["gdal_polygonize.py", "-q", str(labels), "-f", "GPKG", str(out)]
        peers.append(Peer(name="gdal_polygonize", computes="same outlines", command=command, out=out))
    return peers


def orfeo_peers(scene: Path, folder: Path, patch_px: int) -> list[Peer]:
    """Orfeo ToolBox's classical segmentation of the same file: no network, regions of similar pixels."""
    if not shutil.which("otbcli_Segmentation"):
        return []
    with rasterio.open(scene) as file:
        size_px = min(file.shape)

    def command(out: Path, tile_px: int) -> list[str]:
        mode = f"-mode vector -mode.vector.out {out} -mode.vector.tilesize {tile_px} -mode.vector.stitch true"
        filter_ = "-filter meanshift -filter.meanshift.spatialr 5 -filter.meanshift.ranger 150"
        return ["otbcli_Segmentation", "-in", str(scene), *mode.split(), *filter_.split()]

    out = folder / "orfeo.sqlite"

    def seams() -> SeamError:
        whole = folder / "orfeo-whole.sqlite"
        whole.unlink(missing_ok=True)
        run_measured(command(whole, size_px))
        grid = folder / "whole.tif"
        borders_px = tile_borders_px(size_px, patch_px, patch_px)
        return seam_error(labels_of(out, grid), labels_of(whole, grid), borders_px)

    return [
        Peer(
            name="Orfeo Segmentation, stitched",
            computes="no: mean shift",
            command=command(out, patch_px),
            out=out,
            seams=seams,
        )
    ]


def show(title: str, peers: list[Peer], seams: dict[str, SeamError]) -> None:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in (
        "",
        "same map",
        "s",
        "times",
        "processor s",
        "peak GB",
        "cut at borders",
        "PQ to whole image",
    ):
        table.add_column(column, justify="left" if column in ("", "same map") else "right")
    first = peers[0].median("seconds")
    for peer in peers:
        if peer.failure or not peer.runs:
            table.add_row(peer.name, peer.computes, "failed", peer.failure[:60])
            continue
        error = seams.get(peer.name)
        table.add_row(
            peer.name,
            peer.computes,
            f"{peer.median('seconds'):.1f}",
            f"{peer.median('seconds') / first:.2f}",
            f"{peer.median('processor_s'):.1f}",
            f"{max(run.peak_bytes for run in peer.runs) / 2**30:.2f}",
            f"{error.cut:.1%} of {error.crossing}" if error else "",
            f"{error.pq:.3f}" if error else "",
        )
    Console(highlight=False, width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scene", type=Path, help="GeoTIFF with band names; default: a generated one")
    parser.add_argument("--size", type=int, default=1024, help="side of the generated scene")
    parser.add_argument("--patch", type=int, default=256, help="side of the peers' tiles")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--skip", default="", help="to leave out, of tracing,orfeo,monai,torchgeo,sahi")
    parser.add_argument("--json", type=Path, help="write all figures")
    parser.add_argument("--work", type=Path, help="folder for scenes and outputs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="peers-", dir=options.work) as name:
        folder, skipped = Path(name), options.skip.split(",")
        scene = options.scene or folder / "scene.tif"
        if options.scene is None:
            write_mosaic(scene, options.size)
        compile_kernels(folder)
        groups: dict[str, list[Peer]] = {"mapping": mapping_peers(scene, folder, options.patch, skipped)}
        labels = folder / "whole.tif"
        if "tracing" not in skipped:
            groups["tracing"] = tracing_peers(labels, folder)
        if "orfeo" not in skipped:
            groups["orfeo"] = orfeo_peers(scene, folder, options.patch)
        measure([peer for group in groups.values() for peer in group], options.repeats)
        written = {}
        for part, peers in groups.items():
            measured = {
                peer.name: peer.seams() for peer in peers if peer.seams and peer.runs and not peer.failure
            }
            if peers:
                show(part, peers, measured)
            written[part] = [as_dict(peer, measured.get(peer.name)) for peer in peers]
    if options.json:
        options.json.write_text(json.dumps(written, indent=2) + "\n")


def measure(peers: list[Peer], repeats: int) -> None:
    """Run the peers in turn; an interrupt after the first round ends it early."""
    for number in range(repeats):
        for peer in peers:
            try:
                peer.run()
            except KeyboardInterrupt:
                if number == 0:
                    raise
                return
            told = peer.failure or f"{peer.runs[-1].seconds:.1f} s"
            print(f"{number + 1} of {repeats}, {peer.name}: {told}", file=sys.stderr, flush=True)


def as_dict(peer: Peer, error: SeamError | None) -> dict[str, object]:
    return {
        "name": peer.name,
        "same_map": peer.computes,
        "failure": peer.failure,
        "seconds": [run.seconds for run in peer.runs],
        "processor_s": [run.processor_s for run in peer.runs],
        "peak_bytes": [run.peak_bytes for run in peer.runs],
        "crossing": error.crossing if error else None,
        "cut": error.cut if error else None,
        "pq_to_whole_image": error.pq if error else None,
    }


if __name__ == "__main__":
    main()
