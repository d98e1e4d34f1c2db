"""What the package says of itself agrees with what is in the tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_extra_that_a_message_names_exists() -> None:
    extras = set(PROJECT["project"]["optional-dependencies"])
    named: dict[str, str] = {}
    files = [*ROOT.glob("portkernel/**/*.py"), ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "Makefile"]
    for path in files:
        for found in re.findall(r"portkernel\[([a-z,]+)\]", path.read_text(encoding="utf-8")):
            named |= dict.fromkeys(found.split(","), path.name)
    assert {"cpu", "cuda", "triton", "lowp", "report"} <= set(named)
    assert not set(named) - extras, named


def test_numpy_is_the_only_requirement() -> None:
    assert [re.split(r"[<>=~]", d)[0] for d in PROJECT["project"]["dependencies"]] == ["numpy"]


def test_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert version("portkernel") == PROJECT["project"]["version"]


def test_data_files_are_packaged() -> None:
    """Every file below portkernel/ that is not Python is covered by package-data."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    covered = {
        path
        for package, globs in patterns.items()
        for g in globs
        for path in (ROOT / package.replace(".", "/")).glob(g)
    }
    data = {
        path
        for path in ROOT.glob("portkernel/**/*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert data - covered == set()
    assert ROOT / "portkernel" / "targets" / "profiles" / "nvidia-h100.toml" in covered


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_prints_the_targets() -> None:
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for target in ("run", "test", "check", "golden", "docs"):
        assert f"make {target} " in done.stdout


def test_every_changelog_fragment_is_collected() -> None:
    types = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    fragments = [file for file in (ROOT / "changelog.d").glob("*.md") if file.name != "README.md"]
    assert fragments and not [f.name for f in fragments if f.name.split(".")[1] not in types]
