"""Without the extra [deep]: what needs it says so in one sentence; the rest works."""

import importlib
import subprocess
import sys

import pytest
from processes import environment

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError

LIBRARIES = ["jax", "equinox", "optax"]
COMMANDS = [["deep", "digits"], ["deep", "cifar", "."]]


@pytest.mark.parametrize(
    ("library", "words"),
    [("jax", words) for words in COMMANDS] + [(name, COMMANDS[0]) for name in LIBRARIES[1:]],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_the_command_says_how_to_get_it(library, words, tmp_path):
    """In a process of its own, which has not loaded the room before."""
    program = (
        f"import sys; sys.modules[{library!r}] = None; from uf_diffusion.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True,
        env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("uf-diffusion: Deep networks need JAX with Equinox and Optax: ")
    assert "install it with `pip install 'uf-diffusion[deep]'`" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("library", LIBRARIES)
def test_so_does_the_import(library, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("uf_diffusion.deep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    deep = importlib.import_module("uf_diffusion.deep")
    assert "VarPro" in dir(deep)
    with pytest.raises(InputError, match=r"pip install 'uf-diffusion\[deep\]'"):
        deep.VarPro
    assert uf.UNBIASED.name == "unbiased"
