"""Configurations of all kinds, most of them wrong: each is a result or one sentence.

2000 of them, the same every time. `--hypothesis-profile explore --hypothesis-seed N` tries others,
five times as many.
"""

import signal
import string
from contextlib import contextmanager

import pytest
from configured import compare, solve, train
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from uf_diffusion import load_config
from uf_diffusion.core.errors import InputError, RunFailure
from uf_diffusion.runs import presets
from uf_diffusion.runs.reading import config_from_toml

SECONDS = 30  # an example that takes longer counts as one that does not end
SHARE = settings.default.max_examples // 100

# values in TOML syntax: for every key some that fit it, and for any key those that hardly fit one
DENSITIES = ["'uniform'", "'bumps'", "'von-mises-fisher'", "'diracs'", "'python'", "{kind='uniform'}",
             "{kind='bumps', gamma=0.0}", "{kind='bumps', gamma=1e12}", "{kind='bumps', gamma=1e300}",
             "{kind='bumps', gamma=3.0, centres=[1.0], weights=[2]}", "{kind='bumps', centres=[]}",
             "{kind='bumps', centres=[[0.1, 0.2]]}", "{kind='bumps', centres=[1e40, 0.0]}",
             "{kind='bumps', weights=[1e49, 1e-49]}", "{kind='bumps', gamma='large'}",
             "{kind='von-mises-fisher', kappa=0}", "{kind='von-mises-fisher', kappa=700.0}",
             "{kind='von-mises-fisher', kappa=1e12}", "{kind='von-mises-fisher', means=[[1, 1, 1]]}",
             "{kind='von-mises-fisher', means=[[1, 0], [0, 1]], kappa=[1, 1e-300]}",
             "{kind='diracs', centres=[[1.0, 0.0]]}", "{kind='diracs', centres=[[0.0, 0.0, 1.0]]}",
             "{kind='python', function='math:sin'}", "{kind='python', function='builtins:len'}",
             "{kind='python', function='numpy:linalg'}", "{kind='python', function='nowhere:f'}",
             "{kind='python', function=3}", "{kind='uniform', gamma=1.0}", "{}",
             "{kind='samples', points=[[1.0, 0.0], [0.0, 1.0]], width=0.5}", "{kind='samples'}",
             "{kind='samples', points=[0.1, 2.0, 0.3], floor=0.1}", "{kind='samples', file=''}",
             "{kind='samples', points=[0.1, 2.0], weights=[1, 1e-300], width=1e-6}",
             "{kind='histogram', counts=[1, 2, 3]}", "{kind='histogram', counts=[[1, 2], [0, 3]]}",
             "{kind='grid', values=[1, 2], coordinates=[0.0, 3.14159265]}"]  # fmt: skip
SIZES = ["1", "2", "3", "5", "16", "33", "16.0"]
RATES = ["1e-3", "0.5", "1.0", "1e-9", "1e-300", "1e300", "0.0"]
KEYS = {
    "problem": {
        "manifold": ["'circle'", "'sphere'", "'torus'", "'spere'", "'os:getcwd'", "'nowhere:m'"],
        "dim": ["0", "1", "2", "3", "4", "101"],
        "period": ["4.0", "1", "1e-3", "1e3", "1e-40", "1e40", "1e60"],
        "regulariser": [
            "'unbiased'",
            "'biased'",
            "'entropy'",
            "'power'",
            "'entropie'",
            "'os:nope'",
        ],
        "power": ["1.01", "1.5", "2.0", "3.0", "4.0", "1.0", "1.0000001"],
        "t_end": ["0.01", "0.02", "1e-3", "1", "1e3", "1e9", "1e49", "1e300", "1e-300"],
        "limit": ["'unconstrained'", "'constrained'"],
        "teacher": DENSITIES,
        "initial": DENSITIES,
    },
    "diffusion": {
        "cells": ["1", "7", "20", "64", "200"],
        "degree": ["1", "2", "3", "4"],
        "scheme": ["'euler'", "'sdirk2'", "'sdirk3'", "'esdirk4'", "'sdirk'"],
        "rtol": ["1e-4", "1e-2", "0.999", "1e-300", "1e-12"],
        "step": ["0.0", "0.01", "1e-3", "1e300", "1e-300"],
        "mesh": ["''", "'nowhere.msh'", "'.'"],
        "snapshots": ["2", "3", "[0, 0.02]", "[0, 0.01, 0.02]", "[0, 1]", "[0]"],
        "checkpoint": ["60.0", "1e-300"],
    },
    "network": {
        "width": SIZES,
        "lambda": ["1e-3", "1.0", "1e-16", "1e-300", "1e300"],
        "features": ["''", "'relu'", "'radial'", "'laplace'", "'fourier'"],
        "scale": ["0.5", "1e-3", "1e3", "1e-300", "1e300"],
        "profile": ["''", "'laplace'", "'gaussian'", "'matern'"],
        "kernel": ["'sampled'", "'population'", "'low-rank'"],
        "samples": SIZES,
        "teacher_width": SIZES,
        "truncation": RATES,
        "algorithm": ["'varpro'", "'two-timescale'", "'flow'", "'joint'", "'fixed'"],
        "step": ["1e-3", "0.01", "1.0", "1e-300", "1e300"],
        "ratio": ["1.0", "0.1", "2.5", "1e-300", "1e30"],
        "rtol": ["1e-5", "0.5", "1e-300"],
        "seed": ["0", "1", "9223372036854775807"],
        "placement": ["'random'", "'even'", "'quantile'"],
        "teacher_placement": ["''", "'random'", "'even'", "'quantile'"],
    },
}
STRANGE = ["-1", "0", "9223372036854775808", "0xffffffffffffffffffff", "1e400", "5e-324", "-0.0",
           "nan", "-inf", "inf", "true", "''", "'☃'", '"a\\nb"', "'''\n'''", "[]", "[[]]", "[1, 'a']",
           "[nan]", "{}", "{kind='uniform'}", "{a={b={c=1}}}", "2020-02-30", "1979-05-27T07:32:00Z",
           "07:32:00", 700 * "[", 5000 * "9", "", "=", "#", "]", "1 2", "'", "\x00", "\ud7ff"]  # fmt: skip
SMALL = """\
[problem]
manifold = "circle"
t_end = 0.02
[diffusion]
cells = 32
snapshots = 3
[network]
width = 8
samples = 12
teacher_width = 12
step = 0.005
"""


@st.composite
def settings_of(draw, strange=0.1):
    """A key with its section, and a value in TOML syntax."""
    section = draw(st.sampled_from(list(KEYS)))
    key = draw(st.sampled_from(list(KEYS[section])))
    value = draw(st.sampled_from(KEYS[section][key]))
    kind = draw(st.floats(0, 1))
    if kind < strange:
        value = draw(st.sampled_from(STRANGE))
    elif kind < 2 * strange:
        value = repr(draw(st.floats() | st.floats(1e-3, 1e3)))
    elif kind < 2.2 * strange:
        key = draw(st.sampled_from(["", "x", "ключ", '"a b"', "widht", "lambda.x", "a.b.c", "\n"]))
    return section, key, value


@st.composite
def documents(draw):
    """A configuration file from the grammar of sections and keys."""
    tables = {section: {} for section in KEYS}
    for section, key, value in draw(st.lists(settings_of(), max_size=8)):
        tables[section][key] = value
    names = draw(st.permutations(list(tables)))
    lines = [draw(st.sampled_from(["", "", "", "", "# é\n", "stray = 1\n", "[netwrok]\n", "x"]))]
    for name in names:
        lines.append(f"[{name}]")
        lines += [f"{key} = {value}" for key, value in tables[name].items()]
    return "\n".join(lines) + "\n"


@st.composite
def mutations(draw):
    """A file of our own in which pieces are cut out, put in or repeated."""
    text = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.integers(0, 12)))
        piece = draw(st.one_of(st.text(max_size=6), st.just(text[at:until] * 2),
                               st.sampled_from(STRANGE)))  # fmt: skip
        text = text[:at] + piece + text[until:]
    return text


FILES = [SMALL, *(load_config(name).to_toml() for name in presets())]
overrides = settings_of(0.3).map(lambda s: f"{s[0]}.{s[1]}={s[2]}") | st.text(
    st.sampled_from(string.ascii_letters + "[]{}=.'\"\n \x00é☃0123456789"), max_size=20
)  # fmt: skip


@contextmanager
def refused_in_one_sentence():
    """Nothing but InputError and RunFailure, and these in one sentence; in a limited time."""

    def late(number, frame):
        raise TimeoutError(f"no end after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    except (InputError, RunFailure) as error:
        sentence = str(error)
        event(type(error).__name__)
        assert sentence.endswith((".", "?"))
        assert not sentence.endswith("..")
        assert "\n" not in sentence
        assert 15 < len(sentence) < 500
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "run.toml"


def loaded(file, text, overrides=()):
    """The configuration, which is the same after it was written and read."""
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    config = load_config(file, overrides)
    assert config_from_toml(config.to_toml(), folder=config.folder) == config
    return config


@settings(max_examples=900 * SHARE)
@given(documents())
def test_a_document_is_a_configuration_or_refused(file, text):
    with refused_in_one_sentence():
        loaded(file, text)


@settings(max_examples=250 * SHARE, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
def test_a_damaged_file_is_a_configuration_or_refused(file, text):
    with refused_in_one_sentence():
        loaded(file, text)


@settings(max_examples=300 * SHARE)
@given(st.lists(overrides, max_size=4))
def test_overrides_are_a_configuration_or_refused(file, chosen):
    with refused_in_one_sentence():
        loaded(file, SMALL, chosen)


def is_small(config):
    """Whether each of the jobs takes well below a second."""
    p, d, n = config.problem, config.diffusion, config.network
    steps = 1 if n.algorithm == "flow" else p.t_end / n.step
    few = steps <= 50 and len(config.times()) <= 5 and n.ratio <= 50
    short = p.t_end <= 0.1 or (n.algorithm != "flow" and d.cells <= 64)
    fixed = d.step == 0 or p.t_end / d.step <= 50
    coarse = min(d.rtol, n.rtol) >= 1e-7 or max(d.rtol, n.rtol) < 1e-100  # hopeless ends at once
    return (
        few
        and short
        and fixed
        and coarse
        and max(n.width, n.samples, n.teacher_width, d.cells) <= 256
    )


def test_a_run_has_a_result_or_says_why_not(file):
    """And a good part of them has one."""
    pytest.importorskip("dolfinx")
    ran = []

    @settings(max_examples=550 * SHARE)
    @given(st.sampled_from([solve, train, compare]), st.lists(settings_of(0.05), max_size=3))
    def attempt(job, chosen):
        overrides = [f"{section}.{key}={value}" for section, key, value in chosen]
        with refused_in_one_sentence():
            config = loaded(file, SMALL, overrides)
            if is_small(config):
                assert job(config).children
                ran.append(job)

    attempt()
    assert len(ran) > 50 * SHARE
    assert set(ran) == {solve, train, compare}
