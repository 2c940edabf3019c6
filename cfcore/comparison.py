"""Two networks' answers to the same images: what became wrong, what became right, and between which classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore.errors import DataError, bad_value
from cfcore.images import CLASSES

Numbers = NDArray[np.int64]

CHANGES = ("now wrong", "now right", "both wrong", "both right", "all")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says to N images.

    predictions  class numbers [N]
    confidences  the probability that it gives the class it names [N], 0 to 1
    """

    predictions: Numbers
    confidences: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.predictions)


@dataclass(frozen=True)
class Bin:
    """Answers of the first network that were right, with a confidence from `low` to below `high` (the last: to 1).

    right  how many
    lost   how many of those images the second network gets wrong
    """

    low: float
    high: float
    right: int
    lost: int

    @property
    def share(self) -> float:
        """Lost of right, 0 to 1"""
        return self.lost / self.right if self.right else 0.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answers of two networks, `before` and `after`, to the same images; labels are the true classes [N].

    Raises DataError where they are not of the same images.

    >>> def answers(*classes):
    ...     return Answers(np.array(classes), np.ones(len(classes), np.float32))
    >>> found = Comparison(np.array([3, 3, 5]), before=answers(3, 5, 5), after=answers(5, 5, 5))
    >>> found.count("now wrong"), found.count("now right"), found.count("both wrong"), found.count("both right")
    (1, 0, 1, 1)
    """

    labels: Numbers
    before: Answers
    after: Answers

    def __post_init__(self) -> None:
        sizes = {len(self.labels), len(self.before), len(self.after)}
        if len(sizes) > 1 or not len(self.labels):
            raise DataError(
                f"{len(self.before)} and {len(self.after)} answers to {len(self.labels)} images cannot be compared. "
                "Give both networks the same images."
            )

    def __len__(self) -> int:
        return len(self.labels)

    # ---- which images

    def which(self, change: str, label: int | None = None, named: int | None = None) -> Numbers:
        """Numbers of the images with this change, of this true class, that `after` takes for the class `named`."""
        was, now = self.before.predictions == self.labels, self.after.predictions == self.labels
        masks = dict(zip(CHANGES, (was & ~now, ~was & now, ~was & ~now, was & now, was | True), strict=True))
        if change not in masks:
            raise bad_value("change", change, "one of " + ", ".join(CHANGES), "Choose all.")
        mask = masks[change]
        if label is not None:
            mask = mask & (self.labels == label)
        if named is not None:
            mask = mask & (self.after.predictions == named)
        return np.flatnonzero(mask)

    def count(self, change: str) -> int:
        """How many images have this change."""
        return len(self.which(change))

    @property
    def points(self) -> float:
        """The difference of the accuracies in percentage points, `after` less `before`."""
        return 100 * (self.count("now right") - self.count("now wrong")) / len(self)

    @property
    def chance(self) -> float:
        """Points up to which two equally good networks differ in 95 of 100 such counts: 196·√(lost + won) / N.

        Only the images that one of them alone gets right tell them apart (McNemar, 1947).
        """
        return 196 * math.sqrt(self.count("now right") + self.count("now wrong")) / len(self)

    # ---- by class

    def confusion(self) -> Numbers:
        """Images of true class i that are taken for j, `after` less `before` [10, 10]. Each row adds up to 0."""
        return _confusion(self.labels, self.after.predictions) - _confusion(self.labels, self.before.predictions)

    def class_sizes(self) -> Numbers:
        """Images of each true class [10]"""
        return np.bincount(self.labels, minlength=len(CLASSES))

    def class_accuracies(self) -> NDArray[np.float64]:
        """Accuracy in % of each true class, before and after [2, 10]; nan for a class without an image."""
        right = [np.diag(_confusion(self.labels, answers.predictions)) for answers in (self.before, self.after)]
        sizes = np.where(self.class_sizes() == 0, np.nan, self.class_sizes())
        return 100 * np.array(right) / sizes

    # ---- by confidence

    def lost_by_confidence(self, edges: tuple[float, ...]) -> list[Bin]:
        """Which right answers of `before` became wrong, by how sure it was. `edges` ascend from 0 to 1."""
        was = self.before.predictions == self.labels
        lost = was & (self.after.predictions != self.labels)
        place = np.digitize(self.before.confidences, edges[1:-1])  # the number of the bin [N]
        return [
            Bin(low, high, int((was & (place == i)).sum()), int((lost & (place == i)).sum()))
            for i, (low, high) in enumerate(pairwise(edges))
        ]

    def to_dict(self) -> dict[str, Any]:
        """Counts of images; accuracies and confidences in %, difference and chance in percentage points."""
        counts = {change.replace(" ", "_"): self.count(change) for change in CHANGES[:-1]}
        before, after = self.class_accuracies().tolist()
        return {
            "images": len(self),
            "correct_before": counts["both_right"] + counts["now_wrong"],
            "correct_after": counts["both_right"] + counts["now_right"],
            **counts,
            "difference": self.points,
            "chance": self.chance,
            "mean_confidence_before": 100 * float(self.before.confidences.mean(dtype=np.float64)),
            "mean_confidence_after": 100 * float(self.after.confidences.mean(dtype=np.float64)),
            "classes": [
                {"class": name, "images": size, "accuracy_before": b, "accuracy_after": a}
                for name, size, b, a in zip(CLASSES, self.class_sizes().tolist(), before, after, strict=True)
                if size
            ],
            "confusion_difference": self.confusion().tolist(),
        }


def _confusion(labels: Numbers, predictions: Numbers) -> Numbers:
    """Images of true class i that are taken for j [10, 10]"""
    counts = np.bincount(labels * len(CLASSES) + predictions, minlength=len(CLASSES) ** 2)
    return counts.reshape(len(CLASSES), len(CLASSES))
