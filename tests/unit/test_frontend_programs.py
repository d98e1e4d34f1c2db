"""Random programs of nested control flow: the kernel computes what Python computes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from portkernel import dtypes as d
from portkernel import ir
from portkernel.backends.numpy import execute
from portkernel.frontend import KernelFn, kernel_from_source

NAMES = ("a", "b", "c", "t")


class Writer:
    """Writes a program over integers that terminates and never leaves int32."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.counters = 0

    def pick(self, *items: str) -> str:
        return self.random.choice(items)

    def value(self, depth: int = 0) -> str:
        r = self.random.random()
        if r < 0.35 or depth > 2:
            return self.pick("a", "b", "c", "t[0]", "t[1][0]", "n")
        if r < 0.5:
            return str(self.random.randint(-4, 9))
        if r < 0.6:
            return f"({self.value(depth + 1)} if {self.test(depth + 1)} else {self.value(depth + 1)})"
        if r < 0.7:
            return f"{self.pick('helper', 'local')}({self.value(depth + 1)}, {self.value(depth + 1)})"
        if r < 0.75:
            return f"{self.pick('min', 'max')}({self.value(depth + 1)}, {self.value(depth + 1)})"
        return f"({self.value(depth + 1)} {self.pick('+', '-', '*', '%', '//')} {self.pick('3', '7', '-5')})"

    def test(self, depth: int = 0) -> str:
        r = self.random.random()
        if r < 0.15:
            return self.pick("SIZE > 3", "SIZE < 3", "True")
        if r < 0.3:
            return f"{self.value(depth)} < {self.value(depth)} <= {self.value(depth)}"
        if r < 0.45:
            return f"({self.test(depth + 1)} {self.pick('and', 'or')} {self.test(depth + 1)})" if depth < 2 else "n > 1"
        if r < 0.55:
            return f"not ({self.test(depth + 1)})" if depth < 2 else "n < 1"
        return f"{self.value(depth)} {self.pick('<', '>', '==', '!=', '>=')} {self.value(depth)}"

    def block(self, indent: str, depth: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self.statement(indent, depth)

    def statement(self, indent: str, depth: int) -> None:
        r = self.random.random()
        if depth > 2 or r < 0.35:
            name = self.pick("a", "b", "c")
            self.lines.append(f"{indent}{name} = ({self.value()}) % 1000")
        elif r < 0.42:
            self.lines.append(f"{indent}a, b, c = {self.pick('b, a, c', 'c, a, b', 'a, a, b')}")
        elif r < 0.5:
            self.lines.append(
                f"{indent}t = {self.pick('(t[1][0], (t[0], t[1][1]))', '(a, (b, t[1][1]))', '(t[0], t[1])')}"
            )
        elif r < 0.55:
            self.lines.append(f"{indent}{self.pick('a', 'b')} {self.pick('+', '-')}= {self.random.randint(0, 5)}")
        elif r < 0.75:
            self.lines.append(f"{indent}if {self.test()}:")
            self.block(indent + "    ", depth + 1)
            if self.random.random() < 0.7:
                self.lines.append(f"{indent}else:")
                self.block(indent + "    ", depth + 1)
        elif r < 0.9:
            name = f"i{self.counters}"
            self.counters += 1
            bounds = self.pick("3", "n", "1, n", "n, -1, -2", "0, 6, 4")
            loop = f"pk.static_range({self.random.randint(0, 3)})" if self.random.random() < 0.3 else f"range({bounds})"
            self.lines.append(f"{indent}for {name} in {loop}:")
            self.block(indent + "    ", depth + 1)
            self.lines.append(f"{indent}    {self.pick('a', 'b')} += {name}")
        else:
            name = f"w{self.counters}"
            self.counters += 1
            self.lines.append(f"{indent}{name} = {self.random.randint(0, 3)}")
            self.lines.append(f"{indent}while {name} > 0 and {self.test()}:")
            self.block(indent + "    ", depth + 1)
            self.lines.append(f"{indent}    {name} -= 1")

    def program(self) -> str:
        self.lines = [
            "def helper(p, q):",
            "    if p > q:",
            "        return p - q",
            "    if q % 2 == 0:",
            "        r = q + 1",
            "        return r",
            "    return p",
            "def body(n):",
            "    def local(p, q=1):",
            "        return (p * 2 - q) % 100",
            "    a, b, c = 1, n, 0",
            "    t = (n, (2, 'tag'))",
        ]
        for _ in range(4):
            self.statement("    ", 0)
        self.lines += [
            "    return a, b, c, t[0], t[1][0]",
            "def kernel(n, out):",
            "    for place, value in enumerate(body(n)):",
            "        pk.store(out, place, pk.astype(value, pk.int64))",
        ]
        return "\n".join(self.lines) + "\n"


class Stand:
    """What ``pk`` is while plain Python runs the program."""

    static_range = range


@pytest.mark.parametrize("seed", range(120))
def test_program(seed: int) -> None:
    text = Writer(seed).program()
    kernel = kernel_from_source(text, "kernel", {"SIZE": 4})
    plain = kernel_from_source(text, "body", {"SIZE": 4, "pk": Stand})
    types = {"n": ir.Tile((), d.int32), "out": ir.Tensor(1, d.int64, (None,), (1,))}
    func = KernelFn(kernel).lower(types, {})
    ir.verify(func)
    for n in (0, 3, 5):
        out = np.full(5, -99, np.int64)
        execute(func, (1, 1, 1), {"n": np.int32(n), "out": out}, 1 << 20)
        assert tuple(out.tolist()) == plain(n), text
