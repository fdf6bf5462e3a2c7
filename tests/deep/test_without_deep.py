"""Without the extra [deep]: what needs it says so in one sentence; the rest works."""

import importlib
import sys

import pytest
from processes import refusal

import uf_diffusion as uf
from uf_diffusion.core.errors import InputError


@pytest.fixture(params=["jax", "equinox", "optax"])
def missing(request, monkeypatch):
    """A Python that has not this library, and has not loaded the room yet."""
    for name in [name for name in sys.modules if name.startswith("uf_diffusion.deep")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, request.param, None)


@pytest.mark.parametrize("words", [["deep", "digits"], ["deep", "cifar", "."]])
def test_the_command_says_how_to_get_it(words, missing, capsys):
    said = refusal(words, capsys).err
    assert "Deep networks need JAX with Equinox and Optax: install it with" in said
    assert "pip install 'uf-diffusion[deep]'" in said


def test_so_does_the_import(missing):
    with pytest.raises(InputError, match=r"pip install 'uf-diffusion\[deep\]'"):
        importlib.import_module("uf_diffusion.deep")
    assert uf.UNBIASED.name == "unbiased"
