"""The figures of section 6.2: the paper's numbers, and no claim of what was not run."""

import numpy as np
import pytest
import xarray as xr

from paper_figures import resnet
from paper_figures.drawing import Results
from paper_figures.regenerate import FIGURES
from paper_figures.scale import Scale
from uf_diffusion.results.netcdf import write_result

# of the paper's curves, the means of the last five accuracies in percent
PAPER = {
    "VarPro": (85.1, 87.1, 86.4, 87.8, 88.1),
    "SGD": (90.4, 90.3, 90.0, 89.8, 89.4),
    "Shampoo": (86.7, 86.4, 86.4, 86.1, 85.7),
}
NAMES = ["resnet-risks", "resnet-accuracies"]


def made(batches, seeds, epochs, accuracy=0.5):
    """A result as `uf-diffusion deep` writes it."""
    dims, shape = ("method", "batch", "seed", "epoch"), (3, len(batches), seeds, epochs + 1)
    coords = {
        "method": list(PAPER),
        "batch": list(batches),
        "seed": range(seeds),
        "epoch": range(epochs + 1),
    }
    risk = np.broadcast_to(np.geomspace(40, 1, epochs + 1), shape)
    return xr.Dataset(
        {"accuracy": (dims, np.full(shape, accuracy)), "minibatch_risk": (dims, risk)}, coords
    )


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Kept results are looked for in an empty folder."""
    monkeypatch.setattr(resnet, "_kept", lambda name, usual=resnet._kept: usual(name, tmp_path))
    return tmp_path


def texts(figure):
    return [ax.get_title() for ax in figure.axes]


@pytest.mark.parametrize("name", NAMES)
def test_without_runs_only_the_papers_curves_are_drawn(name, folder):
    drawing = FIGURES[name](Scale())
    figure = drawing.figure(Results({}))
    assert "not run here" in drawing.title and "colours" not in drawing.title
    assert texts(figure) == [f"{method}, ResNet-20, CIFAR-10" for method in PAPER]
    assert all(len(ax.lines) == 5 for ax in figure.axes)
    assert drawing.agreement(Results({})) == []
    assert not drawing.runs


@pytest.mark.parametrize("name", NAMES)
def test_digits_have_panels_of_their_own(name, folder):
    write_result(folder / resnet.DIGITS, xr.DataTree(made((16, 32), 3, 7)))
    drawing = FIGURES[name](Scale())
    figure = drawing.figure(Results({}))
    assert "not run here; colours: a narrow network on digits, 7 epochs" in drawing.title
    assert "range of 3 seeds" in drawing.title
    assert texts(figure)[3:] == [f"{method}, digits" for method in PAPER]
    assert [len(ax.lines) for ax in figure.axes] == [5] * 3 + [2] * 3
    labels = [line.get_label() for line in figure.axes[3].lines]
    assert labels == ["batch size 16", "batch size 32"]


def test_runs_on_cifar_are_compared_with_the_papers_last_accuracies(folder):
    write_result(folder / resnet.CIFAR, xr.DataTree(made((64, 1024), 1, 110, accuracy=0.875)))
    drawing = FIGURES["resnet-accuracies"](Scale())
    assert "not run here" not in drawing.title
    assert "colours: ResNet-20 on CIFAR-10, 110 epochs" in drawing.title
    assert [len(ax.lines) for ax in drawing.figure(Results({})).axes] == [7] * 3
    lines = drawing.agreement(Results({}))
    expected = [
        f"last accuracy, {method}, batch size {size}: 87.5 %, the paper's {PAPER[method][k]} %"
        for method in PAPER
        for k, size in ((0, 64), (4, 1024))
    ]
    assert lines == expected
