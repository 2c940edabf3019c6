"""Which configuration suits a size or an accuracy, and what changes between two of them?"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import address, state
from app.figures import plane
from app.services import networks, whatif, whatif_pair
from app.services.whatif import LIMITS, Candidate
from app.services.whatif_pair import Compared, Timings
from app.views import words_whatif as words
from app.views.parts import chart, code, follow, given_up, look, not_done, segments, start, take_away
from cfcore.config import Configuration
from cfcore.errors import CheckpointError

LISTED = ("all", "trained")
FORMATS = {  # of the columns that hold numbers
    "accuracy": "%.2f",
    "bytes": "localized",
    "ratio": "%.1f×",
    "bits_per_weight": "%.4f",
    "scaling_factors": "localized",
    "bitwise_macs": "compact",
    "float_macs": "compact",
    "fewer_operations": "%.1f×",
    "epochs": "%d",
    "weight_bits": "%d",
    "activation_bits": "%d",
}
WIDTHS = {"label": 250, "pin": 50, "accuracy": 88, "bytes": 84, "method": 112}
TALL = 388  # pixels: ten rows and the heading


def page() -> None:
    st.title("What-if", anchor=False)
    st.markdown(words.LEAD)
    above, _ = state.chosen()
    current = whatif.own(above)
    limit, listed = table_controls()
    answer, table, pins = (st.container() for _ in range(3))  # their order on the screen
    with pins:
        st.subheader("Two of them compared", anchor=False)
        pair = pinned(current)
        if above.source == "post-training":
            st.caption(words.POST_TRAINING)
    try:
        found = whatif.candidates(current.model, (current, *pair))
    except CheckpointError as error:
        st.error(str(error))
        return
    a, b = (next(c for c in found if c.configuration == configuration) for configuration in pair)
    names = {a.configuration: "A", b.configuration: "B"} if a != b else {a.configuration: "A, B"}
    within = whatif.fitting(found, LIMITS[limit])
    with answer:
        st.markdown(f"{words.most_accurate(current.model, found, within, limit)} {words.near_float(found, limit)}")
    with table:
        table_section([c for c in within if listed == "all" or c.accuracy is not None], names, limit, listed, found)
    timed, problem = timings(a, b)
    left, right = st.columns([3, 2], gap="large")
    with left:
        comparison_section(a, b, timed, problem)
    with right:
        plane_section(found, (a, b), names, limit)
    again = (a, b), timed, networks.folder()
    code(whatif_pair.commands(*again), whatif_pair.code(*again), words.DOES)


# ---- the table


def table_controls() -> tuple[str, str]:
    """The byte limit, and what is listed."""
    with st.container(horizontal=True, key="whatif-controls"):
        limit: str = st.selectbox(
            "At most", list(LIMITS), key="at_most", help=words.HELP["at_most"], width=140, bind="query-params"
        )
        listed = segments("List", LISTED, LISTED[0], "listed", words.HELP["listed"])
    return limit, listed


def table_section(
    rows: Sequence[Candidate], names: dict[Configuration, str], limit: str, listed: str, found: Sequence[Candidate]
) -> None:
    if not rows:
        st.caption(words.nothing(found, limit, listed))
        return
    st.dataframe(
        [words.row(candidate, names.get(candidate.configuration, "")) for candidate in rows],
        width="stretch",
        height=TALL if len(rows) > 9 else "content",
        hide_index=True,
        column_config=columns(),
        placeholder="",
        key="whatif-table",
        alt=f"{len(rows)} configurations of {rows[0].configuration.model}, the most accurate first, then the smallest",
    )
    st.caption(f"{words.listing(rows)} {words.TABLE}")
    take_away([candidate.to_dict() for candidate in rows], "what-if")


def columns() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (heading, meaning) in words.COLUMNS.items():
        if name in FORMATS:
            found[name] = st.column_config.NumberColumn(
                heading, help=meaning, format=FORMATS[name], width=WIDTHS.get(name)
            )
        elif name == "group_size":  # numbers, and "layer"
            found[name] = st.column_config.TextColumn(heading, help=meaning, width=54, alignment="right")
        else:
            found[name] = st.column_config.TextColumn(heading, help=meaning, width=WIDTHS.get(name))
    return found


# ---- the two that are compared


def pinned(current: Configuration) -> tuple[Configuration, Configuration]:
    """The controls of A and B, and what they stand for."""
    labels = [whatif.label(configuration) for configuration in whatif.usual(current.model)]
    with st.container(horizontal=True, vertical_alignment="bottom", key="pins"):
        a = pin("a", words.AS_ABOVE, current, current, labels)
        b = pin("b", words.SIBLING, whatif_pair.against(a), current, labels)
        for name in "ab":
            st.button(
                f"Pin the chosen one as {name.upper()}", key=f"pin-{name}", icon=":material/keep:",
                help=words.KEEPS, on_click=state.choose, args=(name, whatif.label(current)),
            )  # fmt: skip
    return a, b


def pin(
    name: str, default: str, stands_for: Configuration, current: Configuration, labels: Sequence[str]
) -> Configuration:
    """One of the two. A label that is not usual, from the address or a button, joins those on offer."""
    asked = str(st.session_state.get(name) or st.query_params.get(name, default))
    also = [asked] if whatif.configuration_of(asked, current.model) else []
    options = list(dict.fromkeys((default, *also, whatif.label(current), *labels)))
    if asked not in options:  # the model cannot have it
        address.ask_for(name, asked)
        st.session_state[name] = default
    chosen = st.selectbox(name.upper(), options, key=name, help=words.HELP[name], width=290, bind="query-params")
    return whatif.configuration_of(chosen, current.model) or stands_for


def comparison_section(a: Candidate, b: Candidate, timed: Timings | None, problem: str) -> None:
    st.markdown(f"A is **{a.label}**, B **{b.label}**. {words.differ(a, b)} {words.caveats(a, b)}")
    found = whatif_pair.quantities(a, b, timed)
    st.table(words.comparison(found, timed), border="horizontal", hide_index=True)
    st.caption(problem or words.speed(a, b, timed))
    take_away([quantity.to_dict() for quantity in found], "comparison")
    same_images(a, b)


def same_images(a: Candidate, b: Candidate) -> None:
    """Ask both about every test image, on a button: what each alone gets right tells a difference from chance."""
    if not whatif_pair.both_trained((a, b)):
        return
    task = whatif_pair.on_same_images(a, b, networks.folder())
    status = look(task)
    if status is None or (status.state == "cancelled" and given_up(task) is None):  # by another session
        st.button(words.ASK_BOTH, help=words.HELP["both"], on_click=start, args=(task,), icon=":material/balance:")
        return
    found: Compared | None = status.value
    if found is not None:
        st.markdown(words.same_images(found.comparison))
    if status.active:
        follow(task)
    elif status.state != "done":
        not_done(task, status)


def timings(a: Candidate, b: Candidate) -> tuple[Timings | None, str]:
    """What is shipped of their times, or the sentence that says what is wrong with it."""
    try:
        return whatif_pair.timings(a.configuration, b.configuration, networks.folder()), ""
    except CheckpointError as error:
        return None, str(error)


def plane_section(
    found: Sequence[Candidate], pair: Sequence[Candidate], names: dict[Configuration, str], limit: str
) -> None:
    places = whatif.places(found, LIMITS[limit], names)
    if not places:
        return
    said = "; ".join(f"{p.name} {p.label}, {p.accuracy:.2f} % in {p.bytes:,} bytes".strip() for p in places)
    records = [{**place.to_dict(), "pinned": place.name, "within_limit": not place.pale} for place in places]
    chart(plane.plane(places, state.is_dark()), "whatif-plane", f"Accuracy and bytes: {said}.", records)
    st.caption(words.plane(found, pair, limit))


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
