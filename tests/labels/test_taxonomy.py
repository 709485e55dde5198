"""Taxonomies: what ships is sound, what is wrong is told."""

import pytest
from pydantic import ValidationError

from geopanoptic.errors import UsageError
from geopanoptic.labels.taxonomy import (
    LabelClass,
    Taxonomy,
    list_taxonomies,
    load_mapping,
    load_taxonomy,
    taxonomy_of_names,
)


@pytest.mark.parametrize("name", list_taxonomies())
def test_every_shipped_taxonomy_loads_and_states_its_source(name):
    taxonomy = load_taxonomy(name)
    assert taxonomy.name == name
    assert taxonomy.title
    assert taxonomy.source
    assert all(each.colour for each in taxonomy.classes)


@pytest.mark.parametrize("source", list_taxonomies())
@pytest.mark.parametrize("target", list_taxonomies())
def test_every_mapping_names_existing_classes_and_says_something_of_each(source, target):
    mapping = load_mapping(load_taxonomy(source), load_taxonomy(target))
    assert set(mapping.names) == {each.name for each in load_taxonomy(source).classes}
    if source == target:
        assert all(old == new for old, new in mapping.names.items())


def test_worldcover_cropland_is_arable_or_not_told_in_corine():
    mapping = load_mapping(load_taxonomy("worldcover"), load_taxonomy("corine"))
    assert mapping["cropland"] == "agricultural areas"
    assert load_mapping(load_taxonomy("pastis"), load_taxonomy("worldcover"))["corn"] == "cropland"


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(UsageError, match="pastiss"):
        load_taxonomy("pastiss")
    with pytest.raises(UsageError) as told:
        load_taxonomy("pastis")["orchardd"]
    assert "'orchard'" in told.value.remedy


@pytest.mark.parametrize(
    "classes",
    [
        [LabelClass(id=1, name="a"), LabelClass(id=1, name="b")],
        [LabelClass(id=1, name="a"), LabelClass(id=2, name="a")],
        [LabelClass(id=1, name="a", parent="nobody")],
        [LabelClass(id=1, name="a", parent="b"), LabelClass(id=2, name="b", parent="a")],
    ],
)
def test_contradictions_are_refused(classes):
    with pytest.raises(ValidationError):
        Taxonomy(name="t", classes=tuple(classes))


def test_a_file_that_is_no_taxonomy_is_refused_with_the_key(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nclasses:\n  - {id: one, name: a}\n")
    with pytest.raises(UsageError, match=r"classes\.0\.id"):
        load_taxonomy(path)
    for classes in ("!!python/object/apply:os.system [ls]", "[" * 5000):
        path.write_text(f"name: mine\nclasses: {classes}\n")
        with pytest.raises(UsageError, match="YAML"):
            load_taxonomy(path)


def test_classes_of_names_are_numbered_from_one():
    assert [each.id for each in taxonomy_of_names(["a", "b"]).classes] == [1, 2]
