"""For tests of training: a small network, a set that it learns in seconds, and the two together."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfcore.config import Configuration, Recipe
from cfcore.images import Images
from cfcore.models import Network
from cfcore.train import Event, train

IMAGES = 40
EASY = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "precision": "fp32", "warmup": 0.1}


def coloured(count: int = IMAGES, seed: int = 0) -> Images:
    """Ten colours with a little noise: a set that anything can learn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    colours = np.random.default_rng(99).integers(40, 216, (10, 1, 1, 3))
    pixels = colours[labels] + rng.integers(-20, 21, (count, 32, 32, 3))
    return Images(pixels.astype(np.uint8), labels)


def network(seed: int = 0, **settings: Any) -> Network:
    torch.manual_seed(seed)
    return Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{**EASY, **settings})


def run(net: Network, folder: Path, teacher: Network | None = None, **settings: Any) -> list[Event]:
    return list(train(net, recipe(**settings), coloured(), coloured(20, 1), folder, teacher))


def until_first_epoch(events: Iterator[Event]) -> None:
    """Take events up to the end of an epoch, then cancel."""
    while next(events).accuracy is None:
        pass
    events.close()  # type: ignore[attr-defined]


def state(net: Network) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, values in a.items():
        assert torch.equal(values, b[name]), name


class Bomb:
    """A pickle that would run code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes() if file.is_file() else b""
    if how == "bomb":
        torch.save({"configuration": Bomb(file.with_name("ran"))}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps(Bomb(file.with_name("ran"))))
    elif how == "other":
        torch.save([1, 2], file)
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": b"noise" * 1000}[how])


SPOILT = ["empty", "cut", "noise", "other", "bomb", "pickle"]
