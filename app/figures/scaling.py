"""What sharing a scaling factor does: all factors to touch, a filter's own beside its group's, index against sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from app.figures.look import Look, finish, look
from cfcore.sharing import Factors, SharedLayer

ORDERS = {"index": "by index", "sorted": "sorted"}
LISTED = 8  # filters named one by one where a group is not a run of neighbours


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


def heatmap(layers: Sequence[SharedLayer], chosen: str, group: int, dark: bool = False) -> go.Figure:
    """Layer × group, coloured by α; layers have different numbers of groups, and cells beyond a layer's last are blank.

    Over each cell lies a mark that cannot be seen, but touched: its customdata is the layer's name and the group's
    number.
    """
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
    row = names.index(chosen)
    edge = {"color": colours.accent, "width": 2.5}
    end = len(layers[row].alphas) - 0.5
    figure.add_shape(type="rect", x0=-0.5, x1=end, y0=row - 0.5, y1=row + 0.5, line=edge)
    cells = [(layer, g) for layer in layers for g in range(len(layer.alphas))]
    invisible = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[g for _, g in cells],
        y=[layer.layer for layer, _ in cells],
        mode="markers",
        marker={"symbol": "square", "size": 14, "opacity": 0},
        selected=invisible,
        unselected=invisible,
        customdata=[[layer.layer, g] for layer, g in cells],
        text=[told(layer, g) for layer, g in cells],
        hovertemplate="%{text}<extra></extra>",
    )
    for colour, width in ((colours.ink, 5), ("#ffffff", 2)):  # seen on every colour of the scale
        edge = {"color": colour, "width": width}
        figure.add_shape(type="rect", x0=group - 0.5, x1=group + 0.5, y0=row - 0.5, y1=row + 0.5, line=edge)
    figure.update_xaxes(title_text="group", showgrid=False, tickformat="d", **({"dtick": 1} if widest <= 8 else {}))
    figure.update_yaxes(autorange="reversed", showgrid=False, tickmode="array", tickvals=names)
    figure.update_layout(hovermode="closest")
    return finish(figure, colours, height=90 + 20 * len(layers))


def told(layer: SharedLayer, group: int) -> str:
    """A cell in words, for the pointer."""
    lines = [f"{layer.layer}, group {group}", named(layer.members[group]), f"α = {layer.alphas[group]:.5f}"]
    if layer.fit:
        lines.append(f"sharing adds {layer.increase(group):.2f} %")
    return "<br>".join(lines)


def along(layer: SharedLayer) -> list[tuple[int, ...]]:
    """The filters of each group along an axis: by number, or by their own factor where groups are mixed."""
    in_order = [f for group in layer.members for f in group] == list(range(sum(map(len, layer.members))))
    if in_order or layer.fit is None:
        return list(layer.members)
    own = layer.fit.own
    return [tuple(sorted(group, key=lambda f: -own[f])) for group in layer.members]


def residuals(layer: SharedLayer, group: int, stored: bool, dark: bool = False) -> go.Figure:
    """Each filter's own α_f as a dot over its group's ᾱ, a step; the line between is what sharing squares and adds up.

    stored  whether the network's factors differ from those fitted to these weights; they are then dashes
    """
    assert layer.fit is not None
    colours = look(dark)
    groups = along(layer)
    in_order = groups == list(layer.members) and [f for g in groups for f in g] == list(range(len(layer.fit.own)))
    spots = [(f, g) for g, filters in enumerate(groups) for f in filters]  # in the order of the axis
    figure = go.Figure()
    _levels(figure, groups, layer.fit.shared, "α shared by the group", {"color": colours.accent, "width": 3})
    if stored:
        dashes = {"color": colours.muted, "width": 1.5, "dash": "dot"}
        _levels(figure, groups, layer.alphas, "α in the trained file", dashes)
    gaps: tuple[list[float | None], list[float | None]] = ([], [])
    for x, (f, g) in enumerate(spots):
        gaps[0].extend((x, x, None))
        gaps[1].extend((layer.fit.own[f], layer.fit.shared[g], None))
    figure.add_scatter(
        x=gaps[0], y=gaps[1], mode="lines", line={"color": colours.main, "width": 1}, hoverinfo="skip", showlegend=False
    )
    figure.add_scatter(
        x=list(range(len(spots))),
        y=[layer.fit.own[f] for f, _ in spots],
        mode="markers",
        name="α of the filter alone",
        marker={"color": colours.main, "size": 8 if len(spots) <= 64 else 4},
        customdata=[[f, g, layer.fit.added[f], layer.fit.shared[g]] for f, g in spots],
        hovertemplate=(
            "filter %{customdata[0]}, group %{customdata[1]}<br>own α = %{y:.5f}, shared %{customdata[3]:.5f}<br>"
            "sharing adds %{customdata[2]:.4g}<extra></extra>"
        ),
    )
    start = sum(map(len, groups[:group]))
    end = start + len(groups[group])
    figure.add_vrect(x0=start - 0.5, x1=end - 0.5, fillcolor=colours.other, opacity=0.18, line_width=0, layer="below")
    title = "filter" if in_order else "filters, group by group, largest own α first"
    figure.update_xaxes(title_text=title, range=[-0.5, len(spots) - 0.5], showgrid=False, nticks=9, tickformat="d")
    figure.update_yaxes(title_text="α", rangemode="tozero", nticks=6, exponentformat="none")
    return _with_legend(finish(figure, colours, height=340), colours)


def _levels(
    figure: go.Figure, groups: Sequence[Sequence[int]], alphas: Sequence[float], name: str, line: dict[str, object]
) -> None:
    """One level stroke a group, as wide as its filters."""
    x: list[float | None] = []
    y: list[float | None] = []
    start = 0.0
    for filters, alpha in zip(groups, alphas, strict=True):
        x += [start - 0.42, start + len(filters) - 0.58, None]
        y += [alpha, alpha, None]
        start += len(filters)
    figure.add_scatter(x=x, y=y, mode="lines", name=name, line=line, hoverinfo="skip")


def orders(found: Factors, chosen: str, dark: bool = False) -> go.Figure:
    """The % that sharing adds in each layer, with its filters by index and sorted."""
    colours = look(dark)
    names = [layer.layer for layer in found.layers]
    by_order = {order: [layer.increase_by_order(order) for layer in found.layers] for order in ORDERS}
    figure = go.Figure()
    gaps: tuple[list[float | None], list[str | None]] = ([], [])
    for row, name in enumerate(names):
        gaps[0].extend((by_order["index"][row], by_order["sorted"][row], None))
        gaps[1].extend((name, name, None))
    figure.add_scatter(
        x=gaps[0],
        y=gaps[1],
        mode="lines",
        line={"color": colours.other, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for order, colour, symbol in (("index", colours.main, "circle"), ("sorted", colours.accent, "diamond")):
        figure.add_scatter(
            x=by_order[order],
            y=names,
            mode="markers",
            name=ORDERS[order],
            marker={"color": colour, "size": 10, "symbol": symbol},
            hovertemplate=f"%{{y}}, {ORDERS[order]}: +%{{x:.2f}} %<extra></extra>",
        )
    if chosen in names:
        row = names.index(chosen)
        figure.add_hrect(y0=row - 0.5, y1=row + 0.5, fillcolor=colours.other, opacity=0.18, line_width=0, layer="below")
    most = max((x for line in by_order.values() for x in line), default=0.0)
    title = f"% of the squared {'norm' if found.learned else 'error'} that sharing adds"
    figure.update_xaxes(title_text=title, range=[-0.03 * most, 1.06 * most], nticks=7)
    figure.update_yaxes(range=[len(names) - 0.5, -0.5], tickmode="array", tickvals=names)
    return _with_legend(finish(figure, colours, height=110 + 20 * len(names)), colours)


def sizes(costs: Mapping[int, Mapping[str, float]], chosen: int, dark: bool = False) -> go.Figure:
    """The % that sharing adds in one layer, for each group size m, by index and sorted."""
    colours = look(dark)
    names = [str(m) for m in costs]
    figure = go.Figure()
    for order, colour, symbol in (("index", colours.main, "circle"), ("sorted", colours.accent, "diamond")):
        figure.add_scatter(
            x=names,
            y=[by_order[order] for by_order in costs.values()],
            mode="lines+markers",
            name=ORDERS[order],
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 9, "symbol": symbol},
            hovertemplate=f"m = %{{x}}, {ORDERS[order]}: +%{{y:.2f}} %<extra></extra>",
        )
    if str(chosen) in names:
        at = names.index(str(chosen))
        figure.add_vrect(x0=at - 0.4, x1=at + 0.4, fillcolor=colours.other, opacity=0.18, line_width=0, layer="below")
    figure.update_xaxes(title_text="group size m", type="category", showgrid=False)
    figure.update_yaxes(title_text="% that sharing adds", rangemode="tozero", nticks=6)
    return _with_legend(finish(figure, colours, height=300), colours)


def _with_legend(figure: go.Figure, colours: Look) -> go.Figure:
    """What the marks are, in a line above the picture."""
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": colours.ink, "size": 13}}
    figure.update_layout(
        showlegend=True, legend={**legend, "itemclick": False, "itemdoubleclick": False}, margin={"t": 32}
    )
    return figure
