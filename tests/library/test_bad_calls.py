"""Every mistake in a call from Python is refused with one sentence that names it."""

import math
from dataclasses import replace
from pathlib import Path

import configured
import numpy as np
import pytest
import xarray as xr
from configured import spectrum
from defective_meshes import DEFECTS

import uf_diffusion
from uf_diffusion.core.errors import InputError
from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.energy_distances import (
    energy_distance,
    energy_distance_series,
)
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.named import distance, w2
from uf_diffusion.distances.teacher_mesh import TeacherMesh
from uf_diffusion.grids.built_in import grid_on, with_degree
from uf_diffusion.grids.elements import lumped_element
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.grids.mesh_files import read_mesh, write_mesh
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.network.gradient_flow import GradientFlow
from uf_diffusion.network.training import Network, VarProDescent, two_timescale
from uf_diffusion.problem import Problem
from uf_diffusion.problem.densities import Bumps, Diracs, Uniform, VonMisesFisher
from uf_diffusion.problem.divergences import Power, Unbiased
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.problem.own_densities import Height
from uf_diffusion.problem.symmetry import Meridian
from uf_diffusion.runs.building import density, divergence, feature
from uf_diffusion.runs.config import Config, DiffusionConfig, NetworkConfig, ProblemConfig
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.catalogue import study_named
from uf_diffusion.studies.plans import numbers

CIRCLE, SPHERE, TORUS = Circle(), Sphere(2), FlatTorus(2, 4.0)

X = np.array([[1.0, 0.0], [0.0, 1.0]])
NAN = np.array([[1.0, np.nan]])
ANGLES = np.array([0.0, 1.0])
HALVES = np.array([0.5, 0.5])


def measure(points=X, weights=HALVES, manifold=CIRCLE):
    return Measure(manifold, points, weights)


def solver_of(name="euler", rtol=1e-4):
    pytest.importorskip("dolfinx")
    from mpi4py import MPI

    from uf_diffusion.diffusion.schemes import scheme
    from uf_diffusion.diffusion.ultra_fast import UltraFastDiffusion

    problem = load_config("relu-circle").build()
    return UltraFastDiffusion(problem, RING, scheme(name), rtol, MPI.COMM_WORLD)


def network(**changes):
    return Network(CIRCLE, None, Unbiased(), **{"regularisation": 1.0, "masses": HALVES} | changes)


def triangulation(nodes, cells, manifold=SPHERE):
    return Triangulation(manifold, nodes, cells)


def constrained(**changes):
    return replace(
        load_config("relu-circle"), problem=ProblemConfig(limit="constrained"), **changes
    )


RING = grid_on(CIRCLE, 64)
TINY = load_config("relu-circle", ["problem.t_end=0.125", "network.width=4", "network.samples=9",
                                   "network.teacher_width=9", "diffusion.cells=16"])  # fmt: skip
TRIANGLE, CORNERS = np.eye(3), np.array([[0, 1, 2]])

# calls, and a part of the sentence
CALLS = {
    "preset": (lambda: load_config("relu-circel"), "did you mean 'relu-circle'?"),
    "preset a number": (lambda: load_config(3), "Unknown preset"),
    "preset nothing": (lambda: load_config(None), "Unknown preset"),
    "overrides a string": (lambda: load_config("sphere", "network.width=3"), "list of section.key=value"),
    "overrides numbers": (lambda: load_config("sphere", [3]), "section.key=value, not '3'"),
    "spectrum of none": (lambda: spectrum(load_config("relu-circle"), 0), "from 1 to 100"),
    "config's problem": (lambda: Config(problem=3), "Config.problem must be a ProblemConfig, not 3"),
    "config's network": (lambda: Config(network=DiffusionConfig()), "Config.network must be a NetworkConfig"),
    "width a word": (lambda: NetworkConfig(width="many"), "network.width must be a whole number, not 'many'"),
    "width nothing": (lambda: NetworkConfig(width=None), "network.width must be a whole number, not None"),
    "width an array": (lambda: NetworkConfig(width=np.arange(3)), "network.width must be a whole number"),
    "width a half": (lambda: NetworkConfig(width=1.5), "network.width must be a whole number, not 1.5"),
    "lambda nan": (lambda: NetworkConfig(regularisation=math.nan), "network.lambda must be a finite number, not nan"),
    "lambda 0": (lambda: NetworkConfig(regularisation=0.0), "network.lambda must be positive"),
    "kernel": (lambda: NetworkConfig(kernel="samled"), "did you mean 'sampled'?"),
    "seed": (lambda: NetworkConfig(seed=-1), "network.seed must not be negative"),
    "cells": (lambda: DiffusionConfig(cells=-1), "diffusion.cells must be positive, not -1"),
    "cells a word": (lambda: DiffusionConfig(cells="64"), "diffusion.cells must be a whole number"),
    "degree": (lambda: DiffusionConfig(degree=0), "diffusion.degree must be a whole number from 1 to 8, not 0"),
    "scheme": (lambda: DiffusionConfig(scheme=None), "diffusion.scheme must be a string, not None"),
    "snapshots": (lambda: DiffusionConfig(snapshots=np.array([[0.0, 1.0]])), "diffusion.snapshots must be"),
    "t_end": (lambda: ProblemConfig(t_end="soon"), "problem.t_end must be a finite number, not 'soon'"),
    "t_end infinite": (lambda: ProblemConfig(t_end=math.inf), "problem.t_end must be a finite number, not inf"),
    "manifold": (lambda: ProblemConfig(manifold="circel"), "did you mean 'circle'?"),
    "teacher": (lambda: ProblemConfig(teacher=3), "problem.teacher must be a table"),
    "teacher a pair": (lambda: ProblemConfig(teacher=("kind", "uniform")), "problem.teacher must be a table"),
    "constrained mesh": (lambda: constrained(diffusion=DiffusionConfig(degree=2)), "needs diffusion.degree = 1"),
    "step too long": (lambda: replace(load_config("relu-circle"), network=NetworkConfig(step=30.0)).clock_times(), "longer than the run"),
    "too many steps": (lambda: replace(load_config("relu-circle"), network=NetworkConfig(step=1e-12)).clock_times(), "more than 1e+09 steps"),
    "angles in a row": (lambda: wasserstein_circle(X, ANGLES), "Angles must have shape (n,), not (2, 2)"),
    "angles none": (lambda: wasserstein_circle([], ANGLES), "n >= 1"),
    "angles a number": (lambda: wasserstein_circle(1.0, ANGLES), "Angles must have shape (n,), not ()"),
    "angles nan": (lambda: wasserstein_circle([np.nan], ANGLES), "finite"),
    "angles infinite": (lambda: wasserstein_circle(ANGLES, [np.inf]), "finite"),
    "angles as words": (lambda: wasserstein_circle(["a", "b"], ANGLES), "must be real numbers"),
    "angles complex": (lambda: wasserstein_circle(np.array([1j]), ANGLES), "must be real numbers"),
    "angles ragged": (lambda: wasserstein_circle([[1], [2, 3]], ANGLES), "must be real numbers"),
    "angles nothing": (lambda: wasserstein_circle(None, ANGLES), "must be real numbers"),
    "circle weights": (lambda: wasserstein_circle(ANGLES, ANGLES, [0.5, 0.6]), "sum to 1"),
    "circle weights negative": (lambda: wasserstein_circle(ANGLES, ANGLES, [1.5, -0.5]), "Weights must not be negative, but one is -0.5"),
    "circle weights nan": (lambda: wasserstein_circle(ANGLES, ANGLES, b=[np.nan, 1]), "finite"),
    "circle weights' shape": (lambda: wasserstein_circle(ANGLES, ANGLES, [1.0]), "Weights must have shape (2,), not (1,)"),
    "p below 1": (lambda: wasserstein_circle(ANGLES, ANGLES, p=0.5), "p must be at least 1 and at most 100, not 0.5"),
    "p infinite": (lambda: wasserstein_circle(ANGLES, ANGLES, p=math.inf), "p must be at least 1 and at most 100, not inf"),
    "p a word": (lambda: wasserstein_circle(ANGLES, ANGLES, p="two"), "p must be at least 1 and at most 100, not 'two'"),
    "points in a row": (lambda: energy_distance(ANGLES, X), "Points must have shape (n, ambient)"),
    "points none": (lambda: energy_distance(np.empty((0, 2)), X), "n >= 1"),
    "points without coordinates": (lambda: energy_distance(np.empty((2, 0)), np.empty((2, 0))), "Points must have shape"),
    "points nan": (lambda: energy_distance(NAN, X), "finite"),
    "points as words": (lambda: energy_distance([["a", "b"]], X), "must be real numbers"),
    "points of two spaces": (lambda: energy_distance(X, np.eye(3)), "2 and 3 coordinates"),
    "points of another dimension": (lambda: energy_distance(np.eye(3), np.eye(3), manifold=TORUS), "2 coordinates here, not 3"),
    "points beyond all bounds": (lambda: energy_distance(1e200 * X, X), "finite"),
    "energy weights": (lambda: energy_distance(X, X, [0.5, 0.4]), "sum to 1"),
    "energy weights infinite": (lambda: energy_distance(X, X, [np.inf, 0.0]), "finite"),
    "energy weights beyond all bounds": (lambda: energy_distance(X, X, [1e308, 1e308]), "Weights must be finite and below 1e+50"),
    "energy weights as words": (lambda: energy_distance(X, X, ["a", "b"]), "must be real numbers"),
    "series' shape": (lambda: energy_distance_series(X, X, [HALVES]), "(k, n, ambient)"),
    "series' weights": (lambda: energy_distance_series(X[None], X, HALVES), "(k, m)"),
    "series' lengths": (lambda: energy_distance_series(X[None], X, [HALVES, HALVES]), "(k, m)"),
    "series' masses": (lambda: energy_distance_series(X[None], X, [[0.5, 0.6]]), "sum to 1"),
    "measure's points": (lambda: measure(2 * X), "off the manifold"),
    "measure at the origin": (lambda: measure(0 * X), "off the manifold"),
    "measure's coordinates": (lambda: measure(np.eye(3), np.ones(3) / 3), "2 coordinates here, not 3"),
    "measure's weights": (lambda: measure(weights=[0.9, 0.9]), "sum to 1"),
    "watch no list": (lambda: configured.train(TINY, watch=print), "watch takes functions in a list"),
    "watch no functions": (lambda: configured.train(TINY, watch=[3]), "watch takes functions in a list"),
    "folder a number": (lambda: configured.train(TINY, 3), "folder is a path, not 3"),
    "measure nan": (lambda: measure(NAN, [1.0]), "finite"),
    "measure of nodes": (lambda: Measure.of_nodes(CIRCLE, X, HALVES, 3 * HALVES), "not 1"),
    "measure of nodes' shape": (lambda: Measure.of_nodes(CIRCLE, X, np.ones(3), HALVES), "shape"),
    "measure of no points": (lambda: Measure.of_density(Uniform(CIRCLE), 0), "at least 1"),
    "measure of a half": (lambda: Measure.of_density(Uniform(CIRCLE), 2.5), "whole number"),
    "measure's placement": (lambda: Measure.of_density(Uniform(CIRCLE), 8, "evn"), "did you mean 'even'?"),
    "distance's name": (lambda: distance("energ", measure(), measure()), "did you mean 'energy'?"),
    "distance's manifolds": (lambda: distance("w2", measure(), measure(manifold=TORUS)), "different manifolds"),
    "w2's manifolds": (lambda: w2(measure(), measure(manifold=TORUS)), "different manifolds"),
    "distance without mesh": (lambda: distance("kl", measure(), measure()), "needs a mesh"),
    "background's width": (lambda: TeacherMesh(RING, np.ones(64), np.ones(64), -1.0), "bandwidth must be at least"),
    "background's volume": (lambda: TeacherMesh(RING, np.ones(63), np.ones(64)), "The volume must be positive and finite at the 64 nodes"),
    "background's teacher": (lambda: TeacherMesh(RING, np.ones(64), np.full(64, np.nan)), "The teacher must be positive"),
    "density's kind": (lambda: density("unifrom", CIRCLE), "did you mean 'uniform'?"),
    "density a number": (lambda: density(3, CIRCLE), "needs a kind"),
    "bumps on a sphere": (lambda: Bumps(SPHERE), "use 'von-mises-fisher'"),
    "bumps' gamma": (lambda: Bumps(CIRCLE, gamma=-1.0), "gamma must be"),
    "bumps' gamma a word": (lambda: Bumps(CIRCLE, gamma="sharp"), "gamma must be"),
    "bumps' centres": (lambda: Bumps(TORUS, centres=[[0.0, 0.0, 0.0]]), "2 coordinate(s)"),
    "kappa": (lambda: VonMisesFisher(SPHERE, kappa=[1.0, 2.0]), "kappa must be"),
    "means": (lambda: VonMisesFisher(SPHERE, means=[[0.0, 0.0, 0.0]]), "non-zero"),
    "Diracs": (lambda: Diracs(CIRCLE, centres=[[0.0, 0.0]]), "origin"),
    "Diracs have no density": (lambda: Diracs(CIRCLE, centres=X)(X), "no density"),
    "points of a density": (lambda: Uniform(CIRCLE)(np.eye(3)), "2 coordinates here, not 3"),
    "a point of a density": (lambda: Bumps(CIRCLE)(ANGLES), "Points must have shape"),
    "divergence without name": (lambda: divergence(""), "Unknown problem.regulariser"),
    "divergence": (lambda: divergence("unbaised"), "did you mean 'unbiased'?"),
    "divergence a number": (lambda: divergence(2), "must be a string"),
    "power": (lambda: Power(5.0), "(1, 4]"),
    "power nan": (lambda: Power(math.nan), "(1, 4]"),
    "circle of dimension 2": (lambda: Circle(2), "must be 1 on the circle"),
    "sphere of dimension 0": (lambda: Sphere(0), "problem.dim must be a whole number from 1 to 100, not 0"),
    "sphere of dimension 1.5": (lambda: Sphere(1.5), "whole number"),
    "torus of dimension 0": (lambda: FlatTorus(0), "from 1 to 100, not 0"),
    "torus period": (lambda: FlatTorus(2, math.nan), "problem.period must be positive"),
    "torus period a word": (lambda: FlatTorus(2, "long"), "problem.period must be"),
    "even points": (lambda: TORUS.even(5), "2-th power"),
    "even points of S^3": (lambda: Sphere(3).even(5), "dimension 1 and 2"),
    "no points": (lambda: CIRCLE.even(0), "at least 1"),
    "grid": (lambda: grid_on(CIRCLE, 0), "diffusion.cells must be a whole number of at least 1, not 0"),
    "grid of a word": (lambda: grid_on(CIRCLE, "many"), "diffusion.cells must be"),
    "grid of S^3": (lambda: grid_on(Sphere(3), 10), "symmetric about an axis: give it as problem.axis"),
    "grid of rings, degree 2": (lambda: grid_on(Meridian(Sphere(3), (1.0, 0.0, 0.0, 0.0)), 10, 2), "diffusion.degree must be 1"),
    "axis zero": (lambda: Problem(Sphere(9), Uniform(), axis=np.zeros(10)), "problem.axis must be a non-zero vector with 10 coordinates"),
    "axis short": (lambda: Problem(Sphere(9), Uniform(), axis=[1, 0]), "problem.axis must be a non-zero vector with 10 coordinates"),
    "axis a word": (lambda: Problem(Sphere(9), Uniform(), axis="north"), "problem.axis must be real numbers"),
    "axis nan": (lambda: Problem(CIRCLE, Uniform(), axis=[1, math.nan]), "problem.axis must be finite"),
    "axis of a torus": (lambda: Problem(TORUS, Uniform(), axis=[1, 0]), "problem.axis is for spheres"),
    "axis of no symmetry": (lambda: Problem(SPHERE, VonMisesFisher(), axis=[0, 1, 0]), "not symmetric about problem.axis"),
    "axis an array of no dimension": (lambda: ProblemConfig(axis=np.array(1.0)), "problem.axis must be a list of numbers"),
    "axis in a configuration": (lambda: ProblemConfig(axis="north"), "problem.axis must be a list of numbers, not 'north'"),
    "mesh of a sphere with an axis": (lambda: uf_diffusion.solve(Problem(Sphere(2), VonMisesFisher(kappa=3.0), axis=[1, 0, 0]), until=1.0, mesh=grid_on(Sphere(2), 80)), "The mesh is one of Sphere(dim=2), the problem is solved on Meridian"),
    "mesh of another period": (lambda: uf_diffusion.solve(Problem(FlatTorus(1, 1.0), Bumps(gamma=3.0)), until=1.0, mesh=grid_on(FlatTorus(1, 2.0), 80)), "The mesh is one of FlatTorus(dim=1, period=2.0)"),
    "features of another equation": (lambda: uf_diffusion.solve(Problem(CIRCLE, Bumps(gamma=3.0)), until=1.0, features=uf_diffusion.ReLU()), "arguments for limit = 'mean-field', 'constrained' and 'auto'"),
    "solve without axis": (lambda: uf_diffusion.solve(Problem(Sphere(3), lambda x: 1 + 0 * x[:, 0]), until=1.0), "give it as problem.axis"),
    "height on a torus": (lambda: Height(TORUS, np.exp), "'height' lives on spheres"),
    "height of nothing": (lambda: Height(SPHERE), "is not a function"),
    "height negative": (lambda: Height(SPHERE, lambda s: s), "is negative"),
    "height's shape": (lambda: Height(SPHERE, lambda s: s[:, None]), "must map heights (n,) to (n,)"),
    "height's axis": (lambda: Height(SPHERE, np.exp, axis=[0, 0]), "axis must be a non-zero vector with 3 coordinates"),
    "grid of T^4": (lambda: grid_on(FlatTorus(4), 10), "dimension 1, 2 and 3"),
    "grid's degree": (lambda: grid_on(CIRCLE, 10, 9), "one of 1, 2, 3, 4, 5, 6, 7, 8 in dimension 1, not 9"),
    "grid's degree in 3-D": (lambda: with_degree(Lattice(FlatTorus(3), 3), 3), "one of 1, 2 in dimension 3"),
    "lattice": (lambda: Lattice(CIRCLE, 2), "3 cells an axis"),
    "element": (lambda: lumped_element(4, 1), "dimension 4"),
    "triangulation in a plane": (lambda: triangulation(X, CORNERS), "nodes in space"),
    "triangulation of a circle": (lambda: triangulation(TRIANGLE, CORNERS, CIRCLE), "the sphere S^2"),
    "triangulation without triangles": (lambda: triangulation(TRIANGLE, np.empty((0, 3))), "needs triangles"),
    "triangulation of segments": (lambda: triangulation(TRIANGLE, CORNERS[:, :2]), "three corners"),
    "triangulation nan": (lambda: triangulation(np.full((3, 3), np.nan), CORNERS), "Coordinates must be finite"),
    "triangulation's corners": (lambda: triangulation(TRIANGLE, CORNERS + 1), "none of the nodes"),
    "triangulation's half corners": (lambda: triangulation(TRIANGLE, CORNERS + 0.5), "none of the nodes"),
    "triangulation of words": (lambda: triangulation([["a"] * 3], CORNERS), "Coordinates must be real numbers"),
    "mesh nowhere": (lambda: read_mesh(Path("nowhere.msh")), "No such file"),
    "mesh's suffix": (lambda: write_mesh(Path("x.doc"), DEFECTS["hole"][0]), "none of them"),
    "lambda": (lambda: network(regularisation=0.0), "network.lambda must be positive"),
    "masses": (lambda: network(masses=np.array([1.0, 0.0])), "positive"),
    "masses' sum": (lambda: network(masses=np.array([1.0, 1.0])), "sum to 1"),
    "masses' shape": (lambda: network(masses=np.ones((2, 2)) / 4), "shape"),
    "step": (lambda: VarProDescent(network(), 0.0), "network.step must be positive"),
    "ratio": (lambda: two_timescale(network(), 0.1, 0.0), "network.ratio must be positive"),
    "flow's tolerance": (lambda: GradientFlow(network(), 2.0), "network.rtol must lie"),
    "feature": (lambda: feature("rleu", CIRCLE, 1.0, ""), "did you mean 'relu'?"),
    "feature's home": (lambda: feature("radial", CIRCLE, 1.0, "laplace"), "live on the torus"),
    "feature's scale": (lambda: feature("radial", TORUS, math.inf, "laplace"), "network.scale must be positive"),
    "feature's profile": (lambda: feature("radial", TORUS, 1.0, "boxes"), "Unknown network.profile"),
    "study": (lambda: study_named("widht"), "did you mean 'width'?"),
    "study's values": (lambda: numbers("1,x"), "--values takes numbers"),
    "study's negative values": (lambda: study_named("width").plan(values=[-1.0]), "positive values"),
    "study's seeds": (lambda: study_named("width").plan(seeds=0), "--seeds must be positive"),
    "draw nothing": (lambda: uf_diffusion.draw(xr.DataTree()), "not a result"),
    "draw no groups": (lambda: uf_diffusion.draw(xr.DataTree(xr.Dataset(attrs={"config": load_config("relu-circle").to_toml()}))), "not a result"),
    "draw a number": (lambda: uf_diffusion.draw(3), "not a result"),
    "solver's scheme": (lambda: solver_of(name="eulre"), "did you mean 'euler'?"),
    "solver's rtol": (lambda: solver_of(rtol=0.0), "diffusion.rtol must lie"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_a_bad_call_gets_one_sentence(case):
    """An InputError of one line that names the mistake and ends like a sentence."""
    call, hint = CALLS[case]
    with pytest.raises(InputError) as refused:
        call()
    sentence = str(refused.value)
    assert hint in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300
    assert sentence.endswith((".", "?"))
