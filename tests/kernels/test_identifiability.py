"""What features see: eigenvalues and shares against closed forms, and the warning that follows."""

import subprocess
import sys

import configured
import numpy as np
import pytest
from configured import spectrum
from scipy.integrate import quad
from scipy.special import eval_legendre, iv

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.features import PROFILES, Laplace, Radial, ReLU
from uf_diffusion.kernels.identifiability import identifiability, unseen_sentence
from uf_diffusion.kernels.spherical_harmonics import circle_eigenvalues
from uf_diffusion.library.drawing import draw
from uf_diffusion.problem.densities import Bumps, Density, Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.reports.text import print_summary
from uf_diffusion.runs import jobs as runs_jobs
from uf_diffusion.runs.building import feature
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import result_of
from uf_diffusion.runs.warnings_after import findings

CIRCLE, SPHERE = Circle(), Sphere(2)


def warning(seen):
    return unseen_sentence(seen.attributes)


def flat(phi):
    return identifiability(phi, Uniform(phi.manifold), Uniform(phi.manifold))


class Given(Density):
    """A density (1 + varying(x)) / volume."""

    def __init__(self, manifold, varying):
        object.__setattr__(self, "manifold", manifold)
        object.__setattr__(self, "varying", varying)

    def formula(self, x, xp):
        return (1 + self.varying(x)) / self.manifold.volume


def test_relu_on_the_circle():
    """1/8 at degree 1, 2 / (pi (k^2 - 1))^2 at even degrees, exactly 0 at odd ones from 3 on."""
    seen = flat(ReLU(CIRCLE))
    k = seen.wave[:, 0]
    assert np.array_equal(k, np.arange(513))
    assert seen.eigenvalue[1] == pytest.approx(1 / 8)
    even = k % 2 == 0
    exact = 2 / (np.pi * (k[even] ** 2 - 1.0)) ** 2
    assert seen.eigenvalue[even] == pytest.approx(exact, rel=1e-3, abs=1e-15)
    assert seen.eigenvalue[even][:30] == pytest.approx(exact[:30], rel=1e-8)
    assert np.array_equal(seen.eigenvalue == 0, (k % 2 == 1) & (k >= 3))
    assert seen.null_space == "odd degrees >= 3"


def test_relu_on_the_sphere():
    """Funk and Hecke's formula by scipy's quadrature in the cosine; zeros at odd degrees >= 3."""
    seen = flat(ReLU(SPHERE))
    degree = seen.wave[:, 0]
    for k in (0, 1, 2, 4, 10, 20):

        def integrand(c, k=k):
            angle = np.arccos(c)
            kernel = (np.sin(angle) + (np.pi - angle) * c) / (2 * np.pi)
            return kernel * eval_legendre(k, c) / 2

        exact = quad(integrand, -1, 1, epsabs=1e-13, epsrel=1e-12, limit=400)[0]
        assert seen.eigenvalue[k] == pytest.approx(exact, rel=1e-7)  # fmt: skip
    assert np.array_equal(seen.eigenvalue == 0, (degree % 2 == 1) & (degree >= 3))
    assert seen.eigenvalue @ seen.multiplicity == pytest.approx(1 / 2, rel=1e-6)  # K(omega, omega)


@pytest.mark.parametrize("scale", [0.1, 0.5, 3.0, 50.0])
def test_laplace_features_see_every_degree(scale):
    """However large the scale; against the quadrature where that has digits."""
    phi = Laplace(CIRCLE, scale)
    seen = flat(phi)
    assert (seen.eigenvalue > 0).all()
    assert seen.null_space == warning(seen) == ""
    size = seen.eigenvalue[0]
    exact = circle_eigenvalues(phi.kernel, 512)
    assert np.abs(seen.eigenvalue - exact).max() < 1e-14 * size


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_radial_features_with_uniform_inputs(dim, profile):
    """|g_k|^2 / |Omega|^2 by FFT of g on a lattice; the trace is the mean of g^2."""
    torus = FlatTorus(dim, 4.0)
    phi, n = Radial(torus, 0.5, profile), {1: 2**14, 2: 1024, 3: 128}[dim]
    lattice = torus.even(n**dim) - 2.0 / n  # a node at the origin
    r = np.linalg.norm(torus.wrap(lattice), axis=1)
    g = PROFILES[profile](r, 0.5)[0].reshape((n,) * dim)
    exact = np.abs(np.fft.fftn(g) / n**dim) ** 2
    seen = flat(phi)
    assert seen.multiplicity.sum() == (2 * seen.wave.max() + 1) ** dim
    few = seen.degree <= 6
    assert seen.eigenvalue[few] == pytest.approx(
        exact[tuple(seen.wave[few].T)], rel=1e-3, abs=1e-6 * seen.eigenvalue[0]
    )
    assert seen.eigenvalue @ seen.multiplicity == pytest.approx(np.mean(g**2), rel=0.03)


def test_radial_features_with_other_inputs():
    """K = A rho A: its eigenvalues lie, in order, between min and max of |Omega| rho times ours."""
    torus, n = FlatTorus(1, 4.0), 400
    x = torus.even(n)
    rho = sum(np.exp(-0.5 * (x[:, 0] + 4 * k) ** 2) for k in range(-6, 7)) / np.sqrt(2 * np.pi)
    phi = Radial(torus, 0.5, "matern")
    A = phi(x, x)[0] / n
    found = np.linalg.eigvalsh(A @ (4 * rho[:, None] * A))[::-1][:40]
    seen = flat(phi)
    ours = np.sort(np.repeat(seen.eigenvalue, seen.multiplicity))[::-1][:40]
    assert (found >= 4 * rho.min() * ours * 0.999).all()
    assert (found <= 4 * rho.max() * ours * 1.001).all()
    assert 4 * rho.min() < 0.6 < 1.4 < 4 * rho.max()  # the bounds are apart
    assert found[5] != pytest.approx(ours[5], rel=0.1)


@pytest.mark.parametrize(
    ("phi", "row", "harmonic"),
    [
        (ReLU(CIRCLE), 2, lambda x: np.cos(2 * np.arctan2(x[1], x[0]))),
        (ReLU(CIRCLE), 3, lambda x: np.sin(3 * np.arctan2(x[1], x[0]))),
        (Laplace(CIRCLE, 0.7), 3, lambda x: np.sin(3 * np.arctan2(x[1], x[0]))),
        (ReLU(SPHERE), 2, lambda x: x[0] * x[1]),
        (ReLU(SPHERE), 3, lambda x: x[0] * x[1] * x[2]),
    ],
    ids=["relu S1 even", "relu S1 odd", "laplace S1 odd", "relu S2 even", "relu S2 odd"],
)
def test_the_kernel_maps_a_harmonic_to_its_eigenvalue_times_it(phi, row, harmonic, rng):
    """The mean of K(omega, .) e over a lattice of the manifold, at random omega."""
    manifold = phi.manifold
    omega, lattice = manifold.sample(10, rng), manifold.even(100_000)
    mapped = phi.kernel(omega, lattice)[0] @ harmonic(lattice.T) / len(lattice)
    assert mapped == pytest.approx(flat(phi).eigenvalue[row] * harmonic(omega.T), abs=1e-7)


def on_circle(x):
    angle = np.arctan2(x[1], x[0])
    return 0.3 * np.cos(3 * angle) + 0.4 * np.sin(4 * angle + 1)


def on_torus(x):
    q = np.pi / 2
    return 0.3 * np.cos(q * (x[0] - 2 * x[1])) + 0.4 * np.sin(q * 3 * x[1])


def on_sphere(x):  # Legendre's P_l has the mean square 1 / (2 l + 1)
    third, second = eval_legendre(3, x[2]), eval_legendre(2, x[0])
    return 0.1 * np.sqrt(7) * third + 0.4 / 3 * np.sqrt(5) * second


@pytest.mark.parametrize(
    ("phi", "varying", "less", "more", "unseen"),
    [
        (ReLU(CIRCLE), on_circle, (3,), (4,), 0.36),
        (Radial(FlatTorus(2, 4.0)), on_torus, (2, 1), (3, 0), 0),
        (ReLU(SPHERE), on_sphere, (3,), (2,), 0.36),
    ],
)
def test_shares_of_chosen_harmonics(phi, varying, less, more, unseen):
    """Amplitudes 3 : 4 have 36 % and 64 % of the variance, in the right rows."""
    seen = identifiability(phi, Given(phi.manifold, varying), Uniform(phi.manifold))
    share = {tuple(k): s for k, s in zip(seen.wave, seen.teacher_share, strict=True)}
    assert share.pop(less) == pytest.approx(0.36, abs=1e-12)
    assert share.pop(more) == pytest.approx(0.64, abs=1e-12)
    assert max(share.values()) < 1e-20
    assert not seen.initial_share.any()
    assert seen.unseen_teacher == pytest.approx(unseen, abs=1e-12)


@pytest.mark.parametrize("kappa", [0.01, 3.0, 40.0])
def test_shares_of_von_mises(kappa):
    """Fourier coefficients I_k(kappa), Legendre coefficients sqrt(2 l + 1) I_(l + 1/2)(kappa)."""
    for phi, energy in (
        (ReLU(CIRCLE), lambda k: iv(k, kappa) ** 2),
        (ReLU(SPHERE), lambda k: (2 * k + 1) * iv(k + 0.5, kappa) ** 2),
    ):
        manifold = phi.manifold
        mean = np.arange(1.0, manifold.ambient + 1)
        teacher = VonMisesFisher(manifold, kappa, [mean])
        with np.errstate(under="ignore"):
            exact = energy(np.arange(1.0, 60.0))
        exact /= exact.sum()
        seen = identifiability(phi, Uniform(manifold), teacher)
        assert seen.initial_share[1:60] == pytest.approx(exact, abs=1e-11)
        assert seen.initial_share.sum() == pytest.approx(1, abs=1e-11)
        assert seen.unseen_initial == pytest.approx(exact[2::2].sum(), abs=1e-11)


def test_shares_of_bumps_on_tori():
    """Each axis has the coefficients r^|k| of a Poisson kernel."""
    root = np.sqrt(1 + 9.0)
    r = (root - 1) / (root + 1)
    for dim in (1, 2, 3):
        torus = FlatTorus(dim, 3.0)
        one = Bumps(torus, 9.0, [np.full(dim, 0.4)])
        seen = identifiability(Radial(torus), one, Uniform(torus))
        energy = seen.multiplicity * r ** (2.0 * seen.wave.sum(axis=1))
        total = ((1 + r**2) / (1 - r**2)) ** dim - 1
        assert seen.teacher_share[1:] == pytest.approx(energy[1:] / total, abs=1e-11)


PRESETS = {"relu-circle": 0.01, "paper-6.1": 0.01, "sphere": 0.01, "matern-circle": 0.0,
           "radial-torus": 0.0}  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_warning_of_the_presets(preset):
    """ReLU is blind to more than 1 % of the paper's teachers; the others see all."""
    config = load_config(preset)
    problem, n = config.build(), config.network
    phi = feature(n.features, problem.manifold, n.scale, n.profile)
    seen = identifiability(phi, problem.teacher, problem.initial)
    assert bool(warning(seen)) == bool(PRESETS[preset])
    assert seen.unseen_teacher >= PRESETS[preset]
    assert seen.unseen_initial == 0
    if warning(seen):
        assert f"odd degrees >= 3: {100 * seen.unseen_teacher:.3g} %" in warning(seen)
        assert "problem.limit = 'constrained'" in warning(seen)


def test_even_densities_need_no_warning():
    """Two opposite peaks of equal weight have no odd part; unequal ones have."""
    for weights, warned in (([1, 1], False), ([1, 1.02], True)):
        even = Bumps(CIRCLE, 50.0, [0.3, 0.3 - np.pi], weights)
        assert bool(warning(identifiability(ReLU(CIRCLE), even, Uniform(CIRCLE)))) == warned
        assert bool(warning(identifiability(ReLU(CIRCLE), Uniform(CIRCLE), even))) == warned


def test_a_null_space_without_name():
    """Gaussian features so smooth that short waves are lost in round-off."""
    torus = FlatTorus(1, 4.0)
    seen = flat(Radial(torus, 0.15, "gaussian"))
    null = seen.wave[seen.eigenvalue == 0]
    assert len(null)
    assert seen.null_space == f"{len(null)} of 513 wave numbers, from ({null[0, 0]}) on"
    wave = int(null[0, 0])
    odd = Given(torus, lambda x: 0.5 * np.cos(np.pi / 2 * wave * x[0]))
    said = warning(identifiability(Radial(torus, 0.15, "gaussian"), odd, Uniform(torus)))
    assert "100 % of the teacher's" in said
    assert "lost in round-off" in said
    assert "constrained" not in said


def test_which_features_need_the_constraint():
    for phi in (ReLU(CIRCLE), ReLU(SPHERE)):
        assert phi.constrained_limit
        assert flat(phi).null_space == "odd degrees >= 3"
    for phi in (Laplace(CIRCLE), Radial(FlatTorus(2, 4.0)), ReLU(Sphere(3))):
        assert not phi.constrained_limit


@pytest.mark.parametrize("phi", [ReLU(Sphere(3)), Radial(FlatTorus(4, 1.0))], ids=repr)
def test_refusals(phi):
    with pytest.raises(InputError, match="on the circle, on the sphere of dimension 2"):
        flat(phi)


SMALL = ["network.width=16", "network.samples=40", "network.teacher_width=60",
         "problem.t_end=0.05", "diffusion.snapshots=2", "network.step=0.015625",
         "diffusion.cells=64"]  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "more", "warned"),
    [("relu-circle", [], True), ("relu-circle", ["problem.initial={kind='bumps'}"], True),
     ("matern-circle", [], False)],
)  # fmt: skip
def test_compare_warns_once(preset, more, warned):
    """From the result alone: the numbers are attributes of /comparison."""
    pytest.importorskip("dolfinx")
    result = configured.compare(load_config(preset, SMALL + more))
    attributes = result["comparison"].attrs
    assert (attributes["unseen_teacher"] > 0) == warned
    assert (attributes["unseen_initial"] > 0) == bool(more)
    said = " ".join(findings(result))
    assert said.count("The features do not see odd degrees >= 3") == warned


@pytest.mark.parametrize("there", [True, False], ids=["dolfinx", "no dolfinx"])
@pytest.mark.parametrize("preset", ["relu-circle", "sphere", "radial-torus"])
def test_spectrum_has_the_kernel(preset, there, monkeypatch, tmp_path, capsys):
    """The group /kernel, its table and its panel, with and without the PDE side."""
    if there:
        pytest.importorskip("dolfinx")
    else:
        monkeypatch.setattr(runs_jobs, "_installed", lambda package: False)
    result = spectrum(load_config(preset, ["diffusion.cells=300"]), 3)
    assert ("spectrum" in result) == there
    kernel = result["kernel"]
    assert set(kernel.data_vars) == {"degree", "wave", "multiplicity", "eigenvalue",
                                     "teacher_share", "initial_share"}  # fmt: skip
    assert kernel.attrs["unseen_teacher"] == pytest.approx(
        float(kernel.teacher_share.where(kernel.eigenvalue == 0).sum())
    )
    print_summary(result_of(result), tmp_path)
    printed = capsys.readouterr().out
    assert ("unseen    odd degrees >= 3: " in printed) == (preset != "radial-torus")
    assert ("unseen    nothing" in printed) == (preset == "radial-torus")
    assert ("need DOLFINx" in printed) != there
    figure = draw(result)
    assert "Kernel of the features" in [ax.get_title() for ax in figure.axes if ax.axison]


def test_the_kernel_needs_no_dolfinx():
    code = (
        "import sys, uf_diffusion.kernels.identifiability;"
        "assert not {'dolfinx', 'petsc4py', 'ufl'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
