"""The controls, kept in the address, and the one frozen configuration they stand for; checked again on the server.

Streamlit itself drops what an address asks for and no control offers. So that nobody wonders, the address is read first
and each bad value named in a sentence.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st

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
    check_bits,
    check_group_size,
)
from cfcore.errors import ConfigError, bad_value

DEFAULT = Configuration()
SETTINGS = ("model", "method", "weight_bits", "activation_bits", "group_size", "order", "source")
LONGEST_SHOWN = 40  # characters of a bad value
PRESETS: dict[str, dict[str, Any]] = {  # what each sets beside the model; bits left out stay at 1
    "Float": {"method": "float"},
    "Binary-Weight, m = 1": {"method": "binary-weight", "group_size": 1},
    "XNOR-Net, m = 1": {"method": "xnor", "group_size": 1},
    "Cross-filter, m = 16": {"method": "xnor", "group_size": 16},
    "Layer-wise": {"method": "xnor", "group_size": "layer"},
    "Post-training, 4 bits": {
        "method": "xnor",
        "weight_bits": 4,
        "activation_bits": 4,
        "group_size": 16,
        "source": "post-training",
    },
}
CUSTOM = "Custom"
CHOICES = {"model": MODELS, "method": METHODS, "order": ORDERS, "source": SOURCES}

HELP = {
    "model": "The network. Deeper ResNets and VGG show how cost grows; trained ones are shipped for few.",
    "method": "float: nothing is quantized. binary-weight: the weights are, which saves memory. "
    "xnor: activations are too, so that convolutions can count bits, which saves time at few bits.",
    "weight_bits": "More bits keep more accuracy and cost memory in proportion.",
    "activation_bits": "More bits keep more accuracy; time grows with weight bits × activation bits.",
    "layer": "The convolution whose bits, speed and scaling factors are shown. They are numbered from the input; "
    "convs.0 is left out, as it stays float.",
    "group_size": "m: how many filters share one scaling factor. 1 is filter-wise, as in XNOR-Net; layer is one factor "
    "for a whole layer; between them is cross-filter compression.",
    "preset": "Six settings worth comparing. Changing any control makes it custom.",
    "order": "Which filters share: neighbours by index, as in the paper, or sorted by the size of their own factor, "
    "which is this project's addition.",
    "source": "trained: fine-tuned with this very configuration. post-training: the float network, quantized now.",
}


def session() -> str:
    """This browser session's name, for the worker's queue."""
    return str(st.session_state.setdefault("session", uuid.uuid4().hex))


def is_dark() -> bool:
    return st.context.theme.type == "dark"


# ---- what an address asks for


def refusals(address: Mapping[str, str]) -> list[str]:
    """One sentence for each setting in the address that cannot be met; what it does not name is fine."""
    model = address.get("model")
    filters = networks.widest(model if model in MODELS else DEFAULT.model)
    found = []
    for name in SETTINGS:
        try:
            if name in address:
                _check(name, _clipped(address[name]), address.get("method", DEFAULT.method), filters)
        except ConfigError as error:
            found.append(_instead(error, getattr(DEFAULT, name)))
    return found


def _check(name: str, value: str, method: str, filters: int) -> None:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise bad_value(name, value, "one of " + ", ".join(CHOICES[name]), f"Choose {getattr(DEFAULT, name)}.")
    elif name == "group_size":
        check_group_size(_number_or_text(value), filters)
    elif value != str(FLOAT_BITS) or method == "xnor" or (method, name) == ("binary-weight", "weight_bits"):
        check_bits(name, _number_or_text(value))  # 32 stands in for bits where the method has none


def _instead(error: ConfigError, shown: object) -> str:
    """What was refused, with what the page shows in place of advice."""
    return f"{str(error).rpartition(' Choose ')[0]} The page shows {shown} instead."


def _clipped(value: str) -> str:
    return value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…"


def _number_or_text(value: str) -> object:
    return int(value) if re.fullmatch(r"-?(0|[1-9][0-9]{0,8})", value) else value


def layer_refusals(address: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The same for the layer picker, whose choices follow the model."""
    value = address.get("layer")
    if value is None or value in names:
        return []
    error = bad_value("layer", _clipped(value), f"{names[0]} to {names[-1]}", "Choose one.")
    return [_instead(error, names[-1])]


def _newly_asked() -> dict[str, str]:
    """What the address asks of controls that have not been drawn yet; later on they change it, not it them."""
    return {name: st.query_params[name] for name in st.query_params if name not in st.session_state}


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


def controls() -> None:
    """Draw the row of controls, with only those that mean something, and say what was refused.

    Above every page: `chosen` tells it what they stand for.
    """
    _restore()
    asked = _newly_asked()
    refused = refusals(asked)
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
            refused.append(_instead(error, "the configuration that it opens with"))
            configuration = DEFAULT
        names = list(networks.layers(configuration))
        refused_layers = layer_refusals(_newly_asked(), names)
        layer = str(_select("layer", "Layer", names, 140, opens_with=names[-1]))  # the last is the widest
    _tell("settings", refused, configuration)
    _tell("layer", refused_layers, (tuple(names), layer))
    st.session_state["chosen"] = (configuration, layer)
    st.session_state["kept"] = {**settings, "layer": layer}
    for name, value in _newly_asked().items():
        ask_for(name, value)
    with above:
        _presets(configuration)
        _link()


def _restore() -> None:
    """Set again what the last screen was set to and the address no longer says.

    Streamlit drops it from the address, and sometimes altogether, when a page is left before its controls are drawn.
    """
    for name, value in st.session_state.get("kept", {}).items():
        if name not in st.query_params and value != getattr(DEFAULT, name, None):
            st.session_state[name] = st.session_state.get(name, value)


def preset(configuration: Configuration) -> str:
    """The preset that a configuration is one of, whatever its model, or "Custom"."""
    for name, settings in PRESETS.items():
        if configuration == networks.canonical(Configuration.of(model=configuration.model, **settings)):
            return name
    return CUSTOM


def _presets(configuration: Configuration) -> None:
    st.session_state["preset"] = preset(configuration)
    st.pills(
        "Preset",
        [*PRESETS, CUSTOM],
        key="preset",
        help=HELP["preset"],
        label_visibility="collapsed",
        on_change=_choose_preset,
    )


def _choose_preset() -> None:
    """Set every control that the preset names; the others to what a newcomer sees."""
    settings = PRESETS.get(st.session_state["preset"])
    if settings is None:  # custom, or what is chosen already
        return
    usual = {"weight_bits": 1, "activation_bits": 1, "order": DEFAULT.order, "source": DEFAULT.source}
    for name, value in {**usual, **settings}.items():
        st.session_state[name] = value


def _link() -> None:
    """The address of this very screen."""
    with st.popover("Link", icon=":material/link:", type="tertiary", key="link"):
        st.caption("Whoever opens it sees this screen.")
        query = urlencode(st.query_params.to_dict())
        st.code(f"{st.context.url or ''}{'?' if query else ''}{query}", language=None, wrap_lines=True)


def _group_size(model: str, asked: Mapping[str, str]) -> GroupSize:
    """The control of m. A size from the address joins those on offer."""
    value = _number_or_text(asked.get("group_size", str(st.session_state.get("group_size"))))
    chosen: GroupSize = _select("group_size", "Group size m", group_sizes(model, value), 140)
    return chosen


def choose(name: str, value: object) -> None:
    """Set a control from a button; for `on_click`."""
    st.session_state[name] = value


def link_to(page: str, label: str, configuration: Configuration, more: Mapping[str, Any]) -> None:
    """A link to a page at a configuration, with `more` of the page's own controls by key; in a window of its own, as
    the controls of this one keep their values whatever an address says.
    """
    settings = {name: getattr(configuration, name) for name in SETTINGS} | dict(more)
    address = urlencode({name: value for name, value in settings.items() if value != FLOAT_BITS})
    st.link_button(label, f"{'.' if page == 'explorer' else page}?{address}", icon=":material/open_in_new:")


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


def _tell(what: str, refused: list[str], shown: object) -> None:
    """Show what was refused, for as long as the page shows what came in its place."""
    key = f"refused-{what}"
    if refused:
        st.session_state[key] = (refused, shown)
    sentences, instead = st.session_state.get(key, ([], None))
    if sentences and instead == shown:
        st.warning("\n\n".join(plain(sentence) for sentence in sentences))


def ask_for(name: str, value: str) -> None:
    """Note what a control of the page itself is to be set to, so that it is said if it cannot."""
    st.session_state.setdefault("asked", {})[name] = value


def tell_rest() -> None:
    """Say what the address asks of a page's own controls and they did not take, until they are changed. After the page:
    only then is it known what they offer.
    """
    asked, told = (st.session_state.setdefault(name, {}) for name in ("asked", "told"))
    for name in [name for name in asked if name in st.session_state]:
        value, shown = asked.pop(name), st.session_state[name]
        if value.lower() != str(shown).lower():
            error = bad_value(name, _clipped(value), "what its control offers", "Choose there.")
            told[name] = (_instead(error, shown), shown, st.session_state["chosen"])
    now = st.session_state["chosen"]
    sentences = [
        said for name, (said, shown, then) in told.items() if (st.session_state.get(name), now) == (shown, then)
    ]
    if sentences:
        st.warning("\n\n".join(plain(sentence) for sentence in sentences))


def plain(sentence: str) -> str:
    """Text that Markdown leaves as it is: an address is written by anybody."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|$~:&" else c for c in sentence)
