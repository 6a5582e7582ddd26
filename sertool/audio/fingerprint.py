"""Fingerprints of recordings, and the near-duplicates that they find.

A copy of a recording that was resampled, made louder or softer, trimmed, padded with silence, or
mixed with noise keeps nearly all bits of its fingerprint; another take of the same sentence by the
same speaker does not. What follows which source:

- Haitsma & Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002), section 4: a frame's
  bits are the signs of differences of band energies along frequency and time; two recordings match
  where the rate of unequal bits is low; exact words of bits lead to the candidates.
- Wang, "An industrial-strength audio search algorithm" (ISMIR 2003), section 2: two moments at a
  fixed distance make a far rarer key than one, and a match is a key and its shift in time.

Their frames overlap by 31/32, so that it matters little where a copy begins. Frames here are
eight times sparser; in return they lie on a grid that is laid by the sound itself, by the phase of
its energy at one cycle a hop, and a trimmed copy falls on the same grid.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

VERSION = "1"  # first character of a fingerprint; others are not compared
LOWEST_RATE = 4000  # Hz: of what is analysed, so of a recording too
HOP = 0.032  # seconds from one frame to the next
SLOTS = 16  # parts of a hop in which energy is counted
WINDOW = 5  # hops that a frame is long: 160 ms, bins of 6.25 Hz
LAG = 3  # hops between the two frames that a word compares
BANDS = 25  # of which neighbours are compared: 24 bits a word
BINS = 7  # of the transform in a band: 43.75 Hz, which separates harmonics
FIRST_BIN = 29  # 181.25 Hz; the last band ends at 1275 Hz, below telephone speech's upper edge
WORDS = 127  # most words of a fingerprint: 4.1 s, 509 characters
SWING = 2000  # Hz: energy is that of a difference over one period of this, strongest at 1 kHz
FLOOR = 0.01  # words of less energy than this share of the loud ones' (-20 dB) are left out
CLICK = WINDOW + LAG  # words that a single click is part of: it does not set what loud is
SILENCE = 1e-4  # of full scale, -80 dB, as in `audio.SILENCE`; not imported, for it needs soundfile
FULL_SCALE = 32768

# What two recordings need for a match, at one and the same shift in time:
LEAST = 12  # at least this many words with sound in common,
SHARED = 0.5  # this share of those that the shorter one has;
WORST = (
    8  # of a word's unequal bits no more count: noise drowns words, another take differs in all;
)
UNEQUAL = 1.1  # on average at most this share of WORST,
CAUTION = 3.0  # less this over the root of their number: 0.23 of 12 words, 0.65 of 45, 0.83 of 127;
PARTS = 3  # and in each of this many parts
DRIFTS = (-2, 2)  # the shifts that lie this many words away
WORSE = 0.15  # worse by at least this share of WORST

APART = 5  # hops between the two words of a key: their frames just do not overlap
_TURN = np.exp(-2j * np.pi / SLOTS * np.arange(SLOTS))
_BLOCK = 1 << 18  # samples converted at a time, so that an hour needs no second copy of itself
_BOOK = 1 << 14  # fingerprints whose keys are kept at a time: some 50 MB
_ITEMS = 1 << 10  # fingerprints looked up at a time
_HITS = 1 << 13  # candidates compared at a time: their words are 4 MB
_DIGITS = 4  # base64 characters a word
_NO_SOUND = "AAAA"


def fingerprint(samples: np.ndarray, sample_rate: int) -> str:
    """Return a recording's fingerprint: ASCII, at most 509 characters.

    `samples` (n,) are finite: int16 with full scale 32768, or float with full scale 1;
    `sample_rate` is in Hz. Of a longer recording the loudest 4 s in a row count. Empty for silence,
    for less than about 0.7 s of sound, and for rates below 4 kHz.
    """
    if sample_rate < LOWEST_RATE or len(samples) < HOP * (WINDOW + LAG + LEAST) * sample_rate:
        return ""
    low, rate = _low_band(samples, sample_rate)
    moving = low[_lag(rate) :] - low[: -_lag(rate)]  # without an offset, with little hum
    if not max(moving.max(), -moving.min()) >= SILENCE * _full(samples, sample_rate):
        return ""
    begin, energy = _grid(moving, rate)
    chosen = _Chosen(begin, energy, len(low), rate)
    return _text(chosen, low, 0)


def _lag(rate: float) -> int:
    return round(rate / SWING)


def _full(samples: np.ndarray, sample_rate: int) -> float:
    """Return full scale in the low band."""
    scale = FULL_SCALE if samples.dtype == np.int16 else 1.0
    return scale * (sample_rate // LOWEST_RATE) ** 2


class _Chosen:
    """Which words of a recording are kept: where their frames start in the low band, of `total`."""

    def __init__(self, begin: float, energy: np.ndarray, total: int, rate: float) -> None:
        audible = energy >= FLOOR * np.partition(energy, -1 - CLICK)[-1 - CLICK]
        first, last = _loudest(energy, audible)
        self.audible = audible[first:last]
        starts = np.rint((begin + np.arange(first, last + LAG)) * (HOP * rate)).astype(np.intp)
        self.length = round(WINDOW * HOP * rate / 8) * 8  # a multiple of 8: a quick transform
        self.starts = np.minimum(starts, total - self.length)


def _text(chosen: _Chosen, low: np.ndarray, first: int) -> str:
    """Return the fingerprint of chosen words; `low` is the low band from place `first` on."""
    words = _bits(low, chosen.starts - first, chosen.length)
    words[~chosen.audible] = 0
    text = base64.b64encode(words.tobytes()).decode("ascii")
    different = {text[i : i + _DIGITS] for i in range(0, len(text), _DIGITS)} - {_NO_SOUND}
    return VERSION + text if len(different) >= LEAST else ""


class Listener:
    """`fingerprint` of samples that come bit by bit: two bytes of memory a millisecond.

    Of the same samples, bit for bit, whatever their parts, it makes the same text.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._step = max(1, sample_rate // LOWEST_RATE)
        self._low_rate = sample_rate / self._step
        self._total = 0
        self._rest: list[np.ndarray] = []  # samples that do not fill a block
        self._size = 0
        self._rising = np.zeros(0, np.float32)  # a row's sum that waits for the next row's
        self._low = np.zeros(0, np.float32)  # what later places of the low band are compared with
        self._moving = np.zeros(0, np.float32)  # what does not fill a slot
        self._length = self._slots = 0  # of the low band and of energies
        self._energies: list[np.ndarray] = []
        self._peak = 0.0
        self._silence = 0.0

    def hear(self, samples: np.ndarray) -> None:
        """Listen on to samples (n,) float32 with full scale 1, not none."""
        if self._rate < LOWEST_RATE:
            return
        self._silence = SILENCE * _full(samples, self._rate)
        self._total += len(samples)
        self._rest.append(samples)
        self._size += len(samples)
        block = self._block
        if self._size >= block:
            joined = np.concatenate(self._rest)
            whole = len(joined) // block * block
            for first in range(0, whole, block):
                self._add(joined[first : first + block])
            self._rest, self._size = [joined[whole:]], len(joined) - whole

    @property
    def _block(self) -> int:
        return _BLOCK // self._step * self._step

    def _add(self, samples: np.ndarray) -> None:
        """Count the energies of samples, as many as a block has but at the end."""
        if self._step == 1:
            low = samples
        else:
            halves = _halves(samples, self._step)
            rising = np.concatenate([self._rising, halves[0]])
            low = rising[:-1] + halves[1, 1 - len(self._rising) :]
            self._rising = rising[-1:]
        self._length += len(low)
        joined = np.concatenate([self._low, low])
        lag = _lag(self._low_rate)
        moving = joined[lag:] - joined[:-lag]
        self._low = joined[-lag:]
        if not len(moving):
            return
        self._peak = max(self._peak, moving.max(), -moving.min())
        self._moving = np.concatenate([self._moving, moving])
        slot = HOP / SLOTS * self._low_rate
        begin = int(np.rint(self._slots * slot))
        hops = int((begin + len(self._moving)) / (SLOTS * slot))
        edges = np.rint(np.arange(self._slots, hops * SLOTS + 1) * slot).astype(np.intp) - begin
        if len(edges) > 1:
            part = np.square(self._moving[: edges[-1]])
            self._energies.append(np.add.reduceat(part, edges[:-1]))
            self._slots = hops * SLOTS
            self._moving = self._moving[edges[-1] :]

    def fingerprint(self, read: Callable[[int, int], np.ndarray]) -> str:
        """Return the fingerprint of all that was heard.

        read(first, last) returns samples first to last - 1 of it once more, fewer at the end.
        """
        if self._total < HOP * (WINDOW + LAG + LEAST) * self._rate or self._rate < LOWEST_RATE:
            return ""
        rest = np.concatenate(self._rest)
        if len(rest) >= self._step:
            self._add(rest[: len(rest) // self._step * self._step])
        if not self._peak >= self._silence:
            return ""
        begin, energy = _framed(self._energies)
        chosen = _Chosen(begin, energy, self._length, self._low_rate)
        # from where a block begins, so that products of the same matrices make the low band
        first = int(chosen.starts[0]) * self._step // self._block * self._block
        last = (int(chosen.starts[-1]) + chosen.length + 1) * self._step
        last = min(-(-last // self._block) * self._block, self._total)
        low, _ = _low_band(read(first, last), self._rate)
        return _text(chosen, low, first // self._step)


def _low_band(samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
    """Return (samples (m,) float32 at 4 to 8 kHz, that rate), scaled by the square of the ratio.

    The low-pass is a triangle of two steps: quick, steep enough below 1.3 kHz, and of integers, so
    that int16 gives the same bits in whatever order a processor adds (up to 88 kHz).
    """
    step = sample_rate // LOWEST_RATE
    if step == 1:
        return samples.astype(np.float32), float(sample_rate)
    halves = _halves(samples, step)
    return halves[0, :-1] + halves[1, 1:], sample_rate / step


def _halves(samples: np.ndarray, step: int) -> np.ndarray:
    """Return (2, rows) float32: each row of `step` samples weighed by a rising, a falling edge."""
    rising = np.arange(1, step + 1, dtype=np.float32)
    falling = step - rising
    rows = len(samples) // step
    halves = np.empty((2, rows), np.float32)
    block = _BLOCK // step
    for i in range(0, rows, block):
        part = samples[i * step : min(i + block, rows) * step].astype(np.float32, copy=False)
        part = part.reshape(-1, step)
        halves[0, i : i + block] = part @ rising
        halves[1, i : i + block] = part @ falling
    return halves


def _grid(moving: np.ndarray, rate: float) -> tuple[float, np.ndarray]:
    """Return (where the first frame begins, in hops; the energy of each word's louder frame).

    The phase of the energy at one cycle a hop moves with the sound, so a copy's frames fall on the
    same parts of it, wherever the copy begins. Energies are (words,) float64.
    """
    slot = HOP / SLOTS * rate
    hops = int(len(moving) / (SLOTS * slot))
    edges = np.rint(np.arange(hops * SLOTS + 1) * slot).astype(np.intp)
    return _framed([np.add.reduceat(np.square(moving[: edges[-1]]), edges[:-1])])


def _framed(energies: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
    """Return what `_grid` does, of the slots' energies in parts of whole hops."""
    # hop after hop, from the beginning of all: so it matters not to any bit where parts end
    cycle = np.zeros(SLOTS)
    for part in energies:
        rows = np.concatenate([cycle[None], part.reshape(-1, SLOTS)])
        cycle = rows.sum(axis=0)
    begin = float(-np.angle(np.sum(cycle * _TURN)) / (2 * np.pi)) % 1.0
    kept, total = [], np.zeros(1)
    for part in energies:
        sums = np.cumsum(np.concatenate([total, part]))
        kept.append(sums[:-1][int(begin * SLOTS) :: SLOTS])
        total = sums[-1:]
    sums = np.concatenate(kept if int(begin * SLOTS) else [*kept, total])
    frames = sums[WINDOW:] - sums[:-WINDOW]
    return begin, np.maximum(frames[LAG:], frames[:-LAG])


def _loudest(energy: np.ndarray, audible: np.ndarray) -> tuple[int, int]:
    """Return the first and the last word to keep: of the audible ones the loudest WORDS."""
    found = np.flatnonzero(audible)
    first, last = int(found[0]), int(found[-1]) + 1
    if last - first <= WORDS:
        return first, last
    sums = np.concatenate([[0.0], np.cumsum(energy[first:last])])
    first += int(np.argmax(sums[WORDS:] - sums[:-WORDS]))
    return first, first + WORDS


@functools.lru_cache(maxsize=8)
def _window(length: int) -> np.ndarray:
    return np.hanning(length + 2)[1:-1]


def _bits(low: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return (words, 3) uint8: Haitsma & Kalker's bits of frames that begin at samples `starts`.

    Bit m of word n tells whether E(n + LAG, m + 1) - E(n + LAG, m) > E(n, m + 1) - E(n, m).
    """
    # float64 because NumPy transforms it faster than float32
    part = low[starts[0] : starts[-1] + length].astype(np.float64)
    shape, strides = (len(part) - length + 1, length), 2 * part.strides
    frames = np.ndarray(shape, part.dtype, part.data, strides=strides)[starts - starts[0]]
    frames *= _window(length)
    spectra = np.fft.rfft(frames)[:, FIRST_BIN : FIRST_BIN + BINS * BANDS]
    power = np.square(np.abs(spectra))
    bands = np.add.reduceat(power, np.arange(0, BINS * BANDS, BINS), axis=1)
    growth = bands[LAG:] - bands[:-LAG]
    return np.packbits(growth[:, 1:] > growth[:, :-1], axis=1)


def near(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Return every (i, j), sorted, where left[i] and right[j] fingerprint near-duplicates.

    Equal fingerprints always are; empty ones, and what is not a fingerprint of this version, never.
    Of a list with itself every pair comes both ways round, and each item with itself. Equal texts
    are compared once, so segments of one recording cost nothing but their pairs.

    Time grows with len(left) * len(right): 0.2 s for all of RAVDESS (1440) with itself, some five
    minutes for 100 000 items with themselves. Memory: 1 kB an item, 200 MB, and the pairs.
    """
    ours, theirs = _Places(left), _Places(right)
    pairs: list[tuple[int, int]] = []
    for begin in range(0, len(theirs.texts), _BOOK):
        book = _Book(theirs.words[begin : begin + _BOOK])
        known = {text: j for j, text in enumerate(theirs.texts[begin : begin + _BOOK])}
        for first in range(0, len(ours.texts), _ITEMS):
            found = _look_up(ours.words[first : first + _ITEMS], book)
            for i, text in enumerate(ours.texts[first : first + _ITEMS]):
                if text in known:
                    found[i, known[text]] = True
            for a, b in np.argwhere(found).tolist():
                places = theirs.places[begin + b]
                pairs += [(i, j) for i in ours.places[first + a] for j in places]
    return sorted(pairs)


class _Places:
    """The different fingerprints of a list: texts, their places in it, their words (n, WORDS)."""

    def __init__(self, listed: Sequence[str]) -> None:
        found: dict[str, list[int]] = {}
        for i, text in enumerate(listed):
            if text:
                found.setdefault(text, []).append(i)
        rows = [(text, row) for text in found if (row := _words(text)) is not None]
        self.texts = [text for text, _ in rows]
        self.places = [found[text] for text in self.texts]
        self.words = np.zeros((len(rows), WORDS), np.uint32)
        for all_words, (_, row) in zip(self.words, rows, strict=True):
            all_words[: len(row)] = row


def _words(text: str) -> np.ndarray | None:
    """Return a fingerprint's words (n,) uint32, zero without sound; None for any other text."""
    if not text.startswith(VERSION) or len(text) > len(VERSION) + _DIGITS * WORDS:
        return None
    try:
        raw = base64.b64decode(text[len(VERSION) :].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) == 0 or len(raw) % 3:
        return None
    high, middle, low = np.frombuffer(raw, np.uint8).reshape(-1, 3).T.astype(np.uint32)
    return high << 16 | middle << 8 | low


def _keys(words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (keys, rows, positions), twice: two words' lower halves, then their upper halves."""
    earlier, later = words[:, :-APART], words[:, APART:]
    rows, at = np.nonzero((earlier != 0) & (later != 0))
    earlier, later = earlier[rows, at], later[rows, at]
    rows, at = rows.astype(np.int32), at.astype(np.int16)
    yield (earlier & 0xFFF) << 12 | later & 0xFFF, rows, at
    yield earlier & 0xFFF000 | later >> 12, rows, at


class _Book:
    """Where each key occurs in a list of fingerprints."""

    def __init__(self, words: np.ndarray) -> None:
        self.words = words
        self.halves = []
        for keys, rows, at in _keys(words):
            order = np.argsort(keys, kind="stable")
            self.halves.append((keys[order], rows[order], at[order]))

    def candidates(self, words: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield blocks of (i, j, shift): word t of `words[i]` would be word t + shift of item j."""
        for half, (keys, rows, at) in zip(self.halves, _keys(words), strict=True):
            begins = np.searchsorted(half[0], keys, "left")
            counts = np.searchsorted(half[0], keys, "right") - begins
            ends = np.cumsum(counts)
            first = 0
            while first < len(keys):
                done = int(ends[first - 1]) if first else 0
                last = max(first + 1, int(np.searchsorted(ends, done + _HITS, "right")))
                part = slice(first, last)
                source = np.repeat(np.arange(first, last), counts[part])
                nth = np.arange(len(source)) - (ends[source] - counts[source] - done)
                target = begins[source] + nth
                first = last
                yield _unique(rows[source], half[1][target], half[2][target] - at[source])


def _look_up(words: np.ndarray, book: _Book) -> np.ndarray:
    """Return which fingerprints' words (n, WORDS) match which of the book's (m), (n, m) bool."""
    found = np.zeros((len(words), len(book.words)), bool)
    for i, j, shift in book.candidates(words):
        new = ~found[i, j]
        i, j, shift = i[new], j[new], shift[new]
        match = _match(words[i], book.words[j], shift)
        found[i[match], j[match]] = True
    return found


def _unique(
    i: np.ndarray, j: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different triples among candidates."""
    span = 2 * WORDS
    code = np.unique((j.astype(np.int64) * _ITEMS + i) * span + (shift + WORDS))
    rest, shift = np.divmod(code, span)
    j, i = np.divmod(rest, _ITEMS)
    return i, j, shift - WORDS


def _match(ours: np.ndarray, theirs: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return whether `ours` (n, WORDS) match `theirs` (n, WORDS), moved by `shift` (n,) words."""
    both, unequal = _compare(ours, theirs, shift)
    common = np.count_nonzero(both, axis=1)
    shorter = np.minimum(np.count_nonzero(ours, axis=1), np.count_nonzero(theirs, axis=1))
    most = UNEQUAL - CAUTION / np.sqrt(np.maximum(common, 1))
    total = np.sum(unequal, axis=1, where=both)
    match = (common >= np.maximum(LEAST, SHARED * shorter)) & (total <= most * WORST * common)
    few = np.flatnonzero(match)
    ours, theirs, shift = ours[few], theirs[few], shift[few]
    match[few] = _steady(ours, theirs, shift) & _steady(theirs, ours, -shift)
    return match


def _compare(
    ours: np.ndarray, theirs: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, WORDS) each: whether both have a word there, and its unequal bits or WORST."""
    at = shift[:, None] + np.arange(WORDS)
    inside = (at >= 0) & (at < WORDS)
    moved = np.take_along_axis(theirs, np.where(inside, at, 0), axis=1)
    both = inside & (ours != 0) & (moved != 0)
    unequal = np.minimum(np.bitwise_count(ours ^ moved), np.uint8(WORST))
    return both, np.where(both, unequal, np.uint8(WORST))


def _steady(ours: np.ndarray, theirs: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return whether every part of a match is worse at other shifts near by, (n,) bool.

    Another take, however alike, runs a little ahead here and behind there; a copy never does.
    """
    both, unequal = _compare(ours, theirs, shift)
    rank = np.cumsum(both, axis=1) - both
    part = rank * PARTS // np.count_nonzero(both, axis=1, keepdims=True)
    steady = np.ones(len(ours), bool)
    for drift in DRIFTS:
        _, other = _compare(ours, theirs, shift + drift)
        loss = other - unequal.astype(np.float32)
        for k in range(PARTS):
            mask = both & (part == k)
            lost = np.sum(loss, axis=1, where=mask)
            steady &= lost >= WORSE * WORST * np.count_nonzero(mask, axis=1)
    return steady
