"""Defects of a triangulation of the sphere, and the quality of its triangles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from uf_diffusion.core.arrays import Array, Index, Mask
from uf_diffusion.grids.triangulations import Triangulation

__all__ = ["MeshReport", "inspect_mesh", "outward"]

ON_SPHERE = 1e-6  # tolerated distance of a node from the unit sphere; allows single precision


@dataclass(frozen=True)
class MeshReport:
    """The results of `inspect_mesh`. Lengths are in the unit of the mesh's coordinates.

    Attributes:
        nodes, cells, edges: numbers of nodes, triangles and edges.
        boundary_edges: number of edges in one triangle only.
        crowded_edges: number of edges in more than two triangles.
        pinched_nodes: number of nodes whose triangles form more than one fan.
        pieces: number of connected parts.
        turned_edges: number of edges whose two triangles have opposite orientations.
        inverted_cells: number of triangles that are oriented inward, with respect to the centre.
        degenerate_cells: number of triangles without area.
        duplicate_nodes: number of nodes at the same point as another one.
        unused_nodes: number of nodes in no triangle.
        off_sphere: largest distance of a node from the unit sphere.
        centre, radius, misfit: the sphere that fits the nodes best, and the largest distance of a
            node from it; if the nodes are on the unit sphere, it is that.
        coverage: how many times the triangles cover the sphere, from their solid angles.
        smallest_angle, largest_angle: in degrees.
        obtuse_angles: number of angles above 90 degrees.
        negative_edges: number of edges with a negative cotangent weight, which is the sum of the
            cotangents of the two angles opposite to the edge. A mesh inscribed in a sphere is not
            convex, that is, not Delaunay, at these edges. A mesh without them has the maximum
            principle for a uniform teacher; for a teacher that varies much from triangle to
            triangle a mesh without obtuse angles is necessary.
        longest_edge, shortest_edge: lengths of the longest and the shortest edge.
    """

    nodes: int
    cells: int
    edges: int
    boundary_edges: int
    crowded_edges: int
    pinched_nodes: int
    pieces: int
    turned_edges: int
    inverted_cells: int
    degenerate_cells: int
    duplicate_nodes: int
    unused_nodes: int
    off_sphere: float
    centre: tuple[float, float, float]
    radius: float
    misfit: float
    coverage: float
    smallest_angle: float
    largest_angle: float
    obtuse_angles: int
    negative_edges: int
    longest_edge: float
    shortest_edge: float

    @property
    def euler(self) -> int:
        """The Euler characteristic of the triangles; 2 for a sphere."""
        return self.nodes - self.unused_nodes - self.edges + self.cells

    @property
    def problems(self) -> list[str]:
        """Sentences on the defects that make the mesh unusable; empty if there are none."""
        x, y, z = (round(coordinate, 6) + 0.0 for coordinate in self.centre)  # avoids -0
        inward = self.inverted_cells == self.cells
        cases = (
            (self.off_sphere > ON_SPHERE,
             f"The nodes are up to {self.off_sphere:.2g} off the unit sphere (they fit the radius "
             f"{self.radius:.7g} around ({x:.6g}, {y:.6g}, {z:.6g}) up to {self.misfit:.2g})."),
            (self.boundary_edges, f"The mesh is open ({_count(self.boundary_edges, 'edge')} in "
             "one triangle only)."),
            (self.crowded_edges, f"The mesh is not a surface ({_count(self.crowded_edges, 'edge')} "
             "in more than two triangles)."),
            (self.pinched_nodes,
             f"The surface touches itself at {_count(self.pinched_nodes, 'node')}."),
            (self.pieces > 1, f"The mesh falls into {self.pieces} pieces."),
            (self.turned_edges, "Neighbouring triangles are oriented against each other at "
             f"{_count(self.turned_edges, 'edge')}."),
            (inward, "All triangles are oriented inward."),
            (self.inverted_cells and not inward, "Triangles overlap "
             f"({self.inverted_cells} of {self.cells} inverted as seen from the centre)."),
            (self.degenerate_cells,
             f"The mesh has {_count(self.degenerate_cells, 'triangle')} without area."),
            (self.duplicate_nodes,
             f"The mesh has {_count(self.duplicate_nodes, 'node')} at the place of another one."),
            (self.unused_nodes,
             f"The mesh has {_count(self.unused_nodes, 'node')} in no triangle."),
        )  # fmt: skip
        return [sentence for bad, sentence in cases if bad] or self._global_problems()

    def _global_problems(self) -> list[str]:
        """Sentences on the global defects of a closed oriented surface without local defects."""
        if self.euler != 2:
            return [f"The surface is not a sphere: its Euler characteristic is {self.euler}."]
        if abs(self.coverage - 1) > 1e-6:
            return [f"Triangles overlap: they cover the sphere {self.coverage:.3g} times."]
        return []

    @property
    def warnings(self) -> list[str]:
        """Sentences on properties that a run on the mesh does not have; empty if there are none."""
        if not self.negative_edges:
            return []
        return [
            "The maximum principle is not guaranteed: the mesh is not Delaunay "
            f"({_count(self.negative_edges, 'edge')} with a negative cotangent weight)."
        ]


def inspect_mesh(surface: Triangulation) -> MeshReport:
    """Find the defects of a triangulation of the sphere, and measure its triangles."""
    nodes, cells = surface.nodes, surface.cells
    edges, shapes = _Edges(surface), _Shapes(surface)
    off_sphere = float(np.abs(np.linalg.norm(nodes, axis=1) - 1).max())
    centre, radius = (np.zeros(3), 1.0) if off_sphere <= ON_SPHERE else _fitted_sphere(nodes)
    distance, solid_angles = _seen_from(centre, surface)
    good = ~shapes.degenerate
    return MeshReport(
        nodes=len(nodes),
        cells=len(cells),
        edges=len(edges.count),
        boundary_edges=_sum(edges.count == 1),
        crowded_edges=_sum(edges.count > 2),
        pinched_nodes=edges.pinched_nodes(),
        pieces=edges.pieces(),
        turned_edges=_sum(edges.turned),
        inverted_cells=_sum(good & (distance <= 1e-12 * radius * shapes.doubled_area)),
        degenerate_cells=_sum(shapes.degenerate),
        duplicate_nodes=_duplicates(nodes, 1e-10 * max(radius, shapes.lengths.max())),
        unused_nodes=len(nodes) - len(np.unique(cells)),
        off_sphere=off_sphere,
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        radius=radius,
        misfit=float(np.abs(np.linalg.norm(nodes - centre, axis=1) - radius).max()),
        coverage=float(solid_angles.sum() / (4 * math.pi)),
        smallest_angle=float(np.degrees(shapes.angles.min())),
        largest_angle=float(np.degrees(shapes.angles.max())),
        obtuse_angles=_sum(shapes.angles > math.pi / 2 + 1e-12),
        negative_edges=_sum(edges.total(shapes.opposite_cotangents) < -1e-12),
        longest_edge=float(shapes.lengths.max()),
        shortest_edge=float(shapes.lengths.min()),
    )


def outward(surface: Triangulation) -> Triangulation:
    """The same mesh, with all triangles reversed if all are oriented inward."""
    inner = surface.nodes - surface.nodes.mean(axis=0)
    inward = np.linalg.det(inner[surface.cells]).sum() < 0
    if inward and not _Edges(surface).turned.any():
        return replace(surface, cells=surface.cells[:, ::-1])
    return surface


class _Edges:
    """The edges of a triangulation; each triangle contributes three sides, from corner to corner.

    Attributes:
        side: ``(3 m, 2)`` end nodes of side j of triangle i, in row 3 i + j, from corner j on.
        edge: ``(3 m,)`` the edge on which a side lies.
        count: ``(edges,)`` how many sides lie on an edge.
        turned: ``(edges,)`` whether an edge has two sides that have the same direction.
    """

    def __init__(self, surface: Triangulation) -> None:
        self.side = surface.cells[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        low, high = np.sort(self.side, axis=1).T
        key = low * len(surface.nodes) + high
        _, self.edge, self.count = np.unique(key, return_inverse=True, return_counts=True)
        self._forward = self.side[:, 0] == low
        self.turned: Mask = (self.count == 2) & (self.total(self._forward) != 1)

    def total(self, values: Array | Mask) -> Array:
        """The sums ``(edges,)`` over each edge of values ``(3 m,)`` of its sides."""
        return np.bincount(self.edge, values, len(self.count))

    def pieces(self) -> int:
        """The number of connected parts."""
        _, side = np.unique(self.side, return_inverse=True)
        return len(np.unique(_components(*side.reshape(-1, 2).T)))

    def pinched_nodes(self) -> int:
        """The number of nodes whose triangles, joined across edges, are more than one fan."""
        corner = np.arange(len(self.side))
        next_corner = corner - corner % 3 + (corner + 1) % 3
        # each end of an edge is a vertex of the graph that joins the corners there
        start = len(corner) + 2 * self.edge + ~self._forward
        end = len(corner) + 2 * self.edge + self._forward
        fans = _components(np.append(corner, next_corner), np.append(start, end))
        node_of_fan = np.unique(np.column_stack([fans[corner], self.side[:, 0]]), axis=0)[:, 1]
        return _sum(np.unique(node_of_fan, return_counts=True)[1] > 1)


class _Shapes:
    """The shapes of the flat triangles.

    Attributes:
        lengths: ``(m, 3)`` lengths of the sides from corner 0, 1, 2 to the next.
        doubled_area: ``(m,)`` twice the area.
        degenerate: ``(m,)`` whether a triangle has no area, up to round-off.
        angles: ``(m, 3)`` angles at the corners, radians.
        opposite_cotangents: ``(3 m,)`` cotangent of the angle opposite to each side; 0 if the
            triangle is degenerate.
    """

    def __init__(self, surface: Triangulation) -> None:
        corners = surface.nodes[surface.cells]
        ahead = np.roll(corners, -1, axis=1) - corners
        back = np.roll(corners, 1, axis=1) - corners
        inner = np.einsum("ijk,ijk->ij", ahead, back)
        self.lengths = np.linalg.norm(ahead, axis=2)
        self.doubled_area = np.linalg.norm(np.cross(ahead[:, 0], back[:, 0]), axis=1)
        self.degenerate = self.doubled_area <= 1e-10 * self.lengths.max(axis=1) ** 2
        self.angles = np.arctan2(self.doubled_area[:, None], inner)
        area = np.where(self.degenerate, np.inf, self.doubled_area)
        self.opposite_cotangents = np.roll(inner / area[:, None], 1, axis=1).ravel()


def _seen_from(centre: Array, surface: Triangulation) -> tuple[Array, Array]:
    """For each triangle ``(m,)``, its distance from a point times twice its area, and solid angle.

    Both are negative if the triangle is oriented towards the point. The solid angle is computed by
    the formula of van Oosterom and Strackee (IEEE Trans. Biomed. Eng. 30, 1983).
    """
    corners = surface.nodes[surface.cells] - centre
    volume = np.linalg.det(corners)
    a, b, c = np.moveaxis(corners, 1, 0)
    r, s, t = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    ab, bc, ca = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a)))
    return volume, 2 * np.arctan2(volume, r * s * t + ab * t + bc * r + ca * s)


def _fitted_sphere(nodes: Array) -> tuple[Array, float]:
    """Centre and radius that minimise the sum of squares of |x - centre|^2 - radius^2."""
    middle = nodes.mean(axis=0)
    x = nodes - middle
    square = (x**2).sum(axis=1)
    matrix = np.column_stack([2 * x, np.full(len(x), math.sqrt(square.mean()))])
    *shift, level = np.linalg.lstsq(matrix, square)[0]
    centre = np.array(shift)
    square_radius = level * matrix[0, 3] + centre @ centre
    return middle + centre, math.sqrt(max(0.0, float(square_radius)))


def _duplicates(nodes: Array, tolerance: float) -> int:
    """By how much merging the nodes closer than a tolerance reduces their number."""
    pairs = cKDTree(nodes).query_pairs(tolerance, output_type="ndarray")
    return len(np.unique(pairs.max(axis=1))) if len(pairs) else 0


def _components(start: Index, end: Index) -> Index:
    """The number of each vertex's connected component, ``(vertices,)``, in a graph of arcs."""
    size = int(max(start.max(), end.max())) + 1
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _sum(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
