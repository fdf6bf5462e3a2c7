"""Data with labels: CIFAR-10 from its binary archive, scikit-learn's digits, and arrays.

CIFAR-10 is by A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. Its
"binary version" has six files of 10 000 records of 3073 bytes: the label, then the red, green and
blue values of 32 x 32 pixels. Nothing is downloaded and nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from uf_diffusion.core.errors import InputError
from uf_diffusion.core.files import require_file
from uf_diffusion.core.wording import cause

__all__ = ["Labelled", "cifar10", "digits", "labelled"]

ARCHIVE = "cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # of the archive, as its author's page says
FILES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")
RECORDS, RECORD, CLASSES, SIDE = 10_000, 3073, 10, 32
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # the paper's, per channel


class Labelled(eqx.Module):
    """Inputs and targets.

    Attributes:
        inputs: ``(N, ...)``; images are ``(N, channels, h, w)``, of bytes or real numbers.
        targets: real or one-hot, ``(N, outputs)``.
        mean: what is subtracted from the inputs, of a shape that broadcasts.
        deviation: by what the difference is divided.
    """

    inputs: jax.Array
    targets: jax.Array
    mean: jax.Array
    deviation: jax.Array

    @property
    def size(self) -> int:
        """The number N of inputs."""
        return len(self.inputs)

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return int(self.targets.shape[1])

    def prepared(self, inputs: jax.Array) -> jax.Array:
        """Inputs ``(n, ...)`` as a network gets them."""
        return (inputs - self.mean) / self.deviation


def labelled(
    inputs: Any, targets: Any, mean: Any = 0.0, deviation: Any = 1.0, classes: int = 0
) -> Labelled:
    """Data from arrays, in the precision that JAX has at the moment.

    Args:
        inputs: ``(N, ...)``.
        targets: real targets ``(N, outputs)`` or ``(N,)``; with ``classes`` whole numbers ``(N,)``.
        mean, deviation: as in `Labelled`.
        classes: the number of classes; 0 for real targets.

    Raises:
        InputError: for arrays that do not fit, numbers that are not finite, or other labels.
    """
    x, y = np.asarray(inputs), np.asarray(targets)
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or not len(x):
        raise InputError(
            f"Inputs (N, ...) and targets (N, outputs) are needed, not arrays of the shapes "
            f"{x.shape} and {y.shape}."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("The inputs and targets must be finite.")
    if classes:
        if y.ndim != 1 or (y != np.round(y)).any() or y.min() < 0 or y.max() >= classes:
            raise InputError(f"The labels must be whole numbers from 0 to {classes - 1}.")
        y = np.eye(classes)[y.astype(int)]
    real = jnp.zeros(0).dtype
    shaped = y.reshape(len(y), -1).astype(real)
    kept = x if x.dtype == np.uint8 else x.astype(real)
    return Labelled(
        jnp.asarray(kept), jnp.asarray(shaped), jnp.asarray(mean, real),
        jnp.asarray(deviation, real),
    )  # fmt: skip


def digits(held_out: int = 517) -> tuple[Labelled, Labelled]:
    """Scikit-learn's 1797 images of digits, 8 x 8, for training and for the test.

    Args:
        held_out: number of images of the test, the last ones; 1280 are left, which batches of 16
            to 256 divide.

    Raises:
        InputError: without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "The digits come with scikit-learn: install it with "
            f"`pip install 'uf-diffusion[deep]'` ({error})."
        ) from error
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    kept = slice(len(images) - held_out)
    mean, deviation = images[kept].mean(), images[kept].std()

    def part(rows: slice) -> Labelled:
        return labelled(images[rows], labels[rows], mean, deviation, CLASSES)

    return part(kept), part(slice(len(images) - held_out, None))


def cifar10(folder: Path) -> tuple[Labelled, Labelled]:
    """CIFAR-10 for training (50 000 images) and for the test (10 000).

    Args:
        folder: where ``cifar-10-binary.tar.gz`` is, or its files ``data_batch_1.bin`` to
            ``test_batch.bin``. The archive must have the checksum of the original.

    Raises:
        InputError: if neither is there, or what is there is damaged.
    """
    found = dict(_archived(folder / ARCHIVE) if (folder / ARCHIVE).exists() else _loose(folder))
    if missing := [name for name in FILES if name not in found]:
        raise InputError(f"'{folder}' is damaged: {', '.join(missing)} of CIFAR-10 is missing.")
    *training, test = (_images(found[name], folder / name) for name in FILES)
    return _joined(training), _joined([test])


def _loose(folder: Path) -> Iterator[tuple[str, bytes]]:
    places = [folder, folder / "cifar-10-batches-bin"]
    place = next((p for p in places if (p / FILES[0]).exists()), None)
    if place is None:
        raise InputError(
            f"'{folder}' holds neither {ARCHIVE} nor {FILES[0]}: put the binary version of "
            "CIFAR-10 there."
        )
    for name in FILES:
        require_file(place / name)
        yield name, (place / name).read_bytes()


def _archived(path: Path) -> Iterator[tuple[str, bytes]]:
    require_file(path)
    with path.open("rb") as file:
        if hashlib.file_digest(file, "md5").hexdigest() != MD5:
            raise InputError(f"'{path}' is damaged: it has not the checksum of CIFAR-10.")
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in FILES and (stored := archive.extractfile(member)) is not None:
                    yield name, stored.read(RECORDS * RECORD + 1)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"Cannot read '{path}': {cause(error)}.") from None


def _images(content: bytes, path: Path) -> tuple[Any, Any]:
    """The images ``(10000, 3, 32, 32)`` and labels ``(10000,)`` of one of the files."""
    if len(content) != RECORDS * RECORD:
        raise InputError(
            f"'{path}' is damaged: it has {len(content)} bytes instead of {RECORDS * RECORD}."
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(RECORDS, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise InputError(f"'{path}' is damaged: it has a label {records[:, 0].max()}, above 9.")
    return records[:, 1:].reshape(RECORDS, 3, SIDE, SIDE), records[:, 0]


def _joined(parts: list[tuple[Any, Any]]) -> Labelled:
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    mean, deviation = (255 * np.reshape(v, (3, 1, 1)) for v in (MEAN, DEVIATION))
    return labelled(images, labels, mean, deviation, CLASSES)
