"""What a picture needs to know of a result."""

from __future__ import annotations

from typing import Any, Protocol

import xarray as xr

__all__ = ["Shown"]


class Shown(Protocol):
    """A result, as pictures see it; `uf_diffusion.runs.result.Result` is one."""

    @property
    def title(self) -> str:
        """What was run, in a line."""
        ...

    @property
    def manifold_name(self) -> str:
        """Of the feature space, in sentences."""
        ...

    @property
    def manifold(self) -> Any:
        """The feature space."""
        ...

    @property
    def grid(self) -> Any:
        """The diffusion's mesh."""
        ...

    def group(self, name: str) -> xr.Dataset | None:
        """A group such as "diffusion" or "network", where it is there."""
        ...
