"""Distances, accuracy and cost: ``python scripts/benchmarks/distances.py [--quick] [PART ...]``.

Parts: circle, energy, pieces, transport. Everything is measured when the script runs, including the
baseline of each table. All parts take about 10 minutes on two cores without other load; --quick
only tests that they work, at sizes too small for conclusions.
"""

import time

import numpy as np
import ot
import parts
from scipy.stats import qmc

from uf_diffusion.distances.circle_wasserstein import wasserstein_circle
from uf_diffusion.distances.energy_distances import energy_distance
from uf_diffusion.distances.large_fields import Field, field_energy_distances
from uf_diffusion.distances.measures import Measure
from uf_diffusion.distances.optimal_transport import wasserstein
from uf_diffusion.grids.built_in import grid_on
from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.lattice import Lattice
from uf_diffusion.problem.densities import Bumps, Uniform, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

PIVOTS = 10**8


def timed(work):
    """The result of ``work()``, and the seconds that it took."""
    clock = time.perf_counter()
    result = work()
    return result, time.perf_counter() - clock


# --- W_p on the circle ----------------------------------------------------------------------------


def case(rng, k):
    """Two measures on the circle; in one of four cases both have equal weights."""
    n, m = rng.integers(1, 40, 2)
    x, y = rng.uniform(0, 2 * np.pi, n), rng.uniform(0, 2 * np.pi, m)
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    if k % 4 in (1, 3):
        a = rng.dirichlet(np.full(n, 0.5))
    if k % 4 in (2, 3):
        b = rng.dirichlet(np.full(m, 0.5))
    return x, y, a, b


def circle(count=10_000):
    """The exact W_p on the circle, compared with the linear program."""
    print(f"\nW_p on the circle against the linear program (POT), {count} random cases")
    print(f"{'p':>3} {'weights':>9} {'cases':>7} {'worst relative error':>21} {'above 1e-10':>12} "
          f"{'ms':>7} {'ms, program':>12}")  # fmt: skip
    for p in (1, 2):
        for kind, remainders in {"equal": (0,), "random": (1, 2, 3)}.items():
            rng, errors, times = np.random.default_rng(p), [], np.zeros(2)
            for k in range(count):
                x, y, a, b = case(rng, k)
                if k % 4 in remainders:
                    value, own = timed(lambda c=(x, y, a, b): wasserstein_circle(*c, p))
                    expected, other = timed(lambda c=(x, y, a, b): program_on_circle(*c, p))
                    errors.append(abs(value - expected) / expected)
                    times += own, other
            mean = 1e3 * times / len(errors)
            print(f"{p:3d} {kind:>9} {len(errors):7d} {max(errors):21.1e} "
                  f"{np.sum(np.array(errors) > 1e-10):12d} {mean[0]:7.3f} {mean[1]:12.3f}",
                  flush=True)  # fmt: skip


def program_on_circle(x, y, a, b, p):
    d = np.abs(x[:, None] - y)
    return ot.emd2(a, b, np.minimum(d, 2 * np.pi - d) ** p, numItermax=PIVOTS) ** (1 / p)


# --- the energy distance --------------------------------------------------------------------------


def all_pairs(X, Y, manifold):
    """The energy distance for equal weights, with numpy, from blocks of the distance matrix."""

    def mean(X, Y):
        rows = [manifold.chord(X[i : i + 256], Y).sum() for i in range(0, len(X), 256)]
        return np.sum(rows) / (len(X) * len(Y))

    return np.sqrt(2 * mean(X, Y) - mean(X, X) - mean(Y, Y))


def energy(most_by_rows=30_000, sizes=(1_000, 10_000, 100_000)):
    """The energy distance of n points to n others, compared with sums of a distance matrix."""
    print("\nEnergy distance of n particles to n others 1e-3 away; seconds")
    print(f"{'':10} {'n':>7} {'ours':>9} {'by rows':>9} {'ratio':>7} {'relative difference':>20}")
    for manifold in (Circle(), FlatTorus(1, 4.0), Sphere(2), FlatTorus(2, 4.0)):
        rng = np.random.default_rng(0)
        name = f"{type(manifold).__name__} {manifold.dim}"
        for n in sizes:
            X = manifold.sample(n, rng)
            Y = manifold.retract(X, manifold.tangent(X, 1e-3 * rng.standard_normal(X.shape)))
            energy_distance(X[:2], Y[:2], manifold=manifold)
            value, own = timed(lambda x=X, y=Y, m=manifold: energy_distance(x, y, manifold=m))
            print(f"{name:10} {n:7d} {own:9.3f}", end="")
            if n <= most_by_rows:
                slow, other = timed(lambda x=X, y=Y, m=manifold: all_pairs(x, y, m))
                print(f" {other:9.3f} {other / own:7.0f} {abs(value - slow) / value:20.1e}", end="")
            print(flush=True)


def pieces(twice=2, sizes=(1_000, 30_000), per_axis=400, level=7):
    """Energy distances to large fields, with all nodes and with those of a coarser mesh.

    Args:
        twice: how often the spacing of the coarser mesh is halved.
        sizes: numbers of neurons, evenly spread and weighted by a smooth density.
        per_axis, level: of the coarser lattice and icosphere.
    """
    torus, sphere = FlatTorus(2), Sphere(2)
    fine, rough = (Lattice(torus, per_axis << k) for k in (twice, 0))
    finer, rougher = (Icosphere(sphere, level + k) for k in (twice, 0))
    print(f"{'':4}{'nodes':>9} {'coarse':>8} {'neurons':>8} {'all nodes':>10} {'coarse':>10} "
          f"{'difference':>10} {'s, all':>7} {'s, coarse':>9}")  # fmt: skip
    for density, grids, counts in (  # many neurons on T^2 have distances below 0, to no metric
        (Bumps(torus, 2.0), (fine, rough), sizes[:1]),
        (VonMisesFisher(sphere, 2.0), (finer, rougher), sizes),
    ):
        fields = [field_of(density, grid) for grid in grids]
        for n in counts:
            X = spread(density.manifold, n)
            a = density(X) / density(X).sum()
            (whole, own), (coarse, other) = (
                timed(lambda f=f, x=X, a=a: field_energy_distances(f, x[None], a)[0])
                for f in fields
            )
            print(f"{"T2" if density.manifold.period else "S2"}  {fields[0].count:9d} "
                  f"{fields[1].count:8d} {len(X):8d} {whole:10.6f} {coarse:10.6f} "
                  f"{coarse / whole - 1:10.2%} {own:7.1f} {other:9.1f}", flush=True)  # fmt: skip


def spread(manifold, n):
    """Points that are evenly spread, and on no lattice."""
    if not manifold.period:
        return manifold.even(n)
    place = qmc.Halton(2, seed=0).random(n)
    return manifold.unchart((place - 0.5) * Lattice(manifold, 3).axis)


def field_of(density, grid):
    """A density on a grid as a field of which pieces are read."""
    nodes = grid.nodes
    masses = density(nodes)
    if not density.manifold.period:  # the nodes of a triangle share its area
        x, y, z = nodes[grid.cells.T]
        areas = np.linalg.norm(np.cross(y - x, z - x), axis=1)
        masses *= np.bincount(grid.cells.ravel(), np.repeat(areas, 3))
    return Field(density.manifold, len(nodes), lambda r: nodes[r], lambda r, q: masses[r])


# --- W_1 and W_2 ----------------------------------------------------------------------------------


def nodes_of(density, cells):
    """A density at the nodes of a mesh; the cells have equal sizes up to a few per cent."""
    nodes = grid_on(density.manifold, cells).nodes
    mass = density(nodes)
    return Measure(density.manifold, nodes, mass / mass.sum())


def particles(density, n):
    points = density.sample(n, np.random.default_rng(0))
    return Measure.of_particles(density.manifold, points)


def transport(most_by_program=6_000_000, count=13):
    """W_1 and W_2 from particles to densities at nodes, compared with the dense linear program."""
    sphere, torus = Sphere(2), FlatTorus(2, 4.0)
    vmf, bumps = VonMisesFisher(sphere, 4.0), Bumps(torus)
    print(
        "\nW_p of n particles to a density at m nodes: half the difference of the bounds over W_p"
    )
    print(f"{'':30} {'n':>7} {'m':>6} {'p':>2} {'W_p':>9} {'error':>8} {'s':>7} {'s, program':>11} "
          f"{'difference':>11}")  # fmt: skip
    cases = (
        ("S2, to its own density", vmf, vmf, 512, 5_120, 2),
        ("S2, to its own density", vmf, vmf, 512, 5_120, 1),
        ("S2, uniform to a peak", Uniform(sphere), vmf, 512, 5_120, 2),
        ("S2, uniform to a peak", Uniform(sphere), vmf, 512, 5_120, 1),
        ("T2, uniform to bumps", Uniform(torus), bumps, 512, 10_000, 2),
        ("S2, to its own density", vmf, vmf, 512, 20_480, 2),
        ("S2, uniform to a peak", Uniform(sphere), vmf, 512, 20_480, 2),
        ("T2, uniform to bumps", Uniform(torus), bumps, 512, 65_536, 2),
        ("S2, to its own density", vmf, vmf, 512, 81_920, 2),
        ("S2, to its own density", vmf, vmf, 4_000, 20_480, 2),
        ("S2, uniform to a peak", Uniform(sphere), vmf, 4_000, 20_480, 2),
        ("S2, to its own density", vmf, vmf, 100_000, 20_480, 2),
        ("S2, uniform to a peak", Uniform(sphere), vmf, 100_000, 20_480, 2),
    )
    for label, start, end, n, cells, p in cases[:count]:
        mu, nu = particles(start, n), nodes_of(end, cells)
        m = len(nu.points)
        (lower, upper), own = timed(lambda x=mu, y=nu, q=p: wasserstein(x, y, q))
        print(f"{label:30} {n:7d} {m:6d} {p:2d} {upper:9.6f} {(upper / lower - 1) / 2:8.1e} "
              f"{own:7.2f}", end="")  # fmt: skip
        if n * m <= most_by_program:
            expected, other = timed(lambda x=mu, y=nu, q=p: dense_program(x, y, q))
            print(f" {other:11.2f} {abs(upper - expected) / expected:11.1e}", end="")
        print(flush=True)


def dense_program(mu, nu, p):
    """POT's network simplex on all pairs; it is faster with the larger measure first."""
    if len(mu.points) < len(nu.points):
        mu, nu = nu, mu
    cost = mu.manifold.distance(mu.points, nu.points) ** p
    return ot.emd2(mu.weights, nu.weights, cost, numItermax=PIVOTS) ** (1 / p)


PARTS = {"circle": circle, "energy": energy, "pieces": pieces, "transport": transport}
QUICK = {
    "circle": {"count": 8}, "energy": {"sizes": (100,)},
    "pieces": {"sizes": (100,), "per_axis": 20, "level": 2}, "transport": {"count": 1},
}  # fmt: skip


if __name__ == "__main__":
    parts.run(__doc__, PARTS, QUICK)
