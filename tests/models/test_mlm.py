"""What a bundle says for catalogues of models, against the package that defines it."""

from __future__ import annotations

import json

import pytest

from geopanoptic.models.bundle import Bundle, list_bundles, load_bundle
from geopanoptic.models.mlm import ITEM_FILE, mlm_item
from geopanoptic.models.weights import sha256_of


@pytest.fixture(params=["image", "season"])
def bundle(
    request: pytest.FixtureRequest, tiny_bundle_without_fine_convolution: Bundle, tiny_series_bundle: Bundle
) -> Bundle:
    return tiny_series_bundle if request.param == "season" else tiny_bundle_without_fine_convolution


def test_a_bundle_is_written_with_its_item(bundle: Bundle) -> None:
    item = json.loads((bundle.path / ITEM_FILE).read_text())
    assert item == mlm_item(bundle.manifest)
    model = item["assets"]["model"]
    assert "mlm:model" in model["roles"]
    assert model["file:checksum"] == f"1220{sha256_of(bundle.path / model['href'])}"
    assert all((bundle.path / each["href"]).is_file() for each in item["assets"].values())


@pytest.mark.parametrize("name", list_bundles())
def test_the_bundled_models_have_theirs(name: str) -> None:
    bundled = load_bundle(name)
    assert json.loads((bundled.path / ITEM_FILE).read_text()) == mlm_item(bundled.manifest)


def test_the_item_is_what_catalogues_read(bundle: Bundle) -> None:
    pystac = pytest.importorskip("pystac", reason="pystac, which brings STAC's schema, is not installed")
    schema = pytest.importorskip(
        "stac_model.schema", reason="stac-model, MLM's own package, is not installed"
    )
    item = mlm_item(bundle.manifest)
    # The extensions' schemas lie in the network.
    assert pystac.Item.from_dict(item | {"stac_extensions": []}).validate()
    properties = schema.MLModelProperties.model_validate(
        {key: value for key, value in item["properties"].items() if key.startswith("mlm:")}
    )
    (image, *_) = properties.input
    assert list(image.bands) == list(bundle.bands)
    assert image.input.shape[image.input.dim_order.index("bands")] == len(bundle.bands)
