"""For tests of strangers' files: a good one taken apart, edited and put together, and its refusal."""

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from cfcore.checkpoint import parse
from cfcore.errors import CheckpointError


def join(header: dict[str, Any] | str | bytes, body: bytes) -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text + body


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


def refused(content: bytes) -> str:
    """The one line, of a length that a screen can show, that refuses these bytes. Anything else raised is a bug."""
    with pytest.raises(CheckpointError) as error:
        parse(content, "net.safetensors")
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert len(text) < 600
    return text


def edited(content: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    header, body = split(content)
    edit(header)
    return join(header, body)


def with_metadata(content: bytes, **metadata: Any) -> bytes:
    return edited(content, lambda header: header["__metadata__"].update(metadata))


def with_values(content: bytes, tensor: str, place: int, values: bytes) -> bytes:
    header, body = split(content)
    at = header[tensor]["data_offsets"][0] + place
    return join(header, body[:at] + values + body[at + len(values) :])
