"""The summary of a run and the properties of a mesh, as a few lines of text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from uf_diffusion.core.arrays import Array
from uf_diffusion.grids.mesh_quality import MeshReport
from uf_diffusion.kernels.identifiability import unseen_sentence
from uf_diffusion.reports.terminal import process_seconds
from uf_diffusion.results.names import COMPARED, ERRORS, measured, nodes_of_distances
from uf_diffusion.runs.result import Result

__all__ = ["mesh_table", "print_summary", "provenance_lines", "time_line"]

KERNEL_ROWS = 12  # largest number of rows of the kernel's table


def print_summary(result: Result, folder: Path, verbose: bool = False) -> None:
    """Print the main numbers of a result, its warnings and the paths of its files.

    Args:
        result: the result of a complete run.
        folder: the run's folder.
        verbose: whether to print timings and versions too.
    """
    for name, lines in (
        ("diffusion", _diffusion), ("network", _network),
         ("comparison", _comparison), ("budget", _budget),
         ("kernel", _kernel), ("spectrum", _spectrum),
    ):  # fmt: skip
        if (group := result.group(name)) is not None:
            print("\n".join(lines(group)))
    if result.group("kernel") is not None and result.group("spectrum") is None:
        print("spectrum  the eigenvalues of the weighted Laplacian need DOLFINx")
    for sentence in result.warnings:
        print(f"warning   {sentence}")
    about = result.attributes
    if verbose:
        print("\n".join([*_timings(result.group("timings")), *provenance_lines(about)]))
    print(time_line(about["ranks"]))
    for name in ("figure.png", "report.html", "result.nc"):
        if (folder / name).exists():
            print(f"{name.partition('.')[0]:9} {folder / name}")


def time_line(ranks: int) -> str:
    """A line with the seconds from the start of the process until now."""
    return f"time      {process_seconds():.1f} s on {ranks} rank(s), from start to end"


def provenance_lines(attributes: Mapping[Any, Any]) -> list[str]:
    """Lines with the versions and the machine, from the attributes of a result."""
    names = ("version", "python", "numpy", "dolfinx", "petsc", "git_commit", "machine", "seed")
    rows = [(name, attributes[name]) for name in names if name in attributes]
    return ["made by", *(f"  {name:14} {value}" for name, value in rows)]


def _timings(group: xr.Dataset | None) -> list[str]:
    """Lines with the seconds of each part of a run, in decreasing order."""
    if group is None or not group.sizes["entry"]:
        return []
    rows = zip(group.entry.values, group.seconds.values, group.calls.values, strict=True)
    lines = [
        f"  {seconds:10.3f} s {calls:8d} x  {entry}"
        for entry, seconds, calls in sorted(rows, key=lambda row: -row[1])
    ]
    return ["the time went into ('diffusion: ...' is within the set-up or the diffusion)", *lines]


def mesh_table(report: MeshReport) -> str:
    """The numbers, problems and warnings of a mesh, one line each; angles are in degrees."""
    r = report
    surface = not (r.crowded_edges or r.pinched_nodes)
    rows = [
        ("nodes", f"{r.nodes}"),
        ("triangles", f"{r.cells}"),
        ("closed", f"{_yes(not r.boundary_edges)}, {r.boundary_edges} boundary edge(s)"),
        ("manifold", f"{_yes(surface)}, {r.crowded_edges} edge(s) of "
         f"more than two triangles, {r.pinched_nodes} node(s) of more than one fan"),
        ("connected", f"{_yes(r.pieces == 1)}, {r.pieces} piece(s)"),
        ("oriented", f"{_yes(not r.turned_edges)}, {r.turned_edges} edge(s) between opposite "
         "orientations"),
        ("outward", f"{_yes(not r.inverted_cells)}, {r.inverted_cells} inverted triangle(s)"),
        ("characteristic", f"{r.euler}"),
        ("off the sphere", f"{r.off_sphere:.1e}"),
        ("covered", f"{r.coverage:.6f} times"),
        ("flaws", f"{r.degenerate_cells} triangle(s) without area, {r.duplicate_nodes} duplicate "
         f"and {r.unused_nodes} unused node(s)"),
        ("angles", f"{r.smallest_angle:.2f} to {r.largest_angle:.2f} degrees, "
         f"{r.obtuse_angles} obtuse"),
        ("cotangents", f"{r.negative_edges} of {r.edges} edge(s) with a negative weight"),
        ("edges", f"{r.shortest_edge:.4g} to {r.longest_edge:.4g}"),
    ]  # fmt: skip
    rows += [("problem", sentence) for sentence in r.problems]
    rows += [("warning", sentence) for sentence in r.warnings]
    return "\n".join(f"{name:15} {value}" for name, value in rows)


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"


def _diffusion(d: xr.Dataset) -> list[str]:
    drift = float(np.abs(d.mass.values - 1).max())
    nodes = d.attrs.get("whole_nodes", d.sizes["node"])
    return [
        f"diffusion {nodes} nodes, {d.sizes['step'] - 1} steps to t = "
        f"{float(d.time[-1]):g}, {int(d.newton_iterations.sum())} Newton iterations; "
        f"mass drift {drift:.1e}, risk {float(d.risk[0]):.3g} -> {float(d.risk[-1]):.3g}",
        *_chosen(d),
        *_errors(d),
    ]


def _chosen(d: xr.Dataset) -> list[str]:
    """The line on what diffusion.tolerance has chosen; none without a tolerance."""
    if "cells" not in d.attrs:
        return []
    a = d.attrs
    return [
        f"chosen    {int(a['cells'])} cells of degree {int(a['degree'])}, {a['scheme']}, "
        f"rtol {float(a['rtol']):.1e} (diffusion.tolerance)"
    ]


def _errors(d: xr.Dataset) -> list[str]:
    """The line on the density's estimated errors; none if they were not estimated."""
    if "time_error" not in d:
        return []
    parts = []
    for source, name in (("mesh", "mesh_error"), ("time steps", "time_error")):
        if {name, f"{name}_max"} <= set(d):
            most = float(d[f"{name}_max"].max())
            parts.append(f"{source} {float(d[name].max()):.1e} in L1, {most:.1e} at most")
        else:
            parts.append(f"{source} not known, as it is no built-in one: compare with a finer one")
    return [f"errors    of the density, estimated: {'; '.join(parts)}"]


def _network(n: xr.Dataset) -> list[str]:
    residual = f"{n.attrs['projection_residual']:.1e}"
    outer = f"{n.attrs['projections']} projections, largest residual {residual}"
    if not n.attrs["projections"]:
        outer = f"outer weights within {residual} of the optimum, relative"
    lines = [
        f"network   {n.sizes['neuron']} neurons, {n.sizes['step'] - 1} steps to t = "
        f"{float(n.time[-1]):g}; {outer}; "
        f"risk {float(n.risk[0]):.3g} -> {float(n.risk[-1]):.3g}"
    ]
    found = [f"{named.short} {float(n[name][0]):.3g} -> {float(n[name][-1]):.3g}"
             for name, named in ERRORS.items() if name in n]  # fmt: skip
    if found:
        lines.append(f"outputs   mean squared error: {', '.join(found)}")
    if n.attrs["truncation_error"]:
        lines.append(
            f"truncated the outer weights' root mean square error is at most "
            f"{n.attrs['truncation_error']:.1e} (network.truncation)"
        )
    return lines


def _comparison(c: xr.Dataset) -> list[str]:
    shown = measured(c)
    lines = ["".join(["         t", *(f"{COMPARED[name].short:>21}" for name in shown)])]
    steps = np.unique(np.rint(np.linspace(0, c.sizes["snapshot"] - 1, 11)).astype(int))
    for k in steps:
        values = "".join(f"{float(c[name][k]):21.5f}" for name in shown)
        lines.append(f"{float(c.time[k]):10.4g}{values}")
    return [*lines, *(f"nodes     {said}" for said in [nodes_of_distances(c)] if said)]


def _kernel(k: xr.Dataset) -> list[str]:
    inputs = int(k.attrs.get("inputs", 0)) or "infinitely many"
    lines = [
        f"kernel    of {inputs} inputs: {k.sizes['row']} eigenvalues, their shares in the "
        "densities' variance, and how much is learnt at this lambda",
        "      wave  multiplicity      eigenvalue     teacher     initial      learnt",
    ]
    learnt = k.learnt.values if "learnt" in k else np.full(k.sizes["row"], np.nan)
    for row in range(min(KERNEL_ROWS, k.sizes["row"])):
        wave = ",".join(map(str, k.wave.values[row]))
        value, teacher, initial = (
            float(k[name][row]) for name in ("eigenvalue", "teacher_share", "initial_share")
        )
        lines.append(
            f"{wave:>10}{float(k.multiplicity[row]):14.10g}{value:16.6g}"
            f"{100 * teacher:10.3g} %{100 * initial:10.3g} %{100 * learnt[row]:10.3g} %"
        )
    lines.append(
        f"learnt    {100 * float(learnt @ k.teacher_share.values):.3g} % of the teacher's variance"
    )
    if not k.attrs["null_space"]:
        return [*lines, "unseen    nothing: all these eigenvalues are positive"]
    return [*lines, f"unseen    {unseen_sentence(k.attrs) or k.attrs['null_space']}"]


def _budget(b: xr.Dataset) -> list[str]:
    """Lines with the entries of the error budget, at no more than four times after the start, and
    with the floor of each at the last time; then lines with the shares, which have a sign.
    """
    later = np.arange(1, b.sizes["snapshot"])
    steps = later[np.unique(np.rint(np.linspace(0, len(later) - 1, 4)).astype(int))]
    head = "".join(f"{f't = {float(b.time[k]):.4g}':>12}" for k in steps)
    whole = ("network to diffusion", b.total.values)

    def table(values: Array, *last: tuple[str, Array]) -> list[str]:
        rows = [*zip(map(str, b.source.values), values, strict=True), *last]
        return [f"{name:>23}" + "".join(f"{v[k]:12.4g}" for k in steps) for name, v in rows]

    floors = [f"{f:12.1e}" for f in b.floor.values[:, -1]] if "floor" in b else []
    sizes = table(b.contribution.values, ("sum", b.contribution.values.sum(axis=0)), whole)
    lines = [f"budget    {b.attrs['distance']}: size of each entry", " " * 23 + head
             + f"{'floor':>12}",
             *(a + f for a, f in itertools.zip_longest(sizes, floors, fillvalue=""))]  # fmt: skip
    if "signed" in b:
        lines += ["          share of each entry, whose sum is the whole distance", " " * 23 + head,
                  *table(b.signed.values, whole)]  # fmt: skip
    return lines


def _spectrum(s: xr.Dataset) -> list[str]:
    lines = [f"spectrum  {s.sizes['node']} nodes", "      mode           eigenvalue"]
    return lines + [f"{k:10d} {v:20.8g}" for k, v in enumerate(s.eigenvalue.values, start=1)]
