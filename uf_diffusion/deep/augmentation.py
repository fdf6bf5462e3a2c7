"""Random changes of images, computed on the device: a crop after padding, and a flip."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["crop_and_flip"]

PADDING = 4  # pixels of zero bytes on each side, as in the paper's program


def crop_and_flip(key: Any, images: jax.Array) -> jax.Array:
    """Images of the same shape, each cropped at random after padding, and flipped or not.

    Args:
        key: a key of `jax.random`.
        images: ``(n, channels, h, w)``.
    """
    n, channels, height, width = images.shape
    places, sides = jax.random.split(key)
    corners = jax.random.randint(places, (n, 2), 0, 2 * PADDING + 1)
    flipped = jax.random.bernoulli(sides, 0.5, (n,))
    edge = (PADDING, PADDING)
    padded = jnp.pad(images, ((0, 0), (0, 0), edge, edge))

    def changed(image: jax.Array, corner: jax.Array, flip: jax.Array) -> jax.Array:
        start = (0, corner[0], corner[1])
        crop = jax.lax.dynamic_slice(image, start, (channels, height, width))
        return jnp.where(flip, crop[:, :, ::-1], crop)

    return jax.vmap(changed)(padded, corners, flipped)
