"""The sentences of the What-if page, and the headings of its tables. What they say of who wins is counted."""

from collections.abc import Sequence
from typing import Any

from app.services import networks, whatif
from app.services.whatif import NEAR, Candidate
from app.services.whatif_pair import Comparison, Quantity, Timings
from app.views.words import about_sharing, bit_count, conditions, count, noted, percent, signed
from app.views.words_speed import duration

KEEPS = "Keeps the configuration above as this side of the comparison while you change the controls."
LEAD = (
    "Which configuration suits a size or an accuracy, and what changes between two of them? All usual configurations "
    "of the model chosen above are listed; pin two to compare them."
)
HELP = {
    "at_most": "Only configurations whose network takes no more bytes than this.",
    "listed": "all: also those without a trained network; their accuracy is left empty. trained: only those with one.",
    "a": "One side of the comparison. The first choice follows the controls above; type to search the others.",
    "b": "What A is compared with. The first choice is A with m = 1; if A already has m = 1, float; if A is float, "
    "what the explorer opens with.",
    "both": "Counts how many of the same 10,000 test images only A, or only B, gets right. Takes some seconds.",
}
ASK_BOTH = "Test both on the same images"
AS_ABOVE = "as chosen above"
SIBLING = "counterpart of A"
DOES = (
    "Computes bytes, ratio, scaling factors and the model of operations of A and B, and counts the accuracy of the "
    "trained ones on the 10,000 test images; times are the recorded ones. Add `--json` for JSON."
)
COLUMNS: dict[str, tuple[str, str]] = {  # heading, and what it means
    "accuracy": ("Accuracy, %", "On 10,000 test images. Measured for the project; empty where no network is trained."),
    "bytes": ("Bytes", "Of the network's tensors. Computed, and equal to the file without its header."),
    "group_size": ("m", "Filters that share a scaling factor; empty for float."),
    "label": ("Configuration", "Method, bits and group size."),
    "pin": ("Pin", "Which ones are A and B."),
    "ratio": ("Times smaller", "The float network's bytes divided by these. Computed."),
    "bits_per_weight": (
        "Bits per weight",
        "Stored bits per weight of the convolutions that quantization changes, factors included. Computed.",
    ),
    "scaling_factors": ("Factors", "Scaling factors in the network. Computed."),
    "bitwise_macs": ("Bitwise MAC", "Multiply-accumulates for one image that are done on bits. Computed."),
    "float_macs": ("Float MAC", "Multiply-accumulates for one image that stay float. Computed."),
    "fewer_operations": (
        "Fewer operations",
        "How many times fewer than float, for the whole network: XNOR-Net's model, not a time. An addition counts as a "
        "multiply-accumulate here, so binary-weight is at 1.0; XNOR-Net's authors count about 2 for it. Computed.",
    ),
    "epochs": ("Epochs", "Of the last training run; those of the network it started from are not counted."),
    "method": ("Method", "float, binary-weight or xnor."),
    "weight_bits": ("Weight bits", "k_w; 32 is float."),
    "activation_bits": ("Activation bits", "k_a; 32 is float."),
    "order": ("Order", "Which filters share: neighbours by index, or sorted by their own factor."),
}
TABLE = (
    "Accuracy is **measured** for the project, with the stored files; where no network is trained it stays empty, "
    "not estimated. The rest is **computed** from the layers' shapes; fewer operations is XNOR-Net's model, not a time."
)
POST_TRAINING = (
    "This page lists and compares configurations as trained, whatever the source above. For the accuracy of the float "
    "network quantized after training, see the Explorer."
)

QUANTITIES = {
    "accuracy": "Accuracy",
    "bytes": "Bytes",
    "ratio": "Times smaller than float",
    "bits_per_weight": "Bits per weight",
    "scaling_factors": "Scaling factors",
    "float_macs": "Float multiply-accumulates",
    "bitwise_macs": "Bitwise multiply-accumulates",
    "fewer_operations": "Times fewer operations, by XNOR-Net's model",
    "seconds": "Time of one image",
}


# ---- which one?


def most_accurate(model: str, found: Sequence[Candidate], within: Sequence[Candidate], limit: str) -> str:
    """The most accurate trained network within the limit, and how many chance may part from it."""
    trained = [c for c in found if c.accuracy is not None]
    if not trained:
        return f"No trained {model} is shipped: only costs are listed."
    first = whatif.best(within)
    if first is None:
        least = min(trained, key=lambda c: c.bytes)
        return f"No trained network fits in {limit}. The smallest, {least.label}, takes {least.bytes:,} bytes."
    among = (
        f"Of the trained networks within {limit}, the"
        if limit != whatif.ANY
        else f"Of {count(len(trained), 'trained network')}, the"
    )
    said = f"{among} most accurate is **{first.label}**: {first.accuracy:.2f} % in {first.bytes:,} bytes"
    level = whatif.level_with(first, within)
    if not level:
        return f"{said}."
    others, verb = ("One other", "is") if len(level) == 1 else (f"{len(level)} others", "are")
    smallest = level[0]
    save = f"; the smallest is {smallest.label}, {smallest.bytes:,} bytes" if smallest.bytes < first.bytes else ""
    return (
        f"{said}. {others} {verb} so close to it that separate test sets could not tell them apart{save}. All were "
        "tested on the same images, which tells more: pin two below to compare them."
    )


def near_float(found: Sequence[Candidate], limit: str) -> str:
    """The smallest trained network that gives up little accuracy; without a limit, else how near any comes."""
    floats, near = whatif.near_float(found)
    if floats is None:
        return ""
    within = f"within {NEAR:g} point of float's {floats.accuracy:.2f} %"
    if near is None:
        smaller = whatif.best([c for c in found if c != floats])
        nearest = ""
        if smaller is not None and limit == whatif.ANY:
            nearest = f": the nearest is **{smaller.label}** with {smaller.accuracy:.2f} % in {smaller.bytes:,} bytes"
        return f"No smaller trained network comes {within}{nearest}."
    most = whatif.LIMITS[limit]
    beyond = f"Above {limit}, the" if most is not None and near.bytes > most else "The"
    return f"{beyond} smallest network {within} is **{near.label}**: {near.accuracy:.2f} % in {near.bytes:,} bytes."


def nothing(found: Sequence[Candidate], limit: str, listed: str) -> str:
    """In place of a table without a row."""
    least = min(found, key=lambda c: c.bytes)
    kind = "trained configuration" if listed == "trained" else "configuration"
    size = f" The smallest of all, {least.label}, takes {least.bytes:,} bytes." if limit != whatif.ANY else ""
    return f"There is no {kind} to list{'' if limit == whatif.ANY else f' within {limit}'}.{size}"


# ---- the tables


def listing(rows: Sequence[Candidate]) -> str:
    trained = sum(candidate.accuracy is not None for candidate in rows)
    return f"{count(len(rows), 'configuration')}, {trained} of them trained."


def row(candidate: Candidate, pins: str) -> dict[str, Any]:
    """A row of the table; m and order are empty where nothing is shared."""
    record = candidate.to_dict()
    shared = candidate.configuration.method != "float"
    shown = {"pin": pins, "group_size": str(record["group_size"]) if shared else ""}
    shown["order"] = record["order"] if shared and record["group_size"] not in (1, "layer") else ""
    return {name: {**record, **shown}[name] for name in COLUMNS}


def number(name: str, value: float | None) -> str:
    """A number of the comparison with its unit.

    >>> number("accuracy", 90.561), number("bytes", 43408), number("seconds", None)
    ('90.56 %', '43,408', '—')
    """
    if value is None:
        return "—"
    match name:
        case "accuracy":
            return f"{value:.2f} %"
        case "seconds":
            return duration(value)
        case "bits_per_weight":
            return bit_count(value)
        case "ratio" | "fewer_operations":
            return f"{value:.2f}×"
    return f"{value:,.0f}"


def change(quantity: Quantity) -> str:
    """B − A with its sign and unit.

    >>> change(Quantity("bytes", 45_928, 43_408, "computed")), change(Quantity("accuracy", 90.0, None, "measured"))
    ('−2,520', '—')
    >>> change(Quantity("seconds", 2e-4, 2e-4, "measured"))
    'the same timing'
    """
    value = quantity.change
    if value is None:
        return "—"
    if quantity.name == "seconds" and not value:
        return "the same timing"  # of both: it was not taken twice
    if quantity.name == "accuracy":
        return f"{signed(value)} points"
    shown = number(quantity.name, abs(value))
    none = shown == number(quantity.name, 0)
    return f"±{shown}" if none else f"{'+' if value > 0 else '−'}{shown}"


def comparison(found: Sequence[Quantity], timed: Timings | None) -> list[dict[str, str]]:
    """The comparison as a table."""
    rows = []
    for quantity in found:
        where = f"{quantity.kind}, {timed.name}" if quantity.name == "seconds" and timed else quantity.kind
        rows.append(
            {
                "": f"{QUANTITIES[quantity.name]} ({where})",
                "A": number(quantity.name, quantity.a),
                "B": number(quantity.name, quantity.b),
                "B − A": change(quantity),
            }
        )
    return rows


# ---- two of them


def differ(a: Candidate, b: Candidate) -> str:
    """What changes from A to B, and whether that can be chance."""
    if a.configuration == b.configuration:
        return f"A and B are both {a.label}: pin another one to compare."
    less = b.bytes - a.bytes
    size = "takes as many bytes as A"
    if less:
        share = percent(abs(less) / a.bytes, 1) if b.bytes < 2 * a.bytes else f"{b.bytes / a.bytes:.1f} times its bytes"
        size = f"is {abs(less):,} bytes {'larger' if less > 0 else 'smaller'} than A ({share})"
    if a.accuracy is None or b.accuracy is None:
        without = " and ".join(name for name, c in (("A", a), ("B", b)) if c.accuracy is None)
        verb, whose = ("are", "their") if " and " in without else ("is", "its")
        return f"B {size}. {without} {verb} not trained, so {whose} accuracy is unknown."
    points = b.accuracy - a.accuracy
    right = "as accurate" if less else "is as accurate"
    if signed(points)[0] != "±":
        right = f"{'' if less else 'is '}{abs(points):.2f} points {'more' if points > 0 else 'less'} accurate"
    margin = whatif.chance(a, b) or 0.0
    verdict = "so this one might be" if abs(points) <= margin else "and this one is larger"
    return (
        f"B {size} and {right}. If each had been tested on its own {networks.TEST_IMAGES:,} images, a difference of up "
        f"to {margin:.2f} points could be chance, {verdict}; both saw the same images, where the limit is lower. "
        "Retraining would also change both."
    )


def same_images(found: Comparison) -> str:
    """What each alone gets right, and whether that can be chance."""
    images, alone_a, alone_b = len(found), found.count("now wrong"), found.count("now right")
    so_far = "" if images == networks.TEST_IMAGES else " so far"
    verdict = "so this one may be" if abs(found.points) <= found.chance else "and this one is larger"
    return (
        f"On the same {images:,} images{so_far}, only A is right on **{alone_a:,}** and only B on **{alone_b:,}**: "
        f"B − A is {signed(found.points)} points. Only these images tell them apart: between two equally good networks "
        f"a difference of up to {found.chance:.2f} points can be chance, {verdict}. **Measured here**, now."
    )


def caveats(a: Candidate, b: Candidate) -> str:
    """What else differs than what was chosen."""
    if a.accuracy is None or b.accuracy is None or a.configuration == b.configuration:
        return ""
    one, other = a.configuration, b.configuration
    binary = [networks.has_binary_blocks(configuration) for configuration in (one, other)]
    said = []
    if binary[0] != binary[1]:
        said.append(
            f"Only {'A' if binary[0] else 'B'} has a norm before each convolution and a shortcut around it, so the "
            "difference is not due to quantization alone."
        )
    elif one.with_group_size(1) == other.with_group_size(1):
        said.append(about_sharing(one).strip() if not any(binary) else "")
    if a.epochs != b.epochs:
        said.append(f"The last training run had {a.epochs} epochs for A and {b.epochs} for B.")
    return " ".join(filter(None, said))


def speed(a: Candidate, b: Candidate, timed: Timings | None) -> str:
    """Under the comparison: where the times are from, or why there are none."""
    reasons = {"binary-weight": "counts no bits"}
    why = " ".join(
        f"{name} {reasons.get(candidate.configuration.method, 'was not timed')}."
        for name, candidate, seconds in zip("AB", (a, b), timed.seconds if timed else (None, None), strict=True)
        if seconds is None
    )
    if timed is None:
        return f"No timing of either is shipped. {why}"
    how = "xnor packed, float as torch fp32, one image per call; whatever m is, each output is scaled once."
    return f"Times: {how} {why} {conditions(timed.benchmark)}{noted(timed.benchmark.notes)}"


def plane(found: Sequence[Candidate], pair: Sequence[Candidate], limit: str) -> str:
    """Under the plane: how to read it, and who is missing."""
    trained = [c for c in found if c.accuracy is not None]
    pale = "" if limit == whatif.ANY else f" Grey outlines take more than {limit}."
    missing = [name for name, c in zip("AB", pair, strict=True) if c.accuracy is None]
    verb = "are" if len(missing) > 1 else "is"
    without = f" {' and '.join(missing)} {verb} not trained, so not shown." if missing else ""
    return (
        f"The {count(len(trained), 'trained network')}. Up and to the left is better; the dotted line is the Pareto "
        "frontier: nothing as small or smaller is more accurate (by how much may be chance). Circles are xnor, "
        "labelled weight × activation bits; squares binary-weight; the diamond float."
        f"{pale}{without} Accuracy **measured**, bytes **computed**."
    )
