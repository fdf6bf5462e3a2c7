"""The convex stage problem against brute force, and the guarantee of the damped step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import root

pytest.importorskip("dolfinx")
from mpi4py import MPI

from uf_diffusion.diffusion.stage import guaranteed_step, rise
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Uniform
from uf_diffusion.problem.divergences import Biased, Entropy, Power
from uf_diffusion.problem.manifolds import Circle, FlatTorus

DIVERGENCES = [Biased(), Entropy(), Power(1.3, 0.0), Power(3.0, 0.0)]


KEPT = []


def stage_on(manifold, divergence, cells=24):
    problem = Problem(manifold, Bumps(manifold, 5.0), Uniform(manifold), divergence)
    solver = UltraFastDiffusion(problem, grid_on(manifold, cells), comm=MPI.COMM_SELF)
    KEPT.append(solver)  # PETSc's objects live on its mesh's communicator
    return solver.stage


def dense(stage):
    n = len(stage.weight)
    return np.column_stack([stage.stiffness(e) for e in np.eye(n)])


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=repr)
@pytest.mark.parametrize("manifold", [Circle(), FlatTorus(2, 1.0)], ids=repr)
def test_stage_against_dense_root_finding(divergence, manifold, rng):
    """c (1/f*'(w) - b) = s K w with a dense K and scipy's root finder, b partly negative."""
    stage = stage_on(manifold, divergence)
    K, c = dense(stage), stage.weight
    b = 1 + 0.9 * rng.standard_normal(len(c))
    assert (b < 0).any()
    assert c @ b > 0
    start = divergence.df(np.full(len(c), 1.0))
    w, ratio, report = stage.solve(b, 0.05, start, 1e-13)
    found = root(
        lambda v: c * (1 / divergence.dconjugate(v) - b) - 0.05 * K @ v, w, tol=1e-14
    ).x  # fmt: skip
    assert w == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert np.abs(c * (1 / divergence.dconjugate(w) - b) - 0.05 * K @ w).max() < 1e-12
    assert ratio @ c == pytest.approx(b @ c, rel=1e-13)
    assert report.newton_iterations < 40


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=repr)
def test_newton_converges_from_far_away(divergence):
    """Starts six orders of magnitude off, both ways."""
    stage = stage_on(Circle(), divergence)
    b = np.ones(len(stage.weight))
    target, _, _ = stage.solve(b, 1.0, divergence.df(b), 1e-13)
    for u in (1e-6, 1e6) if divergence.power < 3 else (1e-3, 1e3):
        w, _, _ = stage.solve(b, 1.0, divergence.df(u * b), 1e-13)
        assert w == pytest.approx(target, rel=1e-8, abs=1e-8)


@given(
    seed=st.integers(0, 10**6),
    which=st.integers(0, len(DIVERGENCES) - 1),
    spread=st.floats(0.01, 4.0),
)
def test_guaranteed_step_decreases_the_objective(seed, which, spread):
    """For random quadratics, points and weights over many orders of magnitude."""
    rng = np.random.default_rng(seed)
    divergence, n = DIVERGENCES[which], 5
    A = rng.standard_normal((n, n))
    K = A @ A.T * np.exp(spread * rng.standard_normal())
    c = np.exp(spread * rng.standard_normal(n))
    b = np.exp(spread * rng.standard_normal(n))
    w = divergence.df(np.exp(spread * rng.standard_normal(n)))

    def slope(v):
        return divergence.d2conjugate(v) / divergence.dconjugate(v)

    def gradient(v):
        return c * (b - 1 / divergence.dconjugate(v)) + K @ v

    hessian = K + np.diag(c * slope(w) / divergence.dconjugate(w))
    direction = -np.linalg.solve(hessian, gradient(w))
    rho = np.abs(slope(w) * direction).max()
    step = guaranteed_step(rho, divergence.power)
    assert 0 < step <= 1
    new = w + step * direction
    assert (divergence.dconjugate(new) > 0).all()  # inside the domain
    if step < 1:  # the objective falls along the whole step: its slope stays negative up to t*
        for t in np.linspace(0.1, 1, 10) * step:
            assert gradient(w + t * direction) @ direction <= 1e-9 * abs(gradient(w) @ direction)


@given(
    seed=st.integers(0, 10**6), which=st.integers(0, len(DIVERGENCES) - 1), spread=st.floats(0.1, 3)
)
def test_steps_from_far_away_never_increase_the_objective(seed, which, spread):
    """Against an integral of its gradient along the step; the longer step is what `rise` says."""
    divergence, rng = DIVERGENCES[which], np.random.default_rng(seed)
    stage, s = stage_on(Circle(), divergence), 0.05
    n = len(stage.weight)
    b, w = 1 + 0.9 * rng.standard_normal(n), divergence.df(np.exp(spread * rng.standard_normal(n)))
    points, weights = np.polynomial.legendre.leggauss(40)

    def change(to):
        slopes = [stage._at(w + (x + 1) / 2 * (to - w), b, s).residual @ (to - w) for x in points]
        return -np.array(slopes) @ weights / 2

    here = stage._at(w, b, s)
    stage.linear.set(here.diagonal, s)
    direction, _ = stage.linear.solve(here.residual, 1e-13)
    rho = np.abs(here.slope * direction).max()
    for fast in (True, False):
        step = guaranteed_step(rho, divergence.power)
        to, there = stage._far_step(w.copy(), here, direction, step, fast, b, s)
        size = np.abs(here.residual) @ np.abs(to - w)
        assert change(to) <= 1e-9 * size
        found = rise(divergence.power, stage.weight, b, w, *here, to, *there)
        assert found == pytest.approx(change(to), rel=1e-6, abs=1e-9 * size)


def test_steps_of_the_known_cases():
    """1/(1+rho) for p = 2, log(1+rho)/rho for the entropy, and continuity in between."""
    assert guaranteed_step(3.0, 2.0) == pytest.approx(1 / 4)
    assert guaranteed_step(3.0, 1.0) == pytest.approx(np.log(4) / 3)
    assert guaranteed_step(3.0, 1 + 1e-9) == pytest.approx(guaranteed_step(3.0, 1.0), rel=1e-6)
    assert guaranteed_step(0.0, 2.0) == 1
