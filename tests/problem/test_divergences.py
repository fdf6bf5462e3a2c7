"""Divergences: f, f', f*, f*', f*'' fit together."""

import numpy as np
import pytest

from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.divergences import Biased, Entropy, Power, Unbiased
from uf_diffusion.runs.building import divergence

ALL = [Unbiased(), Biased(), Entropy(), Power(1.2), Power(1.5), Power(3.0), Power(4.0, shift=0.0)]
T = np.linspace(0.1, 3, 30)


@pytest.mark.parametrize("d", ALL, ids=repr)
def test_conjugate_pair(d):
    """f*' inverts f', Fenchel's equality holds at w = f'(t), and derivatives match differences."""
    w, e = d.df(T), 3e-7
    assert d.dconjugate(w) == pytest.approx(T, rel=1e-12)
    assert d.f(T) + d.conjugate(w) == pytest.approx(w * T, rel=1e-12, abs=1e-12)
    assert (d.f(T + e) - d.f(T - e)) / (2 * e) == pytest.approx(d.df(T), abs=1e-7)
    slope = (d.dconjugate(w + e) - d.dconjugate(w - e)) / (2 * e)
    assert d.d2conjugate(w) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("d", ALL, ids=repr)
def test_homogeneous_differs_by_an_affine_function(d):
    """f' of the homogeneous form differs by a constant, so f''(1) = 1 and the PDE are the same."""
    difference = d.df(T) - d.homogeneous.df(T)
    assert np.ptp(difference) < 1e-12
    slope = (d.df(np.array([1 + 1e-6])) - d.df(np.array([1 - 1e-6]))) / 2e-6
    assert slope == pytest.approx(1, abs=1e-8)


def test_power_family_contains_the_others():
    assert Power(2.0).f(T) == pytest.approx(Unbiased().f(T))
    assert Power(1 + 1e-7).f(T) == pytest.approx(Entropy().f(T), abs=1e-5)


def test_names():
    assert divergence("power", 3.0) == Power(3.0)
    with pytest.raises(InputError, match="did you mean 'unbiased'"):
        divergence("unbaised")
    with pytest.raises(InputError, match="power"):
        divergence("power", 5.0)
