"""The result of a run: its arrays in groups, and the objects from which they were computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown
from uf_diffusion.grids.base import Grid, coarse_enough
from uf_diffusion.grids.built_in import with_degree
from uf_diffusion.grids.rings import Rings
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem import Problem
from uf_diffusion.problem.manifolds import Manifold, Sphere
from uf_diffusion.problem.symmetry import Meridian
from uf_diffusion.runs.config import Config
from uf_diffusion.runs.contents import configuration_of, require_contents
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.stored import inputs_of

__all__ = ["Result", "result_from", "result_of"]


@dataclass(frozen=True, eq=False)
class Result:
    """The result of a run.

    Attributes:
        setup: the objects of the run.
        tree: the groups of arrays, as in result.nc; on ranks other than 0 it has only attributes.
        folder: the run's folder, which has the file of a large field; None if it is not known.
    """

    setup: Setup
    tree: xr.DataTree
    folder: Path | None = None

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.setup.config

    @property
    def problem(self) -> Problem:
        """The problem that was solved.

        Raises:
            InputError: for a result from a file that names a Python object which cannot be found.
        """
        return self.setup.problem

    @property
    def manifold(self) -> Manifold:
        """The feature space."""
        return self.setup.manifold

    @property
    def meridian(self) -> Meridian | None:
        """The sphere with the axis that the result records; None if it has none."""
        if "axis" not in self.attributes:
            return None
        return Meridian(Sphere(self.config.problem.dim), tuple(map(float, self.attributes["axis"])))

    @property
    def manifold_name(self) -> str:
        """The name of the feature space, as in the configuration."""
        return self.config.problem.manifold

    @property
    def title(self) -> str:
        """A title that says what was run, as text for matplotlib."""
        p, n = self.config.problem, self.config.network
        text = f"{p.manifold} (dimension {p.dim}), {p.regulariser} regulariser"
        if p.limit != "unconstrained":
            text += f", {p.limit} limit"
        if self.group("network") is not None:
            own = n.features == "activation"
            features = n.activation + " and bias" * n.bias if own else n.features
            text += (
                f"; {features} network of width {n.width}, $\\lambda$ = {n.regularisation:g}, "
                f"{n.algorithm}, {n.pace}"
            )
        return text

    @cached_property
    def grid(self) -> Grid:
        """The mesh of the nodes that the result has, which are some of those of `whole_grid`.

        Raises:
            InputError: if there is no mesh of the manifold, or it has other nodes.
        """
        return self._fitting(self.whole_grid)

    @cached_property
    def whole_grid(self) -> Grid:
        """The diffusion's mesh: made from the cells that the result stores, or else built in.

        Raises:
            InputError: if there is no mesh of the manifold.
        """
        diffusion = self.group("diffusion")
        if diffusion is not None and (meridian := self.meridian) is not None:
            return Rings(meridian, meridian.angle(diffusion.node_position.values))
        if diffusion is not None and "cells" in diffusion.attrs:  # which a tolerance has chosen
            chosen = diffusion.attrs
            return self.setup.mesh(int(chosen["cells"]), int(chosen["degree"]))
        if diffusion is None or "cell" not in diffusion or self.setup.given_grid is not None:
            return self.setup.grid
        corners = diffusion.node_position.values[: int(diffusion.cell.values.max()) + 1]
        surface = Triangulation(Sphere(2), corners, diffusion.cell.values)
        return with_degree(surface, self.config.diffusion.degree)

    def _fitting(self, grid: Grid) -> Grid:
        """A grid that was built anew, if it has the nodes of the result."""
        for name in ("diffusion", "spectrum"):
            group = self.group(name)
            if group is None:
                continue
            if "fields" in group.attrs:  # the group is a coarse picture
                grid = coarse_enough(grid, group.sizes["node"]) or grid
            if group.sizes["node"] != grid.node_count:
                raise InputError(
                    f"The mesh of this result is not known: its configuration makes one of "
                    f"{grid.node_count} nodes, and /{name} has {group.sizes['node']}."
                )
        return grid

    def group(self, name: str) -> xr.Dataset | None:
        """The group with a name such as "diffusion" or "network"; None if there is none."""
        return self.tree[name].to_dataset() if name in self.tree.children else None

    @property
    def attributes(self) -> dict[Any, Any]:
        """How the result was made: configuration, versions, seed, ranks, commit, seconds taken."""
        return self.tree.attrs

    @property
    def inputs(self) -> dict[str, str]:
        """The `fingerprint` of what the run read; empty if it is not known."""
        return inputs_of(self.attributes)

    def to_xarray(self) -> xr.DataTree:
        """The groups as an xarray tree, the same as in result.nc."""
        return self.tree

    @property
    def warnings(self) -> list[str]:
        """Reasons not to trust the numbers, one sentence each."""
        return [line for line in self.tree.attrs.get("warnings", "").splitlines() if line]

    def warn(self, sentences: Iterable[str]) -> None:
        """Add those sentences to the `warnings` that are not among them yet."""
        self.tree.attrs["warnings"] = "\n".join(dict.fromkeys([*self.warnings, *sentences]))


def result_of(value: Any) -> Result:
    """A `Result`, from a `Result` or from the xarray tree of a result.nc.

    Code that the tree names is not imported.

    Raises:
        InputError: for anything else, or a tree with something wrong in it.
    """
    if isinstance(value, Result):
        return value
    tree = getattr(value, "tree", value)
    if not isinstance(tree, xr.DataTree):
        raise InputError(f"This is not a result of uf_diffusion, but {shown(value)}.")
    return result_from(tree, "This", trust=False, complete=False)


def result_from(tree: xr.DataTree, what: str, *, trust: bool, complete: bool) -> Result:
    """The `Result` of an xarray tree, after `require_contents`.

    Args:
        tree: the tree.
        what: what it is; it begins the sentence of an error.
        trust: whether code that it names may be imported.
        complete: as for `require_contents`.

    Raises:
        InputError: if something is wrong.
    """
    try:
        config = configuration_of(tree, trust)
        require_contents(tree, config, complete)
    except InputError as error:
        raise InputError(f"{what} is not a result of uf_diffusion, or damaged: {error}") from None
    return Result(Setup(config), tree)
