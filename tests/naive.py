"""Slow oracles, without numba, bit tricks or anything of cfcore: what the definitions say, in plain loops."""

from __future__ import annotations

import itertools

import numpy as np


def conv2d(
    a: np.ndarray, q: np.ndarray, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1
) -> np.ndarray:
    """Integers a [N, H, W, C] with filters q [F, C/groups, k, k], padded with zeros: int64 [N, OH, OW, F]."""
    n, height, width, channels = a.shape
    f, group_channels, k, _ = q.shape
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), np.int64)
    padded[:, padding : padding + height, padding : padding + width] = a
    reach = dilation * (k - 1) + 1
    oh, ow = ((size + 2 * padding - reach) // stride + 1 for size in (height, width))
    out = np.zeros((n, oh, ow, f), np.int64)
    for g, y, x in itertools.product(range(groups), range(oh), range(ow)):
        rows, columns = (slice(i * stride, i * stride + reach, dilation) for i in (y, x))
        window = padded[:, rows, columns, g * group_channels : (g + 1) * group_channels]
        filters = slice(g * f // groups, (g + 1) * f // groups)
        out[:, y, x, filters] = np.einsum("nijc,fcij->nf", window, q[filters].astype(np.int64))
    return out


def quantize(x: np.ndarray, bits: int, step: float) -> np.ndarray:
    """Signs or levels of float32 x [N, H, W, C], one number at a time."""
    out = np.zeros(x.shape, np.int64)
    for place in np.ndindex(*x.shape):
        if bits == 1:
            out[place] = 1 if x[place] >= 0 else -1
        else:
            level = float(np.float32(x[place] / np.float32(step)))
            out[place] = min(max(round(level), 0), 2**bits - 1)  # Python's round is half to even
    return out


def weight(u: int, bits: int) -> int:
    """The odd integer whose planes are the binary digits of u: Σ_i 2^i (2 u_i - 1)."""
    return sum(2**i * (1 if u >> i & 1 else -1) for i in range(bits))
