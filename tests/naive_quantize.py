"""Slow oracles of the quantizers and of XNOR-Net's input scale: the definitions in plain loops, nothing of cfcore."""

from __future__ import annotations

import numpy as np


def odd_levels(bits: int) -> list[int]:
    """-(2^k - 1), …, -3, -1, 1, 3, …, 2^k - 1"""
    return list(range(-(2**bits - 1), 2**bits, 2))


def nearest_odd(weight: np.ndarray, scale: np.ndarray, bits: int) -> np.ndarray:
    """Of the odd integers, the one nearest to W/α; of two as near, the larger. float64 W [F, ...], α [F] -> like W."""
    out = np.empty(weight.shape, np.int64)
    for place in np.ndindex(*weight.shape):
        ratio = weight[place] / scale[place[0]]
        out[place] = min(odd_levels(bits), key=lambda level: (abs(ratio - level), -level))
    return out


def squared_error(weight: np.ndarray, alpha: float, bits: int) -> float:
    """|W - α·q|² of weights that share α, with the nearest level for each."""
    flat = weight.reshape(1, -1)
    q = nearest_odd(flat, np.array([alpha]), bits)
    return float(((flat - alpha * q) ** 2).sum())


def activation_levels(x: np.ndarray, step: float, bits: int) -> np.ndarray:
    """0, 1, …, 2^k - 1: the whole number nearest to x/s, half to even."""
    out = np.empty(x.shape, np.int64)
    for place in np.ndindex(*x.shape):
        out[place] = min(max(round(float(x[place]) / step), 0), 2**bits - 1)
    return out


def learned_step_gradients(x: np.ndarray, step: float, bits: int, upstream: np.ndarray) -> tuple[np.ndarray, float]:
    """LSQ's gradients of x and of s (arXiv 1902.08153, eq. 3 and 5), x [N, ...].

    dx: 1 inside 0 < x/s < 2^k - 1, else 0. ds: round(x/s) - x/s inside, 0 below, 2^k - 1 above, times
    1/sqrt(numbers of one image · (2^k - 1)).
    """
    top = 2**bits - 1
    dx, ds = np.zeros(x.shape), 0.0
    for place in np.ndindex(*x.shape):
        ratio = float(x[place]) / step
        if ratio <= 0:
            continue
        if ratio >= top:
            ds += float(upstream[place]) * top
        else:
            dx[place] = upstream[place]
            ds += float(upstream[place]) * (round(ratio) - ratio)
    return dx, ds / float(x[0].size * top) ** 0.5


def input_scale_map(x: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """mean |x| over channels and window, with padded pixels counted as 0. [N, C, H, W] -> [N, 1, OH, OW]"""
    n, channels, height, width = x.shape
    oh, ow = (height + 2 * padding - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1
    out = np.zeros((n, 1, oh, ow))
    for image, row, column in np.ndindex(n, oh, ow):
        for i, j, c in np.ndindex(kernel, kernel, channels):
            y, z = row * stride + i - padding, column * stride + j - padding
            if 0 <= y < height and 0 <= z < width:
                out[image, 0, row, column] += abs(x[image, c, y, z]) / (channels * kernel**2)
    return out
