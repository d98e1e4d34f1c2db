"""What an earlier process compiled is launched without lowering, and only while all that its text came from is as it was."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from launches import add, copy_of

import portkernel as pk
from portkernel.errors import DeviceAssertionError
from portkernel.runtime import fingerprint, kept
from portkernel.runtime.ahead import AHEAD
from portkernel.runtime.cache import DiskCache
from portkernel.runtime.fingerprint import Reader, Unknown
from portkernel.runtime.kept import Kept, keep, recall

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL")

HELPER = "SCALE = 2.0\n\n\ndef scaled(x):\n    return x * SCALE\n"
KERNEL = """\
import helper
from dataclasses import dataclass

import portkernel as pk

ADDED = 1.0


@dataclass(frozen=True)
class Way:
    bias: float = 0.5

    def apply(self, x):
        return x + self.bias


def shifted(x):
    return x + ADDED


@pk.kernel
def chain(x, out, WAY: pk.constexpr[Way] = Way(), B: pk.constexpr[int] = pk.auto(4, 64)):
    i = pk.program_id(0)
    pk.store(out, (i,), WAY.apply(shifted(helper.scaled(pk.load(x, (i,), (B,))))))
"""
PROGRAM = """\
import json
import numpy as np
import portkernel as pk
import kernels_of_mine as mine
x = np.arange({size}, dtype=np.{dtype})
out = np.zeros_like(x)
mine.chain[lambda meta: (pk.cdiv(x.size, meta["B"]),)](x, out{more})
found = pk.stats()
print(json.dumps([float(out[3]), found.lowerings > 0, found.compilations, found.disk_hits]))
"""


class Folder:
    """Modules with a kernel, and processes that launch it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.write("helper.py", HELPER)
        self.write("kernels_of_mine.py", KERNEL)

    def write(self, name: str, text: str) -> None:
        (self.place / name).write_text(text)

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.place / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def run(self, size: int = 100, dtype: str = "float32", more: str = "", **variables: str) -> list[Any]:
        """out[3], whether anything was lowered, compilations and disk hits of a new process."""
        (self.place / "run.py").write_text(PROGRAM.format(size=size, dtype=dtype, more=more))
        settings = {"PORTKERNEL_CACHE_DIR": str(self.place / "cache"), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        env = {**os.environ, "PORTKERNEL_BACKEND": "opencl", **settings}
        done = subprocess.run([sys.executable, "run.py"], cwd=self.place, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_second_process_lowers_nothing(folder: Folder) -> None:
    assert folder.run() == [7.5, True, 1, 0]
    assert folder.run() == [7.5, False, 0, 1]
    assert folder.run(size=101) == [7.5, False, 0, 1]  # of the same class
    assert folder.run(dtype="float64") == [7.5, True, 1, 0]  # another signature


def test_a_change_is_lowered_anew(folder: Folder) -> None:
    assert folder.run() == [7.5, True, 1, 0]
    folder.change("helper.py", "x * SCALE", "x + SCALE")
    assert folder.run() == [6.5, True, 1, 0]
    folder.change("helper.py", "x + SCALE", "x * SCALE")
    assert folder.run() == [7.5, False, 0, 1]


def test_what_is_to_be_seen_or_replaced_is_lowered(folder: Folder) -> None:
    assert folder.run() == [7.5, True, 1, 0]
    assert folder.run(PORTKERNEL_DUMP=str(folder.place / "dump"))[1]
    assert list((folder.place / "dump" / "chain").iterdir())
    (folder.place / "override").mkdir()
    assert folder.run(PORTKERNEL_OVERRIDE=str(folder.place / "override"))[1]


def test_a_damaged_or_lost_entry_is_lowered_anew(folder: Folder) -> None:
    folder.run()
    cache = DiskCache(folder.place / "cache" / "kernels")
    store_keys = cache.keys()
    kinds = {key: json.loads((cache.folder / f"{key}.json").read_text())["facts"].get("kind") for key in store_keys}
    launch = next(key for key, kind in kinds.items() if kind == "launch")
    binary = recall(cache, launch)
    assert binary is not None
    (cache.folder / f"{launch}.bin").write_bytes(b"{}")
    assert folder.run() == [7.5, True, 0, 1]  # the binary is still there
    assert folder.run() == [7.5, False, 0, 1]
    (cache.folder / f"{binary.binary}.bin").unlink()
    assert folder.run() == [7.5, True, 1, 0]
    assert folder.run() == [7.5, False, 0, 1]


def test_what_is_kept_survives_the_disk(tmp_path: Path) -> None:
    site = pk.loc.Loc("a.py", 9, 1, 9, 4, "outer")
    place = pk.loc.Loc("b.py", 3, 1, 3, 4, "inner", site)
    made = Kept("0" * 64, {"B": 8}, ("x", "out"), ("out",), "chain", 32, 100, 64, (("message", place),))
    store = DiskCache(tmp_path / "kernels")
    keep(store, "1" * 64, made)
    assert recall(store, "1" * 64) == made
    assert recall(store, "2" * 64) is None
    assert store.verify() == []


# --- in one process -----------------------------------------------------------------------------------------


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's files as they are, also where one is edited while the tests run."""
    for name in ("environment", "examine"):
        monkeypatch.setattr(kept, name, lambda: "as it is")


ASSERTING = """
def checked(v):
    pk.device_assert(v < 50, "below 50")


@pk.kernel
def copy(x, out, B: pk.constexpr[int] = 16):
    checked(pk.load(x, (0,), (B,)))
    pk.store(out, (0,), pk.load(x, (0,), (B,)))
"""


def test_assertions_of_a_kept_kernel_name_their_place(steady: None, tmp_path: Path) -> None:
    x, places = np.full(16, 99, np.float32), []
    with pk.config.override(cache_dir=tmp_path, backend="opencl"):
        for lowerings in (1, 0):
            pk.reset_stats()
            with pytest.raises(DeviceAssertionError, match="below 50") as caught:
                pk.kernel_from_source(ASSERTING)[(1,)](x, np.empty_like(x))
            assert pk.stats().lowerings == lowerings
            places.append(caught.value.loc)
    assert places[0] == places[1] and places[0].line == 3
    assert places[0].call_site is not None and places[0].call_site.line == 8


@pytest.mark.parametrize("options", [{"B": 8}, {"B": 8.5}, {"num_warps": 2}, {"device": "pocl/gpu"}], ids=str)
def test_other_constants_and_options_are_other_entries(steady: None, tmp_path: Path, options: dict[str, Any]) -> None:
    text = "def fill(out, B: pk.constexpr = 16):\n    pk.store(out, (0,), pk.full((16,), B, out.dtype))"
    out = np.zeros(16, np.float32)
    with pk.config.override(cache_dir=tmp_path, backend="opencl"):
        pk.kernel_from_source(text)[(1,)](out)
        pk.reset_stats()
        pk.kernel_from_source(text)[(1,)](out, **options)
        assert pk.stats().lowerings == 1 and out[0] == options.get("B", 16)
        pk.kernel_from_source(text)[(1,)](out, **options)
        assert pk.stats().lowerings == 1 and out[0] == options.get("B", 16)


def test_a_global_assigned_after_a_kept_launch_is_seen(steady: None, tmp_path: Path) -> None:
    text = "@pk.kernel\ndef add(x, out, B: pk.constexpr[int] = 16):\n    pk.store(out, (0,), pk.load(x, (0,), (B,)) + ADDED)"
    x, out = np.ones(16, np.float32), np.zeros(16, np.float32)

    def fresh() -> pk.Kernel:
        return pk.kernel_from_source(text, "add", {"ADDED": 1.0})

    with pk.config.override(cache_dir=tmp_path, backend="opencl"):
        fresh()[(1,)](x, out)
        pk.reset_stats()
        again = fresh()
        again[(1,)](x, out)
        assert pk.stats().lowerings == 0 and out[0] == 2
        again.fn.__globals__["ADDED"] = 5.0
        again[(1,)](x, out)
        assert out[0] == 6 and pk.stats().lowerings == 1


CHANGES = [
    ("mine", "x + self.bias", "x - self.bias"), ("mine", "bias: float = 0.5", "bias: float = 0.25"), ("mine", "ADDED = 1.0", "ADDED = 2.0"),
    ("mine", "return x + ADDED", "return x - ADDED"), ("mine", "ADDED = 1.0", "ADDED = helper.SCALE"), ("mine", "ADDED = 1.0", "ADDED = 1"),
    ("mine", "i = pk.program_id(0)", "i = pk.program_id(1)"), ("mine", "import helper", "\nimport helper"),
    ("helper", "SCALE = 2.0", "SCALE = 3.0"), ("helper", "x * SCALE", "x + SCALE"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "old", "new"), CHANGES)
def test_every_change_of_text_or_values_is_another_key(
    steady: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, old: str, new: str
) -> None:
    texts = {"helper": HELPER, "mine": KERNEL}
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def key() -> str:
        made = {}
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text)
            found = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            assert found is not None and found.loader is not None
            made[name] = importlib.util.module_from_spec(found)
            monkeypatch.setitem(sys.modules, name, made[name])
            found.loader.exec_module(made[name])
        found_key = kept.key_for(made["mine"].chain.fn, {"x": pk.TensorSpec((3,), "float32").type})
        assert found_key is not None
        return found_key[0]

    before = key()
    assert key() == before
    texts[module] = texts[module].replace(old, new)
    assert key() != before
    texts[module] = texts[module].replace(new, old)
    assert key() == before


def told(fn: Callable[..., Any]) -> str:
    return Reader().tell(fn)


def make(value: Any) -> Callable[..., Any]:
    def inner(x: Any) -> Any:
        return x + value

    return inner


def test_values_are_told_apart() -> None:
    different = [
        1, 1.0, True, "1", b"1", None, 0.0, -0.0, (1,), [1], {1: 2}, {2, 1}, np.float32(1), np.int32(1), np.dtype("int8"),
        pk.float32, pk.auto(1, 2), pk.auto(1, 4), make(1), make(2), make(1.0), partial(make, 1), partial(make, 2), pk.exp, pk.log, max, np.sin,
    ]  # fmt: skip
    texts = [Reader().tell(value) for value in different]
    assert len(set(texts)) == len(texts)
    assert told(make(1)) == told(make(1))
    assert Reader().tell(frozenset("abc")) == Reader().tell(frozenset("cba"))


def reads_environment(x: Any) -> Any:
    return x + int(os.environ.get("N", "0"))


def imports(x: Any) -> Any:
    import math

    return x + math.pi


def reaches(x: Any) -> Any:
    return getattr(SOMETHING, "name")(x)  # noqa: B009


def draws(x: Any) -> Any:
    return x + np.random.rand()


class Stateful:
    count = 0

    def __call__(self, x: Any) -> Any:
        self.count += 1
        return x + self.count


SOMETHING = SimpleNamespace(name=abs)
STATE = Stateful()
MODULE = ModuleType("of_mine")
MODULE.__dict__.update(SCALE=2.0, OTHER=object(), inner=ModuleType("inner"))
ADDED = np.frompyfunc(lambda x: x + 1, 1, 1)


def counts(x: Any) -> Any:
    return STATE(x)


def asks(x: Any) -> Any:
    return x + pk.stats().launches.get(("a", "b"), 0)


def whole() -> Any:
    return MODULE


def hands_on(x: Any) -> Any:
    return whole().SCALE * x


def goes_deeper(x: Any) -> Any:
    return MODULE.inner.SCALE * x


def calls_python(x: Any) -> Any:
    return ADDED(x)


UNKNOWN = [reads_environment, imports, reaches, draws, counts, asks, hands_on, goes_deeper, calls_python]


@pytest.mark.parametrize("fn", UNKNOWN, ids=lambda f: f.__name__)
def test_what_no_hash_can_stand_for_is_unknown(fn: Callable[..., Any]) -> None:
    with pytest.raises(Unknown):
        told(fn)


def test_what_holds_itself_and_what_answers_to_any_name(steady: None) -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, Hostile()):
        assert kept.key_for(make(value)) is None


def test_another_kernel_and_a_remembered_function_are_told_by_their_texts() -> None:
    assert told(make(pk.kernel(make(1)))) != told(make(pk.kernel(make(2))))
    assert told(make(functools.cache(make(1)))) != told(make(functools.cache(make(2))))


def test_a_file_of_ours_that_changed_since_the_process_began_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_STARTED", time.time() + 3600)
    assert fingerprint.examine() is not None
    monkeypatch.setattr(fingerprint, "_STARTED", 0.0)
    assert fingerprint.examine() is None
    monkeypatch.setattr(fingerprint, "_PACKAGE", Path("nowhere"))
    assert fingerprint.examine() is None


def test_a_package_that_changes_while_a_kernel_is_lowered_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept, "environment", lambda: "before")
    monkeypatch.setattr(kept, "examine", lambda: "after")
    x, out = np.ones(16, np.float32), np.zeros(16, np.float32)
    with pk.config.override(cache_dir=tmp_path, backend="opencl"):
        for _ in range(2):
            pk.reset_stats()
            copy_of(add)[(1,)](x, x, out)
            assert pk.stats().lowerings == 1


def test_the_package_counts_with_all_files_that_texts_come_from() -> None:
    files = {Path(entry.path).relative_to(fingerprint._PACKAGE).as_posix() for entry in fingerprint._files()}
    assert {"dtypes.py", "lang/reduce.py", "frontend/calls.py", "passes/autosize.py", "ir/ops.py", "loc.py"} <= files
    assert any(f.startswith("backends/c/prelude/") for f in files) and any(f.endswith(".toml") for f in files)
    assert "runtime/specialize.py" in files
    for part in fingerprint._own_modules() - {""}:  # what is told by its name alone
        assert any(f in (f"{part}.py", f"{part}/__init__.py") for f in files)
    assert not fingerprint._is_ours_by_name("portkernel.kernels.softmax")
    assert not fingerprint._is_ours_by_name("portkernel.ops.replay")
    assert fingerprint._is_ours_by_name("portkernel.lang.reduce") and fingerprint._is_ours_by_name("portkernel")


def uses(x: Any) -> Any:
    return x * MODULE.SCALE


def test_modules_are_read_for_what_a_function_may_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    before = told(uses)
    monkeypatch.setitem(MODULE.__dict__, "OTHER", 3)
    assert told(uses) == before
    monkeypatch.setitem(MODULE.__dict__, "SCALE", 3.0)
    assert told(uses) != before


def test_attributes_of_functions_are_told() -> None:
    first, second = make(1), make(1)
    second.__dict__["tile"] = 8
    assert told(first) != told(second)


def test_what_is_kept_is_not_begun(steady: None, tmp_path: Path) -> None:
    x, y, out = np.ones(16, np.float32), np.ones(16, np.float32), np.zeros(16, np.float32)
    with pk.config.override(cache_dir=tmp_path, backend="opencl"):
        copy_of(add)[(1,)](x, y, out)
        pk.reset_stats()
        again = copy_of(add)
        again.begin((x, y, out), {})
        assert not AHEAD._begun and pk.stats().lowerings == 0
        again[(1,)](x, y, out)
        assert (pk.stats().lowerings, pk.stats().compilations, pk.stats().disk_hits) == (0, 0, 1)
