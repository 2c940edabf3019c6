"""How fast is it on this machine, against fp32, bf16 and int8, and where does it not pay?"""

import streamlit as st

from app import address, state
from app.figures import paying, roofline, speed
from app.figures.look import factor
from app.services import networks, speed_code
from app.services import speed as timings
from app.services.speed import Crossover
from app.views import words_paying
from app.views import words_speed as words
from app.views.parts import chart, code, headline, measure, segments
from app.views.speed_subject import HERE, Subject, Timed, chosen, measured, timed
from app.views.words import count
from cfcore.errors import CheckpointError

FASTEST = "the fastest"
MUCH = 1.5  # times a network, that its layers take one by one
AGAINST = {FASTEST: None, "fp32": "torch-fp32", "bf16": "torch-bf16", "int8": "torch-int8"}


def page() -> None:
    st.title("Kernel speed", anchor=False)
    st.markdown(words.INTRO)
    above, layer = state.chosen()
    configuration = timings.timed_as(above)
    if configuration != above:
        st.caption(words.no_bits(above.method))
    try:
        sets = timings.names(networks.folder())
    except CheckpointError as error:
        st.error(str(error))
        sets = []
    subject = chosen(configuration, layer, sets)
    if subject is not None:
        timing = timed(subject)
        st.caption(stands_in(subject, timing) + (words.SAME_TIME if subject.conv else words.SAME_NETWORK))
        cards(subject, timing)
        timing_section(subject, timing)
        roofline_section(subject, timing)
    if sets:
        shown = subject.wanted if subject and subject.wanted in sets else sets[0]
        paying_section(subject, shown, sets)
        networks_section(shown)
    if subject is not None:
        code_section(subject, timing)


# ---- one layer or network


def stands_in(subject: Subject, timing: Timed | None) -> str:
    """Said where another set than the one that is asked for is shown."""
    if timing is None or timing.name in ("", subject.wanted):
        return ""
    here = subject.wanted == HERE
    said = words.not_here(timing.name) if here else words.other_set(subject.wanted, timing.name)
    return f"**{said}** "


def cards(subject: Subject, timing: Timed | None) -> None:
    """The headline numbers."""
    places = [column.container(border=True, height="stretch") for column in st.columns(3)]
    right = timing is None or timing.benchmark.all_correct
    ends = timing.ends(subject.stage) if timing and right else None
    if timing is None or ends is None:
        for place, label in zip(places, words.headlines(subject.conv is not None), strict=True):
            with place:
                headline(label, "—", subject.title)
                st.caption(words.NOT_TIMED if timing is None or right else words.correct(timing.benchmark))
        return
    packed, fp32, rival = ends
    fp32_label, rival_label, third_label = words.headlines(subject.conv is not None)
    with places[0]:
        at = f"{subject.title}, {paying.times_bits(*subject.bits)} bits"
        headline(fp32_label, f"{factor(fp32.median_s / packed.median_s)} as fast", at)
        threads = count(packed.threads, "thread")
        st.caption(f"{words.both_times(packed, fp32)} {words.label(timing.name)}, {threads}.")
    with places[1]:
        headline(rival_label, f"{factor(rival.median_s / packed.median_s)} as fast", f"as {words.named(rival)}")
        st.caption(words.verdict(packed, rival, timing.benchmark.disturbed))
    with places[2]:
        product = timing.benchmark.find("packed", "product")
        if product and product.of_port_bound:
            headline(third_label, words.share(product.of_port_bound), "the product alone")
            st.caption(words.of_bound(product, subject.bits))
        elif subject.conv:
            headline(third_label, "—", "the product alone")
            st.caption(words.NOT_TIMED)
        else:
            headline(
                third_label, f"{packed.batch / packed.median_s:,.0f}", f"packed, {words.images(packed.batch)} a call"
            )
            st.caption(f"Torch fp32 reaches {fp32.batch / fp32.median_s:,.0f}, {words.named(rival)} "
                       f"{rival.batch / rival.median_s:,.0f}.")  # fmt: skip


def timing_section(subject: Subject, timing: Timed | None) -> None:
    st.subheader(f"Time of {subject.title}", anchor=False)
    left, right = st.columns([3, 2], gap="large")
    with left:
        if timing is None:
            st.caption(words.no_timing(subject.layer, subject.bits, subject.batch))
        else:
            rows = timing.benchmark.rows
            said = "; ".join(f"{words.named(row)}, {row.stage}: {words.duration(row.median_s)}" for row in rows)
            figure = speed.speed(timing.benchmark, state.is_dark())
            chart(figure, "times", f"Time of a call. {said}.", [row.to_dict() for row in rows])
    with right:
        if timing is not None:
            if timing.benchmark.threads != subject.threads:
                st.caption(words.other_threads(timing.name, timing.benchmark.threads, subject.threads))
            st.caption(words.conditions(timing.benchmark, timing.name))
            st.caption(words.correct(timing.benchmark))
            for note in timing.benchmark.notes:
                st.caption(address.plain(note))
        if subject.wanted != HERE and measured(subject):
            st.caption(words.MEASURED)
        measure(subject.task, words.MEASURING, machine=HERE)


def roofline_section(subject: Subject, timing: Timed | None) -> None:
    if subject.conv is None or timing is None:
        return
    st.subheader("What bounds it", anchor=False)
    left, right = st.columns([3, 2], gap="large")
    points = timings.points(timing.benchmark)
    of_set = timing.name, subject.bits, subject.layer, networks.folder()
    others = [] if timing.here else timings.products(*of_set)
    best = None if timing.here else timings.best_share(*of_set)
    bits = paying.times_bits(*subject.bits)
    product = timing.benchmark.find("packed", "product")
    own = product.gmacs / product.of_port_bound if product and product.of_port_bound else None
    bound = own or timing.benchmark.bound  # measured in the same rounds, where it can be
    with left:
        said = "; ".join(
            f"{words.named(point)}, {point.stage}: {point.gmacs:,.0f} GMAC/s at {point.intensity:,.0f} a byte"
            for point in points
        )
        figure = roofline.roofline(points, others, bound, bits, state.is_dark())
        alt = f"Roofline. Port bound {bound:,.0f} GMAC/s; {said}."
        chart(figure, "roofline", alt, [point.to_dict() for point in points])
    with right:
        st.caption(words.bounded(points, best, bound, subject.conv))
        st.caption(words.ROOFLINE)
        st.caption(words.MARKS)


# ---- all that was recorded


def paying_section(subject: Subject | None, name: str, sets: list[str]) -> None:
    st.subheader("Where packed bits pay", anchor=False)
    folder = networks.folder()
    found = {each: timings.crossovers(timings.of_set(each, folder)) for each in sets}
    left, right = st.columns([3, 2], gap="large")
    with left:
        against = segments("Against", list(AGAINST), FASTEST, "against", words.AGAINST_HELP)
        if not found[name]:
            st.caption(f"{name} has no timing of layers.")
        else:
            outlined = (subject.layer, paying.times_bits(*subject.bits)) if subject else None
            figure = paying.paying(found[name], AGAINST[against], outlined, state.is_dark())
            said = words_paying.pays(name, found[name])
            alt = f"Map of layers by bits, {name}: how many times faster packed is. {said}"
            chart(figure, "paying", alt.replace("*", ""), [flat(name, crossover) for crossover in found[name]])
            said_of(name, "layer")
    with right:
        for each, rows in found.items():
            if rows:
                st.markdown(words_paying.pays(each, rows))
        st.markdown(words_paying.machines_differ(found))
        st.caption(words_paying.PLANES)
        outline = " The layer timed above is outlined." if subject and subject.conv else ""
        st.caption(words_paying.MAP.format(set=name) + outline)


def flat(name: str, crossover: Crossover) -> dict[str, object]:
    """A record as a row of a table."""
    row = crossover.to_dict()
    times = {f"times_faster_than_{backend}": times for backend, times in row.pop("times_faster").items()}
    return {"set": name, **row, **times}


def said_of(name: str, stage: str) -> None:
    """What was noted as a set was timed."""
    for remark in timings.remarks(timings.of_set(name, networks.folder()), stage):
        st.caption(f"{name}: {address.plain(remark)}")


def networks_section(name: str) -> None:
    found = timings.whole_networks(name, networks.folder())
    if not found:
        return
    st.subheader("Whole networks", anchor=False)
    st.table([words.network(row, crossover) for row, crossover in found], border="horizontal")
    others = [
        pair for other in timings.names(networks.folder()) for pair in timings.whole_networks(other, networks.folder())
    ]
    st.caption(words.networks(name, found, {row.layer for row, _ in others} - {row.layer for row, _ in found}))
    for row, crossover in found:
        added_up = timings.one_by_one(crossover, name, networks.folder())
        if added_up and added_up > MUCH * row.median_s:
            st.caption(words.one_by_one(row, added_up))
    said_of(name, "network")


def code_section(subject: Subject, timing: Timed | None) -> None:
    command, program = subject.again()
    if timing is None or timing.here:
        code(command, program, words.AGAIN)
        return
    folder = networks.folder()
    table = speed_code.shipped_command(timing.name, folder, subject.stage)
    code(f"{table}\n{command}", speed_code.shipped_program(timing.name, folder, subject.bits), words.SHIPPED)


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
