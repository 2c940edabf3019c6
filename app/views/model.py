"""Where do 32×, 62× and 122× come from?"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app import presets, state
from app.figures import model as figures
from app.figures.ledger import PARTS
from app.services import model as formulas
from app.services import networks
from app.services.model import Estimate, LayerModel, Measured
from app.services.networks import Cost
from app.views import words, words_model
from app.views.parts import chart, code, headline, segments
from cfcore.config import QUANTIZED_BITS, SCALE_BITS, SCALINGS
from cfcore.errors import CheckpointError

KEYS = {name: f"cost_{name}" for name in LayerModel().to_dict()}
OVER = {"channels": "channels", "group size": "group_size", "kernel": "kernel"}  # as shown, and the input
AXES = {"channels": "input channels c", "group_size": "group size m", "kernel": "kernel size k"}
LARGEST = 4096  # group size that an address can ask for


def page() -> None:
    st.title("Cost model", anchor=False)
    st.markdown(words_model.INTRODUCTION)
    configuration, layer = state.chosen()
    own = formulas.of_layer(configuration, networks.layers(configuration)[layer])

    st.subheader("One layer, by formula", anchor=False)
    above = st.container()
    model = inputs()
    with above:
        start_from(model, own, layer)
    result = formulas.estimate(model)
    results(result)
    st.subheader("What a small filter pays for its factor", anchor=False)
    over = curves(model)
    st.subheader("Beside what was measured", anchor=False)
    measured_section(model)
    st.subheader("From one layer to the whole network", anchor=False)
    network_section(networks.network_cost(configuration))
    code(
        formulas.command(model, configuration),
        formulas.python(model, configuration, over),
        "Computes the formulas and the network's bytes again, and prints the shipped timings as ratios.",
    )


# ---- the inputs


def offered(model: LayerModel) -> dict[str, LayerModel]:
    """What each button fills in, by its name; `model` is the chosen layer's."""
    example = LayerModel()
    candidates = dict(zip("ABC", formulas.CANDIDATES, strict=True))
    vector = replace(example, word_bits=formulas.vector_word_bits())
    return {"xnor-net": example, **candidates, "vector": vector, "layer": model}


def start_from(model: LayerModel, own: LayerModel, layer: str) -> None:
    choices = offered(own)
    labels = {
        "xnor-net": "XNOR-Net, 62×",
        **{letter: f"122×, candidate {letter}" for letter in "ABC"},
        "vector": "A processor's vectors",
        "layer": f"The chosen layer, {layer}",
    }
    chosen = next((name for name, preset in choices.items() if preset == model), None)
    st.markdown("Start from", help=words_model.HELP["preset"])
    presets.buttons(labels, chosen, lambda name: fill(choices[name]))
    st.markdown(words_model.PRESETS[chosen or ""].format(n=model.weights_per_filter))


def fill(model: LayerModel) -> None:
    """Set the inputs to a model."""
    for key, value in settings(model).items():
        st.session_state[key] = value


def settings(model: LayerModel) -> dict[str, Any]:
    """What the inputs are set to for this model, by their keys."""
    return {KEYS[name]: word_name(value) if name == "word_bits" else value for name, value in model.to_dict().items()}


def word_name(bits: float) -> str:
    return next(name for name, value in formulas.WORDS.items() if value == bits)


def inputs() -> LayerModel:
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        st.markdown("**The layer**")
        channels = _slider("channels", "Input channels c", formulas.OVER["channels"])
        group_size = _slider("group_size", "Group size m", group_sizes())
        with st.container(horizontal=True):
            kernel = _segments("kernel", "Kernel size k", formulas.OVER["kernel"])
            weight_bits = _select("weight_bits", "Weight bits", QUANTIZED_BITS)
            activation_bits = _select("activation_bits", "Activation bits", QUANTIZED_BITS)
            scale_bits = _select("scale_bits", "Factor bits", SCALE_BITS[::-1])
    with right.container(border=True, height="stretch"):
        st.markdown("**How operations are counted**")
        word = st.select_slider(
            "Word length L",
            list(formulas.WORDS),
            word_name(LayerModel().word_bits),
            key=KEYS["word_bits"],
            help=words_model.HELP["word"],
            bind="query-params",
        )
        with st.container(horizontal=True):
            operations = _segments("operations", "Float operations o", (1, 2))
            scaling = _segments("scaling", "A factor is counted for", SCALINGS)
    bits = weight_bits, activation_bits
    return LayerModel(channels, kernel, group_size, *bits, formulas.WORDS[word], operations, scaling, scale_bits)


def group_sizes() -> list[int]:
    """Those on offer, and the one that the address or a button asked for."""
    key = KEYS["group_size"]
    asked = str(st.session_state.get(key) or st.query_params.get(key, ""))
    also = {int(asked)} if re.fullmatch("[1-9][0-9]{0,8}", asked) and int(asked) <= LARGEST else set()
    return sorted({*formulas.OVER["group_size"], *also})


def _slider(name: str, label: str, options: Sequence[int]) -> int:
    value: int = st.select_slider(
        label,
        options,
        getattr(LayerModel(), name),
        key=KEYS[name],
        help=words_model.HELP[name],
        bind="query-params",
    )
    return value


def _segments(name: str, label: str, options: Sequence[Any]) -> Any:
    return segments(label, options, getattr(LayerModel(), name), KEYS[name], words_model.HELP[name])


def _select(name: str, label: str, options: Sequence[int]) -> int:
    value: int = st.selectbox(
        label, options, key=KEYS[name], help=words_model.HELP[name], width=110, bind="query-params"
    )
    return value


# ---- what they come to


def results(result: Estimate) -> None:
    left, right = st.columns(2)
    with left.container(border=True, height="stretch"):
        headline("Memory", words_model.times(result.memory_ratio, "less"), "one layer, weights and factors")
        st.latex(words_model.memory_formula(result))
        st.caption(words_model.sharing(result))
    with right.container(border=True, height="stretch"):
        headline("Operations", words_model.times(result.speedup, "fewer"), "a model of the speed-up")
        st.latex(words_model.speed_formula(result))
        st.caption(words_model.operations(result))
    st.caption(words_model.SYMBOLS)


def curves(model: LayerModel) -> str:
    """Memory and speed over one input. -> which"""
    over = OVER[segments("Curves over", list(OVER), "channels", "cost_over", words_model.HELP["over"])]
    memory, speeds = formulas.curves(model, over)
    levels = formulas.levels(model)
    said = words_model.small_filters(model, over)
    at, dark = getattr(model, over), state.is_dark()
    for column, drawn, marks, name, title, caption in zip(
        st.columns(2, gap="large"), (memory, speeds), levels, ("memory", "operations"), TITLES, said, strict=True
    ):
        with column:
            figure = figures.lines(drawn, at, (AXES[over], title), marks, dark)
            records = [
                {"curve": curve.label, over: x, title: y}
                for curve in drawn
                for x, y in zip(curve.x, curve.y, strict=True)
            ]
            chart(figure, f"{name}-over-{over}", alternative(drawn, title, over), records)
            st.caption(caption)
    return over


TITLES = ("times less memory", "times fewer operations")


def alternative(curves: Sequence[figures.Curve], title: str, over: str) -> str:
    ends = "; ".join(f"{c.label}: {c.y[0]:.1f} to {c.y[-1]:.1f}" for c in curves)
    first = curves[0]
    return f"{title.capitalize()} over {AXES[over]} from {first.x[0]:g} to {first.x[-1]:g}. {ends}."


# ---- beside what was measured


def measured_section(model: LayerModel) -> None:
    timings: list[Measured] = []
    left, right = st.columns([3, 2], gap="large")
    with right:
        try:
            timings = formulas.measured(model.weight_bits, model.activation_bits, networks.folder())
        except CheckpointError as error:
            st.error(str(error))
        st.markdown(words_model.reconciliation())
        if timings:
            st.markdown(words_model.clocked(timings, formulas.nearest(model, timings)))
        st.markdown(words_model.PUBLISHED_58)
    with left:
        points = formulas.points(model, timings)
        drawn = formulas.speed_curves(model)
        figure = figures.landscape(drawn, points, formulas.published()[:1], state.is_dark())
        records = [{"what": p.label, "kind": p.kind, "weights_per_filter": p.x, "times_faster": p.y} for p in points]
        said = "; ".join(f"{p.label} {p.y:.1f}×" for p in points)
        chart(figure, "model-and-measured", f"Times faster over the weights of a filter. {said}.", records)
        st.caption(words_model.kinds(model))
        if timings:
            st.caption(words.conditions(timings[0].benchmark))
        else:
            st.caption(words_model.no_timings(model))


# ---- the network


def network_section(cost: Cost) -> None:
    if cost.configuration.method == "float":
        st.caption(f"{cost.configuration.model} in float is the reference. Choose binary-weight or xnor above.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        said = "; ".join(f"with {PARTS[step.part]} {step.ratio:.2f}×" for step in cost.steps)
        records = [vars(step) for step in cost.steps]
        figure = figures.ratios(cost, state.is_dark())
        chart(figure, "ratios", f"How many times less memory than float, part by part: {said}.", records)
        st.caption(words_model.network(cost))
    with right:
        st.table(ledger(cost), border="horizontal")
        st.caption(words_model.network_operations(cost))


def ledger(cost: Cost) -> list[dict[str, str]]:
    rows = [
        {
            "part": PARTS[step.part],
            "bytes": f"{step.bytes:,}",
            "in float": f"{step.float_bytes:,}",
            "so far": f"{step.ratio:.2f}×",
        }
        for step in cost.steps
    ]
    total = {"bytes": f"{cost.bytes.total:,}", "in float": f"{cost.float_bytes:,}", "so far": f"{cost.ratio:.2f}×"}
    return [*rows, {"part": "all", **total}]


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
