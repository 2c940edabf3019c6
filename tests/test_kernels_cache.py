"""Machine code on disk: found again by the next process, and never taken for another kernel's."""

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import pytest
from numba import types
from numba.core import caching
from numba.core.bytecode import FunctionIdentity
from numba.extending import intrinsic

from cfcore.kernels import cache
from cfcore.kernels.isa import compiled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def times(factor: int) -> Any:
    """Two of these share a name, a line and their instructions."""

    @compiled
    def product(x):  # type: ignore[no-untyped-def]
        called()
        return x * factor

    return product


def after(inner: Any) -> Any:
    """A kernel that closes over another."""

    @compiled
    def successor(x):  # type: ignore[no-untyped-def]
        return inner(x) + 1

    return successor


@intrinsic
def called(typing_context):  # type: ignore[no-untyped-def]
    """Keeps a kernel out of those that call it, as long ones are."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


def hits(kernel: Any) -> int:
    return sum(kernel._cache_hits.values())


def stamped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The source changes."""
    monkeypatch.setattr(cache, "stamp", lambda: text)


@pytest.mark.parametrize("make", [lambda: times(3), lambda: after(times(3))])
def test_code_is_found_again(make: Callable[[], Any], folder: Path) -> None:
    first, second = make(), make()
    assert first(5) == second(5)
    assert (hits(first), hits(second)) == (0, 1)
    assert not [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".nbc"]


def test_kernels_of_one_name_are_told_apart(folder: Path) -> None:
    assert [times(factor)(5) for factor in (2, 3, 2, 3)] == [10, 15, 10, 15]
    assert [after(times(factor))(5) for factor in (2, 3, 2, 3)] == [11, 16, 11, 16]


def test_kernels_that_numba_numbers_alike_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of two processes are that compile at the same time; then one process loads both."""
    results = []
    for factor in (2, 3, 2, 3):
        monkeypatch.setattr(FunctionIdentity, "_unique_ids", itertools.count(10**6))
        results.append(after(times(factor))(5))
    assert results == [11, 16, 11, 16]


def test_code_of_another_source_is_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(monkeypatch, "old")
    assert times(2)(5) == 10
    files = set(folder.rglob("*.nbc"))
    stamped(monkeypatch, "new")
    first, second = times(2), times(2)
    assert first(5) == second(5) == 10
    assert (hits(first), hits(second)) == (0, 1)
    assert set(folder.rglob("*.nbc")) == files


def test_a_process_that_dies_while_it_saves_leaves_no_wrong_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamped(monkeypatch, "old")
    assert times(2)(5) == 10
    stamped(monkeypatch, "new")
    replace = os.replace

    def killed(source: str, target: str) -> None:
        if str(target).endswith(".nbc"):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as context:
        context.setattr(caching.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            times(3)(5)
    assert times(3)(5) == 15


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b[:20], lambda b: b[:-1], lambda b: b[:-9] + b"\0" + b[-8:], lambda b: b"x" * 99],
)
def test_damaged_files_are_compiled_anew(damage: Callable[[bytes], bytes], folder: Path) -> None:
    assert times(2)(5) == 10
    for file in folder.rglob("*.nb*"):
        file.write_bytes(damage(file.read_bytes()))
    again, healed = times(2), times(2)
    assert again(5) == healed(5) == 10
    assert (hits(again), hits(healed)) == (0, 1)


def test_a_disk_that_cannot_be_written_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(caching.os, "replace", full)
    assert times(2)(5) == 10
    assert not [file for file in folder.rglob("*") if file.is_file()]


def test_a_folder_that_goes_away_is_no_error(folder: Path) -> None:
    kernel = times(2)
    place = Path(kernel._cache.cache_path)
    place.rmdir()
    place.write_text("a file where the folder was")
    assert kernel(5) == 10


def test_no_folder_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["numba.core.caching"].CacheImpl, "_locator_classes", [])
    assert times(2)(5) == 10
