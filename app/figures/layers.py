"""Layer by layer: where a network's bytes are, where its operations, and where sharing adds error."""

from collections.abc import Mapping
from typing import Any

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


def layers(cost: Cost, added: Mapping[str, float], dark: bool = False) -> go.Figure:
    """One column a convolution. From above: bytes by part; percent of the multiply-accumulates; and, where it is known,
    the percent that sharing adds; nothing is shared with m = 1.
    """
    colours = look(dark)
    added = added if any(added.values()) else {}
    count = 3 if added else 2
    figure = make_subplots(rows=count, cols=1, shared_xaxes=True, row_heights=[3, 2, 2][:count], vertical_spacing=0.07)
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
    quantized = {layer.name for layer in cost.layers if layer.quantized}
    by = [colours.parts["weights" if name in quantized else "float_layers"] for name in work]
    rows: list[tuple[str, Mapping[str, float], Any, str]] = [
        ("operations", work, by, "%{y:.1f} % of the multiply-accumulates")
    ]
    rows += [("error", added, colours.accent, "sharing adds %{y:.1f} %")] if added else []
    for row, (name, values, colour, said) in enumerate(rows, start=2):
        figure.add_bar(
            x=list(values),
            y=list(values.values()),
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x}}: {said}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
    for row, title in enumerate(("bytes", "% of MACs", "% by sharing")[:count], start=1):
        figure.update_yaxes(title_text=title, nticks=5 if row == 1 else 4, row=row, col=1)
    figure.update_yaxes(tickformat="~s", row=1, col=1)
    finish(figure, colours, height=260 + 60 * count, left=52, below=64)
    figure.update_layout(
        barmode="stack",
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}, "itemclick": False},
        bargap=0.2,
    )
    names = list(sizes)  # all of them are written, on a phone too
    figure.update_xaxes(showgrid=False, tickangle=-60, categoryorder="array", categoryarray=names, tickvals=names)
    return figure


def records(cost: Cost, added: Mapping[str, float]) -> list[dict[str, object]]:
    """What the figure shows, as rows."""
    work = shares(cost)
    return [
        {
            "layer": name,
            **parts(size),
            "total_bytes": size.total,
            "operations_percent": work[name],
            "sharing_adds_percent": added.get(name),
        }
        for name, size in by_layer(cost).items()
    ]
