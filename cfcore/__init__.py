"""cfcore: cross-filter compression of convolutional networks (Lyu, Zhu, Liu, arXiv 2005.09034).

Filters are quantized to a few bits, groups of adjacent filters share one scaling factor, and the products are
computed on packed bits. Read the modules floor by floor: `config`, `scaling`, `quantize`, `bitpack`, `kernels`,
`layers`, `models`, `runtime`.
"""

__version__ = "0.1.0"
