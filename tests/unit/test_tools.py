"""The checkers find what they are for, and nothing in a clean file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


layers, budget = _tool("check_layers"), _tool("check_budget")


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text", "line", "part"),
    [
        ("portkernel/ir/a.py", "import numpy\nfrom ..lang import dot\n", 2, "ir (layer 1) imports lang (layer 2)"),
        ("portkernel/ir/a.py", "from portkernel.targets import find\n", 1, "of the same layer"),
        ("portkernel/ir/a.py", "def f():\n    import portkernel.runtime.cache\n", 2, "runtime"),
        ("portkernel/ir/a.py", "from .. import lang\n", 1, "imports lang"),
        ("portkernel/ir/a.py", "import portkernel\n", 1, "imports the package portkernel itself"),
        ("portkernel/backends/c/a.py", "from ...runtime import launch\n", 1, "imports runtime"),
        ("portkernel/backends/c/a.py", "import pyopencl.array\n", 1, "imports pyopencl"),
        ("portkernel/ops/a.py", "m = __import__('torch')\n", 1, "imports torch"),
        ("kernels/a.py", "import portkernel as pk\nfrom portkernel.coverage import run\n", 2, "imports coverage"),
        ("portkernel/nowhere.py", "x = 1\n", 1, "has no layer"),
        ("portkernel/passes/a.py", "x = 1\nif target.vendor == 'nvidia':\n    pass\n", 2, "compares with 'nvidia'"),
        ("portkernel/passes/a.py", "ok = b in ('cuda', 'x')\n", 1, "compares with 'cuda'"),
        ("portkernel/passes/a.py", "match b:\n    case 'opencl':\n        pass\n", 2, "compares with 'opencl'"),
        ("portkernel/passes/a.py", "ok = b.startswith('triton')\n", 1, "compares with 'triton'"),
    ],
)
def test_layers_finds(tmp_path: Path, name: str, text: str, line: int, part: str) -> None:
    (found,) = layers.check(_write(tmp_path, {name: text}))
    assert (found.file, found.line) == (name, line)
    assert part in found.what
    assert str(found).startswith(f"{name}:{line}: ")


def test_layers_accepts(tmp_path: Path) -> None:
    files = {
        "portkernel/__init__.py": "from .runtime import kernel\n",
        "portkernel/dtypes.py": "from .errors import DTypeError\n",
        "portkernel/ir/a.py": "from ..dtypes import DType\nfrom .types import Tile\nfrom . import core\n",
        "portkernel/backends/c/a.py": "from ..base import Source\nok = name == 'cuda'\n",
        "portkernel/runtime/a.py": "import pyopencl\nfrom ..backends import find\n",
        "kernels/a.py": "import portkernel as pk\nROUTES = ('cuda', 'opencl')\n",
    }
    assert layers.check(_write(tmp_path, files)) == []


def test_layers_are_clean_here() -> None:
    assert [str(f) for f in layers.check(ROOT)] == []


def _function(lines: int, head: str = "def f():") -> str:
    return head + "\n" + "    x = 1\n" * (lines - 1)


def test_budget_finds_long_functions_and_files() -> None:
    assert list(budget.check_source("a.py", _function(60))) == []
    assert list(budget.check_source("a.py", "\n" + _function(61))) == ["a.py:2: f() has 61 lines, at most 60"]
    (found,) = budget.check_source("a.py", "x = 1\n" * 501)
    assert found.startswith("a.py:1: 501 lines")


def test_budget_leaves_tables_and_docstrings_alone() -> None:
    assert list(budget.check_source("a.py", "T = {\n" + "    1: 2,\n" * 600 + "}\n")) == []
    assert list(budget.check_source("a.py", 'T = """\n' + "x\n" * 600 + '"""\n')) == []
    assert list(budget.check_source("a.py", "# budget: table\n" + "x = 1\n" * 600)) == []
    assert list(budget.check_source("a.py", _function(80, "def f():  # budget: table"))) == []
    nested = "def f():\n    def g():\n" + "        x = 1\n" * 70 + "    x = 1\n"
    assert list(budget.check_source("a.py", nested)) == ["a.py:2: g() has 71 lines, at most 60"]
    docstring = 'def f():\n    """One.\n\n' + "    more\n" * 40 + '    """\n' + "    x = 1\n" * 50
    assert list(budget.check_source("a.py", docstring)) == []


def test_budget_is_kept_here() -> None:
    assert budget.check(ROOT) == []
