"""The sentences of the cost model's page."""

from collections.abc import Sequence
from dataclasses import replace

from app.figures.look import factor
from app.services import networks
from app.services.model import MANY, Estimate, LayerModel, Measured, described, vector_word_bits
from app.services.networks import Cost
from app.views.words import bit_count, count, percent

INTRODUCTION = """
**32×** less memory is a float's 32 bits divided by one bit. **62×** faster is XNOR-Net's operation count. **122×** is
stated in the first abstract of [cross-filter compression](https://arxiv.org/abs/2005.09034) (2020), which does not say
how it is counted; the abstract of the paper's later text states no such number. We had no more of the paper at hand.
Set the inputs to see what each number assumes.
"""

HELP = {
    "preset": "Each fills the inputs below. Change one, and the settings are your own.",
    "channels": "c: input channels. A filter has c·k² weights, and an output takes that many products.",
    "kernel": "k: side of the square kernel. Small kernels leave few weights to spread a factor over.",
    "group_size": "m: filters that share one scaling factor. The network's own m is set in the row at the top.",
    "weight_bits": "k_w: bits of a weight. They cost memory in proportion, and time with the activations' bits.",
    "activation_bits": "k_a: bits of an activation. A convolution takes k_w·k_a times the word operations of one bit.",
    "word": "L: one-bit multiply-accumulates that count as one operation. XNOR-Net counts 64-bit words; 32/3 is what "
    "vectors of bits gain over vectors of floats, see below.",
    "operations": "Operations counted for a float multiply-accumulate: one, or two (a multiplication and an addition).",
    "scaling": "How often a multiplication by a scaling factor is counted. output: once per output; group: once for m "
    "outputs; both: once per output and once for m; folded: never, as batch norm absorbs it.",
    "scale_bits": "Bits of a stored scaling factor: 32, as in the shipped files, or 16 (half precision).",
    "over": "The horizontal axis of the curves below.",
}
PRESETS = {  # what it says under the buttons
    "xnor-net": "XNOR-Net's own example: {n:,} products per output, 64-bit words, one scaling per output. It is "
    "**published** as 62.27× ([arXiv 1603.05279](https://arxiv.org/abs/1603.05279), section 4.1).",
    "A": "**A candidate of ours for 122×, not known to be the paper's own.** XNOR-Net's example, but a float "
    "multiply-accumulate counts as two operations, and one of its two scaling factors is shared by two "
    "filters. The binary side's three operations still count as one.",
    "B": "**A candidate of ours for 122×, not known to be the paper's own.** 128-bit words, and 96 channels with a "
    "5×5 kernel: AlexNet's second layer if it were not split into two groups. Nothing is shared: the wider word alone "
    "is enough.",
    "C": "**A candidate of ours for 122×, not known to be the paper's own.** 128-bit words, a 1×1 kernel of 512 "
    "channels, and one scaling counted for six outputs.",
    "vector": "XNOR-Net's example on a processor with vectors: a vector holds 32 one-bit operands for each float, "
    "but needs three instructions (exclusive or, bit count, addition) where floats need one.",
    "layer": "The layer chosen in the row above, with its bits and its m. Each output is scaled once. "
    "Float weights or activations are shown as one bit.",
    "": "Your own settings.",
}
SCALINGS = {
    "output": "Each output is scaled once, whatever m is: counted this way, sharing saves memory but no time.",
    "group": "One scaling is counted for m outputs. Sharing alone does not do that: each still has to be scaled.",
    "both": "Each output is scaled once for its activations; for its weights, one scaling is counted for m outputs.",
    "folded": "Batch norm absorbs the factor where it follows directly, so nothing is left to count, at any m. "
    "This project does not do this: it scales each output once.",
}


NEAR_32 = 24  # times less memory, from which on it may stand beside 32 without a word
SYMBOLS = (
    "$n$ = c·k²: weights of a filter, and products of an output; $m$: filters that share a factor; $k_w$, $k_a$: bits "
    "of a weight and of an activation; $L$: one-bit products per operation; $o$: operations counted for a float "
    "product; $s$: scalings per output."
)


def sharing(result: Estimate) -> str:
    """Under the memory formula."""
    model, n = result.model, result.model.weights_per_filter
    filters = "each filter" if model.group_size == 1 else f"{model.group_size} filters"
    weights = f"{n:,}" if model.group_size == 1 else f"{model.group_size} × {n:,} = {model.group_size * n:,}"
    where = "" if result.memory_ratio > NEAR_32 else ", for one bit and larger filters"
    return (
        f"One {model.scale_bits}-bit factor for {filters} of c·k² = {model.channels:,}·{model.kernel}² weights, "
        f"{weights} in all: {bit_count(32 / result.memory_ratio)} bits per weight instead of 32. **Computed**; "
        f"XNOR-Net and the paper's first abstract state about 32×{where}."
    )


def times(ratio: float, less: str) -> str:
    """A headline. Few weights weigh less than their factor, and many bits take more operations than floats.

    >>> times(31.556, "less"), times(0.8, "less"), times(0.25, "fewer"), times(0.998, "fewer")
    ('31.56× less', '1.25× more', '4.00× more', 'as many')
    """
    if f"{ratio:.2f}" == f"{1 / ratio:.2f}" == "1.00":
        return {"less": "as much", "fewer": "as many"}[less]
    return f"{ratio:.2f}× {less}" if ratio >= 1 else f"{1 / ratio:.2f}× more"


def operations(result: Estimate) -> str:
    """Under the speed formula."""
    words = f"{number(result.words)} word operation{'' if result.words == 1 else 's'}"
    scaled = f" and {number(result.scalings)} for scaling" if result.scalings else ""
    return (
        f"For one output, {words}{scaled} instead of {count(result.floats, 'float operation')}. "
        f"{SCALINGS[result.model.scaling]} **Computed**: operations are counted as if each took the same time."
    )


def number(value: float) -> str:
    """As many digits as it takes.

    >>> number(36.0), number(1 / 6), number(2.25)
    ('36', '0.167', '2.25')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def memory_formula(result: Estimate) -> str:
    model, n = result.model, result.model.weights_per_filter
    k, m = model.weight_bits, model.group_size
    return aligned(
        rf"\text{{memory}} &= \dfrac{{32\,n\,m}}{{k_w\,n\,m + {model.scale_bits}}}",
        rf"&= \dfrac{{32 \cdot {n} \cdot {m}}}{{{k} \cdot {n} \cdot {m} + {model.scale_bits}}}",
        rf"&= {result.memory_ratio:.2f}\times",
    )


def speed_formula(result: Estimate) -> str:
    model, n = result.model, result.model.weights_per_filter
    planes = f"{model.weight_bits} \\cdot {model.activation_bits} \\cdot {n} / {word(model)}"
    scalings = {"output": "1", "group": f"1/{model.group_size}", "both": f"1 + 1/{model.group_size}", "folded": "0"}
    below = f"{planes} + {scalings[model.scaling]}"
    return aligned(
        r"S &= \dfrac{o\,n}{k_w\,k_a\,n/L + s}",
        rf"&= \dfrac{{{model.operations} \cdot {n}}}{{{below}}}",
        rf"&= {result.speedup:.2f}\times",
    )


def word(model: LayerModel) -> str:
    return "(32/3)" if model.word_bits == vector_word_bits() else f"{model.word_bits:g}"


def aligned(*lines: str) -> str:
    """Equations below each other, with room above and beside them: their box cuts off what stands over its edge."""
    return r"\begin{aligned}\rule{0pt}{2.1em} " + r" \\[1.2em] ".join(lines) + r"\end{aligned}\;"


def factor_share(model: LayerModel) -> float:
    """What a filter's own factor takes of all its bits.

    >>> round(factor_share(LayerModel(channels=32, kernel=1)), 2)
    0.5
    """
    return model.scale_bits / (model.weight_bits * model.weights_per_filter + model.scale_bits)


def small_filters(model: LayerModel, over: str) -> tuple[str, str]:
    """Under the curves of memory and of speed: what to see."""
    if over == "channels":
        dashed = "Sharing moves the curve up (dashed)."
        if model.group_size > 1:
            dashed = f"Here {model.group_size} filters share one"
            dashed += "; dashed: none do." if model.group_size >= MANY else f"; dashed: {MANY} do."
        memory = (
            f"A factor takes as many bits as {model.scale_bits} one-bit weights. A 1×1 kernel with few channels has no "
            f"more than that: this is the limit of small kernels that the paper starts from. {dashed}"
        )
    elif over == "group_size":
        memory = "Sharing brings every kernel near the limit. The smaller the filter, the more there is to gain."
    else:
        one, three = (factor_share(replace(model, kernel=kernel)) for kernel in (1, 3))
        memory = (
            f"A filter's own factor is {percent(one)} of what is stored at 1×1 and {percent(three)} at 3×3: this is "
            "what sharing can save. The smaller the filter, the more."
        )
    speed = SCALINGS[model.scaling]
    return f"{memory} **Computed**.", f"{speed} **Computed**; dotted levels are **published**."


# ---- beside what was measured


def reconciliation() -> str:
    gain = vector_word_bits()
    return (
        "**Why do timings not show 62×?** The count assumes that a float multiply-accumulate takes as long as one "
        "operation on a 64-bit word. But a 512-bit vector does 16 float ones with one instruction, and 512 one-bit "
        f"ones with three. So counting bits can gain 512/3 ÷ 16 = 32/3 = **{gain:.2f}×** over fp32's peak, however "
        "wide the vector (dashed line), where one instruction counts a vector's bits and floats have as many ports; "
        "with more bits, divided by their product. **Computed**."
    )


def clocked(timings: Sequence[Measured], near: Measured) -> str:
    """From that peak to what was timed."""
    low, high = (pick(timings, key=lambda t: t.times_faster) for pick in (min, max))
    planes = near.benchmark.weight_bits * near.benchmark.activation_bits
    peak = f"{vector_word_bits():.2f}" + (f" / {planes}" if planes > 1 else "")
    below = sum(timing.times_faster < vector_word_bits() / planes for timing in timings)
    packed, floats = percent(near.packed_share, 1), percent(near.float_share, 1)
    product = f"{peak} × {packed} / {floats} = **{factor(near.times_faster)}**"
    return (
        f"**How does the timed number come about?** Take {described(near.conv)}. From float input to float output, the "
        f"packed layer reaches {packed} of what the vector ports can do: the rest goes to packing, memory and scaling. "
        f"With as many ports, floats could reach 1/{vector_word_bits():.2f} of the ports' rate in bits (**computed**); "
        f"torch's fp32 reaches {floats} of that; a processor may have fewer. {product}, **measured**. Over all layers "
        f"it is {factor(low.times_faster)} ({low.conv.channels} channels) to {factor(high.times_faster)} "
        f"({high.conv.channels} channels): {below} of {len(timings)} are below the line, where packing, memory and "
        "scaling take more than torch loses. Above it, floats have fewer ports than bits, or torch leaves some idle."
    )


PUBLISHED_58 = (
    "XNOR-Net's authors call 62.27× theoretical. They **published** 58× for an implementation of their own, without "
    "memory allocation and access ([section 4.1](https://arxiv.org/abs/1603.05279)). Here memory is included, and the "
    "float side is torch's fp32, which uses the same vectors."
)


def kinds(model: LayerModel) -> str:
    """Under the plane: where its marks come from."""
    planes = model.weight_bits * model.activation_bits
    one_bit = "" if planes == 1 else " Star, diamonds and levels are for 1 × 1 bits, whatever is set above."
    return (
        "Lines, diamonds and the ring (your settings) are **computed**; the star and the dotted level are "
        "**published**; green dots are **measured** for the project and shipped. 122× is a level, as its layer is not "
        f"stated.{one_bit}"
    )


def no_timings(model: LayerModel) -> str:
    bits = f"{model.weight_bits} × {model.activation_bits} bits"
    return f"No timings at {bits} are shipped, so no measured points are drawn. There are some at 1 × 1 bits."


# ---- the network


def network(cost: Cost) -> str:
    configuration, steps = cost.configuration, cost.steps
    kept = sum(step.bytes for step in steps if step.part != "weights")
    prelus = networks.prelus(configuration)
    slopes = f"; the slopes of {prelus} PReLUs, 4 bytes each, are counted with it" if prelus else ""
    return (
        f"The quantized weights alone shrink {steps[0].ratio:.4g}×. All that is stored beside them or stays float, "
        f"{count(kept, 'byte')} of {cost.bytes.total:,}, leaves {cost.ratio:.2f}× in {configuration.model}. "
        f"Batch norm shrinks too, as it is folded: two numbers per channel, where float training keeps four{slopes}. "
        "**Computed** from the layers' shapes, and equal to a stored file to the byte, without its header."
    )


def network_operations(cost: Cost) -> str:
    """The same of the operations, by XNOR-Net's count."""
    counts = cost.operations
    if not counts.binary_macs:
        return "Activations are float, so no operation is counted bitwise: this network is smaller, but not faster."
    share = counts.float_macs / (counts.float_macs + counts.binary_macs)
    return (
        f"The same holds for operations. By XNOR-Net's count, the quantized layers take "
        f"{counts.ideal_speedup:.1f}× fewer; the {percent(share, 1)} of multiply-accumulates that stay float leave "
        f"{counts.network_speedup:.1f}× for the network. **Computed**."
    )
