"""A user's own f: checked at the start, and as good as the built-in it equals."""

import numpy as np
import pytest
from configured import solve

from uf_diffusion import load_config
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.divergences import Entropy, Power
from uf_diffusion.runs.building import divergence

PLUGIN = """
import numpy as np
from uf_diffusion.problem.divergences import Power

cubic = Power(3.0, 0.0)

class Mixed:  # f = t^2 / 2 + t log t - t: u + log u = w, by Newton's method
    @staticmethod
    def f(t): return 0.5 * t * t + t * np.log(t) - t
    @staticmethod
    def df(t): return t + np.log(t)
    @classmethod
    def dconjugate(cls, w):
        x = np.where(w > 1, np.log(np.maximum(w, 1)), w)  # u = exp(x)
        for _ in range(60):
            x = x - (np.exp(x) + x - w) / (np.exp(x) + 1)
        return np.exp(x)
    @classmethod
    def d2conjugate(cls, w):
        u = cls.dconjugate(w)
        return u / (1 + u)
    @classmethod
    def conjugate(cls, w):
        u = cls.dconjugate(w)
        return u * w - cls.f(u)

class Wrong(Mixed):
    @staticmethod
    def df(t): return t + 2 * np.log(t)

class Bent(Mixed):
    @classmethod
    def d2conjugate(cls, w): return np.ones_like(w)

class Concave(Mixed):
    @staticmethod
    def df(t): return -t
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my_f.py").write_text(PLUGIN)
    (tmp_path / "run.toml").write_text(
        '[problem]\nregulariser = "my_f:cubic"\nt_end = 0.5\n'
        "[diffusion]\ncells = 64\nsnapshots = 3\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("Wrong", "derivative of f"), ("Bent", "derivative of dconjugate"),
     ("Concave", "not strictly convex"), ("Missing", "Cannot import")],
)  # fmt: skip
def test_inconsistent_ones_are_refused(folder, name, sentence):
    with pytest.raises(InputError, match=sentence):
        divergence(f"my_f:{name}", folder=str(folder))


def test_local_power_and_dual_energy(folder):
    cubic, mixed = (divergence(f"my_f:{name}", folder=str(folder)) for name in ("cubic", "Mixed"))
    assert cubic.power == pytest.approx(3)
    assert 1.9 < mixed.power <= 2 + 1e-9
    u = np.logspace(-2, 2, 21)
    assert cubic.dual_energy(u) == pytest.approx(Power(3.0, 0.0).dual_energy(u), rel=1e-9)
    # f' = t + log t: the sum of the energies of t^2/2 and of the entropy
    assert mixed.dual_energy(u) == pytest.approx(np.log(u) + Entropy().dual_energy(u), rel=1e-9)


def test_runs_like_the_built_in(folder):
    """Power 3 by its own name and as a user's f; a new f conserves and dissipates."""
    pytest.importorskip("dolfinx")
    own = solve(load_config(folder / "run.toml"))["diffusion"]
    built_in = ["problem.regulariser=power", "problem.power=3.0"]
    same = solve(load_config(folder / "run.toml", built_in))["diffusion"]
    assert own.density.values == pytest.approx(same.density.values, rel=1e-6)
    mixed = solve(load_config(folder / "run.toml", ['problem.regulariser="my_f:Mixed"']))
    assert np.abs(mixed["diffusion"].mass.values - 1).max() < 1e-12
    assert (np.diff(mixed["diffusion"].risk.values) < 0).all()


def test_folders_with_modules_of_one_name(tmp_path):
    """Each folder's own module is read, not the first one's again."""
    powers = []
    for power in (1.5, 3.5):
        folder = tmp_path / str(power)
        folder.mkdir()
        (folder / "mine.py").write_text(
            "from uf_diffusion.problem.divergences import Power\n" + f"f = Power({power}, 0.0)\n"
        )
        powers.append(divergence("mine:f", folder=str(folder)).power)
    assert powers == pytest.approx([1.5, 3.5])
