"""PoCL's wheel on a CPU other than those that its libraries of built-ins are compiled for.

PoCL asks LLVM for the host's name once. LLVM 14 answers ``generic`` for a CPU that it does not know, and then refuses
that name for x86-64: every build fails with "unknown target CPU 'generic'". For a CPU that it does know (``znver3``), it
inlines no built-in that was compiled for another one (``haswell``): even ``mad`` and ``vload8`` are calls. No setting of
PoCL's names another CPU, so :func:`repair` corrects the field of the device's record where PoCL keeps the name.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_RECORD_BYTES = 1024
"""How much of the device's record is searched; the name stands near byte 640 in PoCL 3.0."""
_NAMES = (
    ("skylake-avx512", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})),
    ("haswell", frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"})),
    ("penryn", frozenset({"sse4_1"})),
)
"""The CPUs that PoCL's own libraries of built-ins are compiled for. Under any other name LLVM does not inline them:
``mad`` becomes a call, and a dot product loses nine tenths of its speed."""
_SEVERAL = "DISTRO"
"""What the version of a PoCL says that brings libraries for several CPUs, instead of one for the CPU that built it."""
_given: dict[int, ctypes.Array[ctypes.c_char]] = {}
"""The names, by the device's record: PoCL keeps the pointer for the life of the process."""


def repair(device: Any) -> str | None:
    """Give ``device``, a pyopencl device of PoCL, the name of a CPU that its built-ins are compiled for.

    Returns the name given, or None where nothing was wrong (or nothing could be read). Repeating it does nothing.
    """
    record = int(device.int_ptr)
    if record in _given:
        return _given[record].value.decode()
    if platform.machine() not in ("x86_64", "AMD64") or not device.name.startswith(("pthread", "basic", "cpu")):
        return None
    if "PoCL" not in device.version and "pocl" not in device.version:
        return None
    place, named = _name_in(record, device.version)
    name = _cpu_name()
    if not named or name == named or (named != "generic" and _SEVERAL not in device.platform.version):
        return None
    kept = _given[record] = ctypes.create_string_buffer(name.encode())
    ctypes.c_void_p.from_address(place).value = ctypes.addressof(kept)
    return name


def build_options(device: Any) -> list[str]:
    """Options without effect that tell binaries for the name given to ``device`` from those for its own, in every cache."""
    kept = _given.get(int(device.int_ptr))
    return [f"-DPORTKERNEL_CPU={kept.value.decode()}"] if kept is not None else []


def _name_in(record: int, version: str) -> tuple[int, str]:
    """The address of the pointer to the CPU's name, which follows that to the target triple and ends ``version``, and the
    name; 0 and nothing where there is none. Names have hyphens of their own: ``icelake-server``."""
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY)
    except OSError:
        return 0, ""
    try:
        words = struct.unpack(f"<{_RECORD_BYTES // 8}Q", os.pread(memory, _RECORD_BYTES, record))
        for i in range(1, len(words)):
            if _text(memory, words[i - 1]).startswith(b"x86_64-"):
                name = _text(memory, words[i]).decode("ascii", "replace")
                if name and version.endswith(f"-{name}"):
                    return record + 8 * i, name
    except (OSError, struct.error):
        pass
    finally:
        os.close(memory)
    return 0, ""


def _text(memory: int, address: int) -> bytes:
    """The C string at ``address``, or nothing if the address is not readable. Reading through the file cannot fault."""
    if not 4096 <= address < 1 << 47:
        return b""
    try:
        return os.pread(memory, 64, address).split(b"\0")[0]
    except OSError:
        return b""


def _cpu_name() -> str:
    """The widest of PoCL's own CPUs that the host's flags cover."""
    flags: set[str] = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("flags"):
            flags = set(line.partition(":")[2].split())
            break
    return next((name for name, needed in _NAMES if needed <= flags), "x86-64")


# --- the workers ---------------------------------------------------------------------------------------------------


def threads() -> set[int]:
    """The threads of this process; none where the system does not say."""
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:
        return set()


def spread(started: set[int], devices: Sequence[Any]) -> None:
    """Give each worker of PoCL a CPU of its own: workers that are woken together share one for 10 to 30 ms else.

    ``started`` are the threads that began while ``devices`` were found. Nothing is done where POCL_AFFINITY is set, which is
    PoCL's own word for it (CPUs by their numbers, even those that the process may not use), and where there are not as
    many threads as the process has CPUs, for each device that has workers.
    """
    if "POCL_AFFINITY" in os.environ or not started:
        return
    cpus = sorted(os.sched_getaffinity(0))
    units = [device.max_compute_units for device in devices if has_workers(device)]
    if set(units) != {len(cpus)} or sum(units) != len(started):
        return
    for i, thread in enumerate(sorted(started)):
        with suppress(OSError):
            os.sched_setaffinity(thread, {cpus[i % len(cpus)]})


def has_workers(device: Any) -> bool:
    """Whether launches on ``device`` are divided among threads of PoCL."""
    return bool(device.name.startswith("pthread")) and "PoCL" in device.version


# --- the device that runs launches on the calling thread ---------------------------------------------------------

ALONE = "basic"
DEVICES = f"pthread {ALONE}"
"""For ``POCL_DEVICES``: the usual device, and the one that has no workers."""
_MAGIC = b"poclbin\0"
_MARK = slice(8, 16)
"""Where a binary of PoCL says which device it was made for. The rest of it is the same for all devices of one CPU."""


def is_alone(device: Any) -> bool:
    """Whether launches on ``device`` run on the thread that asks for them."""
    return bool(device.name.startswith(f"{ALONE}-")) and "PoCL" in device.version


def mark_of(cl: Any, context: Any) -> bytes:
    """What binaries for the device of ``context`` are marked with. Raises ValueError where they are of another kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyopencl warns that the source will not be cached
        made = cl.Program(context, "__kernel void nothing(void) {}").compile()
    return _checked(made.get_info(cl.program_info.BINARIES)[0])[_MARK]


def marked(binary: bytes, mark: bytes) -> bytes:
    """``binary`` for the device whose mark is given, which has the same CPU. Raises ValueError for another kind of binary."""
    found = bytearray(_checked(binary))
    found[_MARK] = mark
    return bytes(found)


def _checked(binary: bytes) -> bytes:
    if not binary.startswith(_MAGIC) or len(binary) < _MARK.stop:
        raise ValueError("not a binary of PoCL")
    return binary
