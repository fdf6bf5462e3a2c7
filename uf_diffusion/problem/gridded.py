"""Densities from numbers on a regular grid: the counts of a histogram, or values at nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uf_diffusion.core.arguments import reals
from uf_diffusion.core.arrays import Array
from uf_diffusion.core.errors import InputError
from uf_diffusion.core.wording import shown, unknown
from uf_diffusion.problem.from_data import (
    FromData,
    digest_of,
    nested,
    of_file,
    require_one_source,
)
from uf_diffusion.problem.hats import Hats, Multilinear
from uf_diffusion.problem.manifolds import NOWHERE, Circle, FlatTorus, Sphere
from uf_diffusion.problem.node_coordinates import dimension_names, hats_of, settled_poles
from uf_diffusion.results.tables import read_arrays, read_dataset

__all__ = ["Gridded", "Histogram", "Interpolated"]


@dataclass(frozen=True)
class Gridded(FromData):
    """A base class of densities that are linear along each axis between the nodes of a grid."""

    _function: Any = field(default=None, init=False, repr=False, compare=False)

    def _settle(self, axes: list[Hats], values: Array, what: str) -> None:
        """Keep the axes and the values, after a check that they are those of a density."""
        lowest = float(values.min())
        if lowest < 0:
            raise InputError(f"{what} must not be negative, but one is {lowest:g}.")
        if not values.any():
            raise InputError(f"{what} are all 0, which is no density.")
        if lowest == 0 and not self.floor:
            raise InputError(
                f"{int((values == 0).sum())} of {values.size} {what} are 0, and a density is "
                "positive: give a floor, the mass of the uniform density that is mixed in."
            )
        function = Multilinear(axes, values / values.max())
        function = Multilinear(axes, function.values / function.integral)
        object.__setattr__(self, "_function", function)
        object.__setattr__(self, "digest", digest_of(values, *(axis.nodes for axis in axes)))

    @property
    def data(self) -> tuple[Array, ...]:
        """The density of the data at the nodes, and the coordinates of the nodes on each axis."""
        return self._function.values, *(axis.nodes for axis in self._function.axes)

    def _latitudes(self) -> bool:
        return any(axis.latitude for axis in self._function.axes)

    def _estimate(self, x: Array) -> Array:
        c = self.manifold.chart(x)
        if self._latitudes():
            c = np.column_stack([c[:, 0], np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]))])
        values: Array = self._function(c)
        return values

    def _drawn(self, n: int, rng: np.random.Generator) -> Array:
        c = self._function.sample(n, rng)
        if self._latitudes():
            c = np.column_stack([c[:, 0], np.sin(c[:, 1])])
        return self.manifold.unchart(c)


@dataclass(frozen=True)
class Histogram(Gridded):
    """The density of a histogram on the circle or a flat torus.

    The bins divide the range of each coordinate evenly: angles from -pi to pi, coordinates of a
    torus from -period/2 to period/2. The density is linear along each axis between the centres of
    the bins, where it is the count over the volume of a bin, and its mass is exactly 1. It is
    continuous, unlike the piecewise constant one, which the diffusion needs. For a smooth density
    the error is of order 2 in the width of the bins.

    Attributes:
        counts: the counts or masses of the bins, one axis for each dimension; they need not sum
            to 1.
        file: a file with an array "counts", see `read_arrays`; a CSV file without names has a row
            of numbers for each bin of the first axis.
        floor: as in `FromData`; needed where counts are 0.

    Raises:
        InputError: for counts that are negative, of another shape or 0 without a floor, or on
            another manifold.
    """

    counts: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.manifold is NOWHERE:
            return
        if not isinstance(self.manifold, Circle | FlatTorus):
            raise InputError("Density 'histogram' lives on the circle and on flat tori.")
        require_one_source("histogram", "counts", self.counts, self.file)
        with of_file(self.file) as path:
            counts = reals("counts", self.counts if path is None else _counts(path))
            if self.manifold.dim == 1 and sorted(counts.shape)[:1] == [1]:
                counts = counts.ravel()  # a row or a column of a file
            if counts.ndim != self.manifold.dim or min(counts.shape, default=0) < 2:
                raise InputError(
                    f"counts on {self.manifold} must have {self.manifold.dim} axes with at least "
                    f"two bins each, not the shape {counts.shape}."
                )
            axes = [
                Hats(axis.low + axis.length * (np.arange(bins) + 0.5) / bins, axis.length)
                for axis, bins in zip(self.manifold.axes, counts.shape, strict=True)
            ]
            self._settle(axes, counts, "counts")
        if self.file is None:
            object.__setattr__(self, "counts", nested(counts))


@dataclass(frozen=True)
class Interpolated(Gridded):
    """A density that is interpolated between values on a regular grid, and normalised.

    It lives on the circle, on flat tori and on S^2. The dimensions are called "angle" on the
    circle, "x1", "x2", ... on a torus, and "longitude" and "latitude" or "height" on S^2, where the
    latitude is the better choice near the poles. Coordinates are evenly spaced. Angles are in
    radians, or in degrees where an attribute "units" says so. The nodes of a periodic axis cover
    one period without its end; a latitude or a height begins and ends at the poles, or at most a
    step before them, and then the value at a pole is the mean of the nearest row.

    Attributes:
        values: an xarray.DataArray with its coordinates, or an array with ``coordinates``.
        coordinates: for each axis of ``values`` the coordinates of the nodes.
        dims: the names of the axes of ``values``; by default those above in this order.
        file: a NetCDF-4 file with the values as a variable, and its coordinates.
        variable: the name of this variable; not needed if there is only one.
        floor: as in `FromData`; needed where values are 0.

    Raises:
        InputError: for values or coordinates that cannot be used, or on another manifold.
    """

    values: Any = field(default=None, repr=False)
    coordinates: Any = field(default=None, repr=False)
    dims: Any = None
    variable: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.manifold is NOWHERE:
            return
        if not isinstance(self.manifold, Circle | FlatTorus | Sphere) or not self.manifold.axes:
            raise InputError("Density 'grid' lives on the circle, on flat tori and on S^2.")
        require_one_source("grid", "values", self.values, self.file)
        with of_file(self.file) as path:
            values, dims, coordinates = self._given(path)
            values = reals("values", values)
            order = self._order(dims, values.ndim)
            values = values.transpose(order)
            named = [(dims[k], reals(f"The coordinate '{dims[k]}'", coordinates[k])) for k in order]
            axes = hats_of(self.manifold, named, values.shape)
            on_sphere = self.manifold.dim == 2 and not self.manifold.period
            whole = settled_poles(axes[1], named[1][1], values) if on_sphere else values
            self._settle(axes, whole, "values")
        if self.file is None:
            object.__setattr__(self, "values", nested(values))
            object.__setattr__(self, "dims", tuple(name for name, _ in named))
            object.__setattr__(self, "coordinates", tuple(nested(nodes) for _, nodes in named))

    def _given(self, path: Path | None) -> tuple[Any, tuple[str, ...], list[Any]]:
        """The values, the names of their axes, and the coordinates of each axis."""
        array = self.values if path is None else _variable(path, self.variable)
        if not (hasattr(array, "dims") and hasattr(array, "coords")):
            return array, *self._beside_values()
        dims, coordinates = tuple(map(str, array.dims)), []
        for name in array.dims:
            if name not in array.coords:
                raise InputError(f"The dimension '{name}' has no coordinates.")
            degrees = str(array.coords[name].attrs.get("units", "")).startswith("degree")
            nodes = reals(f"The coordinate '{name}'", array.coords[name].values)
            coordinates.append(nodes * (math.pi / 180) if degrees else nodes)
        return array.values, dims, coordinates

    def _beside_values(self) -> tuple[tuple[str, ...], list[Any]]:
        """The names and the coordinates of the axes that are given beside an array."""
        dims = dimension_names(self.manifold)[0] if self.dims is None else self.dims
        if not isinstance(dims, list | tuple) or not all(isinstance(name, str) for name in dims):
            raise InputError(f"dims must be a list of names, not {shown(dims)}.")
        listed = isinstance(self.coordinates, list | tuple | np.ndarray)
        coordinates = list(self.coordinates) if listed else []
        if len(dims) == 1 and len(coordinates) > 1:  # those of the only axis
            coordinates = [coordinates]
        if len(coordinates) != len(dims):
            raise InputError(f"Density 'grid' needs a list of coordinates for {', '.join(dims)}.")
        return tuple(dims), coordinates

    def _order(self, dims: tuple[str, ...], axes: int) -> list[int]:
        """The numbers of the axes of the values in the order of the manifold's coordinates."""
        for wanted in dimension_names(self.manifold):
            if sorted(dims) == sorted(wanted) and axes == len(wanted):
                return [dims.index(name) for name in wanted]
        options = " or ".join(f"({', '.join(names)})" for names in dimension_names(self.manifold))
        raise InputError(
            f"The values of a grid on {self.manifold} have the dimensions {options}, "
            f"not ({', '.join(dims)})" + ("." if axes == len(dims) else f" with {axes} axes.")
        )


def _counts(path: Path) -> Any:
    """The array "counts" of a file, or its only array."""
    arrays = read_arrays(path, "counts")
    if "counts" not in arrays and len(arrays) != 1:
        raise InputError("There is no array 'counts'.")
    return arrays.get("counts", next(iter(arrays.values())))


def _variable(path: Path, name: Any) -> Any:
    """The variable of a NetCDF file with a name, or the only one; an xarray.DataArray."""
    data = read_dataset(path)
    names = list(map(str, data.data_vars))
    if name is None and len(names) == 1:
        return data[names[0]]
    if name is None:
        raise InputError(f"Give one of its variables, which are {', '.join(names) or 'none'}.")
    if name not in names:
        raise unknown("variable", str(name), names)
    return data[name]
