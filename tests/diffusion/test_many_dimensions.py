"""The diffusion on S^d against spectral solutions that were written independently."""

import any_dimension
import numpy as np
import pytest

from uf_diffusion.problem.divergences import ENTROPY, UNBIASED, Power
from uf_diffusion.studies.orders import fit


@pytest.mark.parametrize(("dim", "kappa"), [(3, 3.0), (9, 6.0)])
def test_order_two_against_a_spectral_solution(dim, kappa):
    """Risk and mean height; 1000 cells are accurate to 1e-6, a hundredth of what is promised."""
    cells = [250, 500, 1000]
    found = np.array([any_dimension.errors(dim, kappa, n, 0.1) for n in cells])
    assert found[-1].max() < 1e-6
    for errors in found.T:
        assert abs(fit(cells, errors).order + 2) < 0.05


@pytest.mark.parametrize("divergence", [UNBIASED, ENTROPY, Power(1.5)], ids=lambda f: f.name)
@pytest.mark.parametrize(("dim", "kappa"), [(3, 3.0), (9, 3.0)])
def test_order_two_of_the_density_at_the_poles_too(dim, kappa, divergence):
    """In L2 and in the maximum norm over all nodes, for several regularisers."""
    cells = [250, 500, 1000]
    found = np.array([any_dimension.density_errors(dim, kappa, n, 0.05, divergence) for n in cells])
    for errors in found.T:
        assert fit(cells, errors).order < -1.8


@pytest.mark.parametrize("dim", [1, 3, 9, 29])
def test_the_constrained_equation_against_a_spectral_solution(dim):
    cells = [250, 500, 1000]
    found = np.array([any_dimension.constrained_errors(dim, 1.0, n, 0.05) for n in cells])
    assert found[-1].max() < 1e-6
    for errors in found.T:
        assert fit(cells, errors).order < -1.8


@pytest.mark.parametrize("dim", [3, 10, 100])
def test_the_first_mode_decays_with_the_dimension(dim):
    assert any_dimension.decay_rate(dim) == pytest.approx(dim, rel=2e-3)
