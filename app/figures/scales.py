"""Scaling factors: of every layer as a heatmap, of one layer as bars as wide as the filters that share them."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.figures.look import finish, look

LISTED = 8  # filters named one by one where a group is not a run of neighbours


@dataclass(frozen=True)
class LayerScales:
    """Scaling factors of one layer.

    alphas   α of each group
    members  the filters of each group, by number
    """

    layer: str
    alphas: tuple[float, ...]
    members: tuple[tuple[int, ...], ...]

    @property
    def filters(self) -> int:
        return sum(len(group) for group in self.members)


def named(filters: Sequence[int]) -> str:
    """Filters in words.

    >>> named([3]), named([0, 1, 2, 3]), named([0, 4, 9])
    ('filter 3', 'filters 0 to 3', 'filters 0, 4, 9')
    """
    if len(filters) == 1:
        return f"filter {filters[0]}"
    if list(filters) == list(range(filters[0], filters[-1] + 1)):
        return f"filters {filters[0]} to {filters[-1]}"
    more = f" and {len(filters) - LISTED} more" if len(filters) > LISTED else ""
    return "filters " + ", ".join(map(str, filters[:LISTED])) + more


def heatmap(layers: Sequence[LayerScales], chosen: str, dark: bool = False) -> go.Figure:
    """Layer × group, coloured by α. Layers have different numbers of groups: cells beyond a layer's last are blank."""
    colours = look(dark)
    widest = max(len(layer.alphas) for layer in layers)
    z: list[list[float | None]] = [[*layer.alphas, *[None] * (widest - len(layer.alphas))] for layer in layers]
    names = [layer.layer for layer in layers]
    figure = go.Figure(
        go.Heatmap(
            x=list(range(widest)),
            y=names,
            z=z,
            hoverinfo="skip",
            colorscale="Viridis",
            xgap=1 if widest > 16 else 2,
            ygap=2,
            colorbar={
                "title": {"text": "α"},
                "exponentformat": "none",
                "thickness": 12,
                "outlinewidth": 0,
                "tickfont": {"color": colours.muted},
            },
        )
    )
    if chosen in names:
        row = names.index(chosen)
        end = len(layers[row].alphas) - 0.5
        edge = {"color": colours.accent, "width": 2.5}
        figure.add_shape(type="rect", x0=-0.5, x1=end, y0=row - 0.5, y1=row + 0.5, line=edge)
    figure.update_xaxes(title_text="group", showgrid=False, tickformat="d", **({"dtick": 1} if widest <= 8 else {}))
    figure.update_yaxes(autorange="reversed", showgrid=False, tickmode="array", tickvals=names)
    return finish(figure, colours, height=90 + 20 * len(layers))
