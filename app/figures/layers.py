"""Layer by layer: where a network's bytes are, and where its operations."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.ledger import PARTS, parts
from app.figures.look import finish, look
from cfcore.cost import Bytes, Cost

REST = "the rest"  # batch norm and the classifier


def by_layer(cost: Cost) -> dict[str, Bytes]:
    """Bytes of each convolution, then of what is left: batch norm and the classifier. Their sum is the network's."""
    sizes = {layer.name: layer.bytes for layer in cost.layers}
    in_layers = sum(sizes.values(), Bytes())
    left = {part: getattr(cost.bytes, part) - getattr(in_layers, part) for part in PARTS}
    return {**sizes, REST: Bytes(**left)}


def shares(cost: Cost) -> dict[str, float]:
    """Percent of the multiply-accumulates by convolution; the classifier's in the rest."""
    whole = cost.operations.float_macs + cost.operations.binary_macs
    found = {layer.name: 100 * layer.macs / whole for layer in cost.layers}
    return {**found, REST: 100 - sum(found.values())}


def layers(cost: Cost, dark: bool = False) -> go.Figure:
    """Above, bytes by part; below, percent of the multiply-accumulates. One column a convolution."""
    colours = look(dark)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[3, 2], vertical_spacing=0.08)
    sizes, work = by_layer(cost), shares(cost)
    for part, label in PARTS.items():
        heights = [getattr(size, part) for size in sizes.values()]
        if any(heights):
            figure.add_bar(
                x=list(sizes),
                y=heights,
                name=label,
                marker={"color": colours.parts[part], "line": {"width": 0}},
                hovertemplate=f"%{{x}}, {label}: %{{y:,}} bytes<extra></extra>",
                row=1,
                col=1,
            )
    figure.add_bar(
        x=list(work),
        y=list(work.values()),
        name="operations",
        marker={"color": colours.other, "line": {"width": 0}},
        hovertemplate="%{x}: %{y:.1f} % of the multiply-accumulates<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_yaxes(title_text="bytes", tickformat="~s", nticks=5, row=1, col=1)
    figure.update_yaxes(title_text="% of operations", nticks=4, row=2, col=1)
    finish(figure, colours, height=380)
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}, "itemclick": False},
        bargap=0.2,
    )
    figure.update_traces(showlegend=False, row=2, col=1)
    figure.update_xaxes(showgrid=False, tickangle=-60)
    return figure


def records(cost: Cost) -> list[dict[str, object]]:
    """What the figure shows, as rows."""
    work = shares(cost)
    return [
        {"layer": name, **parts(size), "total_bytes": size.total, "operations_percent": round(work[name], 4)}
        for name, size in by_layer(cost).items()
    ]
