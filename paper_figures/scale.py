"""How much is computed for the figures: the paper's full experiments, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass

from uf_diffusion.core.errors import InputError
from uf_diffusion.runs.config import Changes, merged
from uf_diffusion.runs.reading import load_config
from uf_diffusion.studies.cache import Run

__all__ = ["AS_KEPT", "DRAWS", "ITERATION", "WIDTHS", "Scale"]

ITERATION = 2.0**-10  # the paper's step: the time t of an iteration in its figures
# iterations of the first snapshots, which are closer because neurons move faster then
EARLY = (0, 32, 100, 250, 500)
WIDTHS = (32, 128, 512, 1024)
ITERATIONS, QUICK, EVERY = 32_000, 1000, 1000
AS_KEPT = 0  # as many seeds as there are curves in the repository
DRAWS = {"paper": "paper", "own": ""}  # values of network.draws


@dataclass(frozen=True)
class Scale:
    """How much is computed for a figure.

    Attributes:
        seeds: number of runs of each network, with different inputs, teachers and initial features.
        quick: whether to make only the first 1000 of the paper's 32 000 steps, with fewer inputs,
            and smaller networks on T^2.
        widest: the largest width; wider networks are left out.
        torus_seeds: the same for networks on T^2, which take longest; `AS_KEPT` for those whose
            curves are in the repository.
        draws: "paper" for the paper's random draws, or "own".

    Raises:
        InputError: for ``seeds`` < 1, a largest width below 32, or other draws.
    """

    seeds: int = 6
    quick: bool = False
    widest: int = 1024
    torus_seeds: int = 6
    draws: str = "paper"

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"--seeds must be positive, not {self.seeds}.")
        if self.widest < WIDTHS[0]:
            raise InputError(f"--widest must be at least {WIDTHS[0]}, not {self.widest}.")
        if self.draws not in DRAWS:
            raise InputError(f"--draws must be paper or own, not {self.draws}.")

    @property
    def iterations(self) -> int:
        """The number of iterations of a run."""
        return QUICK if self.quick else ITERATIONS

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the networks on the circle."""
        return tuple(width for width in WIDTHS if width <= self.widest)

    @property
    def torus_widths(self) -> tuple[int, ...]:
        """The widths of the networks on the torus."""
        return self.widths[:2] if self.quick else self.widths

    @property
    def times(self) -> list[float]:
        """The times t of the snapshots, dimensionless."""
        return self.times_at(())

    def times_at(self, iterations: tuple[int, ...]) -> list[float]:
        """The times of the snapshots, together with those of further iterations."""
        usual = {*EARLY, *range(EVERY, self.iterations + 1, EVERY)}
        steps = usual | {k for k in iterations if k <= self.iterations}
        return [k * ITERATION for k in sorted(steps)]

    def note(self, drawn: str = "mean and range") -> str:
        """The part of a title that names steps and seeds; ``drawn`` says how seeds are shown."""
        return f"{self.steps}, {self.sample(drawn)}"

    @property
    def torus_note(self) -> str:
        """The same for networks on T^2, whose curves may have fewer seeds."""
        if self.torus_seeds != AS_KEPT:
            return self.note()
        return f"{self.steps}, mean and range of the kept seeds, at most {self.seeds}"

    @property
    def steps(self) -> str:
        """The part of a title that names the steps."""
        return f"{self.warning}{self.iterations} steps of $2^{{-10}}$"

    def sample(self, drawn: str = "mean and range") -> str:
        """The part of a title that names the seeds."""
        return "1 seed" if self.seeds == 1 else f"{drawn} of {self.seeds} seeds"

    @property
    def warning(self) -> str:
        """The beginning of the title for a quick look, otherwise ""."""
        return "QUICK LOOK: " if self.quick else ""

    def runs(self, preset: str, *changes: Changes, seeds: int = 0) -> tuple[Run, ...]:
        """The runs of a network for each seed, with the number of iterations of this scale.

        Args:
            preset: the preset that describes the problem.
            changes: changes of the preset.
            seeds: number of seeds, if not that of the scale.
        """
        inputs = 1024 if self.quick else 4096
        common: Changes = {
            "problem": {"t_end": self.times[-1]},
            "diffusion": {"snapshots": self.times},
            "network": {"step": ITERATION, "samples": inputs, "teacher_width": inputs},
        }
        config = load_config(preset).changed(**merged(common, *changes))
        return tuple(
            Run("follow", config.changed(network={"seed": seed}))
            for seed in range(seeds or self.seeds)
        )
