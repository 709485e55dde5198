"""Words of messages."""

import json

import pytest

from geopanoptic.labels.taxonomy import LabelClass
from geopanoptic.models.manifest import FixedNormalisation
from geopanoptic.wording import counted, did_you_mean, fault, nearest


def test_one_is_singular():
    assert [counted(n, "land-cover area") for n in (0, 1, 2000)] == [
        "0 land-cover areas",
        "1 land-cover area",
        "2,000 land-cover areas",
    ]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("ndiv", "ndvi"), ("index", "indices"), ("simplify", "simplify_m"), ("max_clouds", "max_cloud"), ("foo", None)],
)  # fmt: skip
def test_what_a_misspelt_name_stands_for(word, meant):
    assert nearest(word, ["wide", "ndwi", "ndvi", "indices", "simplify_m", "max_cloud"]) == meant


def test_where_no_name_is_near_the_other_remedy_is_given():
    assert did_you_mean("gren", ["green", "red"], "There are green, red.") == "Did you mean 'green'?"
    assert did_you_mean("", ["green", "red"], "There are green, red.") == "There are green, red."


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: LabelClass.model_validate({"id": 1}), "name: Field required"),
        (lambda: FixedNormalisation(kind="fixed", low=(2.0,), high=(1.0,)), "(whole): low and high need one value a band each, the smaller in low"),
        (lambda: json.loads("{"), "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (lambda: {}["images"], "KeyError 'images'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_in_one_line(read, words):
    with pytest.raises((ValueError, KeyError)) as failure:
        read()
    assert fault(failure.value) == words
