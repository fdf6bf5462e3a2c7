"""Sizes of files before they are written."""

from __future__ import annotations

__all__ = ["FIGURES", "PICTURE", "REPORT", "WHOLE", "fields_bytes"]

FIGURES = 2**20  # bytes of figure.pdf and figure.png together
REPORT = 2**23  # bytes of report.html, most of them plotly's code

# Number of nodes up to which a run has whole fields on one rank, in result.nc and checkpoints. With
# ten snapshots a result of so many has 0.4 GB, which report and figure still read into memory.
WHOLE = 2_000_000
PICTURE = 300_000  # largest number of nodes of the coarse picture of larger fields

# Numbers that ADIOS2 stores for each corner of a cell and each snapshot: two fields, three
# coordinates, at most one and a half of the cells' lists of corners, a number, and marks.
_NUMBERS = 7.7


def fields_bytes(corners: int, snapshots: int) -> int:
    """The size in bytes of fields.bp.

    Args:
        corners: number of cells times number of corners of a cell.
        snapshots: number of snapshot times; the mesh is written again at each.
    """
    return int(8 * _NUMBERS * corners * snapshots) + 4096 * snapshots + 2**16
