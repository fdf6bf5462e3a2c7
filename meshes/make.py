"""Write the example meshes of this folder: ``python meshes/make.py [FOLDER]``."""

import sys
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull

from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.mesh_files import write_mesh
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere

SPHERE = Sphere(2)


def icosphere(level=2):
    """The built-in mesh of ``20 * 4**level`` triangles."""
    return Icosphere(SPHERE, level).surface


def fibonacci(n=500):
    """The Delaunay triangulation of n points on a spiral: on a sphere it is the convex hull."""
    nodes = SPHERE.even(n)
    cells = ConvexHull(nodes).simplices.astype(np.int64)
    inward = np.linalg.det(nodes[cells]) < 0
    cells[inward] = cells[inward, ::-1]
    # in an order that does not depend on the version of Qhull
    first = cells.argmin(axis=1)[:, None]
    cells = np.take_along_axis(cells, (first + np.arange(3)) % 3, axis=1)
    return Triangulation(SPHERE, nodes, cells[np.lexsort(cells.T[::-1])])


def with_hole():
    """An icosphere that lacks a triangle."""
    surface = icosphere(1)
    return Triangulation(SPHERE, surface.nodes, surface.cells[1:])


def with_fin():
    """An icosphere with one triangle more: three edges lie in too many or too few triangles."""
    surface = icosphere(1)
    a, b, _ = surface.cells[0]
    opposite = np.argmin(surface.nodes @ surface.nodes[a])
    return Triangulation(SPHERE, surface.nodes, np.vstack([surface.cells, [a, b, opposite]]))


MESHES = {
    "icosphere-320.msh": icosphere,
    "icosphere-320.xdmf": icosphere,
    "fibonacci-500.msh": fibonacci,
    "broken-hole.msh": with_hole,
    "broken-fin.msh": with_fin,
}


def main(folder):
    """Write all meshes to a folder."""
    for name, mesh in MESHES.items():
        write_mesh(folder / name, mesh())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
