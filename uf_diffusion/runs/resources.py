"""Will it fit: the memory and the disk that are free, and the sentence for a run that needs more.

What a run needs is estimated before anything is built.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import psutil

from uf_diffusion.core import mpi
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.base import Grid
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.runs.config import Config

__all__ = ["diffusion_bytes", "free_memory", "require_disk", "require_memory",
           "require_memory_of_diffusion", "require_memory_of_spectrum", "result_bytes",
           "spectrum_bytes"]  # fmt: skip

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")

# measured on two ranks, per unknown, by the dimension and the elements' degree: mesh, stiffness,
# multigrid
_SOLVER = {(1, 1): 900, (1, 2): 1000, (1, 3): 1100, (2, 1): 1900, (2, 2): 2100, (2, 3): 2700,
           (3, 1): 4000, (3, 2): 4500}  # fmt: skip
_COPIES = 10  # of a field at the snapshot times: kept, gathered, multiplied, written
# the same of factorised problems, on every rank, by the dimension; times `_fill`
_CONSTRAINED = {1: 2500, 2: 9500}
_SPECTRUM = {1: 2100, 2: 2000, 3: 4000}


def free_memory() -> int:
    """Bytes that this machine, or the container we are in, can still give."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        used -= int(stat.get("inactive_file", 0))  # cached files, given back on demand
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    return min(free, limit - used)


def require_memory(needed: int, advice: str, what: str = "The network") -> None:
    """Refuse a run that needs more memory than there is. Call it on all ranks.

    Args:
        needed: bytes on each rank.
        advice: what to change.
        what: needs it; the subject of the sentence.

    Raises:
        InputError: on all ranks, when it does not fit on one of the machines.
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


def diffusion_bytes(grid: Grid, snapshots: int, constrained: bool = False) -> int:
    """Bytes that solving the diffusion takes, roughly: on all ranks together, or on each of them
    where every one holds the whole problem, as for the constrained one.

    Args:
        grid: the mesh, which is not built for this.
        snapshots: how many times are kept.
        constrained: whether it is the constrained equation.
    """
    dim, degree = grid.manifold.dim, grid.degree
    solver = _CONSTRAINED[dim] * _fill(grid) if constrained else _SOLVER[dim, degree]
    return int(grid.node_count * (solver + 8 * _COPIES * snapshots))


def spectrum_bytes(grid: Grid) -> int:
    """Bytes that the factorised eigenvalue problem takes on all ranks together, roughly."""
    return int(grid.node_count * _SPECTRUM[grid.manifold.dim] * _fill(grid))


def _fill(grid: Grid) -> float:
    """How the factor of a matrix grows for each unknown: with nested dissection its entries are of
    order n, n log n and n^(4/3) in one, two and three dimensions (George, SIAM J. Numer. Anal. 10,
    1973); 1 for a thousand unknowns.
    """
    n = max(1000, grid.node_count)
    return {1: 1.0, 2: math.log2(n) / 10, 3: math.cbrt(n / 1000)}[grid.manifold.dim]


def require_memory_of_diffusion(config: Config, grid: Grid) -> None:
    """Refuse a mesh on which the diffusion does not fit into memory. Call it on all ranks.

    Raises:
        InputError: on all ranks.
    """
    constrained = config.problem.limit == "constrained"
    needed = diffusion_bytes(grid, len(config.times()), constrained)
    advice = "use fewer diffusion.cells or diffusion.snapshots"
    require_memory(needed // (1 if constrained else mpi.size()), advice, "The diffusion")


def require_memory_of_spectrum(grid: Grid) -> None:
    """The same of the eigenvalue problem.

    Raises:
        InputError: on all ranks.
    """
    needed = spectrum_bytes(grid) // mpi.size()
    require_memory(needed, "use fewer diffusion.cells", "The eigenvalue problem")


def result_bytes(config: Config, job: str) -> int:
    """Bytes that a run's folder takes, roughly: the result, the fields and a checkpoint.

    Args:
        config: the run. What a mesh from a file makes of it is not known before it is read.
        job: "solve", "train", or anything else that has both sides.
    """
    p, d, n = config.problem, config.diffusion, config.network
    space = config.space()
    shots = len(config.times() if job == "solve" else config.clock_times())
    numbers = 0
    if job != "train" and not d.mesh:
        nodes = grid_on(space, d.cells, d.degree).node_count
        numbers += nodes * (4 * shots + space.ambient + 8)
    if job != "solve":
        steps = 0 if n.algorithm == "flow" else math.ceil(p.t_end / n.step)
        numbers += n.width * (2 * shots + 4) * (space.ambient + 1) + 4 * steps
    return 8 * numbers


def require_disk(folder: Path, needed: int) -> None:
    """Refuse a run whose result does not fit on the disk. Call it on all ranks.

    Args:
        folder: where the result goes; it need not exist yet.
        needed: bytes.

    Raises:
        InputError: on all ranks.
    """

    def check() -> None:
        place = folder.absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if needed > free:
            raise InputError(
                f"The result needs about {needed / GIB:.1f} GiB and '{place}' has "
                f"{free / GIB:.1f} GiB free; use fewer diffusion.cells or diffusion.snapshots, "
                "or a smaller network.width."
            )

    mpi.on_root(check)
