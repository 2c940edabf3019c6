"""The sentences of the bitwise convolution."""

from collections.abc import Sequence

from app.services import networks
from app.services.bits import PlaneProduct, Reading, Step, View
from app.services.networks import Conv
from app.views.words import count
from cfcore.config import Configuration

XOR, XNOR, AND = "xor", "xnor", "and"
MOST_TERMS = 16  # of a sum that is written out
INTRO = """
A convolution multiplies and adds. Where activations and weights have few bits, one instruction on a *word* of bits does
many of these products at once, and counting ones (*popcount*) adds them up."""
INVITATION = """ Here is one window of a real image, in
the network chosen above, word by word. **Flip any bit and watch the sum.**
"""
MORE_BITS = """
A number of *k* bits is a sum of *bit planes*, each worth twice the one before. Weights are odd numbers, *q* = Σ 2ⁱ·*b*
with every *b* = ±1; activations are levels from 0 to 2ᵏ − 1, or ±1 where they have one bit. Each plane of one is
combined with each plane of the other in a table like this, and its sum counts 2ⁱ⁺ʲ times. So the work grows with
weight bits × activation bits.
"""
XOR_OR_XNOR = """
**XNOR** is 1 where two bits agree, **XOR** where they differ. Of *n* products of ±1, those that agree are +1 and those
that differ are −1. XNOR counts the *p* that agree, so the sum is 2*p* − *n*; XOR counts the *d* = *n* − *p* that
differ, so it is *n* − 2*d*: the same number. XNOR-Net is named after the first. The kernels here use the second: where
channels do not fill a word, both sides hold zeros, which XOR does not count and XNOR would count as agreement.
"""
LEVELS = """
These activations are **unsigned levels**, not ±1. Their binary digits are 0 or 1, so a digit of 0 has to add nothing,
and the words are combined by **AND**: of the ones in the activations' word, whose number is written |a|, *p* meet a
weight bit of +1 and the others one of −1, which gives 2*p* − |a|. XOR is for one-bit activations, which are ±1.
"""
MEANING = {  # of a bit; by whether activations are ±1
    True: "On both sides, bit 1 stands for +1 and bit 0 for −1. Press a bit to flip it; arrow keys move between bits.",
    False: "A weight's bit 1 stands for +1 and 0 for −1; an activation's bit is 1 or 0. Press a bit to flip it; arrow "
    "keys move between bits.",
}
PADDING = {
    True: """
At the border a window overhangs the input, and in a float convolution the missing taps count as zero. One bit cannot
represent zero: the missing words are stored as 0 bits, which read as −1. The error they add depends only on the filter
and on which taps are missing. So a correction is computed once for each of these *classes of border*, and the kernel
adds it once, after counting, with no check word by word.
""",
    False: """
At the border a window overhangs the input, and the missing taps count as zero, as in a float convolution. With unsigned
levels that needs no correction: the missing words are stored as 0 bits, which add nothing.
""",
}
FLOAT = """
In a **float** network both activations and weights are 32-bit floats. Each product is a separate multiplication, and
there are no bits to count.
"""


def nothing_to_count(configuration: Configuration) -> str:
    """Why a network with float activations has no bits to count."""
    if configuration.method == "float":
        return FLOAT
    if configuration.weight_bits == 1:
        weights = "±1 times a factor"
        product = "an activation or its negative: the multiplication is gone, but"
        more = (
            " (XNOR-Net's authors count about half the operations, as only additions are left; a processor adds and "
            "multiplies at the same rate.)"
        )
    else:
        top = 2**configuration.weight_bits - 1
        weights = f"odd numbers from −{top} to {top} times a factor"
        product = "an activation times such a number, and"
        more = ""
    return (
        f"With **binary-weight** the weights are {weights}, but the activations stay float. Each product is then "
        f"{product} 32-bit floats are still added one by one. The weights' bits have no activation bits to combine "
        f"with, so there is nothing to XOR and nothing to count: no kernel here is faster for it.{more}"
    )


def signed(number: int) -> str:
    """A whole number with a true minus.

    >>> signed(-6), signed(6)
    ('−6', '6')
    """
    return f"{number}".replace("-", "−")


def plus(number: int) -> str:
    """What is added.

    >>> plus(2), plus(-2), plus(0)
    ('+2', '−2', '0')
    """
    return f"{number:+}".replace("-", "−") if number else "0"


def as_float(number: float) -> str:
    """A float sum, to be seen as one.

    >>> as_float(-6.0)
    '−6.0'
    """
    return f"{number:.1f}".replace("-", "−")


# ---- the table


def heads(mode: str, width: int) -> list[str]:
    ones, formula = {XOR: ("d", f"{width} − 2d"), XNOR: ("p", f"2p − {width}"), AND: ("p", "2p − |a|")}[mode]
    return [f"ones {ones}", formula, "sum", "float sum"]


def numbers(step: Step, mode: str) -> list[str]:
    """One row, in the order of `heads`."""
    ones = len(step.joined) - step.count if mode == XNOR else step.count
    adds = plus(step.adds)
    if step.correction:  # of a padded tap: what its bits read as, and what takes that back
        adds = f"{plus(-step.correction)} {plus(step.correction)}"
    return [str(ones), adds, signed(step.total), as_float(step.float_total)]


def name(step: Step, kernel: int) -> str:
    where = f"tap {step.tap}: row {step.tap // kernel}, column {step.tap % kernel}"
    return where if step.inside else f"{where}, padding"


def said(steps: Sequence[Step], mode: str) -> str:
    """The last of these steps, and what they add up to."""
    step = steps[-1]
    return f"Tap {step.tap}. {_alone(step, mode)} {so_far(steps, mode)}"


def _alone(step: Step, mode: str) -> str:
    n, p = len(step.joined), step.count
    if mode == AND:
        if not step.inside:
            return "It overhangs the border and counts as zero: no ones, nothing to correct."
        return f"Of {count(step.ones, 'one')}, {p} at a weight of +1: 2·{p} − {step.ones} = {signed(step.adds)}."
    formula = f"{n} − 2·{p}" if mode == XOR else f"2·{n - p} − {n}"
    if not step.inside:
        return (
            f"It overhangs the border and counts as zero, but its 0 bits read as −1: {formula} = "
            f"{signed(n - 2 * p)}. The correction {plus(step.correction)} undoes that."
        )
    return f"{agreement(n - p, p)}: {formula} = {signed(step.adds)}."


def agreement(agree: int, differ: int) -> str:
    """
    >>> agreement(7, 1)
    '7 bits agree and make +1, 1 bit differs and makes −1'
    """
    plus_one = f"{count(agree, 'bit')} {'agrees and makes' if agree == 1 else 'agree and make'} +1"
    return f"{plus_one}, {count(differ, 'bit')} {'differs and makes' if differ == 1 else 'differ and make'} −1"


def so_far(steps: Sequence[Step], mode: str) -> str:
    total = signed(steps[-1].total)
    p, ones = sum(step.count for step in steps), sum(step.ones for step in steps)
    if mode == AND:
        return f"So far 2·{p} − {ones} = {total}."
    n = sum(len(step.joined) for step in steps)
    corrections = sum(step.correction for step in steps)
    corrected = f" {plus(corrections)[0]} {abs(corrections)}" if corrections else ""
    formula = f"{n} − 2·{p}" if mode == XOR else f"2·{n - p} − {n}"
    return f"So far {formula}{corrected} = {total}."


# ---- what it comes to


def part(view: View, mode: str, flips: int) -> str:
    """Under the sum of the channels that are shown."""
    products = count(view.part.products, "product")
    if len(view.part.planes) > 1:
        how = f"{products}, over {count(len(view.part.planes), 'pair')} of planes"
    else:
        how = f"{products}: {_formula(view.part, mode)}"
    change = f" {count(flips, 'bit')} flipped: {signed(view.before)} before." if flips else ""
    return f"{how}.{change} **Computed** here from the bits, and again in float."


def whole(view: View, mode: str, channels: int) -> str:
    words = count(view.whole.words, "word")
    formula = f" {_formula(view.whole, mode)}." if len(view.whole.planes) == 1 else ""
    pair = "" if formula else " in each pair of planes"
    used = f", {channels % 32} of each in use" if channels % 32 else ""
    return (
        f"The window has {channels} channels, so {view.whole.products:,} products: {words} of 32 bits{pair}{used}."
        f"{formula} A 512-bit vector takes 16 such words at once, one for each of 16 filters."
    )


def _formula(reading: Reading, mode: str) -> str:
    """The sum of one pair of planes."""
    plane, n = reading.planes[0], reading.products
    corrected = f" {plus(plane.correction)[0]} {abs(plane.correction)} (border)" if plane.correction else ""
    formula = f"{n} − 2·{plane.count}" if mode == XOR else f"2·{n - plane.count} − {n}"
    return f"{formula}{corrected} = {signed(plane.sum)}"


def scaled(view: View, configuration: Configuration, conv: Conv, flips: int) -> str:
    step = f" × step {view.step:.6g}" if configuration.has_steps else ""
    whose = "this filter's own" if view.together == 1 else f"shared by {view.together} filters"
    check = "With no bit flipped, torch gives" if flips else "In float arithmetic torch's convolution gives"
    return (
        f"α = {view.alpha:.6g} ({whose}){step}, times {signed(view.whole.sum)}. {check} {view.torch + 0.0:.6g}. "
        f"{follows(configuration, conv)}"
    ).replace("-", "−")


def follows(configuration: Configuration, conv: Conv) -> str:
    """What the network does with the number."""
    what = "its sign is" if configuration.activation_bits == 1 else "rounded to a level, it is"
    number = int(conv.name.removeprefix("convs."))
    chained, last = not networks.has_shortcuts(configuration), conv.name == list(networks.layers(configuration))[-1]
    end = f"{what} one activation of the next layer"
    if last:
        mean = "" if chained else "the mean over all positions, "
        end = f"ReLU, {mean}and the classifier follow"
    if networks.has_binary_blocks(configuration):
        then = "come PReLU and batch norm" if networks.bends(configuration) else "comes batch norm"
        return f"Next the shortcut is added, then {then}; {end}."
    if configuration.activation_bits == 1 and not last and (chained or number % 2):
        end += ": a comparison with a threshold"
    if chained:
        pool = "the largest of four neighbours is kept, " if conv.pool else ""
        return f"Next {pool}batch norm shifts and scales it; {end}."
    if number % 2:
        return f"Next batch norm shifts and scales it; {end}."
    return f"Next come batch norm and the shortcut; {end}."


def planes(products: Sequence[PlaneProduct]) -> str:
    total = signed(sum(p.product for p in products))
    if len(products) > MOST_TERMS:
        return f"the {len(products)} products make {total}"
    terms = " + ".join(f"{p.product}" for p in products).replace("+ -", "− ").replace("-", "−")
    return f"{terms} = {total}"


def equality(reading: Reading) -> str:
    """The bits' sum against the float sum."""
    sign = "equal to" if reading.equal else "NOT equal to"
    return f"{sign} the float sum {as_float(reading.float_sum)}"


def hanging_over(missing: int) -> str:
    """
    >>> hanging_over(1)
    'In this window, 1 tap overhangs the border: its activations are dashed above.'
    """
    verb, whose = ("overhangs", "its") if missing == 1 else ("overhang", "their")
    return f"In this window, {count(missing, 'tap')} {verb} the border: {whose} activations are dashed above."
