"""Results as objects: a solved diffusion, a trained network, and how far they are apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.reprs import one_line
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.library.saving import save
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.training import neurons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Outcome", "Solution", "Spectrum", "TrainedNetwork", "outcome"]


class Outcome(Result):
    """What every result can do. All quantities are dimensionless; on ranks other than 0 there are
    no arrays.
    """

    def plot(self, path: str | Path | None = None, **choices: Any) -> Figure:
        """The figure of the result.

        Args:
            path: a file to write it to, by its suffix.
            choices: as `uf_diffusion.draw` takes them.
        """
        from uf_diffusion.plots import draw  # matplotlib takes long to load

        return draw(self, path, **choices)

    def report(self, path: str | Path) -> Path:
        """Write the report, one HTML page that needs nothing but itself; its path."""
        from uf_diffusion.core.files import write_text
        from uf_diffusion.reports.html import report  # plotly takes long to load

        write_text(Path(path), report(self))
        return Path(path)

    def save(self, folder: str | Path) -> Path:
        """Write a run's folder: run.toml, result.nc, the figure and, of a comparison, the report.

        Raises:
            InputError: where the folder holds other things.
            Unwritable: where a file cannot be written.
        """
        return save(self, Path(folder))

    def _array(self, group: str, name: str) -> Array:
        data = self.group(group)
        if data is None:
            raise InputError(f"This result has no {group} on this rank.")
        return np.asarray(data[name].values)

    def _repr_html_(self) -> str:
        table: str = self.config._repr_html_()
        return table


class Solution(Outcome):
    """A diffusion that was solved: densities at the nodes of a mesh."""

    @property
    def times(self) -> Array:
        """Of the snapshots, ``(snapshots,)``."""
        return self._array("diffusion", "snapshot_time")

    @property
    def density(self) -> Array:
        """Mu at the snapshots, ``(snapshots, nodes)``, per unit volume."""
        return self._array("diffusion", "density")

    @property
    def outer_weight(self) -> Array:
        """The outer weight u, nu / mu without constraint, ``(snapshots, nodes)``."""
        return self._array("diffusion", "outer_weight")

    @property
    def teacher(self) -> Array:
        """Nu at the nodes, ``(nodes,)``, per unit volume."""
        return self._array("diffusion", "teacher")

    @property
    def risk(self) -> Array:
        """L0 of every step, ``(steps,)``, at `step_times`."""
        return self._array("diffusion", "risk")

    @property
    def step_times(self) -> Array:
        """Of the steps, ``(steps,)``."""
        return self._array("diffusion", "time")

    def __repr__(self) -> str:
        return one_line(
            "Solution", manifold=repr(self.manifold), nodes=len(self.grid.nodes),
            snapshots=len(self.times), until=float(self.times[-1]),
        )  # fmt: skip


class TrainedNetwork(Outcome):
    """A network that was trained: neurons on the manifold."""

    @property
    def times(self) -> Array:
        """Of the snapshots, ``(snapshots,)``."""
        return self._array("network", "snapshot_time")

    @property
    def features(self) -> Feature:
        """The feature function phi."""
        return self.setup.features

    @property
    def feature(self) -> Array:
        """Omega of the neurons, ``(snapshots, neurons, ambient)``."""
        return self._array("network", "feature")

    @property
    def outer_weight(self) -> Array:
        """U of the neurons, ``(snapshots, neurons)``."""
        return self._array("network", "outer_weight")

    @property
    def mass(self) -> Array:
        """Of the neurons, ``(neurons,)``, summing to 1."""
        return self._array("network", "neuron_mass")

    @property
    def risk(self) -> Array:
        """L^lambda of every step, ``(steps,)``, at `step_times`."""
        return self._array("network", "risk")

    @property
    def step_times(self) -> Array:
        """Of the steps, ``(steps,)``."""
        return self._array("network", "time")

    @property
    def teacher(self) -> Atoms:
        """The teacher's neurons: points ``(k, ambient)`` and weights ``(k,)``."""
        return neurons(self.setup).teacher

    def __repr__(self) -> str:
        return one_line(
            "TrainedNetwork", manifold=repr(self.manifold), neurons=len(self.mass),
            snapshots=len(self.times), until=float(self.times[-1]),
        )  # fmt: skip


class Comparison(Outcome):
    """Distances of a network to a diffusion and to the teacher, over time."""

    @property
    def times(self) -> Array:
        """``(snapshots,)``, those that both sides have."""
        return self._array("comparison", "time")

    @property
    def energy_distance_diffusion(self) -> Array:
        """Of the network to the diffusion, ``(snapshots,)``."""
        return self._array("comparison", "energy_distance_diffusion")

    @property
    def energy_distance_teacher(self) -> Array:
        """Of the network to the teacher's neurons, ``(snapshots,)``."""
        return self._array("comparison", "energy_distance_teacher")

    @property
    def w2_diffusion(self) -> Array:
        """W_2 of the network to the diffusion, ``(snapshots,)``; not a number where too costly."""
        return self._array("comparison", "w2_diffusion")

    @property
    def outer_weight_error(self) -> Array:
        """Median over the neurons of |u_i - u|, u of the diffusion there, ``(snapshots,)``."""
        return self._array("comparison", "outer_weight_error")

    @property
    def network(self) -> TrainedNetwork:
        """The network's side."""
        return TrainedNetwork(self.setup, self.tree)

    @property
    def solution(self) -> Solution:
        """The diffusion's side."""
        return Solution(self.setup, self.tree)

    def __repr__(self) -> str:
        return one_line(
            "Comparison", manifold=repr(self.manifold), snapshots=len(self.times),
            energy_distance=float(self.energy_distance_diffusion[-1]),
        )  # fmt: skip


class Spectrum(Outcome):
    """Eigenvalues of the weighted Laplacian, and of the features' kernel."""

    @property
    def eigenvalue(self) -> Array:
        """The smallest non-zero ones of -(1/nu) div(nu grad), ``(modes,)``, per unit time."""
        return self._array("spectrum", "eigenvalue")

    @property
    def kernel_eigenvalue(self) -> Array:
        """Of the kernel against the uniform probability measure, ``(rows,)``."""
        return self._array("kernel", "eigenvalue")

    def __repr__(self) -> str:
        known = "spectrum" in self.tree.children
        first = {"eigenvalue": float(self.eigenvalue[0])} if known else {}
        return one_line("Spectrum", manifold=repr(self.manifold), **first)


def outcome(result: Result) -> Any:
    """The object of a result, by the groups that it has."""
    groups = set(result.tree.children)
    kind: type[Outcome] = Solution if "diffusion" in groups else TrainedNetwork
    if "comparison" in groups or "kernel" in groups:
        kind = Comparison if "comparison" in groups else Spectrum
    return kind(result.setup, result.tree)
