"""The files of docs/extending.md, and that their mathematics is what the page says."""

import re

import configured
import numpy as np
import pytest
from documents import ROOT, blocks
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import ive

import uf_diffusion
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Manifold, Sphere
from uf_diffusion.runs.building import feature
from uf_diffusion.runs.reading import load_config

PAGE = blocks((ROOT / "docs" / "extending.md").read_text())
SMALL = ["diffusion.snapshots=3", "network.width=64", "network.teacher_width=100",
         "network.samples=100"]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The page's files in a folder that is not the working folder."""
    folder = tmp_path_factory.mktemp("extending")
    for block in PAGE:
        if block.file:
            (folder / block.file).write_text(block.text)
    return folder


def test_every_example_is_short():
    """At most 25 lines of code, without blank ones and the two that name the file and its purpose."""
    for block in PAGE:
        if block.language == "python":
            code = [line for line in block.text.split("\n") if line.strip()]
            assert len(code) <= 27, block.file


def test_density_has_mass_one_and_is_sampled(files, rng):
    """By quadrature in the angle; the sample's third Fourier coefficient by quadrature, too."""
    density = load_config(files / "peaks.toml", SMALL).build().teacher

    def at(angle):
        return float(density(np.array([[np.cos(angle), np.sin(angle)]]))[0])

    assert quad(at, -np.pi, np.pi, epsabs=1e-10)[0] == pytest.approx(1, abs=1e-8)
    third = quad(lambda a: at(a) * np.cos(3 * a), -np.pi, np.pi)[0]
    angle = density.manifold.chart(density.sample(20_000, rng))[:, 0]
    assert np.cos(3 * angle).mean() == pytest.approx(third, abs=4 / np.sqrt(20_000))
    assert abs(np.cos(angle).mean()) < 4 / np.sqrt(20_000)


def test_regulariser_has_its_conjugate(files):
    """F* against the supremum of w t - f(t), found by brute force."""
    f = load_config(files / "burg.toml", SMALL).build().divergence
    for w in (-5.0, -0.5, 0.0, 0.3, 0.9):
        best = minimize_scalar(lambda s, w=w: f.f(np.exp([s]))[0] - w * np.exp(s),
                               bounds=(-10, 10), method="bounded", options={"xatol": 1e-10})  # fmt: skip
        assert f.conjugate(np.array([w]))[0] == pytest.approx(-best.fun, abs=1e-9)
        assert f.dconjugate(np.array([w]))[0] == pytest.approx(np.exp(best.x), rel=1e-5)


def test_regulariser_makes_the_equation_linear(files):
    """The heat equation on the circle: exp(-k^2 t) on the von Mises density's coefficients."""
    pytest.importorskip("dolfinx")
    config = load_config(files / "burg.toml", [*SMALL, "diffusion.cells=512"])
    d = configured.solve(config)["diffusion"]
    angle, k = config.build().manifold.chart(d.node_position.values), np.arange(1, 40)
    for t, density in zip(d.snapshot_time.values, d.density.values, strict=True):
        coefficient = ive(k, 2.0) / ive(0, 2.0) * np.exp(-(k**2) * t)
        exact = (1 + 2 * np.cos(angle * k) @ coefficient) / (2 * np.pi)
        assert np.abs(density - exact).max() < 5e-5
    trained = configured.train(config)["network"]
    assert (trained.outer_weight.values > 0).all()  # f's domain
    assert trained.risk.values[-1] < 0.2 * trained.risk.values[0]


@pytest.mark.parametrize("name", ["waves.toml", "clifford.toml"])
def test_features_have_their_gradient(files, name, rng):
    """Against central differences along the manifold; only tangent vectors come back."""
    features, manifold = made(files, name)
    omega, x, weight = manifold.sample(7, rng), features.inputs(30, rng), rng.standard_normal(30)
    gradient = features(omega, x)[1](weight)
    assert manifold.tangent(omega, gradient) == pytest.approx(gradient, abs=1e-12)
    direction, h = manifold.tangent(omega, rng.standard_normal(omega.shape)), 1e-5
    ahead, behind = (
        features(manifold.retract(omega, s * direction), x)[0] @ weight for s in (h, -h)
    )
    slope = (gradient * direction).sum(axis=1)
    assert (ahead - behind) / (2 * h) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize(
    ("line", "instead", "sentence"),
    [
        ("-np.sqrt(2) * np.sin", "np.sqrt(2) * np.sin", "gradients that are not those of"),
        ("-np.sqrt(2) * np.sin", "-np.sqrt(1.9) * np.sin", "gradients that are not those of"),
        ("self.manifold.tangent(omega, slope @ x[:, :-1])", "slope @ x[:, :-1]", "not tangent"),
        ("np.cos(phase), gradient", "np.log(omega[:, :1]) + phase, gradient", "not finite"),
        ("np.cos(phase), gradient", "phase[:-1], gradient", "values (m, n)"),
    ],
)
def test_wrong_features_are_refused(files, tmp_path, line, instead, sentence):
    for name in ("waves.py", "waves.toml"):
        (tmp_path / name).write_text((files / name).read_text().replace(line, instead))
    assert (tmp_path / "waves.py").read_text() != (files / "waves.py").read_text()
    with np.errstate(invalid="ignore"), pytest.raises(InputError) as error:
        configured.training(load_config(tmp_path / "waves.toml", SMALL))
    assert sentence in str(error.value)


ODD = """\
import numpy as np
from waves import Cosine

class Along(Cosine):
    scale, offset, kind = 1.0, 0.0, float

    def inputs(self, n, rng):
        return rng.standard_normal((n, self.manifold.ambient))

    def __call__(self, omega, x):
        s = self.scale * (omega.astype(self.kind) @ x.T.astype(self.kind))
        value, slope = self.of(s)
        return self.offset + value, lambda w: self.manifold.tangent(
            omega, self.scale * (slope * w) @ x)

    def of(self, s):
        return np.cos(s), -np.sin(s)

class ReLU(Along):
    def of(self, s): return np.maximum(s, 0), s > 0
class Single(ReLU):
    kind = np.float32
class SingleSoftplus(Along):
    kind = np.float32
    def of(self, s): return np.logaddexp(0, s), 1 / (1 + np.exp(-s))
class Step(Along):
    def of(self, s): return s > 0, 0 * s
class Constant(Along):
    def of(self, s): return 1 + 0 * s, 0 * s
class Fast(Along):
    scale = 1000.0
class Slow(Along):
    scale = 1e-6
class Raised(Along):
    offset = 1e9
class Tiny(Along):
    def of(self, s): return 1e-250 * np.cos(s), -1e-250 * np.sin(s)
class Radius(Along):
    def __call__(self, omega, x):
        r = (omega**2).sum(1)[:, None] + 0 * x[:, 0]
        return r, lambda w: self.manifold.tangent(omega, 2 * omega * w.sum())
class Few(Along):
    def inputs(self, n, rng):
        return rng.choice(np.eye(self.manifold.ambient).repeat(8, 0), n, replace=False)

class WrongWay(Along):
    def gradient(self, *arguments): return -super().gradient(*arguments)
class WrongFactor(Along):
    def values(self, omega, x, factor, out): out[:] = 2 * self(omega, x)[0]
class WrongSingle(Single):
    def of(self, s): return np.maximum(s, 0), -1.0 * (s > 0)
"""


@pytest.mark.parametrize("home", [Circle(), Sphere(2), FlatTorus(2)], ids=str)
def test_odd_features_are_taken_and_wrong_ones_are_not(files, tmp_path, home):
    """Kinks, jumps, fast, slow, flat, far from zero, tiny, in single precision, of few inputs."""
    for name, text in (("waves.py", (files / "waves.py").read_text()), ("odd.py", ODD)):
        (tmp_path / name).write_text(text)
    for name in re.findall(r"^class (\w+)", ODD, re.MULTILINE):
        if name.startswith("Wrong"):
            with pytest.raises(InputError, match=r"`values`|`gradient`|not those of their values"):
                feature(f"odd:{name}", home, 1.0, "", str(tmp_path))
        elif name != "Radius" or isinstance(home, Sphere):
            assert type(feature(f"odd:{name}", home, 1.0, "", str(tmp_path))).__name__ == name


def test_features_have_the_kernel_that_the_page_says(files, rng):
    """exp(-9 |d|^2 / 2), within four standard errors of 40 000 inputs."""
    features, manifold = made(files, "waves.toml")
    omega = manifold.sample(6, rng)
    phi = features(omega, features.inputs(40_000, rng))[0]
    exact = np.exp(-4.5 * manifold.chord(omega, omega) ** 2)
    assert np.abs(phi @ phi.T / 40_000 - exact).max() < 4 * np.sqrt(1.5 / 40_000)


def made(files, name):
    """The features of a configuration, and its manifold."""
    config = load_config(files / name, SMALL)
    training = configured.training(config)
    return training.network.feature_map.feature, config.build().manifold


def test_manifold_is_one(files, rng):
    """Retraction onto it and of first order, an orthogonal projection of rank 2, its volume."""
    manifold = load_config(files / "clifford.toml", SMALL).build().manifold
    assert isinstance(manifold, Manifold)
    x = manifold.sample(50, rng)
    v = rng.standard_normal(x.shape)
    tangent = manifold.tangent(x, v)
    assert manifold.tangent(x, tangent) == pytest.approx(tangent, abs=1e-14)
    assert (tangent * (v - tangent)).sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-13)
    basis = manifold.tangent(np.repeat(x[:1], 4, axis=0), np.eye(4))
    assert np.linalg.matrix_rank(basis) == manifold.dim
    moved = manifold.retract(x, v)
    circles = np.linalg.norm(moved.reshape(-1, 2, 2), axis=2)
    assert circles == pytest.approx(np.ones((50, 2)))
    h = 1e-5
    assert (manifold.retract(x, h * tangent) - x) / h == pytest.approx(tangent, abs=1e-4)
    assert manifold.volume == pytest.approx((2 * np.pi) ** 2)


def test_manifold_has_its_first_eigenfunction(files, rng):
    """Second differences along two orthonormal directions, of the retraction, add up to -gap f."""
    manifold = load_config(files / "clifford.toml", SMALL).build().manifold
    h = 1e-3
    for x in manifold.sample(5, rng)[:, None, :]:
        frame = np.linalg.svd(manifold.tangent(np.repeat(x, 4, axis=0), np.eye(4)))[2][:2]
        f, *around = (
            manifold.first_harmonic(manifold.retract(x, s * v).T)[0]
            for s, v in [(0, frame[:1]), *[(s, v[None]) for v in frame for s in (h, -h)]]
        )
        laplace = (sum(around) - 4 * f) / h**2
        assert -laplace == pytest.approx(manifold.spectral_gap * f, abs=1e-5)


def test_networks_are_trained_on_it(files):
    """Neurons stay on the surface, the risk falls; the PDE and population kernels are refused."""
    config = load_config(files / "clifford.toml", SMALL)
    n = configured.train(config)["network"]
    pairs = n.feature.values.reshape(3, 64, 2, 2)
    assert np.linalg.norm(pairs, axis=3) == pytest.approx(np.ones((3, 64, 2)))
    assert n.risk.values[-1] < 0.5 * n.risk.values[0]
    with pytest.raises(InputError, match="closed form"):
        configured.train(
            load_config(files / "clifford.toml", [*SMALL, "network.kernel=population"])
        )


def test_the_pde_needs_a_mesh(files):
    pytest.importorskip("dolfinx")
    with pytest.raises(InputError, match=r"flat tori, not on Clifford\(dim=2"):
        configured.compare(load_config(files / "clifford.toml", SMALL))


def test_own_features_are_compared(files, monkeypatch, tmp_path):
    """Injective features: the network is nearer to the diffusion than to where it started."""
    pytest.importorskip("dolfinx")
    monkeypatch.chdir(tmp_path)
    config = load_config(files / "waves.toml", ["diffusion.cells=1280", "diffusion.snapshots=3",
                                                "network.width=256", "network.samples=512"])  # fmt: skip
    result = configured.compare(config)
    c = result["comparison"].to_dataset()
    assert c.energy_distance_diffusion[-1] < 0.5 * c.energy_distance_teacher[0]
    assert c.attrs["seen_space"] == "all functions"  # which is measured
    assert c.attrs["unseen_teacher"] < 1e-6
    uf_diffusion.draw(result)
    assert config.to_toml() == result.attrs["config"]


WRONG = {
    "not there": ("manifold", "nowhere:Thing", "Cannot import manifold"),
    "no manifold": (
        "manifold",
        "wrong:number",
        "is not a manifold: it has no ambient, antipodal, axes",
    ),
    "failing": ("manifold", "wrong:fails", "failed with ZeroDivisionError"),
    "another dimension": ("manifold", "clifford:Clifford", "problem.dim must be 2"),
    "features not there": ("features", "wrong:nothing", "Cannot import features"),
    "features of one shape": ("features", "wrong:flat", "values (m, n)"),
    "failing features": (
        "features",
        "wrong:fails",
        "failed on Circle(dim=1) with ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_get_one_sentence(case, files, tmp_path):
    what, name, sentence = WRONG[case]
    (files / "wrong.py").write_text(
        "number = 3\ndef fails(*manifold): return 1 / 0\n"
        "from waves import Cosine\n"
        "class flat(Cosine):\n    def __call__(self, omega, x): return omega[:, 0], lambda w: omega\n"
    )
    section = "problem.manifold" if what == "manifold" else "network.features"
    more = ["problem.dim=3"] if "dimension" in case else []
    with pytest.raises(InputError) as refused:
        config = load_config(files / "peaks.toml", [f"{section}={name}", *more, *SMALL])
        configured.training(config)
    assert sentence in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_modules_of_one_name_in_two_folders(tmp_path):
    """Each folder's own is read, also where its classes are dataclasses; installed ones stay."""
    for power in (1.0, 2.0):
        folder = tmp_path / str(power)
        folder.mkdir()
        (folder / "json.py").write_text(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\nimport numpy as np\n"
            "@dataclass\nclass Tilted:\n    power: float\n"
            "    def __call__(self, x): return np.exp(self.power * x[:, 0])\n"
            f"tilted = Tilted({power})\n"
        )
        (folder / "run.toml").write_text(
            '[problem]\nteacher = {kind = "python", function = "json:tilted"}\n'
        )
        teacher = load_config(folder / "run.toml").build().teacher
        ends = teacher(np.array([[1.0, 0.0], [-1.0, 0.0]]))
        assert np.log(ends[0] / ends[1]) == pytest.approx(2 * power)
    import json

    assert json.loads("[1]") == [1]
