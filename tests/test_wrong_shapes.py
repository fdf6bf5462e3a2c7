"""Functions of a user that give the wrong shape: one sentence with the function and the shapes,
before any work, from the command line and from Python.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.own_features import placed_features
from uf_diffusion.problem.densities import Density
from uf_diffusion.problem.manifolds import Circle, Embedded, FlatTorus, Sphere
from uf_diffusion.problem.own_manifolds import tried

OWN = """\
import numpy as np
from uf_diffusion import PlainFeature, ReLU

DATA = np.random.default_rng(0).standard_normal((1000, 3))

class Cosine(PlainFeature):
    def __init__(self, manifold): self.manifold = manifold
    def inputs(self, n, rng): return rng.standard_normal((n, self.manifold.ambient))
    def __call__(self, omega, x):
        s = omega @ x.T
        return np.cos(s), lambda w: self.manifold.tangent(omega, (-np.sin(s) * w) @ x)

class Stored(Cosine):
    def inputs(self, n, rng): return DATA
class Few(Cosine):
    def inputs(self, n, rng): return DATA[:n]
class Drawn(Cosine):
    def inputs(self, n, rng): return rng.choice(DATA, n, replace=False)
class Flat(Cosine):
    def inputs(self, n, rng): return DATA[:n, 0]
class Words(Cosine):
    def inputs(self, n, rng): return DATA[:n].astype(str)
class Lost(Cosine):
    def inputs(self, n, rng): return DATA[:n] / 0
class Right(Cosine):
    def inputs(self, n, rng): return DATA[rng.integers(len(DATA), size=n)]
class Kernel(Cosine):
    @property
    def kernel(self): return lambda omega, other: (omega[:, 0], lambda w: omega)
"""

FEATURES = {
    "Stored": r"Stored.inputs\(7, rng\) must draw 7 inputs, an array \(7, d\), but gave shape \(1000, 3\)",
    "Few": r"Few.inputs\(1024, rng\) must draw 1024 inputs, an array .* but gave shape \(1000, 3\)",
    "Drawn": r"Drawn.inputs\(1024, rng\) failed with ValueError: Cannot take a larger sample",
    "Flat": r"Flat.inputs\(7, rng\) must draw 7 inputs, an array \(7, d\), but gave shape \(7,\)",
    "Words": r"Words.inputs\(7, rng\) must give finite real numbers",
    "Lost": r"Lost.inputs\(7, rng\) must give finite real numbers",
    "Kernel": r"have a `kernel` with values \(32,\) and gradients \(32, 3\), not \(32, 4\) and \(32, 3\)",
}  # fmt: skip


def command(tmp_path, name, job="train"):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "mine.toml").write_text(
        '[problem]\nmanifold = "sphere"\nteacher = "uniform"\nt_end = 0.1\n'
        f'[network]\nfeatures = "own:{name}"\nsamples = 1024\nwidth = 16\nteacher_width = 16\n'
        '[diffusion]\nsnapshots = 2\n'
    )  # fmt: skip
    with np.errstate(all="ignore"), pytest.raises(SystemExit) as stopped:
        main([job, str(tmp_path / "mine.toml"), "--out", str(tmp_path / "run")])
    return stopped.value.code


@pytest.mark.parametrize("name", FEATURES)
def test_inputs_and_kernels(name, tmp_path, capsys):
    assert command(tmp_path, name) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(FEATURES[name], said), said
    assert not list(tmp_path.glob("run/*.nc"))


def test_right_ones_are_taken(tmp_path):
    assert command(tmp_path, "Right") in (0, None)


@dataclass(frozen=True)
class Ring(Embedded):
    """A circle of radius 2 in the plane; ``wrong`` names the method that is wrong."""

    wrong: str = ""
    dim: int = 1
    ambient: int = 2
    volume: float = 4 * np.pi
    spectral_gap: float = 0.25

    def _given(self, name: str, value: Any) -> Any:
        return value[..., 0] if self.wrong == name else value

    def first_harmonic(self, x, xp=np):
        return x if self.wrong == "first_harmonic" else x[0] / 2

    def project(self, x):
        return self._given("retract", 2 * x / np.linalg.norm(x, axis=1, keepdims=True))

    def tangent(self, x, v):
        return self._given("tangent", v - (x * v).sum(1, keepdims=True) * x / 4)

    def sample(self, n, rng):
        x = rng.standard_normal((8 if self.wrong == "fixed" else n, 2))
        x = 2 * x / np.linalg.norm(x, axis=1, keepdims=True)
        return np.full_like(x, np.nan) if self.wrong == "nan" else self._given("sample", x)

    def even(self, n):
        angle = 2 * np.pi * np.arange(n) / n
        return self._given("even", 2 * np.column_stack([np.cos(angle), np.sin(angle)]))

    def chord(self, x, y):
        return self._given("chord", np.linalg.norm(x[:, None] - y, axis=2))

    def distance(self, x, y):
        if self.wrong == "failing":
            return 1 / 0
        return self._given("distance", super().chord(x, y))


MANIFOLDS = {
    "sample": r"sample\(5, rng\) must give numbers of shape \(5, 2\), not \(5,\)",
    "fixed": r"sample\(5, rng\) must give numbers of shape \(5, 2\), not \(8, 2\)",
    "nan": r"sample\(5, rng\) has numbers that are not finite",
    "tangent": r"tangent of 5 points must give numbers of shape \(5, 2\), not \(5,\)",
    "retract": r"retract of 5 points must give numbers of shape \(5, 2\), not \(5,\)",
    "first_harmonic": r"first_harmonic of 5 points must give numbers of shape \(5,\), not \(2, 5\)",
    "even": r"even\(5\) must give numbers of shape \(5, 2\), not \(5,\)",
    "chord": r"chord of 5 points and 3 must give numbers of shape \(5, 3\), not \(5,\)",
    "distance": r"distance of 5 points and 3 must give numbers of shape \(5, 3\), not \(5,\)",
    "failing": r"distance of 5 points and 3 failed with ZeroDivisionError",
}


@pytest.mark.parametrize("wrong", MANIFOLDS)
def test_manifolds(wrong):
    assert uf.Problem(Ring(), lambda x: 3 + x[:, 0]).manifold == Ring()
    with pytest.raises(InputError, match=f"Manifold 'Ring': {MANIFOLDS[wrong]}"):
        uf.Problem(Ring(wrong), lambda x: 3 + x[:, 0])


def test_numbers_of_manifolds():
    for change, words in ((Ring(volume=np.nan), "volume must be positive"),
                          (Ring(spectral_gap=-1.0), "spectral_gap must be positive"),
                          (Ring(dim=1.5), "dim must be a whole number"),
                          (Ring(ambient=0), "ambient must be a whole number")):  # fmt: skip
        with pytest.raises(InputError, match=words):
            uf.Problem(change, lambda x: 3 + x[:, 0])


@pytest.mark.parametrize("home", [Circle(), Sphere(2), Sphere(9), FlatTorus(1), FlatTorus(3),
                                  FlatTorus(5, 2.0)], ids=str)  # fmt: skip
def test_built_in_manifolds_pass(home):
    assert tried(home, "it") is home


@dataclass(frozen=True)
class Given(Density):
    """A density of a user's own class."""

    shape: str = "right"

    def formula(self, x, xp):
        values = 1 + 0.5 * x[0]
        return {
            "right": values,
            "scalar": 1.0,
            "column": values[:, None],
            "fixed": np.ones(20_000),
        }[self.shape]

    def sample(self, n, rng):
        return self.manifold.sample(n + (self.shape == "more"), rng)


@pytest.mark.parametrize(("shape", "gave"), [("scalar", "()"), ("column", "(7, 1)")])
def test_densities_of_a_class(shape, gave):
    with pytest.raises(InputError) as refused:
        uf.Problem(Circle(), Given(shape=shape))
    assert f"must map n points to values (n,), but gave shape {gave} for n = 7" in str(
        refused.value
    )


@pytest.mark.parametrize(
    ("function", "gave"),
    [(lambda x: np.ones(20_000), "(20000,) for n = 7"), (lambda x: 1.0, "() for n = 7"),
     (lambda x: np.ones(7), "(7,) for n = 20000"), (lambda x: x, "(7, 2) for n = 7")],
)  # fmt: skip
def test_densities_of_a_function(function, gave):
    with pytest.raises(InputError) as refused:
        uf.Problem(Circle(), function)
    assert f"must map (n, 2) to (n,), but gave shape {gave}" in str(refused.value)


def test_features_from_python():
    class Short(uf.PlainFeature):
        manifold = Circle()

        def inputs(self, n, rng):
            return np.zeros((4, 2))

        def __call__(self, omega, x):
            return np.cos(omega @ x.T), lambda w: 0 * omega

    with pytest.raises(InputError, match=r"inputs\(7, rng\) must draw 7 .* shape \(4, 2\)"):
        placed_features(Short(), Circle())
