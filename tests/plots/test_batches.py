"""Table and figure of methods and batch sizes, from numbers that the test makes."""

import numpy as np
import pytest
import xarray as xr

from uf_diffusion.plots.batches import batch_table, draw_batches


@pytest.fixture
def data():
    """Accuracy method + batch/10 + seed/50, which is wrong before the last five of seven epochs."""
    method, batch, seed, epoch = np.ogrid[:2, :3, :2, :8]
    accuracy = (0.3 * method + 0.1 * batch + 0.02 * seed + 0 * epoch) * (epoch > 2)
    coords = {"method": ["one", "two"], "batch": [8, 16, 32], "seed": [0, 1], "epoch": range(8)}
    dims = ("method", "batch", "seed", "epoch")
    return xr.Dataset(
        {"accuracy": (dims, accuracy), "minibatch_risk": (dims, 1 + accuracy)}, coords
    )


def test_the_table_has_means_and_ranges_of_the_last_epochs(data):
    lines = batch_table(data).splitlines()
    assert "mean (range) of 2 seeds over the last 5 epochs" in lines[0]
    assert lines[1].split() == ["batch", "size", "one", "two"]
    assert lines[3].split() == [
        "16",
        "11.00",
        "(10.00",
        "...",
        "12.00)",
        "41.00",
        "(40.00",
        "...",
        "42.00)",
    ]
    assert lines[5].split() == ["spread", "20.00", "20.00"]
    assert lines[11].split()[:2] == ["32", "1.21"]


def test_each_panel_has_the_mean_and_the_band_of_its_method(data):
    axes = draw_batches(data).axes
    assert [ax.get_title() for ax in axes] == ["one", "two"] * 2
    line, band = axes[1].lines[2], axes[1].collections[2]
    np.testing.assert_allclose(line.get_ydata(), data.accuracy.values[1, 2].mean(axis=0))
    heights = band.get_paths()[0].vertices[:, 1]
    assert {heights.min(), heights.max()} == {0.0, data.accuracy.values[1, 2].max()}
    assert axes[3].get_yscale() == "log"
