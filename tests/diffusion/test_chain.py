"""The compiled steps in one dimension against the general ones, and their parts on their own."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("dolfinx_solver", reason="the diffusion needs DOLFINx")
from mpi4py import MPI

from uf_diffusion.diffusion.chain import factorise, product, solve
from uf_diffusion.diffusion.extrapolation import guess
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_of
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere


def problem_on(manifold, divergence=Unbiased()):
    teacher = VonMisesFisher(manifold, 4.0) if manifold.dim > 1 else Bumps(manifold, 100.0)
    return Problem(manifold, teacher, Uniform(manifold), divergence)


def solver_of(problem, cells, degree, scheme="sdirk2", rtol=1e-4, general=False):
    with pytest.MonkeyPatch.context() as patch:
        if general:
            patch.setattr(UltraFastDiffusion, "_compiled_run", lambda solver: None)
        grid = grid_of(problem, cells, degree)
        solver = UltraFastDiffusion(problem, grid, SCHEMES[scheme], rtol, MPI.COMM_SELF)
    assert (solver._compiled is None) == general
    return solver


@pytest.mark.parametrize(
    ("manifold", "degree", "scheme", "divergence"),
    [
        (Circle(), 1, "sdirk2", Unbiased()), (Circle(), 2, "sdirk3", Entropy()),
        (Circle(), 3, "esdirk5", Biased()), (FlatTorus(1, 4.0), 3, "esdirk4", Power(1.5)),
        (FlatTorus(1, 4.0), 2, "euler", Power(3.0)), (Sphere(4), 1, "esdirk4", Unbiased()),
        (Circle(), 3, "rodas4", Unbiased()), (Circle(), 1, "rodas5p", Entropy()),
        (FlatTorus(1, 4.0), 2, "rodas4", Power(3.0)), (Sphere(4), 1, "rodas5p", Biased()),
    ],
)  # fmt: skip
def test_both_paths_give_the_same_numbers(manifold, degree, scheme, divergence):
    """The density, the energies and the work of each step, and its error estimate."""
    problem = problem_on(manifold, divergence)
    fast, general = (
        solver_of(problem, 60, degree, scheme, 1e-5, general) for general in (False, True)
    )
    states = list(fast.iterate(0.1))
    assert len(states) > 5
    for old, new in pairwise(states):
        again, error = fast.step(old, new.step_size)
        other, same = general.step(old, new.step_size)
        assert again.ratio.tobytes() == new.ratio.tobytes()
        assert other.ratio == pytest.approx(new.ratio, rel=1e-12)
        assert other.newton_iterations == new.newton_iterations
        assert other.stage_error == pytest.approx(new.stage_error, rel=1e-3, abs=1e-12)
        for name in ("mass", "risk", "dual_energy", "min_ratio", "max_ratio", "distance"):
            assert getattr(other, name) == pytest.approx(getattr(new, name), rel=1e-12, abs=1e-15)
        assert error == pytest.approx(same, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("scheme", ["rodas4", "rodas5p", "esdirk4"])
def test_densities_between_steps_have_no_waves(scheme):
    """With large steps: the total variation is that of an accurate solution; both paths agree."""
    problem, found = problem_on(Circle()), {}
    for name, rtol in ((scheme, 1e-2), ("esdirk5", 1e-8)):
        solver, values = solver_of(problem, 128, 3, name, rtol), []
        for old, new in pairwise(solver.iterate(5.5)):
            for t in (0.5, 1.0, 5.0):
                if old.t < t <= new.t:
                    ratio = solver.between(old, new, t)
                    values.append(np.abs(np.diff(ratio * solver.teacher, append=0)).sum())
                    assert solver.weight @ ratio == pytest.approx(1, abs=1e-12)
                    if name == scheme:
                        general = solver_of(problem, 128, 3, name, rtol, general=True)
                        assert general.between(old, new, t) == pytest.approx(ratio, rel=1e-9)
        found[name] = values
    assert found[scheme] == pytest.approx(found["esdirk5"], rel=0.01)


@pytest.mark.parametrize(("cells", "degree"), [(3, 1), (40, 1), (25, 2), (20, 3)])
def test_product_and_solution(cells, degree):
    """K w and the solution for a diagonal over ten orders of magnitude, against dense algebra."""
    problem, rng = problem_on(Circle()), np.random.default_rng(0)
    solver = solver_of(problem, cells, degree)
    starts, columns, entries = solver.stiffness.getValuesCSR()
    dense = np.zeros((len(starts) - 1,) * 2)
    dense[np.repeat(np.arange(len(dense)), np.diff(starts)), columns] = entries
    chain = solver.elements.chain(solver.teacher)
    w, rhs, d = (
        rng.random(len(dense)),
        rng.normal(size=len(dense)),
        10 ** rng.uniform(-5, 5, len(dense)),
    )
    result, x = np.empty(chain.conductances.total.shape), np.empty(chain.conductances.total.shape)
    product(chain.conductances, chain.placed(w), result)
    assert chain.owned(result) == pytest.approx(dense @ w, abs=1e-12 * abs(dense).max())
    p, m = chain.conductances.total.shape
    factors, memory = np.empty((p + 1, p + 1, m)), np.empty((p + 1, m))
    for s in (1e-6, 1.0, 1e6):
        factorise(chain.conductances, chain.placed(d), s, factors)
        solve(factors, chain.placed(rhs), x, memory)
        exact = np.linalg.solve(np.diag(d) + s * dense, rhs)
        assert np.abs(chain.owned(x) / exact - 1).max() < 1e-8


@pytest.mark.parametrize("back", [-0.6, 0.0])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_first_guesses_are_exact_for_cubics(back, count):
    """And for polynomials of the degree that what is known determines."""
    nodes = np.array([0.3, 0.7, 1.0])
    degree = min(3, 1 + count + 2 * (back < 0))
    P = np.polynomial.Polynomial([1.0, 2.0, -3.0, 0.7][: degree + 1])
    slope = P.deriv()
    older, last = (P(nodes[count - k]) if count >= k else None for k in (2, 1))
    known = [P(0), slope(0), P(back), slope(back), older, last]
    vectors = [None if value is None else np.array([value]) for value in known]
    for s in (0.2, 1.0):
        assert guess(vectors, back, nodes, count, s) == pytest.approx([P(s)], abs=1e-13)


@pytest.mark.parametrize("back", [-0.01, -0.25, -3.0])
def test_mass_and_positivity_for_any_step(back):
    """A step far too long for its accuracy keeps the mass and positivity up to round-off."""
    problem = problem_on(Circle())
    solver = solver_of(problem, 50, 3)
    old = list(solver.iterate(0.1))[-1]
    new, _ = solver.step(old, old.step_size / abs(back))
    assert abs(new.mass - 1) < 1e-14
    assert new.min_ratio > 0
