"""Feature networks as modules of Equinox: residual networks, and two layers of ReLU.

A feature network is called with a minibatch and with the state of its normalisation, and returns
the features ``(n, p)`` and the next state. Source of the residual networks: He, Zhang, Ren, Sun,
Deep residual learning for image recognition, CVPR 2016, section 4.2.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp

from uf_diffusion.core.errors import InputError

__all__ = ["FeatureNetwork", "ResNet", "TwoLayer", "narrow", "parameters", "resnet20"]

KEPT = 0.9  # part of the running statistics that a pass keeps
TINY = 1e-5  # what is added to a variance


class FeatureNetwork(Protocol):
    """A network without its outer layer."""

    @property
    def width(self) -> int:
        """The number p of features."""
        ...

    def __call__(
        self, inputs: jax.Array, state: eqx.nn.State, inference: bool = False
    ) -> tuple[jax.Array, eqx.nn.State]:
        """The features ``(n, p)`` of inputs ``(n, ...)``, and the next state of the normalisation.

        With ``inference`` the running statistics normalise, and the state does not change.
        """
        ...


class TwoLayer(eqx.Module):
    """Features max(0, omega.x) of a network with two layers.

    Attributes:
        omega: the inner layer, ``(p, d)``.
    """

    omega: jax.Array

    @property
    def width(self) -> int:
        return len(self.omega)

    def __call__(
        self, inputs: jax.Array, state: eqx.nn.State, inference: bool = False
    ) -> tuple[jax.Array, eqx.nn.State]:
        return jax.nn.relu(inputs @ self.omega.T), state


class _Norm(eqx.Module):
    """Batch normalisation of the channels, with running statistics as those of PyTorch.

    Equinox has one, too, whose running variance is too large in the first steps: it starts at 1 and
    is then divided as if it had started at 0 (version 0.13).
    """

    scale: jax.Array
    shift: jax.Array
    running: eqx.nn.StateIndex
    kept: float = eqx.field(static=True)

    def __init__(self, channels: int, kept: float) -> None:
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)
        self.running = eqx.nn.StateIndex((jnp.zeros(channels), jnp.ones(channels)))
        self.kept = kept

    def __call__(self, x: jax.Array, state: Any, inference: bool) -> tuple[jax.Array, Any]:
        if inference:
            mean, variance = state.get(self.running)
        else:
            mean, variance = jnp.mean(x, axis=(0, 2, 3)), jnp.var(x, axis=(0, 2, 3))
            count = x.size // x.shape[1]
            seen = mean, variance * (count / max(count - 1, 1))
            before = state.get(self.running)
            after = [self.kept * a + (1 - self.kept) * b for a, b in zip(before, seen, strict=True)]
            state = state.set(self.running, tuple(map(jax.lax.stop_gradient, after)))
        factor = self.scale * jax.lax.rsqrt(variance + TINY)
        at = (slice(None), None, None)
        return x * factor[at] + (self.shift - mean * factor)[at], state


class _Normalised(eqx.Module):
    """A convolution without bias, normalised over the minibatch."""

    convolution: eqx.nn.Conv2d
    norm: _Norm

    def __init__(self, inside: int, out: int, size: int, stride: int, kept: float, key: Any):
        self.convolution = eqx.nn.Conv2d(
            inside, out, size, stride, padding=size // 2, use_bias=False, key=key
        )
        self.norm = _Norm(out, kept)

    def __call__(self, x: jax.Array, state: Any, inference: bool) -> tuple[jax.Array, Any]:
        return self.norm(jax.vmap(self.convolution)(x), state, inference)


class _Block(eqx.Module):
    """Two convolutions beside a shortcut, which is a convolution where the shape changes."""

    first: _Normalised
    second: _Normalised
    shortcut: _Normalised | None

    def __init__(self, inside: int, out: int, stride: int, kept: float, key: Any):
        a, b, c = jax.random.split(key, 3)
        self.first = _Normalised(inside, out, 3, stride, kept, a)
        self.second = _Normalised(out, out, 3, 1, kept, b)
        same = inside == out and stride == 1
        self.shortcut = None if same else _Normalised(inside, out, 1, stride, kept, c)

    def __call__(self, x: jax.Array, state: Any, inference: bool) -> tuple[jax.Array, Any]:
        y, state = self.first(x, state, inference)
        y, state = self.second(jax.nn.relu(y), state, inference)
        if self.shortcut is not None:
            x, state = self.shortcut(x, state, inference)
        return jax.nn.relu(x + y), state


class ResNet(eqx.Module):
    """A residual network: a convolution, groups of blocks, and the mean over the pixels.

    Each group but the first halves the image. Make it with ``eqx.nn.make_with_state(ResNet)(...)``.

    Attributes:
        stem: the first convolution.
        blocks: the blocks of all groups.

    Args:
        key: a key of `jax.random`.
        channels: channels of the images.
        widths: channels of each group; the last one is the number of features.
        depth: blocks of each group.
        passes: how many passes over a minibatch the running statistics count. The paper's program
            makes two in a step of VarPro, the first one for the outer layer. Both see the same
            numbers, so one pass that keeps 0.9^2 of the running statistics does the same.

    Raises:
        InputError: for a number that is not positive.
    """

    stem: _Normalised
    blocks: list[_Block]

    def __init__(
        self, key: Any, channels: int = 3, widths: tuple[int, ...] = (16, 32, 64), depth: int = 3,
        passes: int = 1,
    ) -> None:  # fmt: skip
        if not widths or min(channels, depth, passes, *widths) < 1:
            raise InputError(f"A residual network needs positive sizes, not {widths} and {depth}.")
        kept, keys = KEPT**passes, iter(jax.random.split(key, 1 + depth * len(widths)))
        self.stem = _Normalised(channels, widths[0], 3, 1, kept, next(keys))
        self.blocks, inside = [], widths[0]
        for group, width in enumerate(widths):
            for k in range(depth):
                stride = 2 if group and not k else 1
                self.blocks.append(_Block(inside, width, stride, kept, next(keys)))
                inside = width

    @property
    def width(self) -> int:
        return len(self.blocks[-1].second.norm.scale)

    def __call__(
        self, inputs: jax.Array, state: eqx.nn.State, inference: bool = False
    ) -> tuple[jax.Array, eqx.nn.State]:
        x, state = self.stem(inputs, state, inference)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state, inference)
        return jnp.mean(x, axis=(2, 3)), state


def resnet20(key: Any, passes: int = 1) -> tuple[ResNet, eqx.nn.State]:
    """ResNet-20 for images ``(3, 32, 32)``, with 64 features, and the state of its normalisation.

    The arguments are those of `ResNet`.
    """
    return _made(key, channels=3, widths=(16, 32, 64), depth=3, passes=passes)


def narrow(key: Any, passes: int = 1) -> tuple[ResNet, eqx.nn.State]:
    """A narrow form with three blocks and 32 features for images ``(1, 8, 8)``, with its state.

    The arguments are those of `ResNet`.
    """
    return _made(key, channels=1, widths=(8, 16, 32), depth=1, passes=passes)


def parameters(network: Any, outputs: int = 0) -> int:
    """The number of parameters of a network, with an outer layer of this many outputs."""
    arrays = jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array))
    return sum(math.prod(a.shape) for a in arrays) + (network.width * outputs if outputs else 0)


def _made(key: Any, **sizes: Any) -> tuple[ResNet, eqx.nn.State]:
    network, state = eqx.nn.make_with_state(ResNet)(key, **sizes)
    return network, state
