"""What are the scaling factors, and what does sharing them cost?"""

from dataclasses import replace

import streamlit as st

from app import state
from app.figures import scaling as figures
from app.figures import weights as drawn
from app.figures.scaling import named
from app.services import networks, scaling, snippets
from app.services.scaling import Factors, Search, SharedLayer
from app.views import words
from app.views import words_scaling as said
from app.views.parts import ask, chart, code, follow, headline, not_done, not_trained, post_training_button
from cfcore.config import FLOAT_BITS, Configuration
from cfcore.errors import CheckpointError

HELP = "Of the chosen layer, numbered from 0. Touching a cell of the map chooses both layer and group."


def page() -> None:
    st.title("Scaling factors", anchor=False)
    st.markdown(said.INTRO)
    configuration, name = state.chosen()
    if configuration.method == "float":
        st.info("A float network has no scaling factors: its weights are stored as they are.")
        st.button("Choose binary-weight", on_click=state.choose, args=("method", "binary-weight"))
        return
    try:
        factors_sections(configuration, name)
    except CheckpointError as error:
        st.error(str(error))


def factors_sections(configuration: Configuration, name: str) -> None:
    above, wait = st.container(), st.container()
    found, searching = obtain(configuration)
    if found is not None:
        with above:
            layer, group = overview(found, name)
        if found.latent:
            cost_section(found, layer, group)
            orders_section(found, layer)
        elif searching is None:
            missing_section(found)
        if searching is None:
            weights_section(found, layer, group)
            code_section(configuration, name, group)
    if searching is not None:
        with wait:
            searching_section(searching)
    elif found is None:
        nothing_section(configuration)


def obtain(configuration: Configuration) -> tuple[Factors | None, Search | None]:
    """The factors, as far as they are known, and the task that is still at work on them. Raises CheckpointError."""
    found = scaling.at_once(configuration)
    if found is not None or not scaling.can_search(configuration):
        return found, None
    task = scaling.search(configuration)
    status = ask(task)
    if status.state == "done":
        return status.value, None
    return scaling.stored_alone(configuration), task


# ---- what is not there


def nothing_section(configuration: Configuration) -> None:
    if not networks.has_float(configuration.model):
        st.info(words.no_network(configuration.model, networks.with_float()))
        return
    not_trained()


def missing_section(found: Factors) -> None:
    can_quantize = networks.has_float(found.configuration.model)
    st.info(said.no_weights(found, can_quantize))
    with st.container(horizontal=True):
        if can_quantize:
            post_training_button()
        if scaling.has_latent(replace(found.configuration, method="binary-weight", activation_bits=FLOAT_BITS)):
            way, wish = "Show binary-weight: its weights are shipped", ("method", "binary-weight")
            st.button(way, on_click=state.choose, args=wish, icon=":material/grid_view:")


def searching_section(task: Search) -> None:
    st.caption("Above one bit the best factors have no closed form. A separate process is searching for them now.")
    status = ask(task)
    if status.active:
        follow(task)
    else:
        not_done(task, status)


# ---- all of them


def overview(found: Factors, name: str) -> tuple[SharedLayer, int]:
    """The map, and the numbers of the chosen group. -> the layer and the group that are looked at"""
    layer = found.layer(name)
    if layer.fit is not None:
        st.markdown(said.insight(found))
    left, right = st.columns([3, 2], gap="large")
    with right:
        group = choose_group(layer)
        group_numbers(found, layer, group)
    with left:
        groups = max(len(each.alphas) for each in found.layers)
        alt = f"Heatmap of the scaling factors of {len(found.layers)} layers with up to {groups} groups each."
        figure = figures.heatmap(found.layers, name, group, state.is_dark())
        chart(figure, "factors-map", alt, scaling.rows(found), touched)
        st.caption(said.heatmap(found) + (words.SORTED if found.configuration.order == "sorted" else ""))
    return layer, group


def choose_group(layer: SharedLayer) -> int:
    groups = list(range(len(layer.alphas)))
    chosen: int = st.selectbox("Group", groups, key="group", help=HELP, bind="query-params", width=160)
    return chosen


def touched() -> None:
    """A cell of the map was touched: choose its layer and group."""
    points = st.session_state["factors-map"]["selection"]["points"]
    if points:
        st.session_state["layer"], st.session_state["group"] = points[0]["customdata"]


def group_numbers(found: Factors, layer: SharedLayer, group: int) -> None:
    headline(f"α of group {group} in {layer.layer}", f"{layer.alphas[group]:.5f}", "")
    st.caption(said.members(layer, group))
    if layer.fit is not None:
        of = "of this group's squared norm" if found.learned else "to this group's squared error"
        headline("Sharing adds", f"{layer.increase(group):.2f} %", of)
        st.caption(said.increase(found, layer, group))


# ---- what sharing costs


def cost_section(found: Factors, layer: SharedLayer, group: int) -> None:
    assert layer.fit is not None
    st.subheader(f"What sharing costs in {layer.layer}", anchor=False)
    left, right = st.columns([3, 2], gap="large")
    trained = found.configuration.source == "trained"
    with left:
        own = f"from {min(layer.fit.own):.4f} to {max(layer.fit.own):.4f}"
        shared = ", ".join(f"{alpha:.4f}" for alpha in layer.fit.shared)
        alt = (
            f"Own factors of the {len(layer.fit.own)} filters of {layer.layer}, {own}, over the shared ones: {shared}."
        )
        figure = figures.residuals(layer, group, trained, state.is_dark())
        chart(figure, "own-factors", alt, scaling.filter_rows(layer))
        st.caption(said.residuals(found, layer))
    with right:
        st.markdown(f"The squared error that sharing adds to **group {group}**, the shaded one:")
        st.latex((said.closed_form if found.configuration.weight_bits == 1 else said.counted)(layer, group))
        st.caption(said.accuracy(found.configuration, networks.has_binary_blocks(found.configuration)))


def orders_section(found: Factors, layer: SharedLayer) -> None:
    st.subheader("Index against sorted", anchor=False)
    left, right = st.columns([3, 2], gap="large")
    dark, configuration = state.is_dark(), found.configuration
    left.markdown(said.orders(found))
    compared = configuration.group_size not in (1, "layer")
    if compared:
        with left:
            alt = f"Error that sharing adds, layer by layer. {said.orders(found)}"
            chart(figures.orders(found, layer.layer, dark), "orders", alt, scaling.order_rows(found))
    costs = scaling.by_size(configuration, layer.layer)
    if costs:
        with right if compared else left:
            st.markdown(said.sizes(layer, costs))
            alt = f"Error that sharing adds in {layer.layer}, by group size."
            together = len(layer.members[0])
            chart(figures.sizes(costs, together, dark), "sizes", alt, scaling.size_rows(costs))
    (st if costs else right).caption(said.about_orders(found))


# ---- weights


def weights_section(found: Factors, layer: SharedLayer, group: int) -> None:
    weights = scaling.group_weights(found.configuration, layer, group)
    st.subheader(f"The filters of group {group}", anchor=False)
    dark = state.is_dark()
    left, middle, right = st.columns(3, gap="large")
    sides = ((drawn.BEFORE, weights.latent, left), (drawn.AFTER, weights.quantized, middle if weights.latent else left))
    for side, picture, place in sides:
        if picture:
            alt = f"Weights of {named(weights.filters)} in {layer.layer} as small pictures, {side}."
            place.markdown(f"**{side.capitalize()}**")
            with place:
                records = scaling.picture_rows(picture, weights.filters)
                chart(drawn.pictures(weights, side, dark), f"filters-{side}", alt, records)
    with right if weights.latent else middle:
        st.markdown("**Counted**")
        levels = ", ".join(f"{n:,} of {x:.4f}" for x, n in zip(weights.levels, weights.level_counts, strict=True))
        alt = f"Histogram. Quantized weights: {levels}."
        chart(drawn.histograms(weights, dark), "weights", alt, scaling.count_rows(weights))
    st.caption(said.pictures(found, layer, group, weights) + " " + said.histograms(found, weights))


def code_section(configuration: Configuration, name: str, group: int) -> None:
    code(
        snippets.command("scales", configuration),
        scaling.python(configuration, name, group),
        "Prints every layer's scaling factors and the error that sharing adds. Add `--json` for JSON with everything.",
    )


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
