"""A launch from end to end: plans, routes, compiled once, found on disk, dumped, overridden."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import portkernel as pk
from portkernel import config, errors

cl = pytest.importorskip("pyopencl")


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


@pk.kernel
def scale(x, factor, out, B: pk.constexpr[int] = pk.auto(16, 256)):
    """Scales rows of a matrix."""
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), (pk.load(x, (i, j), (1, B)) * factor).astype(out.dtype))


@pytest.fixture
def fresh(tmp_path: Path):
    """An empty cache, and counters at zero."""
    with config.override(cache_dir=tmp_path / "cache") as settings:
        pk.reset_stats()
        yield settings


def run_add(kernel=add, n=1000, **kwargs):
    x = np.arange(n, dtype=np.float32)
    out = np.full(n, -7, np.float32)
    kernel[lambda meta: pk.cdiv(n, meta["B"])](x, 2 * x, out, **kwargs)
    np.testing.assert_array_equal(out, 3 * x)


def copy_of(kernel):
    """The same kernel with nothing compiled yet."""
    return pk.kernel(kernel.fn)


# --- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"backend": "numpy"}, {"backend": "opencl"}, {"backend": "opencl", "device": "pocl/gpu"}], ids=str
)
def test_views(fresh, options):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((14, 100)).astype(np.float32)
    for x in (
        base,
        base[::-1],
        base[:, ::-1],
        base[::2, 3:90],
        base.T,
        np.broadcast_to(base[0], (5, 100)),
        base[:1],
        base[:, :1],
    ):
        whole = np.full((x.shape[0] * 2, x.shape[1] + 3), np.nan, np.float32)
        out = whole[::-2, 1:-2]
        scale[lambda meta, x=x: (x.shape[0], pk.cdiv(x.shape[1], meta["B"]))](x, 3.0, out, **options)
        np.testing.assert_array_equal(out, x * np.float32(3))
        assert np.isnan(whole).sum() == whole.size - out.size


def test_empty_arrays(fresh):
    for backend in ("numpy", "opencl"):
        x = np.zeros((0, 5), np.float32)
        scale[(1, 1)](x, 2.0, x.copy(), backend=backend)


def test_scalars_keep_their_dtype(fresh):
    x = np.ones((1, 5), np.float64)
    out = np.zeros((1, 5), np.float64)
    for backend in ("numpy", "opencl"):
        scale[(1, 1)](x, 0.1, out, backend=backend)
        assert (out == 0.1).all()  # not float32(0.1)
        scale[(1, 1)](x, np.float32(0.1), out, backend=backend)
        assert (out == np.float32(0.1)).all()
        scale[(1, 1)](x, 2**40, out, backend=backend)
        assert (out == 2.0**40).all()
        scale[(1, 1)](x, -3, out, backend=backend)
        assert (out == -3).all()
        scale[(1, 1)](x, True, out, backend=backend)
        assert (out == 1).all()


def test_arguments_by_keyword_and_position(fresh):
    x = np.arange(100, dtype=np.float32)
    for backend in ("numpy", "opencl"):
        for call in (
            lambda k, out: k(x, x, out, 32),
            lambda k, out: k(x, out=out, y=x, B=32),
            lambda k, out: k(B=32, out=out, y=x, x=x),
        ):
            out = np.zeros_like(x)
            call(partial(add[(4,)], backend=backend), out)
            np.testing.assert_array_equal(out, 2 * x)


def test_torch_tensors_in_and_out(fresh):
    torch = pytest.importorskip("torch")
    x = torch.arange(1000, dtype=torch.float32)
    out = torch.full((1000,), -7.0)
    for _ in range(2):
        add[(16,)](x, 2 * x, out)
    assert torch.equal(out, 3 * x)


def test_pyopencl_arrays_run_on_their_queue(fresh):
    cl_array = pytest.importorskip("pyopencl.array")
    from portkernel.runtime import driver

    device = driver.find("opencl").device(None, None).handle.device
    queue = cl.CommandQueue(cl.Context([device]))
    x = cl_array.to_device(queue, np.arange(1001, dtype=np.float32))
    out = cl_array.empty(queue, 1000, np.float32)
    for _ in range(2):
        add[(16,)](x[1:], x[:1000], out)
    np.testing.assert_array_equal(out.get(), np.arange(1000) * 2 + 1)
    with pytest.raises(errors.OverlapError, match="shared with x"):
        add[(16,)](x[1:], out, x[:1000])
    with pytest.raises(errors.DeviceMismatchError, match="numpy"):
        add[(16,)](x[1:], x[1:], out, backend="numpy")
    other = cl_array.to_device(cl.CommandQueue(queue.context), np.arange(1000, dtype=np.float32))
    with pytest.raises(errors.DeviceMismatchError, match="y: expected an array on opencl:"):
        add[(16,)](x[1:], other, out)


def test_eager(fresh):
    x = np.arange(100, dtype=np.float32)
    out = np.zeros_like(x)
    add.eager[(2,)](x, x, out)
    np.testing.assert_array_equal(out, 2 * x)
    matrix, scaled = np.ones((3, 70), np.float32), np.zeros((3, 70), np.float32)
    scale.eager[lambda meta: (3, pk.cdiv(70, meta["B"]))](matrix, 2.5, scaled)
    assert (scaled == 2.5).all()


# --- routes -------------------------------------------------------------------------------------------------


def test_host_arrays_run_on_opencl_and_use_redirects_them(fresh):
    run_add()
    with pk.use(backend="numpy"):
        run_add()
    run_add()
    with config.override(backend="numpy"):
        run_add(backend="opencl")
    assert pk.stats().launches == {("add", "opencl"): 3, ("add", "numpy"): 1}


def test_a_device_by_name(fresh):
    platforms = {p.name for p in cl.get_platforms()}
    if not any("Intel" in p for p in platforms):
        pytest.skip("Intel's runtime is not installed")
    run_add(device="intel")


# --- compiled once ------------------------------------------------------------------------------------------


def test_counts(fresh):
    kernel = copy_of(add)
    run_add(kernel)
    run_add(kernel)
    run_add(kernel, 777)  # the same classes: another plan, the same program
    found = pk.stats()
    assert (found.compilations, found.lowerings, found.disk_hits) == (1, 1, 0)
    assert found.launches == {("add", "opencl"): 3} and found.memory_hits == 2
    run_add(copy_of(add))
    assert pk.stats().compilations == 1 and pk.stats().disk_hits == 1


def test_constants_tell_programs_apart(fresh):
    @pk.kernel
    def fill(out, V: pk.constexpr = 1):
        pk.store(out, (0,), pk.full((8,), V, pk.float32))

    for value in (1, 0.0, -0.0, True, 2.5):
        out = np.full(8, 9, np.float32)
        fill[(1,)](out, V=value, backend="numpy")
        assert (out == np.float32(value)).all() and (np.signbit(out) == np.signbit(np.float32(value))).all()
    assert pk.stats().lowerings == 5


def test_threads_compile_once(fresh):
    kernel = copy_of(add)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for n in (1000, 999, 998):
                run_add(kernel, n)
        except BaseException as e:
            failures.append(e)

    def in_context() -> None:
        with config.override(cache_dir=fresh.cache_dir):
            work()

    threads = [threading.Thread(target=in_context) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert pk.stats().compilations <= 2  # aligned and unaligned arrays are two classes


SECOND = """
import sys; sys.path.insert(0, {here!r})
import portkernel as pk
from test_runtime_launch import run_add
run_add(backend="opencl")
print(pk.stats().compilations, pk.stats().disk_hits)
"""


def test_a_second_process_finds_the_kernel_on_disk(tmp_path):
    here = str(Path(__file__).parent)
    env = {**os.environ, "PORTKERNEL_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(here).parents[1])}
    said = [
        subprocess.run(
            [sys.executable, "-c", SECOND.format(here=here)], env=env, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["1", "0"], ["0", "1"]]


def test_a_damaged_entry_is_compiled_anew(fresh):
    run_add(copy_of(add))
    for place in (fresh.cache_dir / "kernels").glob("*.bin"):
        place.write_bytes(b"not a program")
    run_add(copy_of(add))
    assert pk.stats().compilations == 2


def test_without_a_cache(fresh):
    with config.override(cache_dir=None):
        run_add(copy_of(add))
        run_add(copy_of(add))
    assert pk.stats().compilations == 2 and pk.stats().disk_hits == 0


def test_automatic_sizes_are_chosen_once_per_class_of_shapes(fresh):
    kernel = copy_of(scale)
    seen: list[int] = []

    def grid(meta):
        seen.append(meta["B"])
        return 3, pk.cdiv(300, meta["B"])

    for n in (300, 301, 302, 300):
        x, out = np.ones((3, n), np.float32), np.zeros((3, n), np.float32)
        kernel[grid](x, 2.0, out, backend="numpy")
    assert len(set(seen)) == 1 and 16 <= seen[0] <= 256
    assert len(kernel.programs._sizes) == 1


def test_configurations(fresh):
    kernel = pk.kernel(configs=[pk.Config(B=16), pk.Config(B=32)], key=["x"])(add.fn)
    seen: list[object] = []

    def grid(meta):
        seen.append(meta["B"])
        return pk.cdiv(100, meta["B"])

    x, out = np.ones(100, np.float32), np.zeros(100, np.float32)
    kernel[grid](x, x, out, backend="numpy")
    kernel[grid](x, x, out, backend="numpy", B=8)
    assert seen == [16, 8] and (out == 2).all()


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
    assert "= t5 + t6;" in text
    changed.write_text(text.replace("= t5 + t6;", "= t5 - t6;"))
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
    assert caught.value.loc.file == __file__
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
