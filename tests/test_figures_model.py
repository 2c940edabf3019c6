"""The figures of the cost model show what the records hold."""

import pytest
from drawing import brings_its_own_look

from app.figures import model as figures
from app.figures.look import LIGHT
from app.figures.model import Curve, Level, Point
from cfcore.config import Configuration
from cfcore.cost import network_cost

CURVES = (
    Curve("1×1", (1, 2, 4), (1.0, 2.0, 3.0)),
    Curve("3×3", (1, 2, 4), (2.0, 4.0, 6.0), chosen=True),
    Curve("1×1, m = 16", (1, 2, 4), (2.5, 3.5, 4.5), other=True),
)
POINTS = (
    Point("measured: a layer", "measured", 2, 1.5),
    Point("published: a paper", "published", 4, 8.0),
    Point("candidate A", "candidate", 1, 9.0),
    Point("computed, as set above", "chosen", 2, 4.0),
)


def named(figure, name):
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return trace


def test_the_chosen_curve_is_heavy_and_its_point_is_marked() -> None:
    figure = figures.lines(CURVES, 2, ("m", "times less"), [Level("a limit", 7.0)])
    assert named(figure, "3×3").line.color == LIGHT.main
    assert named(figure, "3×3").line.width > named(figure, "1×1").line.width
    assert named(figure, "1×1, m = 16").line.dash == "dash"
    assert named(figure, "1×1, m = 16").line.color == named(figure, "1×1").line.color
    (dot,) = [trace for trace in figure.data if trace.mode == "markers+text"]
    assert (list(dot.x), list(dot.y), list(dot.text)) == ([2], [4.0], ["4.00×"])
    (level,) = [trace for trace in figure.data if trace.mode == "lines+text"]
    assert (list(level.x), list(level.y), level.text[0]) == ([1, 4], [7.0, 7.0], "a limit")
    assert figure.layout.yaxis.range[0] == 0
    assert list(figure.layout.xaxis.tickvals) == [1, 2, 4]


def test_curves_that_are_all_high_are_not_pressed_together() -> None:
    high = [Curve("a", (1, 2), (30.0, 31.0), chosen=True)]
    assert figures.lines(high, 1, ("m", "times less"), [Level("32×", 32.0)]).layout.yaxis.range[0] > 25


def test_a_level_is_named_below_where_a_curve_starts_above_it() -> None:
    flat = [Curve("a", (1, 2), (62.3, 62.3), chosen=True)]
    figure = figures.lines(flat, 1, ("m", "times fewer"), [Level("low", 62.0), Level("high", 122.0)])
    places = {trace.text[0]: trace.textposition for trace in figure.data if trace.mode == "lines+text"}
    assert places == {"low": "bottom right", "high": "top right"}


def test_each_kind_of_number_has_its_mark() -> None:
    figure = figures.landscape(CURVES, POINTS, [Level("122×", 122.0)])
    symbols = {trace.text[0]: trace.marker.symbol for trace in figure.data if trace.mode == "markers"}
    assert symbols == {
        "measured: a layer": "circle",
        "candidate A": "diamond",
        "published: a paper": "star",
        "computed, as set above": "circle-open",
    }
    assert len({trace.marker.color for trace in figure.data if trace.mode == "markers"}) == 4


def test_without_timings_no_empty_entry_is_in_the_legend() -> None:
    figure = figures.landscape(CURVES, POINTS[1:], [])
    assert not [trace for trace in figure.data if trace.name and "measured" in trace.name]


def test_ratios_come_down_to_the_networks() -> None:
    cost = network_cost(Configuration(group_size=16, order="sorted"))
    (bars,) = figures.ratios(cost).data
    assert list(bars.x) == [step.ratio for step in cost.steps]
    assert list(bars.y) == ["weights", "+ scaling factors", "+ filter order", "+ float layers", "+ batch norm"]
    assert bars.text[-1] == f"{cost.ratio:.2f}×"


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_brings_its_own_look(dark: bool) -> None:
    brings_its_own_look(
        lambda: (
            figures.lines(CURVES, 2, ("m", "times less"), [Level("a limit", 7.0)], dark),
            figures.landscape(CURVES, POINTS, [Level("122×", 122.0)], dark),
            figures.ratios(network_cost(Configuration()), dark),
        ),
        dark,
    )
