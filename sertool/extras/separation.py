"""Independent component analysis: as many sources as mixtures, separated by their independence.

A mixture is x = A s, sample by sample: M microphones record K sources in different proportions,
without delay or echo. FastICA (Hyvärinen & Oja 2000; the demonstration of Sundharam & Johari, where
it is done by hand) finds the unmixing matrix W of s = W x from the mixtures alone. Order, sign and
scale of what it finds are arbitrary; here they are settled:

- scale: a source is as loud as in all microphones together, its row of W times the norm of its
  column of A. That does not change where a source falls silent or moves between microphones;
- order: the loudest source first; sign: that of the microphone in which it is loudest;
- from block to block both are carried on (`align`), and `Follower` goes from one matrix to the
  next without a step.

Speech is fitted by its innovations, what a linear prediction leaves of it (Hyvärinen 1998): any
filter leaves the mixing as it is, and they are less alike by chance than the samples of seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sertool.models.statistics import Covariance

Array = NDArray[np.float64]

TOLERANCE = 1e-5  # of 1 - |w·w+|, Sundharam & Johari
ITERATIONS = 1000
SAMPLE = 1 << 21  # numbers that one fit uses: 16 MB as float64
RANK_FLOOR = 1e-10  # of the largest eigenvalue: below is rounding
NEARLY = 1e-6  # of it (-60 dB): below may be a file's own rounding
ALIKE = 1e-8  # of 1 - |correlation|: two channels are one
LISTED = 4  # silent mixtures named in a message
ORDER = 16  # of the linear prediction
FLOOR = 1e-3  # of the power (-30 dB), white, keeps a prediction from what a file does not hold
GAUSSIAN = 0.3745672  # E log cosh of a standard normal variable
FLAT = -0.5  # excess kurtosis: speech is above 0, steady tones and test signals at -1 and below
RUN = 1024  # frames that a sample keeps together, so that they can be predicted
STARTS = 5  # first guesses: FastICA may stop at a saddle and report that it has converged
_TRIAL = 1 << 16  # frames that they are tried on
SURE = 0.2  # of a match: voices that were separated well differ by 0.9, blocks that were not by 0.1
_SILENT_SHARE = 1e-3  # of the whole block in a match over its overlap, for sources silent there


class Sample:
    """At most `limit` frames (one run at least) of a stream of blocks (n, d), evenly at random.

    Every run of `RUN` frames draws a number, and the runs with the smallest are kept. Blocks, but
    for the last, are to be whole runs long.
    """

    def __init__(self, limit: int, random: np.random.Generator) -> None:
        self._runs, self._random = max(1, limit // RUN), random
        self._kept: list[tuple[float, NDArray]] = []

    def add(self, block: NDArray) -> None:
        """Take in a block (n, d)."""
        for start in range(0, len(block), RUN):
            self._kept.append((self._random.random(), block[start : start + RUN].copy()))
        if len(self._kept) > self._runs:
            limit = sorted(key for key, _ in self._kept)[self._runs - 1]
            self._kept = [kept for kept in self._kept if kept[0] <= limit]

    def frames(self) -> NDArray:
        """Return what was kept, (n, d), in order."""
        return np.concatenate([run for _, run in self._kept])


@dataclass(frozen=True)
class Unmixing:
    """What parts K sources from M mixtures: `matrix` (K, M), scaled as this module settles it.

    `converged`: whether FastICA met its tolerance.
    """

    matrix: Array
    converged: bool = True


@dataclass(frozen=True)
class Settings:
    """How a fit is done: "parallel" (all sources at once) or "deflation" (one after the other).

    `innovations`: fit them where the sources are like speech. `seed` draws the first guesses and,
    of more than `sample` numbers, those that are looked at.
    """

    sources: int
    algorithm: str = "parallel"
    tolerance: float = TOLERANCE
    iterations: int = ITERATIONS
    sample: int = SAMPLE
    innovations: bool = True
    seed: int = 0


def spread(covariance: Array) -> Array:
    """Return the eigenvalues of the mixtures' correlations, largest first, as shares of it.

    `covariance` is (M, M). The level of a microphone plays no part; a silent one gives a 0.
    """
    deviation = np.sqrt(np.diagonal(covariance))
    scale = np.where(deviation > 0, deviation, 1.0)
    values = np.linalg.eigvalsh(covariance / np.outer(scale, scale))[::-1]
    return np.maximum(values, 0.0) / max(values[0], np.finfo(float).tiny)


def why_not(covariance: Array, sources: int, names: Sequence[str]) -> str | None:
    """Return why `sources` cannot be separated from mixtures of this covariance; None if they can.

    `names` are the mixtures', for the message.
    """
    rank = int((spread(covariance) > RANK_FLOOR).sum())
    if rank >= sources:
        return None
    variance = np.diagonal(covariance)
    silent = [name for name, v in zip(names, variance, strict=True) if not v > 0]
    if silent:
        if len(silent) > LISTED:
            return f"{len(silent)} of {len(names)} mixtures are silent, {silent[0]} first"
        verb = "is" if len(silent) == 1 else "are"
        return f"{' and '.join(silent)} {verb} silent"
    correlation = covariance / np.sqrt(np.outer(variance, variance))
    first, second = np.nonzero(np.triu(np.abs(correlation) > 1 - ALIKE, 1))
    if len(first):
        return f"{names[first[0]]} and {names[second[0]]} hold the same sound"
    return f"the {len(names)} mixtures hold no more than {rank} different ones"


def fit(frames: NDArray, settings: Settings, start: Array | None = None) -> Unmixing:
    """Return the unmixing of frames (n, M) into `settings.sources` K <= M sources.

    Centring, whitening by the eigenvectors of the covariance (the K largest), then FastICA with
    the non-linearity tanh: of the frames, and, unless a source so found is flat (`FLAT`), of their
    innovations. `start` (K, M) is an unmixing matrix to begin with. Raises ValueError where the
    mixtures do not hold K different ones.
    """
    count = settings.sources
    moments = Covariance()
    moments.add(frames)
    reason = why_not(moments.variance(), count, [f"{i + 1}" for i in range(frames.shape[1])])
    if reason:
        raise ValueError(reason)
    whitening, back = _whitening(moments.variance(), count)  # (K, M), (M, K)
    white = (frames - moments.mean) @ whitening.T  # (n, K)
    first = None if start is None else start @ back
    if settings.innovations:
        trial = white[:: -(-len(white) // _TRIAL)]
        found = trial @ _fastica(trial, settings, first)[0].T
        if ((found**4).mean(0) / (found**2).mean(0) ** 2 - 3 > FLAT).all():
            left = innovations(white)
            if why_not(np.cov(left, rowvar=False), count, [""] * count) is None:
                white = left
    rotation, converged = _fastica(white, settings, first)
    mixing = back @ np.linalg.inv(rotation)  # (M, K)
    best = mixing[np.abs(mixing).argmax(0), np.arange(count)]
    matrix = (rotation @ whitening) * (np.linalg.norm(mixing, axis=0) * np.sign(best))[:, None]
    power = np.einsum("km,mn,kn->k", matrix, moments.variance(), matrix)
    return Unmixing(matrix[np.argsort(-power, kind="stable")], converged)


def innovations(frames: NDArray) -> Array:
    """Return what a linear prediction leaves of frames (n, d), d of about the same power: (n, d).

    One predictor of `ORDER` for all, from the mean of their autocorrelations (`FLOOR` added), as
    one filter for all does not touch how they are mixed. Hyvärinen, "Independent component
    analysis for time-dependent stochastic processes", ICANN 1998.
    """
    from scipy.linalg import solve_toeplitz

    frames = np.asarray(frames, np.float64)
    order = min(ORDER, len(frames) - 1)
    power = [float(np.vdot(frames[: len(frames) - k], frames[k:])) for k in range(order + 1)]
    power[0] *= 1 + FLOOR
    weights = solve_toeplitz(power[:-1], power[1:]) if order else np.zeros(0)
    left = frames.copy()
    for k, weight in enumerate(weights, 1):
        left[k:] -= weight * frames[:-k]
    return left


def _whitening(covariance: Array, count: int) -> tuple[Array, Array]:
    """Return (whitening (count, M), its pseudo-inverse (M, count)) by the largest eigenvectors."""
    values, vectors = np.linalg.eigh(covariance)
    deviation, vectors = np.sqrt(values[::-1][:count]), vectors[:, ::-1][:, :count]
    return (vectors / deviation).T, vectors * deviation


def _fastica(frames: NDArray, settings: Settings, start: Array | None) -> tuple[Array, bool]:
    """Return (unmixing (K, K) of frames (n, K), whether it converged).

    Without a `start` several first guesses are tried on some of the frames, and the one goes on
    whose sources are the least Gaussian, by the approximation of the negentropy with log cosh.
    """
    count = frames.shape[1]
    whitening, back = _whitening(np.cov(frames, rowvar=False, ddof=0), count)
    white = frames @ whitening.T
    first = None if start is None else start @ back
    if first is None or not np.isfinite(first).all() or np.linalg.matrix_rank(first) < count:
        trial = white[:: -(-len(white) // _TRIAL)]
        random = np.random.default_rng(settings.seed)
        guesses = [
            _rotation(trial, settings, random.normal(size=2 * (count,)))[0] for _ in range(STARTS)
        ]
        first = max(guesses, key=lambda rotation: _negentropy(trial @ rotation.T))
    rotation, converged = _rotation(white, settings, first)
    return rotation @ whitening, converged


def _rotation(white: NDArray, settings: Settings, start: Array) -> tuple[Array, bool]:
    """Return (the rotation (K, K) that FastICA finds for white frames (n, K), if it converged)."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    ica = FastICA(
        whiten=False,
        algorithm=settings.algorithm,
        fun="logcosh",
        tol=settings.tolerance,
        max_iter=settings.iterations,
        w_init=start,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ica.fit(white)
    return ica.components_, ica.n_iter_ < settings.iterations


def _negentropy(sources: NDArray) -> float:
    """Return how far sources (n, K) of variance 1 are from Gaussian, summed."""
    size = np.abs(sources)
    means = (size + np.log1p(np.exp(-2 * size)) - np.log(2)).mean(0)  # log cosh
    return float(((means - GAUSSIAN) ** 2).sum())


def align(previous: Unmixing, current: Unmixing, covariance: Array) -> tuple[Unmixing, float]:
    """Return `current` with the order and signs of the sources of `previous`, and how surely.

    `covariance` (M, M) is the mixtures' where both apply: the sources are matched one to one by
    the absolute correlations there of what both make of it, the largest sum (Hungarian method).
    How surely, 0 to 1 or below: by how much a source is more like its match than like any other,
    the least of all.
    """
    from scipy.optimize import linear_sum_assignment

    cross = previous.matrix @ covariance @ current.matrix.T
    one = np.einsum("km,mn,kn->k", previous.matrix, covariance, previous.matrix)
    other = np.einsum("km,mn,kn->k", current.matrix, covariance, current.matrix)
    scale = np.sqrt(np.outer(np.maximum(one, 0), np.maximum(other, 0)))
    correlation = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    rows, columns = linear_sum_assignment(-np.abs(correlation))
    signs = np.where(correlation[rows, columns] < 0, -1.0, 1.0)
    like = np.abs(correlation)
    chosen = like[rows, columns]
    like[rows, columns] = -1
    others = np.maximum(like.max(0)[columns], like.max(1)[rows])
    surely = float((chosen - np.maximum(others, 0)).min())
    return replace(current, matrix=current.matrix[columns] * signs[:, None]), surely


def unmix(frames: NDArray, mean: Array, before: Unmixing, after: Unmixing) -> NDArray[np.float32]:
    """Return the sources (n, K) of frames (n, M), fading from one matrix to another.

    `mean` (M,) is taken off first. Both matrices make coherent sounds, so the fade is linear: the
    matrix itself goes straight from `before` at the first frame to `after` past the last.
    """
    centred = frames - mean
    sources = centred @ before.matrix.T
    if after is not before:
        share = (np.arange(len(frames)) / len(frames))[:, None]
        sources += share * (centred @ after.matrix.T - sources)
    return sources.astype(np.float32)


class Follower:
    """Sources of mixtures that change: a matrix a block, each block half over the one before.

    `first` is the whole recording's unmixing, where the first block starts from; `mean` (M,) the
    whole recording's. `blocks`, `unclear`, `unconverged`, `unsure` count what was met.
    """

    def __init__(self, first: Unmixing, mean: Array, settings: Settings) -> None:
        self.first, self.mean, self.settings = first, mean, settings
        self.blocks = self.unclear = self.unconverged = self.unsure = 0

    def follow(self, halves: Iterable[NDArray]) -> Iterator[NDArray[np.float32]]:
        """Yield the sources (n, K) of each half block (n, M), later by one.

        Two halves are a block. Its fit starts from the block's before, and its sources are matched
        with theirs over the half that both hold, which fades from the one to the other. So the
        matrix runs straight from each block's centre to the next one's.
        """
        old: Unmixing | None = None
        held: NDArray | None = None
        for half in halves:
            if held is not None:
                new = self._fit(held, half, old or self.first)
                yield unmix(held, self.mean, old or new, new)
                old = new
            held = half
        if held is not None:
            last = old or self.first
            yield unmix(held, self.mean, last, last)

    def _fit(self, held: NDArray, half: NDArray, old: Unmixing) -> Unmixing:
        """Return a block's unmixing; the old one where the block does not determine a new one."""
        self.blocks += 1
        overlap, whole = Covariance(), Covariance()
        overlap.add(held)
        whole.add(held)
        whole.add(half)
        if spread(whole.variance())[self.settings.sources - 1] <= RANK_FLOOR:
            self.unclear += 1
            return old
        sample = Sample(
            max(1, self.settings.sample // held.shape[1]),
            np.random.default_rng(self.settings.seed),
        )
        sample.add(np.concatenate([held, half]))
        new = fit(sample.frames(), self.settings, old.matrix)
        if not new.converged:
            self.unconverged += 1
            return old
        matched, surely = align(old, new, overlap.variance() + _SILENT_SHARE * whole.variance())
        self.unsure += surely < SURE
        return matched


def si_sdr(estimate: NDArray, reference: NDArray) -> float:
    """Return the scale-invariant signal-to-distortion ratio of `estimate` (n,) in dB.

    10 lg(|a s|² / |e - a s|²) with a = <e, s> / |s|², both without their means: Le Roux, Wisdom,
    Erdogan & Hershey, "SDR - half-baked or well done?", ICASSP 2019, equations 2 to 5. Infinite
    for a perfect estimate, NaN where either is constant. Raises ValueError for other shapes.
    """
    if estimate.shape != reference.shape or estimate.ndim != 1:
        raise ValueError(f"estimate {estimate.shape} and reference {reference.shape} do not match")
    e = np.asarray(estimate, np.float64) - np.mean(estimate, dtype=np.float64)
    s = np.asarray(reference, np.float64) - np.mean(reference, dtype=np.float64)
    power = float(s @ s)
    if not power or not e.any():
        return float("nan")
    target = (float(e @ s) / power) * s
    distortion = e - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.divide(target @ target, distortion @ distortion)))


def si_sdr_table(covariance: Array) -> Array:
    """Return `si_sdr` of every signal (row) against every other (column), in dB, (d, d).

    From the covariance (d, d) of all signals alone, so that a stream can be measured: good to
    about 140 dB, where the difference of squares is rounding.
    """
    power = np.diagonal(covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        target = covariance**2 / power[None, :]
        return 10 * np.log10(target / np.maximum(power[:, None] - target, 0.0))


def match(table: Array) -> list[int]:
    """Return for every column of `table` (rows, columns <= rows) its own row: the largest sum."""
    from scipy.optimize import linear_sum_assignment

    finite = np.nan_to_num(table, nan=-300.0, posinf=300.0, neginf=-300.0)
    columns, rows = linear_sum_assignment(-finite.T)
    assert (columns == np.arange(len(columns))).all()
    return [int(row) for row in rows]
