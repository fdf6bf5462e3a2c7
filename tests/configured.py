"""Runs of configurations in tests: what the library does, as the trees that result.nc holds."""

from __future__ import annotations

from uf_diffusion.runs import jobs
from uf_diffusion.runs.checkpoints import Checkpoints
from uf_diffusion.runs.setup import Setup
from uf_diffusion.runs.solving import equation
from uf_diffusion.runs.stored import Job
from uf_diffusion.runs.training import trained
from uf_diffusion.runs.training import training as training_of
from uf_diffusion.studies.error_budget import compare_with_budget as with_budget


def solve(config, *arguments, **options):
    return jobs.solve(Setup(config), *arguments, **options).tree


def train(config, *arguments, **options):
    return jobs.train(Setup(config), *arguments, **options).tree


def compare(config, *arguments, **options):
    return jobs.compare(Setup(config), *arguments, **options).tree


def spectrum(config, count=6):
    return jobs.spectrum(Setup(config), count).tree


def follow(config):
    return jobs.follow(Setup(config)).tree


def compare_with_budget(config, folder):
    return with_budget(Setup(config), folder).tree


def evolution(config):
    return equation(Setup(config))


def training(config):
    return training_of(Setup(config))


def network_of(config, folder=None, watch=()):
    """The group /network of a run, with checkpoints in a folder."""
    with Checkpoints(folder, Job("train", config)) as checkpoints:
        return trained(training(config), checkpoints, watch)
