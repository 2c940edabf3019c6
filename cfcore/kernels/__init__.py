"""Convolutions that count bits, at the limit of the machine's vector ports.

    filters = prepare_filters(q, shape)                            # odd integers [F, C/groups, k, k], once per layer
    activations = pack_activations(x, shape)                       # float32 [N, H, W, C], in any order in memory
    sums = conv2d(activations, filters)                            # int32 [N, OH, OW, F]
    after = epilogue(shape, alpha, beta)                           # y = sum·α + β, once per layer
    y = conv2d_float(activations, filters, after)                  # float32 [N, OH, OW, F]
    bits = conv2d_packed(activations, filters, after, following)   # the next layer's activations, no float between
    y = layer(x, filters, after)                                   # float32 [N, C, H, W] -> [N, F, OH, OW]

**Encoding.** A weight of k_w bits is an odd integer, Σ_i 2^i b_i with b_i = ±1, and bit 1 means +1. Activations are ±1
at one bit, unsigned levels of k_a binary digits above. With | | for the number of ones, Σ a·b = K - 2|a ^ b| for ±1
over K products, and Σ a·b = Σ_j 2^j (2|a_j & b| - |a_j|) for levels: one exclusive or (or "and"), one count and one
addition for 32 products in each lane of a vector.

**Layout.** Channels lie packed in 32-bit words, channels last: [N, k_a, H + 2p, W + 2p, words]. A lane of a vector is
one filter, so no sum ever crosses lanes. Windows are read where they lie, word by word of each tap (no im2col).

**Padding** counts as zero, as in a float convolution of the same integers. Levels get it for free: digits 0. For ±1 a
padded tap is stored as bit 0 and reads as -1; a table by class of border holds what makes up for it.

For a window of eight channels, bit by bit:

    a      +1 -1 -1 +1 -1 +1 +1 +1     1 0 0 1 0 1 1 1
    b      +1 +1 -1 -1 -1 +1 -1 +1     1 1 0 0 0 1 0 1
    a ^ b                              0 1 0 1 0 0 1 0     3 ones: Σ a·b = 8 - 2·3 = 2

sign(0) is +1, and that of a NaN -1: it is the bit of x >= 0.

**Why 341 multiply-accumulates a cycle.** A 512-bit vector holds 512 products; they take three operations (exclusive
or, count, addition), and a server core with AVX-512 and VPOPCNTDQ does two of them a cycle: 512 · 2/3 = 341. A float
multiply-add does 16 to 32 in the same cycle. Narrower vectors, and those that count by looking bytes up, do less.
`machine.port_bound` measures what the ports of this machine do on registers alone; a benchmark states the
share that a convolution reaches. k_w × k_a bits cost k_w·k_a times as much.

Read side by side, each idea with its loops in `reference`:

    what it computes              `shape`         the shape of a convolution; what is refused
                                  `operands`      the formulas; packed weights and activations; border classes
    conv2d, as loops              `reference`     planes, taps, words; numpy counts the bits
    conv2d, fast                  `tile`          the same loops for 5 pixels × 64 filters, sums in registers
                                  `epilogue`      what follows the sums, before they leave the registers
                                  `convolve`      pixels × blocks of filters, and channels-first results
    quantize_activations          `packing`       32 channels, or 64 pixels, in one comparison
    layer                         `bands`         packs the rows that the next chunk of output needs, then convolves it
    where everything lies         `job`           a convolution as a row of integers, read by loops and vector code
                                  `prepare`       weights in the order of the tiles; tables of pixels and taps
    from Python                   `packed`        the functions above
    a whole network               `network`       a table of jobs over one block of memory
    the machine                   `isa`, `emit`   vectors asked of LLVM; patterns of vector code
                                  `cache`         machine code on disk

What is measured, by `cfcore bench conv`: **product** is `conv2d` (packed in, integers out), **layer** is `layer`
(float in, float out, channels first), **chain** is `conv2d_packed` (packed in, packed out). Each result is compared
first: sums with torch's convolution in float64, which is exact for them, packed bits with `reference`. Outputs go to
the same `out` every time, as in a planned network; `aligned` arrays start on a cache line, as torch's do.
"""

from cfcore.kernels.operands import PackedActivations, PackedFilters
from cfcore.kernels.packed import Epilogue, conv2d, conv2d_float, conv2d_packed, epilogue, layer, pack_activations
from cfcore.kernels.prepare import aligned, prepare_filters
from cfcore.kernels.reference import pack_levels
from cfcore.kernels.shape import ConvShape
from cfcore.kernels.threads import Threads

__all__ = [
    "ConvShape",
    "Epilogue",
    "PackedActivations",
    "PackedFilters",
    "Threads",
    "aligned",
    "conv2d",
    "conv2d_float",
    "conv2d_packed",
    "epilogue",
    "layer",
    "pack_activations",
    "pack_levels",
    "prepare_filters",
]
