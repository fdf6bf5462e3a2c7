"""States of a training as datasets, so that a run goes on from a file bit for bit."""

from __future__ import annotations

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.deep.training import TrainingState
from uf_diffusion.results.netcdf import read_sealed, write_result

__all__ = ["pack", "read_state", "unpack", "write_state"]


def pack(state: TrainingState) -> xr.Dataset:
    """All arrays of a state, in the order of its tree, as variables ``a0``, ``a1``, ..."""
    arrays = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    variables = {
        f"a{k}": ([f"a{k}_{axis}" for axis in range(a.ndim)], np.asarray(a))
        for k, a in enumerate(arrays)
    }
    return xr.Dataset(variables, attrs={"step": state.step})


def unpack(stored: xr.Dataset, like: TrainingState) -> TrainingState:
    """The state that was packed.

    Args:
        stored: what `pack` returned.
        like: a state of the same training, such as the one at its start.

    Raises:
        InputError: if it is the state of another network or method.
    """
    arrays, other = eqx.partition(like, eqx.is_array)
    expected, structure = jax.tree.flatten(arrays)
    found = [stored[f"a{k}"].values for k in range(len(stored)) if f"a{k}" in stored]
    same = len(found) == len(expected) and all(
        a.shape == b.shape and a.dtype == b.dtype for a, b in zip(found, expected, strict=True)
    )
    if not same:
        raise InputError("The stored state is that of another network, method or precision.")
    with jax.enable_x64(True):  # so that the arrays keep their types
        kept = structure.unflatten([jnp.asarray(a) for a in found])
    state: TrainingState = eqx.combine(kept, other)
    return eqx.tree_at(lambda s: s.step, state, int(stored.attrs["step"]))


def write_state(path: Path, state: TrainingState) -> None:
    """Write a state to a file with a checksum, which appears only when it is complete.

    Raises:
        Unwritable: if it cannot be written.
    """
    write_result(path, xr.DataTree(pack(state)))


def read_state(path: Path, like: TrainingState) -> TrainingState:
    """The state in a file of `write_state`; ``like`` is as in `unpack`.

    Raises:
        InputError: if the file is missing or damaged, or as `unpack`.
    """
    return unpack(read_sealed(path).to_dataset(), like)
