"""``torch.ops.portkernel``: schemas, fake kernels and gradients, as PyTorch's own checks see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import portkernel as pk

torch = pytest.importorskip("torch")
library = pytest.importorskip("portkernel.integrations.torch").library


@pytest.fixture(autouse=True)
def on_the_reference() -> Iterator[None]:
    with pk.use(backend="numpy"):
        yield


def draw(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64)


SAMPLES: dict[str, tuple[Any, ...]] = {
    "matmul": (lambda: (draw(3, 4), draw(4, 5)), lambda: (draw(2, 3, 4), draw(4, 5)), lambda: (draw(4), draw(2, 4, 5))),
    "linear": (lambda: (draw(2, 3, 4), draw(5, 4), draw(5)), lambda: (draw(3, 4), draw(5, 4))),
    "softmax": (lambda: (draw(3, 5),), lambda: (draw(3, 5).t(), 0)),
    "relu": (lambda: (draw(3, 4),), lambda: (draw(3, 4).t(),)),
}
CASES = [(name, i) for name, given in SAMPLES.items() for i in range(len(given))]


def arguments(name: str, i: int) -> tuple[Any, ...]:
    torch.manual_seed(i)
    given = SAMPLES[name][i]()
    return tuple(a.requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in given)


@pytest.mark.parametrize(("name", "i"), CASES)
def test_opcheck(name: str, i: int) -> None:
    torch.library.opcheck(library.CUSTOM[name].op, arguments(name, i))


@pytest.mark.parametrize(("name", "i"), CASES)
def test_gradcheck(name: str, i: int) -> None:
    assert torch.autograd.gradcheck(library.CUSTOM[name].op, arguments(name, i))
