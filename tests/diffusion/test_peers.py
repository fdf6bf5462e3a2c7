"""The benchmark's other solvers reach the same solution as ours, and its numbers are what they say."""

import json

import numpy as np
import pytest

pytest.importorskip("dolfinx")
import precision
import sundials
from differences import Differences, band, rate
from peers_on_the_circle import PEERS, cvode_in_python, lsoda, solved
from surfaces import Bump, Surface
from work_precision import Row, envelope, seconds_at

from uf_diffusion.problem.manifolds import Sphere


@pytest.mark.parametrize("variable", ["mu", "log", "u"])
@pytest.mark.parametrize("order", [2, 8])
def test_the_jacobian_is_that_of_the_rate(order, variable):
    ode = Differences(10.0, 21, order, variable)
    direction = np.sin(np.arange(21.0))
    y, up, down, slope = (np.empty(21) for _ in range(4))
    y[:] = ode.start * (1 + 0.1 * np.cos(np.arange(21.0)))
    step = 1e-6 * np.abs(y) * direction
    rate(y + step, up, *ode.arguments)
    rate(y - step, down, *ode.arguments)
    rate(y, slope, *ode.arguments)
    bands = np.zeros((21, 2 * ode.width + 1))
    band(y, slope, ode.kind, ode.nu, ode.rows, ode.places, ode.width, bands)
    i, j = np.indices((21, 21))
    inside = np.abs(i - j) <= ode.width
    jacobian = np.where(inside, bands[j, np.where(inside, i - j + ode.width, 0)], 0.0)
    assert jacobian @ step == pytest.approx((up - down) / 2, rel=1e-6, abs=1e-9 * np.abs(up).max())


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_differences_have_their_order(order):
    """Against (nu u')' by Fourier series, which is exact here."""
    errors = []
    for n in (24, 48):
        ode = Differences(1.0, n, order, "u")
        u = 2 + np.sin(ode.nodes)
        flux = np.fft.rfft(ode.nu * np.cos(ode.nodes))
        exact = np.fft.irfft(1j * np.arange(n // 2 + 1) * flux)
        y, out = np.empty(n), np.empty(n)
        y[ode.places] = u
        rate(y, out, *ode.arguments)
        errors.append(np.abs(out[ode.places] * ode.nu / u**2 - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.8)


@pytest.mark.parametrize("solve", [lsoda, cvode_in_python, sundials.cvode])
def test_peers_on_the_circle_converge_to_our_solution(solve):
    if solve is not lsoda:
        pytest.importorskip("sksundae", reason="CVODE needs scikit-sundae, of the extra bench")
    if solve is sundials.cvode and sundials.home() is None:
        pytest.skip("scikit-sundae is not from its wheel, which holds SUNDIALS' libraries")
    ours = precision.Ours(48, 3, "esdirk4", 1e-5)
    grid, found, _ = precision.run_ours(10.0, ours, t_end=5.5)
    errors = []
    for n in (16, 32, 64):
        ode = Differences(10.0, n, 4, "mu")
        values, _ = solved(solve, ode, (1.0, 5.0), 1e-7)
        points = ode.manifold.unchart(ode.nodes[:, None])
        exact = np.array([grid.interpolate(v, points) for v in found])
        errors.append(precision.l1(values - exact).max())
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[2] < 5e-5


def test_by_hand_solutions_converge_to_ours():
    case = Surface("sphere", Bump(Sphere(2), 10.0), {}, 0)
    solver, found, _ = case.ours(1280, 2, "esdirk4", 1e-3)
    case.exact[:] = solver.grid, [solver.gathered(v) for v in found]
    errors = []
    for cells in (320, 1280):
        hand, found, _ = case.by_hand(cells, 1, "dolfinx LU kept", 1e-3)
        errors.append(max(case.errors(hand.points, hand.volume, found)))
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.3)
    assert errors[1] < 5e-3


def test_the_envelope_is_interpolated_in_log_log():
    def row(error, cpu):
        return Row("circle", "uf", 8, 1e-3, error, 0.0, "", cpu)

    rows = [row(1e-2, 1.0), row(1e-4, 100.0), row(1e-3, 500.0)]
    assert [r.cpu for r in envelope(rows)] == [100.0, 1.0]
    assert seconds_at(rows, 1e-3) == pytest.approx(10.0)
    assert seconds_at(rows, 1.0) == 1.0
    assert np.isnan(seconds_at(rows, 1e-5))


def test_the_quick_part_writes_rows_of_all_peers(tmp_path, capsys):
    file = tmp_path / "rows.json"
    precision.precision((10.0,), True, file)
    rows = json.loads(file.read_text())
    methods = {row["method"] for row in rows}
    said = capsys.readouterr().out
    ours = {"uf", "uf, set up before"}
    assert ours | {"lsoda", "radau"} <= methods <= ours | set(PEERS)
    for name in PEERS.keys() - methods:
        assert name in said.splitlines()[0]  # what is left out is said
    assert all(0 < max(row["error_1"], row["error_5"]) < 1e-2 and row["cpu"] > 0 for row in rows)
    assert file.with_suffix(".png").stat().st_size > 10_000
