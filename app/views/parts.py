"""What pages are made of: a headline number, a chart, and a job of the worker that is followed until it is done."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.services import jobs
from app.views import words

POLL_SECONDS = 0.25

Option = TypeVar("Option")


def headline(label: str, value: str, under: str) -> None:
    st.metric(label, value, delta=under or None, delta_color="off", delta_arrow="off")


def segments(label: str, options: Sequence[Option], default: Option, key: str, help: str) -> Option:
    """One of a few that are all seen; kept in the address, which may name none of them."""
    if st.session_state.get(key, default) is None:
        st.session_state[key] = default
    chosen: Option | None = st.segmented_control(
        label, options, default=default, required=True, key=key, help=help, bind="query-params"
    )
    tried = st.session_state.pop(f"{key}-tried", False)
    if chosen is None and not tried:  # once: after the browser's back button the address has its way in any run
        st.session_state[f"{key}-tried"] = True
        st.rerun()
    return default if chosen is None else chosen


def chart(
    figure: go.Figure,
    key: str,
    alt: str,
    records: Sequence[Mapping[str, Any]],
    touched: Callable[[], None] | None = None,
) -> None:
    """A figure, its picture and, as `records`, its numbers to take away; `touched` is called when a mark of it was
    chosen.
    """
    picture = {"toImageButtonOptions": {"format": "png", "filename": key, "scale": 2}}
    config = {"modeBarButtons": [["toImage"]], "displaylogo": False, **picture, "scrollZoom": False}
    st.plotly_chart(
        figure, theme=None, key=key, alt=alt, config=config, on_select=touched or "ignore", selection_mode="points"
    )
    take_away(records, key, "For the picture itself, use the camera at the chart's corner.")


def take_away(records: Sequence[Mapping[str, Any]], name: str, more: str = "") -> None:
    """A small menu that downloads rows of numbers as CSV or JSON; and `more` to know."""
    with st.popover("Download", icon=":material/download:", type="tertiary", key=f"download-{name}"):
        rows, text = [dict(record) for record in records], io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(field for row in rows for field in row)))
        table.writeheader()
        table.writerows(rows)
        st.download_button("CSV", text.getvalue(), f"{name}.csv", "text/csv", key=f"csv-{name}", on_click="ignore")
        document = json.dumps(rows, indent=1)
        st.download_button("JSON", document, f"{name}.json", "application/json", key=f"json-{name}", on_click="ignore")
        if more:
            st.caption(more)


def not_trained(say: Callable[[str], object] = st.info) -> None:
    """What is said of a configuration that was not trained, and the way on."""
    say("No network trained with this configuration is shipped. The float one can be quantized without training.")
    post_training_button()


def post_training_button() -> None:
    label, wish = "Quantize after training", ("source", "post-training")
    st.button(label, on_click=state.choose, args=wish, icon=":material/bolt:")


def code(command: str, python: str, does: str) -> None:
    """What brings back the numbers of the screen, for a terminal, where that can, and for Python. `does` says what it
    does.
    """
    with st.popover("Show the code", icon=":material/code:", type="tertiary"):
        st.caption(does)
        for text in filter(None, (command, python)):
            st.code(text, language=None, wrap_lines=True)  # one colour: the others are too faint on their ground


def ask(task: jobs.Task) -> jobs.Status:
    """How a job stands for this session; asked for if nobody has yet, unless this session stopped it."""
    status = look(task)
    if status is None or (given_up(task) is None and status.state not in ("done", "failed")):
        status = jobs.worker().request(task, state.session())
    return status


def look(task: jobs.Task) -> jobs.Status | None:
    """How a job stands for this session, if it was asked for. What it stopped is cancelled, though it may run on for
    others; one that was refused has failed.
    """
    status, ended = jobs.worker().look(task, state.session()), given_up(task)
    if ended is None or (ended.state == "cancelled" and status is not None and not status.active):
        return status
    return replace(status or ended, state=ended.state, problem=ended.problem)


def given_up(task: jobs.Task) -> jobs.Status | None:
    """How it ended for this session, which stopped it or was refused."""
    other, ended = st.session_state.get(f"given-up-{task.kind}", (None, None))
    return ended if other == task else None


def asked_here(task: jobs.Task) -> bool:
    """Whether it was started or stopped in this session."""
    return bool(st.session_state.get(f"given-up-{task.kind}", (None,))[0] == task)


@st.fragment(run_every=POLL_SECONDS)
def follow(task: jobs.Task, show: Callable[[jobs.Status], None] | None = None, label: str = "") -> None:
    """Looks again and again, and has the whole page drawn anew once there is more to show."""
    status = look(task)
    if status is not None and status.active:  # whoever watches wants it: else it ends when who asked for it leaves
        status = jobs.worker().request(task, state.session())
    if status is None or not status.active:
        st.rerun()
    if show is not None:
        show(status)
    drawn = f"drawn-{task.kind}"  # whether the rest of the page has a first result to show
    if status.value is not None and st.session_state.get(drawn) != task:
        st.session_state[drawn] = task
        st.rerun()
    waits = f"waiting for {words.count(status.ahead, 'other job')}" if status.ahead else "starting"
    text = label + (status.step or waits)
    st.progress(min(1.0, status.share), text=text[0].upper() + text[1:])
    st.button("Stop", key=f"stop-{task.kind}", on_click=stop, args=(task,), icon=":material/close:")


def start(task: jobs.Task, **settings: object) -> None:
    for name, value in settings.items():
        state.choose(name, value)
    status = jobs.worker().request(task, state.session(), again=True)
    refused = status if status.state == "failed" else None
    st.session_state[f"given-up-{task.kind}"] = task, refused


def stop(task: jobs.Task) -> None:
    st.session_state[f"given-up-{task.kind}"] = task, jobs.Status("cancelled")
    jobs.worker().cancel(task, state.session())


def not_done(task: jobs.Task, status: jobs.Status) -> None:
    st.caption(status.problem or "Stopped before it was done.")
    st.button("Start again", key=f"again-{task.kind}", on_click=start, args=(task,))


def measure(task: jobs.Task, does: str, **settings: object) -> None:
    """The button of a measurement, and how far the worker is. `does` says what to expect; it sets the controls named in
    `settings`, so that the result is shown.
    """
    status = look(task)
    if status is not None and status.active:
        follow(task)
        return
    if status is not None and (status.state == "failed" or (status.state == "cancelled" and asked_here(task))):
        st.caption(status.problem or "The measurement was stopped.")
    st.button(
        "Measure on this machine", on_click=start, args=(task,), kwargs=settings, key="measure", icon=":material/timer:"
    )
    st.caption(does)
