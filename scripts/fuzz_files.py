"""Damages results and checkpoints at random, and counts how the commands take it.

    python scripts/fuzz_files.py --count 500 --seed 0

Small results and checkpoints of several kinds are made. Then each case damages one of them, and a
command reads it in a process of its own. It must end within ten seconds, either with one
sentence or with the work done. Damage of bytes is found by the checksum; other damage is sealed
with a new checksum, as if a program had written it, or left without one.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import webbrowser
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import h5py
import numpy as np
import psutil

from uf_diffusion.results.netcdf import MARK, SEAL, _digest

SECONDS = 10  # a command that takes longer hangs
SMALL = ["network.width=12", "network.samples=32", "network.teacher_width=32", "problem.t_end=0.1",
         "diffusion.cells=64", "diffusion.snapshots=3", "network.step=0.01",
         "diffusion.checkpoint=1e-9"]  # fmt: skip
RUNS = {
    "solve circle": ["solve", "relu-circle"],
    "solve sphere": ["solve", "sphere"],
    "solve mesh": ["solve", "sphere", "--set", "diffusion.mesh=mesh.msh"],
    "train torus": ["train", "radial-torus"],
    "compare circle": ["compare", "relu-circle"],
    "compare sphere": ["compare", "sphere"],
    "budget": ["compare", "matern-circle", "--budget"],
    "spectrum": ["spectrum", "relu-circle"],
    "study": ["study", "step", "--values", "0.05,0.1"],
}
CHECKPOINTS = {"solve checkpoint": "solve circle", "train checkpoint": "train torus",
               "compare checkpoint": "compare circle"}  # fmt: skip
OUTCOMES = ("sentence", "readable", "traceback", "hang", "crash")


# --- what is damaged


def command_of(name: str) -> list[str]:
    sets = [word for text in SMALL for word in ("--set", text)]
    return [*RUNS[name], *sets, "--quiet", "--out", name]


def undamaged(name: str, place: Path) -> Path:
    """The file of a kind, which is made when it is first needed."""
    file = place / name / ("study.nc" if name == "study" else "result.nc")
    file = place / name / "checkpoint.nc" if name in CHECKPOINTS else file
    if not file.exists():
        place.mkdir(exist_ok=True)
        made(["mesh", "make", "mesh.msh", "--cells", "80"], place)
        words = command_of(CHECKPOINTS.get(name, name))
        made([*words[:-1], name], place, interrupted if name in CHECKPOINTS else None)
    assert file.exists(), file
    return file


def made(words: list[str], place: Path, call: Callable[[list[str]], None] | None = None) -> None:
    """Run a command to its end in a folder, without damage."""
    found, text = outcome(words, place, place / "said.txt", 600, call)
    assert found == "readable" or call, f"{words}: {found}: {text}"


def interrupted(words: list[str]) -> None:
    """Run a command that gets a signal at its fourth step, on the side that it does last."""
    from uf_diffusion.cli import main
    from uf_diffusion.runs.checkpoints import Checkpoints

    watch, last = Checkpoints.watch, "diffusion" if words[0] == "solve" else "network"

    def stopping(self: Any, side: str, pack: Any) -> Callable[[Any], None]:
        look, steps = watch(self, side, pack), [0]

        def both(state: Any) -> None:
            steps[0] += side == last
            if steps[0] == 4:
                signal.raise_signal(signal.SIGINT)
            look(state)

        return both

    Checkpoints.watch = stopping  # type: ignore[assignment, method-assign]
    main(words)


# --- damage of bytes


def flipped(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def blanked(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    length = rng.choice([8, 64, 4096])
    return content[:start] + bytes(length) + content[start + length :]


BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bytes flipped": flipped,
    "bytes blanked": blanked,
    "cut short": lambda content, rng: content[: rng.randrange(len(content))],
    "nothing": lambda content, rng: b"",
    "text": lambda content, rng: rng.choice([b"hello\n", b"[problem]\n", b"CDF\x01" + bytes(40)]),
    "shuffled": lambda content, rng: content[len(content) // 2 :] + content[: len(content) // 2],
}


# --- damage of the structure


def variable_of(file: h5py.File, rng: random.Random) -> tuple[h5py.Group, str]:
    """A variable, and the group that it is in."""
    found: list[tuple[h5py.Group, str]] = []
    for group in [file, *(g for g in file.values() if isinstance(g, h5py.Group))]:
        found += [(group, name) for name in group if isinstance(group[name], h5py.Dataset)]
    return rng.choice(found)


def replaced(group: h5py.Group, name: str, values: object) -> None:
    """Put other values into a variable, with its attributes where HDF5 accepts them."""
    old = group[name]
    attributes = {k: v for k, v in old.attrs.items() if k in ("_Netcdf4Dimid", "units")}
    dims = [[scale.name for scale in axis.values()] for axis in old.dims]
    del group[name]
    new = group.create_dataset(name, data=values)
    new.attrs.update(attributes)
    for axis, names in zip(new.dims, dims, strict=False):
        for scale in names:
            if scale in group.file and group.file[scale] != new:
                axis.attach_scale(group.file[scale])


def retype(file: h5py.File, rng: random.Random) -> None:
    group, name = variable_of(file, rng)
    shape = group[name].shape or ()
    kind = rng.choice(["i4", "f4", "c16", "S3", "bool", "u8", "text"])
    values = np.full(shape, "x", object) if kind == "text" else np.ones(shape, kind)
    replaced(group, name, values)


def resize(file: h5py.File, rng: random.Random) -> None:
    group, name = variable_of(file, rng)
    old = group[name][()]
    change = rng.choice([
        lambda a: a[:1], lambda a: a[:0], lambda a: a[None], lambda a: np.concatenate([a, a]),
        lambda a: np.asarray(a).T, lambda a: np.asarray(a).ravel()[0],
    ])  # fmt: skip
    replaced(group, name, change(old) if np.ndim(old) else [old, old])


def revalue(file: h5py.File, rng: random.Random) -> None:
    """Write values that no run has, into all or one of the places."""
    group, name = variable_of(file, rng)
    values = group[name][()]
    if not np.ndim(values) or values.dtype.kind not in "fiu" or not values.size:
        return
    place = rng.choice([..., np.unravel_index(rng.randrange(values.size), values.shape)])
    bad = rng.choice([np.nan, np.inf, -np.inf, -1.0, 0.0, 1e300, -1e300, 1e-300, 2.0**62])
    if values.dtype.kind != "f":
        bad = rng.choice([-1, 0, 2**31 - 1])
    with np.errstate(all="ignore"):
        values[place] = bad
    group[name][...] = values


def swap(file: h5py.File, rng: random.Random) -> None:
    """Reverse times, or other numbers."""
    group, name = variable_of(file, rng)
    times = [k for k in group if k in ("time", "snapshot_time", "t")]
    name = rng.choice(times or [name])
    if group[name].shape:
        group[name][...] = group[name][()][::-1]


def delete(file: h5py.File, rng: random.Random) -> None:
    group, name = variable_of(file, rng)
    if rng.random() < 0.4 and group is not file:
        group, name = file, group.name.strip("/")
    del group[name]


def rename(file: h5py.File, rng: random.Random) -> None:
    group, name = variable_of(file, rng)
    other = rng.choice(["x", "density", "time", "node", "feature", "größe\n", "a" * 300])
    if other not in group:
        group.move(name, other)


def attribute(file: h5py.File, rng: random.Random) -> None:
    """Delete an attribute, or give it a value of another kind."""
    group, name = variable_of(file, rng)
    owner = rng.choice([file, group, group[name]])
    if not len(owner.attrs):
        return
    key = rng.choice(list(owner.attrs))
    if rng.random() < 0.4:
        del owner.attrs[key]
    else:
        values = ["text", "</script><script>1", 1.5, np.nan, -1, np.arange(3.0), b"\xff\xfe", ""]
        owner.attrs[key] = rng.choice(values)


CONFIGS = [
    "", "not TOML = [", "[problem]\nmanifold = 'sphere'\n", "[problem]\nmanifold = 'os:nothing'\n",
    "[problem]\nteacher = {kind = 'python', function = 'os:system'}\n", "[diffusion]\ncells = 9\n",
    "[problem]\nmanifold = 'torus'\ndim = 3\n", "[diffusion]\ncells = 1000000000000\n",
    "[problem]\nmanifold = 'sphere'\n[diffusion]\nmesh = '/dev/zero'\n", "[network]\nwidth = 9\n",
    "[problem]\nlimit = 'constrained'\n", "[problem]\nregulariser = 'power'\npower = 3.0\n",
]  # fmt: skip


def configuration(file: h5py.File, rng: random.Random) -> None:
    file.attrs["config"] = rng.choice(CONFIGS)


def link(file: h5py.File, rng: random.Random) -> None:
    """Links that lead in circles, nowhere, or to other files."""
    group, name = variable_of(file, rng)
    where = rng.choice([file, group])
    kind = rng.randrange(5)
    if kind == 0:
        where["loop"] = file
    elif kind == 1:
        where["loop"] = h5py.SoftLink(rng.choice(["/loop", f"{where.name}/loop", "/nowhere"]))
    elif kind == 2:
        where["outside"] = h5py.ExternalLink(rng.choice(["pipe", "/etc/passwd", "x.nc"]), "/")
    else:
        shape, dtype = group[name].shape or (1,), "f8"
        del group[name]
        if kind == 3:
            data = [("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
            group.create_dataset(name, shape, dtype, external=data)
        else:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource("x.nc", "y", shape)
            group.create_virtual_dataset(name, layout)


def absurd(file: h5py.File, rng: random.Random) -> None:
    """More numbers than there is memory, of which none is stored."""
    group, name = variable_of(file, rng)
    rank = max(1, group[name].ndim)
    del group[name]
    group.create_dataset(
        name, (10 ** rng.choice([9, 12, 15]), *[2] * (rank - 1)), "f8", chunks=True
    )


STRUCTURE: dict[str, Callable[[h5py.File, random.Random], None]] = {
    "other type": retype, "other shape": resize, "other values": revalue, "swapped": swap,
    "deleted": delete, "renamed": rename, "attribute": attribute, "configuration": configuration,
    "link": link, "absurd size": absurd,
}  # fmt: skip


def damage(source: Path, target: Path, rng: random.Random) -> str:
    """Write a damaged copy of a file, and say what is wrong with it."""
    content = source.read_bytes()
    kind = rng.choice([*BYTES, *STRUCTURE, *STRUCTURE])
    if kind in BYTES:
        sealed = rng.random() < 0.5
        target.write_bytes(BYTES[kind](content if sealed else content[:-SEAL], rng))
        return kind if sealed else f"{kind}, no checksum"
    target.write_bytes(content[:-SEAL])
    with suppress(OSError), h5py.File(target, "r+") as file:  # it may not even close any more
        for _ in range(rng.choice([1, 1, 1, 3])):
            try:
                STRUCTURE[kind](file, rng)
            except (LookupError, ValueError, TypeError, OSError, RuntimeError):
                pass  # what is to be damaged next is gone, or HDF5 refuses the damage
    if rng.random() < 0.7:
        seal = _digest(target, target.stat().st_size) + MARK
        with target.open("ab") as end:
            end.write(seal)
    return kind


# --- what the commands do


def commands(file: Path, rng: random.Random) -> list[str]:
    if file.name == "checkpoint.nc":
        return ["resume", ".", "--quiet"]
    out = rng.choice(["a.csv", "a.vtu", "a.npz", "a.xdmf"])
    return rng.choice([["report", "."], ["open", "."], ["export", file.name, out]])


def outcome(
    words: list[str], folder: Path, said: Path, seconds: float = SECONDS,
    call: Callable[[list[str]], None] | None = None,
) -> tuple[str, str]:  # fmt: skip
    """How a command ends in a process of its own, and what it says.

    On a machine that is busy, ten seconds of work may last longer: a process hangs if it takes more
    than this time of a processor, or four times as long by the clock.
    """
    said.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        run(words, folder, said, call)
    watched, end = psutil.Process(child), time.monotonic() + 4 * seconds
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        time.sleep(0.01)
        if time.monotonic() > end or sum(watched.cpu_times()[:2]) > seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang", said.read_text(errors="replace")
    text, status = said.read_text(errors="replace"), ended[1]
    if os.WIFSIGNALED(status):
        return "crash", f"signal {os.WTERMSIG(status)}: {text}"
    if "Traceback" in text:
        return "traceback", text
    if os.WEXITSTATUS(status) == 0:
        return "readable", text
    lines = [line for line in text.splitlines() if not line.startswith("warning ")]
    one = len(lines) == 1 and re.match(r"uf-diffusion: .*\S$", lines[0])
    return ("sentence" if one else "traceback"), text


def run(
    words: list[str], folder: Path, said: Path, call: Callable[[list[str]], None] | None
) -> None:
    """The child: run a command in a folder, and write what it prints to a file."""
    code = 99
    try:
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(folder)
        webbrowser.open = lambda *address: True  # type: ignore[assignment]
        from uf_diffusion.cli import main

        (call or main)(words)
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except BaseException as error:
        print(f"Traceback: {error!r}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def tried(source: Path, folder: Path, rng: random.Random) -> tuple[str, str]:
    """Damage a file and let a command read it: how that ends, and what is to be told of it."""
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    if source.name == "checkpoint.nc":
        shutil.copy(source.with_name("run.toml"), folder)
    what = damage(source, folder / source.name, rng)
    words = commands(source, rng)
    found, text = outcome(words, folder, folder.with_name("said.txt"))
    shutil.rmtree(folder)
    return found, f"{what}, {' '.join(words)}: {found}\n{text[-2000:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, help="a folder that keeps the undamaged files")
    options = parser.parse_args()
    import uf_diffusion.library.commands
    import uf_diffusion.library.export
    import uf_diffusion.reports.html  # noqa: F401 (loaded once, not in every child)

    rng, table = random.Random(options.seed), dict[str, Counter[str]]()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for case in range(options.count):
            name = rng.choice([*RUNS, *CHECKPOINTS])
            source = undamaged(name, options.files or Path(place) / "files")
            found, told = tried(source, Path(place) / "case", rng)
            table.setdefault(name, Counter())[found] += 1
            if found in OUTCOMES[2:]:
                print(f"case {case}: {name}, {told}", flush=True)
    print(f"{'':20}{'cases':>7}" + "".join(f"{o:>11}" for o in OUTCOMES))
    total = sum(table.values(), Counter())
    for name, counts in [*sorted(table.items()), ("all", total)]:
        row = "".join(f"{counts[o]:11}" for o in OUTCOMES)
        print(f"{name:20}{counts.total():7}{row}")
    print(f"{time.monotonic() - begun:.0f} s")
    raise SystemExit(1 if sum(total[o] for o in OUTCOMES[2:]) else 0)


if __name__ == "__main__":
    main()
