"""Pieces of prelude, written once for every dialect, element type and vector width.

A piece is C text over these words: ``T`` the register type of the instance, ``U`` and ``S`` the unsigned and signed
integers of its width, ``W`` the unsigned type in which its products wrap, ``BITS`` its width; ``i8`` to ``f64`` fixed types;
``as_X`` reads an integer register as another signedness, ``bits_X`` a float register as an integer or back, ``to_X``
converts; ``FN`` and ``NAME`` stand for the function's qualifiers and its name, ``mad`` for the language's multiply-add,
``SPACE`` for an address space, ``LANES`` inside a word for the width. With more than one lane every type becomes a vector.
``pk_name`` refers to another piece of the same width, ``pk_name__T`` to its instance for the same element type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....dtypes import BY_NAME, DType, float32
from ....errors import InternalError
from ....ir.simt import Space, Vec
from .atomics import ATOMICS
from .elementary import ELEMENTARY
from .numeric import NUMERIC
from .small_floats import SMALL_FLOATS

if TYPE_CHECKING:
    from ..dialect import Dialect

PIECES: dict[str, str] = {**SMALL_FLOATS, **NUMERIC, **ELEMENTARY, **ATOMICS}
_ORDER = {name: i for i, name in enumerate(PIECES)}
SHORT: dict[str, DType] = {
    f"{d.kind}{d.bits}": d for d in BY_NAME.values() if d.is_integer or d.name in ("float32", "float64")
}
_WORD = re.compile(
    r"\"[^\"]*\"|\b(?:[iuf](?:8|16|32|64)|[TUSW]|BITS|FN|NAME|mad|SPACE|CAS|(?:bits|as|to)_\w+|pk_\w+|literal_\w+|\w+LANES\w*)\b"
)
_CALL = re.compile(r"\bpk_\w+(?=\()")
_SPLAT_LITERAL = re.compile(r"\((?:[uf]32|T|U)\)\((0x[0-9a-f]+u|\d+u|\d+\.\d+f|a|-?\d+|BITS|BITS - 1)\)")


@dataclass(frozen=True, slots=True)
class _Instance:
    """One use of a piece: for an element type (None if the piece names its own), a width and an address space."""

    piece: str
    dtype: DType | None
    lanes: int
    space: Space | None

    @property
    def name(self) -> str:
        parts = ["pk", self.piece.partition("/")[0]]
        if self.dtype is not None:
            parts.append(f"{self.dtype.kind}{self.dtype.bits}")
        if self.space is not None:
            parts.append(self.space)
        return "_".join(parts) + (f"_x{self.lanes}" if self.lanes > 1 else "")

    @property
    def order(self) -> tuple[int, str]:
        return _ORDER[self.piece], self.name


class Prelude:
    """Collects the pieces that a kernel uses; :meth:`text` defines them, each after those that it calls."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._used: dict[_Instance, str] = {}

    def use(self, piece: str, dtype: DType | None = None, lanes: int = 1, space: Space | None = None) -> str:
        """The name of the function for this instance, which from now on is part of the text.

        ``piece/i``, ``piece/u`` and ``piece/f`` are variants by kind. The small floats share the float32 instances.
        """
        if dtype is not None and dtype.is_float and dtype.bits < 32:
            dtype = float32
        instance = _Instance(self._variant(piece, dtype), dtype, lanes, space)
        if instance not in self._used:
            self._used[instance] = ""  # stops a piece that calls itself
            self._used[instance] = self._render(instance)
        return instance.name

    @staticmethod
    def _variant(piece: str, dtype: DType | None) -> str:
        if piece in PIECES:
            return piece
        kind = dtype.kind if dtype is not None else ""
        for candidate in (f"{piece}/{kind}", f"{piece}/iu" if kind in "iu" else ""):
            if candidate in PIECES:
                return candidate
        raise InternalError(f"the prelude has no {piece} for {dtype}")

    def text(self, body: str) -> str:
        """The pieces that ``body`` calls, and those that they call, in the order of the tables: callees first."""
        by_name = {instance.name: instance for instance in self._used}
        called: set[_Instance] = set()
        pending = [body]
        while pending:
            for name in _CALL.findall(pending.pop()):
                instance = by_name.get(name)  # None: a word in the text of a printed message
                if instance is not None and instance not in called:
                    called.add(instance)
                    pending.append(self._used[instance])
        return "\n".join(self._used[i] for i in sorted(called, key=lambda i: i.order))

    def _render(self, instance: _Instance) -> str:
        source = self._dialect.pieces.get(instance.piece, PIECES[instance.piece])
        if instance.lanes == 1:
            source = _SPLAT_LITERAL.sub(r"\1", source)  # a scalar literal needs no cast
        return _WORD.sub(lambda m: self._word(m.group(), instance), source).strip() + "\n"

    def _word(self, word: str, instance: _Instance) -> str:
        d, lanes, dtype = self._dialect, instance.lanes, instance.dtype
        fixed = {"FN": d.function, "NAME": instance.name, "mad": d.mad}
        if word.startswith('"'):
            return word
        if word in fixed:
            return fixed[word]
        if word == "SPACE":
            return d.spaces[instance.space or "global"].rstrip()
        if "LANES" in word:
            return word.replace("LANES", str(lanes) if lanes > 1 else "")
        if word == "BITS":
            return str(_needed(dtype).bits)
        if word == "CAS":
            return d.compare_and_swap[_needed(dtype).bits]
        if word.startswith("pk_"):
            name, generic, _ = word[3:].partition("__T")
            return self.use(name, dtype if generic else None, lanes)
        if word.startswith("literal_"):
            low = word == "literal_min"
            return d.literal(_needed(dtype).min if low else _needed(dtype).max, _needed(dtype)).text
        prefix, _, rest = word.rpartition("_")
        type = Vec(self._element(rest, dtype), lanes)
        if prefix == "bits":
            return d.bits_function(type)
        if prefix == "as":
            return d.reinterpret_function(type)
        if prefix == "to":
            return d.convert_function(type)
        return d.register_type(type)

    @staticmethod
    def _element(word: str, dtype: DType | None) -> DType:
        if word in SHORT:
            return SHORT[word]
        t = _needed(dtype)
        match word:
            case "T":
                return t
            case "U":
                return SHORT[f"u{t.bits}"]
            case "S":
                return SHORT[f"i{t.bits}"]
            case "W":
                return SHORT[f"u{max(t.bits, 32)}"]
            case _:
                raise InternalError(f"the prelude has no word {word}")


def _needed(dtype: DType | None) -> DType:
    if dtype is None:
        raise InternalError("a piece of prelude with T needs an element type")
    return dtype
