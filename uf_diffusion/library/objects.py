"""The objects that the library returns: solved diffusions, trained networks, comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.paths import user_path
from uf_diffusion.core.reprs import one_line
from uf_diffusion.kernels.base import Feature
from uf_diffusion.kernels.feature_maps import Atoms
from uf_diffusion.library.saving import save
from uf_diffusion.runs.inputs import require_density
from uf_diffusion.runs.result import Result
from uf_diffusion.runs.training import neurons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Outcome", "Solution", "Spectrum", "TrainedNetwork", "outcome"]


class Outcome(Result):
    """What all results have in common.

    All quantities are dimensionless. On ranks other than 0 a result has no arrays, and properties
    that return one raise an `InputError`.
    """

    def plot(self, path: str | Path | None = None, **choices: Any) -> Figure | None:
        """Draw the result on rank 0, and return the matplotlib figure there.

        Args:
            path: a file to which the figure is written, in the format of its suffix.
            choices: the other arguments of `uf_diffusion.draw`.

        Raises:
            InputError: as `uf_diffusion.draw`, on all ranks.
        """
        from uf_diffusion.plots import draw  # matplotlib takes long to load

        return mpi.on_root(lambda: draw(self, path, **choices))

    def report(self, path: str | Path) -> Path:
        """Write the report as a single HTML page that works offline, and return its path.

        Raises:
            Unwritable: if the file cannot be written.
        """
        from uf_diffusion.core.files import write_text
        from uf_diffusion.reports.html import report  # plotly takes long to load

        file = user_path(path)
        mpi.on_root(lambda: write_text(file, report(self)))
        return file

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write run.toml, result.nc, the figure and, for a comparison, the report into a folder.

        Args:
            folder: the folder.
            force: whether to replace the result or the interrupted run of something else.

        Raises:
            InputError: if the folder holds other files, or is in use, or without ``force`` holds
                another result or an interrupted run.
            Unwritable: if a file cannot be written.
        """
        return save(self, user_path(folder), force)

    def _array(self, group: str, name: str) -> Array:
        data = self.group(group)
        if data is None:
            raise InputError(f"This result has no {group}; on ranks other than 0 it has no arrays.")
        if name not in data:
            raise InputError(
                f"This result has no {name}: /{group} holds {', '.join(map(str, data))}."
            )
        return np.asarray(data[name].values)

    def _numbers(self) -> dict[str, float]:
        """What the repr says of the arrays."""
        return {}

    def __repr__(self) -> str:
        numbers = self._numbers() if self.tree.children else {}  # only rank 0 has arrays
        return one_line(type(self).__name__, manifold=repr(self.manifold), **numbers)

    def _repr_html_(self) -> str:
        table: str = self.config._repr_html_()
        return table


class Solution(Outcome):
    """A solved diffusion: densities at the nodes of a mesh, at the snapshot times."""

    @property
    def times(self) -> Array:
        """Times of the snapshots, ``(snapshots,)``, dimensionless."""
        return self._array("diffusion", "snapshot_time")

    @property
    def density(self) -> Array:
        """Density mu at the nodes, ``(snapshots, nodes)``, per unit volume."""
        return self._array("diffusion", "density")

    @property
    def volume(self) -> Array:
        """Volumes of the nodes ``grid.nodes``, ``(nodes,)``; ``density @ volume`` is the mass."""
        return self._array("diffusion", "node_measure")

    @property
    def outer_weight(self) -> Array:
        """Outer weight u at the nodes, ``(snapshots, nodes)``; nu / mu if unconstrained."""
        return self._array("diffusion", "outer_weight")

    @property
    def teacher(self) -> Array:
        """Teacher density nu at the nodes, ``(nodes,)``, per unit volume."""
        return self._array("diffusion", "teacher")

    @property
    def risk(self) -> Array:
        """Risk L^0, the integral of f(u) against mu, ``(steps,)``, at the `step_times`."""
        return self._array("diffusion", "risk")

    @property
    def step_times(self) -> Array:
        """Times of the steps, beginning with 0, ``(steps,)``, dimensionless."""
        return self._array("diffusion", "time")

    def _numbers(self) -> dict[str, float]:
        return {"nodes": len(self.grid.nodes), "snapshots": len(self.times),
                "until": float(self.times[-1])}  # fmt: skip


class TrainedNetwork(Outcome):
    """A trained network: features and outer weights of its neurons at the snapshot times."""

    @property
    def times(self) -> Array:
        """Times of the snapshots, ``(snapshots,)``, dimensionless."""
        return self._array("network", "snapshot_time")

    @property
    def features(self) -> Feature:
        """The feature function phi."""
        return self.setup.features

    @property
    def feature(self) -> Array:
        """Features omega of the neurons, points ``(snapshots, neurons, ambient)``."""
        return self._array("network", "feature")

    @property
    def outer_weight(self) -> Array:
        """Outer weights u of the neurons, ``(snapshots, neurons)``, dimensionless."""
        return self._array("network", "outer_weight")

    @property
    def mass(self) -> Array:
        """Masses of the neurons, ``(neurons,)``, which sum to 1."""
        return self._array("network", "neuron_mass")

    @property
    def risk(self) -> Array:
        """Reduced risk L^lambda, ``(steps,)``, at the `step_times`."""
        return self._array("network", "risk")

    @property
    def step_times(self) -> Array:
        """Times of the steps, beginning with 0, ``(steps,)``, dimensionless."""
        return self._array("network", "time")

    @property
    def training_error(self) -> Array:
        """Mean squared error of the outputs in training, ``(snapshots,)``, dimensionless.

        Raises:
            InputError: if the labels are exact outputs of the teacher and nothing is held out.
        """
        return self._array("network", "training_error")

    @property
    def held_out_error(self) -> Array:
        """Mean squared error of the outputs at the inputs that are held out, ``(snapshots,)``.

        Raises:
            InputError: if nothing is held out.
        """
        return self._array("network", "held_out_error")

    @property
    def teacher(self) -> Atoms:
        """The teacher's neurons, with points ``(k, ambient)`` and weights ``(k,)``.

        Raises:
            InputError: if the teacher is known by no more than labels.
        """
        require_density(self.setup)
        return neurons(self.setup).teacher

    def _numbers(self) -> dict[str, float]:
        return {"neurons": len(self.mass), "snapshots": len(self.times),
                "until": float(self.times[-1])}  # fmt: skip


class Comparison(Outcome):
    """The distances over time of a network to a diffusion and to the teacher."""

    @property
    def times(self) -> Array:
        """Times of the snapshots that both sides have, ``(snapshots,)``, dimensionless."""
        return self._array("comparison", "time")

    @property
    def energy_distance_diffusion(self) -> Array:
        """Energy distance of the network to the diffusion, ``(snapshots,)``, dimensionless."""
        return self._array("comparison", "energy_distance_diffusion")

    @property
    def energy_distance_teacher(self) -> Array:
        """Energy distance of the network to the teacher's neurons, ``(snapshots,)``."""
        return self._array("comparison", "energy_distance_teacher")

    @property
    def w2_diffusion(self) -> Array:
        """2-Wasserstein distance of the network to the diffusion; NaN if too costly; a length.

        The shape is ``(snapshots,)``. With an axis there is `w2_lower` instead.
        """
        return self._array("comparison", "w2_diffusion")

    @property
    def w2_lower(self) -> Array:
        """2-Wasserstein distance of the laws of the angle to the axis, ``(snapshots,)``, radians.

        It is a lower bound of that of the measures, and sees nothing of what rotations about the
        axis change.
        """
        return self._array("comparison", "w2_lower")

    @property
    def outer_weight_error(self) -> Array:
        """Median over the neurons of |u_i - u|, ``(snapshots,)``, dimensionless.

        u_i is the outer weight of a neuron, and u that of the diffusion at its feature.
        """
        return self._array("comparison", "outer_weight_error")

    @property
    def network(self) -> TrainedNetwork:
        """The network that was compared."""
        return TrainedNetwork(self.setup, self.tree)

    @property
    def solution(self) -> Solution:
        """The diffusion that was compared."""
        return Solution(self.setup, self.tree, self.folder)

    def _numbers(self) -> dict[str, float]:
        distance = float(self.energy_distance_diffusion[-1])
        return {"snapshots": len(self.times), "energy_distance": distance}


class Spectrum(Outcome):
    """The eigenvalues of the weighted Laplacian and of the features' kernel."""

    @property
    def eigenvalue(self) -> Array:
        """Smallest non-zero eigenvalues of -(1/nu) div(nu grad), ``(modes,)``, per unit time.

        Raises:
            InputError: if DOLFINx was missing, so that they were not computed.
        """
        return self._array("spectrum", "eigenvalue")

    @property
    def kernel_eigenvalue(self) -> Array:
        """Eigenvalues of the kernel for the uniform probability measure, ``(rows,)``."""
        return self._array("kernel", "eigenvalue")

    def _numbers(self) -> dict[str, float]:
        known = "spectrum" in self.tree.children  # which needs DOLFINx
        return {"eigenvalue": float(self.eigenvalue[0])} if known else {}


KINDS = {"solve": Solution, "train": TrainedNetwork, "compare": Comparison,
         "compare --budget": Comparison, "spectrum": Spectrum}  # fmt: skip


def outcome(result: Result, job: str = "") -> Any:
    """The `Outcome` of what a job gives; without a job, of the kind that fits the groups."""
    if not job:
        groups = set(result.tree.children)
        job = "solve" if "diffusion" in groups else "train"
        job = "compare" if "comparison" in groups else "spectrum" if "kernel" in groups else job
    return KINDS[job](result.setup, result.tree, result.folder)
