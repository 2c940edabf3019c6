"""A guided path over the pages: a question, a prediction, and then the answer with its numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from app import state
from app.figures import accuracy, seeds
from app.figures import model as figures
from app.figures.ledger import PARTS
from app.services import lessons, lessons_code, networks
from app.services.lessons_code import Code
from app.services.lessons_tasks import Counted
from app.views import words_bits
from app.views import words_lessons as words
from app.views.model import settings
from app.views.parts import ask, chart, code, follow, headline, not_done
from app.views.words import signed
from cfcore.config import Configuration
from cfcore.errors import CheckpointError

WIDTH = 760  # px: lines that are easily read
Onward = tuple[str, Configuration, Mapping[str, Any]]


@dataclass(frozen=True)
class Card:
    """A lesson that can be asked.

    options   what can be predicted, by key
    reveal    shows the answer, for the key that was predicted
    again     what prints its numbers
    goes_to   the page of the way on, the configuration to open it with, and the page's own controls by key
    """

    question: str
    options: Mapping[Any, str]
    reveal: Callable[[Any], None]
    again: Code
    goes_to: Onward


def page() -> None:
    st.title("Lessons", anchor=False)
    st.markdown(words.INTRODUCTION, width=WIDTH)
    number = st.pagination(len(LESSONS), key="lesson", bind="query-params")
    name = list(LESSONS)[number - 1]
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.caption(words.place(number, len(LESSONS)), help=words.LESSON_HELP)
        st.subheader(words.TITLES[name], anchor=False)
    try:
        card = LESSONS[name]()
        if isinstance(card, str):
            left.info(card)
        else:
            with left:
                guess = prediction(name, card)
            if guess is not None:
                with right.container(border=True, key="answer"):
                    card.reveal(guess)
                    view, configuration, more = card.goes_to
                    state.link_to(view, words.GOING_ON[name], configuration, more)
                    code(*card.again, words.AGAIN)
    except CheckpointError as error:
        left.error(str(error))
    beside(number)


def prediction(name: str, card: Card) -> Any:
    """The question, and what the reader committed to in this session; None before.

    It is not in the address: a link gives nothing away.
    """
    st.markdown(card.question)
    made = st.session_state.setdefault("predictions", {})
    options, key = list(card.options), f"prediction-{name}"
    before = options.index(made[name]) if made.get(name) in options else None
    guess = st.radio(words.PREDICTION, options, before, format_func=card.options.__getitem__, key=key)
    asked = st.button(words.SHOW, on_click=commit, args=(name,), key=f"show-{name}")
    if asked and guess is None:
        st.caption(words.FIRST)
    return guess if made.get(name) == guess else None  # another choice is a prediction of its own


def commit(name: str) -> None:
    """Keep the prediction, if one was made; for `on_click`."""
    guess = st.session_state[f"prediction-{name}"]
    if guess is not None:
        st.session_state["predictions"][name] = guess


def beside(number: int) -> None:
    """To the lessons before and after this one."""
    with st.container(horizontal=True):
        for label, to, icon in (
            ("Previous lesson", number - 1, ":material/chevron_left:"),
            ("Next lesson", number + 1, ":material/chevron_right:"),
        ):
            none, wish = to not in range(1, len(LESSONS) + 1), ("lesson", to)
            side: Literal["left", "right"] = "left" if to < number else "right"
            st.button(label, icon=icon, icon_position=side, disabled=none, on_click=state.choose, args=wish)


def answer(label: str, value: str, options: Mapping[Any, str], guess: Any, right: Any) -> None:
    headline(label, value, words.predicted(guess == right) if right is not None else "")
    if right is not None and guess != right:
        st.markdown(words.corrected(options[guess], options[right]))


# ---- the lessons


def bytes_lesson() -> Card:
    cost = lessons.cost()

    def reveal(guess: float) -> None:
        right = lessons.nearest(list(words.SIZES), cost.ratio)
        answer("Times smaller", f"{cost.ratio:.1f}×", words.SIZES, guess, right)
        said = "; ".join(f"with {PARTS[step.part]} {step.ratio:.2f}×" for step in cost.steps)
        records = [vars(step) for step in cost.steps]
        chart(figures.ratios(cost, state.is_dark()), "lesson-ratios", f"Memory, part by part: {said}.", records)
        st.caption(words.bytes_why(cost))

    goes_to: Onward = ("model", cost.configuration, {})
    return Card(words.bytes_question(cost), words.SIZES, reveal, lessons_code.ledger(), goes_to)


def sharing_lesson() -> Card | str:
    shared = lessons.shared()
    if shared is None:
        return words.NO_SEEDS

    def reveal(guess: str) -> None:
        right = words.sharing_right(shared.difference)
        points = f"{signed(shared.difference.mean)} points"
        answer("Layer-wise against m = 1", points, words.SHARINGS, guess, right)
        said = "; ".join(f"{group.label} {words.spread(group)}" for group in shared.seeds)
        figure, records = seeds.seeds(shared.seeds, state.is_dark()), lessons.seed_rows(shared)
        chart(figure, "lesson-seeds", f"Accuracies by group size: {said}.", records)
        st.caption(words.sharing_why(shared))

    configuration = lessons.ONE_BIT.with_group_size("layer")
    goes_to: Onward = ("scaling", configuration, {})
    return Card(words.SHARING_QUESTION, words.SHARINGS, reveal, lessons_code.sharing(shared), goes_to)


def bits_lesson() -> Card:
    signs = lessons.signs()
    options = {guess: words_bits.signed(guess) for guess in signs.guesses}

    def reveal(guess: int) -> None:
        answer("Dot product", words_bits.signed(signs.step.total), options, guess, signs.step.total)
        st.table(words.bits_rows(signs), border="horizontal")
        st.latex(words.bits_formula(signs))
        st.caption(words.bits_why(signs))

    goes_to: Onward = ("bits", Configuration(), {})
    return Card(words.bits_question(signs), options, reveal, lessons_code.bits(signs), goes_to)


def rounding_lesson() -> Card | str:
    found = lessons.survival()
    if found is None:
        return words.NO_FLOAT
    task, floats = found

    def reveal(guess: float) -> None:
        status = ask(task)
        counted: tuple[Counted, ...] = status.value or ()
        one = next((c for c in counted if c.configuration == task.one_bit), None)
        right = lessons.nearest(list(words.LEFT), one.accuracy) if one else None
        answer("Right with one bit, not trained", words.rounding_value(one), words.LEFT, guess, right)
        if status.active:
            follow(task)
        elif status.state != "done":
            not_done(task, status)
        if counted:
            scores = lessons.scores(counted)
            said = "; ".join(f"{score.label} {score.accuracy:.1f} %" for score in scores)
            figure, records = accuracy.comparison(scores, state.is_dark()), [score.to_dict() for score in scores]
            chart(figure, "lesson-survivors", f"Accuracies: {said}.", records)
            st.caption(words.rounding_why(scores, floats))

    goes_to: Onward = ("explorer", task.one_bit, {})
    return Card(words.rounding_question(floats), words.LEFT, reveal, lessons_code.rounding(task), goes_to)


def speed_lesson() -> Card | str:
    machines = lessons.timed()
    if not machines:
        return words.NO_TIMINGS
    shown, row = machines[0], machines[0].asked

    def reveal(guess: str) -> None:
        right = lessons.fastest(row)
        answer("The fastest", words.speed_value(right), words.TIMED_AS, guess, right)
        st.table(words.speed_rows(shown), border="horizontal")
        st.caption(words.speed_why(shown, lessons.first_loss(shown), machines[1:]))

    own = {"timed": "ResNet-18", "resnet18": row.layer, "machine": shown.name}
    goes_to: Onward = ("speed", Configuration(weight_bits=row.weight_bits, activation_bits=row.activation_bits), own)
    again = lessons_code.timings(shown, networks.folder())
    return Card(words.speed_question(row), words.TIMED_AS, reveal, again, goes_to)


def counting_lesson() -> Card | str:
    ways, near = lessons.ways()
    if near is None:
        return words.NO_CLOCK

    def reveal(guess: float) -> None:
        right = lessons.nearest(list(words.TIMES), near.times_faster)
        answer("Timed", f"{near.times_faster:.1f}×", words.TIMES, guess, right)
        st.table(words.counting_rows(ways), border="horizontal")
        st.caption(words.counting_why(near))

    goes_to: Onward = ("model", Configuration(group_size=1), settings(lessons.CANDIDATE))
    again = lessons_code.counting(near, networks.folder())
    return Card(words.counting_question(near, ways), words.TIMES, reveal, again, goes_to)


LESSONS: dict[str, Callable[[], Card | str]] = {
    "bytes": bytes_lesson,
    "sharing": sharing_lesson,
    "bits": bits_lesson,
    "rounding": rounding_lesson,
    "speed": speed_lesson,
    "counting": counting_lesson,
}

if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
