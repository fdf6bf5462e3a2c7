"""Fitted orders and rates: exact on exact data, and intervals that cover what they should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from uf_diffusion.core.errors import InputError
from uf_diffusion.studies.orders import extrapolated, fit, local_orders

X = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0])


@given(st.floats(-4, 4), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_power_is_found_in_any_unit(order, factor, unit):
    """y = factor x^order, with x in another unit: the order is the same, of one seed or of two."""
    found = fit(unit * X, factor * X**order)
    assert found.order == pytest.approx(order, abs=1e-9)
    both = fit(unit * X, factor * X[:, None] ** order * [1, 2])
    assert (both.low, both.high) == pytest.approx((order, order), abs=1e-5)
    assert found.factor * unit**order == pytest.approx(factor, rel=1e-6)
    assert local_orders(unit * X, factor * X**order)[1:] == pytest.approx(order, abs=1e-9)


def test_an_exponential_is_found():
    """y = 3 exp(-x / 4), once alone and once for two seeds with different factors."""
    y = 3 * np.exp(-X / 4)
    found = fit(X, y, "exponential")
    assert found.order == pytest.approx(-0.25, rel=1e-12)
    assert found.factor == pytest.approx(3, rel=1e-12)
    both = fit(X, np.column_stack([y, 4 * y]), "exponential")
    assert both.order == pytest.approx(-0.25, rel=1e-12)
    assert both.factor == pytest.approx(6, rel=1e-12)  # the geometric mean of 3 and 12
    assert np.isnan(local_orders(X, y, "exponential")[0])


def coverage(draw, trials=2000):
    """How often the interval of y(rng) contains the order -1/2, and the bounds of chance."""
    rng = np.random.default_rng(1)
    fits = [fit(X, draw(rng)) for _ in range(trials)]
    share = np.mean([f.low <= -0.5 <= f.high for f in fits])
    return share, 4 * np.sqrt(0.95 * 0.05 / trials)


def test_one_seed_has_no_interval():
    """x^(1/2) + x bends: the order depends on the range, and a regression would be sure of each."""
    x = 10.0 ** -np.arange(9)
    y = np.sqrt(x) + x
    for part in (slice(0, 5), slice(4, 9), slice(None)):
        found = fit(x[part], y[part])
        assert np.isnan([found.low, found.high]).all()
    assert fit(x[:5], y[:5]).order - fit(x[4:], y[4:]).order > 0.03
    theirs = stats.linregress(np.log(x[4:]), np.log(y[4:]))
    assert fit(x[4:], y[4:]).order == pytest.approx(theirs.slope, rel=1e-12)
    assert abs(theirs.slope - 0.5) < 5e-3
    early = local_orders(x[:5], y[:5])
    assert early[1] > 0.6
    assert extrapolated(early) == pytest.approx(0.5, abs=2e-3)  # from four values down to 1e-4


def test_local_orders_are_extrapolated_only_where_they_settle():
    """Exact for p + a r^k; nothing for differences that do not shrink, or too few values."""
    k = np.arange(5)
    for ratio in (0.7, 0.3, -0.4):
        assert extrapolated(2 + 0.3 * ratio**k) == pytest.approx(2, abs=1e-12)
    assert extrapolated(np.array([np.nan, 1.0, 1.0, 1.0])) == 1
    for orders in (k, 2.0**k, (-1.0) ** k, 2 + 0.9**k, np.full(5, np.nan), [np.nan, 1, 1]):
        assert np.isnan(extrapolated(np.array(orders)))


def test_the_interval_of_many_seeds_covers_95_percent():
    """Noise that is common to the values of a seed, in level and in slope, and grows with x."""

    def draw(rng):
        level, tilt = rng.standard_normal((2, 8))
        noise = 0.1 * X[:, None] ** 0.5 * rng.standard_normal((len(X), 8))
        return np.exp(level + noise) * X[:, None] ** (-0.5 + 0.2 * tilt)

    share, chance = coverage(draw)
    assert abs(share - 0.95) < chance


def test_the_interval_is_scipys(rng):
    """The mean of the slopes of three noisy seeds, and the t-interval of this mean."""
    y = X[:, None] ** 0.7 * np.exp(rng.standard_normal((len(X), 3)))
    slopes = [stats.linregress(np.log(X), np.log(seed)).slope for seed in y.T]
    ours = fit(X, y, level=0.9)
    theirs = stats.ttest_1samp(slopes, 0).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), rel=1e-12)
    assert ours.order == pytest.approx(np.mean(slopes), rel=1e-12)


def test_pooling_the_seeds_would_not_cover():
    """The seeds' own slopes are needed: one regression over all points is far too sure."""
    rng, inside, trials = np.random.default_rng(2), 0, 300
    for _ in range(trials):
        y = -0.5 * np.log(X)[:, None] + 0.2 * np.log(X)[:, None] * rng.standard_normal(8)
        pooled = stats.linregress(np.repeat(np.log(X), 8), y.ravel())
        half = pooled.stderr * stats.t.ppf(0.975, y.size - 2)
        inside += abs(pooled.slope + 0.5) <= half
        ours = fit(X, np.exp(y))
        assert ours.order == pytest.approx(pooled.slope)
    assert inside / trials < 0.9


def test_values_without_logarithm_are_left_out():
    """Failed runs and errors of exactly 0 do not count; the rest decides."""
    y = np.column_stack([X**-1.0, 2 * X**-2.0, X**3.0])
    y[2, 0], y[4, 1], y[:-1, 2] = np.nan, 0.0, np.nan
    found = fit(X, y)
    assert found.order == pytest.approx(-1.5)
    middle = local_orders(X, np.where(X == 3, np.nan, X))
    assert np.isnan(middle[[0, 2, 3]]).all()
    assert middle[[1, 4, 5, 6]] == pytest.approx(1)


def test_too_few_values_give_no_interval_or_nothing():
    """Two points have a slope, one has none."""
    two = fit(X[:2], X[:2] ** 2)
    assert two.order == pytest.approx(2)
    for y in (np.full(7, np.nan), np.where(X == 3, 1.0, np.nan), np.zeros((7, 2))):
        assert np.isnan([fit(X, y).order, fit(X, y).low, fit(X, y).factor]).all()


def test_mistakes_are_one_sentence():
    with pytest.raises(InputError, match="do not match"):
        fit(X, X[:3])
    with pytest.raises(InputError, match="must be positive"):
        fit(X - 1, X)
    assert fit(X - 1, np.exp(X), "exponential").order == pytest.approx(1)
