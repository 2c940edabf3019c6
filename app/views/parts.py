"""What pages are made of: a headline number, a chart, and a job of the worker that is followed until it is done."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.services import jobs
from app.views import words

POLL_SECONDS = 0.25


def headline(label: str, value: str, under: str) -> None:
    st.metric(label, value, delta=under or None, delta_color="off", delta_arrow="off")


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
    take_away(records, key, "The picture itself: the camera at the chart's corner.")


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


def post_training_button() -> None:
    """The way on from a configuration that was not trained."""
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
    """How a job stands; asked for if nobody has yet, unless this session stopped it: then others may still want it."""
    worker, session = jobs.worker(), state.session()
    status = worker.look(task, session)
    if status is not None and stopped(task):
        return replace(status, state="cancelled", problem=words.STOPPED) if status.active else status
    if status is None or status.state not in ("done", "failed"):
        status = worker.request(task, session)
    return status


def stopped(task: jobs.Task) -> bool:
    """Whether this session does not want to wait for it."""
    return bool(st.session_state.get("stopped") == task)


@st.fragment(run_every=POLL_SECONDS)
def follow(task: jobs.Task, show: Callable[[jobs.Status], None] | None = None, label: str = "") -> None:
    """Looks again and again, and has the whole page drawn anew once there is more to show."""
    status = jobs.worker().look(task, state.session())
    if status is None or not status.active or stopped(task):
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
    st.session_state.pop("stopped", None)
    jobs.worker().request(task, state.session(), again=True)


def stop(task: jobs.Task) -> None:
    st.session_state["stopped"] = task
    jobs.worker().cancel(task, state.session())


def not_done(task: jobs.Task, status: jobs.Status) -> None:
    st.caption(status.problem or "Stopped before it was done.")
    st.button("Start again", key=f"again-{task.kind}", on_click=start, args=(task,))


def measure(task: jobs.Task, does: str, **settings: object) -> None:
    """The button of a measurement, and how far the worker is. `does` says what to expect; it sets the controls named in
    `settings`, so that the result is shown.
    """
    status = jobs.worker().look(task, state.session())
    if status is not None and status.active:
        follow(task)
        return
    if status is not None and status.state in ("failed", "cancelled"):
        st.caption(status.problem or "The measurement was stopped.")
    st.button(
        "Measure on this machine", on_click=start, args=(task,), kwargs=settings, key="measure", icon=":material/timer:"
    )
    st.caption(does)
