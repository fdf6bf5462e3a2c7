"""Meshes of the sphere, sound and defective, for the tests of everything that reads a mesh."""

import numpy as np
from scipy.spatial import ConvexHull

from uf_diffusion.grids.icosphere import Icosphere
from uf_diffusion.grids.triangulations import Triangulation
from uf_diffusion.problem.manifolds import Sphere

SPHERE = Sphere(2)
ROUND = Icosphere(SPHERE, 2).surface
NODES, CELLS = ROUND.nodes, ROUND.cells


def surface(nodes=NODES, cells=CELLS):
    return Triangulation(SPHERE, np.asarray(nodes), np.asarray(cells))


def hull(points):
    """The Delaunay triangulation of points on the sphere."""
    cells = ConvexHull(points).simplices
    inward = np.linalg.det(points[cells]) < 0
    cells[inward] = cells[inward, ::-1]
    return surface(points, cells)


def graded():
    """Triangles of very different sizes: most points crowd around a pole."""
    rng = np.random.default_rng(1)
    close = SPHERE.project(np.array([0, 0, 1.0]) + 1e-3 * rng.standard_normal((300, 3)))
    return hull(np.vstack([close, SPHERE.even(40)]))


def as_set(mesh):
    """The triangles by their coordinates, each from its smallest corner on."""
    corners = np.round(mesh.nodes[mesh.cells], 6) + 0.0
    return {min(tuple(map(tuple, np.roll(c, k, axis=0))) for k in range(3)) for c in corners}


def flipped(cells, k=5):
    """Triangle k reversed."""
    cells = cells.copy()
    cells[k] = cells[k, ::-1]
    return cells


def glued(second, **same):
    """Two icospheres, some nodes of the second replaced by nodes of the first."""
    shifted = CELLS + len(NODES)
    for new, old in same.items():
        shifted[shifted == len(NODES) + int(new[1:])] = old
    return surface(np.vstack([NODES, second]), np.vstack([CELLS, shifted]))


def folded():
    """A node pulled over to the far side of its neighbour."""
    neighbour = CELLS[(CELLS == 100).any(axis=1)][0]
    other = neighbour[neighbour != 100][0]
    nodes = NODES.copy()
    nodes[100] = SPHERE.project(2.5 * NODES[[other]] - 1.5 * NODES[[100]])[0]
    return surface(nodes)


def torus(n=8):
    """A closed oriented surface with a hole."""
    i, j = np.divmod(np.arange(n * n), n)
    a, b = 2 * np.pi * i / n, 2 * np.pi * (j + 0.5) / n
    r = 1 + 0.4 * np.cos(b)
    nodes = np.column_stack([r * np.cos(a), r * np.sin(a), 0.4 * np.sin(b)])
    right, up = (i + 1) % n * n + j, i * n + (j + 1) % n
    both = (i + 1) % n * n + (j + 1) % n
    here = np.arange(n * n)
    return surface(
        nodes, np.vstack([np.column_stack([here, right, both]), np.column_stack([here, both, up])])
    )


def twice_around(n=7):
    """A double pyramid whose rim runs around the equator twice: no local defect."""
    angle = 4 * np.pi * np.arange(n) / n
    nodes = np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    k, ahead = np.arange(n), (np.arange(n) + 1) % n
    cells = [np.column_stack([k, ahead, 0 * k + n]), np.column_stack([ahead, k, 0 * k + n + 1])]
    return surface(np.vstack([nodes, [[0, 0, 1], [0, 0, -1]]]), np.vstack(cells))


def with_sliver():
    """An edge that gets a node in its middle on one side only."""
    a, b, c = CELLS[0]
    middle = (NODES[a] + NODES[b]) / 2
    k = len(NODES)
    cells = [*CELLS[1:], [a, k, c], [k, b, c], [a, b, k]]
    return surface(np.vstack([NODES, [middle]]), cells)


FAR = NODES + np.array([5.0, 0, 0])
DEFECTS = {
    "hole": (surface(cells=CELLS[1:]), {"boundary_edges": 3}, "open"),
    "doubled triangle": (surface(cells=np.vstack([CELLS, CELLS[:1]])), {"crowded_edges": 3}, "not a surface"),
    "touching spheres": (glued(FAR, n0=0), {"pinched_nodes": 1, "pieces": 1}, "touches itself at 1 node"),
    "two spheres": (glued(FAR), {"pieces": 2}, "2 pieces"),
    "one reversed": (surface(cells=flipped(CELLS)), {"turned_edges": 3, "inverted_cells": 1}, "against each other"),
    "inward": (surface(cells=CELLS[:, ::-1]), {"inverted_cells": 320, "turned_edges": 0}, "inward"),
    "fold": (folded(), {"turned_edges": 0, "boundary_edges": 0}, "Triangles overlap"),
    "sliver": (with_sliver(), {"degenerate_cells": 1, "boundary_edges": 0}, "1 triangle without area"),
    "duplicate": (surface(np.vstack([NODES, NODES[:2]])), {"duplicate_nodes": 2, "unused_nodes": 2}, "place of another"),
    "unused": (surface(np.vstack([NODES, [[0.6, 0, 0.8]]])), {"unused_nodes": 1}, "1 node in no triangle"),
    "too large": (surface(2 * NODES), {"inverted_cells": 0}, "radius 2 around"),
    "off centre": (surface(NODES + np.array([0, 0, 3.0])), {"inverted_cells": 0}, "(0, 0, 3)"),
    "torus": (torus(), {"boundary_edges": 0, "euler": 0}, "unit sphere"),
    "double cover": (twice_around(), {"euler": 2, "inverted_cells": 0}, "cover the sphere 2 times"),
}  # fmt: skip
