"""What an address asks for: each value that cannot be met is named in a sentence.

Streamlit itself drops what an address asks for and no control offers; so the address is read first.
"""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException

from app.services import networks
from cfcore.config import FLOAT_BITS, METHODS, MODELS, ORDERS, SOURCES, Configuration, check_bits, check_group_size
from cfcore.errors import ConfigError, bad_value

DEFAULT = Configuration()
SETTINGS = ("model", "method", "weight_bits", "activation_bits", "group_size", "order", "source")
LONGEST_SHOWN = 40  # characters of a bad value
CHOICES = {"model": MODELS, "method": METHODS, "order": ORDERS, "source": SOURCES}

UNUSED = {  # settings that a method has no control for
    "float": ("weight_bits", "activation_bits", "group_size", "order", "source"),
    "binary-weight": ("activation_bits",),
}


def refusals(address: Mapping[str, str]) -> list[str]:
    """One sentence for each setting in the address that cannot be met; what it does not name is fine."""
    model, method = address.get("model"), address.get("method", DEFAULT.method)
    filters = networks.widest(model if model in MODELS else DEFAULT.model)
    found = []
    for name in SETTINGS:
        try:
            if name in address:
                _check(name, _clipped(address[name]), method, filters)
        except ConfigError as error:
            if name in UNUSED.get(method, ()):
                found.append(_but(error, f"With method {method} it has no effect."))
            else:
                found.append(instead(error, getattr(DEFAULT, name)))
    return found


def _check(name: str, value: str, method: str, filters: int) -> None:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise bad_value(name, value, "one of " + ", ".join(CHOICES[name]), f"Choose {getattr(DEFAULT, name)}.")
    elif name == "group_size":
        check_group_size(number_or_text(value), filters)
    elif value != str(FLOAT_BITS) or method == "xnor" or (method, name) == ("binary-weight", "weight_bits"):
        check_bits(name, number_or_text(value))  # 32 stands in for bits where the method has none


def instead(error: ConfigError, shown: object) -> str:
    """What was refused, with what the page shows in place of advice."""
    return _but(error, f"The page shows {shown} instead.")


def _but(error: ConfigError, said: str) -> str:
    return f"{str(error).rpartition(' Choose ')[0]} {said}"


def _clipped(value: str) -> str:
    return value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…"


def number_or_text(value: str) -> object:
    return int(value) if re.fullmatch(r"-?(0|[1-9][0-9]{0,8})", value) else value


def layer_refusals(address: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The same for the layer picker, whose choices follow the model."""
    value = address.get("layer")
    if value is None or value in names:
        return []
    error = bad_value("layer", _clipped(value), f"{names[0]} to {names[-1]}", "Choose one.")
    return [instead(error, names[-1])]


def newly_asked() -> dict[str, str]:
    """What the address asks of controls that have not been drawn yet; later on they change it, not it them."""
    known = set(st.session_state)  # a name in an address may be one that no control can have
    return {name: st.query_params[name] for name in st.query_params if name not in known}


# ---- saying what was refused


def tell(what: str, refused: list[str], shown: object) -> None:
    """Show what was refused, for as long as the page shows what came in its place."""
    key = f"refused-{what}"
    if refused:
        st.session_state[key] = (refused, shown)
    sentences, instead_of_it = st.session_state.get(key, ([], None))
    if instead_of_it == shown:
        _warn(sentences)


def ask_for(name: str, value: str) -> None:
    """Note what a control of the page itself is to be set to, so that it is said if it cannot."""
    st.session_state.setdefault("asked", {})[name] = value


def binding(name: str) -> Literal["query-params"] | None:
    """For `bind` of a number's control: an endless number cannot be rounded. It is taken from the address, and the
    control is not bound before the next run; one that was bound before the browser's back button brought it lets go.
    """
    if not math.isinf(_number(st.query_params.get(name, "")) or 0.0):
        return "query-params"
    with contextlib.suppress(StreamlitAPIException):
        del st.query_params[name]
    return None


def tell_rest() -> None:
    """Say what the address asks of a page's own controls and they did not take, until they are changed. After the page:
    only then is it known what they offer. A control's value is a number or a text; what else is kept is no control.
    """
    asked, told = (st.session_state.setdefault(name, {}) for name in ("asked", "told"))
    for name in set(asked) & set(st.session_state):
        value, shown = asked.pop(name), st.session_state[name]
        is_control = isinstance(shown, str | int | float) and not isinstance(shown, bool)
        if is_control and value.lower() != str(shown).lower() and _number(value) != shown:
            error = bad_value(name, _clipped(value), "what its control offers", "Choose there.")
            told[name] = (instead(error, shown), shown, st.session_state["chosen"])
    now = st.session_state["chosen"]
    sentences = [
        said for name, (said, shown, then) in told.items() if (st.session_state.get(name), now) == (shown, then)
    ]
    _warn(sentences)


def _number(value: str) -> float | None:
    """As a number's control reads it: 1e1 and 010 are 10."""
    try:
        return float(value)
    except ValueError:
        return None


def _warn(sentences: Sequence[str]) -> None:
    if sentences:
        st.warning("\n\n".join(plain(sentence) for sentence in sentences))


def plain(sentence: str) -> str:
    """Text that Markdown leaves as it is: an address is written by anybody."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-.!|$~:&" else c for c in sentence)
