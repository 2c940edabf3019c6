"""What does a configuration do to accuracy, memory and speed, against float and against m = 1?"""

import time

import streamlit as st

from app import state
from app.figures import accuracy, layers, plane
from app.figures.accuracy import Score
from app.figures.look import factor
from app.figures.paying import named
from app.services import jobs, networks, scaling, snippets, speed_code, tasks
from app.services import speed as timings
from app.services.networks import Checkpoint, Conv, Cost, Entry
from app.services.speed_tasks import Timing
from app.views import words_explorer as words
from app.views.parts import ask, chart, code, follow, headline, not_done, not_trained
from app.views.speed_subject import Timed
from app.views.words import POST_TRAINING, bit_count, no_network
from app.views.words_speed import correct
from cfcore.config import Configuration
from cfcore.errors import CfcoreError, CheckpointError

AHEAD = 0.1  # seconds: a browser that has the charts too draws them before it shows how far the worker is


def page() -> None:
    st.title("Cross-filter compression", anchor=False)
    st.markdown(
        "A convolutional network can be stored in about one bit per weight if its filters also have scaling factors. "
        "Here, *m* filters share one ([Lyu, Zhu and Liu](https://arxiv.org/abs/2005.09034)): choose how, and see what "
        "that does to accuracy, memory and speed."
    )
    configuration, layer = state.chosen()
    convs = networks.layers(configuration)
    top, middle, end = (st.container() for _ in range(3))  # their order on the screen

    cost = networks.network_cost(configuration)
    with top.container(key="headlines"):
        cards = [column.container(border=True, height="stretch") for column in st.columns(4)]
    with cards[0]:
        entry, network = accuracy_card(configuration)
    with cards[1]:
        memory_card(cost, entry)
    with cards[2]:
        bits_card(configuration, convs[layer])
    with cards[3]:
        speed_card(configuration, convs[layer])
    status = quantizing(configuration)
    if status is not None and status.active and status.value is None:
        time.sleep(AHEAD)
    with middle:
        left, right = st.columns([3, 2], gap="large")
        with left:
            plane_section(configuration)
        with right:
            accuracy_section(configuration)
        layers_section(cost)
    with end:
        code_section(configuration, convs[layer], network is not None)


# ---- accuracy


def accuracy_card(configuration: Configuration) -> tuple[Entry | None, Checkpoint | None]:
    """The headline, and the network behind it once there is one."""
    try:
        if configuration.source == "trained":
            entry = networks.trained(configuration)
            if entry is not None:
                network = networks.stored(entry)
                trained_headline(entry)
                return entry, network
        can_quantize = networks.has_float(configuration.model)
    except CheckpointError as error:
        st.metric("Accuracy", "—")
        st.error(str(error))
        return None, None
    if configuration.source == "post-training" and can_quantize:
        return None, quantized_headline(configuration)
    st.metric("Accuracy", "not trained")
    if not can_quantize:
        st.caption(no_network(configuration.model, networks.with_float()))
        return None, None
    not_trained(st.caption)
    return None, None


def trained_headline(entry: Entry) -> None:
    others = networks.siblings(entry.configuration)
    own = next(score for score in others if score.chosen)
    paired = networks.paired(entry)
    headline("Accuracy", f"{entry.accuracy:.2f} %", words.differences(entry.accuracy, others, paired))
    st.caption(words.trained_accuracy(entry, own, others, paired))


def quantized_headline(configuration: Configuration) -> Checkpoint | None:
    """Ask the worker for the network, then for its like with m = 1; show how far it is and what it came to."""
    task = tasks.PostTraining(configuration, networks.folder())
    status = ask(task)
    if status.active:
        follow(task, quantized_number)
    elif status.state != "done":
        st.metric("Accuracy", "—")
        not_done(task, status)
    elif configuration == networks.filter_wise(configuration):
        quantized_number(status)
        quantized_caption(status)
    else:
        reference = tasks.PostTraining(networks.filter_wise(configuration), networks.folder(), tasks.REFERENCE)
        against = ask(reference)
        quantized_number(status, against)
        if against.active:
            follow(reference, label="For comparison, m = 1: ")
        else:
            quantized_caption(status)
    return status.value.checkpoint if status.value is not None else None


def quantized_number(status: jobs.Status, against: jobs.Status | None = None) -> None:
    counted: tasks.Counted | None = status.value
    if counted is None:
        headline("Accuracy", "…", "")
        return
    whole = counted.images == networks.TEST_IMAGES  # fewer images are not compared with all
    others = [o for o in networks.siblings(counted.checkpoint.configuration) if whole and o.label == "float"]
    if against is not None and against.state == "done":
        others.append(Score("m = 1", against.value.accuracy, against.value.images))
    so_far = "" if whole else " so far"
    headline("Accuracy", f"{counted.accuracy:.2f} %{so_far}", words.differences(counted.accuracy, others))
    if not whole:
        quantized_caption(status)


def quantized_caption(status: jobs.Status) -> None:
    """Of the whole count it comes in the place of what showed how far it is, so that nothing below moves."""
    counted: tasks.Counted = status.value
    score = Score("this", counted.accuracy, counted.images, True)
    st.caption(words.quantized_accuracy(score, counted.engine, counted.checkpoint.configuration.has_steps))


def plane_section(configuration: Configuration) -> None:
    st.subheader("Accuracy against memory", anchor=False)
    try:
        places = networks.places(configuration)
    except CheckpointError:  # said in the headline
        return
    counted = counted_here(configuration)
    if counted is not None and counted.images == networks.TEST_IMAGES:
        places.append(networks.place(configuration, counted.accuracy, chosen=True))
    if not places:
        st.caption(f"No trained {configuration.model} is shipped.")
        return
    said = "; ".join(f"{p.label} {p.accuracy:.2f} % in {p.bytes:,} bytes" for p in places)
    records = [place.to_dict() for place in places]
    chart(plane.plane(places, state.is_dark()), "plane", f"Accuracy and bytes: {said}.", records)
    st.caption(words.plane(places, configuration.source == "post-training"))


def counted_here(configuration: Configuration) -> tasks.Counted | None:
    """What the worker has counted of a network quantized after training, if anything."""
    status = quantizing(configuration)
    return status.value if status is not None else None


def quantizing(configuration: Configuration) -> jobs.Status | None:
    """How its quantizing after training stands, if it was asked for."""
    if configuration.source != "post-training":
        return None
    return jobs.worker().look(tasks.PostTraining(configuration, networks.folder()), state.session())


def accuracy_section(configuration: Configuration) -> None:
    st.subheader("Accuracy beside its siblings", anchor=False)
    try:
        scores = networks.siblings(configuration)
    except CheckpointError:  # said in the headline
        return
    rows = len(scores)
    if configuration.source == "post-training":
        quantized = dict.fromkeys((networks.filter_wise(configuration), configuration))
        rows += len(quantized)
        for other in quantized:
            counted = counted_here(other)
            if counted is not None:
                label = f"{networks.label(other)}, {POST_TRAINING}"
                scores.append(Score(label, counted.accuracy, counted.images, other == configuration))
    if not scores:
        st.caption(f"No trained {configuration.model} is shipped to compare with.")
        return
    said = "; ".join(f"{score.label} {score.accuracy:.2f} %" for score in scores)
    figure = accuracy.comparison(scores, state.is_dark(), rows)
    chart(figure, "accuracy", f"Accuracies: {said}.", [score.to_dict() for score in scores])
    st.caption(words.siblings(scores))


# ---- memory


def memory_card(cost: Cost, entry: Entry | None) -> None:
    ratio = "" if cost.configuration.method == "float" else f"{cost.ratio:.1f}× less than float"
    headline("Memory", f"{cost.bytes.total:,} bytes", ratio)
    filter_wise = networks.network_cost(networks.filter_wise(cost.configuration))
    st.caption(words.memory(cost, filter_wise, entry))


def bits_card(configuration: Configuration, conv: Conv) -> None:
    sharing = networks.sharing(configuration, conv)
    headline("Bits per weight", bit_count(sharing.ideal_bits), f"layer {conv.name}")
    st.caption(words.bits(configuration, conv.name, sharing))


def layers_section(cost: Cost) -> None:
    st.subheader("Layer by layer", anchor=False)
    said = "; ".join(f"{name} {size.total:,}" for name, size in layers.by_layer(cost).items())
    try:
        added, factors = scaling.added(cost.configuration)
    except CheckpointError:  # said in the headline
        added, factors = {}, None
    figure = layers.layers(cost, added, state.is_dark())
    chart(figure, "layers", f"Bytes by layer: {said}.", layers.records(cost, added))
    st.caption(words.layers(cost, added, factors))
    if cost.configuration.method != "float":
        st.caption(words.ledger_caveat(cost, networks.weakest(cost.configuration)))


# ---- speed


def timing_task(configuration: Configuration, conv: Conv) -> Timing:
    return Timing(timings.layer_name(conv), configuration.weight_bits, configuration.activation_bits)


def measured(configuration: Configuration, conv: Conv) -> Timed | None:
    """The timing of this layer: this machine's where there is one, else a shipped one. Raises CheckpointError."""
    if configuration.method != "xnor":
        return None
    task = timing_task(configuration, conv)
    status = jobs.worker().look(task, state.session())
    if status is not None and status.value is not None:
        return Timed(status.value, "")
    found = timings.shipped_layer(task.layer, (task.weight_bits, task.activation_bits), networks.folder())
    return Timed(found[1], found[0]) if found else None


def speed_card(configuration: Configuration, conv: Conv) -> None:
    try:
        timed = measured(configuration, conv)
    except CfcoreError as error:
        headline("Speed", "—", "")
        st.error(str(error))
        return
    packed = timed.benchmark.find("packed", "layer") if timed else None
    if timed is None or packed is None:
        headline("Speed", "—", f"layer {conv.name}")
        st.caption(words.no_speed(configuration, named(timings.layer_name(conv))))
        return
    if not timed.benchmark.all_correct:
        headline("Speed", "—", f"layer {conv.name}")
        st.caption(correct(timed.benchmark))
        return
    headline("Speed", f"{factor(packed.speedup_vs_fp32)} as fast", f"as torch fp32, in layer {conv.name}")
    st.caption(words.speed(timed.benchmark, packed, timed.here))


# ---- how to find it again


def speed_command(configuration: Configuration, conv: Conv) -> list[str]:
    """The command line of the timing, where one is shown."""
    try:
        timed = measured(configuration, conv)
    except CfcoreError:  # said in the headline
        return []
    if timed is None:
        return []
    if timed.here:
        task = timing_task(configuration, conv)
        return [speed_code.conv_command(task.layer, (task.weight_bits, task.activation_bits), timed.benchmark.threads)]
    return [speed_code.shipped_command(timed.name, networks.folder(), "layer")]


def code_section(configuration: Configuration, conv: Conv, is_there: bool) -> None:
    commands = [snippets.command("cost", configuration), *speed_command(configuration, conv)]
    does = "Computes the bytes, layer by layer."
    if is_there:
        engine = f" --engine {tasks.quickest_engine(configuration)}" if configuration.source == "post-training" else ""
        commands.insert(0, snippets.command("evaluate", configuration) + engine)
        does = "Counts the accuracy on the 10,000 test images, and computes the bytes, layer by layer."
    does += " The last line gives the speed." if len(commands) > 1 + is_there else ""
    code("\n".join(commands), snippets.python(configuration, is_there), f"{does} Add `--json` for JSON.")


if __name__ == "__main__":  # which is what Streamlit calls a page; not for those who import it
    page()
