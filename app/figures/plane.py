"""Every network on one plane: bytes against accuracy, with the frontier that none of them beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.look import finish, look

SYMBOLS = {"float": "diamond", "binary-weight": "square", "xnor": "circle"}


@dataclass(frozen=True)
class Place:
    """Where a network lies.

    label     its bits and group size
    method    float, binary-weight or xnor
    bytes     of its tensors
    accuracy  top-1 in %
    chosen    whether it is the one that the page shows
    """

    label: str
    method: str
    bytes: int
    accuracy: float
    chosen: bool = False


def frontier(places: Sequence[Place]) -> list[Place]:
    """Those that no other beats: none is both smaller, or as small, and more accurate. From small to large.

    >>> [p.label for p in frontier([Place("a", "xnor", 9, 80), Place("b", "xnor", 5, 79), Place("c", "xnor", 7, 78)])]
    ['b', 'a']
    """
    best: list[Place] = []
    for place in sorted(places, key=lambda p: (p.bytes, -p.accuracy)):
        if not best or place.accuracy > best[-1].accuracy:
            best.append(place)
    return best


def plane(places: Sequence[Place], dark: bool = False) -> go.Figure:
    """Accuracy in % over bytes on a logarithmic axis; the frontier as steps, the chosen network with its name."""
    colours = look(dark)
    edge = frontier(places)
    figure = go.Figure(
        go.Scatter(
            x=[place.bytes for place in edge],
            y=[place.accuracy for place in edge],
            mode="lines",
            line={"shape": "hv", "color": colours.other, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    sizes = [place.bytes for place in places]
    middle = math.sqrt(min(sizes) * max(sizes))  # of a logarithmic axis: a name is written towards it
    for method, symbol in SYMBOLS.items():
        for chosen in (False, True):
            shown = [place for place in places if place.method == method and place.chosen == chosen]
            if not shown:
                continue
            figure.add_scatter(
                x=[place.bytes for place in shown],
                y=[place.accuracy for place in shown],
                mode="markers+text" if chosen else "markers",
                text=[place.label for place in shown],
                textposition="bottom right" if shown[0].bytes <= middle else "bottom left",
                cliponaxis=False,
                marker={
                    "symbol": symbol,
                    "size": 15 if chosen else 9,
                    "color": colours.accent if chosen else colours.main,
                    "opacity": 1.0 if chosen else 0.75,
                },
                name=method,
                hovertemplate=f"{method}, %{{text}}<br>%{{x:,}} bytes, %{{y:.2f}} %<extra></extra>",
            )
    doubling = [25_000 * 2**i for i in range(12) if 25_000 * 2**i < 3 * max(sizes)]
    figure.update_xaxes(title_text="bytes, each line twice as many", type="log", tickvals=doubling, tickformat="~s")
    figure.update_yaxes(title_text="% of test images right", nticks=6)
    return finish(figure, colours, height=360)
