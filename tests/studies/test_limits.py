"""The studies of the two limits: which runs they compare, and one that meets the theory's order."""

from importlib.util import find_spec

import numpy as np
import pytest

from uf_diffusion.runs.setup import Setup
from uf_diffusion.studies.cache import WORK
from uf_diffusion.studies.catalogue import study_named


@pytest.mark.parametrize("name", ["width", "lambda"])
def test_the_limits_are_separated(name):
    """Networks meet the equation at their lambda; that equation meets its limits as lambda falls."""
    plan = study_named(name).plan()
    for case in plan.cases:
        network, there = case.run.config.network, case.reference.config
        mean_field = (there if name == "width" else case.run.config).problem.limit
        assert mean_field == "mean-field"
        if name == "width":
            assert network.regularisation == there.network.regularisation
        else:
            assert there.problem.limit in ("constrained", "unconstrained")
    references = {case.reference.key for case in plan.cases}
    assert len(references) == {"width": 5, "lambda": 11}[name]  # whatever the seed or the width


@pytest.mark.skipif(find_spec("dolfinx") is None, reason="needs DOLFINx")
def test_even_neurons_on_the_torus_meet_the_mean_field_equation():
    """Across the seam, too: their distance has the order -3/4 of a lattice."""
    small = ["problem.t_end=0.1", "diffusion.cells=2048", "network.teacher_width=1024"]
    plan = study_named("width").plan("", small, [64, 256])
    even = next(i for i, s in enumerate(plan.series) if s.name == "even, $T^2$ radial")
    cases = [case for case in plan.cases if case.place[0] == even]
    reference = WORK["solve"](Setup(cases[0].reference.config))
    measure = plan.study.quantities[0].measure
    errors = [measure(WORK["train"](Setup(c.run.config)), reference, 0.0) for c in cases]
    assert np.log2(errors[1] / errors[0]) / 2 == pytest.approx(-0.75, abs=0.05)
