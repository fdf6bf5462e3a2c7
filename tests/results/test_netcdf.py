"""Results as files: the checksum, other programs, and HDF5 that refers to what is not in it."""

import os
import subprocess

import h5netcdf  # noqa: F401 (its HDF5 must be loaded before DOLFINx loads another one)
import h5py
import numpy as np
import pytest
import xarray as xr

from uf_diffusion.core.errors import InputError
from uf_diffusion.results import hdf5
from uf_diffusion.results.netcdf import SEAL, read_result, write_result

TREE = xr.DataTree.from_dict({
    "/": xr.Dataset(attrs={"name": "a tree"}),
    "/diffusion": xr.Dataset({"density": (("snapshot", "node"), np.arange(12.0).reshape(3, 4))}),
})  # fmt: skip


@pytest.fixture
def path(tmp_path):
    write_result(tmp_path / "a.nc", TREE)
    return tmp_path / "a.nc"


def unsealed(path):
    """The file without its checksum, as other programs write it."""
    path.write_bytes(path.read_bytes()[:-SEAL])
    return path


def test_a_flipped_bit_or_a_lost_end_is_noticed(path, rng):
    content = path.read_bytes()
    assert read_result(path).identical(TREE)
    for place in rng.integers(8 * (len(content) - SEAL), size=50):
        wrong = bytearray(content)
        wrong[place // 8] ^= 1 << place % 8
        path.write_bytes(wrong)
        with pytest.raises(InputError, match=r"is damaged: its checksum does not fit"):
            read_result(path)
    for end in rng.integers(len(content) - SEAL, size=5):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match="Cannot read the result"):
            read_result(path)


@pytest.mark.parametrize("what, said", [
    ("import time; time.sleep(60)", "reading it does not end"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "HDF5 crashes on it"),
])  # fmt: skip
def test_a_file_on_which_hdf5_crashes_or_hangs_is_refused(what, said, path, monkeypatch):
    """Another process reads files without a checksum first; here it does what HDF5 might do."""
    real = subprocess.run
    monkeypatch.setattr(hdf5, "PATIENCE", 1.0)
    monkeypatch.setattr(
        hdf5.subprocess, "run", lambda words, **more: real([words[0], "-c", what], **more)
    )
    assert read_result(path).identical(TREE)  # a checksum is enough
    with pytest.raises(InputError, match=said):
        read_result(unsealed(path))


def test_other_programs_read_and_write_results(path):
    """They ignore the checksum; a file that one has written has none."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert tree.load().identical(TREE)
    with h5py.File(path, "a") as file:
        assert file["diffusion/density"][2, 3] == 11
        file["diffusion"].attrs["note"] = "added"
    assert read_result(path)["diffusion"].attrs["note"] == "added"
    TREE.to_netcdf(path, engine="h5netcdf")
    assert read_result(path).identical(TREE)


def loop(file):
    file["diffusion/again"] = file["/"]


def soft_loop(file):
    file["diffusion/again"] = h5py.SoftLink("/diffusion/again")


def another_file(file):
    file["elsewhere"] = h5py.ExternalLink("secret.nc", "/")


def external_storage(file):
    file.create_dataset("diffusion/x", (4,), "f8", external=[("secret.nc", 0, 32)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[...] = h5py.VirtualSource("secret.nc", "x", (4,))
    file.create_virtual_dataset("diffusion/x", layout)


def absurd(file):
    file.create_dataset("diffusion/x", (10**15,), "f8", chunks=True)


REFUSED = {
    loop: "has no group '/diffusion/again'", soft_loop: "'/diffusion/again' is a link",
    another_file: "'/elsewhere' is a link", external_storage: "are in another file",
    virtual: "are in another file", absurd: "more than fit into it",
}  # fmt: skip


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_hdf5_that_leads_elsewhere_is_refused(change, path, monkeypatch):
    """With a pipe at the name that it leads to, so that reading it would not end."""
    monkeypatch.chdir(path.parent)
    os.mkfifo("secret.nc")
    with h5py.File(unsealed(path), "a") as file:
        change(file)
    with pytest.raises(InputError) as raised:
        read_result(path)
    assert REFUSED[change] in str(raised.value)
    assert str(raised.value).startswith(f"Cannot read the result '{path}': ")
