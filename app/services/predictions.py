"""What the Predictions page shows of two networks' answers: pictures of test images, rows of numbers, and the code.

Runs in the server: no torch. The answers themselves come from the worker (`predictions_tasks`).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from PIL import Image

from app.services import networks, picture, snippets
from app.services.predictions_tasks import Classify, Compare, Compared
from app.services.tasks import quickest_engine
from cfcore.comparison import CHANGES, Bin, Comparison, Numbers
from cfcore.config import Configuration
from cfcore.images import CLASSES, Images, load_test_set

__all__ = [  # records of cfcore and of the worker, for those above
    "CHANGES",
    "CLASSES",
    "Bin",
    "Classify",
    "Compare",
    "Compared",
    "Comparison",
]

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the float network's confidence


@dataclass(frozen=True)
class Shown:
    """A test image and what both networks say to it. Classes by name, confidences in %."""

    image: int
    true: str
    before: str
    before_confidence: float
    after: str
    after_confidence: float

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def which(comparison: Comparison, change: str, true: str | None, named: str | None) -> list[int]:
    """Numbers of the images with this change, of this class, that are now taken for that one; None: any class."""
    label, taken = (None if name is None else CLASSES.index(name) for name in (true, named))
    return comparison.which(change, label, taken).tolist()


def shown(comparison: Comparison, numbers: Sequence[int]) -> list[Shown]:
    chosen = list(numbers)
    columns: list[list[Any]] = [chosen, _names(comparison.labels[chosen])]
    for answers in (comparison.before, comparison.after):
        columns += [_names(answers.predictions[chosen]), (100 * answers.confidences[chosen].astype(float)).tolist()]
    return [Shown(*row) for row in zip(*columns, strict=True)]


def _names(classes: Numbers) -> list[str]:
    return [CLASSES[c] for c in classes.tolist()]


def thumbnails(numbers: Sequence[int]) -> list[str]:
    """Test images of 32 × 32 pixels, for the `src` of an HTML image. Raises DataError where they are not there."""
    pixels = _test_set(networks.folder()).pixels
    return [data_uri(picture.png(Image.fromarray(pixels[i]))) for i in numbers]


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@st.cache_resource(max_entries=1, show_spinner=False)
def _test_set(folder: Path) -> Images:
    """The server's one copy, 31 MB."""
    return load_test_set(folder)


# ---- rows of numbers


def class_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Accuracy in % of each true class, before and after."""
    rows: list[dict[str, Any]] = comparison.to_dict()["classes"]
    return rows


def confusion_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Images of a true class taken for each class, after less before."""
    return [
        {"true": name, **dict(zip(CLASSES, row, strict=True))}
        for name, row in zip(CLASSES, comparison.confusion().tolist(), strict=True)
    ]


def commonest_mistake(comparison: Comparison) -> tuple[str, str, int]:
    """True class, class named, and images more than before, of the confusion that grew most."""
    pairs = [
        (number, true, named)
        for true, row in zip(CLASSES, comparison.confusion().tolist(), strict=True)
        for named, number in zip(CLASSES, row, strict=True)
        if true != named
    ]
    number, true, named = max(pairs)
    return true, named, number


def confidence_bins(comparison: Comparison) -> list[Bin]:
    """What became of float's right answers, by how sure it was; bins without an answer are left out."""
    return [found for found in comparison.lost_by_confidence(EDGES) if found.right]


def top(probabilities: Sequence[float], count: int) -> list[tuple[str, float]]:
    """The likeliest classes with their probability in %."""
    order = sorted(range(len(CLASSES)), key=lambda c: -probabilities[c])
    return [(CLASSES[c], 100 * probabilities[c]) for c in order[:count]]


def class_probabilities(labels: Sequence[str], answers: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """What each network gives each class, in %: one row a class."""
    columns = zip(*answers, strict=True)
    return [
        {"class": name, **{label: 100 * value for label, value in zip(labels, values, strict=True)}}
        for name, values in zip(CLASSES, columns, strict=True)
    ]


# ---- the code


def command(configuration: Configuration) -> str:
    """The command line that counts the page's numbers again."""
    return f"{snippets.command('compare', configuration)} --engine {quickest_engine(configuration)}"


def python(configuration: Configuration) -> str:
    """The same in Python."""
    return f"""\
from cfcore.comparison import Comparison
from cfcore.config import Configuration
from cfcore.images import load_test_set
from cfcore.evaluate import evaluate, obtain

configuration = {snippets.spelled(configuration)}
images = load_test_set()
before = evaluate(obtain(configuration.float_reference), images, "simulated")
after = evaluate(obtain(configuration), images, "{quickest_engine(configuration)}")
found = Comparison(images.labels, before.answers, after.answers)
for change in ("now wrong", "now right", "both wrong"):
    print(change, found.count(change))
for row in found.lost_by_confidence({EDGES}):
    print(row)"""


def python_picture(configuration: Configuration) -> str:
    """What a network says to the picture that it sees, saved as seen.png."""
    return f"""\
import numpy as np
from PIL import Image

from cfcore.config import Configuration
from cfcore.images import CLASSES
from cfcore.evaluate import classify, obtain

configuration = {snippets.spelled(configuration)}
pixels = np.asarray(Image.open("seen.png"))[np.newaxis]
(probabilities,) = classify(obtain(configuration), pixels, "{quickest_engine(configuration)}")
for c in np.argsort(-probabilities):
    print(f"{{CLASSES[c]}} {{100 * probabilities[c]:.1f}} %")"""
