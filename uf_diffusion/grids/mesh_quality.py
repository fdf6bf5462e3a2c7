"""What may be wrong with a triangulation of the sphere, and how good its triangles are."""

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

ON_SPHERE = 1e-6  # tolerated distance of a node to the unit sphere; single precision keeps it


@dataclass(frozen=True)
class MeshReport:
    """What `inspect_mesh` measured. Lengths are in units of the sphere's radius as given.

    Attributes:
        nodes, cells, edges: how many there are.
        boundary_edges: edges in one triangle only.
        crowded_edges: edges in more than two triangles.
        pinched_nodes: nodes whose triangles are more than one fan.
        pieces: connected parts.
        turned_edges: edges whose two triangles are oriented against each other.
        inverted_cells: triangles that are clockwise seen from the centre.
        degenerate_cells: triangles without area.
        duplicate_nodes: nodes at the place of another one.
        unused_nodes: nodes in no triangle.
        off_sphere: largest distance of a node to the unit sphere.
        centre, radius, misfit: the sphere that fits the nodes best, and their largest distance to
            it; the unit sphere where they lie on it.
        coverage: how many times the triangles cover the sphere, from their solid angles.
        smallest_angle, largest_angle: in degrees.
        obtuse_angles: angles above 90 degrees.
        negative_edges: edges whose cotangent weight, the sum of the cotangents of the two angles
            opposite to it, is negative. On a mesh inscribed in a sphere these are the edges where
            it is not convex, that is, not Delaunay. A mesh without them gives the maximum principle
            for a uniform teacher; a teacher that varies steeply from triangle to triangle needs a
            mesh without obtuse angles.
        longest_edge, shortest_edge: their lengths.
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
        """Euler's characteristic of the triangles; 2 for a sphere."""
        return self.nodes - self.unused_nodes - self.edges + self.cells

    @property
    def problems(self) -> list[str]:
        """Sentences about what makes the mesh unusable; empty when nothing does."""
        x, y, z = (round(coordinate, 6) + 0.0 for coordinate in self.centre)  # no -0
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
        """What may be wrong with a closed oriented surface without local defects."""
        if self.euler != 2:
            return [f"The surface is not a sphere: its Euler characteristic is {self.euler}."]
        if abs(self.coverage - 1) > 1e-6:
            return [f"Triangles overlap: they cover the sphere {self.coverage:.3g} times."]
        return []

    @property
    def warnings(self) -> list[str]:
        """Sentences about what a run on the mesh does without."""
        if not self.negative_edges:
            return []
        return [
            "The maximum principle is not guaranteed: the mesh is not Delaunay "
            f"({_count(self.negative_edges, 'edge')} with a negative cotangent weight)."
        ]


def inspect_mesh(surface: Triangulation) -> MeshReport:
    """Measure whether a triangulation is a sphere, and how good its triangles are."""
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
    """The same mesh, all triangles reversed if they agree on the inward orientation."""
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
        turned: ``(edges,)`` whether an edge has two sides, in the same direction.
    """

    def __init__(self, surface: Triangulation) -> None:
        self.side = surface.cells[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
        low, high = np.sort(self.side, axis=1).T
        key = low * len(surface.nodes) + high
        _, self.edge, self.count = np.unique(key, return_inverse=True, return_counts=True)
        self._forward = self.side[:, 0] == low
        self.turned: Mask = (self.count == 2) & (self.total(self._forward) != 1)

    def total(self, values: Array | Mask) -> Array:
        """``(edges,)`` sums of values ``(3 m,)`` of sides."""
        return np.bincount(self.edge, values, len(self.count))

    def pieces(self) -> int:
        """The number of connected parts."""
        _, side = np.unique(self.side, return_inverse=True)
        return len(np.unique(_components(*side.reshape(-1, 2).T)))

    def pinched_nodes(self) -> int:
        """The number of nodes whose triangles, joined across edges, are more than one fan."""
        corner = np.arange(len(self.side))
        next_corner = corner - corner % 3 + (corner + 1) % 3
        # an end of an edge joins the corners that meet there
        start = len(corner) + 2 * self.edge + ~self._forward
        end = len(corner) + 2 * self.edge + self._forward
        fans = _components(np.append(corner, next_corner), np.append(start, end))
        node_of_fan = np.unique(np.column_stack([fans[corner], self.side[:, 0]]), axis=0)[:, 1]
        return _sum(np.unique(node_of_fan, return_counts=True)[1] > 1)


class _Shapes:
    """The flat triangles one by one.

    Attributes:
        lengths: ``(m, 3)`` of the sides from corner 0, 1, 2 to the next.
        doubled_area: ``(m,)``.
        degenerate: ``(m,)`` whether a triangle has no area, up to round-off.
        angles: ``(m, 3)`` at the corners, radians.
        opposite_cotangents: ``(3 m,)`` of the angle opposite to each side; 0 where degenerate.
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
    """Per triangle ``(m,)``, its distance from a point times its doubled area, and solid angle.

    Both are negative for a triangle that is clockwise seen from there. The solid angle is van
    Oosterom and Strackee's (IEEE Trans. Biomed. Eng. 30, 1983).
    """
    corners = surface.nodes[surface.cells] - centre
    volume = np.linalg.det(corners)
    a, b, c = np.moveaxis(corners, 1, 0)
    r, s, t = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    ab, bc, ca = (np.einsum("ij,ij->i", x, y) for x, y in ((a, b), (b, c), (c, a)))
    return volume, 2 * np.arctan2(volume, r * s * t + ab * t + bc * r + ca * s)


def _fitted_sphere(nodes: Array) -> tuple[Array, float]:
    """Centre and radius of the sphere with the least squares of |x - centre|^2 - radius^2."""
    middle = nodes.mean(axis=0)
    x = nodes - middle
    square = (x**2).sum(axis=1)
    matrix = np.column_stack([2 * x, np.full(len(x), math.sqrt(square.mean()))])
    *shift, level = np.linalg.lstsq(matrix, square)[0]
    centre = np.array(shift)
    square_radius = level * matrix[0, 3] + centre @ centre
    return middle + centre, math.sqrt(max(0.0, float(square_radius)))


def _duplicates(nodes: Array, tolerance: float) -> int:
    """How many nodes could be spared by merging those closer than a tolerance."""
    pairs = cKDTree(nodes).query_pairs(tolerance, output_type="ndarray")
    return len(np.unique(pairs.max(axis=1))) if len(pairs) else 0


def _components(start: Index, end: Index) -> Index:
    """The component ``(vertices,)`` of each vertex of a graph with these arcs."""
    size = int(max(start.max(), end.max())) + 1
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _sum(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
