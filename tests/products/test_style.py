"""Styles are well-formed XML whatever a class is called, and say the classes' colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import pytest
from small_maps import CLASSES

from geopanoptic.products import style
from geopanoptic.products.classes import MapClass, of_kind, rgb


@pytest.mark.parametrize("make", [style.parcels_qml, style.landcover_qml])
def test_qml_has_one_coloured_category_per_class(make: Callable[[Sequence[MapClass]], str]) -> None:
    root = ElementTree.fromstring(make(CLASSES))
    renderer = root.find("renderer-v2")
    assert root.tag == "qgis"
    assert renderer.get("type") == "categorizedSymbol"
    assert renderer.get("attr") == "class_name"
    categories = list(renderer.iter("category"))
    symbols = {each.get("name"): each for each in renderer.iter("symbol")}
    assert [each.get("value") for each in categories] == [each.name for each in CLASSES]
    for category, expected in zip(categories, CLASSES, strict=True):
        options = {
            each.get("name"): each.get("value") for each in symbols[category.get("symbol")].iter("Option")
        }
        assert tuple(map(int, options["color"].split(",")))[:3] == rgb(expected.colour)


def test_parcels_are_see_through_with_outline_and_land_cover_flat() -> None:
    parcels, landcover = style.parcels_qml(CLASSES), style.landcover_qml(CLASSES)
    assert f',{style.PARCEL_FILL_ALPHA}"' in parcels
    assert 'name="outline_style" value="solid"' in parcels
    assert 'name="outline_style" value="no"' in landcover


def test_sld_filters_by_class_name() -> None:
    text = style.sld("landcover", of_kind(CLASSES, "stuff"), fill_opacity=1, outline=False)
    literals = [
        each.text for each in ElementTree.fromstring(text).iter("{http://www.opengis.net/ogc}Literal")
    ]
    assert literals == [each.name for each in CLASSES[1:]]


@pytest.mark.parametrize("colour", ["red", "#12", "123456", "#gggggg"])
def test_other_colours_are_refused(colour: str) -> None:
    with pytest.raises(ValueError, match=r"rrggbb|invalid literal"):
        rgb(colour)
