"""What does the network get wrong now that it got right before?"""

import streamlit as st

from app import state
from app.figures import predictions as figures
from app.services import networks, picture, predictions
from app.services.predictions import CHANGES, CLASSES, Classify, Compare, Compared, Comparison
from app.views import gallery
from app.views import words_predictions as words
from app.views.parts import ask, chart, code, follow, headline, not_done, not_trained, take_away
from app.views.words import about_float, no_network, signed
from cfcore.config import Configuration
from cfcore.errors import CheckpointError, DataError

AT_A_TIME = 16  # images: whole rows of 2, 4 and 8
ANY = "any"
IMAGES, BY_CLASS, LOST = "The images", "Which classes, and taken for what", "Which right answers are lost"
SECTIONS = {IMAGES: 690, BY_CLASS: 650, LOST: 370}  # pixels held free below each title for what is being computed
NAMED = {"now wrong": "Right before, wrong now", "now right": "Wrong before, right now", "both wrong": "Wrong in both"}


def page() -> None:
    st.title("Predictions", anchor=False)
    st.markdown(words.LEAD)
    configuration, _ = state.chosen()
    answers, images, classes, confidence, own, end = (st.container() for _ in range(6))  # their order on the screen
    with answers:
        there = network_there(configuration)
        compared = answers_section(configuration) if there and configuration.method != "float" else None
    if compared is not None:
        comparison = compared.comparison
        with images:
            images_section(comparison)
        with classes:
            classes_section(comparison)
        with confidence:
            confidence_section(configuration, comparison)
    elif there and configuration.method != "float":
        for place, (title, height) in zip((images, classes, confidence), SECTIONS.items(), strict=True):
            place.subheader(title, anchor=False)
            place.container(height=height, border=False).caption("Shown here once both networks have finished.")
    if there:
        with own:
            picture_section(configuration)
    if compared is not None:
        with end:
            does = "Counts this page's numbers again, on all 10,000 test images. Add `--json` for JSON."
            code(predictions.command(configuration), predictions.python(configuration), does)


# ---- what there is to compare


def network_there(configuration: Configuration) -> bool:
    """Whether there are networks to ask; if not, says why, and what to do."""
    try:
        can_quantize = networks.has_float(configuration.model)
        is_trained = networks.trained(configuration) is not None
    except CheckpointError as error:
        st.error(str(error))
        return False
    if not can_quantize:
        st.info(no_network(configuration.model, networks.with_float()))
        return False
    if configuration.method == "float":
        st.info(words.FLOAT)
        st.button("Choose xnor", on_click=state.choose, args=("method", "xnor"), icon=":material/compare_arrows:")
    elif not is_trained and configuration.source == "trained":
        not_trained()
        return False
    return True


# ---- the headlines


def answers_section(configuration: Configuration) -> Compared | None:
    """How many answers changed, as far as they have been counted."""
    task = Compare(configuration, networks.folder())
    status = ask(task)
    found: Compared | None = status.value
    cards = [column.container(border=True, height="stretch") for column in st.columns(4)]
    with cards[0]:
        accuracy_headline(found)
        if status.active:
            follow(task)
        elif status.state != "done":
            not_done(task, status)
        elif found is not None:
            st.caption(words.accuracy(found))
    for card, (change, label) in zip(cards[1:], NAMED.items(), strict=True):
        with card:
            change_headline(change, label, found)
    if found is not None:
        blocks = networks.has_binary_blocks(configuration)
        st.markdown(words.balance(found.comparison, blocks) + about_float(configuration))
    elif status.active and (known := known_before(configuration)):
        st.markdown(known)
    return found


def accuracy_headline(found: Compared | None) -> None:
    if found is None:
        headline("Accuracy", "…", "")
        return
    counts = found.comparison.to_dict()
    after, before = (100 * counts[f"correct_{when}"] / counts["images"] for when in ("after", "before"))
    so_far = "" if counts["images"] == networks.TEST_IMAGES else " so far"
    headline("Accuracy", f"{after:.2f} %{so_far}", f"{signed(after - before)} against float")


def change_headline(change: str, label: str, found: Compared | None) -> None:
    if found is None:
        headline(label, "…", "")
    else:
        number = found.comparison.count(change)
        headline(label, f"{number:,}", words.share(number, len(found.comparison)))
    st.caption(words.CHANGES[change])


def known_before(configuration: Configuration) -> str:
    entry, floats = networks.trained(configuration), networks.trained(configuration.float_reference)
    return words.known(entry, floats) if entry and floats else ""


# ---- the images


def images_section(comparison: Comparison) -> None:
    st.subheader(IMAGES, anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", key="image-filters"):
        change = pick("change", "Show", CHANGES)
        true = pick("class", "True class", (ANY, *CLASSES))
        named = pick("named", "Named now", (ANY, *CLASSES))
    classes = (None if name == ANY else name for name in (true, named))
    numbers = predictions.which(comparison, change, *classes)
    st.caption(words.selected(len(numbers), AT_A_TIME), help=words.HELP["sheet"])
    if not numbers:
        return
    sheets = -(-len(numbers) // AT_A_TIME)
    sheet = st.pagination(sheets, key="sheet", bind="query-params") if sheets > 1 else 1
    first = (sheet - 1) * AT_A_TIME
    try:
        gallery.gallery(predictions.shown(comparison, numbers[first : first + AT_A_TIME]))
    except DataError as error:
        st.error(str(error))
    take_away([row.to_dict() for row in predictions.shown(comparison, numbers)], "images")


def pick(name: str, label: str, options: tuple[str, ...]) -> str:
    chosen: str = st.selectbox(
        label,
        options,
        key=name,
        help=words.HELP[name],
        width=160,
        bind="query-params",
        on_change=state.choose,
        args=("sheet", 1),
    )
    return chosen


# ---- by class and by confidence


def classes_section(comparison: Comparison) -> None:
    st.subheader(BY_CLASS, anchor=False)
    dark = state.is_dark()
    left, right = st.columns(2, gap="large")
    with left:
        rows = predictions.class_rows(comparison)
        said = "; ".join(f"{row['class']} {row['accuracy_before']:.1f} to {row['accuracy_after']:.1f}" for row in rows)
        alt = f"Accuracy in % of each class, from float to this network: {said}."
        chart(figures.classes(comparison, dark), "classes", alt, rows)
        st.caption(words.by_class(comparison))
    with right:
        alt = f"Confusion of this network less that of float. {words.by_pair(comparison)}"
        chart(figures.confusion(comparison, dark), "confusion", alt, predictions.confusion_rows(comparison))
        st.caption(words.by_pair(comparison))
        true, named, more = predictions.commonest_mistake(comparison)
        if more > 0:
            label = f"Show the images above: {true} now taken for {named}"
            st.button(label, on_click=show_pair, args=(true, named), icon=":material/image_search:")


def show_pair(true: str, named: str) -> None:
    for name, value in {"change": "now wrong", "class": true, "named": named, "sheet": 1}.items():
        state.choose(name, value)


def confidence_section(configuration: Configuration, comparison: Comparison) -> None:
    st.subheader(LOST, anchor=False)
    bins = predictions.confidence_bins(comparison)
    if not bins:
        st.caption("Float got none of these images right.")
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        said = "; ".join(f"{figures.span(found)} %: {found.lost} of {found.right}" for found in bins)
        alt = f"Right answers of float that are wrong now, by its confidence: {said}."
        rows = [{"from": found.low, "to": found.high, "right": found.right, "lost": found.lost} for found in bins]
        chart(figures.lost(bins, state.is_dark()), "lost", alt, rows)
    with right:
        st.markdown(words.by_confidence(bins, comparison, networks.smooths_otherwise(configuration)))


# ---- the learner's own picture


def picture_section(configuration: Configuration) -> None:
    st.subheader("A picture of your own", anchor=False)
    st.markdown(words.TEN)
    uploaded = st.file_uploader(
        "A PNG, JPEG or WebP of up to 5 MB", ["png", "jpg", "jpeg", "webp"], key="picture", help=words.HELP["picture"]
    )
    st.caption(words.KEPT)
    if uploaded is None:
        st.session_state.pop("decoded", None)
        return
    if st.session_state.get("decoded", (None,))[0] != uploaded.file_id:
        st.session_state["decoded"] = (uploaded.file_id, decoded(uploaded.getvalue()))
    found: picture.Picture | str = st.session_state["decoded"][1]
    if isinstance(found, str):
        st.error(found)
        return
    whole, seen, answers = st.columns([1, 1, 2], gap="large")
    with whole:
        gallery.plain(found.preview, "Your picture; the darker part is cut off")
        st.caption("Your picture. The darker part is cut off.")
    with seen:
        gallery.sharp(found.seen, "Your picture as the network sees it, 32 × 32 pixels")
        st.caption(words.seen(found))
    with answers:
        picture_answers(Classify(configuration, networks.folder(), found.pixels))
    with st.expander("Show the code for this picture", icon=":material/code:"):
        st.caption("Runs this network again in Python. It needs the image that the network sees:")
        st.download_button(
            "seen.png", found.seen, "seen.png", "image/png", on_click="ignore", icon=":material/download:"
        )
        st.code(predictions.python_picture(configuration), language=None, wrap_lines=True)


def decoded(content: bytes) -> picture.Picture | str:
    """The picture, or the sentence that says why there is none."""
    try:
        return picture.read(content)
    except DataError as error:
        return str(error)


def picture_answers(task: Classify) -> None:
    status = ask(task)
    if status.active:
        follow(task)
    elif status.state != "done":
        not_done(task, status)
    else:
        labels = ["Float"] if len(status.value) == 1 else ["Float", "This network"]
        for column, label, probabilities in zip(st.columns(len(labels)), labels, status.value, strict=True):
            (name, confidence), *others = predictions.top(probabilities, 3)
            with column:
                headline(label, name, f"confidence {confidence:.1f} %")
                st.caption("then " + ", ".join(f"{other} {share:.1f} %" for other, share in others))
        before, after = (*status.value, None)[:2]
        figure = figures.probabilities(before, after, state.is_dark())
        said = "; ".join(
            f"{label}: " + ", ".join(f"{name} {share:.1f} %" for name, share in predictions.top(values, len(CLASSES)))
            for label, values in zip(labels, status.value, strict=True)
        )
        rows = predictions.class_probabilities(labels, status.value)
        chart(figure, "probabilities", f"Each network's confidence in each class. {said}.", rows)


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
