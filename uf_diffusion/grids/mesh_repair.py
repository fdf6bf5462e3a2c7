"""Repairs of triangulations: nodes onto the sphere, copies of nodes into one, polygons split."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from uf_diffusion.core.arrays import Index
from uf_diffusion.core.errors import InputError
from uf_diffusion.grids.mesh_quality import MeshReport, inspect_mesh, outward
from uf_diffusion.grids.triangulations import Triangulation

__all__ = ["advice", "merged", "projected", "split"]

CLOSE = 1e-3  # copies of a node are closer than this, relative to the length of an edge


def split(polygons: Index) -> Index:
    """The triangles ``(m (k - 2), 3)`` of convex polygons ``(m, k)``, each a fan from corner 0."""
    inner = range(1, polygons.shape[1] - 1)
    return np.concatenate([polygons[:, [0, k, k + 1]] for k in inner])


def projected(surface: Triangulation) -> Triangulation:
    """The mesh with its nodes moved onto the unit sphere, from the centre of the sphere they fit.

    The centre is the origin if the nodes fit a sphere around it as well as any other.

    Raises:
        InputError: if a node is at the centre.
    """
    report = inspect_mesh(surface)
    centre = np.array(report.centre)
    if np.linalg.norm(centre) <= report.misfit:
        centre = np.zeros(3)
    rays = surface.nodes - centre
    length = np.linalg.norm(rays, axis=1)
    if not length.all():
        raise InputError("A node at the centre of the mesh cannot be projected to the sphere.")
    return outward(Triangulation(surface.manifold, rays / length[:, None], surface.cells))


def merged(surface: Triangulation, tolerance: float) -> Triangulation:
    """The mesh with nodes that are closer than a tolerance made one, the first of them.

    Triangles that lose a corner by this are left out.

    Args:
        surface: the mesh.
        tolerance: a length.

    Raises:
        InputError: if no triangle is left.
    """
    count = len(surface.nodes)
    pairs = cKDTree(surface.nodes).query_pairs(tolerance, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    _, first = np.unique(group, return_index=True)
    cells = first[group][surface.cells]
    whole = (cells != np.roll(cells, 1, axis=1)).all(axis=1)
    if not whole.any():
        raise InputError(f"Merging nodes closer than {tolerance:g} leaves no triangle.")
    used, cells = np.unique(cells[whole], return_inverse=True)
    return outward(Triangulation(surface.manifold, surface.nodes[used], cells.reshape(-1, 3)))


def advice(surface: Triangulation, report: MeshReport) -> str:
    """The options of ``uf-diffusion mesh convert`` that make a mesh usable, or "" if none do.

    Args:
        surface: a mesh with problems.
        report: what `inspect_mesh` says of it.
    """
    tolerance = float(f"{CLOSE * report.longest_edge / (report.radius or 1):.0e}")
    for project, merge in ((True, False), (False, True), (True, True)):
        try:
            repaired = projected(surface) if project else surface
            repaired = merged(repaired, tolerance) if merge else repaired
        except InputError:
            continue
        if not inspect_mesh(repaired).problems:
            return " ".join(["--project"] * project + [f"--merge {tolerance:g}"] * merge)
    return ""
