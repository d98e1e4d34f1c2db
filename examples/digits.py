"""A small convolutional network learns scikit-learn's digits, on PyTorch's kernels and on ours.

pip install "portkernel[examples]"
python examples/digits.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

import portkernel as pk
from portkernel.integrations.torch import dispatch

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Training images and labels, then those to test on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    return images[train], labels[train], images[test], labels[test]


def network() -> nn.Module:
    """Two convolutions, each with a normalisation; a pooling; one linear layer. Seeded."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def loss_of(model: nn.Module) -> Loss:
    return lambda images, labels: F.cross_entropy(model(images), labels)


def train(model: nn.Module, loss: Loss, epochs: int) -> float:
    """Stochastic gradient descent with momentum, batches of 128; returns the accuracy on the test images."""
    images, labels, unseen, truth = data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    order = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(128)[:11]:
            optimizer.zero_grad()
            loss(images[batch], labels[batch]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return float((model(unseen).argmax(1) == truth).float().mean())


def train_compiled(epochs: int, backend: str) -> float:
    """The loss and its gradients compiled, the optimizer PyTorch's."""
    model = network()
    with pk.use(backend=backend, strict=True):
        return train(model, torch.compile(loss_of(model), backend="portkernel", options={"strict": True}), epochs)


def train_eagerly(epochs: int, backend: str) -> float:
    """Everything on our operators, the optimizer too."""
    model = network()
    with pk.use(backend=backend, strict=True), dispatch(strict=True):
        return train(model, loss_of(model), epochs)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args(arguments)
    model = network()
    ways: list[tuple[str, Callable[[], float]]] = [
        ("PyTorch", lambda: train(model, loss_of(model), given.epochs)),
        ("compiled", lambda: train_compiled(given.epochs, given.backend)),
        ("eager", lambda: train_eagerly(given.epochs, given.backend)),
    ]
    for name, run in ways:
        start = time.perf_counter()
        accuracy = run()
        print(f"{name:10} {accuracy:.2%} correct, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
