"""What a run reads is remembered by value: whoever changes it between stop and resume is told."""

import math
import shutil
import textwrap
from pathlib import Path

import configured
import numpy as np
import pytest
from processes import refusal

from uf_diffusion.cli import main
from uf_diffusion.core import mpi
from uf_diffusion.core.errors import Caution, InputError
from uf_diffusion.runs import checkpoints
from uf_diffusion.runs import fingerprint as fingerprints
from uf_diffusion.runs.fingerprint import fingerprint
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies import cache
from uf_diffusion.studies.cache import Run, Runs

MESHES = Path(__file__).parents[2] / "meshes"
MODULE = """
from dataclasses import dataclass
from typing import Any

import numpy as np

from uf_diffusion import Embedded, PlainFeature

SHARP = 1.0


def peak(x):
    return 0.2 + np.exp(SHARP * x[:, 0])


def table(x):
    return np.interp(np.arctan2(x[:, 1], x[:, 0]), *np.load("HERE/table.npy"))


class entropy:
    def f(t):
        return t - 1 - np.log(t)

    def df(t):
        return 1 - 1 / t

    def conjugate(w):
        return -np.log1p(-w)

    def dconjugate(w):
        return 1 / (1 - w)

    def d2conjugate(w):
        return 1 / (1 - w) ** 2


@dataclass(frozen=True)
class Cosine(PlainFeature):
    manifold: Any

    def inputs(self, n, rng):
        g = rng.standard_normal((n, self.manifold.ambient))
        return np.column_stack([2.0 * g, rng.uniform(0, 2 * np.pi, n)])

    def __call__(self, omega, x):
        phase = omega @ x[:, :-1].T + x[:, -1]

        def gradient(weight):
            return self.manifold.tangent(omega, -np.sin(phase) * weight @ x[:, :-1])

        return np.cos(phase), gradient


@dataclass(frozen=True)
class Round(Embedded):
    dim: int = 1
    ambient: int = 2
    volume: float = 2 * np.pi
    spectral_gap: float = 1.0

    def first_harmonic(self, x, xp=np):
        return x[0]

    def project(self, x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def tangent(self, x, v):
        return v - (x * v).sum(axis=1, keepdims=True) * x

    def sample(self, n, rng):
        return self.project(rng.standard_normal((n, 2)))
"""
COMMON = """
[problem]
t_end = 0.125
{problem}
[diffusion]
cells = 64
rtol = 1e-3
snapshots = 3
checkpoint = 1e-9
{diffusion}
[network]
width = 16
samples = 40
teacher_width = 40
step = 0.0078125
{network}
"""
PEAK = "teacher = {kind = 'python', function = 'own:peak'}"
SPHERE = "manifold = 'sphere'\nteacher = {kind = 'von-mises-fisher', kappa = 1.0}"

# a job; the sections of its configuration; the edit of the module; what the refusal says
EDITS = {
    "teacher": ("solve", {"problem": PEAK}, ("SHARP = 1.0", "SHARP = 1.001"), "teacher's density"),
    "initial": ("solve", {"problem": PEAK.replace("teacher", "initial")},
                ("0.2 +", "0.3 +"), "initial density"),
    "teacher of a network": ("train", {"problem": PEAK}, ("0.2 +", "0.3 +"), "teacher's density"),
    "a needle between the points": (
        "train", {"problem": PEAK},
        ("return 0.2 +", "return 10.0 * (np.abs(x[:, 0] - 0.123) < 1e-7) + 0.2 +"), "code of 'own'"),
    "regulariser": ("solve", {"problem": "regulariser = 'own:entropy'"},
                    ("    def f(t):\n        return t - 1 - np.log(t)",
                     "    def f(t):\n        return (t - 1 - np.log(t)) * 1.00001"), "regulariser"),
    "features": ("train", {"network": "features = 'own:Cosine'"}, ("2.0 * g", "2.1 * g"), "features"),
    "manifold": ("train", {"problem": f"manifold = 'own:Round'\n{PEAK}",
                           "network": "features = 'own:Cosine'"},
                 ("np.linalg.norm(x, axis=1, keepdims=True)", "np.sqrt((x**2).sum(1))[:, None] * 1"),
                 "code of 'own'"),
    "compare": ("compare", {"problem": PEAK, "network": "features = 'laplace'"},
                ("0.2 +", "0.3 +"), "teacher's density"),
}  # fmt: skip


class Stop(Exception):
    """Ends a run as a kill would."""


def stop(state):
    if state.step == 4:
        raise Stop


def written(folder, sections):
    """A configuration file beside the module; a data file, too."""
    x = np.linspace(-np.pi, np.pi, 33)
    np.save(folder / "table.npy", [x, 2 + np.cos(x)])
    (folder / "own.py").write_text(MODULE.replace("HERE", str(folder)))
    filled = COMMON.format(**({"problem": "", "diffusion": "", "network": ""} | sections))
    (folder / "own.toml").write_text(textwrap.dedent(filled))
    return folder / "own.toml"


def stopped(job, file, out):
    with pytest.raises(Stop):
        getattr(configured, job)(load_config(file), out, [stop])


def edit(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def needs_fem(job):
    if job != "train":
        pytest.importorskip("dolfinx")


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_input_is_noticed(case, tmp_path, capsys):
    """By `resume` and by the repeated command, in one sentence that names it; undone, it goes on."""
    job, sections, (before, after), named = EDITS[case]
    needs_fem(job)
    file, out = written(tmp_path, sections), tmp_path / "out"
    stopped(job, file, out)
    there = {p.name: p.read_bytes() for p in out.iterdir()}
    edit(tmp_path / "own.py", before, after)
    for words in (["resume", str(out), "--trust"], [job, str(file), "--out", str(out)]):
        said = refusal(words, capsys).err
        assert named in said
        assert "that the run in" in said
    assert {p.name: p.read_bytes() for p in out.iterdir()} == there
    edit(tmp_path / "own.py", after, before)
    edit(tmp_path / "own.py", "SHARP = 1.0", "SHARP = 1.0  # a comment changes nothing")
    result = getattr(configured, job)(load_config(file), out)
    whole = getattr(configured, job)(load_config(file))
    for name, group in whole.children.items():
        assert name == "timings" or group.to_dataset().identical(result[name].to_dataset())


def test_an_edited_input_can_be_taken_anew(tmp_path):
    """With --force: the mass of the diffusion is that of the new density alone, 1."""
    pytest.importorskip("dolfinx")
    file, out = written(tmp_path, {"problem": PEAK}), tmp_path / "out"
    stopped("solve", file, out)
    edit(tmp_path / "own.py", "SHARP = 1.0", "SHARP = 3.0")
    with pytest.raises(SystemExit) as ended:
        main(["solve", str(file), "--out", str(out), "--force", "--quiet"])
    assert not ended.value.code
    whole = configured.solve(load_config(file))["diffusion"]
    found = configured.solve(load_config(file), out)["diffusion"]
    assert found.density.equals(whole.density)
    assert found.mass.values == pytest.approx(1, abs=1e-12)


def test_another_data_file_is_noticed(tmp_path):
    pytest.importorskip("dolfinx")
    file = written(tmp_path, {"problem": PEAK.replace("peak", "table")})
    stopped("solve", file, tmp_path / "out")
    x = np.linspace(-np.pi, np.pi, 33)
    np.save(tmp_path / "table.npy", [x, 2 + np.cos(x - 1e-6)])
    with pytest.raises(InputError, match=r"^The teacher's density is not the one that the run in"):
        configured.solve(load_config(file), tmp_path / "out")


def test_another_mesh_of_as_many_nodes_is_noticed(tmp_path):
    pytest.importorskip("dolfinx")
    mesh = tmp_path / "mesh.msh"
    shutil.copy(MESHES / "icosphere-320.msh", mesh)
    file = written(tmp_path, {"problem": SPHERE, "diffusion": "mesh = 'mesh.msh'"})
    stopped("solve", file, tmp_path / "out")
    lines = mesh.read_text().splitlines()
    first = lines.index("$Nodes") + 2
    for k in range(first, first + 162):  # turned by a tenth of a degree about the z axis
        number, *x = lines[k].split()
        x, y, z = map(float, x)
        c, s = math.cos(math.pi / 1800), math.sin(math.pi / 1800)
        lines[k] = f"{number} {c * x - s * y!r} {s * x + c * y!r} {z!r}"
    mesh.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"^The mesh is not the one that the run in"):
        configured.solve(load_config(file), tmp_path / "out")


def test_a_fingerprint_does_not_see_round_off():
    """Machines differ in the last digits of the exponential; resuming on another one is allowed."""
    config = load_config("relu-circle", ["diffusion.cells=64"])
    teacher = Setup(config).problem.teacher
    x = Setup(config).grid.nodes
    plain, other = (fingerprints._sketch(teacher(x) * (1 + e)) for e in (0.0, 3e-16))
    assert plain == other
    assert plain != fingerprints._sketch(teacher(x) * (1 + 1e-7))


def test_another_version_of_the_code_goes_on_with_a_warning(tmp_path, monkeypatch):
    """The result keeps it: its numbers are from two versions."""
    file, out = written(tmp_path, {}), tmp_path / "out"
    stopped("train", file, out)
    monkeypatch.setattr(checkpoints, "code", lambda: "0.0.0+another")
    with pytest.warns(Caution, match=r"up to t = 0.0234375; its numbers are from both"):
        result = configured.train(load_config(file), out)
    assert "its numbers are from both" in result.attrs["warnings"]
    assert "from both" not in configured.train(load_config(file)).attrs["warnings"]


@pytest.mark.parallel(2)
def test_ranks_agree_on_what_they_read(shared_folder):
    """One rank and two have the same fingerprint, and both ranks raise the same refusal."""
    pytest.importorskip("dolfinx")
    sections = {"problem": PEAK, "network": "features = 'own:Cosine'"}
    file = mpi.from_root(lambda: written(shared_folder, sections))
    setup = Setup(load_config(file))
    together = fingerprint(setup, "compare")
    alone = mpi.on_root(lambda: fingerprint(Setup(load_config(file)), "compare"))
    assert alone is None or alone == together
    assert together == mpi.broadcast(together)
    assert {"mesh", "teacher", "initial", "regulariser", "features", "own"} <= together.keys()
    stopped("compare", file, shared_folder / "out")
    mpi.on_root(lambda: edit(shared_folder / "own.py", "SHARP = 1.0", "SHARP = 2.0"))
    with pytest.raises(InputError, match="The teacher's density is not the one"):
        configured.compare(load_config(file), shared_folder / "out")


# --- the cache of studies -----------------------------------------------------------------------


def counted(monkeypatch):
    """The jobs that are done from now on."""
    done, work = [], cache.WORK["train"]

    def train(setup):
        done.append(setup.config)
        return work(setup)

    monkeypatch.setitem(cache.WORK, "train", train)
    return done


@pytest.mark.parametrize(("before", "after", "again"), [
    ("0.2 +", "0.3 +", True), ("2.0 * g", "2.1 * g", True), ("SHARP = 1.0", "SHARP = 1.0  # !", False),
])  # fmt: skip
def test_an_edited_module_is_computed_again(before, after, again, tmp_path, monkeypatch):
    """Densities and features of a user's own are in the key of a cached run, comments are not."""
    file = written(tmp_path, {"problem": PEAK, "network": "features = 'own:Cosine'"})
    done, store = counted(monkeypatch), Runs(tmp_path / "runs")
    (first,) = store.results([Run("train", load_config(file))])
    edit(tmp_path / "own.py", before, after)
    (second,) = store.results([Run("train", load_config(file))])
    assert len(done) == 1 + again
    assert first.group("network").equals(second.group("network")) != again


def test_another_code_computes_again(tmp_path, monkeypatch):
    done, store = counted(monkeypatch), Runs(tmp_path)
    config = load_config(written(tmp_path, {}))
    store.results([Run("train", config)])
    store.results([Run("train", config)])
    assert len(done) == 1
    monkeypatch.setattr(cache, "code", lambda: "0.0.0+another")
    store.results([Run("train", config)])
    assert len(done) == 2


def test_the_code_is_that_of_the_files(tmp_path, monkeypatch):
    """Every file of a room that computes counts; what draws or prints does not."""
    package = tmp_path / "package"
    shutil.copytree(fingerprints.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprints, "PACKAGE", package)
    digest = fingerprints.code.__wrapped__
    assert digest() == fingerprints.code()
    for name, counts in (("kernels/dense.py", True), ("problem/exact.py", True),
                         ("plots/style.py", False), ("reports/text.py", False)):  # fmt: skip
        before = digest()
        (package / name).write_text((package / name).read_text() + "\nX = 1\n")
        assert (digest() != before) == counts, name
