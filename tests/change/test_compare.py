"""``geopanoptic.compare``: kinds, ids and changed ground of maps whose story is known."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from shapely import affinity, box

from geopanoptic.change.compare import compare
from geopanoptic.change.overlaps import find_overlaps
from geopanoptic.change.seen import is_seen
from geopanoptic.errors import OutputError, UsageError

EAST, NORTH = 650_000, 5_770_000


def field(x0: float, x1: float, y0: float = 0, y1: float = 100) -> shapely.Polygon:
    return box(EAST + x0, NORTH + y0, EAST + x1, NORTH + y1)


def table(*polygons, crs="EPSG:32632", **columns) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(columns, geometry=list(polygons), crs=crs)


def kinds(found) -> list[str]:
    return found.parcels["kind"].tolist()


def ids(found) -> list:
    return found.parcels["parcel_id"].tolist()


ROW = [field(x, x + 100) for x in range(0, 600, 100)]


def test_the_same_map_is_the_same():
    found = compare(table(*ROW), table(*ROW))
    assert kinds(found) == ["same"] * 6
    assert ids(found) == [1, 2, 3, 4, 5, 6]
    assert len(found.changes) == 0
    assert (found.parcels["iou"] == 1).all()


@pytest.mark.parametrize("shift_m", [(4, 0), (-6, 5), (9.9, 0)])
def test_a_shift_below_the_tolerance_changes_nothing(shift_m):
    shifted = [affinity.translate(each, *shift_m) for each in ROW]
    found = compare(table(*ROW), table(*shifted), tolerance_m=10)
    assert kinds(found) == ["same"] * 6
    assert len(found.changes) == 0
    assert set(kinds(compare(table(*ROW), table(*shifted), tolerance_m=1))) == {"moved"}


def test_a_moved_boundary_passes_its_ground_on():
    found = compare(table(field(0, 100), field(100, 200)), table(field(0, 130), field(130, 200)))
    assert kinds(found) == ["moved", "moved"]
    assert ids(found) == [1, 2]
    (change,) = found.changes.to_dict("records")
    assert (change["kind"], change["from_id"], change["to_id"]) == ("transferred", 2, 1)
    assert change["area_m2"] == pytest.approx(3000, rel=2e-3)
    assert change["geometry"].normalize().equals(field(100, 130).normalize())


def test_split_and_merge():
    earlier = table(field(0, 200), field(200, 260), field(260, 400))
    later = table(field(0, 120), field(120, 200), field(200, 400))
    found = compare(earlier, later)
    assert kinds(found) == ["split", "split", "merged"]
    # The piece that is most of a parcel goes on as it; so does the parcel that is most of a merged one.
    assert ids(found) == [1, 4, 3]
    assert found.parcels["earlier_ids"].tolist() == ["1", "1", "3,2"]
    assert found.report["earlier"] == {
        **dict.fromkeys(found.report["earlier"], 0), "split": 1, "merged": 2,
    }  # fmt: skip
    passed = {(row.from_id, row.to_id): row.area_m2 for row in found.changes.itertuples()}
    assert passed == {(1, 4): pytest.approx(8000, rel=2e-3), (2, 3): pytest.approx(6000, rel=2e-3)}


def test_halves_get_one_id_each_and_only_one_is_old():
    found = compare(table(field(0, 200)), table(field(0, 100), field(100, 200)))
    assert ids(found) == [1, 2]
    assert found.links["carries_id"].tolist() == [True, False]


def test_many_to_many_is_rearranged_and_paired_for_the_best():
    earlier = table(field(0, 100), field(100, 140))
    later = table(field(0, 124), field(124, 140))
    found = compare(earlier, later)
    assert kinds(found) == ["rearranged", "rearranged"]
    assert ids(found) == [1, 3]


def test_new_gone_and_outside():
    earlier = table(field(0, 100), field(300, 400), field(500, 600, 300, 400))
    later = table(field(0, 100), field(150, 250), field(0, 100, 300, 400), field(900, 1000))
    found = compare(earlier, later)
    assert kinds(found) == ["same", "new", "new", "outside"]
    assert ids(found) == [1, 4, 5, 6]
    assert found.report["earlier"]["gone"] == 2
    assert sorted(found.changes["kind"]) == ["gained", "gained", "lost", "lost"]
    assert found.links["from_id"].isna().sum() == 3
    assert found.links["to_id"].isna().sum() == 2


def with_landcover(parcels, *cover):
    """A map that says by its land cover how far it sees."""
    both = pd.concat([parcels.assign(kind="thing"), table(*cover).assign(kind="stuff")], ignore_index=True)
    return both.assign(class_name=both["kind"])


def test_what_a_map_with_land_cover_does_not_show_is_outside():
    cloud = field(200, 310, -10, 110)
    seen = field(-50, 700, -50, 400).difference(cloud)
    left, right, hidden = field(0, 100), field(400, 500), field(205, 305)
    earlier = with_landcover(
        table(left, right, hidden, field(600, 650)),
        field(-50, 700, -50, 400).difference(shapely.union_all([left, right])),
    )
    later = with_landcover(table(left), seen.difference(left))
    found = compare(earlier, later)
    # The later map sees ground without a parcel on the right, and nothing at all below the cloud.
    assert found.report["earlier"]["gone"] == 2
    assert found.report["earlier"]["outside"] == 1
    assert sorted(found.changes["kind"]) == ["lost", "lost"]
    found = compare(later, earlier)
    assert kinds(found) == ["same", "new", "outside", "new"]


def test_a_parcel_that_a_map_shows_in_part_lost_nothing_but_what_was_seen():
    whole, cut = field(0, 200), field(0, 150)
    later = with_landcover(table(cut), field(-50, 150, -50, 150).difference(cut))
    assert kinds(compare(table(whole), later)) == ["same"]
    later = with_landcover(table(cut), field(-50, 250, -50, 150).difference(cut))
    assert kinds(compare(table(whole), later)) == ["moved"]


def test_what_clouds_hid_has_its_id_again_the_year_after(tmp_path):
    ground, cloud = field(-50, 700, -50, 150), field(190, 460, -10, 110)
    hidden, half, unknown = field(200, 300), field(400, 500), field(310, 390)
    clear = with_landcover(table(ROW[0], hidden, half), ground.difference(shapely.union_all(ROW[0:3:2])))
    clouded = with_landcover(
        table(ROW[0], field(460, 500)), ground.difference(shapely.union_all([ROW[0], cloud, half]))
    )
    first, second = tmp_path / "2022.gpkg", tmp_path / "2023.gpkg"
    compare(clear, clouded, first)
    unseen = geopandas.read_file(first, layer="unseen")
    assert unseen[["parcel_id", "class_name"]].to_numpy().tolist() == [[2, "thing"]]
    # A second clouded year forgets no more than the first.
    assert compare(first, clouded, second).report["earlier"]["outside"] == 1
    for earlier in (first, second):
        found = compare(earlier, pd.concat([clear, table(unknown, kind=["thing"])], ignore_index=True))
        assert list(zip(ids(found), kinds(found), strict=True)) == [
            (1, "same"), (2, "same"), (3, "same"), (4, "outside"),
        ]  # fmt: skip
        assert not len(found.changes)
        assert any("1 parcels that it could not see" in note for note in found.report["notes"])
        bare = compare(earlier, with_landcover(table(ROW[0], half), ground))
        assert bare.report["earlier"]["gone"] == 1


def test_a_parcel_is_the_same_after_a_year_in_which_its_neighbour_was_drawn_over_a_part_of_it():
    ground, cloud = field(-50, 350, -50, 150), field(-50, 70, -50, 150)
    hidden, beside, wide = field(0, 100), field(100, 200), field(70, 200)
    clear = with_landcover(table(hidden, beside), ground.difference(hidden | beside))
    clouded = with_landcover(table(wide), ground.difference(cloud | wide))
    found = compare(compare(clear, clouded), clear)
    assert list(zip(ids(found), kinds(found), strict=True)) == [(1, "same"), (2, "moved")]
    assert found.report["earlier"]["moved"] == 1
    assert found.changes[["kind", "from_id", "to_id"]].to_numpy().tolist() == [["transferred", 2, 1]]


@pytest.mark.parametrize("written", [False, True])
def test_a_comparison_is_the_earlier_map_of_the_next_year_written_or_not(written, tmp_path):
    ground, hidden = field(-50, 700, -50, 150), field(0, 100)
    clear = with_landcover(table(hidden, field(200, 300)), ground.difference(hidden | field(200, 300)))
    clouded = with_landcover(table(field(200, 300)), ground.difference(hidden | field(200, 300)))
    without = with_landcover(table(field(200, 300), field(400, 500)), ground)
    out = tmp_path / "2023.gpkg" if written else None
    first = compare(clear, clouded, out)
    assert first.unseen["parcel_id"].tolist() == [1]
    assert len(first.landcover)
    earlier = first.out if written else first
    found = compare(earlier, clear)
    assert list(zip(ids(found), kinds(found), strict=True)) == [(1, "same"), (2, "same")]
    # The number of a parcel that went in between is not given again.
    last = compare(compare(earlier, without), clear)
    assert ids(last) == [4, 2]


def test_a_strip_narrower_than_the_tolerance_is_still_a_parcel():
    strips = [field(x, x + 6) for x in range(0, 60, 6)]
    found = compare(table(*strips), table(*strips), tolerance_m=10)
    assert kinds(found) == ["same"] * 10


def test_ids_stay_over_the_years_and_none_is_given_twice(tmp_path):
    first, second = tmp_path / "2021.gpkg", tmp_path / "2022!;.gpkg"
    years = [table(*ROW), table(*ROW[:4], field(420, 600, 500, 600)), table(*ROW, field(420, 600, 500, 600))]
    assert ids(compare(years[0], years[1], first)) == [1, 2, 3, 4, 7]
    # 5 and 6 were gone: what lies there now is new.
    assert ids(compare(first, years[2], second)) == [1, 2, 3, 4, 8, 9, 7]
    without = table(*ROW[:4])
    third = compare(second, without, tmp_path / "2023.gpkg")
    assert third.report["next_id"] == 10
    # 8 was gone, and 9 lay beyond the map.
    assert ids(compare(third.out, years[0]))[4:] == [10, 9]


def test_text_ids_go_on_and_new_ones_are_marked():
    earlier = table(field(0, 100), field(100, 200), ref=["DE-07", "new-4"])
    found = compare(earlier, table(field(100, 200), field(300, 400), ref=["x", "y"]), id_column="ref")
    assert ids(found) == ["new-4", "new-5"]
    assert found.parcels["later_id"].tolist() == ["x", "y"]


def test_numbers_that_leave_no_room_for_new_ones_are_kept_as_text():
    earlier = table(field(0, 100), parcel_id=[2**63 - 1])
    later = table(field(0, 100), field(110, 300))
    assert ids(compare(earlier, later)) == [str(2**63 - 1), "new-1"]


def test_classes_before_and_after():
    earlier = table(field(0, 200), field(200, 300), crop=["wheat", None])
    later = table(field(0, 120), field(120, 200), field(200, 300), kind=["wheat", "maize", "maize"])
    found = compare(earlier, later, class_column="crop,kind")
    assert found.parcels["class_before"].fillna("").tolist() == ["wheat", "wheat", ""]
    assert found.parcels["class_changed"].tolist() == [False, True, None]
    areas = {(each["before"], each["after"]): each["area_m2"] for each in found.report["classes"]}
    assert areas == {("wheat", "wheat"): 12_000, ("wheat", "maize"): 8_000}


def test_maps_without_a_class_in_common_do_not_tell_which_changed():
    fields = [field(100 * place, 100 * place + 100) for place in range(10)]
    found = compare(
        table(*fields, crop=["wheat"] * 10), table(*fields, kind=["parcel"] * 10), class_column="crop,kind"
    )
    assert found.parcels["class_before"].tolist() == ["wheat"] * 10
    assert found.parcels["class_changed"].tolist() == [None] * 10
    assert "no class in common" in found.report["notes"][-1]


def test_few_parcels_may_have_changed_altogether():
    found = compare(table(*ROW[:2], class_name=["wheat"] * 2), table(*ROW[:2], class_name=["maize"] * 2))
    assert found.parcels["class_changed"].tolist() == [True, True]


def test_a_missing_class_changes_no_other_one():
    """It turns the whole column of integers into floats."""
    found = compare(
        table(*ROW, code=[1, 2, 3] * 2), table(*ROW, code=[1, 2, 3, 1, 2, None]), class_column="code"
    )
    assert found.parcels["class_changed"].tolist() == [False] * 5 + [None]
    assert found.parcels["class_name"].fillna("").tolist() == ["1", "2", "3", "1", "2", ""]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:25832", "EPSG:3035"])
def test_another_crs_is_reprojected_with_a_note(crs):
    elsewhere = table(*ROW).to_crs(crs)
    for earlier, later in ((table(*ROW), elsewhere), (elsewhere, table(*ROW))):
        found = compare(earlier, later, tolerance_m=1)
        assert kinds(found) == ["same"] * 6
        assert found.parcels.crs == earlier.crs
        assert any("reprojected" in note for note in found.report["notes"])
        assert found.parcels["area_m2"].to_numpy() == pytest.approx(10_000, rel=2e-3)


def test_parcels_that_the_projection_does_not_reach_are_left_out():
    stray = geopandas.GeoDataFrame(geometry=[box(-80, 0, -79.9, 0.1)], crs=4326)
    later = pd.concat([table(*ROW).to_crs(4326), stray], ignore_index=True)
    found = compare(table(*ROW), later)
    assert kinds(found) == ["same"] * 6
    assert "table: 1 parcels that EPSG:32632 has no place for are left out." in found.report["notes"]
    assert kinds(compare(later, table(*ROW))) == ["same"] * 6


def test_degrees_measure_metres():
    degrees = [
        table(*polygons).to_crs(4326) for polygons in (ROW, [field(0, 130), field(130, 200), *ROW[2:]])
    ]
    found = compare(*degrees)
    assert kinds(found) == ["moved", "moved", "same", "same", "same", "same"]
    assert found.changes["area_m2"].tolist() == [pytest.approx(3000, rel=2e-3)]


def test_an_invalid_polygon_is_repaired_with_a_note():
    bow = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    found = compare(table(affinity.translate(bow, EAST, NORTH), ROW[1]), table(ROW[0], ROW[1]))
    assert any("1 invalid polygons are repaired" in note for note in found.report["notes"])
    assert kinds(found) == ["moved", "same"]
    assert found.parcels.geometry.is_valid.all()


def test_parcels_of_several_parts_and_with_holes():
    ring = field(0, 300, 0, 300).difference(field(100, 200, 100, 200))
    parts = shapely.union(field(400, 500), field(550, 650))
    earlier = table(ring, field(100, 200, 100, 200), parts)
    found = compare(earlier, earlier)
    assert kinds(found) == ["same"] * 3
    filled = table(field(0, 300, 0, 300), parts)
    assert kinds(compare(earlier, filled)) == ["merged", "same"]


def test_maps_that_overlap_themselves():
    twice = table(field(0, 100), field(0, 100), field(100, 200))
    found = compare(twice, table(field(0, 100), field(100, 200)))
    assert kinds(found) == ["merged", "same"]
    assert len(set(ids(found))) == 2


def test_an_empty_map_leaves_everything_gone_or_new(tmp_path):
    nothing = table()
    nobody = compare(nothing, nothing, tmp_path / "none.gpkg")
    assert [len(each) for each in (nobody.parcels, nobody.changes, nobody.links)] == [0, 0, 0]
    assert geopandas.read_file(nobody.out, layer="changes").crs == nothing.crs
    gone, new = compare(table(*ROW), nothing), compare(nothing, table(*ROW))
    assert (gone.report["earlier"]["gone"], kinds(new)) == (6, ["new"] * 6)
    assert gone.report["notes"][-1] == "table has no parcels: those of the earlier map are all gone."
    assert new.report["notes"][-1] == "table has no parcels: those of the later map are all new."
    with pytest.raises(UsageError, match="table has no polygons, and none of its 2 rows has a geometry"):
        compare(table(None, None), nothing)


def test_what_is_written_reads_back_and_is_the_same_every_time(tmp_path):
    earlier = table(*ROW, class_name=["a", "b"] * 3)
    later = table(field(0, 130), field(130, 250), *ROW[2:5], class_name=["a"] * 5)
    found = compare(earlier, later, tmp_path / "a.gpkg")
    compare(earlier, later, tmp_path / "b.gpkg")
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()
    assert [name for name, _ in pyogrio.list_layers(found.out)] == [
        "parcels",
        "changes",
        "landcover",
        "unseen",
        "links",
        "layer_styles",
    ]
    parcels = geopandas.read_file(found.out, layer="parcels")
    assert parcels["kind"].tolist() == kinds(found)
    assert parcels["parcel_id"].tolist() == ids(found)
    assert set(parcels.geom_type) == {"MultiPolygon"}
    changes = geopandas.read_file(found.out, layer="changes")
    assert changes.geometry.is_valid.all()
    assert changes["area_m2"].tolist() == found.changes["area_m2"].tolist()
    links = geopandas.read_file(found.out, layer="links")
    assert links["iou"].notna().tolist() == found.links["iou"].notna().tolist()
    styles = pyogrio.read_dataframe(found.out, layer="layer_styles", read_geometry=False)
    assert styles["f_table_name"].tolist() == ["parcels", "changes", "landcover", "unseen"]
    attributes = ["class_name" if name == "landcover" else "kind" for name in styles["f_table_name"]]
    assert all(f'attr="{name}"' in qml for name, qml in zip(attributes, styles["styleQML"], strict=True))
    report = json.loads((tmp_path / "a.run.json").read_text())
    assert report["later"] == found.report["later"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "a.gpkg", "a.run.json", "b.gpkg", "b.run.json",
    ]  # fmt: skip


def test_an_existing_output_stays(tmp_path):
    out = tmp_path / "changes.gpkg"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        compare(table(*ROW), table(*ROW), out)
    with pytest.raises(UsageError, match="do not overlap"):
        compare(table(*ROW), table(field(9000, 9100)), out, overwrite=True)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("earlier", "options", "told"),
    [
        (table(*ROW, parcel_id=[1, 1, 2, 3, 4, 5]), {}, "id 1 2 times"),
        (table(*ROW, parcel_id=[1, None, 2, 3, 4, 5]), {}, "without an id"),
        (table(*ROW), {"id_column": "ref"}, "no column 'ref'"),
        (table(*ROW), {"tolerance_m": -1}, "--tolerance is -1"),
        (table(*ROW), {"tolerance_m": float("nan")}, "--tolerance is nan"),
        (table(*ROW, crs=None), {}, "no coordinate reference system"),
        (table(*ROW).centroid.to_frame("geometry"), {}, "no polygons"),
        (Path("nowhere.gpkg"), {}, "does not exist"),
        (table(field(80_000, 80_100)), {}, "79.4 km apart"),
    ],
)
def test_mistakes(earlier, options, told):
    with pytest.raises(UsageError, match=told):
        compare(earlier, table(*ROW), **options)


def test_a_suffix_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="unknown suffix"):
        compare(table(*ROW), table(*ROW), tmp_path / "changes.shp")
    with pytest.raises(
        UsageError, match=r"labels convert .*changes.gpkg .*changes.parquet` makes GeoParquet"
    ):
        compare(table(*ROW), table(*ROW), tmp_path / "changes.parquet")


def test_the_order_of_rows_decides_nothing_but_new_numbers():
    rng = np.random.default_rng(2)
    earlier = table(*ROW, parcel_id=[7, 3, 9, 1, 4, 8])
    later = table(field(0, 130), field(130, 250), field(250, 300), *ROW[3:5])
    found = compare(earlier, later)
    order = rng.permutation(len(later))
    shuffled = compare(earlier.iloc[rng.permutation(6)], later.iloc[order])
    carried = found.parcels["iou"].notna()
    assert pd.Series(kinds(shuffled)).tolist() == [kinds(found)[each] for each in order]
    again = [ids(found)[each] for each in order]
    assert [a == b for a, b in zip(ids(shuffled), again, strict=True)] == [
        bool(carried[each]) or a == b for each, a, b in zip(order, ids(shuffled), again, strict=True)
    ]


@pytest.mark.realdata
def test_a_year_of_official_parcels(shared_data):
    """Dutch parcels against themselves with a known change: one cut in two, one taken out."""
    folder = shared_data / "ndvi-brp-netherlands"
    official = geopandas.read_file(f"zip://{next(folder.rglob('fields_cropped.zip'))}").iloc[:600]
    official = official[official.geometry.area > 5000].reset_index(drop=True)[["geometry"]]
    tree = shapely.STRtree(official.geometry.to_numpy())
    cut = int(official.geometry.area.idxmax())
    xmin, ymin, xmax, ymax = official.geometry[cut].bounds
    half = box(xmin, ymin, (xmin + xmax) / 2, ymax)
    pieces = [official.geometry[cut].intersection(half), official.geometry[cut].difference(half)]
    rest = [each for each in range(len(official)) if each != cut]
    inner = box(*official.total_bounds).buffer(-1000)
    alone = [
        each
        for each in rest
        if len(tree.query(official.geometry[each], predicate="dwithin", distance=20)) == 1
    ]
    out = next(each for each in alone if inner.contains(official.geometry[each]))
    later = [official.geometry[each] for each in rest if each != out] + pieces
    found = compare(official, geopandas.GeoDataFrame(geometry=later, crs=official.crs).to_crs(4326))
    assert found.report["earlier"] == {
        **dict.fromkeys(found.report["earlier"], 0), "same": len(official) - 2, "split": 1, "gone": 1,
    }  # fmt: skip
    assert found.parcels["kind"].tolist()[-2:] == ["split", "split"]
    lost = found.changes[found.changes["kind"] == "lost"]
    assert lost["from_id"].tolist() == [out + 1]


def boxes(*corners, **columns):
    shapes = [shapely.box(5e5 + a, 5.8e6 + b, 5e5 + c, 5.8e6 + d) for a, b, c, d in corners]
    table = {"parcel_id": np.arange(1, len(shapes) + 1)} | columns
    return geopandas.GeoDataFrame(table, geometry=shapes, crs="EPSG:32632")


def test_a_parcel_that_grew_to_three_times_its_size_keeps_its_id():
    found = compare(boxes((0, 0, 100, 100), parcel_id=[7]), boxes((0, 0, 300, 100)), tolerance_m=5)
    (row,) = found.parcels.itertuples()
    assert (row.parcel_id, row.kind, row.iou) == (7, "moved", pytest.approx(1 / 3))


def test_ground_a_little_wider_than_the_tolerance_is_lost():
    later = boxes((0, 0, 100, 100))
    later.geometry = later.geometry.difference(shapely.box(5e5 + 70, 5.8e6 + 70, 5e5 + 100, 5.8e6 + 100))
    (lost,) = compare(boxes((0, 0, 100, 100)), later, tolerance_m=20).changes.itertuples()
    assert (lost.kind, lost.area_m2) == ("lost", pytest.approx(900, rel=1e-2))


def test_parcels_that_lie_on_each_other_hide_no_loss():
    later = boxes((0, 0, 60, 100), (0, 0, 60, 100), (200, 0, 300, 100))
    changes = compare(boxes((0, 0, 100, 100), (200, 0, 300, 100)), later, tolerance_m=5).changes
    assert changes.loc[changes["kind"] == "lost", "area_m2"].tolist() == [pytest.approx(4000, rel=1e-2)]


def test_a_strip_narrower_than_the_tolerance_is_no_sliver_where_it_is_a_parcel():
    strip, large = (np.array([shapely.box(0, 0, width, 100)], dtype=object) for width in (8, 100))
    for one, other in ((strip, large), (large, strip)):
        assert shapely.area(find_overlaps(one, other, tolerance_m=20).pieces).tolist() == [800]


def test_ground_under_the_other_maps_parcels_is_seen():
    field, water, cloud = (np.array([shapely.box(x, 0, x + 10, 10)], dtype=object) for x in (0, 10, 20))
    assert is_seen(np.concatenate([field, water, cloud]), field, water).tolist() == [True, True, False]


def test_changes_are_listed_from_the_largest():
    earlier = boxes((0, 0, 100, 100), (200, 0, 400, 200), (500, 0, 550, 50))
    found = compare(earlier, boxes((0, 0, 10, 10), (590, 390, 600, 400)), tolerance_m=1)
    assert len(found.changes) > 2
    assert found.changes["area_m2"].is_monotonic_decreasing
