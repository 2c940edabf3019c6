"""The figures of the kernel speed page show what the records hold, in colours that text can be read on."""

import itertools
from dataclasses import replace

import pytest
from drawing import brings_its_own_look
from test_figures import DOCUMENT, measurement
from test_streamlit_config import contrast

from app.figures import look, paying, roofline, speed
from app.figures.paying import times_bits
from cfcore.crossover import Crossover
from cfcore.roofline import points
from cfcore.timings import Benchmark, Machine

MACHINE = Machine("A CPU", 2, "512-bit", "3", "0", "2")


def crossover(layer: str, bits: tuple[int, int], **faster: float) -> Crossover:
    return Crossover(MACHINE, 1, layer, 1, *bits, "layer", 1e-4, {f"torch-{name}": t for name, t in faster.items()})


FOUND = [
    crossover("64,8,64,3,1", (1, 1), fp32=4.0, int8=2.0),
    crossover("64,8,64,3,1", (4, 4), fp32=0.5, int8=0.01),
    crossover("16,32,16,3,1", (1, 1), fp32=1.0),
]


def test_the_map_has_every_cell_narrow_layers_first() -> None:
    (cells,) = paying.paying(FOUND).data
    assert list(cells.y) == ["16→16, 32×32", "64→64, 8×8"]
    assert list(cells.x) == [times_bits(1, 1), times_bits(4, 4)]
    assert [list(row) for row in cells.text] == [["1.00×", ""], ["2.00×", "0.01×"]]
    assert [list(row) for row in cells.z] == [[0.0, None], [1.0, -3.0]]  # powers of two, to the farthest colour
    assert "torch int8: packed 2.00× as fast" in cells.customdata[1][0]
    assert cells.zmin == -cells.zmax


def test_the_map_against_one_backend_leaves_out_where_that_was_not_timed() -> None:
    (cells,) = paying.paying(FOUND, "torch-int8").data
    assert [list(row) for row in cells.text] == [["", ""], ["2.00×", "0.01×"]]
    (cells,) = paying.paying(FOUND, "torch-fp32").data
    assert cells.text[1][0] == "4.00×"


def test_what_is_timed_above_is_outlined() -> None:
    (edge,) = paying.paying(FOUND, chosen=("64,8,64,3,1", times_bits(4, 4))).layout.shapes
    assert (edge.x0, edge.x1, edge.y0, edge.y1) == (0.5, 1.5, 0.5, 1.5)
    assert not paying.paying(FOUND, chosen=("64,8,64,3,1", times_bits(2, 2))).layout.shapes
    assert not paying.paying(FOUND, chosen=("16,32,16,3,1", times_bits(4, 4))).layout.shapes  # blank


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_every_cell(dark: bool) -> None:
    ink = look.look(dark).ink
    stops = paying.DARK if dark else paying.LIGHT
    for one, other in itertools.pairwise(stops):
        for share in (0, 0.25, 0.5, 0.75, 1):
            assert contrast(ink, mixed(one, other, share)) >= 4.5


def mixed(one: str, other: str, share: float) -> str:
    pairs = [(int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def test_the_roofline_has_measured_rates_over_computed_intensities() -> None:
    own = points(measurement())
    others = [replace(own[0], layer="1,1,1,1,1", intensity=50.0, gmacs=2.0)]
    figure = roofline.roofline(own, others, 1000.0, times_bits(1, 1))
    marked = {trace.text[0]: trace for trace in figure.data if trace.mode == "markers+text"}
    product = next(p for p in own if (p.backend, p.stage) == ("packed", "product"))
    assert (marked["product"].x[0], marked["product"].y[0]) == (product.intensity, product.gmacs)
    assert {"product", "layer", "fp32", "int8"} <= set(marked)
    bound = next(trace for trace in figure.data if trace.line.dash == "dash")
    assert list(bound.y) == [1000.0, 1000.0]
    for line in (trace for trace in figure.data if trace.line.dash == "dot"):
        rates = [y / x for x, y in zip(line.x, line.y, strict=True)]
        assert rates[0] == pytest.approx(rates[1])
        assert round(rates[0]) in roofline.RATES
    faint = next(trace for trace in figure.data if trace.mode == "markers")
    assert (faint.x[0], faint.y[0]) == (50.0, 2.0)


def test_a_point_that_lies_on_another_of_its_backend_is_drawn_once() -> None:
    rows = [dict(row, stage=stage) for row in (DOCUMENT["rows"][2],) for stage in ("layer", "product")]  # type: ignore[index]
    own = points(Benchmark.from_dict({**DOCUMENT, "rows": rows}))
    assert len(own) == 2
    figure = roofline.roofline(own, [], 1000.0, times_bits(1, 1))
    assert sum(trace.mode == "markers+text" for trace in figure.data) == 1


def test_a_network_has_one_panel_and_milliseconds_where_they_are_shorter() -> None:
    rows = [
        dict(row, layer="resnet20", stage="network", batch=32, median_s=s, p10_s=s, p90_s=s)
        for row, s in zip(DOCUMENT["rows"][1:3], (0.0026, 0.0253), strict=True)  # type: ignore[index]
    ]
    figure = speed.speed(Benchmark.from_dict({**DOCUMENT, "rows": rows}))
    (bars,) = [bar for bar in figure.data if bar.type == "bar"]
    assert list(bars.x) == pytest.approx([2.6, 25.3])
    assert "2.6 ms" in next(mark for mark in figure.data if mark.type == "scatter").text[0]
    assert figure.layout.xaxis.title.text.startswith("ms for 32 images")
    assert "whole layer" not in figure.layout.xaxis.title.text


@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_brings_its_own_look(dark: bool) -> None:
    own = points(measurement())
    brings_its_own_look(lambda: (paying.paying(FOUND, dark=dark), roofline.roofline(own, own, 9.0, "1", dark)), dark)
