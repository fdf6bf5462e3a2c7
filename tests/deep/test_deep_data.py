"""CIFAR-10 from a binary archive that the test makes, and arrays with labels."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
import small_deep  # noqa: F401 (skips without JAX)

from uf_diffusion.core.errors import InputError
from uf_diffusion.deep import data
from uf_diffusion.deep.data import cifar10, digits, labelled


@pytest.fixture(scope="module")
def content():
    """The six files in their real layout, with random pixels and labels."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (6, 10_000, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    return dict(zip(data.FILES, records, strict=True))


def write(folder, content):
    folder.mkdir(exist_ok=True)
    for name, records in content.items():
        (folder / name).write_bytes(records.tobytes())


def test_files_are_read_in_their_layout(content, tmp_path):
    """Label first, then the rows of red, of green and of blue."""
    write(tmp_path / "cifar-10-batches-bin", content)
    training, test = cifar10(tmp_path)
    assert training.inputs.shape == (50_000, 3, 32, 32)
    assert test.inputs.shape == (10_000, 3, 32, 32)
    record = content["data_batch_2.bin"][7]
    image = np.asarray(training.inputs[10_007])
    assert image.dtype == np.uint8
    assert image[1, 2, 3] == record[1 + 1024 + 2 * 32 + 3]
    assert (np.asarray(training.targets[10_007]) == np.eye(10)[record[0]]).all()
    red = (record[1] / 255 - 0.4914) / 0.2023
    assert training.prepared(training.inputs[10_007])[0, 0, 0] == pytest.approx(red, rel=1e-5)


def test_the_archive_is_read_if_its_checksum_fits(content, tmp_path, monkeypatch):
    path = tmp_path / data.ARCHIVE
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        for name, records in content.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.tobytes()))
    with pytest.raises(InputError, match="is damaged: it has not the checksum of CIFAR-10"):
        cifar10(tmp_path)
    monkeypatch.setattr(data, "MD5", hashlib.md5(path.read_bytes()).hexdigest())
    _, test = cifar10(tmp_path)
    assert (np.asarray(test.inputs).ravel()[:3072] == content["test_batch.bin"][0, 1:]).all()


def test_damaged_files_are_refused_in_one_sentence(content, tmp_path):
    with pytest.raises(InputError, match="holds neither cifar-10-binary"):
        cifar10(tmp_path)
    write(tmp_path, content)
    last = tmp_path / "test_batch.bin"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(InputError, match="has 30729999 bytes instead of 30730000"):
        cifar10(tmp_path)
    wrong = content["test_batch.bin"].copy()
    wrong[5, 0] = 200
    last.write_bytes(wrong.tobytes())
    with pytest.raises(InputError, match="has a label 200, above 9"):
        cifar10(tmp_path)
    last.unlink()
    with pytest.raises(InputError, match=r"Cannot read .*test_batch\.bin"):
        cifar10(tmp_path)


def test_digits_are_split_without_overlap():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    training, test = digits()
    assert training.inputs.shape == (1280, 1, 8, 8)
    assert test.inputs.shape == (517, 1, 8, 8)
    assert float(training.prepared(training.inputs).mean()) == pytest.approx(0, abs=1e-5)
    assert (np.asarray(test.targets).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("inputs", "targets", "classes", "message"),
    [
        (np.ones(3), np.ones(3), 0, "not arrays of the shapes"),
        (np.ones((3, 2)), np.ones(4), 0, "not arrays of the shapes"),
        (np.ones((0, 2)), np.ones(0), 0, "not arrays of the shapes"),
        (np.full((3, 2), np.nan), np.ones(3), 0, "must be finite"),
        (np.ones((3, 2)), np.array([0, 1, 2]), 2, "whole numbers from 0 to 1"),
        (np.ones((3, 2)), np.array([0, 0.5, 1]), 2, "whole numbers from 0 to 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(inputs, targets, classes, message):
    with pytest.raises(InputError, match=message):
        labelled(inputs, targets, classes=classes)
