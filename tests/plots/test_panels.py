"""Pictures of results: what `draw` accepts and shows, and one description under both renderers."""

import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import uf_diffusion
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.plots.densities import animation
from uf_diffusion.plots.matplotlib_renderer import draw_panel
from uf_diffusion.plots.panels import Axis, Panel, Series, fitted, scale_of
from uf_diffusion.plots.plotly_renderer import plotly_figure
from uf_diffusion.plots.snapshots import neuron_density
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere
from uf_diffusion.results.names import COMPARED
from uf_diffusion.runs.reading import load_config
from uf_diffusion.runs.result import result_of

TIMES = np.array([0.0, 0.125, 0.5, 2.0])
STEPS = np.linspace(0, 2, 9)
SOURCES = {"circle": "relu-circle", "torus": "radial-torus", "sphere": "sphere"}
LINE = ["Diffusion μ", "Network, kernel density estimate", "Outer weights"]
OVER_TIME = ["Distances of the network", "Risks", "Bounds of μ/ν̄", "Approach to equilibrium"]


def comparison(name, width=40):
    """A made-up result: from uniform to the teacher as exp(-t), neurons anywhere."""
    rng = np.random.default_rng(1)
    config = load_config(SOURCES[name], ["diffusion.cells=500"])
    problem, grid = config.build(), grid_on(config.problem.space(), 500)
    node, manifold = grid.nodes, problem.manifold
    teacher, part = problem.teacher(node), np.exp(-TIMES)[:, None]
    density = part / manifold.volume + (1 - part) * teacher
    feature = np.stack([manifold.sample(width, rng) for _ in TIMES])
    diffusion = xr.Dataset({
        "snapshot_time": ("snapshot", TIMES), "node_position": (("node", "ambient"), node),
        "node_measure": ("node", np.full(len(node), manifold.volume / len(node))),
        "teacher": ("node", teacher), "density": (("snapshot", "node"), density),
        "outer_weight": (("snapshot", "node"), teacher / density), "time": ("step", STEPS),
        "risk": ("step", np.exp(-STEPS)), "mass": ("step", np.ones(len(STEPS))),
        "max_ratio": ("step", 1 + np.exp(-STEPS)), "min_ratio": ("step", 1 - np.exp(-STEPS) / 2),
    })  # fmt: skip
    network = xr.Dataset({
        "snapshot_time": ("snapshot", TIMES), "time": ("step", STEPS),
        "feature": (("snapshot", "neuron", "ambient"), feature),
        "risk": ("step", 2 * np.exp(-STEPS)),
        "neuron_mass": ("neuron", np.full(width, 1 / width)),
        "outer_weight": (("snapshot", "neuron"), rng.random((len(TIMES), width))),
    })  # fmt: skip
    distances = xr.Dataset({"time": ("snapshot", TIMES)} | {
        measured: ("snapshot", (k + 1) * np.exp(-TIMES)) for k, measured in enumerate(COMPARED)
    })  # fmt: skip
    root = xr.Dataset(attrs={"config": config.to_toml()})
    groups = {"/": root, "/diffusion": diffusion, "/network": network, "/comparison": distances}
    return xr.DataTree.from_dict(groups)


def titles(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


@pytest.fixture(scope="module")
def circle():
    return comparison("circle")


def test_a_figure_has_all_panels_and_no_empty_slot(circle):
    figure = uf_diffusion.draw(circle)
    assert titles(figure) == LINE + OVER_TIME
    assert all(ax.has_data() and ax.axison for ax in figure.axes)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)


@pytest.mark.parametrize("name", SOURCES)
def test_matplotlib_has_nothing_to_complain_of_and_nothing_is_clipped(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = uf_diffusion.draw(comparison(name), tmp_path / "figure.png")
    width, height = figure.get_size_inches() * figure.dpi
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert -1 <= box.x0 and box.x1 <= width + 1 and -1 <= box.y0 and box.y1 <= height + 1


@pytest.mark.parametrize("name", ["torus", "sphere"])
def test_maps_are_drawn_at_two_times_and_at_those_that_are_asked_for(name):
    result = comparison(name)
    maps = [t for t in titles(uf_diffusion.draw(result)) if "μ, t" in t or "estimate" in t]
    assert len(maps) == 4
    asked = uf_diffusion.draw(result, panels=["diffusion", "teacher"], times=[0.1, 0.5])
    assert titles(asked) == ["Diffusion μ, t = 0.125", "Diffusion μ, t = 0.5", "Teacher ν̄"]


def test_lines_are_those_of_the_result(circle):
    figure = uf_diffusion.draw(circle, panels="risks")
    by_label = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert by_label["network: reduced risk $L^λ$"] == pytest.approx(2 * np.exp(-STEPS))
    at_end = uf_diffusion.draw(circle, panels="diffusion", times=2.0).axes[0].lines[0]
    density = circle["diffusion"].density.values[-1]
    assert np.sort(at_end.get_ydata()) == pytest.approx(np.sort(density))


def test_axes_of_ones_own_a_style_and_scales(circle, tmp_path):
    figure = Figure()
    ax = figure.subplots()
    assert uf_diffusion.draw(circle, panels="distances", ax=ax, yscale="linear") is figure
    assert ax.get_yscale() == "linear" and ax.get_title() == OVER_TIME[0]
    assert ax.get_legend().get_texts()[0].get_text() == COMPARED["energy_distance_teacher"].text
    path = tmp_path / "risks.pdf"
    large = uf_diffusion.draw(circle, path, panels="risks", style={"font.size": 20}, xscale="log")
    assert large.axes[0].xaxis.label.get_size() == 20 and large.axes[0].get_xscale() == "log"
    assert path.stat().st_size > 1000 and matplotlib.rcParams["font.size"] != 20


WRONG = {
    "panel": ({"panels": "risk"}, "Unknown panel 'risk': did you mean 'risks'"),
    "no panel": ({"panels": []}, "There is no panel to draw"),
    "two panels in one": ({"panels": ["risks", "bounds"], "ax": 1}, "goes one panel"),
    "all in one": ({"ax": 1}, "goes one panel"),
    "time": ({"times": 3.0}, "times lie between 0 and 2, not 3.0"),
    "no time": ({"times": "late"}, "times are numbers, not 'late'"),
    "style": ({"style": {"font.sise": 3}}, "not one of matplotlib's"),
    "scale": ({"yscale": "cubic"}, "Unknown scale 'cubic'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_drawn_is_one_sentence(circle, name):
    choices, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        uf_diffusion.draw(circle, **choices)


def test_a_logarithmic_axis_needs_something_above_zero():
    flat = Series(np.arange(3.0), np.zeros(3))
    panel = Panel("flat", "Flat", Axis("x"), Axis("y", "log"), (flat,), "")
    with pytest.raises(InputError, match="'flat' has nothing above 0"):
        draw_panel(Figure().subplots(), panel)


@pytest.mark.parametrize("low, high, shown", [(1379.5, 1379.7, "1379.6"), (0.2, 3.0, "0.5"),
                                              (1e-9, 1e3, "10^{-6}"), (12.0, 80.0, "40")])  # fmt: skip
def test_ticks_of_a_short_logarithmic_axis_are_plain_numbers(low, high, shown):
    ax = Figure().subplots()
    series = Series(np.arange(2.0), np.array([low, high]))
    draw_panel(ax, Panel("p", "", Axis("x"), Axis("y", "log", low, high), (series,), ""))
    labels = [t.get_text() for t in [*ax.get_yticklabels(), *ax.get_yticklabels(minor=True)]]
    assert any(shown in label for label in labels)
    assert not any("times" in label for label in labels)


@pytest.mark.parametrize("name, count", [("circle", 2), ("torus", 4), ("sphere", 4)])
def test_what_moves_has_a_frame_for_each_time(name, count):
    result = result_of(comparison(name))
    shown = animation(result)
    assert len(shown.panels) == count and shown.times == pytest.approx(TIMES)
    for panel in shown.panels:
        figure = plotly_figure(panel)
        assert len(figure.frames) == (0 if panel.name == "teacher" else len(TIMES))
        assert figure.layout.title.text and panel.caption


def test_both_renderers_draw_the_same_numbers(circle):
    panel, _ = animation(result_of(circle)).panels
    ax = Figure().subplots()
    draw_panel(ax, panel, [3])
    (ours,) = [line for line in ax.lines if line.get_label() == "diffusion μ"]
    lines = [trace.y for trace in plotly_figure(panel).frames[3].data if trace.y is not None]
    same = [
        y for y in lines if len(y) == len(ours.get_ydata()) and np.allclose(y, ours.get_ydata())
    ]
    assert len(same) == 1


def test_scales_are_logarithmic_where_values_span_a_factor_of_three():
    assert scale_of([np.array([1.0, 2.9])]) == "linear" == scale_of([np.array([0.0, 9.0])])
    assert scale_of([np.array([1.0, np.nan]), np.array([3.1])]) == "log"
    axis = fitted("u", np.array([1.0, 100.0]))
    assert 0.5 < axis.low < 1 and 100 < axis.high < 200


@pytest.mark.parametrize(
    "manifold, n", [(Circle(), 500), (FlatTorus(2, 4.0), 1024), (Sphere(2), 600)]
)
def test_the_density_of_uniform_neurons_is_flat_and_has_mass_one(manifold, n, rng):
    """Evenly placed to 3 %; sampled, the error is well below that of two spacings' width."""
    points, mass = manifold.sample(400, rng), np.full(n, 1 / n)
    even = neuron_density(manifold, manifold.even(n), mass, points) * manifold.volume
    assert even == pytest.approx(1, abs=0.03)
    drawn = manifold.sample(n, rng)
    width = 2 / manifold.dim * (manifold.volume / n) ** (1 / manifold.dim)
    rough, smooth = (
        np.std(neuron_density(manifold, drawn, mass, points, w)) for w in (width, None)
    )
    assert smooth < 0.9 * rough


def test_peaks_keep_their_height(rng):
    """A von Mises density of neurons, a tenth of a radian wide."""
    angle = rng.vonmises(0.0, 100.0, 2000)
    at = Circle().unchart(np.zeros((1, 1)))
    (top,) = neuron_density(Circle(), Circle().unchart(angle[:, None]), np.ones(2000), at)
    assert top == pytest.approx(np.sqrt(100 / (2 * np.pi)), rel=0.12)


def test_the_library_loads_without_any_renderer():
    code = "import sys, uf_diffusion; print(*[m for m in ('matplotlib', 'plotly') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    code = "import sys, uf_diffusion.plots; print('plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_notebook_shows_a_figure_without_pyplot(circle):
    assert uf_diffusion.draw(circle, panels="risks")._repr_png_().startswith(b"\x89PNG")
