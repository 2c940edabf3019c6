"""The figure of answers that sharing changes, and the whole network that it is about."""

import numpy as np
import pytest

from app.figures.invariance import Changed, invariance
from cfcore.config import Configuration, GroupSize
from cfcore.evaluate import evaluate, obtain
from cfcore.images import load_test_set
from cfcore.manifest import entries

FLOATS = [e.configuration.model for e in entries() if e.configuration.method == "float"]


@pytest.mark.parametrize("dark", [False, True])
def test_a_label_is_a_line_over_the_group_sizes(dark: bool) -> None:
    one, two = invariance(
        [Changed("1 bit", 1, 0.0), Changed("1 bit", "layer", 0.0), Changed("2 bits", 16, 7.5)], dark
    ).data
    assert (one.name, list(one.x), list(one.y)) == ("1 bit", ["m = 1", "layer-wise"], [0.0, 0.0])
    assert (two.name, list(two.x), list(two.y)) == ("2 bits", ["m = 16"], [7.5])
    assert one.marker.color != two.marker.color
    assert one.marker.symbol != two.marker.symbol


def answers(model: str, bits: int, group_size: GroupSize) -> np.ndarray:
    configuration = Configuration.of(
        model=model, method="binary-weight", weight_bits=bits, group_size=group_size, source="post-training"
    )
    return evaluate(obtain(configuration), load_test_set().first(200)).predictions


@pytest.mark.parametrize("model", FLOATS)
def test_a_trained_network_answers_alike_at_every_group_size_of_one_bit(model: str) -> None:
    """Statistics taken anew: batch norm right after each convolution undoes α. Two bits move the levels themselves."""
    for bits in (1, 2):
        alone, together = (answers(model, bits, m) for m in (1, "layer"))
        assert (np.sum(alone != together) == 0) == (bits == 1)
