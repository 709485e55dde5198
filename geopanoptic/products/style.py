"""Colours for GIS programs: QGIS styles (QML) and OGC styles (SLD) made from a model's classes.

Written from the formats as QGIS 3.34 saves them; built as an XML tree, so a class may be called anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from geopanoptic.products.classes import MapClass, rgb

PARCEL_FILL_ALPHA = 90
"""Opacity of a parcel's fill, 0 to 255: the image below stays readable."""

CLASS_ATTRIBUTE = "class_name"
"""Column whose values are the names of the classes."""

_OUTLINE = "35,35,35,255"
_QGIS_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_SLD = "http://www.opengis.net/sld"
_OGC = "http://www.opengis.net/ogc"


def parcels_qml(classes: Sequence[MapClass]) -> str:
    """QGIS style of the parcels: fill in the class colour, half transparent, under a thin dark outline."""
    return categorised_qml(classes, fill_alpha=PARCEL_FILL_ALPHA, outline=True)


def landcover_qml(classes: Sequence[MapClass]) -> str:
    """QGIS style of the land cover: flat class colours without outline."""
    return categorised_qml(classes, fill_alpha=255, outline=False)


def sld(
    layer: str,
    classes: Sequence[MapClass],
    *,
    fill_opacity: float,
    outline: bool,
    attribute: str = CLASS_ATTRIBUTE,
) -> str:
    """OGC Styled Layer Descriptor 1.0 with one rule per class name, for servers that do not read QML."""
    root = ElementTree.Element(
        "StyledLayerDescriptor", {"xmlns": _SLD, "xmlns:ogc": _OGC, "version": "1.0.0"}
    )
    named = ElementTree.SubElement(root, "NamedLayer")
    ElementTree.SubElement(named, "Name").text = layer
    style = ElementTree.SubElement(ElementTree.SubElement(named, "UserStyle"), "FeatureTypeStyle")
    for each in classes:
        rule = ElementTree.SubElement(style, "Rule")
        ElementTree.SubElement(rule, "Name").text = each.name
        equal = ElementTree.SubElement(ElementTree.SubElement(rule, "ogc:Filter"), "ogc:PropertyIsEqualTo")
        ElementTree.SubElement(equal, "ogc:PropertyName").text = attribute
        ElementTree.SubElement(equal, "ogc:Literal").text = each.name
        symbol = ElementTree.SubElement(rule, "PolygonSymbolizer")
        fill = ElementTree.SubElement(symbol, "Fill")
        _css(fill, "fill", each.colour)
        _css(fill, "fill-opacity", f"{fill_opacity:.2f}")
        if outline:
            stroke = ElementTree.SubElement(symbol, "Stroke")
            _css(stroke, "stroke", "#232323")
            _css(stroke, "stroke-width", "0.5")
    return ElementTree.tostring(root, encoding="unicode")


def categorised_qml(
    classes: Sequence[MapClass], *, fill_alpha: int, outline: bool, attribute: str = CLASS_ATTRIBUTE
) -> str:
    """QGIS style with one fill per class whose name ``attribute`` holds; ``fill_alpha`` 0 to 255."""
    root = ElementTree.Element("qgis", version="3.34.0", styleCategories="Symbology")
    renderer = ElementTree.SubElement(
        root,
        "renderer-v2",
        {"type": "categorizedSymbol", "attr": attribute, "enableorderby": "0", "forceraster": "0"},
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for index, each in enumerate(classes):
        ElementTree.SubElement(
            categories,
            "category",
            {
                "value": each.name,
                "type": "string",
                "symbol": str(index),
                "label": each.name,
                "render": "true",
            },
        )
        symbols.append(_fill_symbol(str(index), each.colour, fill_alpha, outline))
    return _qgis_document(root)


def _fill_symbol(name: str, colour: str, alpha: int, outline: bool) -> ElementTree.Element:
    symbol = ElementTree.Element(
        "symbol", {"type": "fill", "name": name, "alpha": "1", "clip_to_extent": "1", "force_rhr": "0"}
    )
    layer = ElementTree.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    options = ElementTree.SubElement(layer, "Option", type="Map")
    red, green, blue = rgb(colour)
    for key, value in {
        "border_width_map_unit_scale": "3x:0,0,0,0,0,0",
        "color": f"{red},{green},{blue},{alpha}",
        "joinstyle": "miter",
        "offset": "0,0",
        "offset_map_unit_scale": "3x:0,0,0,0,0,0",
        "offset_unit": "MM",
        "outline_color": _OUTLINE,
        "outline_style": "solid" if outline else "no",
        "outline_width": "0.15",
        "outline_width_unit": "MM",
        "style": "solid",
    }.items():
        ElementTree.SubElement(options, "Option", type="QString", name=key, value=value)
    return symbol


def _css(parent: ElementTree.Element, name: str, value: str) -> None:
    ElementTree.SubElement(parent, "CssParameter", name=name).text = value


def _qgis_document(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return _QGIS_DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"
