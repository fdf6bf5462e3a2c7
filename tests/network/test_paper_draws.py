"""The paper's random draws, against those that its own program made with PyTorch.

``data/paper_draws.npz`` has every 13th row of the inputs and neurons of all six seeds.
"""

from pathlib import Path

import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.network.paper_draws import Twister, paper_draws
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Diracs, Uniform
from uf_diffusion.problem.divergences import Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

ORIGINAL = np.load(Path(__file__).parents[1] / "data" / "paper_draws.npz")
CIRCLE, TORUS = Circle(), FlatTorus(2, 4.0)
DIRACS = Diracs(TORUS, [[-1.0, 0.0], [1.0, 1.0]], [1, 1])
WIDTHS = (32, 128, 512, 1024)
STORED = 2.4e-7  # spacing of single precision at pi, in which angles of teachers are stored


def problem_of(teacher, initial=None):
    manifold = teacher.manifold
    return Problem(manifold, teacher, initial or Uniform(manifold), Unbiased())


def apart(found, wanted, period):
    """The largest difference of every 13th row, on a circle of this length."""
    lag = np.abs((found[::13] if len(found) > 4 else found) - wanted)
    return np.minimum(lag, np.abs(period - lag)).max()


@pytest.mark.parametrize("seed", range(6))
def test_the_circles_draws(seed):
    for width in WIDTHS:
        found = paper_draws(problem_of(Bumps(CIRCLE)), ReLU(CIRCLE), seed, width)
        original = ORIGINAL[f"relu1d_seed{seed}.student_angle_{width}"]
        assert apart(CIRCLE.chart(found.student)[:, 0], original, 2 * np.pi) < 1e-6
    assert np.abs(found.inputs[::13] - ORIGINAL[f"relu1d_seed{seed}.inputs"]).max() < 1e-6
    angle = CIRCLE.chart(found.teacher)[:, 0]
    assert apart(angle, ORIGINAL[f"relu1d_seed{seed}.teacher_angle"], 2 * np.pi) < 2e-5
    for gamma in (10, 1000):
        found = paper_draws(problem_of(Bumps(CIRCLE, float(gamma))), ReLU(CIRCLE), seed, 32)
        original = ORIGINAL[f"relu1d_gammas_seed{seed}.teacher_angle_gamma{gamma}"]
        assert apart(CIRCLE.chart(found.teacher)[:, 0], original, 2 * np.pi) < 2e-5 + STORED


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("teacher", "name"), [(Bumps(TORUS), "convolution"), (DIRACS, "convolution_diracs")]
)
def test_the_torus_draws(teacher, name, seed):
    for width in WIDTHS:
        found = paper_draws(problem_of(teacher), Radial(TORUS), seed, width)
        original = {key: ORIGINAL[f"{name}_seed{seed}.{key}"]
                    for key in ("inputs", "teacher", f"student_{width}")}  # fmt: skip
        assert np.abs(found.inputs[::13] - original["inputs"]).max() < 1e-6
        assert apart(found.student, original[f"student_{width}"], 4.0) < 1e-6
        assert apart(found.teacher, original["teacher"], 4.0) < 2e-5


def test_a_seed_that_the_generators_do_not_take_is_refused():
    with pytest.raises(InputError, match=r"network\.seed must be at most 4294967295"):
        paper_draws(problem_of(Bumps(CIRCLE)), ReLU(CIRCLE), 2**32, 32)


def test_any_width():
    """The inputs do not depend on it; students of few and of an odd number of neurons are normal."""
    problem, phi = problem_of(Bumps(CIRCLE)), ReLU(CIRCLE)
    first = paper_draws(problem, phi, 0, 32)
    for width in (1, 7, 9, 100):
        found = paper_draws(problem, phi, 0, width)
        assert found.student.shape == (width, 2)
        assert np.array_equal(found.inputs, first.inputs)
    numbers = Twister(3).normal(100_001)
    assert abs(numbers.mean()) < 0.01 and abs(numbers.std() - 1) < 0.01
    few = np.concatenate([Twister(seed).normal(15) for seed in range(2000)])
    assert abs(few.mean()) < 0.02 and abs(few.std() - 1) < 0.02


@pytest.mark.parametrize(
    ("problem", "features"),
    [
        (problem_of(Bumps(CIRCLE, 100.0, [0.0])), ReLU(CIRCLE)),
        (problem_of(Bumps(CIRCLE), Bumps(CIRCLE)), ReLU(CIRCLE)),
        (problem_of(Diracs(TORUS, [[0.0, 0.0]], [1])), Radial(TORUS)),
        (problem_of(Bumps(FlatTorus(2, 1.0))), Radial(FlatTorus(2, 1.0))),
        (problem_of(Uniform(Sphere(2))), ReLU(Sphere(2))),
    ],
    ids=["one bump", "initial", "one dirac", "period", "sphere"],
)
def test_other_problems_are_refused(problem, features):
    with pytest.raises(InputError, match=r"network\.draws = 'paper'"):
        paper_draws(problem, features, 0, 32)
