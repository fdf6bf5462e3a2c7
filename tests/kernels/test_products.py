"""The products of sampled features against plain numpy, in both precisions."""

import numpy as np
import pytest

from uf_diffusion.core import threads
from uf_diffusion.kernels.choice import feature_map
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.kernels.hinges import Hinges
from uf_diffusion.kernels.passes import ROWS, Passes
from uf_diffusion.kernels.sampled import Sampled
from uf_diffusion.network.placement import place
from uf_diffusion.problem.densities import Bumps, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)


def passes_of(matrix, size, single=False):
    """`Passes` over a known matrix, and the list of the rows that it has computed."""
    computed = []

    def compute(rows, out):
        out[:] = matrix[rows]
        computed.extend(range(len(matrix))[rows])

    room = np.full(matrix.shape, np.nan, np.float32) if single else None
    blocks = threads.blocks_of(len(matrix), size)
    return Passes(compute, np.full(matrix.shape, np.nan), blocks, room), computed


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("width", [1, 3, 4, 2 * ROWS, 2 * ROWS + 7])
def test_passes_are_products(width, single, many, rng, monkeypatch):
    """Every order of passes: 1e-12 in double, 1e-4 in single precision; entries computed once."""
    monkeypatch.setattr(threads, "_cores", lambda: 3)
    matrix, v, a = (rng.standard_normal(n) for n in ((width, 101), width, 101))
    with threads.using_threads(many):
        for first in range(4):
            passes, computed = passes_of(matrix, 5, single)
            for k in (first, *range(4)):
                if k == 0:
                    assert passes.from_left(v) == pytest.approx(v @ matrix, abs=1e-12)
                elif k == 1:
                    assert passes.from_right(a) == pytest.approx(matrix @ a, abs=1e-12)
                elif k == 2:
                    assert np.array_equal(passes.matrix, matrix)
                else:
                    copy = passes.in_single(lambda: np.empty(matrix.shape, np.float32))
                    assert np.array_equal(copy, matrix.astype(np.float32))
                    left = passes.from_left(v.astype(np.float32), copy)
                    right = passes.from_right(a.astype(np.float32), copy)
                    assert left.dtype == right.dtype == np.float32
                    assert left == pytest.approx(v @ matrix, abs=1e-4)
                    assert right == pytest.approx(matrix @ a, abs=1e-4)
            assert sorted(computed) == list(range(width))


@pytest.mark.parametrize("width", [1, 2, 301])
@pytest.mark.parametrize("manifold", [CIRCLE, SPHERE, TORUS], ids=["circle", "sphere", "torus"])
def test_products_of_sampled_features(manifold, width, rng):
    """Against dense matrices of plain features, also at widths that are odd; 1e-11, single 1e-5."""
    phi, teacher = {
        CIRCLE: (ReLU(CIRCLE), Bumps(CIRCLE)),
        SPHERE: (ReLU(SPHERE), VonMisesFisher(SPHERE)),
        TORUS: (Radial(TORUS), Bumps(TORUS)),
    }[manifold]
    x, omega = phi.inputs(1500, rng), manifold.sample(width, rng)
    kind = Sampled if manifold is TORUS else Hinges
    neurons = kind(phi, x, place(teacher, 50, "random", rng)).at(omega)
    Phi, pullback = phi(omega, x)
    psi, v, a = Phi / np.sqrt(1500), rng.standard_normal(width), rng.standard_normal(1500)
    product = psi @ (psi.T @ v)
    assert neurons.moments(v) == pytest.approx(v @ psi, abs=1e-11)
    assert neurons.values(a) == pytest.approx(psi @ a, abs=1e-11)
    assert neurons.gradient(a) == pytest.approx(pullback(a / np.sqrt(1500)), abs=1e-11)
    assert neurons.product(v) == pytest.approx(product, abs=1e-11)
    rough = neurons.product(v, rough=True)
    assert rough == pytest.approx(product, abs=1e-5 * np.abs(product).max())
    assert (rough != neurons.product(v)).any()
    assert neurons.matrix == pytest.approx(psi, abs=1e-13)


def test_relu_features_of_three_coordinates_are_not_stored(rng):
    """On S^2, but neither in more dimensions nor for features that are derived from ReLU."""

    class Own(ReLU):
        pass

    for phi, kind in ((ReLU(SPHERE), Hinges), (Own(SPHERE), Sampled), (ReLU(Sphere(3)), Sampled)):
        atoms = place(VonMisesFisher(phi.manifold), 20, "random", rng)
        assert type(feature_map(phi, "sampled", 30, atoms, rng)) is kind
