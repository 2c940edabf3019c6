"""Figures of the Explorer: the plane's frontier is unbeaten, and the layers' bytes add up to the network's."""

import itertools

import pytest

from app.figures.layers import REST, by_layer, layers, records, shares
from app.figures.plane import Place, covered, frontier, plane
from cfcore.config import Configuration
from cfcore.cost import Bytes, network_cost

PLACES = [
    Place("a", "xnor", 40, 80.0),
    Place("b", "xnor", 44, 79.0),
    Place("c", "binary-weight", 44, 89.0),
    Place("d", "float", 1000, 91.0, chosen=True),
    Place("e", "xnor", 40, 70.0),
]


def test_a_label_keeps_off_other_points() -> None:
    lit = Place("a network", "xnor", 30_000, 60.0, chosen=True)
    others = [Place("", "xnor", 800_000, 90.0), Place("", "xnor", 34_000, 58.5), Place("", "xnor", 29_000, 50.0)]
    places = [lit, *others]
    assert covered(lit, "right", 14, places) == 1  # the second of the others
    assert covered(lit, "left", 14, places) == 0
    assert covered(lit, "right", -14, places) == 0
    (label,) = plane(places).layout.annotations
    assert (label.text, label.xanchor, label.ay) == ("a network", "left", -14)


def test_a_label_keeps_off_the_frontier() -> None:
    lit = Place("a network", "xnor", 30_000, 60.0, chosen=True)
    below = Place("", "xnor", 29_000, 58.5)  # from it a dotted line runs below the label
    assert covered(lit, "right", 14, [lit, below, Place("", "xnor", 800_000, 90.0)]) == 0
    lower = Place("a network", "xnor", 30_000, 57.0, chosen=True)
    assert covered(lower, "right", -14, [lower, below, Place("", "xnor", 800_000, 90.0)]) == 1


def test_nothing_beats_the_frontier() -> None:
    edge = frontier(PLACES)
    assert [place.label for place in edge] == ["a", "c", "d"]
    for place, other in itertools.product(edge, PLACES):
        assert not (other.bytes <= place.bytes and other.accuracy > place.accuracy)
    assert frontier([]) == []


@pytest.mark.parametrize("dark", [False, True])
def test_every_network_is_on_the_plane_and_the_chosen_one_is_named(dark: bool) -> None:
    figure = plane(PLACES, dark)
    dots = [(x, y) for trace in figure.data if trace.mode != "lines" for x, y in zip(trace.x, trace.y, strict=True)]
    assert sorted(dots) == sorted((place.bytes, place.accuracy) for place in PLACES)
    assert [label.text for label in figure.layout.annotations] == ["d"]


def test_bits_are_written_under_their_networks_unless_the_chosen_one_says_them() -> None:
    groups = [("1 × 1", 40, 80.0), ("1 × 1", 44, 79.0), ("1-bit", 40, 89.0), ("4-bit", 140, 92.0), ("4 × 4", 140, 91.9)]
    places = [Place("a", "xnor", size, accuracy, family=family) for family, size, accuracy in groups]
    written = [(label.text, round(10**label.x), label.y) for label in plane(places).layout.annotations]
    assert sorted(written) == [("1 × 1", 42, 79.0), ("1-bit", 40, 89.0), ("4 × 4, 4-bit", 140, 91.9)]
    lit = [*places, Place("lit", "xnor", 140, 92.1, chosen=True, family="4 × 4")]
    assert sorted(label.text for label in plane(lit).layout.annotations) == ["1 × 1", "1-bit", "lit"]
    for accuracy, others in ((79.2, ["1-bit", "4 × 4, 4-bit"]), (60.0, ["1 × 1", "1-bit", "4 × 4, 4-bit"])):
        rounded = [*places, Place("of no family", "xnor", 42, accuracy, chosen=True)]
        written = sorted(label.text for label in plane(rounded).layout.annotations)
        assert written == sorted([*others, "of no family"])


def test_two_pinned_networks_are_named_apart_and_pale_ones_are_outlines() -> None:
    pinned = [
        Place("a", "xnor", 40, 80.0, chosen=True, name="A"),
        Place("b", "xnor", 44, 80.0, chosen=True, name="B"),
        Place("c", "binary-weight", 44, 89.0),
        Place("d", "float", 1000, 91.0, pale=True),
    ]
    dots = [trace for trace in plane(pinned).data if trace.mode != "lines"]
    (named,) = [trace for trace in dots if trace.mode == "markers+text"]
    assert list(named.text) == ["A", "B"]
    assert list(named.textposition) == ["top center", "bottom center"]
    below = [*pinned, *(Place("e", "xnor", 40 + i, 79.0) for i in range(5)), Place("f", "xnor", 40, 81.0)]
    (moved,) = [trace for trace in plane(below).data if trace.mode == "markers+text"]
    assert list(moved.textposition) == ["middle left", "middle right"]  # off the dots above and below
    assert list(named.customdata) == ["a", "b"]
    assert dots[-1] == named  # drawn last, so on top
    symbols = {trace.customdata[0]: trace.marker.symbol for trace in dots}
    assert symbols == {"a": "circle", "c": "square", "d": "diamond-open"}
    assert pinned[0].to_dict() == {"label": "a", "method": "xnor", "bytes": 40, "accuracy": 80.0, "chosen": True}


KINDS = [{}, {"method": "float"}, {"weight_bits": 3, "activation_bits": 2, "order": "sorted"}, {"model": "vgg_small"}]


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_the_layers_add_up_to_the_network(settings: dict[str, object]) -> None:
    cost = network_cost(Configuration.of(**settings))
    sizes = by_layer(cost)
    assert sum(sizes.values(), Bytes()) == cost.bytes
    assert sizes[REST].batch_norm == cost.bytes.batch_norm
    assert sum(shares(cost).values()) == pytest.approx(100)
    assert 0 < shares(cost)[REST] < 1
    added = {"convs.1": 2.0, "convs.2": 3.0}
    for known in ({}, added):
        figure = layers(cost, known)
        drawn = sum(sum(trace.y) for trace in figure.data if trace.name not in ("operations", "error"))
        assert drawn == cost.bytes.total
        assert [list(trace.y) for trace in figure.data if trace.name == "error"] == ([[2.0, 3.0]] if known else [])
        rows = records(cost, known)
        assert [row["total_bytes"] for row in rows] == [size.total for size in sizes.values()]
        assert rows[1]["sharing_adds_percent"] == known.get("convs.1")
