"""The orders of a study over keys: one fit along each numeric axis, at the last snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.results.names import dataset
from uf_diffusion.studies.orders import fit, local_orders, spread

__all__ = ["FITTED", "axes_of", "final", "orders", "orders_along", "quantities_of"]

FITTED = ("order", "order_low", "order_high", "factor", "local_order_first", "local_order_last")


def axes_of(data: xr.Dataset) -> list[str]:
    """The swept keys of the dataset of a study, in their order; each contains a full stop."""
    return [str(dim) for dim in data.attrs["axes"].split()]


def quantities_of(data: xr.Dataset) -> list[str]:
    """The names of the quantities that have a finite number."""
    return [
        str(name) for name, values in data.data_vars.items()
        if "seed" in values.dims and np.isfinite(values.values).any()
    ]  # fmt: skip


def final(data: xr.Dataset, name: str) -> xr.DataArray:
    """A quantity at the last snapshot of each point, with the axes and "seed" as dimensions."""
    values = data[name]
    if "time" in values.dims:
        return values.isel(time=-1, drop=True)
    last = data["time"].notnull().sum("snapshot") - 1
    return values.isel(snapshot=last).drop_vars("time")


def orders(data: xr.Dataset) -> xr.Dataset:
    """Orders of all quantities along each axis of two or more positive numbers.

    Args:
        data: the quantities, with a dimension for each axis.

    Returns:
        For each such axis the variables of `FITTED`, each named with the axis, such as
        "order.network.width"; their dimensions are "quantity" and the other axes. A quantity that
        is not positive has NaN.
    """
    names, found = quantities_of(data), xr.Dataset()
    if not names:
        return found
    for axis in axes_of(data):
        x = data[axis].values
        if len(x) < 2 or x.dtype.kind not in "if" or not (x > 0).all():
            continue
        along = [_along(x, final(data, name).transpose(axis, ..., "seed").values) for name in names]
        dims = ("quantity", *(other for other in axes_of(data) if other != axis))
        group = dataset(**{
            fitted: (dims, np.array([values[fitted] for values in along])) for fitted in FITTED
        })  # fmt: skip
        found = found.merge(group.rename({fitted: f"{fitted}.{axis}" for fitted in FITTED}))
    coordinate = dataset(quantity=(("quantity",), np.array(names)))
    return found.assign_coords(quantity=coordinate.quantity) if found else found


def orders_along(data: xr.Dataset, axis: str) -> xr.Dataset:
    """The variables of `FITTED` along an axis, named as there; empty if there is no fit."""
    names = {f"{fitted}.{axis}": fitted for fitted in FITTED if f"{fitted}.{axis}" in data}
    return data[list(names)].rename(names)


def _along(x: Array, y: Array) -> Mapping[str, Any]:
    """The entries of `FITTED` for values ``(k, ..., seeds)``; each has the shape between."""
    shape = y.shape[1:-1]
    found = {name: np.empty(shape) for name in FITTED}
    for place in np.ndindex(shape):
        column = y[(slice(None), *place)]
        if (column == column[:, :1]).all():  # not random: an interval would have no meaning
            column = column[:, :1]
        law, local = fit(x, column), local_orders(x, spread(column)[0])
        values = (law.order, law.low, law.high, law.factor, local[1], local[-1])
        for name, value in zip(FITTED, values, strict=True):
            found[name][place] = value
    return found
