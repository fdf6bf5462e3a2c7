"""The diffusion of densities symmetric about an axis: against the whole sphere, spectra, orders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("dolfinx")
from mpi4py import MPI

from principles import DIAGONAL, assert_principles
from verification import constrained_zonal_solution, zonal_solution

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.mpi import on_root
from uf_diffusion.diffusion.constrained import ConstrainedDiffusion
from uf_diffusion.diffusion.error_estimates import estimated_errors
from uf_diffusion.diffusion.history import DiffusionHistory
from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.diffusion.spectrum import spectrum
from uf_diffusion.diffusion.stored_state import pack, restore
from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion
from uf_diffusion.grids.built_in import grid_of, grid_on
from uf_diffusion.grids.rings import Rings
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, Sphere
from uf_diffusion.problem.own_densities import Height
from uf_diffusion.studies.orders import fit

EQUATIONS = {"diffusion": UltraFastDiffusion, "constrained": ConstrainedDiffusion}


def space(dim):
    return Circle() if dim == 1 else Sphere(dim)


def oblique(dim):
    e = np.cos(np.arange(dim + 1.0))
    return e / np.linalg.norm(e)


def symmetric(dim, kappa=1.5, initial=None, divergence=None, axis=True):
    """A teacher with a peak at the axis, and a start that is uniform or has one elsewhere on it."""
    manifold, e = space(dim), oblique(dim)
    start = Uniform(manifold) if initial is None else VonMisesFisher(manifold, initial, [-e])
    teacher = VonMisesFisher(manifold, kappa, [e])
    return Problem(manifold, teacher, start, divergence or Unbiased(), e if axis else None)


def solver_for(
    problem, cells, scheme="sdirk2", rtol=1e-4, equation=UltraFastDiffusion, comm=MPI.COMM_SELF
):
    return equation(problem, grid_of(problem, cells), SCHEMES[scheme], rtol, comm)


def recorded(solver, times):
    history = DiffusionHistory(solver, np.array(times))
    for state in solver.iterate(times[-1]):
        history(state)
    return history


def last(solver, t, step=None):
    for state in solver.iterate(t, step):
        pass
    return state


def density(solver, state):
    return solver.gathered(state.ratio * solver.teacher)


def heights(solver):
    return solver.grid.nodes @ oblique(solver.problem.manifold.dim)


# --- against the whole circle and sphere, and independent solutions -------------------------------


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize(("dim", "cells"), [(1, 1024), (2, 5120)])
def test_with_an_axis_the_solution_is_that_on_the_whole_sphere(dim, cells, equation):
    """At the nodes of the whole mesh the densities differ by less than the sum of the errors that
    the results estimate for themselves.
    """
    times, ends = [0.02, 0.1, 0.3], []
    for axis in (True, False):
        problem = symmetric(dim, initial=None if equation == "constrained" else 0.7, axis=axis)
        solver = solver_for(problem, 512 if axis else cells, equation=EQUATIONS[equation])
        history = recorded(solver, times)
        densities = np.array([solver.gathered(r * solver.teacher) for r in history.ratios])
        errors = estimated_errors(solver, history)
        ends.append((solver.grid, densities, errors["mesh_error_max"] + errors["time_error_max"]))
    (rings, symmetric_, own), (whole, full, other) = ends
    assert isinstance(rings, Rings) and not isinstance(whole, Rings)
    apart = [np.abs(rings.interpolate(a, whole.nodes) - b).max()
             for a, b in zip(symmetric_, full, strict=True)]  # fmt: skip
    assert (np.array(apart) < own + other).all(), (apart, own, other)
    assert (own < 1e-3 * full.max()).all()


@pytest.mark.parametrize("kappa", [1.0, 2.0])
def test_order_2_against_a_zonal_solution(kappa):
    """On S^2: Legendre collocation in the height, the largest error also at the poles."""
    t, cells, errors = 0.1, (64, 128, 256), []
    exact = zonal_solution(kappa, t, 96)
    for n in cells:
        solver = solver_for(symmetric(2, kappa), n, "esdirk4", 1e-6)
        found = 1 / last(solver, t).ratio
        errors.append(np.abs(found / exact(heights(solver)) - 1).max())
    assert fit(cells, errors).order == pytest.approx(-2, abs=0.2)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("divergence", [Unbiased(), Entropy(), Power(3.0)], ids=repr)
def test_order_2_against_the_circle(divergence):
    """With the teacher at the axis and a start opposite to it, against elements of degree 3."""
    t, cells, errors = 0.3, (32, 64, 128), []
    whole = symmetric(1, 0.8, 0.4, divergence, axis=False)
    fine = UltraFastDiffusion(whole, grid_on(Circle(), 256, 3), SCHEMES["esdirk4"], 1e-7, MPI.COMM_SELF)  # fmt: skip
    ratio = fine.gathered(last(fine, t).ratio)
    for n in cells:
        solver = solver_for(symmetric(1, 0.8, 0.4, divergence), n, "esdirk4", 1e-7)
        exact = fine.grid.interpolate(ratio, solver.grid.nodes)
        errors.append(np.abs(last(solver, t).ratio / exact - 1).max())
    assert fit(cells, errors).order == pytest.approx(-2, abs=0.2)
    assert errors[-1] < 1e-3


@pytest.mark.parametrize(("dim", "kappa"), [(3, 3.0), (9, 6.0), (29, 8.0)])
def test_order_2_in_high_dimensions(dim, kappa):
    """The mean height and the risk, against 16 times more cells than the finest."""
    cells, found = (64, 128, 256, 2048), []
    for n in cells:
        solver = solver_for(symmetric(dim, kappa), n, "esdirk4", 1e-6)
        state = last(solver, 1 / dim)
        found.append([solver.weight @ (state.ratio * heights(solver)), state.risk])
    errors = np.abs(np.divide(found[:-1], found[-1]) - 1).T
    for series in errors:
        assert fit(cells[:-1], series).order == pytest.approx(-2, abs=0.3)
        assert series[-1] < 2e-4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_order_in_time(scheme):
    """On S^9 with 128 rings; against steps 8 times smaller than the last."""
    problem, t = symmetric(9, 1.0, 0.5), 0.05

    def end(name, steps):
        return last(solver_for(problem, 128, name), t, t / steps).ratio

    exact, steps = end("esdirk4", 1024), (32, 64, 128)
    errors = [np.abs(end(scheme, n) / exact - 1).max() for n in steps]
    near = {"rodas4": 0.35, "rodas5p": 0.6}.get(scheme, 0.2)  # 4.0, 4.5 and 4.3, 4.7 of late
    assert fit(1 / np.array(steps), errors).order == pytest.approx(SCHEMES[scheme].order, abs=near)
    largest = {"euler": 1e-2, "sdirk2": 1e-4, "sdirk3": 1e-5, "esdirk4": 1e-6, "esdirk5": 1e-7,
               "rodas4": 1e-10, "rodas5p": 1e-10}  # fmt: skip
    assert errors[-1] < largest[scheme]


def test_the_mean_height_in_ten_dimensions():
    """Teacher exp(6 s) on S^9 from a uniform start; the means are those of a prototype with uniform
    cells and another time scheme, to the four decimals that were written down.
    """
    problem = Problem(Sphere(9), lambda x: np.exp(6 * x[:, 0]), axis=np.eye(10)[0])
    solver = solver_for(problem, 1024, rtol=1e-5)
    history = recorded(solver, [0.05, 0.1, 0.2, 0.5])
    means = [solver.weight @ (r * solver.grid.nodes[:, 0]) for r in history.ratios]
    assert means == pytest.approx([0.1174, 0.1642, 0.2213, 0.3060], abs=6e-5)


# --- linear theory --------------------------------------------------------------------------------


def wave(s):
    return 1 + 0.01 * s


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 100])
def test_the_first_mode_decays_at_the_rate_of_the_dimension(dim):
    """A uniform teacher and the initial density 1 + 0.01 s: lambda_1 = d, within 0.2 %."""
    manifold, e = space(dim), oblique(dim)
    problem = Problem(manifold, Uniform(), Height(values=wave), axis=e)
    solver = solver_for(problem, 512, rtol=1e-5)
    states = list(solver.iterate(1 / dim))
    first = [solver.weight @ (state.ratio * heights(solver)) for state in (states[0], states[-1])]
    assert np.log(first[0] / first[1]) * dim == pytest.approx(dim, rel=2e-3)
    assert first[0] == pytest.approx(0.01 / (dim + 1), rel=1e-3)  # the mean of s^2 is 1 / (d + 1)


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 100])
def test_eigenvalues_are_those_of_zonal_harmonics(dim):
    """k (k + d - 1) for k = 1, 2, 3, once each; the first eigenfunction is the height."""
    problem = Problem(space(dim), Uniform(), axis=oblique(dim))
    solver = solver_for(problem, 512)
    values, functions = spectrum(solver, 3)
    k = np.arange(1, 4)
    assert values == pytest.approx(k * (k + dim - 1), rel=1e-3)
    s = heights(solver)
    overlap = solver.weight @ (functions[0] * s) / np.sqrt(solver.weight @ s**2)
    norm = np.sqrt(solver.weight @ functions[0] ** 2)
    assert abs(overlap) / norm == pytest.approx(1, abs=1e-4)


# --- properties that define the scheme ------------------------------------------------------------

FORMS = [Unbiased(), Biased(), Entropy(), Power(1.5), Power(3.0)]
ANY = {
    "dim": st.integers(1, 100),
    "kappa": st.floats(-4, 1),
    "initial": st.floats(-4, 1),
    "divergence": st.sampled_from(FORMS),
}


def random_problem(dim, kappa, initial, divergence):
    """Peaks with a ratio of at most exp(20) between the largest and the least value."""
    return symmetric(dim, 10**kappa, 10**initial / 2, divergence)


@settings(max_examples=20)
@given(**ANY, scheme=st.sampled_from(list(SCHEMES)))
def test_discrete_properties_in_every_dimension(dim, kappa, initial, divergence, scheme):
    """Mass, positivity, maximum principle, decay of the risk and of the dual energy."""
    solver = solver_for(random_problem(dim, kappa, initial, divergence), 64, scheme, 1e-3)
    states = list(solver.iterate(0.3 / dim))
    assert_principles(states, 1e-12 if scheme == "euler" else 1e-5 * solver.rtol)


@settings(max_examples=12)
@given(**ANY)
def test_two_solutions_contract_in_the_dual_norm(dim, kappa, initial, divergence):
    """To round-off in each step of Euler. In one dimension the inverse of K is a sum: the squared
    distance is that of the fluxes, sum F^2 / k, where k are the entries beside K's diagonal.
    """
    first = random_problem(dim, kappa, initial, divergence)
    second = symmetric(dim, 10**kappa, None, divergence)
    grid, t, ends = grid_of(first, 64), 0.3 / dim, []
    for problem in (first, second):
        solver = UltraFastDiffusion(problem, grid, SCHEMES["euler"], 1e-3, MPI.COMM_SELF)
        ends.append([state.ratio for state in solver.iterate(t, t / 6)])
    order = np.argsort(np.arccos(np.clip(heights(solver)[solver.node], -1, 1)), kind="stable")
    unit = np.eye(grid.node_count)[order]
    K = np.array([solver.stage.stiffness(e)[order] for e in unit])
    beside = -np.diag(K, 1)
    assert (beside > 0).all()
    assert np.abs(K.sum(axis=1)).max() <= 1e-12 * np.abs(K).max()
    flux = [np.cumsum((solver.weight * (a - b))[order])[:-1] for a, b in zip(*ends, strict=True)]
    squared = np.array([(F**2 / beside).sum() for F in flux])
    assert (np.diff(squared) <= 1e-12 * squared[0]).all()


# --- the constrained equation ---------------------------------------------------------------------


def test_constrained_order_2_against_a_zonal_solution():
    """On S^2: order 2 in L2, and a bound on the maximum, which is at the poles."""
    t, cells, errors = 0.1, (64, 128, 256), []
    exact = constrained_zonal_solution(1.5, t)
    for n in cells:
        solver = solver_for(symmetric(2), n, "sdirk3", 1e-6, ConstrainedDiffusion)
        error = density(solver, last(solver, t)) - exact(heights(solver))
        errors.append([np.sqrt(solver._volume @ error**2), np.abs(error).max()])
    squares, most = np.transpose(errors)
    assert fit(cells, squares).order == pytest.approx(-2, abs=0.2), errors
    assert squares[-1] < 1e-5 and most[-1] < 2e-5


@pytest.mark.parametrize("dim", [3, 9])
def test_constrained_order_2_in_high_dimensions(dim):
    """In L2, relative to the teacher, against 4 times more cells than the finest."""
    cells, problem, found = (1024, 64, 128, 256), symmetric(dim, 2.0), []
    for n in cells:
        solver = solver_for(problem, n, "sdirk3", 1e-6, ConstrainedDiffusion)
        found.append((solver, last(solver, 0.3 / dim).ratio))
    (fine, exact), *coarse = found
    errors = [np.sqrt(solver.weight @ (h - fine.grid.interpolate(exact, solver.grid.nodes)) ** 2)
              for solver, h in coarse]  # fmt: skip
    assert fit(cells[1:], errors).order == pytest.approx(-2, abs=0.3), errors
    assert errors[-1] < 5e-4


@settings(max_examples=10)
@given(
    dim=st.integers(1, 100), kappa=st.floats(-3, 0.7), initial=st.floats(-3, 0.7),
    divergence=st.sampled_from(FORMS[:4]), scheme=st.sampled_from(DIAGONAL),
)  # fmt: skip
def test_constrained_mass_positivity_and_decrease_of_the_risk(
    dim, kappa, initial, divergence, scheme
):
    problem = random_problem(dim, kappa, initial, divergence)
    solver = solver_for(problem, 64, scheme, 1e-3, ConstrainedDiffusion)
    states = list(solver.iterate(0.5 / dim))
    risk = np.array([s.risk for s in states])
    assert max(abs(s.mass - 1) for s in states) < 1e-11
    assert min(s.min_ratio for s in states) > 0
    assert (np.diff(risk) <= 1e-6 * np.maximum(risk[:-1], 1e-3)).all()
    assert risk[-1] <= risk[0]


def twin_peaks(s):
    return np.exp(2 * s**2)


@pytest.mark.parametrize("dim", [1, 2, 9])
def test_even_densities_follow_the_ultra_fast_diffusion(dim):
    """Nothing of them is unseen: both equations agree, in L1 up to errors of order 2, and at every
    node, also at the poles of S^9, where no mass is to speak of.
    """
    problem, apart = Problem(space(dim), Height(values=twin_peaks), axis=oblique(dim)), []
    for cells in (64, 128, 256):
        ends = []
        for equation in EQUATIONS.values():
            solver = solver_for(problem, cells, "sdirk3", 1e-6, equation)
            ends.append(density(solver, last(solver, 0.5 / dim)))
        apart.append(solver.grid.volumes @ np.abs(ends[0] - ends[1]))
    assert apart[-1] < 2e-4
    assert np.log2(apart[0] / apart[2]) / 2 > 1.7, apart
    assert np.abs(ends[0] / ends[1] - 1).max() < 2e-3


def test_refusals():
    with pytest.raises(InputError, match="symmetric about an axis"):
        solver_for(Problem(Sphere(3), lambda x: np.exp(x[:, 0])), 64)
    with pytest.raises(InputError, match="degree must be 1"):
        grid_of(symmetric(3), 64, 2)


# --- ranks and checkpoints ------------------------------------------------------------------------


@pytest.mark.parallel([2, 3])
@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_same_numbers_on_any_number_of_ranks(equation):
    for dim in (1, 2, 9):
        ends = []
        for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
            solver = solver_for(symmetric(dim, 3.0), 128, rtol=1e-3, equation=EQUATIONS[equation], comm=comm)  # fmt: skip
            states = list(solver.iterate(0.1 / dim))
            ends.append((density(solver, states[-1]), len(states), states[-1].risk))
        (alone, steps_alone, risk_alone), (together, steps, risk) = ends
        assert steps == steps_alone
        assert risk == pytest.approx(risk_alone, rel=1e-9)
        assert abs(states[-1].mass - 1) < 1e-12
        difference = on_root(lambda a=alone, b=together: float(np.abs(b / a - 1).max()))
        assert MPI.COMM_WORLD.bcast(difference) < 1e-9


@pytest.mark.parallel(2)
def test_errors_are_estimated_alike_on_two_ranks():
    found = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        solver = solver_for(symmetric(9, 3.0), 128, rtol=1e-3, comm=comm)
        found.append(estimated_errors(solver, recorded(solver, [0.01, 0.1])))
    alone, together = found
    assert (together == {}) == (MPI.COMM_WORLD.rank > 0)
    for name, values in together.items():
        assert values == pytest.approx(alone[name], rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("dim", [1, 2, 9])
def test_a_resumed_solution_is_the_whole_one_bit_for_bit(dim, equation):
    times = np.linspace(0, 0.2, 5)

    def fresh():
        solver = solver_for(symmetric(dim, 3.0), 64, rtol=1e-3, equation=EQUATIONS[equation])
        return solver, DiffusionHistory(solver, times)

    solver, whole = fresh()
    stored = None
    for state in solver.iterate(times[-1]):
        whole(state)
        if state.step == 5:
            stored = pack(state, solver, whole)
    again, history = fresh()
    for state in again.iterate(times[-1], start=restore(stored, again, history)):
        history(state)
    assert (history.series("t") == whole.series("t")).all()
    assert (history.series("risk") == whole.series("risk")).all()
    assert (np.array(history.ratios) == np.array(whole.ratios)).all()
