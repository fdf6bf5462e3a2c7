"""NetCDF-4 files of large fields, which are written and read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5netcdf  # (its HDF5 must be loaded before DOLFINx loads another one)
import xarray as xr

from uf_diffusion.core import mpi
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError, Unwritable
from uf_diffusion.core.files import appearing, require_room
from uf_diffusion.core.wording import cause
from uf_diffusion.results.names import LONG_NAMES
from uf_diffusion.results.netcdf import sealed

__all__ = ["Piece", "reading", "write_pieces"]

# the name of an array, the place in it, and on rank 0 the values there
type Piece = tuple[str, tuple[int | slice, ...], Array | None]


def write_pieces(
    path: Path, sizes: Mapping[str, int], arrays: Mapping[str, tuple[str, ...]],
    pieces: Iterable[Piece], small: xr.Dataset | None = None,
) -> None:  # fmt: skip
    """Write a file of arrays, of which rank 0 has one piece at a time. Call it on all ranks.

    The file has a checksum at its end and appears when it is complete.

    Args:
        path: the file.
        sizes: the sizes of all dimensions.
        arrays: the dimensions of each array, which are real numbers.
        pieces: the pieces, in the same order on all ranks, which may send them to rank 0.
        small: further variables, which rank 0 has as a whole.

    Raises:
        Unwritable: on all ranks, if the file cannot be written.
    """
    failure: Exception | None = None
    with ExitStack() as stack:
        put = None
        if mpi.rank() == 0:
            try:
                put = stack.enter_context(_writing(path, sizes, arrays, small))
            except (OSError, Unwritable) as error:
                failure = error
        for name, where, values in pieces:  # to the end, since other ranks send theirs
            if put is not None and failure is None:
                try:
                    put(name, where, values)
                except OSError as error:
                    failure = error
        failure = _closed(stack.pop_all(), failure)
    if isinstance(failure, OSError):
        failure = Unwritable(f"Cannot write '{path}': {cause(failure)}.")
    if (failure := mpi.broadcast(failure)) is not None:
        raise failure


def _closed(stack: ExitStack, failure: Exception | None) -> Exception | None:
    """What prevented the file of a context from being complete, also while it is closed."""
    try:
        with stack:
            if failure is not None:
                raise failure
    except (OSError, Unwritable) as error:
        return error
    return None


@contextmanager
def _writing(
    path: Path, sizes: Mapping[str, int], arrays: Mapping[str, tuple[str, ...]],
    small: xr.Dataset | None,
) -> Iterator[Callable[[str, tuple[int | slice, ...], Any], None]]:  # fmt: skip
    """A function that puts values in a place of an array of a file that is being written."""
    numbers = sum(math.prod(sizes[dim] for dim in dims) for dims in arrays.values())
    require_room(path, 8 * numbers + (0 if small is None else 2 * small.nbytes) + 2**16)
    with appearing(path) as partial, sealed(partial):
        (xr.Dataset() if small is None else small).to_netcdf(partial, engine="h5netcdf")
        with h5netcdf.File(partial, "a") as file:
            for dim in {dim for dims in arrays.values() for dim in dims} - set(file.dimensions):
                file.dimensions[dim] = sizes[dim]
            for name, dims in arrays.items():
                variable = file.create_variable(name, dims, float)
                if name in LONG_NAMES:
                    variable.attrs.update({"long_name": LONG_NAMES[name], "units": "1"})

            def put(name: str, where: tuple[int | slice, ...], values: Any) -> None:
                file.variables[name][where] = values

            yield put


@contextmanager
def reading(
    path: Path, name: str
) -> Iterator[tuple[tuple[int, ...], Callable[[tuple[int | slice, ...]], Array]]]:
    """The shape of an array in a file that `write_pieces` wrote, and a function that reads places
    of it.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        with h5netcdf.File(path, "r") as file:
            variable = file.variables[name]
            yield variable.shape, variable.__getitem__
    except (OSError, KeyError) as error:
        raise InputError(f"Cannot read '{path}': {cause(error)}.") from None
