"""Figures of section 6.2: the paper's curves of ResNet-20 on CIFAR-10, with what was run here.

What was run is a result of `uf-diffusion deep` that is kept in ``data/``. Where there is none of
CIFAR-10, the paper's curves stand alone, and the digits have panels of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.drawing import Results, Still
from paper_figures.kept import FOLDER
from paper_figures.paper import published
from paper_figures.scale import Scale
from uf_diffusion.core.arrays import Array
from uf_diffusion.plots.batches import draw_quantity
from uf_diffusion.results.netcdf import read_sealed

__all__ = ["CIFAR", "DIGITS", "BatchFigure", "accuracies", "risks"]

METHODS = ("VarPro", "SGD", "Shampoo")
SIZES = (64, 128, 256, 512, 1024)
PAPER = {"accuracy": "resnet_accuracy", "minibatch_risk": "resnet_risk"}
CIFAR, DIGITS = "deep-cifar.nc", "deep-digits.nc"  # results that may be kept, see README.md
LAST = 5  # vertices, one for each epoch, of which the table has the mean


def risks(scale: Scale) -> Still:
    """Risk of the minibatches of ResNet-20 by method and batch size: the paper's, and ours."""
    return _figure("minibatch_risk", "risks of minibatches")


def accuracies(scale: Scale) -> Still:
    """Accuracy of ResNet-20 by method and batch size: the paper's, and ours."""
    return _figure("accuracy", "test accuracy")


@dataclass(frozen=True)
class BatchFigure(Still):
    """A quantity over the passes over the data, a panel for each method.

    Attributes:
        quantity: a name in `PAPER`.
        cifar: what was run on CIFAR-10, as `uf_diffusion.plots.batches` takes it; None if nothing.
        digits: the same on the digits.
    """

    quantity: str
    cifar: xr.Dataset | None
    digits: xr.Dataset | None

    def figure(self, results: Results) -> Figure:
        rows = 1 + (self.digits is not None)
        figure = Figure(figsize=(10, 0.9 + 2.8 * rows), layout="constrained")
        grid = figure.subplots(rows, len(METHODS), sharey="row", squeeze=False)
        data = (self.cifar, self.digits)[:rows]
        for axes, one, paper in zip(grid, data, (True, False), strict=False):
            for ax, method in zip(axes, METHODS, strict=True):
                curves = _paper(self.quantity, method) if paper else {}
                draw_quantity(ax, one, self.quantity, method, curves)
                ax.set_title(f"{method}, {'ResNet-20, CIFAR-10' if paper else 'digits'}")
            for ax in axes[1:]:
                ax.set_ylabel("")
            _legend(axes[-1])
        return figure

    def agreement(self, results: Results) -> list[str]:
        """The accuracies on CIFAR-10 less the paper's, if they were run."""
        if self.cifar is None or self.quantity != "accuracy":
            return []
        lines = []
        for method in METHODS:
            for size in (size for size in SIZES if size in self.cifar.batch):
                at = {"method": method, "batch": size}
                ours = self.cifar.accuracy.sel(at).isel(epoch=slice(-LAST, None)).values.mean()
                theirs = _paper("accuracy", method)[f"batch size {size}"][1][-LAST:].mean()
                lines.append(f"last accuracy, {method}, batch size {size}: {100 * ours:.1f} %, "
                             f"the paper's {100 * theirs:.1f} %")  # fmt: skip
        return lines


def _figure(quantity: str, said: str) -> BatchFigure:
    cifar, digits = _kept(CIFAR), _kept(DIGITS)
    parts = ["grey: the paper's ResNet-20 on CIFAR-10"]
    if cifar is None:
        parts.append("not run here")
    for name, data in (("ResNet-20 on CIFAR-10", cifar), ("a narrow network on digits", digits)):
        if data is not None:
            parts.append(f"colours: {name}, {data.sizes['epoch'] - 1} epochs, "
                         f"mean and range of {data.sizes['seed']} seeds")  # fmt: skip
    return BatchFigure(quantity, cifar, digits, title=f"§6.2, {said}\n{'; '.join(parts)}")


def _kept(name: str, folder: Path = FOLDER) -> xr.Dataset | None:
    """A result that is kept; None if it is not."""
    path = folder / name
    return read_sealed(path).to_dataset() if path.exists() else None


def _paper(quantity: str, method: str) -> dict[str, tuple[Array, Array]]:
    """The paper's curves of a method, by their batch sizes."""
    names = [f"batch size {size}" for size in SIZES]
    found = {name: published(PAPER[quantity], method.lower(), name) for name in names}
    return {name: (np.asarray(one.x), np.asarray(one.y)) for name, one in found.items()}


def _legend(ax: Axes) -> None:
    """A legend beside a row of panels."""
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
