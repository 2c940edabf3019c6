"""The sentences of the lessons: questions, what can be predicted, and why it came out as it did."""

from collections.abc import Sequence

from app.figures.accuracy import Score
from app.figures.look import factor
from app.figures.paying import bits, named
from app.figures.speed import BACKENDS
from app.services.lessons import Cost, Counted, Crossover, Entry, Paired, Seeds, Shared, Signs, Timed, Way
from app.services.model import Measured
from app.views.words import CHANCE, count, noted, percent, signed

INTRODUCTION = """
Six questions: **predict first**, then see the numbers, why they came out so, and the page that shows more. Each lesson
names its own network.
"""
PREDICTION = "Your prediction"
SHOW = "Show the answer"
LESSON_HELP = "The numbers above open any lesson; the buttons below, the previous and the next one."
AGAIN = "Prints the numbers of this answer."
FIRST = "Choose an answer first: a guess will do."
TITLES = {
    "bytes": "What one bit per weight costs",
    "sharing": "Does sharing a factor cost accuracy?",
    "bits": "A sum without multiplying",
    "rounding": "Rounding without training",
    "speed": "Are fewer bits always faster?",
    "counting": "What 62× counts, and 122× may count",
}
GOING_ON = {  # what the way on is called
    "bytes": "See every part in the Cost model",
    "sharing": "See what sharing does to the factors",
    "bits": "Flip the bits of a real layer",
    "rounding": "Count it on all test images in the Explorer",
    "speed": "See this layer in Kernel speed",
    "counting": "Change how it is counted in the Cost model",
}


def place(number: int, of: int) -> str:
    return f"Lesson {number} of {of}"


def predicted(is_right: bool) -> str:
    """Beside the answer."""
    return "as you predicted" if is_right else "not as you predicted"


def corrected(guess: str, right: str) -> str:
    """Under it, where the prediction was another."""
    return f"You predicted “{guess}”. The answer is **“{right}”**."


# ---- 1: bytes

SIZES = {32: "32 times", 28: "about 28 times", 24: "about 24 times", 16: "about 16 times"}


def bytes_question(cost: Cost) -> str:
    return (
        f"A float weight takes 32 bits. {cost.configuration.model} stores one bit for each weight of its convolutions, "
        "plus a scaling factor for every filter, as in Binary-Weight networks; the first convolution, the classifier "
        "and batch norm stay float. **How many times smaller is the whole network?**"
    )


def bytes_why(cost: Cost) -> str:
    steps = {step.part: step for step in cost.steps}
    kept = sum(step.bytes for part, step in steps.items() if part != "weights")
    factors = cost.bytes.scales / cost.bytes.total
    return (
        f"The bits alone are {steps['weights'].ratio:.0f}× smaller. Everything else is float: scaling factors, the "
        "first convolution, the classifier and batch norm (folded to two numbers per channel), "
        f"{count(kept, 'byte')} of {cost.bytes.total:,}. Of all bytes, {percent(factors, 1)} are factors: sharing can "
        "save nearly all of these. **Computed** from the layers' shapes, and equal to the stored file without its "
        "header."
    )


# ---- 2: sharing

SHARING_QUESTION = (
    "With m = 1, every filter has its own scaling factor; layer-wise, all filters of a layer share one. ResNet-20 "
    "with one-bit weights and float activations (Binary-Weight) was trained further both ways, from the same m = 1 "
    "network. **What does sharing cost in accuracy?**"
)
SHARINGS = {
    "much": "more than one point",
    "little": "up to one point, but more than chance",
    "none": "nothing beyond chance",
    "gain": "a gain beyond chance",
}
NO_SEEDS = (
    "This lesson compares networks that were trained with several seeds, at m = 1 and layer-wise. They are not shipped "
    "here, so it is not available."
)


def sharing_right(difference: Paired) -> str:
    """Which of SHARINGS it is."""
    if not difference.beyond_chance:
        return "none"
    return "gain" if difference.mean > 0 else "much" if difference.mean < -1 else "little"


def spread(seeds: Seeds) -> str:
    return f"{seeds.mean:.2f} ± {seeds.deviation:.2f} %"


def sharing_why(shared: Shared) -> str:
    alone, together = shared.seeds[0], shared.seeds[-1]
    error = there = ""
    if shared.more_error is not None:
        error = f", though the squared error of the weights is {shared.more_error:.1f} % larger (**computed**)"
    if shared.added is not None:
        holds = "does not contain" if shared.added.beyond_chance else "contains"
        there = (
            f": there the same comparison gives {signed(shared.added.mean)} points, with an interval of "
            f"±{shared.added.chance:.2f}, which {holds} 0"
        )
    return (
        f"Mean ± standard deviation over training seeds ({len(together.accuracies)} and {len(alone.accuracies)}): "
        f"{spread(together)} against {spread(alone)}, **measured** for the project. Paired by seed, from the same "
        f"start, the difference is {signed(shared.difference.mean)} ± {shared.difference.deviation:.2f} points, with a "
        f"95 % confidence interval of ±{shared.difference.chance:.2f} (Student's t): anything within it fits. Here "
        "batch norm follows each convolution and, except for its ε, undoes any factor, BN(α·z) = BN(z): with shared "
        f"factors it can be nearly the same network{error}. "
        "Nothing undoes it where something is added before the norm, such as the shortcut in this project's blocks "
        f"with one-bit activations{there}. **Published**: the paper's later abstract states between 0.3 % gained "
        "and 0.4 % lost against a factor for every filter (“-0.3% to 0.4% accuracy loss”)."
    )


# ---- 3: bits

WRITTEN = {1: "+1", -1: "−1"}


def bits_question(signs: Signs) -> str:
    return (
        f"Two vectors of n = {signs.n} signs agree in p = {signs.agree} places and differ in the others. **What is "
        "their dot product**, the sum of all products?"
    )


def bits_rows(signs: Signs) -> list[dict[str, str]]:
    """A place a row; bit 1 stands for +1."""
    step = signs.step
    return [
        {
            "activation": f"{WRITTEN[a]} (bit {x})",
            "weight": f"{WRITTEN[b]} (bit {u})",
            "product": WRITTEN[a * b],
            "xnor": str(1 - differs),
        }
        for a, b, x, u, differs in zip(
            signs.activations, signs.weights, step.activations, step.weights, step.joined, strict=True
        )
    ]


def bits_formula(signs: Signs) -> str:
    return rf"2p - n = 2 \cdot {signs.agree} - {signs.n} = {signs.step.total}"


def bits_why(signs: Signs) -> str:
    return (
        f"Each of the p places that agree adds +1, each of the n − p others −1: p − (n − p) = 2p − n. XNOR marks the "
        f"places that agree and popcount counts them, {signs.agree} here, so these two and an addition do the work of "
        f"many multiplications. Float arithmetic also gives {signs.float_sum:g}. **Computed** now, by the code behind "
        "the Bitwise convolution page."
    )


# ---- 4: without training

LEFT = {90: "about 90 %, hardly any is lost", 60: "about 60 %", 30: "about 30 %", 10: "10 %, as by guessing"}
NO_FLOAT = "This lesson starts from a trained float network. None is shipped here, so it is not available."


def rounding_question(floats: Entry) -> str:
    return (
        f"The float {floats.configuration.model} gets {floats.accuracy:.2f} % of the test images right (**measured** "
        "for the project). The weights of all its convolutions but the first are rounded to one bit, with the best "
        "factor for each filter. Batch norm statistics are re-estimated on training images; nothing is trained. "
        "**How many does it still get right?**"
    )


def rounding_value(counted: Counted | None) -> str:
    return f"{counted.accuracy:.1f} %" if counted else "…"


def rounding_why(scores: Sequence[Score], floats: Entry) -> str:
    trained = next((score for score in scores if score.label.endswith("trained")), None)
    learned = " When trained at one bit, the weights learn to make do with signs." if trained else ""
    return (
        f"Rounding moves every weight: a little with many levels, a lot with two.{learned} **Measured here**, now, on "
        f"the first {scores[0].images:,} test images; on all 10,000, float gets the {floats.accuracy:.2f} % above. "
        f"Whiskers: 95 % confidence interval for the choice of images. Guessing gives {CHANCE:.0f} %."
    )


# ---- 5: speed

NO_TIMINGS = "This lesson shows recorded timings of a layer. None are shipped here, so it is not available."
TIMED_AS = {
    "packed": "packed bits",
    "torch-int8": "torch in int8",
    "torch-bf16": "torch in bf16",
    "torch-fp32": "torch in fp32",
}


def speed_question(row: Crossover) -> str:
    return (
        f"A 3×3 convolution ({named(row.layer)} pixels) has {row.weight_bits}-bit weights and "
        f"{row.activation_bits}-bit activations. This project counts packed bits; torch runs the same layer in int8, "
        f"bf16 and fp32. **Which is the fastest** on {row.machine.cpu}, with {count(row.threads, 'thread')}?"
    )


def speed_value(fastest: str) -> str:
    return TIMED_AS.get(fastest, BACKENDS.get(fastest, fastest))


def speed_rows(timed: Timed) -> list[dict[str, str]]:
    """How many times as fast packed bits are, by bits and backend; fp32 is what the next lesson asks about."""
    rivals = [b for b in TIMED_AS if b != "torch-fp32"]
    backends = [b for b in rivals if all(b in row.times_faster for row in timed.rows)]
    return [
        {"bits": bits(row), **{_short(b): factor(row.times_faster[b]) for b in reversed(backends)}}
        for row in timed.rows
    ]


def _short(backend: str) -> str:
    return f"against {backend.removeprefix('torch-')}"


def speed_why(timed: Timed, loses: Crossover | None, others: Sequence[Timed]) -> str:
    first = timed.rows[0]
    elsewhere = ""
    if loses:
        rival = TIMED_AS.get(loses.rival, loses.rival)
        elsewhere = f" Of the bits timed, {bits(loses)} are the first at which {rival} is faster."
    for other in others:
        verb = "are" if other.asked.pays else "are not"
        elsewhere += f" On {other.asked.machine.cpu}, packed bits {verb} the fastest at {bits(other.asked)} bits."
    return (
        "The table shows torch's time divided by that of packed bits: below 1×, packed bits lose. Each weight bit is "
        "combined with each activation bit in a separate sum, so time grows with weight bits × activation bits, while "
        f"int8 and bf16 have their own instructions and cost the same for any bits.{elsewhere} **Measured** for the "
        f"project, {count(first.threads, 'thread')}, float in to float out, on {timed.asked.machine.cpu}."
        f"{noted(timed.notes)}"
    )


# ---- 6: counting

TIMES = {60: "about 60 times", 30: "about 30 times", 15: "about 15 times", 5: "about 5 times"}
HOW = {
    "cross-filter": "Cross-filter compression's first abstract",
    "candidate": "A guess at it: two operations per float product; a factor per output and one per two filters",
    "xnor-net": "XNOR-Net, section 4.1",
    "vectors": "Vector instructions against fp32's peak",
    "clock": "Timed, against torch fp32",
}
DIGITS = {"published": "g", "computed": ".2f", "measured": ".1f"}
NO_CLOCK = "No timing at 1 × 1 bits is shipped here, so this lesson is not available."


def counting_question(near: Measured, ways: Sequence[Way]) -> str:
    stated = {way.how: f"{way.times:g}" for way in ways}
    model, own, paper = near.conv, stated["xnor-net"], stated["cross-filter"]
    return (
        f"XNOR-Net counts {own} times fewer operations for a {model.kernel}×{model.kernel} convolution of "
        f"{model.channels} channels at one bit; cross-filter compression's first abstract states {paper} times "
        f"faster. "
        f"**When timed, how many times faster than torch's fp32 is it**, on {_where(near)}?"
    )


def _where(near: Measured) -> str:
    return f"{near.benchmark.machine.cpu} with {count(near.benchmark.threads, 'thread')}"


def counting_rows(ways: Sequence[Way]) -> list[dict[str, str]]:
    return [
        {"how it is counted": HOW[way.how], "kind": way.kind, "times": f"{way.times:{DIGITS[way.kind]}}×"}
        for way in ways
    ]


def counting_why(near: Measured) -> str:
    return (
        "The counts assume that an operation on a 64-bit word takes as long as one float product. But a processor's "
        "vectors hold many floats too, only 32 times fewer than bits, and a sum of bits takes three instructions. "
        "Timings exceed the vectors' count where floats have fewer ports than bits, or torch leaves some idle. For "
        "122× something else has to be counted: the way shown is a candidate of this project, as the paper's own was "
        f"not at hand. **Measured** for the project on {_where(near)}, float in to float out."
    )
