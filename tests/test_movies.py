"""Movies: their frames, the globe, one colour scale, and files that are complete or not there."""

import itertools

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.special import ive

from paper_figures import movies
from paper_figures.globe import Globe
from paper_figures.movies import animate, movie
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.plots.maps import Chart, density_scale
from uf_diffusion.problem.manifolds import FlatTorus, Sphere
from uf_diffusion.runs.reading import load_config

TIMES = np.array([0.0, 0.125, 0.5, 2.0])
SOURCES = {"circle": "relu-circle", "torus": "radial-torus", "sphere": "sphere"}


def comparison(name, rng, width=40):
    """A made-up result: from uniform to the teacher as exp(-t), neurons anywhere."""
    config = load_config(SOURCES[name], ["diffusion.cells=500"])
    problem, grid = config.build(), grid_on(config.problem.space(), 500)
    node, manifold = grid.nodes, problem.manifold
    teacher = problem.teacher(node)
    part = np.exp(-TIMES)[:, None]
    density = part / manifold.volume + (1 - part) * teacher
    feature = np.stack([manifold.sample(width, rng) for _ in TIMES])
    diffusion = xr.Dataset({
        "snapshot_time": ("snapshot", TIMES), "node_position": (("node", "ambient"), node),
        "node_measure": ("node", np.full(len(node), manifold.volume / len(node))),
        "teacher": ("node", teacher), "density": (("snapshot", "node"), density),
        "outer_weight": (("snapshot", "node"), teacher / density),
    })  # fmt: skip
    network = xr.Dataset({
        "snapshot_time": ("snapshot", TIMES),
        "feature": (("snapshot", "neuron", "ambient"), feature),
        "neuron_mass": ("neuron", np.full(width, 1 / width)),
        "outer_weight": (("snapshot", "neuron"), rng.random((len(TIMES), width))),
    })  # fmt: skip
    distances = xr.Dataset({
        "energy_distance_teacher": ("snapshot", np.exp(-TIMES)),
        "energy_distance_diffusion": ("snapshot", 0.1 * np.exp(-TIMES)),
    })  # fmt: skip
    root = xr.Dataset(attrs={"config": config.to_toml()})
    groups = {"/": root, "/diffusion": diffusion, "/network": network, "/comparison": distances}
    return xr.DataTree.from_dict(groups)


def pictures(figure):
    """The images of densities, without the colour bar's."""
    return [image for ax in figure.axes[:2] for image in ax.images]


@pytest.mark.parametrize("name", SOURCES)
def test_a_gif_has_a_frame_for_each_snapshot_and_no_two_are_equal(name, rng, tmp_path):
    path = tmp_path / "movie.gif"
    animate(comparison(name, rng), path, fps=10, title="a title")
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as film:
        assert film.n_frames == len(TIMES)
        assert film.size == tuple(movies.DPI * np.array(movies.SIZE))
        frames, lasting = [], []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB")))
            lasting.append(film.info["duration"])
    assert lasting == [100, 100, 100, 1000]
    assert all((a != b).any() for a, b in itertools.pairwise(frames))
    assert all((frame[0, 0] == 255).all() for frame in frames)


def test_frames_of_a_gif_are_the_figure_up_to_few_grey_levels(rng, tmp_path):
    """The common palette loses no colour: the last frame against the figure itself."""
    result = comparison("sphere", rng)
    animate(result, tmp_path / "movie.gif")
    with Image.open(tmp_path / "movie.gif") as film:
        film.seek(film.n_frames - 1)
        shown = np.asarray(film.convert("RGB")).astype(int)
    with matplotlib.rc_context(movies.STYLE):
        figure, move, count = movie(result)
        move(count - 1)
        figure.savefig(tmp_path / "still.png", dpi=movies.DPI)
    with Image.open(tmp_path / "still.png") as still:
        drawn = np.asarray(still.convert("RGB")).astype(int)
    assert np.abs(shown - drawn).max() <= 24


@pytest.mark.parametrize("name", ["torus", "sphere"])
def test_all_pictures_share_one_colour_scale_from_0_to_the_teachers_maximum(name, rng):
    result = comparison(name, rng)
    figure, move, count = movie(result)
    left, right = pictures(figure)
    assert left.norm is right.norm
    for k in range(count):
        move(k)
        assert left.get_clim() == (0, result["diffusion"].teacher.values.max())
    (bar,) = [image.colorbar for image in (left, right) if image.colorbar]
    assert bar.norm is left.norm


def test_axes_and_panels_stay_where_they_are(rng):
    for name in SOURCES:
        figure, move, count = movie(comparison(name, rng))
        seen = []
        for k in range(count):
            move(k)
            figure.draw_without_rendering()
            seen.append([(*ax.get_position().bounds, *ax.axis()) for ax in figure.axes])
        assert seen[1:] == seen[:-1]


def test_the_line_movie_shows_densities_weights_and_time_of_the_snapshot(rng):
    result = comparison("circle", rng)
    figure, move, _ = movie(result, "ReLU")
    move(2)
    density, weights = figure.axes
    by_label = {line.get_label(): line for ax in figure.axes for line in ax.lines}
    assert figure.get_suptitle() == "ReLU   t = 0.500"
    d, n = result["diffusion"], result["network"]
    assert np.array_equal(np.sort(density.lines[0].get_ydata()), np.sort(d.density.values[2]))
    assert np.array_equal(by_label["neurons"].get_ydata(), n.outer_weight.values[2])
    angle = np.arctan2(n.feature.values[2][:, 1], n.feature.values[2][:, 0])
    assert by_label["neurons"].get_xdata() == pytest.approx(angle)
    smoothed = by_label["network (smoothed)"]
    width = 2 * (2 * np.pi / 40)  # of the Gaussian of the chord, whose mass is a Bessel function
    mass = ive(0, width**-2) * np.sqrt(2 * np.pi) / width
    assert np.trapezoid(smoothed.get_ydata(), smoothed.get_xdata()) == pytest.approx(mass, rel=1e-6)
    assert weights.get_ylim()[1] > d.outer_weight.values.max()


def test_a_dot_marks_the_snapshots_time_on_each_distance(rng):
    result = comparison("torus", rng)
    figure, move, _ = movie(result)
    move(3)
    dots = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "o"]
    assert [(*dot.get_xdata(), *dot.get_ydata()) for dot in dots] == [
        (2.0, np.exp(-2.0)), (2.0, 0.1 * np.exp(-2.0))
    ]  # fmt: skip


def test_without_distances_there_are_two_panels(rng):
    result = comparison("torus", rng)
    del result["comparison"]
    figure, _, _ = movie(result)
    assert len(figure.axes) == 3  # with the colour bar


def test_a_function_of_height_is_the_same_left_and_right_whatever_the_longitude():
    for longitude in (0.0, 2.0):
        globe = Globe(longitude, 0.4)
        picture = globe.image(np.exp(globe.pixels[:, 2]))
        assert picture == pytest.approx(picture[:, ::-1], abs=1e-12)
        assert picture == pytest.approx(Globe(0, 0.4).image(np.exp(Globe(0, 0.4).pixels[:, 2])))


def test_seen_from_the_equator_height_is_height_and_longitude_grows_to_the_right():
    """At latitude 0 the picture's y is z, and x is the sine of the longitude, times cos(latitude)."""
    globe = Globe(0.7, 0.0, size=50)
    centre = (2 * np.arange(50) + 1) / 50 - 1
    x, y = np.meshgrid(centre, centre)
    inside = np.hypot(x, y) < 1
    height = globe.image(globe.pixels[:, 2])
    east = globe.image(globe.pixels @ [-np.sin(0.7), np.cos(0.7), 0])
    assert height[inside] == pytest.approx(y[inside])
    assert east[inside] == pytest.approx(x[inside])


def test_pixels_are_near_points_and_lie_where_they_are_placed():
    globe = Globe(-2.5, 0.9, size=40)
    towards = [np.cos(0.9) * np.cos(-2.5), np.cos(0.9) * np.sin(-2.5), np.sin(0.9)]
    assert (globe.pixels @ towards).min() > -1e-12
    assert np.linalg.norm(globe.pixels, axis=1) == pytest.approx(1)
    centre = (2 * np.arange(40) + 1) / 40 - 1
    inside = (centre[:, None] ** 2 + centre**2 < 0.999).ravel()
    y, x = np.meshgrid(centre, centre, indexing="ij")
    expected = np.column_stack([x.ravel(), y.ravel()])[inside]
    assert globe.place(globe.pixels[inside]) == pytest.approx(expected)


def test_only_neurons_of_the_near_side_are_placed(rng):
    points = Sphere(2).sample(400, rng)
    globe = Globe(1.0, -0.3)
    towards = [np.cos(0.3) * np.cos(1.0), np.cos(0.3) * np.sin(1.0), -np.sin(0.3)]
    near = points @ towards >= 0
    assert 0 < near.sum() < 400
    seen = globe.place(points)
    assert np.isfinite(seen).all(axis=1).tolist() == near.tolist()
    opposite = globe.place(-points)
    assert np.isnan(opposite[near]).all()


def test_a_spot_is_drawn_where_a_neuron_there_is_placed():
    """Through matplotlib: the pixel of the highest density lies on the neuron's place."""
    globe = Globe(0.3, 0.2)
    spot = Sphere(2).unchart(np.array([[0.8, 0.6]]))
    figure = Figure(figsize=(2, 2), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    values = np.exp(50 * ((globe.pixels @ spot.T)[:, 0] - 1))
    globe.show(ax, globe.image(values), density_scale(1.0))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    colours = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    yellow = colours[..., 0] - colours[..., 2]  # where viridis ends; white and grey have none
    row, column = np.unravel_index(np.argmax(yellow), yellow.shape)
    (x, y) = ax.transData.transform(globe.place(spot)[0])
    assert (column, 199 - row) == pytest.approx((x, y), abs=3)


def test_the_charts_picture_is_upright():
    """A function of the first coordinate varies along rows, rows go up with the second."""
    chart = Chart(FlatTorus(2, 4.0))
    x, y = (chart.image(c) for c in chart.pixels.T)
    assert (np.diff(x, axis=1) > 0).all()
    assert (np.diff(y, axis=0) > 0).all()
    assert np.ptp(x, axis=0) == pytest.approx(0)


def test_an_interrupted_movie_leaves_the_earlier_file_and_no_part(rng, tmp_path, monkeypatch):
    path = tmp_path / "movie.gif"
    path.write_bytes(b"earlier")
    solved = movies._Run.solved

    def interrupted(run, k, points):
        if k == 2:
            raise KeyboardInterrupt
        return solved(run, k, points)

    monkeypatch.setattr(movies._Run, "solved", interrupted)
    with pytest.raises(KeyboardInterrupt):
        animate(comparison("sphere", rng), path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"earlier"


def test_what_cannot_be_filmed_is_one_sentence(rng, tmp_path, monkeypatch):
    result = comparison("circle", rng)
    monkeypatch.setattr(movies.FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    for name, fps, message in (("a.avi", 12, ".gif or .mp4"), ("a.mp4", 12, "ffmpeg"),
                               ("a.gif", 0, "at least one frame")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            animate(result, tmp_path / name, fps)
    del result["network"]
    with pytest.raises(InputError, match="needs the diffusion and the network"):
        animate(result, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
