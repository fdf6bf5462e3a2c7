"""Every mistake on the command line and in its files is refused with one sentence that names it."""

from pathlib import Path

import pytest
from processes import cli, refusal, without_warnings

MESHES = Path(__file__).parent.parent / "meshes"

# arguments, and a part of the sentence
BAD = {
    "unknown preset": (["compare", "relu-circel"], "did you mean 'relu-circle'?"),
    "unknown command": (["compair"], "compare"),
    "unknown option": (["compare", "--outt", "x"], "--out"),
    "missing file": (["solve", "nowhere.toml"], "Cannot read 'nowhere.toml'"),
    "folder as file": (["solve", "folder.toml"], "Cannot read 'folder.toml'"),
    "not TOML": (["solve", "broken.toml"], "not valid TOML"),
    "not text": (["solve", "binary.toml"], "not UTF-8"),
    "unknown section": (["solve", "section.toml"], "did you mean 'network'?"),
    "unknown key": (["train", "--set", "network.widht=3"], "did you mean 'width'?"),
    "set without value": (["train", "--set", "network.width"], "section.key=value"),
    "set not TOML": (["train", "--set", "network.width=[1,"], "not a TOML value"),
    "width 0": (["train", "--set", "network.width=0"], "network.width must be positive"),
    "width not whole": (["train", "--set", "network.width=1.5"], "whole number"),
    "lambda 0": (["train", "--set", "network.lambda=0.0"], "network.lambda must be positive"),
    "lambda negative": (["train", "--set", "network.lambda=-1.0"], "network.lambda must be positive"),
    "lambda nan": (["train", "--set", "network.lambda=nan"], "finite"),
    "step 0": (["train", "--set", "network.step=0"], "network.step must be positive"),
    "step beyond the end": (["compare", "--set", "network.step=30"], "longer than the run"),
    "too wide": (["train", "--set", "network.width=1000000000"], "smaller network.width"),
    "too wide for dense features": (["train", "sphere", "--set", "network.width=10000000", "--set", "diffusion.snapshots=2"], "GiB of memory"),
    "t_end inf": (["solve", "--set", "problem.t_end=inf"], "finite"),
    "t_end negative": (["solve", "--set", "problem.t_end=-1"], "problem.t_end must be positive"),
    "wrong type": (["solve", "--set", "diffusion.cells='many'"], "whole number"),
    "no cells": (["solve", "--set", "diffusion.cells=0"], "diffusion.cells must be positive"),
    "cells beyond all bounds": (["solve", "--set", f"diffusion.cells=1{400 * '0'}"], "smaller than 2^63"),
    "cells as a huge float": (["solve", "--set", "diffusion.cells=1e300"], "smaller than 2^63"),
    "huge seed": (["train", "--set", f"network.seed={2**70}"], "smaller than 2^63"),
    "no density": (["solve", "--set", "problem.initial=''"], "Unknown density kind ''"),
    "unknown scheme": (["solve", "--set", "diffusion.scheme=sdirk"], "did you mean 'sdirk3'?"),
    "degree 9": (["solve", "--set", "diffusion.degree=9"], "diffusion.degree must be a whole number from 1 to 8"),
    "degree 4 on the sphere": (["solve", "sphere", "--set", "diffusion.degree=4"], "diffusion.degree must be one of 1, 2, 3 in dimension 2"),
    "degree 3 in 3-D": (["solve", "--set", "problem.manifold=torus", "--set", "problem.dim=3", "--set", "diffusion.degree=3"], "one of 1, 2 in dimension 3"),
    "no eigenvalues": (["spectrum", "--count", "0"], "from 1 to 100"),
    "cells beyond memory": (["solve", "--set", "diffusion.cells=1e15"], "GiB of memory"),
    "eigenvalues beyond memory": (["spectrum", "--set", "diffusion.cells=1e12"], "GiB of memory"),
    "steps beyond memory": (["train", "--set", "network.step=1e-8", "--set", "problem.t_end=8"], "GiB of memory"),
    "too many eigenvalues": (["spectrum", "--count", "20", "--set", "diffusion.cells=16"], "too few"),
    "nothing to resume": (["resume", "foreign"], "no checkpoint"),
    "rtol 0": (["solve", "--set", "diffusion.rtol=0"], "between 0 and 1"),
    "manifold": (["solve", "--set", "problem.manifold=spere"], "did you mean 'sphere'?"),
    "dimension": (["solve", "--set", "problem.manifold=torus", "--set", "problem.dim=4"], "dimension"),
    "period": (["solve", "radial-torus", "--set", "problem.period=-4"], "period must be positive"),
    "regulariser": (["solve", "--set", "problem.regulariser=entropie"], "did you mean 'entropy'?"),
    "power": (["solve", "--set", "problem.regulariser=power", "--set", "problem.power=9"], "(1, 4]"),
    "kernel": (["train", "--set", "network.kernel=sampeld"], "did you mean 'sampled'?"),
    "algorithm": (["train", "--set", "network.algorithm=varpor"], "did you mean 'varpro'?"),
    "ratio 0": (["train", "--set", "network.ratio=0"], "network.ratio must be positive"),
    "network rtol": (["train", "--set", "network.rtol=2"], "network.rtol must lie"),
    "truncation 0": (["train", "--set", "network.truncation=0"], "network.truncation must be positive"),
    "low-rank of everything": (["train", "radial-torus", "--set", "network.kernel=low-rank", "--set", "network.truncation=1e-9"], "more than"),
    "quantiles": (["train", "sphere", "--set", "network.placement=quantile"], "one dimension"),
    "gamma negative": (["solve", "--set", "problem.teacher.gamma=-1"], "gamma must be"),
    "gamma inf": (["solve", "--set", "problem.teacher.gamma=inf"], "gamma must be"),
    "density kind": (["solve", "--set", "problem.teacher=bumbs"], "did you mean 'bumps'?"),
    "density key": (["solve", "--set", "problem.teacher.gama=1"], "did you mean 'gamma'?"),
    "density home": (["solve", "sphere", "--set", "problem.teacher={kind='bumps'}"], "circle and the torus"),
    "weights": (["solve", "--set", "problem.teacher={kind='bumps', weights=[1, -1]}"], "positive"),
    "negative density": (["solve", "negative.toml"], "is negative"),
    "nan density": (["solve", "nan.toml"], "not finite"),
    "vanishing density": (["solve", "vanishing.toml"], "positive and finite"),
    "no such function": (["solve", "--set", "problem.teacher={kind='python', function='os:nope'}"], "Cannot import"),
    "features": (["train", "--set", "network.features=radial"], "live on the torus"),
    "population": (["train", "radial-torus", "--set", "network.kernel=population"], "closed form"),
    "even placement": (["train", "radial-torus", "--set", "network.placement=even"], "2-th power"),
    "mesh missing": (["mesh", "check", "nowhere.msh"], "Cannot read 'nowhere.msh'"),
    "mesh folder": (["mesh", "check", "foreign"], "Cannot read 'foreign': Is a directory"),
    "mesh not a mesh": (["mesh", "convert", "binary.toml", "x.msh"], "not a complete mesh file"),
    "mesh format": (["mesh", "make", "x.doc"], ".msh"),
    "mesh cells": (["mesh", "make", "x.msh", "--cells", "0"], "--cells must be positive"),
    "mesh place": (["mesh", "make", "nowhere/x.msh", "--cells", "20"], "Cannot write 'nowhere/x.msh'"),
    "mesh of a run": (["solve", "sphere", "--set", "diffusion.mesh='nowhere.msh'"], "nowhere.msh': No such file"),
    "mesh of a circle": (["solve", "--set", "diffusion.mesh='x.msh'"], "dimension 2 only"),
    "foreign folder": (["train", "--out", "foreign"], "not a run's folder"),
    "file as folder": (["train", "--out", "binary.toml"], "Cannot write"),
    "nothing asked": (["solve", "--set", ""], "section.key=value, not ''"),
    "set without key": (["train", "--set", "network.=3"], "section.key=value"),
    "set without section": (["train", "--set", "width=3"], "section.key=value"),
    "set two lines": (["train", "--set", "network.width=3\nseed=4"], "not a TOML value"),
    "set a key of a number": (["train", "--set", "network.width.x=3"], "--set 'network.width.x': 'width' is a value"),
    "set nested without end": (["train", "--set", f"network.width={5000 * '['}"], "not a TOML value"),
    "set digits without end": (["train", "--set", f"network.width={5000 * '9'}"], "not a TOML value"),
    "set a date": (["train", "--set", "network.width=2020-01-01"], "whole number"),
    "set a boolean": (["train", "--set", "network.width=true"], "whole number, not True"),
    "set a list": (["train", "--set", "network.lambda=[1]"], "network.lambda must be a finite number, not [1]"),
    "set a table": (["train", "--set", "network.scale={a=1}"], "network.scale must be a finite number"),
    "hexadecimal": (["train", "--set", f"network.features=0x{5000 * 'f'}"], "network.features must be a string"),
    "sections are tables": (["solve", "flat.toml"], "[network] must be a table"),
    "section twice": (["solve", "twice.toml"], "not valid TOML"),
    "tables too deep": (["solve", "deep.toml"], "not valid TOML"),
    "zero byte in a name": (["solve", "a\0b.toml"], "no such path"),
    "empty name": (["solve", ""], "Unknown preset"),
    "a sharp s": (["train", "--set", "network.größe=3"], "Unknown key in [network] 'größe'"),
    "name without end": (["train", "--set", f"network.{500 * 'x'}=3"], "..."),
    "step nan": (["train", "--set", "network.step=nan"], "network.step must be a finite number, not nan"),
    "steps without end": (["train", "--set", "network.step=1e-12"], "more than 1e+09 steps"),
    "steps of the PDE without end": (["solve", "--set", "diffusion.step=1e-12"], "more than 1e+09 steps"),
    "PDE step negative": (["solve", "--set", "diffusion.step=-0.1"], "diffusion.step must not be negative"),
    "one snapshot": (["solve", "--set", "diffusion.snapshots=1"], "at least 2"),
    "snapshots without end": (["solve", "--set", "diffusion.snapshots=1000000000000"], "at most 100000"),
    "snapshots as a word": (["solve", "--set", "diffusion.snapshots=many"], "diffusion.snapshots must be"),
    "snapshots backwards": (["solve", "--set", "diffusion.snapshots=[0, 5, 2]"], "times that increase from 0"),
    "snapshots start late": (["solve", "--set", "diffusion.snapshots=[1, 10]"], "times that increase from 0"),
    "snapshots end early": (["solve", "--set", "diffusion.snapshots=[0, 5]"], "must be problem.t_end = 10.0, not 5.0"),
    "snapshots nan": (["solve", "--set", "diffusion.snapshots=[0, nan]"], "diffusion.snapshots must be"),
    "t_end 0": (["solve", "--set", "problem.t_end=0"], "problem.t_end must be positive"),
    "checkpoint 0": (["solve", "--set", "diffusion.checkpoint=0"], "diffusion.checkpoint must be positive"),
    "rtol 1": (["solve", "--set", "diffusion.rtol=1"], "between 0 and 1"),
    "degree as a list": (["solve", "--set", "diffusion.degree=[1]"], "diffusion.degree must be a whole number"),
    "seed negative": (["train", "--set", "network.seed=-1"], "network.seed must not be negative"),
    "samples 0": (["train", "--set", "network.samples=0"], "network.samples must be positive"),
    "teacher width 0": (["train", "--set", "network.teacher_width=0"], "network.teacher_width must be positive"),
    "scale negative": (["train", "radial-torus", "--set", "network.scale=-1"], "network.scale must be positive"),
    "profile": (["train", "radial-torus", "--set", "network.profile=gausian"], "did you mean 'gaussian'?"),
    "placement": (["train", "--set", "network.placement=evn"], "did you mean 'even'?"),
    "teacher placement": (["train", "--set", "network.teacher_placement=evn"], "did you mean 'even'?"),
    "fourier on a torus": (["train", "radial-torus", "--set", "network.features=fourier"], "'fourier' live on spheres"),
    "fourier's scale": (["train", "sphere", "--set", "network.features=fourier", "--set", "network.scale=1e-9"], "between 0.001 and 1000"),
    "fourier's profile": (["train", "sphere", "--set", "network.features=fourier", "--set", "network.profile=gausian"], "did you mean 'gaussian'?"),
    "laplace on a sphere": (["train", "sphere", "--set", "network.features=laplace"], "live on the circle"),
    "limit": (["solve", "--set", "problem.limit=constraint"], "did you mean 'constrained'?"),
    "constrained torus": (["solve", "radial-torus", "--set", "problem.limit=constrained"], "for the circle and the sphere"),
    "constrained laplace": (["solve", "matern-circle", "--set", "problem.limit=constrained"], "these do: use 'unconstrained'"),
    "constrained degree": (["solve", "--set", "problem.limit=constrained", "--set", "diffusion.degree=2"], "diffusion.degree = 1"),
    "dimension negative": (["solve", "--set", "problem.dim=-1"], "problem.dim must be positive"),
    "circle of dimension 2": (["solve", "--set", "problem.dim=2"], "problem.dim must be 1 on the circle"),
    "sphere of many dimensions": (["solve", "sphere", "--set", "problem.dim=1000"], "a whole number from 1 to 100"),
    "torus of many dimensions": (["train", "radial-torus", "--set", "problem.dim=1000000000"], "a whole number from 1 to 100"),
    "PDE on S^3": (["solve", "sphere", "--set", "problem.dim=3", "--set", "problem.teacher={kind='python', function='wrong:ones'}"], "give it as problem.axis"),
    "constrained S^3 without axis": (["solve", "sphere", "--set", "problem.dim=3", "--set", "problem.limit=constrained", "--set", "problem.teacher={kind='python', function='wrong:ones'}"], "give it as problem.axis"),
    "axis zero": (["solve", "sphere", "--set", "problem.axis=[0, 0, 0]"], "problem.axis must be a non-zero vector with 3 coordinates"),
    "axis short": (["solve", "sphere", "--set", "problem.axis=[1, 0]"], "problem.axis must be a non-zero vector with 3 coordinates"),
    "axis of words": (["solve", "sphere", "--set", "problem.axis=['a', 'b', 'c']"], "problem.axis must be real numbers"),
    "axis of booleans": (["solve", "sphere", "--set", "problem.axis=[true, false, false]"], "problem.axis must be real numbers"),
    "axis nested": (["solve", "sphere", "--set", "problem.axis=[[1, 0, 0]]"], "problem.axis must be a list of numbers, not [[1, 0, 0]]"),
    "axis ragged": (["solve", "sphere", "--set", "problem.axis=[[1], [2, 3]]"], "problem.axis must be real numbers"),
    "axis nan": (["solve", "sphere", "--set", "problem.axis=[nan, 0, 0]"], "problem.axis must be finite"),
    "axis beyond all bounds": (["solve", "sphere", "--set", "problem.axis=[1e60, 0, 0]"], "problem.axis must be finite and below 1e+50"),
    "axis a number": (["solve", "sphere", "--set", "problem.axis=3"], "problem.axis must be a list of numbers, not 3"),
    "axis a word": (["solve", "sphere", "--set", "problem.axis=north"], "problem.axis must be a list of numbers, not 'north'"),
    "axis of a torus": (["solve", "radial-torus", "--set", "problem.axis=[1, 0]"], "problem.axis is for spheres"),
    "axis of another density": (["solve", "sphere", "--set", "problem.axis=[0, 1, 1]"], "teacher density is not symmetric about problem.axis"),
    "axis of a function": (["solve", "sphere", "--set", "problem.axis=[0, 1, 0]", "--set", "problem.teacher={kind='python', function='wrong:tilted'}"], "teacher density is not symmetric about problem.axis"),
    "axis and mesh": (["solve", "sphere", "--set", "problem.axis=[1, 0, 0]", "--set", f"diffusion.mesh='{MESHES / 'icosphere-320.msh'}'"], "leave diffusion.mesh out"),
    "axis and degree": (["solve", "sphere", "--set", "problem.dim=3", "--set", "problem.teacher=uniform", "--set", "diffusion.degree=2"], "diffusion.degree must be 1 for densities symmetric about an axis"),
    "height on a torus": (["solve", "radial-torus", "--set", "problem.teacher={kind='height', function='wrong:ones'}"], "'height' lives on spheres"),
    "height without function": (["solve", "sphere", "--set", "problem.teacher={kind='height'}"], "'module:name' is needed"),
    "height's key": (["solve", "sphere", "--set", "problem.teacher={kind='height', function='wrong:ones', axes=[1, 0, 0]}"], "did you mean 'axis'?"),
    "height's axis": (["solve", "sphere", "--set", "problem.teacher={kind='height', function='wrong:ones', axis=[0, 0, 0]}"], "axis must be a non-zero vector with 3 coordinates"),
    "height negative": (["solve", "sphere", "--set", "problem.teacher={kind='height', function='wrong:height'}"], "'wrong:height' is negative"),
    "height of points": (["solve", "sphere", "--set", "problem.teacher={kind='height', function='wrong:tilted'}"], "'wrong:tilted' failed with IndexError"),
    "function's key": (["solve", "sphere", "--set", "problem.teacher={kind='python', function='wrong:ones', axis=[1, 0, 0]}"], "Unknown key of density 'python' 'axis'"),
    "kappa beyond all bounds in 100 dimensions": (["train", "sphere", "--set", "problem.dim=100", "--set", "problem.teacher={kind='von-mises-fisher', kappa=1e9}"], "gives no finite peak"),
    "volume too large": (["train", "radial-torus", "--set", "problem.period=1e200"], "problem.period = 1e+200"),
    "power 1": (["solve", "--set", "problem.regulariser=power", "--set", "problem.power=1"], "problem.power must lie in (1, 4]"),
    "regulariser as a number": (["solve", "--set", "problem.regulariser=2"], "problem.regulariser must be a string"),
    "regulariser not there": (["solve", "--set", "problem.regulariser='wrong:nothing'"], "Cannot import regulariser 'wrong:nothing'"),
    "regulariser not convex": (["solve", "--set", "problem.regulariser='wrong:concave'"], "f is not strictly convex"),
    "regulariser without conjugate": (["solve", "--set", "problem.regulariser='wrong:halves'"], "conjugate failed with AttributeError"),
    "regulariser of another shape": (["solve", "--set", "problem.regulariser='wrong:scalars'"], "keep the shape"),
    "manifold not there": (["train", "--set", "problem.manifold='wrong:nothing'"], "Cannot import manifold 'wrong:nothing'"),
    "no manifold": (["train", "--set", "problem.manifold='wrong:negative'"], "Manifold 'wrong:negative' failed"),
    "density as a list": (["solve", "--set", "problem.teacher=[1]"], "problem.teacher must be a table"),
    "density without kind": (["solve", "--set", "problem.teacher={gamma=1}"], "needs a kind"),
    "density kind a number": (["solve", "--set", "problem.teacher={kind=3}"], "needs a kind"),
    "gamma as a word": (["solve", "--set", "problem.teacher.gamma=large"], "gamma must be a finite number >= 0, not 'large'"),
    "centres ragged": (["solve", "--set", "problem.teacher.centres=[[1], [2, 3]]"], "centres must be real numbers"),
    "centres as words": (["solve", "--set", "problem.teacher.centres=['1', '2']"], "centres must be real numbers"),
    "no centres": (["solve", "--set", "problem.teacher.centres=[]"], "centres must be a list"),
    "centres of other dimension": (["solve", "radial-torus", "--set", "problem.teacher.centres=[1.0, 2.0]"], "2 coordinate(s)"),
    "centres beyond all bounds": (["solve", "--set", "problem.teacher.centres=[1e200]"], "below 1e+50"),
    "too many weights": (["solve", "--set", "problem.teacher.weights=[1, 1, 1]"], "2 positive number(s)"),
    "weights as a boolean": (["solve", "--set", "problem.teacher.weights=true"], "weights must be real numbers, not True"),
    "weights nan": (["solve", "--set", "problem.teacher.weights=[nan, 1]"], "weights must be finite"),
    "kappa negative": (["solve", "sphere", "--set", "problem.teacher.kappa=-1"], "between 0 and 1e12"),
    "kappa too large": (["solve", "sphere", "--set", "problem.teacher.kappa=1e13"], "between 0 and 1e12"),
    "kappa beyond all bounds": (["solve", "sphere", "--set", "problem.teacher.kappa=1e90"], "kappa must be finite"),
    "means zero": (["solve", "sphere", "--set", "problem.teacher.means=[[0, 0, 0]]"], "non-zero vectors with 3 coordinates"),
    "means flat": (["solve", "sphere", "--set", "problem.teacher.means=[1, 0, 0]"], "non-zero vectors with 3 coordinates"),
    "von Mises-Fisher on a torus": (["solve", "radial-torus", "--set", "problem.teacher={kind='von-mises-fisher'}"], "use 'bumps'"),
    "Diracs without points": (["train", "--set", "problem.teacher={kind='diracs'}"], "centres must be a list"),
    "Diracs at the origin": (["train", "--set", "problem.teacher={kind='diracs', centres=[[0, 0]]}"], "must not be the origin"),
    "Diracs in the PDE": (["solve", "--set", "problem.teacher={kind='diracs', centres=[[1, 0]]}"], "has no density"),
    "density underflows": (["solve", "sphere", "--set", "problem.teacher.kappa=1e6", "--set", "diffusion.cells=80"], "positive and finite"),
    "function without module": (["solve", "--set", "problem.teacher={kind='python', function='f'}"], "'module:name' is needed"),
    "function a number": (["solve", "--set", "problem.teacher={kind='python', function=3}"], "'module:name' is needed"),
    "module fails": (["solve", "--set", "problem.teacher={kind='python', function='fails:f'}"], "Cannot import density 'fails:f': ValueError: on two lines"),
    "module leaves": (["solve", "--set", "problem.teacher={kind='python', function='leaves:f'}"], "Cannot import density 'leaves:f': SystemExit"),
    "module does not parse": (["solve", "--set", "problem.teacher={kind='python', function='unparsed:f'}"], "SyntaxError"),
    "infinite density": (["solve", "infinite.toml"], "not finite"),
    "zero density": (["solve", "zero.toml"], "its integral is 0"),
    "overflowing density": (["solve", "overflowing.toml"], "cannot be normalised: its integral is inf"),
    "density of another shape": (["solve", "column.toml"], "must map (n, 2) to (n,), but gave shape"),
    "density a scalar": (["solve", "scalar.toml"], "but gave shape ()"),
    "complex density": (["solve", "complex.toml"], "must give real numbers, not of type complex128"),
    "density of words": (["solve", "words.toml"], "must give real numbers"),
    "raising density": (["solve", "raising.toml"], "failed with RuntimeError: no data today."),
    "density not callable": (["solve", "--set", "problem.teacher={kind='python', function='wrong:number'}"], "is not a function"),
    "density where nothing is drawn": (["train", "needle.toml"], "too sharp to sample"),
    "mesh open": (["mesh", "check", str(MESHES / "broken-hole.msh")], "cannot be used: The mesh is open"),
    "mesh not a surface": (["mesh", "check", str(MESHES / "broken-fin.msh")], "cannot be used: The mesh is"),
    "mesh truncated": (["mesh", "check", "truncated.msh"], "not a complete mesh file"),
    "mesh empty": (["mesh", "check", "empty.msh"], "not a complete mesh file"),
    "mesh nan": (["mesh", "check", "nan.msh"], "Coordinates must be finite"),
    "mesh quadrilaterals": (["mesh", "check", "quad.vtk"], "not triangles (quad)"),
    "mesh volumes": (["mesh", "check", "tetra.vtk"], "not triangles (tetra)"),
    "mesh points only": (["mesh", "check", "points.vtk"], "no triangles"),
    "mesh of unknown suffix": (["mesh", "check", "binary.toml"], "not a complete mesh file"),
    "mesh convert nowhere": (["mesh", "convert", str(MESHES / "icosphere-320.msh"), "x.doc"], "none of them"),
    "mesh of a run open": (["solve", "sphere", "--set", f"diffusion.mesh='{MESHES / 'broken-hole.msh'}'"], "The mesh is open"),
    "mesh without value": (["mesh", "make", "x.msh", "--cells", "many"], "cells"),
    "count as a word": (["spectrum", "--count", "many"], "count"),
    "study": (["study", "meshes"], "did you mean 'mesh'?"),
    "study values": (["study", "mesh", "--values", "a,b"], "--values takes numbers"),
    "study values negative": (["study", "mesh", "--values=-1,2"], "positive values"),
    "study values repeated": (["study", "width", "--values", "16,16,32"], "takes each value once"),
    "study seeds": (["study", "mesh", "--seeds", "3"], "takes no --seeds"),
    "study seeds 0": (["study", "width", "--seeds", "0"], "--seeds must be positive"),
    "figure": (["figures", "figur"], "figur"),
    "report of nothing": (["report", "nowhere"], "There is no file 'nowhere/result.nc'."),
    "report of a study": (["report", "study"], "'study' holds a study"),
    "report of half a run": (["report", "half"], "go on with: uf-diffusion resume half"),
    "Python's name of a key": (["train", "--set", "network.regularisation=1"], "did you mean 'lambda'?"),
    "population of radial features": (["train", "radial-torus", "--set", "network.kernel=population"], "use network.kernel = 'low-rank' or 'sampled'"),
    "PETSc's option without a dash": (["solve", "--", "uf_ksp_monitor"], "begins with a dash, unlike 'uf_ksp_monitor'"),
    "PETSc's option with two values": (["solve", "--", "-uf_ksp_rtol", "1e-3", "1e-4"], "begins with a dash, unlike '1e-4'"),
    "resume without folder": (["resume", "nowhere"], "no checkpoint"),
    "resume a file": (["resume", "binary.toml"], "no checkpoint"),
}  # fmt: skip


FUNCTIONS = """\
import numpy as np

number = 3

def ones(x): return np.ones(len(x))
def tilted(x): return 1.5 + x[:, 0]
def height(s): return s
def negative(x): return x[:, 0]
def nan(x): return np.where(x[:, 0] > 0, np.nan, 1.0)
def vanishing(x): return np.maximum(x[:, 0], 0)
def infinite(x): return np.where(x[:, 0] > 0, np.inf, 1.0)
def zero(x): return 0 * x[:, 0]
def overflowing(x): return 1e308 + 0 * x[:, 0]
def column(x): return np.ones((len(x), 1))
def scalar(x): return 1.0
def complex(x): return np.ones(len(x), dtype=np.complex128)
def words(x): return np.array(["1"] * len(x))
def raising(x): raise RuntimeError("no data today.")
def needle(x): return (np.abs(x[:, 1]) < 2e-4).astype(float) * (np.abs(x[:, 0] - 1) < 1e-3)

class concave:
    def df(t): return -t
    def d2conjugate(w): return 1 + 0 * w

class halves:
    def f(t): return t * t / 2
    def df(t): return t
    def dconjugate(w): return w
    def d2conjugate(w): return 1 + 0 * w

class scalars:
    def df(t): return 1.0
"""

VTK = """\
# vtk DataFile Version 3.0
mistake
ASCII
DATASET UNSTRUCTURED_GRID
POINTS 4 double
0 0 0  1 0 0  0 1 0  0 0 1
CELLS 1 {size}
{cell}
CELL_TYPES 1
{kind}
"""


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """A folder with the files that the bad cases name."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "folder.toml").mkdir()
    (folder / "foreign").mkdir()
    (folder / "foreign" / "thesis.tex").write_text("do not touch")
    (folder / "broken.toml").write_text("[network\nwidth = 3")
    (folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (folder / "section.toml").write_text("[netwrok]\nwidth = 3\n")
    (folder / "flat.toml").write_text("network = 3\n")
    (folder / "twice.toml").write_text("[network]\nwidth = 3\n[network]\nseed = 3\n")
    (folder / "deep.toml").write_text(f"a = {5000 * '['}")
    (folder / "fails.py").write_text("raise ValueError('on two\\nlines.')")
    (folder / "leaves.py").write_text("raise SystemExit(7)")
    (folder / "unparsed.py").write_text("def f(:")
    (folder / "wrong.py").write_text(FUNCTIONS)
    for name in ("negative", "nan", "vanishing", "infinite", "zero", "overflowing", "column",
                 "scalar", "complex", "words", "raising", "needle"):  # fmt: skip
        (folder / f"{name}.toml").write_text(
            f"[problem]\nteacher = {{kind = 'python', function = 'wrong:{name}'}}\n"
        )
    for name, file in (("study", "study.nc"), ("half", "checkpoint.nc")):
        (folder / name).mkdir()
        (folder / name / file).touch()
    _write_broken_meshes(folder)
    return folder


def _write_broken_meshes(folder):
    good = (MESHES / "icosphere-320.msh").read_text()
    (folder / "truncated.msh").write_text(good[: len(good) // 2])
    (folder / "empty.msh").write_text("")
    lines = good.splitlines()
    first = lines.index("$Nodes") + 2
    lines[first] = f"{lines[first].split()[0]} nan nan nan"
    (folder / "nan.msh").write_text("\n".join(lines) + "\n")
    for name, cell, kind in (("quad", "4 0 1 2 3", 9), ("tetra", "4 0 1 2 3", 10),
                             ("points", "1 0", 1)):  # fmt: skip
        size = len(cell.split())
        (folder / f"{name}.vtk").write_text(VTK.format(size=size, cell=cell, kind=kind))


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence(case, mistakes, monkeypatch, capsys):
    """Non-zero exit, one line on stderr with a hint, no traceback, nothing written."""
    pytest.importorskip("dolfinx")
    args, hint = BAD[case]
    monkeypatch.chdir(mistakes)
    printed = refusal(args, capsys)
    assert hint in printed.err
    assert len(printed.err) < 500
    assert "Traceback" not in printed.err
    # the table of a mesh is what `mesh check` is asked for, before it says what is wrong
    assert printed.out == "" or args[:2] == ["mesh", "check"]
    assert list((mistakes / "foreign").iterdir()) == [mistakes / "foreign" / "thesis.tex"]
    assert not list(mistakes.glob("runs/*/result.nc"))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("-uf_ksp_type nonsense", "PETSc refuses an option: Unable to find requested KSP type nonsense."),
        ("-uf_ksp_rtol abc", "PETSc refuses an option: Input string abc has no numeric value."),
        ("-uf_pc_factor_mat_solver_type nonsense", "PETSc's linear solver failed: Could not locate solver type nonsense"),
    ],
)  # fmt: skip
def test_bad_options_of_petsc(option, sentence, tmp_path):
    """In a process of their own: PETSc remembers them."""
    pytest.importorskip("dolfinx")
    name = "relu-circle" if "factor" in option else "sphere"
    small = ["--set", "diffusion.cells=2000", "--set", "problem.t_end=0.1", "--out", "run"]
    done = cli("solve", name, *small, "--", *option.split(), cwd=tmp_path)
    assert done.returncode == 1
    said = without_warnings(done.stderr)
    assert said.count("\n") == 1
    assert said.startswith(f"uf-diffusion: {sentence}")


def test_bad_input_from_a_shell(mistakes):
    """The same through a real process."""
    done = cli("compare", "relu-circel", cwd=mistakes)
    assert done.returncode == 1
    assert done.stderr == (
        "uf-diffusion: Unknown preset (and not a .toml file) 'relu-circel': "
        "did you mean 'relu-circle'?\n"
    )


def test_bad_input_is_the_same_on_all_ranks(mistakes):
    pytest.importorskip("dolfinx")
    done = cli("solve", "vanishing.toml", cwd=mistakes, launcher=("mpiexec", "-n", "2"))
    assert done.returncode != 0
    assert done.stderr.count("uf-diffusion: ") == 1
    assert "Traceback" not in done.stderr
