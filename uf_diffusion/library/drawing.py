"""Figures of results, whatever form they come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.result import result_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(result: Any, path: str | Path | None = None, **choices: Any) -> Figure:
    """The figure of a run: densities, outer weights, distances and risks over time.

    Args:
        result: what `solve`, `train`, `compare` or `run` returned, or a result.nc that xarray has
            read.
        path: a file to write it to, by its suffix.
        choices: as `uf_diffusion.plots.draw` takes them.

    Raises:
        InputError: for anything that is no result, or one without groups, as ranks other than 0
            have it.
    """
    from uf_diffusion import plots  # matplotlib takes long to load

    try:
        found = result_of(result)
    except InputError:
        raise InputError("Nothing can be drawn: this is not a result of uf_diffusion.") from None
    return plots.draw(found, path, **choices)
