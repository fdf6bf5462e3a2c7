"""Estimates the memory and disk that a run needs, and refuses a run that does not fit.

The estimates are made before anything is built.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import psutil

from uf_diffusion.core import mpi
from uf_diffusion.core.address_space import free_address_space
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.elements import HIGHEST
from uf_diffusion.results import sizes
from uf_diffusion.results.sizes import FIGURES, REPORT, fields_bytes
from uf_diffusion.runs.config import Config

__all__ = ["diffusion_bytes", "folder_bytes", "free_memory", "require_disk", "require_memory",
           "require_memory_of_diffusion", "require_memory_of_spectrum", "result_bytes",
           "spectrum_bytes"]  # fmt: skip

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")

# bytes per unknown by (dimension, degree of the elements) for mesh, stiffness matrix and multigrid,
# measured on two ranks
_SOLVER = {**{(1, degree): 800 + 100 * degree for degree in range(1, HIGHEST[1] + 1)},
           (2, 1): 1400, (2, 2): 2100, (2, 3): 2700, (3, 1): 4000, (3, 2): 4500}  # fmt: skip
_LARGE_SOLVER = 900  # of a large mesh in two dimensions at degree 1, of which each rank has a part
# copies of a field at each snapshot time: stored, gathered, multiplied, written; of a large one
# those that are stored and written
_COPIES, _LARGE_COPIES = 10, 2
# bytes per unknown of problems that are factorised, by dimension, to be multiplied by `_fill`
_TRANSPORT = {1: 2500, 2: 9500, 3: 20_000}
_SPECTRUM = {1: 2100, 2: 2000, 3: 4000}


def free_memory() -> int:
    """Free memory in bytes of this machine, or what limits of container and process leave."""
    free = int(min(psutil.virtual_memory().available, free_address_space()))
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        used -= int(stat.get("inactive_file", 0))  # cached files, which are freed on demand
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, limit - used)


def require_memory(needed: int, advice: str, what: str = "The network") -> None:
    """Refuse a run that needs more memory than is free. Call it on all ranks.

    Args:
        needed: bytes that each rank needs.
        advice: what the user can change; it ends the sentence of the error.
        what: what needs the memory; it begins the sentence of the error.

    Raises:
        InputError: on all ranks, if the run does not fit on one of the machines.
    """
    total = needed * mpi.ranks_here()
    missing = mpi.highest(total - free_memory())
    if missing > 0:
        total = int(mpi.highest(total))
        free = max(0, total - int(missing))
        raise InputError(
            f"{what} needs about {total / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are "
            f"free; {advice}."
        )


def diffusion_bytes(grid: Grid, snapshots: int, transported: bool = False) -> int:
    """Approximate memory in bytes for solving the diffusion.

    It counts all ranks together.

    Args:
        grid: the mesh; its nodes and cells are not computed for this.
        snapshots: number of snapshot times.
        transported: whether the constrained or the mean-field equation is solved.
    """
    dim, degree = grid.manifold.dim, grid.degree
    solver = _TRANSPORT[dim] * _fill(grid) if transported else _SOLVER[dim, degree]
    if grid.node_count > sizes.WHOLE and not transported and (dim, degree) == (2, 1):
        solver = _LARGE_SOLVER
    copies = _COPIES if grid.node_count <= sizes.WHOLE else _LARGE_COPIES
    return int(grid.node_count * (solver + 8 * copies * snapshots))


def spectrum_bytes(grid: Grid) -> int:
    """Approximate memory in bytes, on all ranks together, for the factorised eigenvalue problem."""
    return int(grid.node_count * _SPECTRUM[grid.manifold.dim] * _fill(grid))


def _fill(grid: Grid) -> float:
    """Entries per unknown of a matrix factor, relative to those for a thousand unknowns.

    With nested dissection a factor has of order n, n log n and n^(4/3) entries in one, two and
    three dimensions (George, SIAM J. Numer. Anal. 10, 1973).
    """
    n = max(1000, grid.node_count)
    return {1: 1.0, 2: math.log2(n) / 10, 3: math.cbrt(n / 1000)}[grid.manifold.dim]


def require_memory_of_diffusion(config: Config, grid: Grid) -> None:
    """Refuse a mesh on which the diffusion does not fit into memory. Call it on all ranks.

    Raises:
        InputError: on all ranks, for such a mesh.
    """
    limit, kernel = config.problem.limit, config.network.kernel
    needed = diffusion_bytes(grid, len(config.times()), limit != "unconstrained")
    spread = limit == "unconstrained"
    if grid.node_count > mpi.REPLICATED and grid.manifold.dim > 1:
        spread = limit != "mean-field" or kernel == "low-rank"
    advice = "use fewer diffusion.cells or diffusion.snapshots"
    require_memory(needed // (mpi.size() if spread else 1), advice, "The diffusion")


def require_memory_of_spectrum(grid: Grid) -> None:
    """Refuse a mesh on which the eigenvalue problem does not fit. Call it on all ranks.

    Raises:
        InputError: on all ranks, for such a mesh.
    """
    needed = spectrum_bytes(grid) // mpi.size()
    require_memory(needed, "use fewer diffusion.cells", "The eigenvalue problem")


def result_bytes(config: Config, job: str) -> int:
    """Approximate size in bytes of a run's result and its two checkpoints.

    Args:
        config: the configuration. A diffusion on a mesh from a file is not counted, because its
            size is not known before the file is read, nor one on a mesh that is yet to be chosen.
        job: "solve", "train", or any other name for a run with both a diffusion and a network.
    """
    p, d, n = config.problem, config.diffusion, config.network
    space = config.space()
    shots = len(config.times() if job == "solve" else config.clock_times())
    numbers = 0
    if job != "train" and not d.mesh and not d.tolerance:
        nodes = _nodes_and_corners(config)[0]
        numbers += nodes * (4 * shots + space.ambient + 12)
    if job != "solve":
        steps = 0 if n.algorithm == "flow" else math.ceil(p.t_end / n.step)
        numbers += n.width * (3 * shots + 8) * (space.ambient + 1) + 6 * steps
    return 8 * numbers


def _nodes_and_corners(config: Config) -> tuple[int, int]:
    """The number of nodes of the built-in mesh, and that of the corners of all cells."""
    p, d = config.problem, config.diffusion
    if p.may_have_axis:  # rings
        return d.cells + 2, 2 * d.cells + 2
    grid = grid_on(config.space(), d.cells, d.degree)
    return grid.node_count, grid.cell_count * (grid.manifold.dim + 1)


def folder_bytes(config: Config, job: str) -> int:
    """Approximate size in bytes of all files in a run's folder.

    Args:
        config, job: as for `result_bytes`.
    """
    needed = result_bytes(config, job) + FIGURES + (REPORT if job.startswith("compare") else 0)
    d = config.diffusion
    if job != "train" and not d.mesh and not d.tolerance:
        shots = len(config.times() if job == "solve" else config.clock_times())
        needed += fields_bytes(_nodes_and_corners(config)[1], shots)
    return needed


def require_disk(folder: Path, needed: int) -> None:
    """Refuse a run whose result does not fit on the disk. Call it on all ranks.

    Args:
        folder: where the result goes; it need not exist yet.
        needed: size of the result in bytes.

    Raises:
        InputError: on all ranks, if the disk has less free space.
    """

    def check() -> None:
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise InputError(
                f"The result needs about {_size(needed)} and '{place}' has {_size(free)} free; "
                "use fewer diffusion.cells or diffusion.snapshots, or a smaller network.width."
            )

    mpi.on_root(check)


def _size(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number > GIB / 20 else f"{number / 2**20:.1f} MiB"
