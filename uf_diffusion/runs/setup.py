"""The objects of one run, and the configuration that describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_of, grid_on, with_degree
from uf_diffusion.grids.mesh_files import read_usable_mesh
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.identifiability import Identifiability, identifiability
from uf_diffusion.kernels.inputs import augmented, given_columns, inputs_of_law
from uf_diffusion.kernels.measured_spaces import measured_space
from uf_diffusion.kernels.seen_spaces import SeenSpace
from uf_diffusion.network.data import TEACHER, Data, data_of, is_file
from uf_diffusion.network.draws import GIVEN, PAPER, Draws, read_draws
from uf_diffusion.network.paper_draws import paper_draws
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold
from uf_diffusion.runs.building import feature
from uf_diffusion.runs.config import Config

__all__ = ["Setup"]


@dataclass(frozen=True, eq=False)
class Setup:
    """The objects of a run. Each is built once, when it is first used.

    Attributes:
        config: the configuration that describes the run.
        given_problem, given_features, given_grid, given_draws: objects that the caller has already
            made; what is None here is built from the configuration.
        given_data: arrays of inputs, labels and weights that the caller has given, by these names.
    """

    config: Config
    given_problem: Problem | None = None
    given_features: Feature | None = None
    given_grid: Grid | None = None
    given_draws: Draws | None = None
    given_data: Mapping[str, Any] | None = None

    @cached_property
    def problem(self) -> Problem:
        """The problem: manifold, densities and divergence.

        Raises:
            InputError: if the configuration names something that does not exist.
        """
        return self.given_problem or self.config.build()

    @cached_property
    def manifold(self) -> Manifold:
        """The feature space, which can be built even where the densities cannot."""
        return self.config.space() if self.given_problem is None else self.given_problem.manifold

    @cached_property
    def features(self) -> Feature:
        """The network's features.

        Raises:
            InputError: for features that cannot live on the manifold.
        """
        if self.given_features is not None:
            return self.given_features
        c = self.config.network
        return feature(
            c.features, self.manifold, c.scale, c.profile, self.config.home, c.activation, c.slope,
            c.bias,
        )  # fmt: skip

    @cached_property
    def space(self) -> SeenSpace | None:
        """What the features see of a measure as lambda -> 0; None if it is no known space.

        Raises:
            InputError: as `features`.
        """
        law, phi = self.config.network.inputs, self.features
        if self.data is not None:  # of finitely many inputs
            return None
        if phi.sees is not None:  # which the other laws of inputs do not change
            return phi.sees
        if self.manifold.antipodal:
            return measured_space(phi, lambda n, rng: inputs_of_law(law, phi, n, rng))
        try:
            return self.seen.space
        except InputError:  # the eigenvalues are not known
            return None

    @cached_property
    def seen(self) -> Identifiability:
        """What the features see of both densities.

        Raises:
            InputError: as `identifiability`.
        """
        p = self.problem
        other = self._other_inputs
        found = identifiability(self.features, p.teacher, p.initial, p.axis, other)
        return found if other is None else replace(found, space=self.space)

    @property
    def _other_inputs(self) -> Array | None:
        """The network's inputs ``(n, d)``; None if they have the law of the features."""
        c, phi = self.config.network, self.features
        if self.data is not None:
            return augmented(phi, self.data.inputs_for(given_columns(phi)))
        if not c.inputs:
            return None
        return inputs_of_law(c.inputs, phi, c.samples, np.random.default_rng(c.seed))

    @cached_property
    def grid(self) -> Grid:
        """The diffusion's mesh. Use it on all ranks, because only one of them reads a mesh file.

        Raises:
            InputError: if there is no mesh of the manifold, or the file has no usable mesh.
        """
        if self.given_grid is not None:
            return self.given_grid
        d = self.config.diffusion
        if d.mesh:
            return with_degree(read_usable_mesh(Path(d.mesh)), d.degree)
        return self.mesh(d.cells, d.degree)

    @cached_property
    def draws(self) -> Draws | None:
        """The random draws that are given; None if the run draws them.

        Raises:
            InputError: for draws that cannot be read, or are not for this problem.
        """
        c = self.config.network
        if self.given_draws is not None or not c.draws:
            return self.given_draws
        if c.draws == PAPER:
            return paper_draws(
                self.problem, self.features, c.seed, c.width, c.samples, c.teacher_width
            )
        if c.draws == GIVEN:
            raise InputError(
                "The random draws of this run were given as arrays in Python; give them again."
            )
        return read_draws(Path(c.draws))

    @cached_property
    def data(self) -> Data | None:
        """The inputs that are given, with labels and weights; None if the run draws its inputs.

        Raises:
            InputError: for data that cannot be read or used, and for a run that has neither a
                teacher nor labels.
        """
        c = self.config.network
        if c.labels == TEACHER and self.config.problem.teacher["kind"] == "unknown":
            raise InputError(
                "The problem has no teacher: give it one, or give network.labels of given inputs."
            )
        if not is_file(c.inputs) and c.inputs != GIVEN:
            return None
        return data_of(c.inputs, c.labels, self.given_data)

    @cached_property
    def fingerprints(self) -> dict[str, dict[str, str]]:
        """Fingerprints of what jobs read, by their names; `fingerprint` keeps them here."""
        return {}

    @property
    def times(self) -> Array:
        """The snapshot times ``(snapshots,)`` of a diffusion without a network, dimensionless."""
        return self.config.times()

    @property
    def clock_times(self) -> Array:
        """The snapshot times ``(snapshots,)`` of a run with a network, see `Config.clock_times`."""
        return self.config.clock_times()

    def on(self, grid: Grid) -> Setup:
        """The same setup with another mesh, and with what has been built already."""
        new = replace(self, given_grid=grid)
        built = {k: v for k, v in vars(self).items() if k not in vars(new) and k != "grid"}
        vars(new).update(built)
        return new

    def mesh(self, cells: int, degree: int) -> Grid:
        """The built-in mesh with at least this number of cells, and elements of this degree.

        Raises:
            InputError: if there is none.
        """
        if self.config.problem.may_have_axis:
            return grid_of(self.problem, cells, degree)
        return grid_on(self.manifold, cells, degree)  # needs no densities, which may be code

    def described_by(self, config: Config) -> Setup:
        """A setup with the same given problem, features, draws and data, but another configuration.

        Its mesh is built from the new configuration.
        """
        return replace(self, config=config, given_grid=None)
