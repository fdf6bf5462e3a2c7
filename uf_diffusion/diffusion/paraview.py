"""Output of densities and outer weights over time for ParaView."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dolfinx import fem
from dolfinx.io import VTXWriter

from uf_diffusion.core.arrays import Array
from uf_diffusion.core.files import private_folder, require_room
from uf_diffusion.core.mpi import from_root, on_root, rank
from uf_diffusion.diffusion.time_stepping import Evolution

__all__ = ["write_fields"]


def write_fields(path: Path, solver: Evolution, snapshots: Sequence[tuple[float, Array]]) -> None:
    """Write the density and the outer weight at the snapshot times to an ADIOS2 folder.

    The fields are discontinuous (DG1), because a continuous field would have wrong values in the
    cells at the seam of a periodic mesh. The folder gets its name when it is complete.

    Args:
        path: the folder, ending in ``.bp``.
        solver: the solver, with the mesh.
        snapshots: pairs of a time and the ratio h at the owned nodes, ``(owned,)``.

    Raises:
        Unwritable: on all ranks, when there is not enough space for it.
    """
    Q = fem.functionspace(solver.mesh, ("DG", 1))
    density, outer_weight = fem.Function(Q, name="density"), fem.Function(Q, name="outer_weight")
    values = (2 * len(snapshots) + 4) * Q.dofmap.index_map.size_global  # two fields, and the mesh
    on_root(lambda: require_room(path, 8 * values))
    private = from_root(lambda: private_folder(path))
    partial = private / path.name
    try:
        with VTXWriter(solver.comm, partial, [density, outer_weight]) as writer:
            for t, ratio in snapshots:
                density.interpolate(solver.function(ratio * solver.teacher))
                outer_weight.interpolate(solver.function(solver.outer_weight(ratio)))
                writer.write(t)
        solver.comm.barrier()
        on_root(lambda: _publish(partial, path))
    finally:
        if rank() == 0:
            shutil.rmtree(private, ignore_errors=True)


def _publish(partial: Path, path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)
