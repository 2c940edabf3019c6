"""What the kernel speed page times: its own controls, the task they stand for, and the timing there is of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import address, state
from app.services import jobs, networks, speed_code
from app.services import speed as timings
from app.services.networks import Conv
from app.services.speed import Benchmark, Row
from app.services.speed_tasks import NetworkTiming, Timing
from cfcore.config import Configuration
from cfcore.errors import CheckpointError, ConfigError

CHOSEN, RESNET18, VGG16, TYPED, NETWORK = "layer above", "ResNet-18", "VGG-16", "own shape", "whole network"
TIMED = (CHOSEN, RESNET18, VGG16, TYPED, NETWORK)
OPENS_WITH = "64,56,64,3,1"
HERE = "this machine"  # or the name of a shipped set


@dataclass(frozen=True)
class Subject:
    """A layer, or a network where `conv` is None.

    title  as the page calls it
    wanted  whose timings: `HERE`, or the shipped set that is asked first
    """

    title: str
    configuration: Configuration
    conv: Conv | None
    batch: int
    threads: int
    wanted: str

    @property
    def bits(self) -> tuple[int, int]:
        return self.configuration.weight_bits, self.configuration.activation_bits

    @property
    def layer(self) -> str:
        return timings.layer_name(self.conv) if self.conv else self.configuration.model

    @property
    def stage(self) -> str:
        """From float to float."""
        return "layer" if self.conv else "network"

    @property
    def task(self) -> Timing | NetworkTiming:
        """What measures it here."""
        if self.conv:
            return Timing(self.layer, *self.bits, self.threads)
        return NetworkTiming(self.configuration, networks.folder(), self.batch, self.threads)

    def again(self) -> tuple[str, str]:
        """The command and the program that measure it."""
        if self.conv:
            layer = self.layer, self.bits, self.threads
            return speed_code.conv_command(*layer), speed_code.conv_program(*layer)
        network = self.configuration, self.batch, self.threads
        return speed_code.network_command(*network), speed_code.network_program(*network)


@dataclass(frozen=True)
class Timed:
    """A timing; `name` is of the shipped set that it is from, "" where it was measured here."""

    benchmark: Benchmark
    name: str

    @property
    def here(self) -> bool:
        return not self.name

    def ends(self, stage: str) -> tuple[Row, Row, Row] | None:
        """Packed, fp32, and the fastest of all but packed, in a stage."""
        packed, fp32 = (self.benchmark.find(backend, stage) for backend in ("packed", "torch-fp32"))
        rival = self.benchmark.rival(stage)
        return (packed, fp32, rival) if packed and fp32 and rival else None


def measured(subject: Subject) -> Timed | None:
    """This machine's timing, if there is one."""
    status = jobs.worker().look(subject.task, state.session())
    return Timed(status.value, "") if status is not None and status.value is not None else None


def timed(subject: Subject) -> Timed | None:
    """This machine's timing where that is wanted and there is one, else a shipped one."""
    if subject.wanted == HERE and (here := measured(subject)):
        return here
    try:
        if subject.conv:
            found = timings.shipped_layer(subject.layer, subject.bits, networks.folder(), subject.wanted)
        else:
            network = subject.layer, subject.bits, subject.batch
            found = timings.shipped_network(*network, networks.folder(), subject.wanted)
    except CheckpointError:  # said above the controls
        return None
    return Timed(found[1], found[0]) if found else None


# ---- the controls


def chosen(configuration: Configuration, name: str, sets: list[str]) -> Subject | None:
    """The page's controls, and what they stand for. None, and a sentence, for a shape that cannot be timed."""
    conv: Conv | None = networks.layers(configuration)[name]
    title, batch = name, 1
    with st.container(horizontal=True, vertical_alignment="bottom", key="speed-controls"):
        what = _select("timed", "What is timed", TIMED, 160, "One convolution; or a network, from images to logits.")
        if what in (RESNET18, VGG16):
            title, conv = _imagenet(what)
        elif what == TYPED:
            title = _typed()
        elif what == NETWORK:
            title, conv = configuration.model, None
            configuration = timings.network_timed(configuration)
            batch = _select("batch", "Images in a call", timings.BATCHES, 150, "Many at once fill every thread.")
        threads = _select("threads", "Threads", range(1, timings.cores() + 1), 110, "The same for every backend.")
        wanted = _select("machine", "Timings of", [HERE, *sets], 150, MACHINE_HELP)
    if what == TYPED:
        try:
            conv = timings.parse_shape(title)
        except ConfigError as error:
            st.warning(address.plain(str(error)))
            return None
    return Subject(title, configuration, conv, batch, threads, wanted)


MACHINE_HELP = (
    "This machine's are measured with the button below; until then, the shipped set of the most similar machine is "
    "shown. The others are shipped sets."
)


def _select(key: str, label: str, options: Sequence[Any], width: int, does: str) -> Any:
    return st.selectbox(label, options, key=key, width=width, help=does, bind="query-params")


def _imagenet(network: str) -> tuple[str, Conv]:
    key = network.lower().replace("-", "")
    convs = timings.imagenet(key)
    does = f"3×3 convolutions of ImageNet's {network}, as C,H,F,K,S: channels, pixels, filters, kernel, stride."
    shape = _select(key, "Its layer", list(convs), 170, does)
    return f"{network} {convs[shape].name}", convs[shape]


def _typed() -> str:
    does = "Channels, height and width, filters, kernel, stride. Padding is half the kernel, rounded down."
    text = st.text_input("C,H,F,K,S", OPENS_WITH, key="shape", width=170, help=does, bind="query-params", max_chars=40)
    return (text or "").strip()
