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
from launches import add, copy_of, run_add, scale

import portkernel as pk
from portkernel import config, errors

cl = pytest.importorskip("pyopencl")

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


def test_a_launch_tells_what_differs_from_the_one_before(fresh):
    x, outs = np.ones((1, 5), np.float32), np.zeros((2, 1, 5), np.float32)
    for factor, place in (
        (2.0, 0),
        (2.0, 1),
        (2.0, 0),
        (3.0, 0),
        (0.0, 0),
        (-0.0, 0),
        (0.0, 1),
        (np.nan, 1),
        (np.nan, 0),
    ):
        outs.fill(np.inf)
        scale[(1, 1)](x, factor, outs[place], backend="opencl")
        np.testing.assert_array_equal(outs[place], factor * x)
        assert np.isinf(outs[1 - place]).all()
        assert np.isnan(factor) or (np.signbit(outs[place]) == np.signbit(factor)).all()


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

    for value in (1, 0.0, -0.0, True, 2.5, np.float32(0), np.float32(-0.0), np.float32("nan"), np.float32("nan")):
        out = np.full(8, 9, np.float32)
        fill[(1,)](out, V=value, backend="numpy")
        np.testing.assert_array_equal(out, np.full(8, value, np.float32))
        assert (np.signbit(out) == np.signbit(np.float32(value))).all()
    assert pk.stats().lowerings == 8  # once for NaN


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
