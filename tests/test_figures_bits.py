"""Where the bits come from: the image and the channels, and the window on them."""

import plotly.io as pio
import pytest
from drawing import contrast

from app.figures import bits
from app.figures.bits import Frame
from app.figures.look import DARK, LIGHT

CORNER = Frame(row=-1, column=6, side=3, size=8)
PIXELS = [[[0, 128, 255]] * 32] * 32
LEVELS = [[[-1, 1] * 4] * 8] * 6


def test_the_window_lies_on_the_pixels_below_it() -> None:
    """8 cells on 32 pixels: 4 each. Pixel 0 reaches from -0.5 to 0.5."""
    figure = bits.picture(PIXELS, CORNER)
    assert figure.data[0].type == "image"
    for shape in figure.layout.shapes:
        assert (shape.x0, shape.x1, shape.y0, shape.y1) == (4 * 6 - 0.5, 4 * 9 - 0.5, 4 * -1 - 0.5, 4 * 2 - 0.5)
    low, high = figure.layout.xaxis.range
    assert low < -0.5
    assert high > 4 * 9 - 0.5  # also where it hangs over


def test_every_channel_has_its_map_and_the_window() -> None:
    figure = bits.maps(LEVELS, first=8, top=1, frame=CORNER)
    assert [trace.type for trace in figure.data] == ["heatmap"] * 6
    assert [note.text for note in figure.layout.annotations] == [f"channel {c}" for c in range(8, 14)]
    assert {(s.x0, s.x1, s.y0, s.y1) for s in figure.layout.shapes} == {(5.5, 8.5, -1.5, 1.5)}
    assert len({shape.xref for shape in figure.layout.shapes}) == 6
    assert (figure.data[0].zmin, figure.data[0].zmax) == (-1, 1)
    levels = bits.maps(LEVELS, first=0, top=3, frame=CORNER)
    assert (levels.data[0].zmin, levels.data[0].zmax) == (0, 3)


def test_row_0_is_at_the_top_and_cells_are_square() -> None:
    for figure in (bits.picture(PIXELS, CORNER), bits.maps(LEVELS, 0, 1, CORNER)):
        for axis in figure.select_yaxes():
            assert axis.range[0] > axis.range[1]
            assert axis.scaleanchor == axis.plotly_name.replace("yaxis", "x")


def test_they_carry_their_own_look() -> None:
    for dark, look in ((False, LIGHT), (True, DARK)):
        figure = bits.maps(LEVELS, 0, 1, CORNER, dark)
        assert [step[1] for step in figure.data[0].colorscale] == [look.grid, look.main]
        assert figure.layout.shapes[0].line.color == look.accent
        assert figure.layout.template.layout.font.color == look.ink
        assert pio.to_json(figure, validate=True)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("on-main", "main"), ("on-accent", "accent")] + [(t, g) for t in ("ink", "muted") for g in ("ground", "lit")],
)
def test_bits_can_be_read(text: str, ground: str, dark: bool) -> None:
    colours = bits.table_colours(dark)
    assert contrast(colours[text], colours[ground]) >= 4.5
