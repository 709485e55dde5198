"""The set-up files agree with one another."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _constraints() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {
        _normal(name): version
        for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))
    }


def _conda() -> dict[str, str]:
    listed = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
    pinned = [entry for entry in listed if isinstance(entry, str) and "=" in entry]
    pairs = (entry.split("=") for entry in pinned if not entry.startswith("python="))
    return {_normal(CONDA_NAMES.get(name, name)): version for name, version in pairs}


def _requirements() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["train"], *extras["dev"]]
    return {_normal(re.split(r"[<>=\[ ]", each)[0]) for each in listed} - {"geopanoptic"}


def test_conda_environment_names_the_tested_versions():
    constraints = _constraints()
    for name, version in _conda().items():
        assert constraints[name] == version, name


def test_every_direct_dependency_is_pinned_in_both_files():
    assert _requirements() <= set(_constraints())
    assert _requirements() <= set(_conda())


def test_pins_name_no_place():
    assert not re.search(r"https?://|file:|@", (REPOSITORY / "constraints.txt").read_text())


@pytest.mark.parametrize("statement", ["import geopanoptic", "import geopanoptic.cli.main"])
def test_importing_the_package_imports_no_heavy_library(statement):
    code = f"import sys; {statement}; print(sorted({{'torch', 'rasterio', 'numba', 'pandas'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
