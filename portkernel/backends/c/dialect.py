"""What differs between the languages of the C family: names, qualifiers, spellings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from ...dtypes import BY_NAME, DType, Scalar, bool_, int32, uint8
from ...ir.simt import Pointer, Space, Vec
from ...targets import Target
from .expr import ATOM, UNARY, Expr, call, infix
from .rounding import nearest

if TYPE_CHECKING:
    from .prelude import Prelude


class Dialect(ABC):
    """A language of the C family, as class attributes. OpenCL C and CUDA C++ are the two that we have.

    A subclass sets the attributes and overrides the methods that its language really spells otherwise.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    header: ClassVar[str]
    """What every text begins with."""
    types: ClassVar[dict[str, str]]
    """The C type of each dtype that a register or memory holds: integers, float32, float64, bool."""
    kernel: ClassVar[str]
    """The kernel's qualifiers; ``{threads}`` is the size of a group."""
    function: ClassVar[str]
    spaces: ClassVar[dict[Space, str]]
    """The qualifier of a pointer to each address space, with a trailing blank if it is not empty."""
    restrict: ClassVar[str]
    group_id: ClassVar[str]
    num_groups: ClassVar[str]
    thread_id: ClassVar[str]
    barrier: ClassVar[str]
    axes: ClassVar[str] = "012"
    """What the language calls the axes of the grid."""
    array_of: ClassVar[dict[Space, str]]
    """The declaration of an array in a space, from ``{type}``, ``{name}`` and ``{size}``."""
    static_local: ClassVar[int | None] = None
    """Bytes of local memory that declarations may take; beyond, the launch asks for it. None: any number."""
    dynamic_local: ClassVar[str] = ""
    """The declaration of the local memory that the launch asks for, called ``pk_local``."""
    unroll: ClassVar[str | None]
    """A line before a loop; ``{n}`` is the factor or empty. None where the language has no such hint."""
    mad: ClassVar[str]
    infinity: ClassVar[dict[str, str]]
    nan: ClassVar[dict[str, str]]
    long_suffix: ClassVar[dict[str, str]]
    print_long: ClassVar[str]
    reinterpret: ClassVar[dict[str, str]]
    """``f32`` and its like → the function that reads a register of that width as the type."""
    compare_and_swap: ClassVar[dict[int, str]]
    """By width in bits: ``f(pointer, expected, value)`` gives the word before."""
    float_atomics: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    """``(fn, dtype)`` of float atomics that are a built-in; the others are loops of our own."""
    pieces: ClassVar[dict[str, str]] = {}
    """Pieces of prelude that this language has a better text for."""
    max_lanes: ClassVar[int] = 1
    pointer_offsets: ClassVar[bool] = False
    """Whether a buffer cannot start at any element, so that an offset follows each pointer."""

    half_vectors: ClassVar[bool] = False
    """Whether vectors of float16 are rounded and written by the prelude's ``pack_half``."""

    # --- types ---------------------------------------------------------------------------------------------------

    def scalar_type(self, dtype: DType) -> str:
        """The register type of one element: the floats below 32 bits live in float."""
        return self.types["float32" if dtype.is_float and dtype.bits < 32 else dtype.name]

    def register_type(self, type: Vec) -> str:
        if type.lanes == 1:
            return self.scalar_type(type.dtype)
        return f"{self.types['int32'] if type.dtype.is_bool else self.scalar_type(type.dtype)}{type.lanes}"

    def memory_type(self, dtype: DType) -> str:
        """What an array of ``dtype`` holds: the bits of the small floats, a byte for a bool."""
        if dtype.is_bool:
            return self.types["uint8"]
        if dtype.is_float and dtype.bits < 32:
            return self.types[f"uint{dtype.bits}"]
        return self.types[dtype.name]

    def array_type(self, type: Pointer) -> str:
        """What the array behind a pointer holds: memory of a thread's own keeps small floats as its registers do."""
        return self.scalar_type(type.dtype) if is_register_like(type) else self.memory_type(type.dtype)

    def pointer_type(self, type: Pointer) -> str:
        return f"{self.spaces[type.space]}{self.array_type(type)}*"

    # --- literals ------------------------------------------------------------------------------------------------

    def literal(self, value: Scalar, dtype: DType) -> Expr:
        """``value`` as a constant of ``dtype``'s register type, rounded to ``dtype``."""
        if dtype.is_bool:
            return Expr("true" if value else "false")
        if not dtype.is_float:
            return self._integer(int(value), dtype)
        exact = nearest(float(value), dtype)
        kind = "float64" if dtype.bits == 64 else "float32"
        if math.isnan(exact):
            return Expr(self.nan[kind])
        if math.isinf(exact):
            return Expr(("-" if exact < 0 else "") + self.infinity[kind], UNARY if exact < 0 else ATOM)
        text = _shortest(exact, kind)
        return Expr(text + ("f" if kind == "float32" else ""), UNARY if text.startswith("-") else ATOM)

    def _integer(self, value: int, dtype: DType) -> Expr:
        suffix = self.long_suffix[dtype.kind] if dtype.bits == 64 else "u" if dtype.name == "uint32" else ""
        if value < 0:
            if value == dtype.min and dtype.bits >= 32:
                return Expr(f"(-{-value - 1}{suffix} - 1)")
            return Expr(f"-{-value}{suffix}", UNARY)
        return Expr(f"{value}{suffix}")

    # --- conversions of registers, within what C itself has --------------------------------------------------------

    def cast(self, x: Expr, to: Vec) -> Expr:
        """C's own conversion of a register value: integer to integer, integer to float, float to float."""
        return Expr(f"({self.register_type(to)}){x.at(UNARY)}", UNARY)

    def unsigned(self, x: Expr, type: Vec) -> Expr:
        """An integer in the unsigned type in which its sums and products wrap."""
        return Expr(f"({self.types['uint64' if type.dtype.bits == 64 else 'uint32']}){x.at(UNARY)}", UNARY, wrap=True)

    def signed(self, x: Expr, type: Vec) -> Expr:
        """The value of a wrapped expression."""
        return Expr(f"({self.register_type(type)}){x.at(UNARY)}", UNARY)

    def saturate(self, prelude: Prelude, x: Expr, src: Vec, dst: Vec) -> Expr:
        """A float register as an integer: truncated and saturated, 0 for NaN."""
        wide = "f64" if src.dtype.bits == 64 else "f32"
        return call(prelude.use(f"from_{wide}", dst.dtype), x)

    # --- bools: 0 or 1 in one lane; with more lanes a mask of ones or zeros in int32 -----------------------------------

    def mask(self, x: Expr, of: Vec) -> Expr:
        """The bool register for a comparison of registers of type ``of``."""
        return x if of.lanes == 1 or self._width(of) == 32 else self.cast(x, Vec(int32, of.lanes))

    def widen_mask(self, x: Expr, to: Vec) -> Expr:
        """A mask as wide as the lanes that it selects."""
        return x if self._width(to) == 32 else self.cast(x, Vec(BY_NAME[f"int{self._width(to)}"], to.lanes))

    def unmask(self, x: Expr, type: Vec) -> Expr:
        """A bool register as 0 or 1 of int32."""
        return x if type.lanes == 1 else infix("&", x, Expr("1"))

    def truth(self, x: Expr, lanes: int) -> Expr:
        """Bytes from memory as a bool register: any but 0 is true."""
        zero = Expr("0") if lanes == 1 else Expr(f"({self.types['uint8']}{lanes})(0)", UNARY)
        return self.mask(infix("!=", x, zero), Vec(uint8, lanes))

    def byte(self, x: Expr, lanes: int) -> Expr:
        """A bool register as bytes of 0 or 1."""
        return x if lanes == 1 else self.cast(self.unmask(x, Vec(bool_, lanes)), Vec(uint8, lanes))

    @staticmethod
    def _width(type: Vec) -> int:
        """Bits of one lane of the register."""
        return 32 if type.dtype.is_bool or (type.dtype.is_float and type.dtype.bits < 32) else type.dtype.bits

    def bits(self, x: Expr, src: DType, dst: DType, lanes: int) -> Expr:
        """The bits of a 32- or 64-bit register as another type of that width."""
        if src.is_float == dst.is_float:
            return self.cast(x, Vec(dst, lanes))
        return Expr(f"{self.bits_function(Vec(dst, lanes))}({x.text})")

    # --- memory --------------------------------------------------------------------------------------------------

    def read(self, pointer: Pointer, base: str, index: Expr, lanes: int, aligned: bool) -> str:
        """The bits of ``lanes`` elements. Only called with one lane unless the dialect has vectors."""
        assert lanes == 1
        return f"{base}[{index.text}]"

    def write(self, pointer: Pointer, base: str, index: Expr, value: str, lanes: int, aligned: bool) -> str:
        assert lanes == 1
        return f"{base}[{index.text}] = {value};"

    def stream(self, pointer: Pointer, base: str, index: Expr, value: Expr, lanes: int, whether: Expr) -> str | None:
        """As :meth:`write`, past the caches where ``whether``; None where the language has no such thing."""
        return None

    def read_half(self, pointer: Pointer, base: str, index: Expr, lanes: int) -> str | None:
        """float16 elements as float registers, where the language has a built-in for it that reads at any address."""
        return None

    def write_half(self, pointer: Pointer, base: str, index: Expr, value: str, lanes: int) -> str | None:
        """Rounds float registers to float16 and writes them, where the language has a built-in for it."""
        return None

    def array(self, type: Pointer, name: str, size: int, offset: int | None) -> list[str]:
        """Declares ``size`` elements; at ``offset`` bytes of the launch's local memory unless that is None."""
        element = self.array_type(type)
        if offset is not None:
            return [f"{element}* const {name} = ({element}*)(pk_local + {offset});"]
        return [self.array_of[type.space].format(type=element, name=name, size=size)]

    def atomic_word(self, fn: str, dtype: DType) -> DType:
        """The type that the built-in takes for words of ``dtype``."""
        return dtype

    @abstractmethod
    def atomic(self, fn: str, dtype: DType) -> str:
        """The built-in for ``fn`` (or ``cas``) on words of an integer ``dtype``, or on a float of ``float_atomics``."""

    def enable(self, dtypes: Iterable[DType], text: str) -> str:
        """Lines that must stand before ``text``, which uses ``dtypes``."""
        return ""

    @abstractmethod
    def options(self, target: Target) -> tuple[tuple[str, object], ...]:
        """What the device compiler must be told; see :class:`~portkernel.backends.base.Source`."""

    # --- words of the prelude ------------------------------------------------------------------------------------

    def bits_function(self, type: Vec) -> str:
        return self.reinterpret[f"{type.dtype.kind}{type.dtype.bits}"]

    def reinterpret_function(self, type: Vec) -> str:
        return f"({self.register_type(type)})"

    def convert_function(self, type: Vec) -> str:
        return f"({self.register_type(type)})"


def is_register_like(type: Pointer) -> bool:
    """Whether elements are small floats that need no conversion on their way to a register and back."""
    return type.space == "private" and type.dtype.is_float and type.dtype.bits < 32


def _shortest(value: float, kind: str) -> str:
    """The shortest decimal that reads back as ``value``."""
    import numpy as np

    text = repr(value) if kind == "float64" else str(np.float32(value))
    mantissa, e, exponent = text.partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + (e + str(int(exponent)) if e else "")
