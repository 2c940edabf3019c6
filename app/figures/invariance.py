"""How many answers sharing changes: none where batch norm undoes every factor, BN(α·z) = BN(z)."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.look import finish, look
from cfcore.config import GroupSize

MARKERS = ("circle", "square", "diamond", "cross")


@dataclass(frozen=True)
class Changed:
    """Share of test images, in %, that a network answers otherwise than its like with m = 1."""

    label: str
    group_size: GroupSize
    percent: float


def invariance(found: Sequence[Changed], dark: bool = False) -> go.Figure:
    """A line for each label over the group sizes; the first is what the picture is about."""
    colours = look(dark)
    inks = (colours.main, colours.accent, colours.muted, colours.other)
    figure = go.Figure()
    labels = list(dict.fromkeys(one.label for one in found))
    for number, label in enumerate(labels):
        line = [one for one in found if one.label == label]
        ink, marker = inks[number % len(inks)], MARKERS[number % len(MARKERS)]
        figure.add_scatter(
            x=[f"m = {one.group_size}" if one.group_size != "layer" else "layer-wise" for one in line],
            y=[one.percent for one in line],
            name=label,
            mode="lines+markers",
            marker={"size": 10, "symbol": marker, "color": ink},
            line={"color": ink, "width": 1.5},
            hovertemplate=f"{label}, %{{x}}: %{{y:.1f}} % answered otherwise<extra></extra>",
        )
    finish(figure, colours, height=320)
    figure.update_yaxes(title_text="% of answers that differ from m = 1", rangemode="tozero")
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.15, "x": 0})
    return figure
