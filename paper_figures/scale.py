"""How much is done for the figures: the paper's full experiments, or a quick look at them."""

from __future__ import annotations

from dataclasses import dataclass

from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.config import Changes, merged
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.cache import Run

__all__ = ["ITERATION", "Scale"]

ITERATION = 2.0**-10  # the paper's step: an iteration of its figures in the time t
# of the snapshots; the first are closer, as things move faster there
EARLY = (0, 32, 100, 250, 500)
WIDTHS = (32, 128, 512, 1024)
ITERATIONS, QUICK, EVERY = 32_000, 1000, 1000


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        seeds: runs of each network, with other inputs, teachers and initial features.
        quick: the first 1000 of the paper's 32 000 steps, fewer inputs, smaller networks on T^2.
        widest: wider networks are left out.
    """

    seeds: int = 6
    quick: bool = False
    widest: int = 1024

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"--seeds must be positive, not {self.seeds}.")
        if self.widest < WIDTHS[0]:
            raise InputError(f"--widest must be at least {WIDTHS[0]}, not {self.widest}.")

    @property
    def iterations(self) -> int:
        """The length of a run."""
        return QUICK if self.quick else ITERATIONS

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the networks on the circle."""
        return tuple(width for width in WIDTHS if width <= self.widest)

    @property
    def torus_widths(self) -> tuple[int, ...]:
        """Of the networks on the torus."""
        return self.widths[:2] if self.quick else self.widths

    @property
    def times(self) -> list[float]:
        """Of the snapshots, in t."""
        steps = [*EARLY, *range(EVERY, self.iterations + 1, EVERY)]
        return [k * ITERATION for k in steps]

    def note(self, drawn: str = "mean and range") -> str:
        """What a title says about it; ``drawn`` is what it shows of many seeds."""
        return f"{self.warning}{self.iterations} steps of $2^{{-10}}$, {self.sample(drawn)}"

    def sample(self, drawn: str = "mean and range") -> str:
        """What a title says about the seeds."""
        return "1 seed" if self.seeds == 1 else f"{drawn} of {self.seeds} seeds"

    @property
    def warning(self) -> str:
        """What the title of a quick look begins with."""
        return "QUICK LOOK: " if self.quick else ""

    def runs(self, preset: str, *changes: Changes) -> tuple[Run, ...]:
        """A run of the paper's length for each seed.

        Args:
            preset: the problem.
            changes: of the preset.
        """
        inputs = 1024 if self.quick else 4096
        common: Changes = {
            "problem": {"t_end": self.times[-1]},
            "diffusion": {"snapshots": self.times},
            "network": {"step": ITERATION, "samples": inputs, "teacher_width": inputs},
        }
        config = load_config(preset).changed(**merged(common, *changes))
        return tuple(
            Run("follow", config.changed(network={"seed": seed})) for seed in range(self.seeds)
        )
