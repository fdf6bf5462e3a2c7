"""Extends a run: the same configuration with later times, from the state that it has reached."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from uf_diffusion.core.arrays import Array, Mask
from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.config import SECTIONS, Config
from uf_diffusion.runs.keys import key_of, toml_of
from uf_diffusion.runs.stored import Job

__all__ = ["difference", "extended"]

TIMES = ("problem.t_end", "diffusion.snapshots")
WITHOUT_EFFECT = ("diffusion.checkpoint",)  # on the numbers
TOGETHER = 1e-9  # times that differ relatively by less than this are regarded as equal


def difference(before: Config, now: Config, but: tuple[str, ...] = ()) -> str:
    """The first key that differs and affects the numbers, as "key = value, and it was value".

    Args:
        before, now: the configurations.
        but: keys that may differ.

    Returns:
        The text; empty if nothing differs.
    """
    for name, cls in SECTIONS.items():
        old, new = getattr(before, name), getattr(now, name)
        for f in fields(cls):
            key, was, is_ = f"{name}.{key_of(f)}", getattr(old, f.name), getattr(new, f.name)
            if was != is_ and key not in (*WITHOUT_EFFECT, *but):
                return f"{key} = {_short(is_)}, and it was {_short(was)}"
    return ""


def extended(job: Job, reached: float, asked: Config) -> Config:
    """The configuration with which a run goes on when another one is asked for.

    It is the one asked for, but keeps the snapshot times that the run has passed. Evenly spaced
    times that it has passed without storing anything are left out; times that are listed are not.

    Args:
        job: the job that has begun.
        reached: the time that it has reached.
        asked: the configuration that is asked for.

    Raises:
        InputError: with the reason, if the run cannot go on in this way; it names the key.
    """
    before = job.config
    if other := difference(before, asked, TIMES):
        raise InputError(other)
    times, wanted = before.times(), asked.times()
    if np.array_equal(times, wanted):
        return asked
    if wanted[-1] < times[-1]:
        raise InputError(f"problem.t_end = {wanted[-1]:g}, and it was {times[-1]:g}")
    on_clock = _Clock(job, reached)
    kept, new = times[on_clock.passed(times)], wanted[~on_clock.passed(wanted)]
    listed = not isinstance(asked.diffusion.snapshots, int)
    for t in wanted[on_clock.passed(wanted)]:
        if listed and not np.isclose(t, kept, rtol=TOGETHER, atol=0).any():
            raise InputError(f"diffusion.snapshots has t = {t:g}, which it passed without storing")
    if not listed and not len(new) and len(kept) < len(wanted):
        raise InputError(
            f"diffusion.snapshots = {len(wanted)} asks for times that it has passed without storing"
        )
    _require_the_same_steps(job, on_clock.at(times[-1:])[0], on_clock.at(wanted[-1:])[0])
    both = tuple(map(float, (*kept, *new)))
    return asked.changed(diffusion={"snapshots": both})


class _Clock:
    """The times at which a job stores snapshots: for networks with fixed steps, whole steps."""

    def __init__(self, job: Job, reached: float) -> None:
        n = job.config.network
        self.step = 0.0 if job.name == "solve" or n.algorithm == "flow" else n.step
        self.now = reached

    def at(self, times: Array) -> Array:
        return np.rint(times / self.step) * self.step if self.step else times

    def passed(self, times: Array) -> Mask:
        return np.asarray(self.at(times) <= self.now * (1 + TOGETHER))


def _require_the_same_steps(job: Job, before: float, now: float) -> None:
    """Refuse another final time that changes the length of the diffusion's fixed steps."""
    step = job.config.diffusion.step
    if not step or job.name == "train":
        return
    was, is_ = (t / max(1, round(t / step)) for t in (before, now))
    if abs(was - is_) > TOGETHER * step:
        raise InputError(
            f"diffusion.step = {step:g} makes steps of {is_:.6g} to t = {now:g}, and they were "
            f"{was:.6g}"
        )


def _short(value: object) -> str:
    text = toml_of(value)
    return text if len(text) <= 60 else f"{text[:40]}...{text[-15:]}"
