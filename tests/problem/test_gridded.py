"""Densities from histograms and grids: exact masses, orders, draws, poles, coordinates."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 3.0), Sphere(2)


def around(count, start=-np.pi, period=2 * np.pi):
    return start + period * np.arange(count) / count


def bin_masses(rho, bins):
    """The masses of a density's bins, by nine Gauss points along each axis of each bin."""
    manifold = rho.manifold
    point, weight = np.polynomial.legendre.leggauss(9)
    axes = []
    for axis in manifold.axes:
        width = axis.length / bins
        left = axis.low + width * np.arange(bins)
        axes.append((left[:, None] + width * (1 + point) / 2).ravel())
    chart = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, manifold.dim)
    values = rho(manifold.unchart(chart)).reshape((bins, 9) * manifold.dim)
    for k in reversed(range(manifold.dim)):
        values = np.tensordot(values, weight / 2, (2 * k + 1, 0))
    return values * manifold.volume / bins**manifold.dim


def l1(one, two, side):
    x = one.manifold.even(side**one.manifold.dim)
    return np.abs(one(x) - two(x)).mean() * one.manifold.volume


def fitted_order(errors):
    return -np.polyfit(np.arange(len(errors)), np.log2(errors), 1)[0]


@pytest.mark.parametrize(
    ("rho", "bins"),
    [(uf.Bumps(CIRCLE, 10.0), (64, 128, 256)), (uf.Bumps(TORUS, 3.0), (16, 32, 64))], ids=repr,
)  # fmt: skip
def test_a_histogram_has_order_2(rho, bins):
    errors = [
        l1(uf.Histogram(rho.manifold, counts=bin_masses(rho, n)), rho, 8 * n if n > 64 else 384)
        for n in bins
    ]
    assert fitted_order(errors) == pytest.approx(2, abs=0.1)
    assert errors[-1] < 5e-3


def test_a_grid_has_order_2():
    """On the circle, on a torus, and on S^2 in the latitude with and without rows at the poles."""
    rho = uf.Bumps(CIRCLE, 10.0)
    errors = []
    for n in (64, 128, 256):
        angle = around(n, 0.3)
        values = 7 * rho(CIRCLE.unchart(angle))
        errors.append(l1(uf.Interpolated(CIRCLE, values=values, coordinates=angle), rho, 3072))
    assert fitted_order(errors) == pytest.approx(2, abs=0.1) and errors[-1] < 5e-3
    rho, errors = uf.Bumps(TORUS, 3.0), []
    for n in (16, 32, 64):
        x, y = around(n, 0.0, 3.0), around(2 * n, -1.5, 3.0)
        points = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
        values = rho(points.reshape(-1, 2)).reshape(n, 2 * n)
        errors.append(l1(uf.Interpolated(TORUS, values=values, coordinates=[x, y]), rho, 256))
    assert fitted_order(errors) == pytest.approx(2, abs=0.1) and errors[-1] < 5e-3
    rho = uf.VonMisesFisher(SPHERE, 5.0, means=[[0.3, -0.5, 1.0]])
    for name, rows in (
        ("poles", (17, 33, 65)),
        ("no poles", (16, 32, 64)),
        ("height", (32, 64, 128)),
    ):
        errors = [l1(on_sphere(rho, n, name), rho, 300) for n in rows]
        assert fitted_order(errors) > (1.4 if name == "height" else 1.9), name
        assert errors[-1] < 1e-2


def on_sphere(rho, rows, name):
    """A density on S^2 from its values on a grid with 2 rows longitudes."""
    longitude = around(2 * rows, 0.0)
    if name == "height":
        height = np.linspace(-1, 1, rows)
        chart = np.stack(np.meshgrid(longitude, height, indexing="ij"), -1)
        dims, nodes = ("longitude", "height"), height
    else:
        inset = 0.0 if name == "poles" else np.pi / 2 / rows
        nodes = np.linspace(-np.pi / 2 + inset, np.pi / 2 - inset, rows)
        chart = np.stack(np.meshgrid(longitude, np.sin(nodes), indexing="ij"), -1)
        dims = ("longitude", "latitude")
    values = rho(SPHERE.unchart(chart.reshape(-1, 2))).reshape(2 * rows, rows)
    return uf.Interpolated(SPHERE, values=values, coordinates=[longitude, nodes], dims=dims)


def test_the_mass_is_exactly_one(rng):
    """A lattice that contains all nodes integrates what is linear between them without error."""
    rho = uf.Histogram(CIRCLE, counts=rng.random(16) + 0.1)
    assert rho(CIRCLE.even(48)).mean() * 2 * np.pi == pytest.approx(1, abs=1e-13)
    rho = uf.Histogram(TORUS, counts=rng.random((6, 6)) + 0.1)
    assert rho(TORUS.even(18**2)).mean() * 9 == pytest.approx(1, abs=1e-13)
    rho = uf.Histogram(FlatTorus(3, 2.0), counts=rng.random((4, 4, 4)), floor=0.3)
    assert rho(FlatTorus(3, 2.0).even(12**3)).mean() * 8 == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("name", ["latitude", "height"])
def test_the_mass_on_the_sphere_is_exactly_one(name, rng):
    """Gauss's rule in each row, times a trapezoidal rule with all longitudes as nodes."""
    low, high = (-np.pi / 2, np.pi / 2) if name == "latitude" else (-1.0, 1.0)
    nodes, longitude = np.linspace(low, high, 9)[1:-1], around(8, 0.0)
    rho = uf.Interpolated(SPHERE, values=rng.random((8, 7)), floor=0.01, dims=("longitude", name),
                          coordinates=[longitude, nodes])  # fmt: skip
    point, weight = np.polynomial.legendre.leggauss(20)
    ends = np.linspace(low, high, 9)
    c = (ends[:-1, None] + np.diff(ends)[:, None] * (1 + point) / 2).ravel()
    mass = np.tile(weight, 8) * np.diff(ends)[0] / 2 * (np.cos(c) if name == "latitude" else 1)
    height = np.sin(c) if name == "latitude" else c
    total = sum(mass @ rho(SPHERE.unchart(np.column_stack([np.full(len(c), angle), height])))
                for angle in longitude)  # fmt: skip
    assert total * 2 * np.pi / 8 == pytest.approx(1, abs=1e-12)


def test_a_histogram_has_its_counts_at_the_centres():
    rho = uf.Histogram(CIRCLE, counts=[1, 2, 4, 3])
    centres = CIRCLE.unchart(np.pi * np.array([-0.75, -0.25, 0.25, 0.75]))
    assert rho(centres) == pytest.approx(np.array([1, 2, 4, 3]) / 10 / (np.pi / 2))
    assert rho(CIRCLE.unchart(np.array([np.pi]))) == pytest.approx(2 / 10 / (np.pi / 2))


def test_draws_have_the_density(rng):
    """Kolmogorov-Smirnov on the circle; on S^2 the heights and the longitudes, near the poles too."""
    rho = uf.Histogram(CIRCLE, counts=[0, 5, 1, 3, 2], floor=0.1)
    angle = np.linspace(-np.pi, np.pi, 50_001)
    share = np.cumsum(rho(CIRCLE.unchart(angle)))
    law = lambda t: np.interp(t, angle, share / share[-1])  # noqa: E731
    assert kstest(CIRCLE.chart(rho.sample(20_000, rng))[:, 0], law).pvalue > 1e-3
    values = rng.random((6, 5)) + 0.2
    values[:, [0, -1]] = [2.0, 0.5]
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 5)
    rho = uf.Interpolated(SPHERE, values=values, coordinates=[around(6), latitude])
    z, t = np.linspace(-1, 1, 2002)[:-1] + 0.5 / 1000.5, around(600)
    chart = np.stack(np.meshgrid(t, z[:-1], indexing="ij"), -1).reshape(-1, 2)
    table = rho(SPHERE.unchart(chart)).reshape(600, -1)
    drawn = SPHERE.chart(rho.sample(20_000, rng))
    for k, (nodes, density) in enumerate([(t, table.sum(axis=1)), (z[:-1], table.sum(axis=0))]):
        share = np.cumsum(density)
        law = lambda c, n=nodes, s=share: np.interp(c, n, s / s[-1])  # noqa: E731
        assert kstest(drawn[:, k], law, alternative="two-sided").statistic < 0.02


def test_a_pole_has_one_value(rng):
    """Along every longitude the density tends to the same value."""
    values = rng.random((8, 6)) + 1
    nodes = np.linspace(-np.pi / 2, np.pi / 2, 13)[1::2]
    rho = uf.Interpolated(SPHERE, values=values, coordinates=[around(8), nodes])
    t = around(50)
    for pole, row in ((1.0, -1), (-1.0, 0)):
        near = np.column_stack([1e-9 * np.cos(t), 1e-9 * np.sin(t), np.full(50, pole)])
        found = rho(near)
        assert found == pytest.approx(np.full(50, found[0]), rel=1e-7)
        at = rho(SPHERE.unchart(np.column_stack([around(8), np.full(8, np.sin(nodes[row]))])))
        assert found[0] == pytest.approx(at.mean(), rel=1e-7)


def data_array(dims, values, coords, units=None):
    about = {name: (name, nodes, {} if units is None else {"units": units})
             for name, nodes in coords.items()}  # fmt: skip
    return xr.DataArray(values, dims=dims, coords=about)


def test_the_order_of_dimensions_and_the_units_do_not_matter(rng):
    values = rng.random((8, 5)) + 1
    values[:, [0, -1]] = [1.5, 2.5]
    longitude, latitude = around(8, 0.0), np.linspace(-np.pi / 2, np.pi / 2, 5)
    radians = data_array(("longitude", "latitude"), values,
                         {"longitude": longitude, "latitude": latitude})  # fmt: skip
    degrees = data_array(("latitude", "longitude"), values.T.astype("float32"),
                         {"latitude": np.linspace(-90, 90, 5, dtype="float32"),
                          "longitude": np.arange(0, 360, 45, dtype="float32")}, "degrees_east")  # fmt: skip
    x = SPHERE.even(500)
    one, two = (uf.Interpolated(SPHERE, values=array) for array in (radians, degrees))
    assert one(x) == pytest.approx(two(x), rel=1e-6)
    assert one == uf.Interpolated(SPHERE, values=one.values, dims=one.dims,
                                  coordinates=one.coordinates)  # fmt: skip
    torus = rng.random((4, 6)) + 1
    nodes = {"x1": around(4, 0, 3.0), "x2": around(6, 0, 3.0)}
    one, two = (uf.Interpolated(TORUS, values=data_array(dims, array, nodes))
                for dims, array in ((("x1", "x2"), torus), (("x2", "x1"), torus.T)))  # fmt: skip
    assert one(TORUS.even(64)) == pytest.approx(two(TORUS.even(64)), rel=1e-14)


def test_a_floor_is_a_part_of_the_uniform_density():
    counts = np.array([1.0, 2.0, 3.0])
    x, plain = CIRCLE.even(30), uf.Histogram(CIRCLE, counts=counts)
    mixed = uf.Histogram(CIRCLE, counts=counts, floor=0.25)
    assert mixed(x) == pytest.approx(0.75 * plain(x) + 0.25 / (2 * np.pi), rel=1e-14)


HISTOGRAMS = {
    "nothing": (CIRCLE, {}, "needs counts or a file"),
    "negative": (CIRCLE, {"counts": [1, -2, 3]}, "counts must not be negative, but one is -2."),
    "zero": (CIRCLE, {"counts": [0, 0, 0]}, "counts are all 0"),
    "some zeros": (CIRCLE, {"counts": [0, 1, 0, 2]}, "2 of 4 counts are 0, and a density is positive"),
    "nan": (CIRCLE, {"counts": [1, float("nan")]}, "counts must be finite"),
    "text": (CIRCLE, {"counts": ["1", "2"]}, "counts must be real numbers"),
    "one bin": (CIRCLE, {"counts": [3]}, "must have 1 axes with at least two bins each"),
    "one axis": (TORUS, {"counts": [1, 2, 3]}, "must have 2 axes with at least two bins each, not the shape (3,)"),
    "two axes": (CIRCLE, {"counts": np.ones((3, 3))}, "must have 1 axes"),
    "sphere": (SPHERE, {"counts": [1, 2]}, "'histogram' lives on the circle and on flat tori"),
    "both": (CIRCLE, {"counts": [1, 2], "file": "c.npy"}, "takes counts or a file, not both"),
}  # fmt: skip
T, LAT, LON = around(8), np.linspace(-1.4, 1.4, 7), around(4)
GRIDS = {
    "nothing": (CIRCLE, {}, "needs values or a file"),
    "no coordinates": (CIRCLE, {"values": T**2}, "needs a list of coordinates for angle"),
    "coordinates of another axis": (TORUS, {"values": np.ones((3, 3)), "coordinates": [T]}, "needs a list of coordinates for x1, x2"),
    "coordinates are a number": (CIRCLE, {"values": T**2, "coordinates": 3}, "needs a list of coordinates for angle"),
    "dims are a number": (CIRCLE, {"values": T**2, "coordinates": [T], "dims": 3}, "dims must be a list of names, not 3"),
    "a data set": (CIRCLE, {"values": xr.Dataset({"a": ("angle", T)}, {"angle": T})}, "values must be real numbers"),
    "no coordinates of xarray": (CIRCLE, {"values": xr.DataArray(T**2, dims="angle")}, "'angle' has no coordinates"),
    "decreasing": (CIRCLE, {"values": T**2, "coordinates": [T[::-1]]}, "'angle' must increase"),
    "uneven": (CIRCLE, {"values": T**2, "coordinates": [np.pi * np.sin(T / 2)]}, "'angle' must be evenly spaced"),
    "both ends": (CIRCLE, {"values": np.ones(9), "coordinates": [np.linspace(-np.pi, np.pi, 9)]}, "must cover one period of length 6.28319 without its end"),
    "degrees": (CIRCLE, {"values": np.ones(4), "coordinates": [[0, 90, 180, 270]]}, "must cover one period"),
    "few": (CIRCLE, {"values": np.ones(8), "coordinates": [T[:7]]}, "one number for each"),
    "nan coordinate": (CIRCLE, {"values": np.ones(8), "coordinates": [T * np.nan]}, "The coordinate 'angle' must be finite"),
    "names": (CIRCLE, {"values": data_array(("theta",), np.ones(8), {"theta": T})}, "have the dimensions (angle), not (theta)."),
    "names on the sphere": (SPHERE, {"values": data_array(("lon", "lat"), np.ones((4, 7)), {"lon": LON, "lat": LAT})}, "(longitude, latitude) or (longitude, height), not (lon, lat)."),
    "axes": (TORUS, {"values": np.ones((3, 3, 3)), "coordinates": [T, T]}, "have the dimensions (x1, x2), not (x1, x2) with 3 axes."),
    "negative": (CIRCLE, {"values": T, "coordinates": [T]}, "values must not be negative"),
    "infinite": (CIRCLE, {"values": np.full(8, np.inf), "coordinates": [T]}, "values must be finite"),
    "zero": (CIRCLE, {"values": T**2, "coordinates": [T]}, "1 of 8 values are 0"),
    "poles differ": (SPHERE, {"values": np.arange(12.0).reshape(4, 3) + 1, "coordinates": [LON, [-np.pi / 2, 0, np.pi / 2]]}, "The values at the south pole must be equal"),
    "far from the poles": (SPHERE, {"values": np.ones((4, 7)), "coordinates": [LON, LAT / 3]}, "must begin and end at most one step before the poles"),
    "beyond the poles": (SPHERE, {"values": np.ones((4, 7)), "coordinates": [LON, LAT * 3]}, "must begin and end at most one step before the poles"),
    "S^3": (Sphere(3), {"values": np.ones(3)}, "'grid' lives on the circle, on flat tori and on S^2"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["Histogram", "Interpolated"])
def test_a_mistake_is_one_sentence(kind):
    cases = HISTOGRAMS if kind == "Histogram" else GRIDS
    for case, (manifold, given, said) in cases.items():
        with pytest.raises(InputError) as raised:
            getattr(uf, kind)(manifold, **given)
        text = str(raised.value)
        assert said in text, f"{case}: {text}"
        assert "\n" not in text and text.endswith("."), case
