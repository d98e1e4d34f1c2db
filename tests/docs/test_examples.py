"""The Python in the manual and the README runs as it stands, and the reference pages are complete."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from portkernel import errors, lang
from portkernel.lang.functions import BINARY, UNARY
from portkernel.targets import read

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def _examples() -> list[tuple[str, int, str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            found.append((str(page.relative_to(ROOT)), text[: match.start()].count("\n") + 2, match[1]))
    return found


@pytest.mark.parametrize(("page", "line", "code"), [pytest.param(*e, id=f"{e[0]}:{e[1]}") for e in _examples()])
def test_example_runs(page: str, line: int, code: str, tmp_path: Path) -> None:
    """Each block is a file of its own, so that kernels in it have a source text."""
    file = tmp_path / "example.py"
    file.write_text("\n" * (line - 1) + code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORTKERNEL_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, f"{page}: line numbers are the page's own\n{done.stderr[-3000:]}"


def test_there_are_examples() -> None:
    assert len(_examples()) >= 10
    assert any(page == "README.md" for page, _, _ in _examples())


def _modules() -> list[str]:
    """Every module with a docstring that holds an example."""
    files = sorted((ROOT / "portkernel").glob("**/*.py"))
    found = (
        path.relative_to(ROOT).with_suffix("").parts for path in files if ">>> " in path.read_text(encoding="utf-8")
    )
    return [".".join(parts).removesuffix(".__init__") for parts in found]


@pytest.mark.parametrize("name", _modules())
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    done = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted and not done.failed


def test_every_error_class_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    classes = [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.PortkernelError) and cls.__module__ == errors.__name__
    ]
    assert len(classes) > 25
    families = {"PortkernelError", "KernelError", "LaunchError", "TargetError"}
    for cls in classes:
        if cls.__name__ in families:
            assert f"`{cls.__name__}`" in text
            continue
        _, heading, section = text.partition(f"### {cls.__name__}\n")
        assert heading, f"docs/errors.md has no section on {cls.__name__}"
        section = section.partition("\n#")[0]
        assert "Cure:" in section or "Please report" in section, f"{cls.__name__} has no cure"
    documented = re.findall(r"^### (\w+)$", text, re.M)
    assert set(documented) <= {cls.__name__ for cls in classes}
    for part in re.split(r"^## ", text, flags=re.M):
        said = re.search(r"^All are `(\w+)`", part, re.M)
        for name in re.findall(r"^### (\w+)$", part, re.M) if said else ():
            assert issubclass(getattr(errors, name), getattr(errors, said[1])), f"{name} stands among the {said[1]}s"


def test_operator_reference_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "write_operators.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    bounds = (ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")
    for fn in (*UNARY.values(), *BINARY.values()):
        if fn.ulp:
            name = {"pow": "power", "atan2": "arctan2"}.get(fn.name, fn.name)
            assert re.search(rf"\[`{name}`\].* \| {fn.ulp} \|", bounds), name
    page = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    for name in lang.OPERATORS:
        assert f"{{#{name}}}" in page


def test_library_reference_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "write_library.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    for name in ("matmul-matmul", "conv-conv2d", "pooling-max_pool", "reduce-sum", "sort-topk", "functions-gelu"):
        assert f"{{#{name}}}" in page


def test_ir_page_names_every_operation() -> None:
    from portkernel.ir import TILE_OPS, simt

    page = (ROOT / "docs" / "ir.md").read_text(encoding="utf-8")
    for op in (*TILE_OPS, *simt.SIMT_OPS):
        assert f"`{op.__name__}`" in page, op.__name__


def test_numbers_of_the_manual() -> None:
    """What a page counts, counted again."""
    text = " ".join((ROOT / "docs" / "targets.md").read_text(encoding="utf-8").split())
    ours = ("numpy", "opencl-cpu", "opencl-gpu")
    assert f"There are profiles of {len(set(read.names()) - set(ours))} chips and systems" in text
    assert f"{', '.join(f'`{name}`' for name in ours)}." in text


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("**/*.md")):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in text
