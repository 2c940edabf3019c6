"""What the worker process keeps between tasks: networks, and their answers to the test images, a thousand at a time.

So a task that made way, or was stopped, goes on where it was, and two pages that ask the same network ask it once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.services.worker_process import Report
from cfcore import manifest
from cfcore.checkpoint import Checkpoint
from cfcore.comparison import Answers
from cfcore.config import Configuration
from cfcore.images import CALIBRATION_IMAGES, Images

PART = 1_000  # images
QUANTIZING = f"quantizing, with {CALIBRATION_IMAGES} training images"


class Kept:
    """The few results that were wanted last."""

    def __init__(self, most: int) -> None:
        self.most, self.values = most, OrderedDict[Any, Any]()

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.values:
            self.values[key] = make()
        self.values.move_to_end(key)
        while len(self.values) > self.most:
            self.values.popitem(last=False)
        return self.values[key]


NETWORKS = Kept(4)  # some MB each
ANSWERS = Kept(200)  # 12 kB each: of 20 networks


def network(configuration: Configuration, folder: Path, report: Report) -> Checkpoint:
    """The network of a configuration, quantized now where it is not one that ships."""

    def obtain() -> Checkpoint:
        if configuration.source == "trained":  # at once: the kernels that quantizing takes need a second to load
            return manifest.load(manifest.shipped(configuration, folder), folder)
        from cfcore import evaluate

        return evaluate.obtain(configuration, folder, lambda share: report(share, QUANTIZING))

    return NETWORKS.get((configuration, folder), obtain)


def parts(images: Images) -> list[Images]:
    """The images, a thousand at a time; the last are as many as there are."""
    starts = range(0, len(images), PART)
    return [Images(images.pixels[start : start + PART], images.labels[start : start + PART]) for start in starts]


def answers(
    configuration: Configuration,
    folder: Path,
    engine: str,
    part: int,
    images: Images,
    report: Report,
    step: str,
    span: tuple[float, float] = (0.0, 1.0),
) -> Answers:
    """What a network answers to these images, which are the part of this number.

    span  the shares of the step that are done before and after
    """
    from cfcore.evaluate import evaluate

    def progress(share: float) -> None:
        report(span[0] + share * (span[1] - span[0]), step)

    def ask() -> Answers:
        return evaluate(network(configuration, folder, report), images, engine, progress).answers

    return ANSWERS.get((configuration, folder, engine, part), ask)
