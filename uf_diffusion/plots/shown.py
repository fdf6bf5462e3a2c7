"""The properties of a result that pictures use."""

from __future__ import annotations

from typing import Any, Protocol

import xarray as xr

from uf_diffusion.problem.symmetry import Meridian

__all__ = ["Shown"]


class Shown(Protocol):
    """A result as pictures use it, such as a `uf_diffusion.runs.result.Result`."""

    @property
    def title(self) -> str:
        """A title that says what was run."""
        ...

    @property
    def manifold_name(self) -> str:
        """The name of the feature space."""
        ...

    @property
    def manifold(self) -> Any:
        """The feature space."""
        ...

    @property
    def meridian(self) -> Meridian | None:
        """The sphere with the axis about which all densities are symmetric, if there is one."""
        ...

    @property
    def grid(self) -> Any:
        """The diffusion's mesh."""
        ...

    def group(self, name: str) -> xr.Dataset | None:
        """The group with a name such as "diffusion" or "network"; None if there is none."""
        ...
