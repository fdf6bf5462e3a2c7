"""Output of densities and outer weights over time for ParaView."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dolfinx import fem
from dolfinx.io import VTXWriter
from dolfinx.mesh import create_unit_interval

from uf_diffusion.core.address_space import require_address_space
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.core.files import private_folder, require_room
from uf_diffusion.core.mpi import from_root, on_root, rank
from uf_diffusion.diffusion.time_stepping import Evolution
from uf_diffusion.results.sizes import fields_bytes

__all__ = ["try_fields", "write_fields"]

BUFFER = 2**28  # bytes of ADIOS2's buffers


def try_fields(path: Path, solver: Evolution) -> None:
    """Write fields on a mesh of one cell and delete them, to find out whether it is possible.

    Args:
        path: the folder that `write_fields` is to write; it is not touched.
        solver: the solver, for its ranks.

    Raises:
        Unwritable: on all ranks, as `write_fields`.
    """
    mesh = create_unit_interval(solver.comm, solver.comm.size)
    field = fem.Function(fem.functionspace(mesh, ("DG", 1)))
    with _room(path, fields_bytes(2 * solver.comm.size, 1)) as partial:
        with VTXWriter(solver.comm, partial, [field]) as writer:
            writer.write(0.0)
        solver.comm.barrier()


def write_fields(path: Path, solver: Evolution, snapshots: Sequence[tuple[float, Array]]) -> None:
    """Write the density and the outer weight at the snapshot times to an ADIOS2 folder.

    The fields are discontinuous (DG1), because a continuous field would have wrong values in the
    cells at the seam of a periodic mesh. The folder gets its name when it is complete; one that was
    there before is deleted first.

    Args:
        path: the folder, ending in ``.bp``.
        solver: the solver, with the mesh.
        snapshots: pairs of a time and the ratio h at the owned nodes, ``(owned,)``.

    Raises:
        Unwritable: on all ranks, when there is not enough space for it.
    """
    on_root(lambda: _remove(path))
    function = solver.elements.function
    mesh = function(solver.teacher).function_space.mesh
    Q = fem.functionspace(mesh, ("DG", 1))
    density, outer_weight = fem.Function(Q, name="density"), fem.Function(Q, name="outer_weight")
    with _room(path, fields_bytes(Q.dofmap.index_map.size_global, len(snapshots))) as partial:
        with VTXWriter(solver.comm, partial, [density, outer_weight]) as writer:
            for t, ratio in snapshots:
                density.interpolate(function(ratio * solver.teacher))
                outer_weight.interpolate(function(solver.outer_weight(ratio)))
                writer.write(t)
        solver.comm.barrier()
        on_root(lambda: partial.rename(path))


@contextmanager
def _room(path: Path, needed: int) -> Iterator[Path]:
    """A hidden path to write to, for which there is room on the disk and in memory; what is left of
    it is deleted at the end.

    ADIOS2 ends the process where there is no room.

    Raises:
        Unwritable: on all ranks, if there is none.
    """
    on_root(lambda: require_room(path, needed))
    try:
        require_address_space(BUFFER, f"Writing '{path}'")
    except InputError as error:
        raise Unwritable(str(error)) from None
    private = from_root(lambda: private_folder(path))
    try:
        yield private / path.name
    finally:
        if rank() == 0:
            shutil.rmtree(private, ignore_errors=True)


def _remove(path: Path) -> None:
    """Delete a folder of fields; of a symbolic link only the link.

    Raises:
        Unwritable: if it cannot be deleted.
    """
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        raise Unwritable(f"Cannot replace '{path}': {error.strerror}.") from None
