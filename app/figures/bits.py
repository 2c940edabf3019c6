"""Where the bits come from: a test image and the channels of a layer, with the window outlined on both."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import finish, look

IMAGE = 32  # pixels, both ways
ACROSS = 4  # maps side by side
MARGIN = 1.1  # cells around a map, so that a window over the border can be seen


@dataclass(frozen=True)
class Frame:
    """The window on a map of `size` cells both ways: its first row and column, -1 where it hangs over, and its side."""

    row: int
    column: int
    side: int
    size: int


def picture(pixels: Sequence[Sequence[Sequence[int]]], frame: Frame, dark: bool = False) -> go.Figure:
    """A test image [32][32][3], and the pixels that lie under the window."""
    colours = look(dark)
    figure = go.Figure(go.Image(z=pixels, hoverinfo="skip"))
    scale = IMAGE / frame.size
    edges = [
        scale * value - 0.5 for value in (frame.column, frame.column + frame.side, frame.row, frame.row + frame.side)
    ]
    x0, x1, y0, y1 = edges
    for width, colour in ((5, colours.ground), (2.5, colours.accent)):  # seen on any picture
        figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line={"color": colour, "width": width})
    room = MARGIN * scale
    _bare(figure, [-0.5 - room, IMAGE - 0.5 + room])
    return finish(figure, colours, height=300)


def maps(
    levels: Sequence[Sequence[Sequence[int]]], first: int, top: int, frame: Frame, dark: bool = False
) -> go.Figure:
    """Channels `first`, `first` + 1, … of a layer's input, [channels][H][W]; `top` is the largest level, 1 for ±1."""
    colours = look(dark)
    rows = -(-len(levels) // ACROSS)
    titles = [f"channel {first + i}" for i in range(len(levels))]
    figure = make_subplots(rows, ACROSS, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.08)
    for i, level in enumerate(levels):
        at = {"row": i // ACROSS + 1, "col": i % ACROSS + 1}
        figure.add_heatmap(
            z=level,
            zmin=-1 if top == 1 else 0,
            zmax=top,
            colorscale=[[0, colours.grid], [1, colours.main]],
            showscale=False,
            xgap=1 if frame.size <= 16 else 0,
            ygap=1 if frame.size <= 16 else 0,
            hovertemplate="row %{y}, column %{x}: %{z}<extra>" + titles[i] + "</extra>",
            **at,
        )
        x0, y0 = frame.column - 0.5, frame.row - 0.5
        edge = {"color": colours.accent, "width": 2.5}
        figure.add_shape(type="rect", x0=x0, x1=x0 + frame.side, y0=y0, y1=y0 + frame.side, line=edge, **at)
    _bare(figure, [-0.5 - MARGIN, frame.size - 0.5 + MARGIN])
    figure = finish(figure, colours, height=330)
    figure.update_annotations(font={"size": 12, "color": colours.muted})
    figure.update_layout(margin={"t": 20})
    return figure


def table_colours(dark: bool = False) -> dict[str, str]:
    """Colours of the table of bits, by the names that its style sheet uses."""
    colours = look(dark)
    return {
        "ink": colours.ink,
        "muted": colours.muted,
        "line": colours.grid,
        "main": colours.main,
        "accent": colours.accent,
        "ground": colours.ground,
        "lit": "#1b242c" if dark else "#f2f5f7",
        "on-main": "#0e161d" if dark else "#ffffff",
        "on-accent": "#0e161d",
    }


def _bare(figure: go.Figure, span: list[float]) -> None:
    """Square cells, row 0 at the top, no axes."""
    figure.update_xaxes(range=span, visible=False, constrain="domain")
    figure.update_yaxes(range=span[::-1], visible=False, constrain="domain")
    for axis in figure.select_yaxes():
        axis.update(scaleanchor=axis.plotly_name.replace("yaxis", "x"))
