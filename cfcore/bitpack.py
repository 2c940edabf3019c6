"""Odd integers as bit planes, and bits as bytes on disk or words in memory.

A k-bit weight is an odd integer, q in {-(2^k - 1), …, -3, -1, 1, 3, …, 2^k - 1}, that is q = Σ_i 2^i b_i with every
b_i = ±1. Writing b_i = 2 u_i - 1 turns the sum into q = 2u - (2^k - 1): the planes are the binary digits of

    u = (q + 2^k - 1) / 2

and bit 1 means +1, bit 0 means -1. Everything that is packed in this project uses that encoding, and least significant
bit first. Disk packing is dense (bytes, one tail per row); word packing serves the kernels (one tail per pixel or tap).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore.config import check_bits
from cfcore.errors import CheckpointError, bad_value

WORD_BITS = 32
"""Bits in a word of the kernels. A vector lane is one word and holds the sum of one filter, so short words suit narrow
layers: 16 filters fill a 512-bit vector, and 32 channels fill a word. Wide layers lose nothing: a vector holds as many
bits either way."""

Bits = NDArray[np.uint8]
Words = NDArray[np.uint32]


def levels(bits: int) -> int:
    """2^k - 1: the largest weight, the largest activation level, and the sum of all plane weights 2^i.

    >>> levels(1), levels(8)
    (1, 255)
    """
    return 2**bits - 1


# ---- on disk: dense bytes --------------------------------------------------------------------------------------


def pack_bits(bits: NDArray[Any]) -> NDArray[np.uint8]:
    """Bits [..., n] of 0 and 1 to bytes [..., ⌈n/8⌉]; bit j of a row is bit j mod 8 of byte j // 8, and the tail is 0.

    >>> pack_bits(np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 1])).tolist()
    [1, 2]
    """
    return np.packbits(_zero_or_one(bits), axis=-1, bitorder="little")


def unpack_bits(packed: NDArray[np.uint8], n: int) -> Bits:
    """Bytes [..., ⌈n/8⌉] back to bits [..., n].

    Raises CheckpointError where the rows have another length, or where a bit of the tail is set: no packing of ours
    writes either, so the bytes are damaged.
    """
    if packed.dtype != np.uint8 or packed.ndim < 1 or packed.shape[-1] != -(-n // 8):
        raise CheckpointError(
            f"Packed bits of shape {packed.shape} and type {packed.dtype} cannot hold rows of {n} bits: "
            f"expected rows of {-(-n // 8)} bytes of type uint8; the file is damaged."
        )
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    if bits[..., n:].any():
        raise CheckpointError(f"Packed rows of {n} bits have bits set after the last one; the file is damaged.")
    return bits[..., :n]


# ---- weights and their planes ----------------------------------------------------------------------------------


def weight_planes(q: NDArray[Any], bits: int) -> Bits:
    """Odd integers q [F, ...] to their binary digits [bits, F, n], plane 0 the least significant, n in the order given.

    Raises ConfigError for bits outside 1..8 and for weights that are not odd integers of that width.

    >>> weight_planes(np.array([[-3, -1, 1, 3]]), 2).tolist()
    [[[0, 1, 0, 1]], [[0, 0, 1, 1]]]
    """
    check_odd(q, bits)
    u = (q.astype(np.int32).reshape(q.shape[0], -1) + levels(bits)) >> 1  # [F, n]
    return digits(u, bits)


def weights_from_planes(planes: NDArray[Any]) -> NDArray[np.int16]:
    """Planes [bits, ...] of 0 and 1 back to odd integers [...]: q = Σ_i 2^i (2 u_i - 1).

    >>> weights_from_planes(np.array([[[0, 1, 0, 1]], [[0, 0, 1, 1]]])).tolist()
    [[-3, -1, 1, 3]]
    """
    check_bits("weight_bits", len(planes))
    plane_weights = 2 ** np.arange(len(planes), dtype=np.int16)
    signs = 2 * _zero_or_one(planes).astype(np.int16) - 1
    return np.tensordot(plane_weights, signs, axes=1).astype(np.int16)


def check_odd(q: NDArray[Any], bits: int) -> None:
    """Refuse weights that are not odd integers from -(2^k - 1) to 2^k - 1."""
    check_bits("weight_bits", bits)
    top = levels(bits)
    allowed = f"odd whole numbers from {-top} to {top}"
    if not np.issubdtype(q.dtype, np.integer):
        raise bad_value("weights", str(q.dtype), allowed, "Quantize them first.")
    wrong = (q > top) | (q < -top) | (q & 1 == 0)
    if wrong.any():
        raise bad_value("weight", int(q[wrong][0]), allowed, "Quantize to the same number of bits.")


# ---- in memory: words ------------------------------------------------------------------------------------------


def words(channels: int) -> int:
    """Words that hold one bit of every channel.

    >>> words(1), words(32), words(33)
    (1, 1, 2)
    """
    return -(-channels // WORD_BITS)


def pack_words(bits: NDArray[Any]) -> Words:
    """Bits [..., C] of 0 and 1 to words [..., words(C)]; channel c is bit c mod 32 of word c // 32, and the tail is 0.

    >>> pack_words(np.array([1, 1, 0] + 30 * [0] + [1])).tolist()
    [3, 2]
    """
    packed = pack_bits(bits)  # [..., ⌈C/8⌉]
    count = words(bits.shape[-1])
    padded = np.zeros((*packed.shape[:-1], count * WORD_BITS // 8), np.uint8)
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u4").astype(np.uint32, copy=False)


def digits(values: NDArray[Any], bits: int) -> Bits:
    """Binary digits of unsigned integers [...], as 0 and 1 in planes [bits, ...], plane 0 the least significant."""
    return np.stack([(values >> i) & 1 for i in range(bits)]).astype(np.uint8)


def _zero_or_one(bits: NDArray[Any]) -> Bits:
    wrong = (bits != 0) & (bits != 1)
    if wrong.any():
        raise bad_value("bit", bits[wrong][0].item(), "0 or 1", "Write -1 as 0 and +1 as 1.")
    return bits.astype(np.uint8)
