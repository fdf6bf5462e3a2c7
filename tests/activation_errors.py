"""Errors of activations: their kernels' closed forms, and distances of erf to its limit."""

import numpy as np

import uf_diffusion as uf
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.kernels.activation_kernels import ActivationKernel, hermite_coefficients
from uf_diffusion.kernels.nonlinearities import nonlinearity
from uf_diffusion.problem.manifolds import Sphere

CLOSED = ["erf", "gelu", "cos", "sin", "exp", "gaussian"]  # analytic, with a closed form
# found by an independent first-order method for the mean-field equation of erf at t = 1, gamma = 10
FOUND_BEFORE = {1e-2: 0.0112, 1e-3: 0.0026, 1e-4: 0.0007, 1e-5: 0.0002}


def closed_form_error(name, scale=1.0):
    """The largest difference from the Hermite series, as a part of K(1), the ends included."""
    rho, terms = np.linspace(-1, 1, 41), np.arange(300)
    kernel = ActivationKernel(Sphere(2), nonlinearity(name), scale)
    a, second = hermite_coefficients(kernel.sigma, scale, len(terms))
    series = (a[:, None] ** 2 * rho ** terms[:, None]).sum(axis=0)
    return float(np.abs(kernel.of_correlation(rho)[0] - series).max() / second)


def erf_distances(cells=512):
    """The energy distances of the mean-field equation of erf to its own limit and to the
    ultra-fast diffusion, for each lambda.
    """
    problem = uf.Problem(uf.Circle(), uf.Bumps(gamma=10.0))
    options = {"until": 1.0, "cells": cells, "snapshots": 2, "cautious": False}
    phi = uf.Activation("erf")
    limits = [uf.solve(problem, limit="auto", features=phi, **options),
              uf.solve(problem, **options)]  # fmt: skip
    found = {}
    for regularisation in FOUND_BEFORE:
        kernel = {"kernel": "population", "regularisation": regularisation}
        near = uf.solve(problem, limit="mean-field", features=phi, network=kernel, **options)
        found[regularisation] = [energy(near, limit) for limit in limits]
    return found


def energy(a, b):
    """The energy distance of two densities on the same even nodes, at the last time."""
    nodes, (x, y) = a.grid.nodes, (s.density[-1] * 2 * np.pi / len(s.density[-1]) for s in (a, b))
    return energy_distance(nodes, nodes, x, y)
