"""Kills `geopanoptic run` with SIGKILL at random moments and looks at what is left.

``python tests/faults/killed_runs.py FOLDER [--kills 50]``: a generated scene is mapped once; then runs that
would replace the map are killed. After each, the output must be byte for byte the old map or the new one,
and the next run must leave no stray file. Fails with a message, else prints the counts.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from geopanoptic.training.synthetic import BANDS, generate_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    folder: Path = options.folder
    scene, out = write_scene(folder / "scene.tif"), folder / "map" / "parcels.gpkg"
    out.parent.mkdir()

    # Two settings give two maps: which one stands tells whether a killed run had committed.
    maps, started = {}, time.monotonic()
    for setting in ("3", "12"):
        finish(start(scene, out, setting))
        maps[setting] = digest(out)
    duration_s = (time.monotonic() - started) / 2
    if maps["3"] == maps["12"]:
        raise SystemExit("the two settings give the same map: this test shows nothing")

    dice, standing, old, new = random.Random(4), "12", 0, 0
    for number in range(options.kills):
        setting = "3" if standing == "12" else "12"
        process = start(scene, out, setting)
        # Half of the kills fall into the last fifth, where the products are written and renamed.
        share = dice.uniform(0.8, 1.02) if number % 2 else dice.uniform(0, 1)
        time.sleep(share * duration_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = digest(out)
        if found not in maps.values():
            raise SystemExit(f"kill {number} at {share:.2f} of a run left something that is neither map")
        old, new = old + (found == maps[standing]), new + (found == maps[setting])
        standing = next(name for name, value in maps.items() if value == found)
        if number % 10 == 9 or number == options.kills - 1:
            finish(start(scene, out, standing))
            left = sorted(str(path.relative_to(out.parent)) for path in out.parent.rglob("*"))
            expected = ["parcels.gpkg", "parcels.run.json"]
            if left != expected:
                raise SystemExit(f"stray files after the next run: {set(left) - set(expected)}")
    print(f"{options.kills} kills: {old} left the old map, {new} the complete new one, no stray file")


def start(scene: Path, out: Path, simplify_m: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "geopanoptic",
        "run",
        str(scene),
        "--out",
        str(out),
        "--overwrite",
        "--quiet",
    ]
    return subprocess.Popen([*command, "--simplify", simplify_m])


def finish(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        raise SystemExit(f"a run that nobody disturbed left with {process.returncode}")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def write_scene(path: Path, shape: tuple[int, int] = (120, 140)) -> Path:
    image = generate_scene(shape, seed=7).image
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=image.shape[1],
        width=image.shape[2],
        count=len(BANDS),
        dtype="uint16",
        crs="EPSG:32632",
        transform=Affine(10, 0, 600_000, 0, -10, 5_800_000),
    ) as file:
        file.write(np.clip(image * 10_000, 1, 65_535).astype(np.uint16))
        file.descriptions = BANDS
    return path


if __name__ == "__main__":
    main()
