"""Numbers in sentences."""

from geopanoptic.wording import counted


def test_one_is_singular():
    assert [counted(n, "land-cover area") for n in (0, 1, 2000)] == [
        "0 land-cover areas",
        "1 land-cover area",
        "2,000 land-cover areas",
    ]
