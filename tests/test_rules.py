"""The rules of the house that no other tool holds; `make lint` runs them.

That imports point down, and that only `uf_diffusion.diffusion` knows DOLFINx, is held by
import-linter (pyproject.toml).
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "uf_diffusion"
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "paper_figures").rglob("*.py")])
HEAVY = {"matplotlib", "numba", "xarray", "plotly", "scipy.stats", "dolfinx", "petsc4py"}

# values that are asked, so that nobody asks which one they are
VALUES = {
    "Circle", "Sphere", "FlatTorus", "Uniform", "Bumps", "VonMisesFisher", "Diracs", "Function",
    "Samples", "Histogram", "Interpolated",
    "Unbiased", "Biased", "Power", "Entropy", "Custom", "ReLU", "RandomFourier", "Radial", "Laplace",
    "ArcCosine", "Chordal", "Matern32",
}  # fmt: skip
# where they are made: from names, into names, and the mesh of a manifold
MAKERS = {"problem", "runs/building.py", "runs/describing.py", "grids/built_in.py"}
SOLVERS = ("diffusion", "network", "kernels", "problem", "grids", "distances")


def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def place(file):
    return str(file.relative_to(ROOT))


def calls(file, name):
    """The calls of a function by its plain name."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
            yield node


def test_the_ground_floor_is_the_door():
    loose = {file.name for file in PACKAGE.glob("*.py")}
    assert loose == {"__init__.py", "__main__.py", "cli.py"}


def test_files_and_functions_are_short():
    """Files of at most 400 lines, functions of at most 50, with their docstrings."""
    for file in FILES:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, place(file)
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 50, f"{place(file)}: {node.name}"


@pytest.mark.parametrize("file", FILES, ids=place)
def test_a_module_says_what_is_found_there(file):
    """A docstring, and the names that are for others."""
    module = tree(file)
    assert ast.get_docstring(module), place(file)
    named = any(
        isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        for node in module.body
    )
    public = [
        node.name
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert named or not public, f"{place(file)} has no __all__"


def test_nobody_asks_which_value_it_is():
    """Rule 2: no isinstance of a manifold, a density, a divergence, a feature or a kernel."""
    for file in FILES:
        if any(place(file).startswith(f"uf_diffusion/{maker}") for maker in MAKERS):
            continue
        for call in calls(file, "isinstance"):
            asked = {node.id for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)}
            assert not asked & VALUES, f"{place(file)}, line {call.lineno}: {asked & VALUES}"


def test_solvers_do_not_watch():
    """Rule 3: they yield states, and neither print nor show progress nor write files."""
    for room in SOLVERS:
        for file in (PACKAGE / room).rglob("*.py"):
            assert not list(calls(file, "print")), place(file)
            assert not list(calls(file, "with_progress")), place(file)
            assert "tqdm" not in file.read_text(encoding="utf-8"), place(file)


@pytest.mark.parametrize(
    "command",
    [["-c", "import uf_diffusion"], ["-m", "uf_diffusion", "--help"]],
    ids=["import", "help"],
)
def test_the_door_opens_without_the_house(command):
    """The import and the help load no library that takes long."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "uf_diffusion" in loaded
    assert not loaded & HEAVY
