"""The properties that every step of an equation has, as assertions on its states, and what tests
of the equations of transport share.
"""

from itertools import pairwise

import numpy as np

from uf_diffusion.diffusion.schemes import SCHEMES
from uf_diffusion.problem.densities import Density

DIAGONAL = [name for name, scheme in SCHEMES.items() if not scheme.linear]  # for transport


def assert_principles(states, slack):
    """Mass, positivity, maximum principle, decay of the risk and of the dual energy."""
    for old, new in pairwise(states):
        assert abs(new.mass - 1) < 1e-12
        assert new.ratio.min() > 0
        assert new.min_ratio >= old.min_ratio * (1 - slack)
        assert new.max_ratio <= old.max_ratio * (1 + slack)
        assert new.risk <= old.risk + slack * max(abs(old.risk), 1e-3)
        assert new.dual_energy <= old.dual_energy + slack * max(abs(old.dual_energy), 1e-3)


def rough(manifold, rng, size=1.0):
    """A density without any smoothness."""

    class Rough(Density):
        def formula(self, x, xp):
            return np.exp(size * rng.standard_normal(x.shape[1]))

    return Rough(manifold)


def assert_transported(states, slack, mass=1e-12):
    """Mass, positivity and decay of the risk, at every step."""
    risk = np.array([s.risk for s in states])
    assert max(abs(s.mass - 1) for s in states) < mass
    assert min(s.min_ratio for s in states) > 0
    assert (np.diff(risk) <= slack * np.maximum(risk[:-1], 1e-3)).all()
    assert risk[-1] < risk[0]


def derivative_of_stage(solver, mu, direction, s, h=1e-6):
    """Newton's matrix of a transport at a density, and the image of a direction under the
    derivative of m mu - s D(mu), by central differences.
    """
    factor = solver._factor(mu)

    def left(mu):
        return solver._volume * mu - s * solver._moved(mu, factor).fluxes.rate

    image = (left(mu + h * direction) - left(mu - h * direction)) / (2 * h)
    moved = solver._moved(mu, factor)
    response = solver.potential.response(moved.seen)
    return solver._matrices.factorised(s, moved.seen, response, moved.fluxes), image
