"""The sentences of the kernel speed page. What they say of who wins is counted in the records, never written down."""

from collections.abc import Sequence, Set

from app.figures.look import factor
from app.figures.paying import bits, times_bits
from app.figures.speed import BACKENDS
from app.services.networks import Conv
from app.services.speed import Benchmark, Crossover, Point, Row, filled
from app.views.words import count, listed, percent

INTRO = (
    "At one bit, a multiplication is an exclusive or, and adding up is counting bits: three instructions do both for "
    "hundreds of weights. How fast is that against torch's float32 (fp32), bfloat16 (bf16) and int8 (bytes), and where "
    "does it not pay?"
)
ROOFLINE = (
    "Higher is faster; further right means more computation for each byte. **Measured**: the rates and, at one bit on "
    "one thread, the dashed line: what exclusive or, bit count and add reach on registers alone. **Computed**: bytes, "
    "with each operand moved once, and the dotted lines of equal bytes per second."
)
MARKS = (
    "Filled: float32 in and out. Ring: the product alone, each in its own type. Diamond: packed in, packed out, as "
    "between two packed layers. Small rings: the product of other layers at these bits."
)


SAME_TIME = "Group size, filter order and source do not affect time: each output is scaled once, whatever m is."
SAME_NETWORK = (
    "Group size and filter order do not affect time: each output is scaled once, whatever m is. The trained network is "
    "timed; quantized after training, it keeps the float network's blocks, which may take another time."
)
NOT_TIMED = "Not timed yet: see below."
AGAINST_HELP = (
    "What packed bits are compared with: one of torch's types, or in each cell the fastest of all that were timed."
)
MEASURING = (
    "Runs on the machine that serves this page, in a separate process, one measurement at a time. A small layer takes "
    "seconds, a large one or a network a minute, longer on a busy machine: nothing else should run meanwhile. Stopping "
    "takes effect within seconds."
)
FAR = 0.8  # of the best share of the bound, below which a layer is said to fall behind
LITTLE = 0.05  # of a rate, below which nothing is said to be lost
MEASURED = "It was measured on this machine too: choose that under *Timings of*."
SHORT = 20e-6  # seconds that a call's beginning and end are seen in
AGAIN = "Measures it again. Times differ from run to run; the command's `--json` has every row."
SHIPPED = (
    "The first command prints this page's shipped table, the Python program everything else in that set; the second "
    "command measures on your own machine."
)


def no_bits(method: str) -> str:
    """Said where the chosen method counts no bits."""
    return (
        f"Method {method} keeps activations in float, so it counts no bits: xnor at 1 × 1 bits is timed here instead. "
        "Choose xnor above for other bits."
    )


def headlines(layer: bool) -> tuple[str, str, str]:
    """Labels of the three numbers."""
    return "Against fp32", "Against the fastest other", "Of the port bound" if layer else "Images per second"


def named(record: Row | Point) -> str:
    return BACKENDS.get(record.backend, record.backend)


def share(of_one: float) -> str:
    """A share in percent; one that would be rounded to nothing is not nothing.

    >>> share(0.874), share(0.004)
    ('87 %', 'under 1 %')
    """
    return f"{percent(of_one)}" if of_one >= 0.01 else "under 1 %"


def duration(seconds: float) -> str:
    """A time in the unit that leaves it short, in one piece.

    >>> [duration(s).replace("\N{NO-BREAK SPACE}", "_") for s in (8.04e-6, 0.00262, 0.0345)]
    ['8.0_µs', '2.62_ms', '34.5_ms']
    """
    if seconds < 0.001:
        return f"{seconds * 1e6:,.1f}\N{NO-BREAK SPACE}µs"
    return f"{seconds * 1e3:,.{2 if seconds < 0.01 else 1}f}\N{NO-BREAK SPACE}ms"


def images(batch: int) -> str:
    return count(batch, "image")


def both_times(packed: Row, other: Row) -> str:
    """Under a headline."""
    what = "Images in, logits out" if packed.stage == "network" else "Float in, float out"
    each = f"{duration(packed.median_s)} for {images(packed.batch)}"
    return f"{what}: {each}, {named(other)} {duration(other.median_s)}."


def verdict(packed: Row, rival: Row, disturbed: bool) -> str:
    """Whether it pays, against the fastest of all the others."""
    doubt = " **Other programs ran too, so this is uncertain.**" if disturbed else ""
    if packed.median_s < rival.median_s:
        said = f"Packed bits pay here. The fastest of the others, {named(rival)}, takes {duration(rival.median_s)}."
        return said + doubt
    times = factor(packed.median_s / rival.median_s)
    said = f"**Packed bits do not pay here**: {named(rival)} takes {duration(rival.median_s)} and is {times} as fast."
    return said + doubt


def of_bound(product: Row, at: tuple[int, int]) -> str:
    """Under the share of the port bound, which is measured at one bit on one thread and else follows from that."""
    whence = "**measured** in the same rounds"
    if at != (1, 1) or product.threads > 1:
        exact = f"{times_bits(*at)} bits and {count(product.threads, 'thread')}"
        whence += f" at one bit on one thread, **computed** from that for {exact}"
    return (
        f"{product.gmacs:,.0f} GMAC/s (billions of multiply-accumulates per second), packed in, integers out. A "
        "processor's ports take a few vector instructions per cycle; the bound is what exclusive or (AND for "
        "activations of more bits), bit count and add reach on registers alone, with nothing to load or store: "
        f"{whence}."
    )


def label(name: str) -> str:
    """Where a number comes from, in few words; `name` is of the shipped set, if any."""
    return f"**Measured** for the project and shipped, set {name}" if name else "**Measured here**"


def conditions(measurement: Benchmark, name: str) -> str:
    runs, machine = measurement.rows[0].runs, measurement.machine
    compiling = f" Compiling the kernels took {measurement.jit_s:.1f} s more, once." if measurement.jit_s > 0.1 else ""
    return (
        f"{label(name)}: {machine.cpu}, {machine.vectors}, torch {machine.torch}; "
        f"{count(measurement.threads, 'thread')}, {count(runs, 'interleaved run')} of each. Bars are medians, whiskers "
        f"the 10th to 90th percentile; one that is too long for the picture is cut off.{compiling}"
    )


def correct(measurement: Benchmark) -> str:
    if measurement.all_correct:
        return "Every result was first checked against the reference, and agreed."
    return "**A result differed from the reference: trust none.**"


def other_set(asked: str, shown: str) -> str:
    return f"{asked} has no timing of it; this one is from {shown}."


def not_here(shown: str) -> str:
    return f"Not measured on this machine yet: set {shown} is shown instead."


def other_threads(name: str, threads: int, asked: int) -> str:
    return (
        f"**{name} was timed with {count(threads, 'thread')}: that is shown.** For {count(asked, 'thread')}, measure "
        "on this machine."
    )


def no_timing(layer: str, at: tuple[int, int], batch: int) -> str:
    what = f"{layer}, {images(batch)} a call," if batch > 1 else layer
    return f"No timing of {what} at {times_bits(*at)} bits is shipped. Measure it on this machine."


def bounded(points: Sequence[Point], best: float | None, bound: float, conv: Conv) -> str:
    """What the picture shows of this layer: how near its product comes to the bound, and what float around it costs.

    best   share of the bound that the best packed product of other layers makes, if there are any
    bound  measured in the same rounds as the product
    """
    rates = {point.stage: point for point in points if point.backend == "packed"}
    if not {"product", "layer"} <= set(rates):
        return ""
    product, layer = rates["product"], rates["layer"]
    behind = _reasons(product, bound, conv) + (f" The best other layer reaches {share(best)}." if best else "")
    lost = 1 - layer.gmacs / product.gmacs
    costs = "next to nothing"
    if lost >= LITTLE:
        chain = rates.get("chain", layer)
        spares = "saves some of it" if chain.gmacs > layer.gmacs else "costs no less here, as each output is rounded"
        costs = f"{percent(lost)} of the product's rate; packing for a next packed layer (the diamond) {spares}"
    return (
        f"The packed product reaches {share(product.gmacs / bound)} of the port bound."
        f"{behind if product.gmacs / bound < FAR * (best or 1.0) else ''} From float to float, it moves "
        f"{layer.bytes / product.bytes:.1f}× the bytes and reaches {share(layer.gmacs / bound)}: float on both sides "
        f"costs {costs}."
    )


def _reasons(product: Point, bound: float, conv: Conv) -> str:
    """What is known to keep a product from the bound."""
    said = ""
    if (of_words := filled(conv)) < 1:
        said += f" Its {count(conv.channels, 'channel')} fill {share(of_words)} of the 32-bit words."
    shortest = product.intensity * product.bytes / bound / 1e9  # seconds that the arithmetic alone takes
    if shortest < SHORT:
        said += f" At the bound a call would take only {duration(shortest)}: so short that start-up and borders matter."
    return said


# ---- whole networks


def network(row: Row, crossover: Crossover) -> dict[str, str]:
    """One line of the table."""
    faster = {f"× {BACKENDS.get(backend, backend)}": factor(t)[:-1] for backend, t in crossover.times_faster.items()}
    return {"network": row.layer, "images": f"{row.batch}", "packed": duration(row.median_s), **faster}


def networks(name: str, found: Sequence[tuple[Row, Crossover]], missing: Set[str] = frozenset()) -> str:
    """missing: networks that another set times."""
    lacks = f" {name} has no timing of {listed(sorted(missing))}." if missing else ""
    at = listed(list(dict.fromkeys(bits(crossover) for _, crossover in found)))
    return (
        f"From float images to their logits, all of them in one call, at {at} bits; columns marked × say how many "
        "times as fast packed bits are. "
        f"The first layer and the classifier stay float.{alone(found)} {label(name)}.{lacks} Choose *whole network* "
        "above to see one in detail or to measure it here."
    )


def alone(found: Sequence[tuple[Row, Crossover]]) -> str:
    """Why a network gains more on one image than any of its layers: what torch takes of one alone, and of one of many.

    A network's float time is packed time times how many times faster packed is.
    """
    each = {
        (row.layer, row.batch): row.median_s * c.times_faster["torch-fp32"] / row.batch
        for row, c in found
        if "torch-fp32" in c.times_faster
    }
    for (network, batch), seconds in each.items():
        many = max((b for other, b in each if other == network), default=batch)
        if batch == 1 < many and seconds > each[network, many]:
            return (
                f" For a single image, torch fp32 takes {duration(seconds)} through {network}, and "
                f"{duration(each[network, many])} an image in a batch of {many}. Each of its operations is a separate "
                "call, which costs most with one image (how much was not measured), so a network can gain more than "
                "any of its layers."
            )
    return ""


def one_by_one(row: Row, added_up: float) -> str:
    """What a layer's own number holds besides its work shows where many small calls become one."""
    return (
        f"Timed one by one, from float to float, the packed layers of {row.layer} add up to {duration(added_up)}; the "
        f"whole network takes {duration(row.median_s)} in one call, float layers included. So a small layer's own "
        "number above also includes its call and float on both sides."
    )
