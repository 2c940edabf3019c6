"""The figures about sharing show what the records hold, on both grounds."""

from dataclasses import replace

import pytest
from drawing import brings_its_own_look

from app.figures import scaling, weights
from app.figures.weights import GroupWeights
from cfcore.config import Configuration
from cfcore.sharing import Factors, Fit, SharedLayer

FIT = Fit(
    own=(0.1, 0.3, 0.5, 0.7, 0.9),
    shared=(0.2, 0.6, 0.9),
    alone=(1.0, 1.0, 2.0, 2.0, 3.0),
    added=(0.01 * 9, 0.01 * 9, 0.01 * 9, 0.01 * 9, 0.0),
    whole=(1.0, 1.0, 2.0, 2.0, 3.0),
    by_order={"index": 0.36, "sorted": 0.18},
)
PLAIN = SharedLayer("convs.1", 9, (0.25, 0.65, 0.95), ((0, 1), (2, 3), (4,)), FIT)
MIXED = SharedLayer("convs.2", 9, (0.6, 0.4), ((0, 3, 4), (1, 2)), replace(FIT, shared=(0.6, 0.4), by_order={}))
UNKNOWN = SharedLayer("convs.3", 9, (0.5,), ((0, 1, 2),), None)
FOUND = Factors(Configuration(group_size=2), "base.safetensors", False, (PLAIN,))


def picture(value: float) -> weights.Picture:
    """Two filters of one channel."""
    return ((((value,) * 3,) * 3,), (((-value,) * 3,) * 3,))


DRAWN = GroupWeights(
    filters=(7, 4),
    own=(0.3, 0.1),
    limit=0.4,
    latent=picture(0.3),
    quantized=picture(0.2),
    edges=(-0.5, 0.0, 0.5),
    counts=(9, 9),
    levels=(-0.2, 0.2),
    level_counts=(8, 10),
    kept=0.75,
)
STORED_ONLY = GroupWeights((7, 4), (), 0.2, None, picture(0.2), (), (), (-0.2, 0.2), (8, 10), None)


def test_every_cell_can_be_touched_and_tells_its_numbers() -> None:
    figure = scaling.heatmap([PLAIN, UNKNOWN], "convs.1", 1)
    cells, marks = figure.data
    assert cells.hoverinfo == "skip"  # the marks above answer
    assert [tuple(mark) for mark in marks.customdata] == [
        ("convs.1", 0),
        ("convs.1", 1),
        ("convs.1", 2),
        ("convs.3", 0),
    ]
    assert list(zip(marks.x, marks.y, strict=True)) == [(g, layer) for layer, g in map(tuple, marks.customdata)]
    more = 100 * (0.09 + 0.09) / (1 + 1)
    assert marks.text[0] == (f"convs.1, group 0<br>filters 0 to 1<br>α = 0.25000<br>sharing adds {more:.2f} %")
    assert marks.text[3] == "convs.3, group 0<br>filters 0 to 2<br>α = 0.50000"
    assert marks.selected.marker.opacity == marks.unselected.marker.opacity == 0


def test_the_chosen_cell_has_a_frame_seen_on_any_colour() -> None:
    row, outer, inner = scaling.heatmap([PLAIN, UNKNOWN], "convs.1", 1).layout.shapes
    assert (row.x0, row.x1) == (-0.5, 2.5)
    assert (outer.x0, outer.x1, outer.y0, outer.y1) == (0.5, 1.5, -0.5, 0.5)
    assert outer.line.color != inner.line.color


def test_dots_stand_over_the_strokes_they_share() -> None:
    strokes, stored, gaps, dots = scaling.residuals(PLAIN, 0, stored=True).data
    assert list(dots.y) == list(FIT.own)
    assert [tuple(d) for d in dots.customdata] == [
        (f, g, FIT.added[f], FIT.shared[g]) for f, g in ((0, 0), (1, 0), (2, 1), (3, 1), (4, 2))
    ]
    assert [y for y in strokes.y if y is not None] == [0.2, 0.2, 0.6, 0.6, 0.9, 0.9]
    assert [y for y in stored.y if y is not None] == [0.25, 0.25, 0.65, 0.65, 0.95, 0.95]
    assert list(gaps.y)[:3] == [0.1, 0.2, None]
    assert len(scaling.residuals(PLAIN, 0, stored=False).data) == 3


def test_mixed_groups_stand_side_by_side_largest_first() -> None:
    figure = scaling.residuals(MIXED, 1, stored=False)
    dots = figure.data[-1]
    assert [d[0] for d in dots.customdata] == [4, 3, 0, 2, 1]
    assert figure.layout.xaxis.title.text == "filters, group by group, largest own α first"
    (shade,) = figure.layout.shapes
    assert (shade.x0, shade.x1) == (2.5, 4.5)
    assert scaling.residuals(PLAIN, 0, stored=False).layout.xaxis.title.text == "filter"


def test_both_orders_are_drawn_by_layer_and_by_group_size() -> None:
    _, by_index, by_size = scaling.orders(FOUND, "convs.1").data
    assert list(by_index.x) == [pytest.approx(100 * 0.36 / 9)]
    assert list(by_size.x) == [pytest.approx(100 * 0.18 / 9)]
    costs = {1: {"index": 0.0, "sorted": 0.0}, 2: {"index": 4.0, "sorted": 1.0}}
    figure = scaling.sizes(costs, 2)
    assert [(list(line.x), list(line.y)) for line in figure.data] == [(["1", "2"], [0, 4]), (["1", "2"], [0, 1])]
    assert figure.layout.shapes[0].x0 == pytest.approx(0.6)
    assert not scaling.sizes(costs, 16).layout.shapes


def test_pictures_of_both_sides_have_one_symmetric_scale() -> None:
    for side, value in (("latent", 0.3), ("quantized", 0.2)):
        (cells,) = weights.pictures(DRAWN, side).data
        assert (cells.zmin, cells.zmax) == (-0.4, 0.4)
        assert [row[0] for row in cells.z] == [value] * 3 + [None] + [-value] * 3
        assert cells.text[4][1] == "filter 4, channel 0, row 0, column 1"
    assert list(weights.pictures(DRAWN, "latent").layout.yaxis.ticktext) == ["7", "4"]


def test_histograms_share_their_axis() -> None:
    figure = weights.histograms(DRAWN)
    latent, quantized = figure.data
    assert list(latent.x) == [-0.25, 0.25]
    assert list(latent.y) == [9, 9]
    assert list(quantized.x) == [-0.2, 0.2]
    assert list(quantized.text) == ["8", "10"]
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.xaxis2.range) == (-0.5, 0.5)
    (alone,) = weights.histograms(STORED_ONLY).data
    assert list(alone.y) == [8, 10]


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_brings_its_own_look(dark: bool) -> None:
    brings_its_own_look(
        lambda: (
            scaling.heatmap([PLAIN], "convs.1", 0, dark),
            scaling.residuals(MIXED, 0, True, dark),
            scaling.orders(FOUND, "convs.1", dark),
            scaling.sizes({1: {"index": 0.0, "sorted": 0.0}}, 1, dark),
            weights.pictures(DRAWN, "latent", dark),
            weights.pictures(STORED_ONLY, "quantized", dark),
            weights.histograms(DRAWN, dark),
        ),
        dark,
    )
