"""Networks of 10^5 neurons against the mean-field equation: ``wide_networks.py [circle ...]``.

The neurons are placed evenly, and follow the gradient flow with error control. For each manifold
and regulariser a row has the energy distance of network and density at the end, as functions, and
two floors below which it says nothing: the distance at the start, of the neurons to the density
that they stand for, and the distance of the density to that on a mesh of a quarter of the cells.

``wide_networks.py erf`` has networks of 10^4 neurons with the odd activation erf, for lambda from
1e-2 to 1e-5: their energy distances to the mean-field equation at the same lambda, to the
constrained equation of odd functions, and to the ultra-fast diffusion.
"""

import argparse
import time
import warnings

import uf_diffusion as uf
from uf_diffusion.distances.ring_energies import energies_on

DIVERGENCES = {"unbiased": uf.UNBIASED, "biased": uf.BIASED, "entropy": uf.ENTROPY,
               "power 1.5": uf.Power(1.5), "power 3": uf.Power(3.0)}  # fmt: skip
# manifold, teacher, features, cells, settings of the network
PLACES = {
    "circle": (uf.Circle(), uf.Bumps(gamma=10.0), uf.ReLU(), 2048,
               {"kernel": "population", "regularisation": 1e-3}),
    "sphere": (uf.Sphere(2), uf.VonMisesFisher(kappa=5.0), uf.ReLU(), 20480,
               {"kernel": "low-rank", "regularisation": 1e-2}),
    "torus": (uf.FlatTorus(2, 4.0), uf.Bumps(gamma=10.0), uf.Radial(), 8192,
              {"kernel": "low-rank", "regularisation": 1e-1}),
}  # fmt: skip


def distances(place, divergence, width, until, coarser):
    """The energy distance of network and density, and both floors."""
    manifold, teacher, features, cells, kernel = PLACES[place]
    problem = uf.Problem(manifold, teacher, divergence=divergence)
    network = uf.train(
        problem, features, until=until, snapshots=2, width=manifold.even_count(width),
        teacher_width=manifold.even_count(width), placement="even", algorithm="flow", rtol=1e-6,
        cautious=False, **kernel,
    )  # fmt: skip
    fine, coarse = (
        uf.solve(problem, until=until, snapshots=2, cells=n // coarser, rtol=1e-6,
                 limit="mean-field", features=features, network=kernel, cautious=False)
        for n in (cells, cells // 4)
    )  # fmt: skip
    energy = energies_on(fine.grid, None)
    images = energy.densities(fine.grid, fine.density)
    neurons = [energy.atoms(x, network.mass) for x in network.feature]
    start, end = (energy.between(*pair) for pair in zip(neurons, images, strict=True))
    mesh = energy.between(images[-1], energy.densities(coarse.grid, coarse.density)[-1])
    return end, start, mesh


def odd(width, until, coarser):
    """The distances of networks with the activation erf to three equations."""
    manifold, phi = uf.Circle(), uf.Activation("erf")
    problem = uf.Problem(manifold, uf.Bumps(gamma=10.0))

    def solved(limit, **settings):
        return uf.solve(problem, until=until, snapshots=2, cells=2048 // coarser, rtol=1e-6,
                        limit=limit, cautious=False, **settings)  # fmt: skip

    limits = [solved("auto", features=phi), solved("unconstrained")]
    energy = energies_on(limits[0].grid, None)
    print(f"{'erf':8}{'lambda':12}{'mean-field':>11}{'odd':>10}{'diffusion':>10}{'neurons':>10}")
    for regularisation in (1e-2, 1e-3, 1e-4, 1e-5):
        kernel = {"kernel": "low-rank", "regularisation": regularisation}
        near = solved("mean-field", features=phi, network=kernel)
        network = uf.train(
            problem, phi, until=until, snapshots=2, width=width, teacher_width=width,
            placement="even", algorithm="flow", rtol=1e-6, cautious=False, **kernel,
        )  # fmt: skip
        start, end = (energy.atoms(x, network.mass) for x in network.feature)
        images = [energy.densities(s.grid, s.density)[-1] for s in (near, *limits)]
        first = energy.densities(near.grid, near.density)[0]
        found = [energy.between(end, image) for image in images]
        print(f"{'':8}{regularisation:<12g}" + f"{found[0]:11.1e}"
              + "".join(f"{d:10.1e}" for d in (*found[1:], energy.between(start, first))),
              flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="*", help=", ".join([*PLACES, "erf"]))
    parser.add_argument("--width", type=int, default=100_000, help="neurons; a tenth for erf")
    parser.add_argument("--until", type=float, default=1.0, help="final time")
    parser.add_argument("--quick", action="store_true", help="few neurons, coarse meshes, t = 0.1")
    chosen = parser.parse_args()
    if unknown := set(chosen.places) - {*PLACES, "erf"}:
        parser.error(f"no such manifold: {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore", uf.Caution)
    width, until, coarser = (500, 0.1, 16) if chosen.quick else (chosen.width, chosen.until, 1)
    places = chosen.places or [*PLACES, "erf"]
    if "erf" in places:
        odd(max(width // 10, 200), until, coarser)
    print(f"{'':8}{'regulariser':12}{'distance':>10}{'neurons':>10}{'mesh':>10}{'seconds':>9}")
    for place in (p for p in places if p != "erf"):
        for name, divergence in DIVERGENCES.items():
            start = time.perf_counter()
            found = distances(place, divergence, width, until, coarser)
            seconds = time.perf_counter() - start
            print(f"{place:8}{name:12}" + "".join(f"{d:10.1e}" for d in found)
                  + f"{seconds:9.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
