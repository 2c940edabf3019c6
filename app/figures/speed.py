"""Timings of one convolution or network, packed and in torch, shorter is better."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import factor, finish, look
from cfcore.timings import Benchmark, Row

BACKENDS = {
    "packed": "packed bits",
    "torch-fp32": "torch fp32",
    "torch-bf16": "torch bf16",
    "torch-int8": "torch int8",
    "openvino": "OpenVINO",
}
STAGES = {
    "layer": "whole layer: float in, float out",
    "chain": "between packed layers: packed in, packed out",
    "product": "product alone: in each one's own type",
    "network": "whole network: images in, logits out",
}
MILLI = 1e4  # µs from which times are shown in ms
WHISKERS_END = 1.2  # of the longest bar


def in_order(timings: Iterable[Row]) -> list[Row]:
    """As `BACKENDS` lists them, so that a backend keeps its place from layer to layer."""
    known = list(BACKENDS)
    return sorted(timings, key=lambda t: known.index(t.backend) if t.backend in known else len(known))


def speed(measurement: Benchmark, dark: bool = False) -> go.Figure:
    """Time of a call for each backend, by stage; whiskers from the 10th to the 90th percentile. The record is of one
    layer, or of one network and batch.
    """
    colours = look(dark)
    stages = [stage for stage in STAGES if any(t.stage == stage for t in measurement.rows)]
    by_stage = [in_order(t for t in measurement.rows if t.stage == stage) for stage in stages]
    figure = make_subplots(
        rows=len(stages),
        cols=1,
        row_heights=[len(timings) for timings in by_stage],
        vertical_spacing=0.2,
        shared_xaxes="all",
        subplot_titles=[STAGES[stage] for stage in stages],
    )
    unit, scale = ("ms", 1e3) if max(t.median_s for t in measurement.rows) * 1e6 >= MILLI else ("µs", 1e6)
    longest = max(t.median_s for t in measurement.rows) * scale
    end = WHISKERS_END * longest  # where a longer whisker is cut, so that the numbers have their room
    for row, timings in enumerate(by_stage, start=1):
        medians = [t.median_s * scale for t in timings]
        figure.add_bar(
            x=medians,
            y=[BACKENDS.get(t.backend, t.backend) for t in timings],
            orientation="h",
            marker={"color": [colours.main if t.backend == "packed" else colours.other for t in timings]},
            error_x={
                "array": [min(t.p90_s * scale, end) - t.median_s * scale for t in timings],
                "arrayminus": [(t.median_s - t.p10_s) * scale for t in timings],
                "color": colours.muted,
                "thickness": 1.2,
                "width": 3,
            },
            customdata=[[t.gmacs, t.runs, t.threads, t.p10_s * scale, t.p90_s * scale] for t in timings],
            hovertemplate=(
                f"%{{y}}: %{{x:,.1f}} {unit}, %{{customdata[0]:,.0f}} GMAC/s<br>"
                "median of %{customdata[1]} runs, 10th to 90th percentile %{customdata[3]:,.1f} to "
                f"%{{customdata[4]:,.1f}} {unit}<br>threads: %{{customdata[2]}}<extra></extra>"
            ),
            row=row,
            col=1,
        )
        figure.add_scatter(  # behind the whisker's end, which a bar's own text would cover
            x=[min(max(t.median_s, t.p90_s) * scale, end) for t in timings],
            y=[BACKENDS.get(t.backend, t.backend) for t in timings],
            mode="text",
            text=[
                f"  {median:,.1f} {unit}, {factor(t.speedup_vs_fp32)}"
                for median, t in zip(medians, timings, strict=True)
            ],
            textposition="middle right",
            cliponaxis=False,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    figure.update_xaxes(range=[0, 1.75 * longest], nticks=6)
    batch = measurement.rows[0].batch
    images = "one image" if batch == 1 else f"{batch} images"
    whole = "" if stages == ["network"] else "'s whole layer"
    title = f"{unit} for {images}: shorter is better<br>×: torch fp32{whole} over it"
    figure.update_xaxes(title_text=title, row=len(stages), col=1)
    figure.update_yaxes(autorange="reversed")
    figure = finish(figure, colours, height=128 + 34 * sum(map(len, by_stage)))
    figure.update_annotations(x=0, xanchor="left", font={"size": 13, "color": colours.ink})
    figure.update_layout(margin={"t": 28})
    return figure
