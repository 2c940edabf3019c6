"""How do XOR and popcount compute a convolution?"""

from dataclasses import replace
from typing import Any

import streamlit as st

from app import address, state
from app.figures import bits as figures
from app.figures.bits import Frame
from app.services import bits, networks
from app.services.bits import Flip, Layer, Place, View
from app.services.networks import Conv
from app.views import words_bits as words
from app.views.bit_table import bit_table
from app.views.parts import ask, chart, code, follow, headline, not_done, not_trained, segments, take_away
from app.views.words import no_network
from cfcore.config import Configuration
from cfcore.errors import CheckpointError, ConfigError

FLIPS = "bits_flips"  # in the address; in the session: which window's, and the flips
HELP = {
    "image": "Number of the test image, 0 to 9,999.",
    "row": "Row of the output, from the top. The window overhangs the border at the first, and often at the last too.",
    "column": "Column of the output, from the left. As with rows, the border is at the first and often at the last.",
    "filter": "Which filter's weights are used: each filter has its own sum.",
    "channel": "Here a word holds eight channels, starting with this one. The kernels' words hold 32.",
    "count": "xor counts bits that differ, xnor those that agree. The sum is the same.",
    "plane": "Bit i of a number, worth 2^i. Each plane of the activations is combined with each plane of the weights.",
}


def page() -> None:
    st.title("Bitwise convolution", anchor=False)
    configuration, layer = state.chosen()
    conv = networks.layers(configuration)[layer]
    st.markdown(words.INTRO + (words.INVITATION if configuration.method == "xnor" else ""))
    if configuration.method != "xnor":
        nothing_to_count(configuration)
    elif available(configuration):
        window_sections(configuration, conv)


def nothing_to_count(configuration: Configuration) -> None:
    st.markdown(words.nothing_to_count(configuration))
    st.button("Show it with xnor", on_click=state.choose, args=("method", "xnor"), icon=":material/grid_on:")
    st.caption("With method xnor, activations are quantized too, so both sides have bits to combine.")


def available(configuration: Configuration) -> bool:
    """Whether there is such a network; if not, say how to get one."""
    try:
        if configuration.source == "trained" and networks.trained(configuration) is not None:
            return True
        can_quantize = networks.has_float(configuration.model)
    except CheckpointError as error:
        st.error(str(error))
        return False
    if configuration.source == "post-training" and can_quantize:
        return True
    if not can_quantize:
        st.markdown(no_network(configuration.model, networks.with_float()))
        return False
    not_trained()
    return False


def window_sections(configuration: Configuration, conv: Conv) -> None:
    st.subheader("One window of a real image", anchor=False)
    image_box, maps_box, controls = st.columns([3, 6, 3], gap="medium")
    st.subheader("Word by word", anchor=False)
    words_box = st.container()
    with controls:
        place = choose_place(conv)
    if FLIPS not in st.session_state:  # what the address asks for is of the window that it opens with
        st.session_state[FLIPS] = (window_of(configuration, conv, place), st.query_params.get(FLIPS, frozenset()))
    task = bits.task(configuration, conv.name, place.image)
    status = ask(task)
    layer: Layer | None = status.value if status.state == "done" else None
    if layer is None:
        with maps_box.container(height=340, border=False):
            if status.active:
                follow(task)
            else:
                not_done(task, status)
        words_box.container(height=540, border=False).caption("The words appear here once the network has run.")
    else:
        with image_box:
            show_image(conv, layer, place)
        with maps_box:
            show_maps(configuration, conv, layer, place)
        with words_box:
            counted(configuration, conv, layer, place)
    notes(configuration, bits.hanging_over(conv, place))


# ---- which window


def choose_place(conv: Conv) -> Place:
    image = number("Test image", "bits_image", 0, bits.TEST_IMAGES - 1, HELP["image"])
    left, right = st.columns(2, gap="small")
    middle = conv.output_size // 2
    with left:
        row = number("Row", "bits_row", middle, conv.output_size - 1, HELP["row"])
    with right:
        column = number("Column", "bits_column", middle, conv.output_size - 1, HELP["column"])
    chosen = number("Filter", "bits_filter", 0, conv.filters - 1, HELP["filter"])
    channel = st.selectbox(
        "First channel", bits.first_channels(conv), key="bits_channel", help=HELP["channel"], bind="query-params"
    )
    return Place(image, row, column, chosen, channel)


def number(label: str, key: str, value: int, top: int, help: str) -> int:
    """A whole number from 0 to `top`; of one that a larger layer allowed, what this one allows."""
    kept = st.session_state.get(key)
    if isinstance(kept, int) and kept > top:
        st.session_state[key] = top
    return st.number_input(label, 0, top, value, key=key, help=help, bind=address.binding(key))


def frame(conv: Conv, place: Place) -> Frame:
    return Frame(
        place.row * conv.stride - conv.padding, place.column * conv.stride - conv.padding, conv.kernel, conv.size
    )


def show_image(conv: Conv, layer: Layer, place: Place) -> None:
    name = bits.label(layer, place.image)
    figure = figures.picture(bits.pixels(layer, place.image), frame(conv, place), state.is_dark())
    alt = f"Test image {place.image}, of class {name}, with the place of the window outlined."
    chart(figure, "bits-image", alt, bits.pixel_rows(layer, place.image))
    st.caption(
        f"Test image {place.image}: **{name}**. Outlined: the pixels under the window. Through earlier layers, the "
        "window also depends on pixels around them."
    )


def show_maps(configuration: Configuration, conv: Conv, layer: Layer, place: Place) -> None:
    top = 2**configuration.activation_bits - 1
    figure = figures.maps(bits.maps(layer, place), place.channel, top, frame(conv, place), state.is_dark())
    last = place.channel + bits.WORD - 1
    alt = (
        f"Channels {place.channel} to {last} of the input of {conv.name}, {conv.size} by {conv.size}, window outlined."
    )
    chart(figure, "bits-maps", alt, bits.map_rows(layer, place))
    values = "−1 (grey) or +1 (blue)" if top == 1 else f"a level from 0 (grey) to {top} (blue)"
    st.caption(
        f"The input of {conv.name} for this image: {conv.channels} channels of {conv.size}×{conv.size}, each number "
        f"{values}. Eight channels are shown; one cell from each, side by side, makes eight bits of a word. "
        "**Measured here**, now."
    )


# ---- its bits


@st.fragment
def counted(configuration: Configuration, conv: Conv, layer: Layer, place: Place) -> None:
    """The table and what it comes to. Flipping a bit draws only this again."""
    mode, planes = how(configuration)
    window = window_of(configuration, conv, place)
    try:
        flips = flips_of(window)
        view = bits.view(configuration, conv, layer, place, flips, planes)
        refused = []
    except ConfigError as error:  # of an address
        flips, refused = frozenset(), [address.instead(error, "no bit flipped")]
        view = bits.view(configuration, conv, layer, place, flips, planes)
    keep(window, flips)
    address.tell("flips", refused, (window, flips))
    shown = range(place.channel, place.channel + bits.WORD)
    visible = [replace(flip, channel=flip.channel - place.channel) for flip in flips if flip.channel in shown]
    turned = [flip for flip in visible if flip.plane == planes[flip.operand == "weight"]]

    def pressed(operand: str, tap: int, channel: int) -> None:
        side: Any = operand
        flip = Flip(side, planes[operand == "weight"], tap, place.channel + channel)
        keep(window, flips_of(window) ^ {flip})

    several = planes if len(view.part.planes) > 1 else None
    st.caption(words.MEANING[configuration.activation_bits == 1])
    bit_table(view.steps, mode, place.channel, turned, several, state.is_dark(), pressed)
    take_away(bits.step_records(view), "bit-steps")
    if several:
        plane_sums(configuration, view)
    results(configuration, conv, view, mode, len(visible), len(flips))
    code(
        bits.command(configuration, conv.name, place, flips),
        bits.python(configuration, conv.name, place, flips, planes),
        "Counts this window again, including flipped bits. Add `--json` for JSON with every bit.",
    )


def window_of(configuration: Configuration, conv: Conv, place: Place) -> object:
    """What flips belong to: a window in all its channels."""
    return configuration, conv.name, replace(place, channel=0)


def flips_of(window: object) -> frozenset[Flip]:
    """The flips of this window; those of another are forgotten. Raises ConfigError for what an address asked."""
    of, flips = st.session_state[FLIPS]
    if of != window:
        return frozenset()
    return bits.parsed(flips) if isinstance(flips, str) else flips


def keep(window: object, flips: frozenset[Flip]) -> None:
    """In the session and in the address."""
    st.session_state[FLIPS] = (window, flips)
    if flips:
        st.query_params[FLIPS] = bits.spelled(flips)
    else:
        st.query_params.pop(FLIPS, None)


def how(configuration: Configuration) -> tuple[str, tuple[int, int]]:
    """What joins the words, and which planes of activations and weights are shown."""
    mode, chosen = words.AND, []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if configuration.activation_bits == 1:
            mode = segments("Count", [words.XOR, words.XNOR], words.XOR, "bits_count", HELP["count"])
        for side, planes in (("activation", configuration.activation_bits), ("weight", configuration.weight_bits)):
            if planes == 1:
                chosen.append(0)
                continue
            chosen.append(
                st.selectbox(
                    f"{side.capitalize()} plane", range(planes), key=f"bits_{side}_plane", width=150,
                    help=HELP["plane"], bind="query-params",
                )
            )  # fmt: skip
    return mode, (chosen[0], chosen[1])


def results(configuration: Configuration, conv: Conv, view: View, mode: str, visible: int, flips: int) -> None:
    """visible: flips of the shown channels; flips: of all."""
    cards = [column.container(border=True, height="stretch") for column in st.columns(3)]
    with cards[0]:
        headline(f"These {bits.WORD} channels", words.signed(view.part.sum), words.equality(view.part))
        st.caption(words.part(view, mode, visible))
        st.button("Put the bits back", on_click=put_back, disabled=not flips, icon=":material/undo:")
    with cards[1]:
        headline(f"All {conv.channels} channels", words.signed(view.whole.sum), words.equality(view.whole))
        st.caption(words.whole(view, mode, conv.channels))
    with cards[2]:
        headline("Times the scaling factor", f"{view.scaled:.4f}".replace("-", "−"), "one output of the layer")
        st.caption(words.scaled(view, configuration, conv, flips))


def put_back() -> None:
    st.session_state[FLIPS] = (None, frozenset())


def plane_sums(configuration: Configuration, view: View) -> None:
    """A row for each plane of the activations, a column for each of the weights."""
    st.markdown("**Every pair of planes**, its power of two times its sum")
    table = {"pair": [f"activation plane {j}" for j in range(configuration.activation_bits)]}
    for i in range(configuration.weight_bits):
        table[f"weight plane {i}"] = [
            f"{p.factor} × {words.signed(p.sum)} = {words.signed(p.product)}"
            for p in view.part.planes
            if p.weight_plane == i
        ]
    st.table(table, border="horizontal")
    st.caption(f"They add up: {words.planes(view.part.planes)}.")
    take_away(bits.records(view), "bit-planes")


def notes(configuration: Configuration, missing: int) -> None:
    """What the table does not say by itself. `missing`: taps of the window that hang over the border."""
    signed = configuration.activation_bits == 1
    left, middle, right = st.columns(3, gap="large")
    with left:
        st.subheader("XOR or XNOR?" if signed else "Why AND?", anchor=False)
        st.markdown(words.XOR_OR_XNOR if signed else words.LEVELS)
    with middle:
        st.subheader("At the border", anchor=False)
        st.markdown(words.PADDING[signed])
        if missing:
            st.caption(words.hanging_over(missing))
        else:
            st.button("Go to a corner", on_click=go_to_corner, icon=":material/north_west:")
    with right:
        st.subheader("More bits", anchor=False)
        st.markdown(words.MORE_BITS)
        if configuration.weight_bits == configuration.activation_bits == 1:
            st.button("Show 2 × 2 bits", on_click=show_more_bits, args=(configuration,), icon=":material/layers:")


def go_to_corner() -> None:
    state.choose("bits_row", 0)
    state.choose("bits_column", 0)


def show_more_bits(configuration: Configuration) -> None:
    """Of a network that was trained with them, where one ships."""
    two = replace(configuration, weight_bits=2, activation_bits=2, source="trained")
    source = "post-training" if networks.trained(two) is None else "trained"
    for name, value in (("weight_bits", 2), ("activation_bits", 2), ("source", source)):
        state.choose(name, value)


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
