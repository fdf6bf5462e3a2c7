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
from uf_diffusion.kernels.features import PROFILES, Laplace, Radial, RandomFourier, ReLU
from uf_diffusion.kernels.identifiability import identifiability, unseen_sentence
from uf_diffusion.kernels.seen_spaces import EVEN_AND_LINEAR, EVERYTHING
from uf_diffusion.kernels.spherical_harmonics import circle_eigenvalues
from uf_diffusion.kernels.zonal import multiplicities
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
def test_waves_of_radial_features(dim, profile):
    """By FFT of g on a lattice; the sum of their squares is the mean of g^2."""
    torus = FlatTorus(dim, 4.0)
    phi, n = Radial(torus, 0.5, profile), {1: 2**14, 2: 1024, 3: 128}[dim]
    lattice = torus.even(n**dim) - 2.0 / n  # a node at the origin
    r = np.linalg.norm(torus.wrap(lattice), axis=1)
    g = PROFILES[profile](r, 0.5)[0].reshape((n,) * dim)
    exact = np.abs(np.fft.fftn(g) / n**dim)
    waves = np.abs(phi.convolution(16).waves)
    few = (slice(0, 5),) * dim
    assert waves[few] == pytest.approx(exact[few], rel=1e-3, abs=1e-4 * exact.max())
    both = np.where(np.indices(waves.shape) > 0, 2, 1).prod(axis=0)
    assert float((both * waves**2).sum()) == pytest.approx(np.mean(g**2), rel=0.03)


def gaussian_inputs_on_a_torus(torus, n):
    """A lattice of inputs, moved off the lattice of features, and the density there by images."""
    x = torus.even(n**torus.dim) + 0.37 * torus.period / n
    images = torus.period * np.arange(-4, 5)[:, None, None]
    weight = np.exp(-0.5 * (x + images) ** 2).sum(axis=0).prod(axis=1)
    return x, weight / weight.sum()


def gaussian_directions(sphere, n):
    """Inputs of length 1 in even directions; a Gaussian in R^m has the mean square m."""
    return sphere.even(n), np.full(n, sphere.ambient / n)


def gaussian_waves(ambient, n):
    """Frequencies of a Gauss-Hermite rule along each axis, with two phases a quarter turn apart."""
    node, weight = np.polynomial.hermite_e.hermegauss(n)
    g = np.stack(np.meshgrid(*[node] * ambient, indexing="ij"), -1).reshape(-1, ambient)
    law = np.prod(np.meshgrid(*[weight / weight.sum()] * ambient, indexing="ij"), axis=0).ravel()
    phase = np.repeat([0.0, np.pi / 2], len(g))
    return np.column_stack([np.vstack([g, g]), phase]), np.concatenate([law, law]) / 2


def brute_force(phi, omega, x, weight, count=12):
    """The largest eigenvalues of the integral operator, from the features' values alone: omega are
    even points of the manifold, x and weight integrate over the inputs.
    """
    values = phi(omega, x)[0]
    return np.linalg.eigvalsh((values * weight) @ values.T / len(omega))[::-1][:count]


EVERY = [
    (ReLU(CIRCLE), 400, lambda: gaussian_directions(CIRCLE, 4001)),
    (ReLU(SPHERE), 800, lambda: gaussian_directions(SPHERE, 4000)),
    (Laplace(CIRCLE, 0.2), 400, lambda: (CIRCLE.even(4001), np.full(4001, 1 / 4001))),
    (Laplace(CIRCLE, 1.0), 400, lambda: (CIRCLE.even(4001), np.full(4001, 1 / 4001))),
    (RandomFourier(CIRCLE, 1.0), 400, lambda: gaussian_waves(2, 24)),
    (RandomFourier(SPHERE, 1.5), 800, lambda: gaussian_waves(3, 12)),
    *((Radial(FlatTorus(dim, period), 0.5, profile), n,
       lambda dim=dim, period=period, m=m: gaussian_inputs_on_a_torus(FlatTorus(dim, period), m))
      for dim, n, m in ((1, 400, 1201), (2, 24**2, 61), (3, 8**3, 17))
      for period, profile in ((4.0, "laplace"), (4.0, "matern"), (3.0, "gaussian"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("phi", "n", "inputs"),
    EVERY,
    ids=lambda v: "inputs" if callable(v) and not hasattr(v, "kernel") else str(v)[:70],
)
def test_eigenvalues_are_those_of_the_network_s_kernel(phi, n, inputs):
    """For every feature on every manifold, against its values at its own inputs: quadrature for the
    eigenvalues, and a sample for their sum.
    """
    seen = flat(phi)
    ours = np.sort(np.repeat(seen.eigenvalue, seen.multiplicity))[::-1][:12]
    omega = phi.manifold.even(n)
    theirs = brute_force(phi, omega, *inputs())
    assert ours == pytest.approx(theirs, rel=1e-3)
    trace = np.mean(phi(omega, phi.inputs(4000, np.random.default_rng(0)))[0] ** 2)
    assert seen.eigenvalue @ seen.multiplicity == pytest.approx(trace, rel=0.05)


def test_the_preset_s_spectrum_is_that_of_gaussian_inputs():
    """On T^2 of period 4, the values of a lattice computation with 400 points an axis."""
    seen = flat(Radial(FlatTorus(2, 4.0)))
    expected = [0.609, 0.168, 0.168, 0.137, 0.130, 0.060]
    assert seen.eigenvalue[:6] == pytest.approx(expected, abs=6e-4)
    assert (np.diff(seen.eigenvalue) <= 0).all()


def test_shares_in_mixed_eigenfunctions():
    """Of a density on T^1, by the eigenvectors of the brute-force kernel; they sum to 1."""
    torus, n = FlatTorus(1, 4.0), 1200
    phi, density = Radial(torus, 0.5, "matern"), Bumps(torus, 9.0, [[0.4]])
    omega, (x, weight) = torus.even(n), gaussian_inputs_on_a_torus(torus, n)
    functions = np.linalg.svd(phi(omega, x)[0] * np.sqrt(weight), full_matrices=False)[0][:, :8]
    values = density(omega)
    varying = values - values.mean()
    seen = identifiability(phi, density, Uniform(torus))
    exact = (varying @ functions) ** 2 / (varying @ varying)
    assert seen.teacher_share[:8] == pytest.approx(exact, abs=1e-3)
    assert seen.teacher_share.sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    ("phi", "row", "harmonic"),
    [
        (ReLU(CIRCLE), 2, lambda x: np.cos(2 * np.arctan2(x[1], x[0]))),
        (ReLU(CIRCLE), 3, lambda x: np.sin(3 * np.arctan2(x[1], x[0]))),
        (Laplace(CIRCLE, 0.7), 3, lambda x: np.sin(3 * np.arctan2(x[1], x[0]))),
        (ReLU(SPHERE), 2, lambda x: x[0] * x[1]),
        (ReLU(SPHERE), 3, lambda x: x[0] * x[1] * x[2]),
        (RandomFourier(SPHERE, 0.7, "matern"), 3, lambda x: x[0] * x[1] * x[2]),
    ],
    ids=["relu S1 even", "relu S1 odd", "laplace S1 odd", "relu S2 even", "relu S2 odd", "fourier"],
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


def on_sphere(x):  # Legendre's P_l has the mean square 1 / (2 l + 1)
    third, second = eval_legendre(3, x[2]), eval_legendre(2, x[0])
    return 0.1 * np.sqrt(7) * third + 0.4 / 3 * np.sqrt(5) * second


@pytest.mark.parametrize(
    ("phi", "varying", "less", "more", "unseen"),
    [
        (ReLU(CIRCLE), on_circle, (3,), (4,), 0.36),
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


@pytest.mark.parametrize("dim", [2, 3, 9, 29, 100])
@pytest.mark.parametrize("kappa", [0.01, 3.0, 40.0])
def test_zonal_shares_of_von_mises_fisher_densities(dim, kappa):
    """exp(kappa (rho - 1)) has the Gaussian kernel's eigenvalues as its integrals against the
    polynomials; here by Bessel functions, as the squares of I_(l + mu)(kappa) times N_l.
    """
    sphere, mu = Sphere(dim), (dim - 1) / 2
    axis = np.arange(1.0, sphere.ambient + 1)
    seen = identifiability(
        RandomFourier(sphere, 1.0), VonMisesFisher(sphere, kappa, [axis]), Uniform(sphere), axis
    )
    degree = np.arange(1, 40)
    with np.errstate(under="ignore"):
        energy = multiplicities(dim, 39)[1:] * (iv(degree + mu, kappa) / iv(1 + mu, kappa)) ** 2
    assert seen.teacher_share[1:40] == pytest.approx(energy / energy.sum(), abs=1e-10)
    assert seen.teacher_share.sum() == pytest.approx(1, abs=1e-10)
    assert not seen.initial_share.any()
    assert seen.null_space == warning(seen) == ""


@pytest.mark.parametrize("phi", [ReLU(SPHERE), RandomFourier(SPHERE, 0.6)], ids=repr)
def test_the_zonal_way_agrees_with_that_of_all_harmonics(phi):
    """On S^2, for a density with two opposite peaks of different height and width."""
    axis = np.array([0.6, 0.0, 0.8])
    teacher = VonMisesFisher(SPHERE, [9.0, 4.0], [axis, -axis], [1.0, 2.0])
    initial = VonMisesFisher(SPHERE, 1.0, [-axis])
    whole, zonal = (identifiability(phi, teacher, initial, e) for e in (None, 3 * axis))
    assert np.array_equal(whole.wave, zonal.wave)
    assert np.array_equal(whole.multiplicity, zonal.multiplicity)
    assert np.array_equal(whole.eigenvalue, zonal.eigenvalue)
    assert zonal.teacher_share == pytest.approx(whole.teacher_share, abs=1e-12)
    assert zonal.initial_share == pytest.approx(whole.initial_share, abs=1e-12)
    assert zonal.attributes == pytest.approx(whole.attributes, abs=1e-12)


@pytest.mark.parametrize("dim", [3, 9, 100])
def test_relu_does_not_see_odd_degrees_on_any_sphere(dim):
    """Of t^3 = P_3 + c P_1 only the linear part is seen: E t^6 = 15 / ((n)(n+2)(n+4)) of n = dim + 1
    coordinates, and the linear part is 3 t / (n + 2).
    """
    sphere, n = Sphere(dim), dim + 1
    e = np.eye(1, n, 1)[0]
    cubic = Given(sphere, lambda x: x[1] ** 3)
    seen = identifiability(ReLU(sphere), cubic, Uniform(sphere), e)
    linear = (3 / (n + 2)) ** 2 / n / (15 / (n * (n + 2) * (n + 4)))
    assert seen.unseen_teacher == pytest.approx(1 - linear, abs=1e-10)
    assert seen.even_and_linear
    assert seen.null_space == "odd degrees >= 3"
    assert seen.multiplicity @ seen.eigenvalue == pytest.approx(0.5, rel=1e-4 * dim)


def test_an_axis_is_checked():
    sphere = Sphere(3)
    peak, phi = VonMisesFisher(sphere, 2.0, [[1.0, 0, 0, 0]]), RandomFourier(sphere)
    with pytest.raises(InputError, match=r"teacher density is not symmetric about problem\.axis"):
        identifiability(phi, peak, Uniform(sphere), [0.0, 1, 0, 0])
    for axis in ([1.0, 0, 0], np.zeros(4)):
        with pytest.raises(InputError, match="must be a non-zero vector with 4 coordinates"):
            identifiability(phi, peak, Uniform(sphere), axis)
    with pytest.raises(InputError):
        identifiability(phi, peak, Uniform(sphere), [np.inf, 0, 0, 0])
    on_circle = [identifiability(ReLU(CIRCLE), Uniform(CIRCLE), Bumps(CIRCLE, 9.0), e)
                 for e in (None, [1.0, 0])]  # fmt: skip
    assert np.array_equal(on_circle[0].initial_share, on_circle[1].initial_share)


def test_shares_of_bumps():
    """On the circle they have the coefficients r^|k| of a Poisson kernel; on tori all is seen."""
    root = np.sqrt(1 + 9.0)
    r = (root - 1) / (root + 1)
    seen = identifiability(Laplace(CIRCLE), Bumps(CIRCLE, 9.0, [0.4]), Uniform(CIRCLE))
    energy = seen.multiplicity * r ** (2.0 * seen.wave.sum(axis=1))
    total = (1 + r**2) / (1 - r**2) - 1
    assert seen.teacher_share[1:] == pytest.approx(energy[1:] / total, abs=1e-11)
    for dim in (1, 2):
        torus = FlatTorus(dim, 3.0)
        one = Bumps(torus, 9.0, [np.full(dim, 0.4)])
        seen = identifiability(Radial(torus), one, Uniform(torus))
        assert seen.teacher_share.sum() == pytest.approx(1, abs=1e-6)


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
    assert seen.null_space == f"{len(null)} wave numbers, from ({null[0, 0]}) on"
    wave = int(null[-1, 0])
    odd = Given(torus, lambda x: 0.5 * np.cos(np.pi / 2 * wave * x[0]))
    said = warning(identifiability(Radial(torus, 0.15, "gaussian"), odd, Uniform(torus)))
    assert "100 % of the teacher's" in said
    assert "lost in round-off" in said
    assert "constrained" not in said


def test_which_features_need_the_constraint():
    for phi in (ReLU(CIRCLE), ReLU(SPHERE)):
        assert phi.sees == EVEN_AND_LINEAR
        assert flat(phi).null_space == "odd degrees >= 3"
    assert ReLU(Sphere(9)).sees == EVEN_AND_LINEAR
    for phi in (Laplace(CIRCLE), RandomFourier(Sphere(3))):
        assert phi.sees == EVERYTHING
    assert Radial(FlatTorus(2, 4.0)).sees is None  # waves of smooth profiles are lost


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
                                     "teacher_share", "initial_share", "learnt"}  # fmt: skip
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
