"""The controls, kept in the address, and the one frozen configuration they stand for; checked again on the server."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from app import address, link, presets
from app.address import DEFAULT, SETTINGS
from app.services import networks
from cfcore.config import (
    FLOAT_BITS,
    METHODS,
    MODELS,
    ORDERS,
    QUANTIZED_BITS,
    SOURCES,
    Configuration,
    GroupSize,
    check_group_size,
)
from cfcore.errors import ConfigError

HELP = {
    "model": "The network. Deeper ResNets and VGG show how cost grows; trained networks ship for only a few models.",
    "method": "float: nothing is quantized. binary-weight: the weights are, which saves memory. "
    "xnor: activations are too, so that convolutions can count bits, which saves time at few bits.",
    "weight_bits": "More bits usually preserve more accuracy. Quantized weights grow in proportion; what stays float "
    "does not, so the network grows less.",
    "activation_bits": "More bits usually preserve more accuracy; time grows with weight bits × activation bits.",
    "layer": "The convolution whose bits, speed and scaling factors are shown. Layers are numbered from the input; "
    "convs.0 is left out, as it stays float.",
    "group_size": "m: how many filters share one scaling factor. 1 is filter-wise, as in XNOR-Net; layer is one factor "
    "for a whole layer; sizes in between are cross-filter compression.",
    "order": "Which filters share: neighbours by index, as in the paper, or sorted by the size of their own factor, "
    "which is this project's addition.",
    "source": "trained: fine-tuned with exactly this configuration. post-training: the float network, quantized now "
    f"without training; {networks.CALIBRATION_IMAGES} training images set the activation steps and the batch norm "
    "statistics.",
}


def session() -> str:
    """This browser session's name, for the worker's queue."""
    return str(st.session_state.setdefault("session", uuid.uuid4()))


def is_dark() -> bool:
    return st.context.theme.type == "dark"


def group_sizes(model: str, also: object = None) -> list[GroupSize]:
    """The usual sizes of a model's groups, with `also` in its place where that is another good size."""
    *sizes, layer = networks.group_sizes(model)
    if isinstance(also, int) and 1 <= also <= networks.widest(model):
        sizes = sorted({*sizes, also})
    return [*sizes, layer]


# ---- the controls


def chosen() -> tuple[Configuration, str]:
    """What the row of controls stands for: the configuration, and the layer that is looked at closely."""
    configuration, layer = st.session_state["chosen"]
    return configuration, layer


def controls(hidden: bool = False, layer: bool = True) -> None:
    """Draw the row of controls, with only those that mean something, and say what was refused.

    Above every page: `chosen` tells it what they stand for. Hidden ones are kept, but neither seen nor tabbed to;
    `layer` leaves the choice of one to be seen.
    """
    if hidden:
        _hide(".st-key-preset-buttons, .st-key-controls")
    elif not layer:
        _hide(".st-key-layer")
    _restore()
    asked = address.newly_asked()
    refused = address.refusals(asked)
    above = st.container(horizontal=True, horizontal_alignment="distribute", key="presets")
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        model = _select("model", "Model", MODELS, 140)
        method = _select("method", "Method", METHODS, 160)
        settings: dict[str, Any] = {"model": model, "method": method}
        if method != "float":
            settings["weight_bits"] = _select("weight_bits", "Weight bits", QUANTIZED_BITS, 120)
            if method == "xnor":
                settings["activation_bits"] = _select("activation_bits", "Activation bits", QUANTIZED_BITS, 140)
            settings["group_size"] = _group_size(model, asked)
            if settings["group_size"] not in (1, "layer"):
                settings["order"] = _select("order", "Filter order", ORDERS, 130)
            settings["source"] = _select("source", "Source", SOURCES, 160)
        try:
            configuration = networks.canonical(Configuration.of(**settings))
            check_group_size(configuration.group_size, networks.widest(configuration.model))
        except ConfigError as error:  # no row of controls gets here; a forged message might
            refused.append(address.instead(error, "the configuration that it opens with"))
            configuration = DEFAULT
        names = list(networks.layers(configuration))
        refused_layers = address.layer_refusals(address.newly_asked(), names)
        name = str(_select("layer", "Layer", names, 140, opens_with=names[-1]))  # the last is the widest
    address.tell("settings", refused, configuration)
    address.tell("layer", refused_layers, (tuple(names), name))
    st.session_state["chosen"] = (configuration, name)
    st.session_state["kept"] = {**settings, "layer": name}
    for name, value in address.newly_asked().items():
        address.ask_for(name, value)
    with above:
        presets.draw(configuration)
        link.draw()


def _hide(controls: str) -> None:
    st.markdown(f"<style>{controls} {{ display: none; }}</style>", unsafe_allow_html=True)


def _restore() -> None:
    """Set again what the last screen was set to and the address no longer says.

    Streamlit drops it from the address, and sometimes altogether, when a page is left before its controls are drawn.
    """
    for name, value in st.session_state.get("kept", {}).items():
        if name not in st.query_params and value != getattr(DEFAULT, name, None):
            st.session_state[name] = st.session_state.get(name, value)


def _group_size(model: str, asked: Mapping[str, str]) -> GroupSize:
    """The control of m. A size from the address joins those on offer."""
    value = address.number_or_text(asked.get("group_size", str(st.session_state.get("group_size"))))
    chosen: GroupSize = _select("group_size", "Group size m", group_sizes(model, value), 140)
    return chosen


def choose(name: str, value: object) -> None:
    """Set a control from a button; for `on_click`."""
    st.session_state[name] = value


def link_to(page: str, label: str, configuration: Configuration, more: Mapping[str, Any]) -> None:
    """A link to a page at a configuration, with `more` of the page's own controls by key; in a window of its own, as
    the controls of this one keep their values whatever an address says.
    """
    settings = {name: getattr(configuration, name) for name in SETTINGS}
    bits = {name for name in ("weight_bits", "activation_bits") if settings[name] == FLOAT_BITS}  # no control has these
    query = urlencode({name: value for name, value in settings.items() if name not in bits} | dict(more))
    st.link_button(label, f"{'.' if page == 'explorer' else page}?{query}", icon=":material/open_in_new:")


def _select(name: str, label: str, options: Sequence[Any], width: int, opens_with: object = None) -> Any:
    default = getattr(DEFAULT, name) if opens_with is None else opens_with
    if name in st.session_state and st.session_state[name] not in options:  # else the address would keep it
        st.session_state[name] = default if default in options else options[-1]
    return st.selectbox(
        label,
        options,
        index=options.index(default) if default in options else len(options) - 1,
        key=name,
        help=HELP.get(name),
        width=width,
        bind="query-params",
    )
