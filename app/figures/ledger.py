"""A network's bytes by part, beside those of the float network."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import finish, look
from cfcore.cost import Bytes, Cost

PARTS = {
    "weights": "weights",
    "scales": "scaling factors",
    "order": "filter order",
    "float_layers": "float layers",
    "batch_norm": "batch norm",
    "padding": "padding",
}


def parts(size: Bytes) -> dict[str, int]:
    """Bytes by part, those of no bytes left out."""
    return {part: count for part in PARTS if (count := getattr(size, part))}


def named(cost: Cost) -> dict[str, int]:
    """Bytes by what a part is called. At 2 to 8 bits each layer has an activation step beside its scaling factors."""
    steps = {"scales": "factors and steps"} if cost.configuration.has_steps else {}
    return {steps.get(part, PARTS[part]): count for part, count in parts(cost.bytes).items()}


def ledger(cost: Cost, float_cost: Cost, dark: bool = False) -> go.Figure:
    """Above, both networks on one scale; below, this network's parts on a scale of their own. All in bytes."""
    colours = look(dark)
    own = parts(cost.bytes)
    figure = make_subplots(rows=2, cols=1, row_heights=[2, len(own)], vertical_spacing=0.2)
    compared = {"float": float_cost} if cost == float_cost else {"float": float_cost, "this": cost}
    for label, network in compared.items():
        for part, count in parts(network.bytes).items():
            figure.add_bar(
                x=[count],
                y=[label],
                orientation="h",
                name=PARTS[part],
                marker={"color": colours.parts[part], "line": {"width": 0}},
                hovertemplate=f"{label}, {PARTS[part]}: %{{x:,}} bytes<extra></extra>",
                row=1,
                col=1,
            )
    figure.add_bar(
        x=list(own.values()),
        y=list(named(cost)),
        orientation="h",
        name="parts",
        marker={"color": [colours.parts[part] for part in own], "line": {"width": 0}},
        text=[f"{count:,}" for count in own.values()],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} bytes<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title_text="bytes, both networks on one scale", tickformat="~s", row=1, col=1)
    top = 1.25 * max(own.values())
    figure.update_xaxes(
        title_text="bytes, this network by part", tickformat="~s", range=[0, top], nticks=5, row=2, col=1
    )
    figure.update_yaxes(autorange="reversed")
    return finish(figure, colours, height=190 + 34 * len(own))
