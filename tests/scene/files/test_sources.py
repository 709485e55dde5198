"""From what the user gave to files."""

from __future__ import annotations

from pathlib import Path

from geopanoptic.scene.files.sources import named_sources


def test_a_comma_joins_files_unless_it_belongs_to_a_name(tmp_path: Path) -> None:
    whole = tmp_path / "a,b.tif"
    whole.touch()
    assert named_sources(str(whole)) == str(whole)
    assert named_sources("a.tif") == "a.tif"
    assert named_sources("red.tif,nir.tif") == ("red.tif", "nir.tif")
    assert len(named_sources(",".join(["long.tif"] * 1000))) == 1000
