"""Hostile environments: what can be mended works, and everything else is one sentence."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from processes import COMMAND, environment, refusal

import uf_diffusion as uf
from uf_diffusion.cli import main
from uf_diffusion.core import compiled as machine_code
from uf_diffusion.core.environment import mend_environment
from uf_diffusion.core.errors import Caution, InputError, Unwritable
from uf_diffusion.core.signals import delayed_signals
from uf_diffusion.library import outputs, saving
from uf_diffusion.results.netcdf import read_result
from uf_diffusion.results.sizes import fields_bytes
from uf_diffusion.runs.checkpoints import CHECKPOINT
from uf_diffusion.runs.setup import Setup

SHORT = ["problem.t_end=0.0625", "network.width=16", "network.samples=40",
         "network.teacher_width=36", "network.step=0.0078125", "diffusion.snapshots=3",
         "diffusion.cells=64", "diffusion.rtol=1e-3"]  # fmt: skip
SMALL = [word for pair in SHORT for word in ("--set", pair)]


def sentence(done):
    """What a process said beside its warnings, which is one sentence and no traceback."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning   ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("uf-diffusion: ")
    return lines[0].removeprefix("uf-diffusion: ")


def process(words, env, **options):
    return subprocess.run(
        [*COMMAND, *map(str, words)], env=environment() | env, capture_output=True, text=True,
        timeout=300, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """A solved problem, whose forms are now in the cache."""
    pytest.importorskip("dolfinx")
    return uf.run("relu-circle", "solve", out=tmp_path_factory.mktemp("solved"), overrides=SHORT)


def test_a_run_needs_little(solved, tmp_path):
    """No HOME, git or compiler, a list of threads, Jupyter's backend, ASCII, and a strict umask."""
    env = {
        "PATH": str(tmp_path), "OMP_NUM_THREADS": "4,2", "LC_ALL": "C", "PYTHONIOENCODING": "ascii",
        "MPLBACKEND": "module://not_installed.backend_inline",
    }  # fmt: skip
    words = ["env", "-u", "HOME", *COMMAND, "solve", *SMALL, "--out", tmp_path / "run"]
    env = {**environment(), **env}
    done = subprocess.run([shutil.which("env"), *words[1:]], env=env, umask=0o077, timeout=300,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning   ") for line in done.stderr.splitlines())
    result = read_result(tmp_path / "run" / "result.nc")
    assert result.attrs["git_commit"] in ("unknown", "not a git checkout")
    assert result["diffusion"].equals(solved.tree["diffusion"])
    assert (tmp_path / "run" / "fields.bp").is_dir()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("4", "4"), ("4,2", "4"), (" 3 ,1", "3"), ("", None), ("x", None), ("-1", None), ("²", None)],
)
def test_numbers_of_threads(given, kept, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    mend_environment()
    assert os.environ.get("OMP_NUM_THREADS") == kept


@pytest.fixture
def forms(tmp_path, monkeypatch):
    """Compiles a form in a cache of its own; returns the folder of the compiled forms."""
    jit = pytest.importorskip("dolfinx.jit")
    from uf_diffusion.diffusion import compilation

    usual = jit.DOLFINX_DEFAULT_JIT_OPTIONS
    monkeypatch.setitem(usual, "cache_dir", (tmp_path / "fenics", ""))
    monkeypatch.setitem(usual, "cffi_extra_compile_args", (["-O0", "-g0"], ""))
    compilation._tell.cache_clear()

    def compile_one():
        compilation.require_compiler()
        return {path.name: path for path in (tmp_path / "fenics" / "uf-diffusion").iterdir()}

    return compile_one


def test_damaged_forms_are_compiled_anew(forms, monkeypatch):
    """A file that is empty, truncated (which ends a process that loads it) or missing."""
    ((name, folder),) = forms().items()
    (code,) = folder.glob("*.so")
    whole = code.read_bytes()
    for part in (b"", whole[:4096], None):
        code.unlink()
        if part is not None:
            code.write_bytes(part)
        assert forms() == {name: folder}
        assert len(code.read_bytes()) == len(whole)
    monkeypatch.setenv("CC", "nonsense")  # what is stored needs no compiler
    assert forms() == {name: folder}


def test_what_a_killed_compilation_leaves_is_cleared(forms, tmp_path):
    left = tmp_path / "fenics" / "uf-diffusion" / "unfinished-by-another"
    left.mkdir(parents=True)
    assert left.name in forms()  # it may be at work
    os.utime(left, (0, 0))
    shutil.rmtree(next(path for name, path in forms().items() if name != left.name))
    assert left.name not in forms()


@pytest.mark.parametrize("compiler", ["nonsense", "false"])
def test_a_missing_compiler_is_one_sentence(compiler, forms, monkeypatch, capfd):
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(InputError, match="install a C compiler such as gcc") as refused:
        forms()
    assert compiler in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_cache_that_cannot_be_written_is_a_caution(forms, tmp_path):
    (tmp_path / "fenics").write_text("a file in the place of the folder")
    with pytest.warns(Caution, match="each run compiles them anew"), pytest.raises(OSError):
        forms()  # the folder cannot be listed either


def test_a_process_killed_while_it_compiles_stops_no_other(tmp_path):
    """DOLFINx itself waits ten seconds for the dead process, and fails, until a file is removed."""
    pytest.importorskip("dolfinx")
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    slow.chmod(0o755)
    cache = tmp_path / "cache"
    code = ("import uf_diffusion as uf\n"
            "p = uf.Problem(uf.FlatTorus(2), teacher=uf.Bumps(gamma=10.0))\n"
            "uf.evolution(p, cells=64)")  # fmt: skip
    env = environment() | {"XDG_CACHE_HOME": str(cache), "CC": str(slow)}
    first = subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True)
    while not list(cache.rglob("libffcx*.c")):
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    env["CC"] = "cc"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LOOP = """
from uf_diffusion.core.compiled import compiled

@compiled
def twice(x):
    return 2 * x
"""


def loop(folder):
    """The function of a module that is imported anew."""
    names = {"__name__": "loop", "__file__": str(folder / "loop.py")}
    exec(compile(LOOP, names["__file__"], "exec"), names)
    return names["twice"]


def test_damaged_machine_code_is_compiled_anew(tmp_path, monkeypatch):
    """Whatever the files of numba's cache hold; and a disk that takes none is no error."""
    (tmp_path / "loop.py").write_text(LOOP)
    assert loop(tmp_path)(2) == 4
    for pattern in ("*.nbi", "*.nbc"):
        (file,) = (tmp_path / "__pycache__").glob(pattern)
        for content in (b"", b"damaged"):
            file.write_bytes(content)
            assert loop(tmp_path)(2) == 4
            assert len(file.read_bytes()) > 100
    shutil.rmtree(tmp_path / "__pycache__")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert loop(tmp_path)(2) == 4


def test_no_place_for_machine_code_is_a_caution(tmp_path, monkeypatch):
    def nowhere(self, function):
        raise RuntimeError("no locator available")

    (tmp_path / "loop.py").write_text(LOOP)
    monkeypatch.setattr(machine_code._Cache, "__init__", nowhere)
    machine_code._tell_that_nothing_is_cached.cache_clear()
    with pytest.warns(Caution, match="set NUMBA_CACHE_DIR"):
        assert loop(tmp_path)(2) == 4


def test_ctrl_c_while_modules_are_imported(tmp_path):
    """A library that is interrupted while it is imported raises what it likes."""
    (tmp_path / "cyclopts.py").write_text(
        "import os, signal\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    raise ImportError('half imported')\n"
    )
    root = str(Path(uf.__file__).parents[1])
    done = process(
        ["train"], {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells may ignore it
    )  # fmt: skip
    assert done.returncode == 130
    assert sentence(done) == "Interrupted before the work began."


@pytest.mark.parametrize(("job", "mib"), [("train", 500), ("solve", 1050)])
def test_little_address_space_is_said_as_memory(job, mib, tmp_path):
    if job == "solve":
        pytest.importorskip("dolfinx")

    def little():
        resource.setrlimit(resource.RLIMIT_AS, (mib * 2**20, mib * 2**20))

    done = process([job, *SMALL, "--out", tmp_path / "run"], {}, preexec_fn=little)
    assert done.returncode == 1
    assert "GiB of memory, and a limit" in sentence(done)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("preset", "cells"), [("relu-circle", 64), ("sphere", 320), ("radial-torus", 288)]
)
def test_the_room_for_fields_is_known_before(preset, cells, tmp_path):
    """ADIOS2 ends the process on a full disk, so the estimate must hold, and not by far."""
    pytest.importorskip("dolfinx")
    changes = [f"diffusion.cells={cells}", "diffusion.snapshots=9", "problem.t_end=1e-4"]
    config = uf.run(preset, "solve", out=tmp_path, overrides=changes, cautious=False).config
    size = sum(file.stat().st_size for file in (tmp_path / "fields.bp").iterdir())
    grid = Setup(config).grid
    estimate = fields_bytes(grid.cell_count * (grid.manifold.dim + 1), 9)
    assert size < estimate < 1.1 * size + 2**17


def full_disk(*_, **__):
    raise Unwritable("Cannot write it: No space left on device.")


def test_one_output_that_fails_does_not_stop_the_others(solved, tmp_path, monkeypatch):
    """The fields first, then the figure: the numbers are there, and `resume` adds what is missing."""
    from uf_diffusion.diffusion import paraview

    with monkeypatch.context() as patched:
        patched.setattr(saving, "save_figure", full_disk)
        trial = fields_bytes(2, 1)
        patched.setattr(paraview, "require_room", lambda path, n: n > trial and full_disk())
        with pytest.warns(Caution, match="No space left"), pytest.raises(Unwritable) as stopped:
            uf.run("relu-circle", "solve", out=tmp_path, overrides=SHORT)
    assert str(stopped.value) == (
        "Cannot write it: No space left on device. Also missing: figure.png, fields.bp. "
        f"Go on with: uf-diffusion resume {tmp_path}"
    )
    assert read_result(tmp_path / "result.nc")["diffusion"].equals(solved.tree["diffusion"])
    assert (tmp_path / CHECKPOINT).exists()
    main_quietly("resume", tmp_path)
    assert (tmp_path / "fields.bp").exists()
    assert (tmp_path / "figure.png").exists()
    assert not (tmp_path / CHECKPOINT).exists()


def main_quietly(*words):
    with warnings.catch_warnings(action="ignore"), pytest.raises(SystemExit) as ended:
        main([*map(str, words), "--quiet"])
    assert not ended.value.code


@pytest.mark.parametrize("part", ["save_figure", "write_result"])
def test_outputs_are_tried_before_the_work(part, tmp_path, monkeypatch, capsys):
    steps = []
    monkeypatch.setattr(outputs, part, full_disk)
    with pytest.raises(Unwritable, match="No space left"):
        uf.run("relu-circle", "train", out=tmp_path / "run", overrides=SHORT, watch=[steps.append])
    assert not steps
    assert not (tmp_path / "run").exists()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """On the command line, in TOML and in Python."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    main_quietly("train", *SMALL, "--out=~/run")
    uf.load("~/run").plot("~/figure.png")
    uf.load("~/run").save("~/saved")
    with pytest.raises(SystemExit):
        main(["export", "~/run", "~/run.csv", "--network"])
    uf.run("~/run/run.toml", "train", out="~/again")
    found = {path.name for path in tmp_path.iterdir()}
    assert {"run", "figure.png", "saved", "run.csv", "again"} <= found
    assert "~" not in found
    config = uf.load_config("sphere", ["diffusion.mesh='~/a.off'"])
    assert config.diffusion.mesh == str(tmp_path / "a.off")
    with pytest.raises(InputError, match="no home folder for '~nobody-of-this-name/run'"):
        uf.load("~nobody-of-this-name/run")


@pytest.mark.parametrize("name", ["..toml", "...toml", ".toml"])
def test_a_name_of_dots_is_no_folder(name, tmp_path):
    """runs/. would be the folder of all runs, and runs/.. the working folder."""
    (tmp_path / name).write_text("")
    assert uf.load_config(tmp_path / name).name == "run"


def test_names_that_are_not_text(tmp_path, monkeypatch, capsys):
    odd = os.fsdecode(b"run\xff")
    for words in (["train", "--out", odd], ["report", odd], ["train", f"{odd}.toml"]):
        assert "is not text in UTF-8" in refusal(words, capsys).err
    with pytest.raises(InputError, match="is not text in UTF-8"):
        uf.load(odd)
    (tmp_path / odd).mkdir()
    (tmp_path / odd / "a.toml").write_text("")
    monkeypatch.chdir(tmp_path / odd)
    assert "is not text in UTF-8" in refusal(["train", "a.toml"], capsys).err


def test_a_deleted_working_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    assert "The working folder was deleted" in refusal(["info"], capsys).err


def test_hidden_files_of_a_killed_run_do_not_spoil_its_folder(tmp_path):
    """Killed before run.toml had its name."""
    (tmp_path / ".run.toml").write_text("[prob")
    uf.run("relu-circle", "train", out=tmp_path, overrides=SHORT)


def test_a_run_in_a_thread(tmp_path):
    """Signals belong to the main thread; a run in another one leaves them alone."""
    found = []

    def work():
        with delayed_signals() as received:
            found.append(received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[]]
