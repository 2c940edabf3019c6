"""The figures of the Predictions page show what the records hold, and can be read on both grounds."""

import numpy as np
import pytest
from drawing import brings_its_own_look, contrast

from app.figures import predictions as figures
from cfcore.comparison import Answers, Bin, Comparison

BINS = [Bin(0.0, 0.5, 8, 4), Bin(0.9, 1.0, 10, 1)]


@pytest.fixture
def comparison() -> Comparison:
    """3 cats, of which float gets all right; now one is a dog. 1 dog, now right."""
    sure = np.full(4, 0.5, np.float32)
    before, after = np.array([3, 3, 3, 3]), np.array([3, 3, 5, 5])
    return Comparison(np.array([3, 3, 3, 5]), Answers(before, sure), Answers(after, sure))


def test_each_class_has_both_accuracies_on_one_line(comparison: Comparison) -> None:
    *lines, floats, own = figures.classes(comparison).data
    assert list(floats.y) == list(own.y) == ["cat", "dog"]
    assert list(floats.x) == [100, 0]
    assert list(own.x) == [pytest.approx(100 * 2 / 3), 100]
    assert [list(line.x) for line in lines] == [[100, pytest.approx(100 * 2 / 3)], [0, 100]]
    assert (floats.marker.symbol, own.marker.symbol) == ("circle-open", "circle")  # told apart without colour


def test_the_confusion_is_written_and_coloured_by_its_sign(comparison: Comparison) -> None:
    cells, text = figures.confusion(comparison).data
    names = list(cells.x)
    cat, dog = names.index("cat"), names.index("dog")
    assert cells.text[cat][dog] == "+1"
    assert cells.text[cat][cat] == "−1"
    assert (cells.z[cat][dog], cells.z[cat][cat], cells.z[0][0]) == (1, -1, 0)
    written = {(y, x): said for y, x, said in zip(text.y, text.x, text.text, strict=True)}
    assert written[("dog", "cat")] == "−1"
    assert written[("dog", "dog")] == "+1"
    assert list(written.values()).count("0") == 96


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_in_cells_stand_out_on_every_shade(dark: bool) -> None:
    for shade in np.linspace(-1, 1, 201):
        ground = figures.cell(float(shade), dark)
        assert contrast(ground, figures.legible(ground)) >= 4.5


def test_losses_are_shares_of_each_bin() -> None:
    (bars,) = figures.lost(BINS).data
    assert list(bars.x) == ["below 50", "90 to 100"]
    assert list(bars.y) == [50, 10]
    assert [list(row) for row in bars.customdata] == [[4, 8], [1, 10]]


def test_a_picture_is_asked_of_float_alone_or_of_both() -> None:
    sure = [0.9, 0.1, *[0.0] * 8]
    (floats,) = figures.probabilities(sure, None).data
    assert list(floats.x) == [90, 10, *[0] * 8]
    *lines, _, own = figures.probabilities(sure, sure[::-1]).data
    assert len(lines) == 10
    assert list(own.x)[-1] == 90


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_brings_its_own_look(comparison: Comparison, dark: bool) -> None:
    brings_its_own_look(
        lambda: (
            figures.classes(comparison, dark),
            figures.confusion(comparison, dark),
            figures.lost(BINS, dark),
            figures.probabilities([0.1] * 10, [0.1] * 10, dark),
        ),
        dark,
    )
