"""One version, a wheel with all that it needs, and an environment that names the same packages."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest
from documents import ROOT
from packaging.requirements import Requirement

import uf_diffusion

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# a name on PyPI: what conda-forge calls it
CONDA = {"dolfinx-solver-real": "fenics-dolfinx", "matplotlib": "matplotlib-base"}


def names(requirements):
    """Names as conda-forge has them."""
    found = {Requirement(r).name.lower() for r in requirements}
    return {CONDA.get(name, name) for name in found}


def environment():
    """The names of environment.yml's dependencies; a list of one level is all the YAML there is."""
    text = (ROOT / "environment.yml").read_text()
    section = text.split("\ndependencies:\n")[1]
    rows = re.findall(r"^  - ([\w.-]+)(?: [<>=]=?[\w.]+)?$", section, re.MULTILINE)
    assert len(rows) == len(section.strip().split("\n"))
    return set(rows)


def test_one_version():
    """pyproject reads it, CITATION.cff and the newest release of the changelog agree."""
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == uf_diffusion.__version__
    releases = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == uf_diffusion.__version__


def test_the_environment_has_every_dependency():
    """By name; beside them only the solvers behind DOLFINx, a compiler, pip and the tests' tools."""
    extras = PROJECT["optional-dependencies"]
    wanted = names([*PROJECT["dependencies"], *extras["fem"]])
    beside = {"python", "petsc4py", "slepc4py", "c-compiler", "pip"}
    assert wanted <= environment()
    assert environment() - wanted - beside <= names(extras["test"])


def imported(file):
    """The packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_every_import_is_a_dependency():
    """No top-level import of the packages that is neither declared nor the standard library."""
    known = {"uf_diffusion", "paper_figures", "matplotlib", "PIL"}  # PIL comes with matplotlib
    known |= {"sklearn"}  # of scikit-learn
    known |= {r.replace("pot", "ot").replace("-", "_") for r in names(PROJECT["dependencies"])}
    known |= {r for extra in PROJECT["optional-dependencies"].values() for r in names(extra)}
    known |= {"dolfinx", "petsc4py", "slepc4py", "ufl", "basix", "ffcx"}  # come with DOLFINx
    for folder in ("uf_diffusion", "paper_figures"):
        for file in (ROOT / folder).rglob("*.py"):
            for name in imported(file) - set(sys.stdlib_module_names):
                assert name in known, f"{file.name} imports {name}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if files.returncode:
        pytest.skip("not a checkout: nothing says which files are the project's")
    for name in files.stdout.splitlines():
        if name.startswith(("uf_diffusion/", "paper_figures/")) or "/" not in name:
            source = ROOT / name
            if source.is_file():
                (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "source" / name).write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
         "--disable-pip-version-check", "--wheel-dir", folder, folder / "source"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_has_every_module_and_all_data(wheel):
    inside = set(wheel.namelist())
    for folder in ("uf_diffusion", "paper_figures"):
        modules = {str(f.relative_to(ROOT)) for f in (ROOT / folder).rglob("*.py")}
        assert modules <= inside
    data = [*(ROOT / "uf_diffusion").rglob("*.toml"), *(ROOT / "paper_figures").rglob("*.csv"),
            *(ROOT / "uf_diffusion").rglob("*.css"), *(ROOT / "uf_diffusion").rglob("*.js"),
            ROOT / "uf_diffusion" / "py.typed"]  # fmt: skip
    assert {file.suffix for file in data} == {".toml", ".csv", ".css", ".js", ".typed"}
    assert {str(f.relative_to(ROOT)) for f in data} <= inside
    assert not any(name.startswith(("tests", "scripts", "meshes")) for name in inside)


def test_the_wheel_says_what_it_is(wheel):
    (metadata,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert f"\nVersion: {uf_diffusion.__version__}\n" in text
    assert "\nRequires-Python: >=3.12\n" in text
    assert "Provides-Extra: fem\n" in text
    (scripts,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    assert "uf-diffusion = uf_diffusion.__main__:main" in wheel.read(scripts).decode()
