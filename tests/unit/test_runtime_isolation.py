"""A compiler that dies or hangs takes a child process with it, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel import config, errors
from portkernel.runtime import ahead, isolate

pytest.importorskip("pyopencl")


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


def run_add() -> None:
    x = np.arange(100, dtype=np.float32)
    out = np.full(100, -7, np.float32)
    pk.kernel(add.fn)[(2,)](x, x, out, backend="opencl")
    np.testing.assert_array_equal(out, 2 * x)


@pytest.fixture
def compilers(monkeypatch):
    """Replaces what the child runs for a job of OpenCL."""

    def replace(code: str) -> None:
        start = (
            f"{isolate._START.rpartition(';')[0]}; import portkernel.runtime.worker as w, types, sys, os, time, signal\n"
            f"def compile_job(job):\n    {code}\n"
            "sys.modules['fake'] = types.SimpleNamespace(compile_job=compile_job)\n"
            "w.COMPILERS['opencl'] = 'fake'\nmain()"
        )
        monkeypatch.setattr(isolate, "_START", start)
        isolate._child.stop()
        isolate._child.worker = None

    yield replace
    isolate._child.stop()
    isolate._child.worker = None


@pytest.fixture(autouse=True)
def no_cache():
    with config.override(cache_dir=None):
        yield


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.abort()", "the opencl compiler was killed by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the opencl compiler was killed by SIGSEGV"),
        ("os._exit(3)", "the opencl compiler ended with status 3"),
        ("raise ValueError('odd')", "the opencl compiler could not be run: ValueError: odd"),
    ],
)
def test_a_crash_is_an_error_of_the_launch(compilers, code, message):
    compilers(f"sys.stderr.write('last words'); sys.stderr.flush(); {code}")
    with pytest.raises(errors.CompilerCrashError) as caught:
        run_add()
    assert message in caught.value.message
    assert caught.value.source
    if "odd" not in code:
        assert "last words" in caught.value.log


def test_a_hang_is_cut_off(compilers):
    compilers("time.sleep(100)")
    with (
        config.override(compile_timeout=1.0),
        pytest.raises(errors.CompilerCrashError, match=r"did not finish within 1 s"),
    ):
        run_add()


def test_the_time_that_a_child_takes_to_start_does_not_count(monkeypatch):
    monkeypatch.setattr(isolate, "_START", "import time; time.sleep(1.5); " + isolate._START)
    with isolate.Child("tests.unit.dying_child") as child:
        answer, _ = child.run({"ir": "", "no": "job"}, 0.7)
        assert "failed" in answer
    monkeypatch.setattr(isolate, "_START_SECONDS", 0.5)
    with (
        isolate.Child("tests.unit.dying_child") as child,
        pytest.raises(isolate.Crashed, match=r"did not start within 0\.5 s"),
    ):
        child.run({"ir": ""}, 60)


def test_the_next_compilation_starts_another_child(compilers, monkeypatch):
    with monkeypatch.context() as patch:
        start = isolate._START
        compilers("os.abort()")
        with pytest.raises(errors.CompilerCrashError):
            run_add()
        patch.setattr(isolate, "_START", start)
        run_add()


def test_what_a_compiler_prints_is_no_answer(compilers):
    compilers(
        "print('noise', flush=True); os.write(1, b'more'); raise __import__('portkernel').runtime.compilation.Refused('no')"
    )
    with pytest.raises(errors.CompilerError) as caught:
        run_add()
    assert type(caught.value) is errors.CompilerError and caught.value.log == "no"


def test_one_child_serves_all(no_cache):
    run_add()
    first = isolate._child.worker
    run_add()
    assert first is not None and isolate._child.worker is first


def test_isolation_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(isolate, "run", None)
    with config.override(isolate=False):
        run_add()


@pytest.mark.filterwarnings("error")
def test_what_a_compiler_says_is_kept_and_not_shown():
    from portkernel.runtime import opencl_build, platforms

    text = "__kernel void f(__global int *a) { a[0] = (char)a[1]; char c = 300; }"
    log = opencl_build.compile_job(opencl_build.job_for(text, platforms.all_devices()[0])).log
    assert "warning" in log


def test_a_real_crash_of_the_wheels_compiler():
    from portkernel.runtime import opencl_build, platforms

    device = platforms.all_devices()[0]
    if "PoCL" not in device.version or "3.0" not in device.driver_version:
        pytest.skip("only LLVM 14 in PoCL's wheel is known to die of it")
    text = "__kernel void f(__global float16 *a) { a[0] = fma(a[0], a[1], a[2]); }"
    job = {"compiler": "opencl", "text": text, "device": 0, "options": list(opencl_build.OPTIONS)}
    try:
        entry = isolate.run(job, 60.0)
    except isolate.Crashed as e:
        assert "killed" in e.what or "ended" in e.what
    else:
        assert entry.data


def test_a_launch_takes_what_was_begun(monkeypatch):
    kernel = pk.kernel(add.fn)
    x, out = np.arange(100, dtype=np.float32), np.full(100, -7, np.float32)
    with pk.use(backend="opencl"):
        for _ in range(2):  # the second is the first
            kernel.begin((x, x, out), {"B": 50})
        assert (out == -7).all()
        monkeypatch.setattr(isolate, "_child", None)  # whoever compiles now fails
        pk.reset_stats()
        kernel[(2,)](x, x, out, B=50)
        np.testing.assert_array_equal(out, 2 * x)
    assert pk.stats().compilations == 1 and pk.stats().lowerings == 0
    assert not ahead.AHEAD._begun


def test_what_went_wrong_ahead_is_an_error_of_the_launch(compilers):
    compilers("os.abort()")
    kernel = pk.kernel(add.fn)
    x, out = np.arange(100, dtype=np.float32), np.full(100, -7, np.float32)
    with pk.use(backend="opencl"):
        kernel.begin((x, x, out), {"B": 25})
        with pytest.raises(errors.CompilerCrashError, match="SIGABRT"):
            kernel[(4,)](x, x, out, B=25)
