"""The notebooks run from top to bottom, each in a kernel started where they lie, and are stored without results."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "app" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
BESIDES = {"sys", "pathlib", "timeit", "dataclasses", "numpy", "pandas", "torch", "safetensors"}
SECONDS = 120  # a busy machine is slow, not wrong
EXERCISES = {  # what stands in the last cell, a right answer, and wrong ones
    "1_quantization": (
        "by_size = None",
        'by_size = layer.increase_by_order("sorted")',
        ("by_size = by_index", "by_size = 0"),
    ),
    "2_bits": (
        "corner = None",
        "corner = (x[0, :2, :2] * w[0].transpose(1, 2, 0)[1:, 1:]).sum()",
        ("corner = slow[0, 0, 0, 0]",),
    ),
    "3_cost": ("k = None", "k = 8", ("k = 1", "k = 9")),
    "4_accuracy": (
        "lost, won = None, None",
        "right = [each.predictions == more.labels for each in (alone, together)]\n"
        "lost, won = sum(right[0] & ~right[1]), sum(right[1] & ~right[0])",
        ("lost, won = 0, 0", "lost, won = 41, 84"),
    ),
    "5_what_if": ("m = None", "m = 4", ("m = 1", "m = 16")),
}


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_has_an_exercise_that_is_solved_here() -> None:
    assert [file.stem for file in NOTEBOOKS] == list(EXERCISES)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_valid_and_stored_without_results(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in code(notebook))
    assert any("**Predict**" in cell.source for cell in notebook.cells)
    assert any(cell.source.startswith("## Exercise") for cell in notebook.cells)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_needs_the_library_and_the_figures_only(file: Path) -> None:
    named = set()
    for cell in code(nbformat.read(file, as_version=4)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                named.add(node.module or "")
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
    others = {name for name in named if not name.startswith(("cfcore.", "app.figures."))}
    assert others <= BESIDES


@pytest.mark.parametrize("name", EXERCISES)
def test_a_notebook_runs_and_its_exercise_tells_right_from_wrong(name: str) -> None:
    """From top to bottom as it is stored, without a complaint; then its last cell with answers."""
    blank, right, wrong_ones = EXERCISES[name]
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": FOLDER}}
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place)
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        complaints = [
            output.text for cell in code(notebook) for output in cell.outputs if output.get("name") == "stderr"
        ]
        assert complaints == []
        exercise = notebook.cells[-1]
        stored = exercise.source
        assert blank in stored
        exercise.source = stored.replace(blank, right)
        client.execute_cell(exercise, len(notebook.cells) - 1)
        for wrong in wrong_ones:
            exercise.source = stored.replace(blank, wrong)
            with pytest.raises(CellExecutionError, match="AssertionError"):
                client.execute_cell(exercise, len(notebook.cells) - 1)
