"""C expressions under construction: a text, how tightly it binds, and whether it still is its unsigned counterpart."""

from __future__ import annotations

from dataclasses import dataclass

ATOM, UNARY, MUL, ADD, SHIFT, RELATION, EQUALITY, AND, XOR, OR, CONDITION = range(15, 4, -1)
"""Precedences of C, tighter first; ``ATOM`` also stands for calls and subscripts."""

INFIX: dict[str, int] = {
    "*": MUL, "/": MUL, "%": MUL, "+": ADD, "-": ADD, "<<": SHIFT, ">>": SHIFT, "<": RELATION, "<=": RELATION,
    ">": RELATION, ">=": RELATION, "==": EQUALITY, "!=": EQUALITY, "&": AND, "^": XOR, "|": OR,
}  # fmt: skip
_MIXING = frozenset({SHIFT, AND, XOR, OR})


@dataclass(frozen=True, slots=True)
class Expr:
    """``wrap``: the text has the unsigned type of the value's width (at least 32 bits), and the value is its low bits.

    Sums and products of integers are formed in unsigned arithmetic, which wraps where signed overflow is undefined; the
    cast back stands once, around the whole chain.

    ``unrounded``: what this text rounds to a small float, for stores that round by themselves.
    """

    text: str
    prec: int = ATOM
    wrap: bool = False
    unrounded: Expr | None = None

    def at(self, prec: int) -> str:
        """The text, in parentheses unless it binds at least as tightly as ``prec``."""
        return self.text if self.prec >= prec else f"({self.text})"


def infix(op: str, x: Expr, y: Expr, *, wrap: bool = False) -> Expr:
    """``x op y`` with the parentheses that C needs, and those that compilers warn without."""
    prec = INFIX[op]
    low = UNARY if prec in _MIXING else prec
    left = x.text if x.prec == prec and op in "&|^" else x.at(low)
    return Expr(f"{left} {op} {y.at(low + 1 if low == prec else low)}", prec, wrap)


def prefix(op: str, x: Expr) -> Expr:
    text = x.at(UNARY)
    return Expr(op + (f"({text})" if text.startswith(op[-1]) and op[-1] in "-+&" else text), UNARY)


def call(name: str, *args: Expr | str) -> Expr:
    return Expr(f"{name}({', '.join(a if isinstance(a, str) else a.text for a in args)})")
