"""Independent component analysis and SI-SDR, against references and under any order and sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter, sawtooth
from sklearn.decomposition import FastICA

from sertool.extras.options import ALGORITHMS
from sertool.extras.separation import (
    RUN,
    Follower,
    Sample,
    Settings,
    Unmixing,
    align,
    fit,
    innovations,
    match,
    si_sdr,
    si_sdr_table,
    spread,
    unmix,
    why_not,
)
from sertool.models.statistics import Covariance

# the demonstration's three sources and its mixing matrix
TOY_MIXING = np.array([[1.0, 1.0, 1.0], [0.5, 2.0, 1.0], [1.5, 1.0, 2.0]])
SEEDS = st.integers(0, 2**32 - 1)


def toy() -> np.ndarray:
    time = np.linspace(0, 8, 2000)
    waves = [np.sin(2 * time), np.sign(np.sin(3 * time)), sawtooth(2 * np.pi * time)]
    return np.stack(waves, 1)


def talk(frames: int, sources: int, seed: int = 0) -> np.ndarray:
    """Sounds that are as sparse as speech: (frames, sources)."""
    random = np.random.default_rng(seed)
    return (
        random.laplace(size=(frames, sources))
        * np.repeat(random.uniform(0.2, 1, (frames // 100 + 1, sources)), 100, axis=0)[:frames]
    )


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    count = one.shape[1]
    return np.corrcoef(one.T, other.T)[:count, count:]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(3))
def test_the_papers_toy_is_separated(algorithm: str, seed: int) -> None:
    mixed = toy() @ TOY_MIXING.T
    found = fit(mixed, Settings(3, algorithm, seed=seed))
    assert found.converged
    alike = np.abs(correlations(mixed @ found.matrix.T, toy()))
    assert sorted(alike.argmax(0)) == [0, 1, 2]
    assert (alike.max(0) >= 0.99).all()


def test_a_fit_is_scikit_learns_up_to_order_sign_and_scale() -> None:
    mixed = talk(4000, 3) @ np.array([[1, 0.5, 0.2], [0.3, 1, 0.4], [0.2, 0.6, 1]]).T + [3, -5, 0]
    own = (mixed - mixed.mean(0)) @ fit(mixed, Settings(3, innovations=False)).matrix.T
    theirs = FastICA(random_state=0, tol=1e-9, max_iter=1000).fit_transform(mixed)
    alike = np.abs(correlations(own, theirs))
    np.testing.assert_allclose(np.sort(alike.max(0)), 1, atol=1e-6)


def test_scale_order_and_sign_are_those_that_the_microphones_hear() -> None:
    sources = talk(20000, 2)
    mixing = np.array([[0.1, -2.0], [0.3, 0.5]])  # the second is louder, and upside down
    found = unmix(sources @ mixing.T, np.zeros(2), *2 * [fit(sources @ mixing.T, Settings(2))])
    level = np.linalg.norm(mixing, axis=0)
    np.testing.assert_allclose(found.std(0), (sources.std(0) * level)[::-1], rtol=0.02)
    assert correlations(found, sources)[0, 1] < -0.99
    assert correlations(found, sources)[1, 0] > 0.99


def test_fewer_sources_than_microphones() -> None:
    sources = talk(8000, 2)
    mixed = sources @ np.array([[1, 0.5], [0.4, 1], [0.7, -0.9], [0.1, 0.3]]).T
    found = mixed @ fit(mixed, Settings(2)).matrix.T
    assert np.abs(correlations(found, sources)).max(0).min() > 0.99
    with pytest.raises(ValueError, match="no more than 2 different"):
        fit(mixed, Settings(3))


def test_a_silent_or_doubled_channel_is_named() -> None:
    sources = talk(500, 2)
    names = ["a", "b", "c"]

    def told(*columns: np.ndarray) -> str | None:
        moments = Covariance()
        moments.add(np.stack(columns, 1))
        return why_not(moments.variance(), 3, names)

    one, two = sources.T
    assert told(one, two, one * 0) == "c is silent"
    assert told(one, two, -3 * one) == "a and c hold the same sound"
    assert told(one, two, one + two) == "the 3 mixtures hold no more than 2 different ones"
    assert told(one, two, 1e-3 * np.random.default_rng(1).normal(size=500)) is None


def test_the_level_of_a_microphone_plays_no_part() -> None:
    covariance = np.cov(talk(500, 2) @ [[1, 0.5], [0.5, 1]], rowvar=False)
    quiet = covariance * np.outer([1, 1e-4], [1, 1e-4])
    np.testing.assert_allclose(spread(covariance), spread(quiet), rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, cuts=st.lists(st.integers(1, 299), max_size=5))
def test_moments_do_not_depend_on_blocks(seed: int, cuts: list[int]) -> None:
    data = np.random.default_rng(seed).normal(1000, 1, (300, 3))
    moments = Covariance()
    for block in np.split(data, sorted(cuts)):
        moments.add(block)
    np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance(), np.cov(data.T, ddof=0), atol=1e-9)


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, runs=st.integers(1, 7), limit=st.integers(1, 40))
def test_a_sample_is_runs_of_the_whole_however_it_comes(seed: int, runs: int, limit: int) -> None:
    data = np.arange(30 * RUN + 100)[:, None]
    pieces, whole = (Sample(limit * RUN, np.random.default_rng(seed)) for _ in range(2))
    for start in range(0, len(data), runs * RUN):
        pieces.add(data[start : start + runs * RUN])
    whole.add(data)
    kept = pieces.frames()
    np.testing.assert_array_equal(kept, whole.frames())
    assert 0 < len(kept) <= limit * RUN
    assert set(np.diff(kept[:, 0])[np.arange(1, len(kept)) % RUN > 0]) <= {1}
    assert (np.diff(kept[:, 0]) > 0).all()
    if limit > 30:
        np.testing.assert_array_equal(kept, data)


def test_a_sample_comes_evenly_from_the_whole() -> None:
    sample = Sample(200 * RUN, np.random.default_rng(0))
    for start in range(0, 4000):
        sample.add(np.full((RUN, 1), start, np.int16))
    counts = np.histogram(sample.frames()[::RUN], bins=4, range=(0, 4000))[0]
    assert counts.sum() > 100
    assert counts.min() > 0.6 * counts.mean()


def test_innovations_are_what_a_filter_put_into_a_sound() -> None:
    noise = talk(20000, 2)
    poles = np.poly([0.95 * np.exp(0.3j), 0.95 * np.exp(-0.3j), -0.5]).real
    left = innovations(lfilter([1.0], poles, noise, axis=0))
    assert np.abs(np.diagonal(correlations(left, noise))).min() > 0.99
    # and mixing them is mixing what is left
    mixed = innovations(noise @ [[1.0, 0.5], [0.5, 1.0]])
    assert mixed.shape == noise.shape
    for frames in (1, 2, 20):
        assert np.isfinite(innovations(talk(frames, 2))).all()


def test_innovations_part_what_samples_leave_mixed() -> None:
    """Slow sounds of a second or two are alike by chance."""
    poles = np.poly([0.98 * np.exp(0.1j), 0.98 * np.exp(-0.1j)]).real
    worst = {}
    for name in (True, False):
        found = []
        for seed in range(3):
            sources = lfilter([1.0], poles, talk(10000, 2, seed), axis=0)
            mixed = sources @ np.array([[1, 0.6], [0.5, 1]]).T
            matrix = fit(mixed, Settings(2, innovations=name)).matrix
            found.append(1 - np.abs(correlations(mixed @ matrix.T, sources)).max(0).min())
        worst[name] = max(found)
    assert 5 * worst[True] < worst[False]


def test_a_saddle_is_no_end() -> None:
    """Begun halfway between the two sources, FastICA stays there and says that it converged."""
    mixed = talk(20000, 2)
    mixed = np.concatenate([mixed, mixed * [1, -1], mixed[:, ::-1], mixed[:, ::-1] * [1, -1]])
    mixed /= mixed.std(0)
    halfway = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    plain = Settings(2, innovations=False)
    stuck = fit(mixed, plain, halfway)
    assert stuck.converged
    assert np.abs(correlations(mixed @ stuck.matrix.T, mixed)).max() < 0.8
    for seed in range(5):
        matrix = fit(mixed, replace(plain, seed=seed)).matrix
        assert np.abs(correlations(mixed @ matrix.T, mixed)).max(0).min() > 0.99


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, order=st.permutations(range(4)), signs=st.lists(st.booleans(), min_size=4))
def test_align_undoes_any_order_and_signs(seed: int, order: list[int], signs: list[bool]) -> None:
    random = np.random.default_rng(seed)
    sources = random.laplace(size=(400, 4))
    mixing = random.normal(size=(4, 4)) + 3 * np.eye(4)
    covariance = np.cov(sources @ mixing.T, rowvar=False)
    known = np.linalg.inv(mixing)
    flips = np.where(signs[:4], 1.0, -1.0)[:, None]
    found, surely = align(Unmixing(known), Unmixing(known[order] * flips), covariance)
    assert surely > 0.5
    np.testing.assert_allclose(found.matrix, known)


def test_a_fade_goes_straight_from_one_matrix_to_the_other() -> None:
    frames, mean = talk(50, 2), np.array([0.5, -1])
    before, after = Unmixing(np.eye(2)), Unmixing(np.array([[0.0, 2.0], [1.0, 1.0]]))
    faded = unmix(frames, mean, before, after)
    for i in (0, 20, 49):
        matrix = before.matrix + i / 50 * (after.matrix - before.matrix)
        np.testing.assert_allclose(faded[i], matrix @ (frames[i] - mean), rtol=1e-5, atol=1e-6)


def turning(sources: np.ndarray, turns: float) -> np.ndarray:
    """Two sources, 60 degrees apart, that turn around two crossed figure-of-eight microphones."""
    angle = np.linspace(0, turns * 2 * np.pi, len(sources))[:, None] + [0, np.pi / 3]
    return np.stack([(np.cos(angle) * sources).sum(1), (np.sin(angle) * sources).sum(1)], 1)


def halves(mixed: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    for start in range(0, len(mixed), frames):
        yield mixed[start : start + frames]


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("frames", [1000, 1250])  # the last half whole, and a short one
def test_order_and_sign_go_from_block_to_block(turns: float, frames: int) -> None:
    sources = talk(41_000, 2)
    mixed = turning(sources, turns)
    setting = Settings(2)
    follower = Follower(fit(mixed[:2000], setting), mixed.mean(0), setting)
    found = np.concatenate(list(follower.follow(halves(mixed, frames))))
    assert found.shape == sources.shape
    assert follower.blocks == -(-41_000 // frames) - 1
    assert follower.unclear == 0
    # one order and one sign for all: each piece alike
    first = correlations(found[:2000], sources[:2000])
    order, signs = np.abs(first).argmax(1), np.sign(first[[0, 1], np.abs(first).argmax(1)])
    for start in range(0, 40_000, 1000):
        piece = slice(start, start + 1000)
        alike = correlations(found[piece], sources[piece])
        assert (signs * alike[[0, 1], order] > 0.95).all()
    # and one scale
    level = found.reshape(41, 1000, 2).std(1) / sources[:, order].reshape(41, 1000, 2).std(1)
    assert level.max() / level.min() < 1.15
    if turns:  # one matrix for all does not do
        whole = mixed @ fit(mixed, setting).matrix.T
        assert np.abs(correlations(whole, sources)).max() < 0.9


def test_a_block_that_tells_nothing_keeps_the_matrix_before_it() -> None:
    sources = talk(8000, 2)
    sources[3000:6000, 1] = 0  # one is silent: that block has one mixture, twice
    mixed = sources @ np.array([[1, 0.6], [0.5, 1]]).T
    follower = Follower(fit(mixed, Settings(2)), mixed.mean(0), Settings(2))
    found = np.concatenate(list(follower.follow(halves(mixed, 1000))))
    assert (follower.blocks, follower.unclear) == (7, 2)
    alike = np.abs(correlations(found, sources))
    assert alike.max(0).min() > 0.99
    assert np.isfinite(found).all()


def test_a_match_that_is_not_clear_is_counted() -> None:
    """Where the mixing jumps from one block to the next, nothing tells which source is which."""
    sources = talk(16000, 2)
    turned = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    mixed = np.concatenate([sources[:8000], sources[8000:] @ turned])
    setting = Settings(2)
    follower = Follower(fit(mixed[:8000], setting), mixed.mean(0), setting)
    list(follower.follow(halves(mixed, 2000)))
    assert follower.unsure > 0
    calm = sources @ np.array([[1, 0.6], [0.5, 1]]).T
    follower = Follower(fit(calm, setting), calm.mean(0), setting)
    list(follower.follow(halves(calm, 2000)))
    assert follower.unsure == 0


def test_one_half_block_alone_and_none() -> None:
    mixed = talk(700, 2) @ np.array([[1, 0.6], [0.5, 1]]).T
    first = fit(mixed, Settings(2))
    follower = Follower(first, mixed.mean(0), Settings(2))
    (only,) = follower.follow([mixed])
    np.testing.assert_allclose(only, (mixed - mixed.mean(0)) @ first.matrix.T, atol=1e-5)
    assert list(follower.follow([])) == []


def textbook(estimate: np.ndarray, reference: np.ndarray) -> float:
    """SI-SDR sample by sample, in plain floats."""
    n = len(estimate)
    e = [float(x) - sum(map(float, estimate)) / n for x in estimate]
    s = [float(x) - sum(map(float, reference)) / n for x in reference]
    a = sum(x * y for x, y in zip(e, s, strict=True)) / sum(y * y for y in s)
    noise = sum((x - a * y) ** 2 for x, y in zip(e, s, strict=True))
    return 10 * np.log10(sum((a * y) ** 2 for y in s) / noise)


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, noise=st.floats(1e-3, 10), scale=st.floats(1e-3, 1e3), mean=st.floats(-5, 5))
def test_si_sdr(seed: int, noise: float, scale: float, mean: float) -> None:
    random = np.random.default_rng(seed)
    reference = random.normal(size=200)
    estimate = reference + noise * random.normal(size=200)
    ratio = si_sdr(estimate, reference)
    assert ratio == pytest.approx(textbook(estimate, reference), abs=1e-9)
    assert si_sdr(-scale * estimate + mean, 7 * reference - mean) == pytest.approx(ratio, abs=1e-6)
    assert si_sdr(scale * reference, reference) > 250  # infinite but for rounding
    moments = Covariance()
    for block in np.split(np.stack([estimate, reference], 1), [1, 30, 170]):
        moments.add(block)
    assert si_sdr_table(moments.variance())[0, 1] == pytest.approx(ratio, abs=1e-6)


def test_si_sdr_at_its_edges() -> None:
    sound = np.array([1.0, -1.0, 2.0, -2.0])
    assert si_sdr(sound, sound) == np.inf
    assert np.isnan(si_sdr(sound, np.zeros(4)))
    assert np.isnan(si_sdr(np.ones(4), sound))
    assert si_sdr(np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0, 1.0, -1.0])) == -np.inf
    with pytest.raises(ValueError, match="do not match"):
        si_sdr(sound, sound[:3])


def test_match_takes_the_largest_sum_and_infinities() -> None:
    table = np.array([[10.0, 9.0], [8.0, -np.inf], [-20.0, 3.0]])
    assert match(table) == [1, 0]
    assert match(np.array([[np.inf, 1.0], [2.0, np.inf]])) == [0, 1]
