"""The sentences of the Explorer: what each number means, where it comes from, and where the method does not pay."""

from collections.abc import Mapping, Sequence

from app import address
from app.figures.accuracy import Score, chance
from app.figures.look import factor
from app.figures.plane import Place, frontier
from app.figures.speed import BACKENDS
from app.services import networks
from app.services.networks import Cost, Entry, Paired, Sharing
from app.services.scaling import Factors
from app.services.speed import Benchmark, Row
from app.views.words import (
    CHANCE,
    POST_TRAINING,
    about_float,
    about_sharing,
    bit_count,
    count,
    listed,
    noted,
    percent,
    signed,
)
from cfcore.config import Configuration

LOW = 35.0  # %, below which a network is of no use for anything


# ---- accuracy


def differences(accuracy: float, others: Sequence[Score], paired: Paired | None = None) -> str:
    """This accuracy less those of the float network and of m = 1, in points; those that are not there are left out.

    paired  less m = 1 by seed, where known: the files that ship may be of different seeds
    """
    points = {other.label: signed(accuracy - other.accuracy) for other in others if not other.chosen}
    said = [f"{points[label]} against {label}" for label in ("float", "m = 1") if label in points]
    if paired and "m = 1" in points:
        said[-1] = f"{signed(paired.mean)} against m = 1"
    return ", ".join(said)


def trained_accuracy(entry: Entry, score: Score, others: Sequence[Score], paired: Paired | None) -> str:
    seeds = " Trained with one seed; another seed would give a slightly different accuracy."
    if len(entry.seeds) > 1:
        low, high = min(entry.seeds.values()), max(entry.seeds.values())
        last = "epoch" if entry.epochs == 1 else f"{entry.epochs} epochs"
        seeds = f" {len(entry.seeds)} seeds for the last {last} gave {low:.2f} to {high:.2f} %; the median is shown."
    if paired:
        seeds += (
            f" The difference to m = 1 is the mean over pairs of the same seed, with a 95 % confidence interval of "
            f"±{paired.chance:.2f} points for this start and these images."
        )
    seeds += about_sharing(entry.configuration) + about_float(entry.configuration)
    lone = ""
    if entry.configuration.method != "float" and all(other.label != "m = 1" for other in others):
        lone = " There is no trained m = 1 network with these bits."
    return (
        f"Top-1 accuracy on CIFAR-10's 10,000 test images, ±{score.margin:.2f} points (95 % confidence interval for "
        f"so many images). **Measured** for the project, on the stored file.{seeds}{lone}"
    )


def siblings(scores: Sequence[Score]) -> str:
    """Under the accuracies side by side: which they are and where they come from."""
    quantized = [score for score in scores if score.label != "float"]
    here = [score for score in quantized if score.label.endswith(POST_TRAINING)]
    which = "The float network and the networks" if len(quantized) < len(scores) else "The networks"
    shipped = "" if len(quantized) > len(here) else ", of which no quantized one is trained and shipped"
    orders = {"sorted" in score.label for score in quantized}
    alike = "model, method, bits and order" if len(orders) == 1 else "model, method and bits (sorted ones are marked)"
    others = f"{which} with the same {alike}{shipped}. " if quantized else ""
    where = "with its stored file" + ("; post-training **measured here**" if here else "")
    return (
        f"{others}Whiskers: 95 % confidence interval for the choice of test images; training seeds are not "
        f"included. **Measured** for the project, each {where}."
    )


def quantized_accuracy(score: Score, engine: str, has_steps: bool) -> str:
    """Of a network quantized after training."""
    how = "on packed bits" if engine == "packed" else "with float arithmetic on the quantized values"
    verdict = ""
    if score.accuracy < LOW:
        verdict = f" Guessing gives {CHANCE:.0f} %: this configuration has to be trained to be useful."
    if score.images < networks.TEST_IMAGES:
        return f"On the first {score.images:,} test images, ±{score.margin:.2f} points. **Measured here**.{verdict}"
    return (
        f"Top-1 accuracy on the 10,000 test images, ±{score.margin:.2f} points (95 % confidence interval for so "
        f"many images). **Measured here**, now, {how}: the float network, quantized without training; "
        f"{networks.CALIBRATION_IMAGES} training images set {'the steps and ' * has_steps}the batch norm statistics."
        f"{verdict}"
    )


def plane(places: Sequence[Place], awaited: bool = False) -> str:
    """Under the plane: how to read it, and whether the network shown is beaten."""
    lit = next((place for place in places if place.chosen), None)
    verdict = " The one shown is added once all test images are counted."
    if lit is not None or not awaited:
        verdict = "" if lit is None else f" {beaten(lit, places)}"
    return (
        "Up and to the left is better. Circles are xnor, labelled weight × activation bits; squares are binary-weight; "
        "the diamond is float. The dotted line is the Pareto frontier: nothing as small or smaller is more accurate."
        f"{verdict} Accuracy **measured**, bytes **computed**."
    )


def beaten(lit: Place, places: Sequence[Place]) -> str:
    """Whether another network is no larger and more accurate, and whether by more than chance."""
    if lit in frontier(places):
        return "The one shown is on the dotted frontier."
    best = max((p for p in places if p.bytes <= lit.bytes and p != lit), key=lambda p: (p.accuracy, -p.bytes))
    points = best.accuracy - lit.accuracy
    if not points:
        return f"Near the dotted frontier: {best.label} ({best.method}) is as accurate and no larger."
    named = f"{best.label} ({best.method}) is no larger and {points:.2f} points more accurate"
    if points <= chance(*(Score("", p.accuracy, networks.TEST_IMAGES) for p in (lit, best))):
        return f"Near the dotted frontier: {named}, which may be chance."
    slow = lit.method == "xnor" and best.method == "binary-weight"
    return f"Beaten on this plane: {named}{', but its activations stay float, so it gains no speed' if slow else ''}."


# ---- memory


def memory(cost: Cost, filter_wise: Cost, entry: Entry | None) -> str:
    if cost.configuration.method == "float":
        return (
            "Every weight takes 32 bits. **Computed** from the layers' shapes, and equal to the stored file without "
            "its header."
        )
    saved = filter_wise.bytes.total - cost.bytes.total
    sharing = ""
    if saved:
        less = f"{saved:,} bytes ({percent(saved / filter_wise.bytes.total, 1)})"
        sharing = f" Sharing saves {less} compared with m = 1."
    file = f"; with its header the shipped file has {entry.bytes:,} bytes" if entry else ""
    return (
        f"The float network takes {cost.float_bytes:,} bytes.{sharing} **Computed** from the layers' shapes, and equal "
        f"to a stored file's tensors{file}."
    )


def layers(cost: Cost, added: Mapping[str, float], factors: Factors | None) -> str:
    """Under the bars: where most bytes and most operations are, and where sharing adds most."""
    filters = max(layer.filters for layer in cost.layers)
    widest = [layer for layer in cost.layers if layer.filters == filters]
    whole = cost.operations.float_macs + cost.operations.binary_macs
    held = sum(layer.bytes.total for layer in widest) / cost.bytes.total
    done = sum(layer.macs for layer in widest) / whole
    said = (
        f"The layers with {filters} filters hold {percent(held)} of the bytes and do {percent(done)} of the "
        "multiply-accumulates."
    )
    weights = ""
    if factors is not None and any(added.values()):
        worst = max(added, key=lambda name: added[name])
        of = "the squared norm of its weights ±α" if factors.learned else "the squared error of its quantization"
        said += f" Relative to {of}, sharing adds most in {worst}, {added[worst]:.1f} %."
        trained = ", from which this network was fine-tuned" if cost.configuration.source == "trained" else ""
        weights = f" and the weights in {factors.latent}{trained}"
    return f"{said} **Computed** from the layers' shapes{weights}."


def ledger_caveat(cost: Cost, weakest: tuple[str, float]) -> str:
    name, ratio = weakest
    kept = (cost.bytes.float_layers + cost.bytes.batch_norm) / cost.bytes.total
    return (
        "Not everything is quantized: the first convolution and the classifier keep their size, batch norm is only "
        f"halved (folded), and together they take {percent(kept)} of these bytes. No quantized layer shrinks less than "
        f"{name}, {ratio:.1f}×."
    )


def bits(configuration: Configuration, layer: str, sharing: Sharing) -> str:
    if configuration.method == "float":
        return f"In {layer}, as in every layer, each weight is a 32-bit float. Other methods quantize it."
    if sharing.together == 1:
        who = f"every filter of {count(sharing.n, 'weight')} has its own 32-bit factor"
        formula = f"{configuration.weight_bits} + 32 / {sharing.n:,}"
    else:
        who = f"{count(sharing.together, 'filter')} of {count(sharing.n, 'weight')} share one 32-bit factor"
        formula = f"{configuration.weight_bits} + 32 / ({sharing.together} × {sharing.n:,})"
    alone = "" if sharing.together == 1 else f"; with m = 1 it is {bit_count(sharing.filter_wise_bits)}"
    return (
        f"In {layer}, {who}: {formula} = {bit_count(sharing.ideal_bits)} bits per weight{alone}. "
        f"**Computed**{stored_bits(sharing)}."
    )


STORED = {  # what a stored layer holds beside full groups of weights and their factors
    "step": "the activations' step",
    "order": "each filter's group",
    "padding": "rows padded to whole bytes",
    "last": "a smaller last group",
}


def stored_bits(sharing: Sharing) -> str:
    """Said only where something else that is stored makes a difference."""
    stored = bit_count(sharing.stored_bits)
    if stored == bit_count(sharing.ideal_bits):
        return ""
    return f"; as stored, with {listed([STORED[part] for part in sharing.also])}, {stored}"


# ---- speed


def spread(timing: Row) -> str:
    low, median, high = (f"{1e6 * seconds:,.1f}" for seconds in (timing.p10_s, timing.median_s, timing.p90_s))
    return f"{median} µs (10th to 90th percentile {low} to {high})"


def speed(measurement: Benchmark, packed: Row, here: bool) -> str:
    """Under the headline: what was timed, and what is faster still."""
    product = measurement.find("packed", "product")
    alone = f" The product alone takes {product.median_s * 1e6:,.1f} µs." if product else ""
    cpu = address.plain(measurement.machine.cpu)
    where = "**Measured here**" if here else f"**Measured** for the project on {cpu}, possibly not your machine"
    return (
        f"From float input to float output {spread(packed)}.{alone} {where}, "
        f"{count(packed.threads, 'thread')}, {count(packed.runs, 'run')}; see the Kernel speed page for more. "
        f"{verdict(measurement)}{noted(measurement.notes)}"
    )


def verdict(measurement: Benchmark) -> str:
    """Which backends beat the packed kernel over the whole layer."""
    faster = measurement.faster_than_packed()
    if not faster:
        return "No other backend timed is faster."
    packed = measurement.find("packed", "layer")
    assert packed is not None  # else nothing is faster than it
    ratios = [f"{BACKENDS.get(t.backend, t.backend)} is {factor(packed.median_s / t.median_s)} as fast" for t in faster]
    return f"Packed bits do not pay here: {', '.join(ratios)}."


def no_speed(configuration: Configuration, shape: str) -> str:
    if configuration.method == "float":
        return "Packed convolutions are timed against this. Choose xnor to see one."
    if configuration.method != "xnor":
        return "Activations are float, so there are no bits to count: smaller, not faster. Choose xnor for speed."
    bits = f"{configuration.weight_bits} × {configuration.activation_bits} bits"
    return f"No timing of this layer ({shape}) at {bits} is shipped. The Kernel speed page can measure it here."
