"""The same kernels for narrower vectors, and for processors that this machine cannot run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from llvmlite import ir
from machines import features, run_on

from cfcore.kernels import isa
from cfcore.kernels.cache import stamp
from cfcore.kernels.convolve import emit_tile
from cfcore.kernels.isa import Isa, detect_isa
from cfcore.kernels.job import LEVELS, SIGNS
from cfcore.kernels.packing import pack_rows
from cfcore.kernels.tile import Tile


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [("haswell", Isa(256, False)), ("skylake-avx512", Isa(512, False)), ("nehalem", Isa(128, False))],
)
def test_older_machines(cpu: str, expected: Isa) -> None:
    if "+avx512bw" not in features() and cpu == "skylake-avx512":
        pytest.skip("this machine cannot run 512-bit code")
    program = (
        "import test_kernels as t, test_kernels_epilogue as e, test_kernels_network as n, test_runtime as r;"
        "from cfcore.kernels.shape import ConvShape; from cfcore.kernels.isa import ISA;"
        "[t.check(ConvShape(c, f, 3, 1, 1, *bits), 1, 4, 5)"
        " for c, f in ((33, 9), (70, 37), (400, 66)) for bits in ((1, 1), (2, 3))];"
        "t.test_special_numbers(); t.test_packing_quantizes(33, 1); t.test_packing_quantizes(33, 3);"
        "[e.test_packed_outputs(f, bits, 1) for f in (5, 21, 70) for bits in (1, 3)];"
        "[e.test_float_outputs(f, bits, 1) for f in (5, 21, 70) for bits in (1, 2)];"
        "n.test_float_convolution(5, 33, 3, 2, 1); n.test_pools(37, 2);"
        "[r.test_packed_is_simulated(r.KINDS[i]) for i in (0, 5, 8)];"
        "print(repr(ISA))"
    )
    assert run_on(cpu, program) == repr(expected)


def test_without_a_compiler_there_are_no_kernels() -> None:
    command = [sys.executable, "-m", "cfcore", "evaluate", "--images", "1"]
    done = subprocess.run(command, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: NUMBA_DISABLE_JIT = 1 is not allowed: use 0. Unset it.\n"


def test_detection_is_stable() -> None:
    assert detect_isa() == detect_isa()
    assert detect_isa().vector_bits in (128, 256, 512)


@pytest.mark.parametrize("changed", ["kernels/tile.py", "kernels/packing.py", "bitpack.py"])
def test_the_copy_on_disk_is_renewed_with_any_file(changed: str, tmp_path: Path) -> None:
    """numba alone watches a function's own file, but a tile's code comes from five."""
    own = Path(isa.__file__).parent
    copy = shutil.copytree(own, tmp_path / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(own.parent / "bitpack.py", tmp_path)
    assert pack_rows._cache._cache_file._source_stamp == stamp(copy)
    with (tmp_path / changed).open("a") as file:
        file.write("#")
    stamp.cache_clear()
    assert stamp(copy) != stamp(own)


@pytest.mark.parametrize("kind", [SIGNS, LEVELS])
def test_code_for_arm(kind: int) -> None:
    """NEON counts the bits of 16 bytes at once (`cnt v0.16b`); compiled across, and not run."""
    module = ir.Module()
    i64 = ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [i64] * 8), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    neon = Isa(128, False)
    emit_tile(Tile(builder, neon, kind, neon.heights[neon.vectors], neon.vectors), *function.args)
    builder.ret_void()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(opt=3)
    assembly = target.emit_assembly(llvm.parse_assembly(str(module)))
    counts = re.findall(r"\bcnt\s+v\d+\.16b", assembly)
    assert len(counts) >= neon.heights[neon.vectors] * neon.vectors
    assert not re.findall(r"^\s*blr?\s.*$", assembly, re.MULTILINE)
