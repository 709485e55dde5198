"""What people write in YAML: nothing is forgotten or taken for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from geopanoptic.errors import UsageError
from geopanoptic.labels.taxonomy import load_taxonomy
from geopanoptic.strict import parse_yaml, read_yaml
from geopanoptic.training.config import read_config
from geopanoptic.training.export import network_of


@pytest.mark.parametrize("read", [read_config, network_of, load_taxonomy])
def test_a_key_that_is_there_twice_is_refused_with_file_and_line(tmp_path: Path, read) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("name: first\nnetwork: {encoder_depth: 4}\nname: second\n")
    with pytest.raises(UsageError, match=r"twice\.yaml is not YAML: line 3: the key 'name' is there twice\."):
        read(path)


def test_a_key_may_replace_that_of_a_merged_mapping() -> None:
    text = "base: &base {a: 1, b: 1}\nnext: &next {<<: *base, b: 2}\nlast: {<<: *next, b: 3}\n"
    assert parse_yaml(text)["last"] == {"a": 1, "b": 3}


@pytest.mark.parametrize("text", ["a: 2021-13-45\n", "\ta: 1\n", "a: !!python/name:os.getcwd\n", "a: [\n"])
def test_what_is_no_yaml_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"odd\.yaml is not YAML") as refusal:
        read_yaml(path, remedy="")
    assert "\n" not in refusal.value.message
