"""The set-up files agree with one another."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from geopanoptic.cli.run import run
from geopanoptic.errors import EXIT_CODES
from geopanoptic.products.layers import LANDCOVER, PARCELS

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


def _requirements(*extras: str) -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    listed = [*project["dependencies"], *(each for extra in extras for each in optional[extra])]
    return {_normal(re.split(r"[<>=\[ ]", each)[0]) for each in listed} - {"geopanoptic"}


def test_conda_environment_names_the_tested_versions():
    constraints = _constraints()
    for name, version in _conda().items():
        assert constraints[name] == version, name


def test_every_direct_dependency_is_pinned():
    assert _requirements("train", "dev", "cluster", "cpu") <= set(_constraints())
    assert _requirements("train", "dev") <= set(_conda())


def test_pins_name_no_place():
    assert not re.search(r"https?://|file:|@", (REPOSITORY / "constraints.txt").read_text())


@pytest.mark.parametrize("statement", ["import geopanoptic", "import geopanoptic.cli.main"])
def test_importing_the_package_imports_no_heavy_library(statement):
    code = f"import sys; {statement}; print(sorted({{'torch', 'rasterio', 'numba', 'pandas'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_readme_lists_every_exit_code():
    readme = (REPOSITORY / "README.md").read_text()
    assert all(f"| {code} | {meaning} |" in readme for code, meaning in EXIT_CODES.items())


def test_the_readme_names_every_column_and_option_it_should():
    readme = (REPOSITORY / "README.md").read_text()
    for column in {**PARCELS.columns, **LANDCOVER.columns}:
        assert f"`{column}`" in readme
    options = {option for parameter in run.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"\| `(--[a-z-]+)", readme)) <= options
