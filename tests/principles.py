"""The properties that every step of the diffusion has, as assertions on its states."""

from itertools import pairwise


def assert_principles(states, slack):
    """Mass, positivity, maximum principle, decay of the risk and of the dual energy."""
    for old, new in pairwise(states):
        assert abs(new.mass - 1) < 1e-12
        assert new.ratio.min() > 0
        assert new.min_ratio >= old.min_ratio * (1 - slack)
        assert new.max_ratio <= old.max_ratio * (1 + slack)
        assert new.risk <= old.risk + slack * max(abs(old.risk), 1e-3)
        assert new.dual_energy <= old.dual_energy + slack * max(abs(old.dual_energy), 1e-3)
