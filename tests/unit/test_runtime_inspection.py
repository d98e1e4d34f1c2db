"""Looking inside: text, IR and binaries of a kernel, its stages on disk, and stages put in their place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launches import add, copy_of, run_add, scale

import portkernel as pk
from portkernel import config, errors

pytest.importorskip("pyopencl")

# --- looking inside -----------------------------------------------------------------------------------------


def test_text_needs_no_device_and_is_reproducible():
    spec = pk.TensorSpec((1000,), "float32")
    for backend in ("opencl", "cuda"):
        text = add.source(spec, spec, spec, backend=backend)
        assert text == add.source(spec, spec, spec, backend=backend) and "add" in text
        assert text.source.backend == backend and text.source.entry
    assert "Load" in add.ir(spec, spec, spec) and "Store" in add.ir(spec, spec, np.zeros(3, np.float32))


def test_scalars_in_specs():
    spec = pk.TensorSpec(2, "float32")
    assert scale.ir(spec, 1.0, spec) == scale.ir(spec, pk.float32, spec) != scale.ir(spec, 1, spec)


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [
        (np.float32(2), pk.float32),
        (np.float64(2), pk.float64),
        (np.int8(2), pk.int8),
        (np.uint64(2), pk.uint64),
        (np.bool_(True), pk.bool_),
        (2.0, pk.float32),
        (2, pk.int32),
    ],
    ids=repr,
)
def test_a_scalar_is_a_scalar_everywhere(fresh, factor, dtype):
    """What a launch takes for a scalar of some dtype is one for ``.ir``, ``.source`` and ``.compile`` too."""
    kernel = copy_of(scale)
    x, out = np.ones((3, 8), np.float32), np.zeros((3, 8), np.float32)
    kernel[(3, 1)](x, factor, out, backend="numpy")
    assert (out == factor).all()
    ((types, *_),) = kernel.programs._compiled
    assert types[1] == pk.ir.Tile((), dtype)
    for backend in ("numpy", "opencl", "cuda", "triton"):
        assert kernel.source(x, factor, out, backend=backend).source.params[1].type == types[1]
    assert kernel.compile(x, factor, out, backend="opencl").data
    assert f"%factor: {dtype}" in kernel.ir(x, factor, out)


def test_binaries(fresh):
    spec = pk.TensorSpec((1000,), "float32")
    found = add.compile(spec, spec, spec, backend="opencl")
    assert found.kind == "opencl binary" and found.data
    pytest.importorskip("nvidia")
    for target, arch in (("nvidia-a100", "sm_80"), ("nvidia-h100", "sm_90")):
        ptx = add.compile(spec, spec, spec, backend="cuda", target=target)
        assert ptx.kind == "ptx" and f".target {arch}".encode() in ptx.data


def test_dumps_and_overrides(fresh, tmp_path, caplog):
    with config.override(dump_dir=tmp_path / "dump"):
        run_add(copy_of(add), backend="opencl")
    names = sorted(p.name for p in (tmp_path / "dump" / "add").iterdir())
    assert names[0] == "00-tile.ir" and names[-1].endswith("-emitted.cl") and len(names) >= 5
    text = (tmp_path / "dump" / "add" / names[-1]).read_text()
    changed = tmp_path / "override" / "add" / names[-1]
    changed.parent.mkdir(parents=True)
    other, count = re.subn(r"= (t\d+) \+ (t\d+);", r"= \1 - \2;", text)
    assert count
    changed.write_text(other)
    with config.override(override_dir=tmp_path / "override"):
        x, out = np.ones(64, np.float32), np.full(64, 9, np.float32)
        copy_of(add)[(1,)](x, x, out, backend="opencl")
    assert f"stage {names[-1]} is taken from" in caplog.text
    assert (out == 0).all()


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
@pytest.mark.parametrize("stage", ["00-tile.ir", "02-licm.ir"])
def test_an_override_of_a_stage_is_what_runs(fresh, tmp_path, backend, stage):
    with config.override(dump_dir=tmp_path / "dump"):
        run_add(copy_of(add), backend=backend)
    text = (tmp_path / "dump" / "add" / stage).read_text()
    place = tmp_path / "override" / "add" / stage
    place.parent.mkdir(parents=True)
    place.write_text(text.replace("fn='add'", "fn='sub'"))
    x, out = np.full(64, 5, np.float32), np.full(64, 9, np.float32)
    with config.override(override_dir=tmp_path / "override"):
        kernel = copy_of(add)
        kernel[(1,)](x, x / 5, out, backend=backend)
        assert "fn='sub'" in kernel.ir(x, x, out)
    assert (out == 4).all()
    kernel[(1,)](x, x / 5, out, backend=backend)
    assert (out == 6).all()


def test_an_override_that_is_wrong_is_refused_at_its_line(fresh, tmp_path):
    place = tmp_path / "add" / "00-tile.ir"
    place.parent.mkdir()
    x, out = np.ones(64, np.float32), np.full(64, -7, np.float32)
    with config.override(dump_dir=tmp_path):
        add.source(x, x, out, backend="opencl")
    text = place.read_text()
    place.write_text(text.replace("axis=0", "axis=%x", 1).replace("Store(", "Stow("))
    with config.override(override_dir=tmp_path), pytest.raises(errors.StageError, match="got 'Stow") as caught:
        copy_of(add)[(1,)](x, x, out, backend="numpy")
    assert (caught.value.loc.file, "Stow" in place.read_text().splitlines()[caught.value.loc.line - 1]) == (
        str(place),
        True,
    )
    assert (out == -7).all()


def test_an_override_of_no_stage_is_said(fresh, tmp_path, caplog):
    (tmp_path / "add").mkdir()
    for name in ("01-flod.ir", "05-emitted.cu"):  # a typing mistake, and the text of another backend
        (tmp_path / "add" / name).write_text("")
    with config.override(override_dir=tmp_path):
        run_add(copy_of(add), backend="numpy")
    assert "01-flod.ir is not used: the stages are 00-tile.ir, 01-fold.ir" in caplog.text
    assert "emitted.cu" not in caplog.text


def test_a_compilers_complaint_shows_both_lines(fresh, tmp_path):
    with config.override(dump_dir=tmp_path / "dump"):
        run_add(copy_of(add), backend="opencl")
    (emitted,) = (tmp_path / "dump" / "add").glob("*-emitted.cl")
    changed = tmp_path / "override" / "add" / emitted.name
    changed.parent.mkdir(parents=True)
    lines = emitted.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.lstrip().startswith("out["))
    lines[place] = "this is no C;"
    changed.write_text("\n".join(lines))
    with config.override(override_dir=tmp_path / "override"), pytest.raises(errors.CompilerError) as caught:
        run_add(copy_of(add), backend="opencl")
    assert type(caught.value) is errors.CompilerError
    assert f"emitted line {place + 1}: this is no C;" in caught.value.message
    assert caught.value.loc.file == add.fn.__code__.co_filename
    assert "pk.store(out, (i,)" in str(caught.value)
    assert caught.value.log and caught.value.source == changed.read_text()


def test_kernels_from_text():
    made = pk.kernel_from_source(
        "def twice(x, out, B: pk.constexpr[int] = 16):\n"
        "    i = pk.program_id(0)\n"
        "    pk.store(out, (i,), pk.load(x, (i,), (B,)) * FACTOR)\n",
        namespace={"FACTOR": 2},
    )
    x, out = np.arange(40, dtype=np.float32), np.zeros(40, np.float32)
    made[(3,)](x, out, backend="numpy")
    np.testing.assert_array_equal(out, 2 * x)
    with pytest.raises(errors.SourceUnavailableError, match="expected a function of the text, got 'nosuch'"):
        pk.kernel_from_source("x = 1", name="nosuch")
    wrong = pk.kernel_from_source("def f(x):\n    pk.store(x, (0,), nothing)\n")
    with pytest.raises(errors.UnknownNameError) as caught:
        wrong[(1,)](np.zeros(3, np.float32), backend="numpy")
    assert "pk.store(x, (0,), nothing)" in str(caught.value)


DEBUGGED = """
import numpy as np
import portkernel as pk

@pk.kernel
def double(x, out, B: pk.constexpr[int] = 2):
    i = pk.program_id(0)
    tile = pk.load(x, (i,), (B,)) * 2
    breakpoint()
    pk.store(out, (i,), tile)

x = np.arange(4, dtype=np.float32)
out = np.zeros_like(x)
double.eager[(2,)](x, out)
print("out", out)
"""


def test_eager_steps_under_the_debugger(tmp_path):
    """Each program stops at its own breakpoint, in the user's text, and shows numbers; a step is a line of it."""
    script = tmp_path / "debugged.py"
    script.write_text(DEBUGGED)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], input="p tile\nn\nc\np i, tile\nc\n", env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "-> pk.store(out, (i,), tile)" in done.stdout
    assert "[0., 2.]" in done.stdout and "[4., 6.]" in done.stdout
    assert "out [0. 2. 4. 6.]" in done.stdout


def test_eager_parameters_by_position_only():
    @pk.kernel
    def scale(x, out, /, factor, *, B: pk.constexpr[int] = 8):
        pk.store(out, (0,), pk.load(x, (0,), (B,)) * factor)

    x = np.arange(8, dtype=np.float32)
    out = np.full_like(x, -7)
    scale.eager[(1,)](x, out, 3.0)
    assert (out == 3 * x).all()


def test_eager_errors_have_the_line():
    @pk.kernel
    def wrong(x):
        pk.store(x, (0,), x + 1)

    with pytest.raises(pk.errors.DTypeError, match="got an array argument") as caught:
        wrong.eager[(1,)](np.zeros(8, np.float32))
    assert caught.value.loc.line == wrong.fn.__code__.co_firstlineno + 2 and caught.value.loc.function == "wrong"


def test_globals_assigned_since_are_compiled_anew():
    text = "def twice(t):\n    return t * FACTOR\n\n\n@pk.kernel\ndef f(x, out):\n    pk.store(out, (0,), twice(pk.load(x, (0,), (8,))))\n"
    kernel = pk.kernel_from_source(text, namespace={"FACTOR": 2.0})
    x = np.arange(8, dtype=np.float32)
    out = np.full_like(x, -7)
    seen = kernel.fn.__globals__
    kernel[(1,)](x, out, backend="numpy")
    assert (out == 2 * x).all()
    seen["FACTOR"] = 5.0
    kernel.ir(x, out)
    kernel[(1,)](x, out, backend="numpy")
    assert (out == 5 * x).all()
    seen["twice"] = pk.exp
    kernel[(1,)](x, out, backend="numpy")
    np.testing.assert_allclose(out, np.exp(x), rtol=1e-5)
    before = pk.stats().lowerings
    kernel[(1,)](x, out, backend="numpy")
    assert pk.stats().lowerings == before


def test_constants_that_every_configuration_names_need_no_default():
    @pk.kernel(configs=[pk.Config(B=64), pk.Config(B=32)])
    def double(x, out, B: pk.constexpr[int]):
        pk.store(out, (pk.program_id(0),), pk.load(x, (pk.program_id(0),), (B,)) * 2)

    x = np.arange(100, dtype=np.float32)
    for launch in (double, double.eager):
        out = np.full_like(x, -7)
        launch[lambda meta: (pk.cdiv(100, meta["B"]),)](x, out)
        assert (out == 2 * x).all()
    assert "float32[64]" in double.ir(x, x)


@pk.kernel
def mapped(x, out, FN: pk.constexpr[object], B: pk.constexpr[int] = 16):
    i = pk.program_id(0)
    pk.store(out, (i,), FN(pk.load(x, (i,), (B,))))


def test_a_function_made_anew_by_each_call_is_compiled_once(fresh):
    kernel = copy_of(mapped)
    x, out = np.arange(16, dtype=np.float32), np.zeros(16, np.float32)

    def times(n):
        return lambda t: t * n

    for _ in range(3):
        kernel[(1,)](x, out, FN=times(2.0), backend="numpy")
        np.testing.assert_array_equal(out, 2 * x)
    kernel[(1,)](x, out, FN=times(3.0), backend="numpy")  # another closure is another kernel
    np.testing.assert_array_equal(out, 3 * x)
    assert pk.stats().lowerings == 2


def test_text_is_that_of_the_first_configuration_that_fits():
    @pk.kernel(configs=[pk.Config(B=1 << 16), pk.Config(B=64)])
    def rows(x, out, B: pk.constexpr[int] = 16):
        tile = pk.load(x, (pk.program_id(0),), (B,))
        pk.store(out, (pk.program_id(0),), pk.cumsum(tile, axis=0))

    spec = pk.TensorSpec(1, "float32")
    text = rows.source(spec, spec, backend="opencl", target="opencl-gpu")
    assert text == rows.source(spec, spec, B=64, backend="opencl", target="opencl-gpu")
