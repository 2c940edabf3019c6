"""The command line: what it prints, and how it refuses; in a process of its own where that is what counts."""

import functools
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from subprocess import CompletedProcess
from unittest import mock

import pytest

from cfcore.__main__ import main
from cfcore.config import Configuration, Recipe
from cfcore.cost import network_cost
from cfcore.images import load_test_set
from cfcore.manifest import entries
from cfcore.runs import Run


def cfcore(*arguments):
    """What the command leaves behind; loading torch anew for each would take minutes in all."""
    command, out, err, code = ["cfcore", *arguments], io.StringIO(), io.StringIO(), 0
    with mock.patch("sys.argv", command), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return CompletedProcess(command, code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cost", "--weight-bits", "0"], "weight_bits = 0 is not allowed: use a whole number from 1 to 8."),
        (["cost", "--weight-bits", "9"], "weight_bits = 9 is not allowed: use a whole number from 1 to 8."),
        (["cost", "--weight-bits", "one"], "Invalid value for '--weight-bits'"),
        (["cost", "--group-size", "0"], "group_size = 0 is not allowed"),
        (["cost", "--group-size", "-3"], "group_size = -3 is not allowed"),
        (["cost", "--group-size", "65"], "group_size = 65 is not allowed: use a whole number from 1 to 64"),
        (
            ["cost", "--group-size", "1000000000"],
            "group_size = 1000000000 is not allowed: use a whole number from 1 to 64",
        ),
        (["cost", "--group-size", "--5"], "group_size = '--5' is not allowed"),
        (["cost", "--group-size", "9" * 5000], "is not allowed"),
        (["cost", "--model", "lenet"], "model = 'lenet' is not allowed: use one of resnet20,"),
        (["cost", "--method", "binary-weight", "--activation-bits", "4"], "activation_bits = 4 is not allowed"),
        (["cost", "--width", "0.3"], "width = 0.3 is not allowed"),
        (["formula", "--kernel", "0"], "kernel = 0 is not allowed: use a whole number from 1 to 64. Choose 3."),
        (["formula", "--word-bits", "nan"], "word_bits = nan is not allowed"),
        (
            ["formula", "--scaling", "never"],
            "scaling = 'never' is not allowed: use one of output, group, both, folded.",
        ),
        (["evaluate", "--checkpoint", "missing.safetensors"], "There is no checkpoint missing.safetensors."),
        (["evaluate", "--images", "0"], "images = 0 is not allowed"),
        (["compare", "--images", "0"], "images = 0 is not allowed"),
        (["compare", "--method", "float"], "method = 'float' is not allowed: use binary-weight or xnor."),
        (["evaluate", "--method", "float", "--engine", "packed"], "cannot run packed"),
        (["evaluate", "--engine", ""], "engine = '' is not allowed"),
        (["evaluate", "--weight-bits", "x\x1b[31m"], "It was 'x\\x1b[31m'."),
        (["evaluate", "--model", "resnet44"], "is shipped. Train one: cfcore train --model resnet44 --method xnor"),
        (["inspect", "a\x1b[31mb"], "There is no checkpoint a [31mb."),
        (["export", "../resnet20-float"], "run = '../resnet20-float' is not allowed"),
        (["export", "/"], "run = '/' is not allowed"),
        (["train", "--name", ""], "run = '' is not allowed: use up to 100 letters"),
        (["train", "--start", "a" * 300], "is not allowed: use up to 100 letters"),
        (["evaluate", "--engine", "magic"], "engine = 'magic' is not allowed: use one of packed, simulated."),
        (["evaluate", "--weight-bits", "7"], "Use --source post-training, or train one"),
        (["inspect", "missing.safetensors"], "There is no checkpoint missing.safetensors."),
        (["inspect", "requirements.txt"], "requirements.txt is not a safetensors file"),
        (["bench", "conv", "--layers", "256,14"], "layers = '256,14' is not allowed"),
        (["bench", "conv", "--threads", "0"], "threads = 0 is not allowed"),
        (["train", "--source", "post-training"], "source = 'post-training' is not allowed: use trained."),
        (["train", "--seed", "9" * 25], "is not allowed: use a whole number from 0"),
        (["evaluate", "--activation-bits", "8", "--input-scale"], "use false with 8-bit activations"),
        (["inspect", "/dev/null/file"], "There is no checkpoint"),
        (["train", "--epochs", "0"], "epochs = 0 is not allowed"),
        (["train", "--distill", "0.5"], "Give both or neither."),
        (["train", "--device", "tpu"], "device = 'tpu' is not allowed"),
        (["train", "--data", "missing"], "No CIFAR-10 in missing"),
        (["train", "grid", "--plan", "long", "--data", "missing", "--runs", "no-runs"], "No CIFAR-10 in missing"),
        (["train", "grid", "--plan", "quick"], "plan = 'quick' is not allowed: use one of short, long."),
        (["train", "grid", "--only", "alexnet"], "only = 'alexnet' is not allowed: use the beginning of a network's"),
        (["train", "grid", "--device", "tpu"], "device = 'tpu' is not allowed"),
        (["train", "--data", "here", "grid"], "--data stands before grid, where it does nothing."),
        (["train", "--json", "grid"], "--json stands before grid"),
        (["train", "gird"], "No such command 'gird'."),
        (["export", "missing"], "There is no training run in"),
        (["compare", "--against", ""], "against = '' is not allowed: use a name that"),
        (["models", "--json", "--markdown"], "--json and --markdown exclude each other"),
        (["bench", "table", "/dev/zero"], "zero is no file of timings"),
        (["bench", "table", "cfcore"], "cfcore is no file of timings"),
        (["nonsense"], "No such command 'nonsense'."),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, said):
    result = cfcore(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [[], ["bench"]], ids=["cfcore", "bench"])
def test_without_a_command_it_explains_itself(command):
    result = cfcore(*command)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: ")
    assert "Commands:" in result.stderr


def test_a_table_for_each_machine_says_where_packed_pays(tmp_path):
    table = cfcore("bench", "table").stdout
    assert table.startswith("The median of a packed call, and how many times faster it is than each backend")
    heads = [line for line in table.splitlines() if "measured on" in line]
    assert [line.split(":")[0] for line in heads] == ["amd-zen4", "intel-amx"]
    assert "measured on AMD EPYC, 512-bit vectors" in heads[0]
    assert all(line.endswith("; 1 thread") for line in heads)
    assert table.count("256,14,256,3,1  1 x 1") == 2
    document = json.loads(cfcore("bench", "table", "--json").stdout)
    fields = "set cpu vectors threads layer batch weight_bits activation_bits stage packed_s times_faster pays"
    assert set(fields.split()) == set(document[0])
    assert {row["set"] for row in document} == {"amd-zen4", "intel-amx"}
    missing = cfcore("bench", "table", str(tmp_path / "missing.json"))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "missing.json. Make it with: cfcore bench record FILE" in missing.stderr


def test_the_table_of_one_file_and_stage():
    file = "pretrained/bench/intel-amx.json"
    table = cfcore("bench", "table", file, "--stage", "network").stdout
    assert "amd-zen4" not in table
    assert "resnet20, batch 32  1 x 1" in table
    wrong = cfcore("bench", "table", file, "--stage", "chain")
    assert wrong.returncode == 2
    assert "stage = 'chain' is not allowed: use layer, product, network." in wrong.stderr


def test_a_record_that_cannot_be_written_is_found_out_at_once(tmp_path):
    file = str(tmp_path / "missing" / "bench.json")
    result = cfcore("bench", "record", file)
    assert result.returncode == 2
    assert f"file = '{file}' is not allowed: use the name of a file, in a folder that is there." in result.stderr


@pytest.mark.parametrize("file", ["", ".", "..", "/", "/dev/full"])
def test_what_is_no_file_is_no_place_for_a_record(file):
    result = cfcore("bench", "record", file)
    assert result.returncode == 2
    assert "is not allowed: use the name of a file" in result.stderr


def test_cost_prints_the_ledger():
    result = cfcore("cost", "--weight-bits", "1", "--group-size", "16", "--json")
    document = json.loads(result.stdout)
    # 18 quantized layers of ResNet-20 hold 267,264 weights; 6, 6 and 6 of them have 1, 2 and 4 groups of 16
    assert document["bytes"]["weights"] == 267_264 // 8
    assert document["bytes"]["scales"] == 4 * (6 * 1 + 6 * 2 + 6 * 4)
    assert document == network_cost(Configuration(group_size=16)).to_dict()
    assert len(document["layers"]) == 19


def test_formula_prints_one_layer():
    options = ["--channels", "512", "--kernel", "1", "--group-size", "6", "--word-bits", "128", "--scaling", "group"]
    document = json.loads(cfcore("formula", *options, "--json").stdout)
    assert document["speedup"] == pytest.approx(512 / (512 / 128 + 1 / 6))
    assert document["memory_ratio"] == pytest.approx(32 * 512 * 6 / (512 * 6 + 32))
    text = cfcore("formula").stdout  # left out, it is XNOR-Net's example
    assert "31.56 times less memory: n = 2,304 weights a filter, m = 1" in text
    assert "62.27 times fewer operations an output: 2,304 against 36.00 on words and 1 by a factor" in text
    slow = cfcore("formula", "--weight-bits", "8", "--activation-bits", "8", "--word-bits", "1").stdout
    assert "64.00 times more operations an output" in slow


def test_cost_prints_how_the_ratio_comes_down():
    text = cfcore("cost").stdout
    cost = network_cost(Configuration())
    for step in cost.steps:
        (line,) = [line.split() for line in text.splitlines() if line.startswith(f"{step.part} ")]
        assert line[1:] == [f"{step.bytes:,}", f"{step.float_bytes:,}", f"{step.ratio:.2f}"]
    assert f"{cost.operations.network_speedup:.2f} in all, by XNOR-Net's model" in text


def test_bits_follow_the_method():
    document = json.loads(cfcore("cost", "--method", "float", "--json").stdout)
    assert (document["weight_bits"], document["activation_bits"], document["ratio"]) == (32, 32, 1.0)


def test_models_lists_the_manifest():
    document = json.loads(cfcore("models", "--json").stdout)
    assert document == [entry.to_dict() for entry in entries()]
    keys = "model method weight_bits activation_bits group_size order source accuracy seeds epochs bytes file sha256"
    assert set(keys.split()) <= set(document[0])


def test_compare_counts_what_evaluate_counts():
    found = json.loads(cfcore("compare", "--group-size", "layer", "--images", "200", "--json").stdout)
    for arguments, when in ((["--method", "float"], "before"), (["--group-size", "layer"], "after")):
        counted = json.loads(cfcore("evaluate", *arguments, "--images", "200", "--json").stdout)
        assert found[f"correct_{when}"] == counted["correct"]
    assert found["correct_before"] - found["now_wrong"] + found["now_right"] == found["correct_after"]
    assert found["both_right"] + found["both_wrong"] + found["now_wrong"] + found["now_right"] == found["images"] == 200
    assert (found["engine"], found["group_size"]) == ("packed", "layer")
    shown = cfcore("compare", "--group-size", "layer", "--images", "200").stdout
    assert f"{found['now_wrong']} right before and wrong now, {found['now_right']} wrong before" in shown


def test_compare_takes_another_network_in_place_of_float():
    words = ["compare", "--group-size", "layer", "--images", "200"]
    found = json.loads(cfcore(*words, "--against", Configuration().name, "--json").stdout)
    counted = json.loads(cfcore("evaluate", "--images", "200", "--json").stdout)
    assert (found["against"], found["correct_before"]) == (Configuration().name, counted["correct"])
    assert found["difference"] == pytest.approx((found["correct_after"] - found["correct_before"]) / 2)
    shown = cfcore(*words, "--against", Configuration().name).stdout
    assert f"{found['difference']:+.2f} points; up to {found['chance']:.2f} can be chance" in shown
    assert "use a name that `python -m cfcore models` lists" in cfcore(*words, "--against", "resnet21").stderr
    itself = Configuration(group_size="layer").name
    for same in (words, ["compare", "--group-size", "64"]):  # which is layer-wise too
        assert f"against = '{itself}' is not allowed: use another network" in cfcore(*same, "--against", itself).stderr


def test_closed_streams_are_no_mistake():
    for closed in (">&-", "2>&-"):
        done = subprocess.run(["sh", "-c", f"{sys.executable} -m cfcore cost {closed}"], capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
    wrong = f"{sys.executable} -m cfcore cost --weight-bits 9 2>&-"
    lost = subprocess.run(["sh", "-c", wrong], capture_output=True)
    assert (lost.returncode, lost.stdout) == (2, b"")


def test_tables_for_a_terminal_of_ascii():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "cfcore", "models", "--markdown"]
    done = subprocess.run(words, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")


def test_evaluate_and_inspect_agree_with_the_manifest():
    command = [sys.executable, "-m", "cfcore", "evaluate", "--images", "200", "--json"]
    first = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert first["images"] == 200
    assert first["engine"] == "packed"
    assert first["accuracy"] == pytest.approx(first["correct"] / 2)
    entry = next(e for e in entries() if e.configuration == Configuration())
    seen = json.loads(cfcore("inspect", f"pretrained/{entry.file}", "--json").stdout)
    assert seen["configuration"] == Configuration().to_dict()
    assert seen["bytes"]["file"] == entry.bytes
    assert seen["bytes"]["tensors"] == network_cost(Configuration()).bytes.total


@pytest.mark.parametrize("command", [[], ["evaluate"], ["train"], ["cost"], ["formula"], ["bench", "conv"]])
def test_help_gives_an_example(command):
    result = cfcore(*command, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout
    assert not command or "Example: python -m cfcore" in result.stdout


def test_a_run_is_trained_by_one_at_a_time(tmp_path):
    training = mock.patch("cfcore.data.load_training_set", return_value=load_test_set().first(8))
    with training, Run(Configuration(), Recipe()).lock(tmp_path):
        result = cfcore("train", "--runs", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.startswith("Error: Another process is training resnet20-xnor-w1a1-m16 in ")
    assert not (tmp_path / "resnet20-xnor-w1a1-m16").exists()


def test_control_c_is_said_and_is_no_success():
    command = [sys.executable, "-m", "cfcore", "evaluate", "--method", "float"]
    screen, terminal = os.openpty()  # progress is shown on a terminal only, and says that the count has begun
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores it
    streams = {"stderr": terminal, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=heard, **streams) as process:
        os.close(terminal)
        assert b"%" in os.read(screen, 100)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=100)
    said = os.read(screen, 10_000).decode()
    os.close(screen)
    assert (process.returncode, out) == (130, "")
    assert said.strip().endswith("Stopped.")
    assert "Traceback" not in said


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(f"{sys.executable} -m cfcore cost | head -n 1", shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("resnet20-xnor-w1a1-m16")
    assert done.stderr == ""
    reading, writing = os.pipe()
    os.close(reading)  # it has left before the first line
    done = subprocess.run([sys.executable, "-m", "cfcore", "cost"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_one_sentence():
    done = subprocess.run(f"{sys.executable} -m cfcore cost > /dev/full", shell=True, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The output: No space left on device.")
    assert "Traceback" not in done.stderr
