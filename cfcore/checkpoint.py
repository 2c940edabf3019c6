"""The one disk format: a network in a safetensors file, quantized weights as bit planes.

A safetensors file is 8 bytes of header length, a JSON header, and the tensors' bytes one after the other. The header's
metadata holds `format` ("cfcore-1"), `configuration` and `origin` (how it was made) as JSON. The tensors, with i the
number of a convolution or norm, in the network's order (`architecture`):

    name                     type     shape                 of
    convs.i.weight           float32  [F, C, kh, kw]        the float layers: the first one, or all of a float network
    convs.i.planes           uint8    [k_w, F, ⌈n/8⌉]       quantized layers: bit j of plane p is digit p of
                                                            (q + 2^k - 1)/2 for weight j, in the order kh, kw,
                                                            C; low bit first, tail 0
    convs.i.scales           float32  [G]                   one scaling factor a group, above 0
    convs.i.group_of         uint16   [F]                   each filter's group, only for order "sorted" with 1 < m < F;
                                                            else it is ⌊f / m⌋
    convs.i.step             float32  [1]                   step of 2..8-bit activations, at least 1e-6
    norms.i.scale, .shift    float32  [channels]            quantized networks: batch norm as y = scale·x + shift
    norms.i.weight, .bias, .running_mean, .running_var      float networks: batch norm as trained, so that its
                             float32  [channels]            statistics can be estimated again
    slopes                   float32  [L]                   of the PReLU behind each shortcut, where there are any
    head.weight, head.bias   float32  [10, features], [10]  the classifier

`load` accepts exactly these and nothing else: a file is data from a stranger. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save as save_bytes

from cfcore.architecture import Architecture, Conv, architecture
from cfcore.bitpack import unpack_bits, weights_from_planes
from cfcore.config import LEAST_STEP, Configuration
from cfcore.errors import CheckpointError, ConfigError, shown
from cfcore.files import whole

FORMAT = "cfcore-1"
LARGEST_FILE = 64 * 2**20
LARGEST_HEADER = 2**20
DTYPES = {"F32": np.float32, "U8": np.uint8, "U16": np.uint16}

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network as stored: its configuration, its tensors, and how it was made (recipe, seed, …)."""

    configuration: Configuration
    tensors: Tensors
    origin: dict[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        return architecture(self.configuration)

    def group_of(self, conv: Conv) -> NDArray[np.int64]:
        """The group of each filter -> [F]"""
        stored = self.tensors.get(f"{conv.name}.group_of")
        if stored is not None:
            return stored.astype(np.int64)
        return np.arange(conv.filters) // self.configuration.shared_by(conv.filters)

    def filter_scales(self, conv: Conv) -> NDArray[np.float32]:
        """The scaling factor that each filter uses -> [F]"""
        return self.tensors[f"{conv.name}.scales"][self.group_of(conv)]

    def levels(self, conv: Conv) -> NDArray[np.int16]:
        """The odd integers q -> [F, C, kh, kw]"""
        planes = unpack_bits(self.tensors[f"{conv.name}.planes"], conv.weights_per_filter)  # [k_w, F, n]
        q = weights_from_planes(planes)
        return q.reshape(conv.filters, conv.kernel, conv.kernel, conv.channels).transpose(0, 3, 1, 2)


def layout(configuration: Configuration) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Type and shape of every tensor that a network of this configuration is stored as."""
    network, bits = architecture(configuration), configuration.weight_bits
    expected: dict[str, tuple[type, tuple[int, ...]]] = {}
    for conv in network.convs:
        if not conv.quantized or configuration.method == "float":
            expected[f"{conv.name}.weight"] = np.float32, (conv.filters, conv.channels, conv.kernel, conv.kernel)
            continue
        m = configuration.shared_by(conv.filters)
        expected[f"{conv.name}.planes"] = np.uint8, (bits, conv.filters, -(-conv.weights_per_filter // 8))
        expected[f"{conv.name}.scales"] = np.float32, (-(-conv.filters // m),)
        if configuration.order == "sorted" and 1 < m < conv.filters:
            expected[f"{conv.name}.group_of"] = np.uint16, (conv.filters,)
        if configuration.has_steps:
            expected[f"{conv.name}.step"] = np.float32, (1,)
    names = ("weight", "bias", "running_mean", "running_var") if configuration.method == "float" else ("scale", "shift")
    for i, channels in enumerate(network.norms):
        expected |= {f"norms.{i}.{name}": (np.float32, (channels,)) for name in names}
    if network.slopes:
        expected["slopes"] = np.float32, (network.slopes,)
    expected["head.weight"] = np.float32, (network.classes, network.features)
    expected["head.bias"] = np.float32, (network.classes,)
    return expected


def save(checkpoint: Checkpoint, file: Path, overwrite: bool = False) -> int:
    """Write the file whole or not at all. -> its size in bytes. Raises CheckpointError, also where it exists."""
    _check(checkpoint.configuration, checkpoint.tensors)
    if not overwrite and os.path.lexists(file):
        raise CheckpointError(f"{file} exists already. Choose another name, or allow overwriting.")
    metadata = {
        "format": FORMAT,
        "configuration": json.dumps(checkpoint.configuration.to_dict(), sort_keys=True),
        "origin": json.dumps(checkpoint.origin, sort_keys=True),
    }
    tensors = {name: np.ascontiguousarray(t) for name, t in checkpoint.tensors.items()}
    content = _serialised(tensors, metadata)
    if len(content) > LARGEST_FILE:
        raise CheckpointError(f"The network has more than {LARGEST_FILE // 2**20} MiB. Choose a smaller width.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise CheckpointError(f"{file} could not be written: {error.strerror}. Choose another folder.") from error
    return file.stat().st_size


def load(file: Path) -> Checkpoint:
    """Read and check a file. Raises CheckpointError for one that is missing, damaged, too large or not ours."""
    if not os.path.isfile(file):  # unlike Path.is_file, false for a name that is too long
        raise CheckpointError(f"There is no checkpoint {file}. `cfcore models` lists those that are shipped.")
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise CheckpointError(f"{file.name} has more than {LARGEST_FILE // 2**20} MiB, so it is not one of ours.")
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file.name} cannot be read: {error.strerror}. Check its permissions.") from error
    return parse(content, file.name)


def parse(content: bytes, name: str = "The file") -> Checkpoint:
    """`load` for bytes already read, such as an upload."""
    header = _header(content, name)
    metadata = header.get("__metadata__") or {}
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f'{name} is not a checkpoint of this project: its format is not "{FORMAT}".')
    try:
        configuration = Configuration.of(**json.loads(metadata["configuration"]))
        architecture(configuration)  # a width or group size that no layer of it can have
        origin = json.loads(metadata.get("origin", "{}"), parse_constant=_no_number, parse_float=_finite)
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # ConfigError is a ValueError
        reason = error if isinstance(error, ConfigError) else "it cannot be read"
        raise CheckpointError(f"{name} states no valid configuration: {reason}") from error
    _check_layout(configuration, header, name)
    try:
        tensors = load_bytes(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{name} is damaged: {shown(str(error))}. Fetch it again.") from error
    _check(configuration, tensors, name)
    ordered = {tensor: tensors[tensor] for tensor in layout(configuration)}
    return Checkpoint(configuration, ordered, origin if isinstance(origin, dict) else {})


def _serialised(tensors: Tensors, metadata: dict[str, str]) -> bytes:
    """safetensors' bytes with the metadata in order of key: it leaves that order to a hash, other in every process."""
    content = save_bytes(tensors, metadata)
    end = header_size(content)
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def _finite(text: str) -> float:
    """A float, and not 1e999: what is read here is written as JSON again, which has no infinity."""
    if not math.isfinite(number := float(text)):
        _no_number(text)
    return number


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different: of a key that is there twice, two readers could take either."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key is there twice")
    return table


def header_size(content: bytes) -> int:
    """Bytes before the tensors: the header and its own length."""
    return 8 + int.from_bytes(content[:8], "little")


def _header(content: bytes, name: str) -> dict[str, Any]:
    if len(content) > LARGEST_FILE:
        raise CheckpointError(f"{name} has more than {LARGEST_FILE // 2**20} MiB, so it is not one of ours.")
    end = header_size(content) if len(content) >= 8 else 0
    if not 8 < end <= min(len(content), LARGEST_HEADER):
        raise CheckpointError(f"{name} is not a safetensors file, or is cut short: its header does not fit.")
    try:
        header = json.loads(content[8:end], object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} is not a safetensors file: its header is not JSON.") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise CheckpointError(f"{name} is not a safetensors file: its header is not a table of tensors.")
    return header


def _check_layout(configuration: Configuration, header: dict[str, Any], name: str) -> None:
    """Names, types and shapes, from the header alone: nothing large is touched before they are right."""
    expected = layout(configuration)
    found = set(header) - {"__metadata__"}
    for word, names in (("lacks", expected.keys() - found), ("has the unknown", found - expected.keys())):
        if names:
            raise CheckpointError(
                f"{name} {word} tensor {shown(min(names))} for {configuration.name}: it is damaged, or of another "
                "version. Fetch or train it again."
            )
    for tensor, (dtype, shape) in expected.items():
        entry = header[tensor] if isinstance(header[tensor], dict) else {}
        stated_type = entry.get("dtype")
        right = isinstance(stated_type, str) and DTYPES.get(stated_type) is dtype
        if not right or entry.get("shape") != list(shape):
            stated = f"{shown(stated_type)} {shown(entry.get('shape'))}"
            raise CheckpointError(
                f"{name}: tensor {tensor!r} is {stated}, and should be {dtype.__name__} {list(shape)} "
                f"for {configuration.name}."
            )


def _check(configuration: Configuration, tensors: Tensors, name: str = "The network") -> None:
    """Types, shapes and values."""
    expected = layout(configuration)
    if tensors.keys() != expected.keys():
        raise CheckpointError(f"{name}: tensor {min(tensors.keys() ^ expected.keys())!r} is missing or unknown.")
    for tensor, (dtype, shape) in expected.items():
        values = tensors[tensor]
        if values.dtype != dtype or values.shape != shape:
            raise CheckpointError(f"{name}: tensor {tensor!r} should be {dtype.__name__} {list(shape)}.")
        if dtype is np.float32 and not np.isfinite(values).all():
            raise CheckpointError(f"{name}: tensor {tensor!r} holds a number that is not finite.")
        if tensor.endswith(".scales") and not (values > 0).all():
            raise CheckpointError(f"{name}: tensor {tensor!r} holds a factor that is not above 0.")
        if tensor.endswith(".step") and not (values >= LEAST_STEP).all():
            raise CheckpointError(f"{name}: tensor {tensor!r} holds a step below {LEAST_STEP:g}.")
        if tensor.endswith(".running_var") and not (values >= 0).all():
            raise CheckpointError(f"{name}: tensor {tensor!r} holds a variance below 0.")
    for conv in architecture(configuration).convs:
        if (planes := tensors.get(f"{conv.name}.planes")) is not None:
            unpack_bits(planes, conv.weights_per_filter)  # refuses bits set after the last weight
        if (group_of := tensors.get(f"{conv.name}.group_of")) is not None:
            m = configuration.shared_by(conv.filters)
            sizes = np.bincount(group_of, minlength=-(-conv.filters // m))
            if sizes.tolist() != np.bincount(np.arange(conv.filters) // m).tolist():
                raise CheckpointError(f"{name}: tensor '{conv.name}.group_of' does not make groups of {m}.")
