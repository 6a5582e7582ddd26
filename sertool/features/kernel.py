"""Power in bands of windowed frames in float32: one kernel, compiled by LLVM when first used.

Window, transform, power and bands of eight frames at a time stay in the fastest cache, one frame in
each element of a vector, and take a quarter of the time of the same steps by SciPy and BLAS, whose
passes go through memory. llvmlite comes with librosa (by way of numba, which would take a second
to compile as much); it is loaded, and the kernel compiled, in less time than SciPy is imported.

For transforms whose length is a power of two; `frames.powers` does the others. The real transform
of n samples is a complex one of n / 2, even samples its real and odd ones its imaginary parts, by
steps of radix 4 in place (decimation in frequency; Press et al., Numerical Recipes, sections 12.2
and 12.3). Its values lie in the order of their reversed digits, and are read through tables.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.audio.waveform import FULL_SCALE
from sertool.features.frames import BLOCK, Framing, frame_count, scratch, stretch, window

LANES = 8  # frames at a time: what they take, 64 bytes a sample of a frame, is 32 kB for 1024
SHORTEST, LONGEST = 32, 16384  # transforms: beyond, no cache holds the frames
FOURFOLD = 4  # times the power is what the kernel weighs: so it needs no halves
ABREAST = 4  # bins of a band that are summed side by side: a sum waits for the one before it

_COUNT, _ADDRESS = ctypes.c_int64, ctypes.c_void_p
_ARGUMENTS = {
    "signal": _ADDRESS,  # float32, from the first sample of the first frame on
    "hop": _COUNT,
    "groups": _COUNT,  # of LANES frames
    "window": _ADDRESS,  # (n_fft,) float32
    "twiddles": _ADDRESS,
    "turns": _ADDRESS,
    "pairs": _ADDRESS,
    "ends": _ADDRESS,
    "places": _ADDRESS,
    "weights": _ADDRESS,
    "bands": _COUNT,
    "sums": _ADDRESS,  # (frames, bands) float32: the result
    "energies": _ADDRESS,  # (frames,) float32: of the windowed frames
    "work": _ADDRESS,  # room for (n_fft + 1) * LANES float32
}


def serves(framing: Framing, exponent: float) -> bool:
    """Return whether the kernel computes such frames: depends on nothing but their settings."""
    n_fft = framing.n_fft
    return (
        framing.precision == "float32"
        and exponent == 2.0
        and SHORTEST <= n_fft <= LONGEST
        and n_fft & (n_fft - 1) == 0
    )


@dataclass(frozen=True)
class Bands:
    """What the bands are sums of: for band b, from ends[b] to ends[b + 1], places and weights.

    A place is where the power of a bin lies in the kernel's room; the number of a band's bins is
    filled up to a multiple of ABREAST, by weights of zero.
    """

    ends: np.ndarray
    places: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1


def weighted(weights: np.ndarray) -> Bands:
    """Return bands by their weights (bands, 1 + n_fft // 2) of the bins."""
    at = _bin_places(weights.shape[1] - 1)
    ends, places, values = [0], [], []
    for row in weights:
        bins = np.flatnonzero(row)
        spare = np.zeros(-len(bins) % ABREAST if len(bins) else ABREAST, np.intp)
        places += [at[bins], spare]
        values += [row[bins] / FOURFOLD, spare]
        ends.append(ends[-1] + len(bins) + len(spare))
    return Bands(
        np.array(ends, np.int64),
        np.concatenate(places).astype(np.int64),
        np.concatenate(values).astype(np.float32),
    )


@functools.lru_cache(maxsize=8)
def single(n_fft: int) -> Bands:
    """Return bands of one bin each, all 1 + n_fft // 2."""
    bins = 1 + n_fft // 2
    places, weights = np.zeros((bins, ABREAST), np.int64), np.zeros((bins, ABREAST), np.float32)
    places[:, 0], weights[:, 0] = _bin_places(bins - 1), 1 / FOURFOLD
    return Bands(np.arange(bins + 1) * ABREAST, places.reshape(-1), weights.reshape(-1))


def band_powers(
    samples: np.ndarray, framing: Framing, bands: Bands
) -> tuple[np.ndarray, np.ndarray]:
    """Return (power in the bands (frames, bands) float32, energies (frames,) float32).

    `samples` (n,) and the energies are as in `frames.spectra`.
    """
    total = frame_count(len(samples), framing)
    n_fft, hop = framing.n_fft, framing.hop_length
    shape = window(framing.window, framing.win_length or n_fft, n_fft)
    if samples.dtype == np.int16:
        shape = shape / FULL_SCALE
    shape = shape.astype(np.float32)
    whole = -(-total // LANES) * LANES
    sums = np.empty((whole, len(bands)), np.float32)
    energies = np.empty(whole, np.float32)
    run, tables = _kernel(n_fft // 2)
    room = scratch("kernel", ((n_fft + 1) * LANES + 16,), np.dtype(np.float32))
    room = room[-room.ctypes.data // 4 % 16 :]  # from the beginning of a line of the cache
    fixed = [*tables, bands.ends, bands.places, bands.weights]
    addresses = [array.ctypes.data for array in fixed]
    block = max(LANES, BLOCK // max(n_fft, hop) // LANES * LANES)
    for first in range(0, whole, block):
        rows = slice(first, min(first + block, whole))
        signal = stretch(samples, framing, rows)
        groups = (rows.stop - rows.start) // LANES
        results = [array.ctypes.data for array in (sums[rows], energies[rows], room)]
        run(signal.ctypes.data, hop, groups, shape.ctypes.data, *addresses, len(bands), *results)
    return sums[:total], energies[:total]


# --- the tables ---


def _order(length: int) -> list[int]:
    """Return which value of a transform lies at each place, after steps of radix 4 and a last 2."""
    if length < 4:
        return list(range(length))
    return [4 * k + r for r in range(4) for k in _order(length // 4)]


@functools.lru_cache(maxsize=8)
def _place(half: int) -> np.ndarray:
    """Return where each value of a complex transform of length `half` lies (half,)."""
    return np.argsort(_order(half))


def _bin_places(half: int) -> np.ndarray:
    """Return where the power of each bin lies (half + 1,): the last at the first imaginary part."""
    return np.append(_place(half), half).astype(np.int64) * LANES


def _tables(half: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (twiddles of the steps, turns and places of the pairs of bins k and half - k)."""
    steps, length = [np.zeros(0)], half
    while length > 4:
        steps.append(np.outer(np.arange(length // 4), [1, 2, 3]).reshape(-1) / length)
        length //= 4
    k = np.arange(half // 2 + 1)
    at = _place(half)
    pairs = np.stack([at[k], at[(half - k) % half]], axis=-1).astype(np.int64) * LANES
    return _circle(np.concatenate(steps)), _circle(k / (2 * half)), pairs


def _circle(turns: np.ndarray) -> np.ndarray:
    """Return (n, 2) float32: real and imaginary parts of exp(-2 pi i turns)."""
    points = np.exp(-2j * np.pi * turns)
    return np.stack([points.real, points.imag], axis=-1).astype(np.float32)


# --- the kernel ---


@functools.lru_cache(maxsize=8)
def _kernel(half: int) -> tuple[Any, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (the compiled kernel for transforms of 2 * half samples, its tables)."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    module = binding.parse_assembly(_source(half))
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
    )
    options = binding.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False  # it is of vectors already
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    run = ctypes.CFUNCTYPE(None, *_ARGUMENTS.values())(engine.get_function_address("kernel"))
    run.engine = engine  # type: ignore[attr-defined]  # to live as long
    return run, _tables(half)


def _source(half: int) -> str:
    """Return the kernel for transforms of 2 * half samples, as LLVM's text."""
    code = _Code()
    with code.loop(0, code.argument["groups"]) as group:
        first = group.index * LANES
        _load(code, half, code.at("signal", first * code.argument["hop"]), first)
        _transform(code, half)
        _power(code, half)
        _bands(code, half, first)
    return code.end()


def _load(code: _Code, half: int, signal: Any, frame: _Value) -> None:
    """Window LANES frames and turn them, so that each vector holds one sample of all."""
    with code.loop(0, 2 * half, LANES, [code.zeros]) as loop:
        shape = code.vector("window", loop.index)
        hop = code.argument["hop"]
        rows = [code.vector(signal, loop.index + hop * lane) * shape for lane in range(LANES)]
        energy = loop.carried[0]
        for lane, samples in enumerate(code.transposed(rows)):
            energy = energy + samples * samples
            place = loop.index * (LANES // 2) + lane // 2 * LANES
            code.put(samples, code.part(lane % 2, half), place)
        loop.following = [energy]
    code.put(energy, "energies", frame)


def _transform(code: _Code, half: int) -> None:
    """Transform `half` complex vectors in place."""
    length, done = half, 0
    while length >= 4:
        quarter = length // 4
        with code.loop(0, quarter) as step:
            turns = []
            if length > 4:
                at = step.index * 6 + done
                turns = [code.everywhere("twiddles", at + i) for i in range(6)]
            with code.loop(step.index * LANES, half * LANES, length * LANES) as block:
                places = [block.index + i * quarter * LANES for i in range(4)]
                a, b, c, d = (code.complex(place, half) for place in places)
                even, odd = (a[0] + c[0], a[1] + c[1]), (a[0] - c[0], a[1] - c[1])
                other, turned = (b[0] + d[0], b[1] + d[1]), (b[1] - d[1], d[0] - b[0])
                found = [
                    (even[0] + other[0], even[1] + other[1]),
                    (odd[0] + turned[0], odd[1] + turned[1]),
                    (even[0] - other[0], even[1] - other[1]),
                    (odd[0] - turned[0], odd[1] - turned[1]),
                ]
                for i, value in enumerate(found):
                    if turns and i:
                        value = _times(value, turns[2 * i - 2], turns[2 * i - 1])
                    for k in range(2):
                        code.put(value[k], code.part(k, half), places[i])
        done += 6 * quarter if length > 4 else 0
        length = quarter
    if length == 2:
        with code.loop(0, half * LANES, 2 * LANES) as block:
            a, b = code.complex(block.index, half), code.complex(block.index + LANES, half)
            for k in range(2):
                code.put(a[k] + b[k], code.part(k, half), block.index)
                code.put(a[k] - b[k], code.part(k, half), block.index + LANES)


def _times(value: tuple[_Value, _Value], real: _Value, imag: _Value) -> tuple[_Value, _Value]:
    return value[0] * real - value[1] * imag, value[0] * imag + value[1] * real


def _power(code: _Code, half: int) -> None:
    """Put the power, FOURFOLD, of each bin of the real transform where its complex value was.

    Bin k is E + w O and bin half - k the conjugate of E - w O, E and O the transforms of the even
    and of the odd samples: half of a + b* and of (a - b*) / i, a and b the values k and half - k.
    """
    real, imag = code.complex(0, half)
    first, last = real + imag, real - imag
    first, last = first + first, last + last
    code.put(first * first, code.part(0, half), 0)
    code.put(last * last, code.part(1, half), 0)
    with code.loop(1, half // 2 + 1) as pair:
        places = [code.whole("pairs", pair.index * 2 + k) for k in range(2)]
        turn = [code.everywhere("turns", pair.index * 2 + k) for k in range(2)]
        a, b = (code.complex(place, half) for place in places)
        even = (a[0] + b[0], a[1] - b[1])
        odd = _times((a[1] + b[1], b[0] - a[0]), turn[0], turn[1])
        upper = (even[0] + odd[0], even[1] + odd[1])
        lower = (even[0] - odd[0], even[1] - odd[1])
        for place, value in zip(places, (upper, lower), strict=True):
            code.put(value[0] * value[0] + value[1] * value[1], code.part(0, half), place)


def _bands(code: _Code, half: int, frame: _Value) -> None:
    """Sum the bins of each band, and turn the sums back: one row a frame."""
    with code.loop(0, code.argument["bands"]) as band:
        begin, end = (code.whole("ends", band.index + k) for k in range(2))
        with code.loop(begin, end, ABREAST, [code.zeros] * ABREAST) as loop:
            for k, total in enumerate(loop.carried):
                power = code.vector(code.part(0, half), code.whole("places", loop.index + k))
                weight = code.everywhere("weights", loop.index + k)
                loop.following.append(total + power * weight)
        a, b, c, d = loop.following
        row = frame * code.argument["bands"] + band.index
        code.scatter((a + b) + (c + d), "sums", row, code.argument["bands"])


# --- arithmetic as LLVM's instructions ---


class _Value:
    """A number or a vector of the kernel: arithmetic on it is an instruction."""

    def __init__(self, code: _Code, value: Any) -> None:
        self.code, self.value = code, value
        self.whole = value.type == code.integer

    def _with(self, other: _Value | int, name: str) -> _Value:
        right = self.code.number(other) if isinstance(other, int) else other
        if self.whole:
            return _Value(self.code, getattr(self.code.builder, name)(self.value, right.value))
        build = getattr(self.code.builder, f"f{name}")
        return _Value(self.code, build(self.value, right.value, flags=("contract",)))

    def __add__(self, other: _Value | int) -> _Value:
        return self._with(other, "add")

    def __sub__(self, other: _Value | int) -> _Value:
        return self._with(other, "sub")

    def __mul__(self, other: _Value | int) -> _Value:
        return self._with(other, "mul")


@dataclass
class _Loop:
    """A loop that is being written: what it counts by, and values that pass from turn to turn."""

    index: _Value
    carried: list[_Value]
    following: list[_Value]  # of the next turn


class _Code:
    """The kernel while it is written: loops, and what is read from and written to memory.

    A place is a name of an argument, or an address; positions count in numbers of 32 bits.
    """

    def __init__(self) -> None:
        from llvmlite import ir

        self.ir = ir
        self.integer, self.real, address = ir.IntType(64), ir.FloatType(), ir.PointerType()
        self.lanes = ir.VectorType(self.real, LANES)
        self.module = ir.Module("sertool")
        types = [self.integer if kind is _COUNT else address for kind in _ARGUMENTS.values()]
        kind = ir.FunctionType(ir.VoidType(), types)
        function = ir.Function(self.module, kind, "kernel")
        self.builder = ir.IRBuilder(function.append_basic_block())
        self.addresses = dict(zip(_ARGUMENTS, function.args, strict=True))
        counts = [name for name, one in _ARGUMENTS.items() if one is _COUNT]
        self.argument = {name: _Value(self, self.addresses[name]) for name in counts}
        self.zeros = _Value(self, ir.Constant(self.lanes, [0.0] * LANES))

    def end(self) -> str:
        """Return the whole as LLVM's text."""
        self.builder.ret_void()
        return str(self.module)

    def number(self, value: int) -> _Value:
        """Return a whole number."""
        return _Value(self, self.ir.Constant(self.integer, value))

    @contextlib.contextmanager
    def loop(
        self, start: _Value | int, stop: _Value | int, step: int = 1,
        carried: Sequence[_Value] = (),
    ) -> Iterator[_Loop]:  # fmt: skip
        """Repeat what is written inside while the index is below `stop`, at least once."""
        start, stop = (self.number(n) if isinstance(n, int) else n for n in (start, stop))
        build, before = self.builder, self.builder.block
        body = build.append_basic_block()
        build.branch(body)
        build.position_at_end(body)
        slots = [build.phi(value.value.type) for value in (start, *carried)]
        values = [_Value(self, slot) for slot in slots]
        loop = _Loop(values[0], values[1:], [])
        yield loop
        following = [loop.index + step, *loop.following]
        for slot, first, value in zip(slots, (start, *carried), following, strict=True):
            slot.add_incoming(first.value, before)
            slot.add_incoming(value.value, build.block)
        after = build.append_basic_block()
        build.cbranch(build.icmp_signed("<", following[0].value, stop.value), body, after)
        build.position_at_end(after)

    def at(self, place: Any, position: _Value | int, kind: Any = None) -> Any:
        """Return the address of a position in a place."""
        index = self.number(position) if isinstance(position, int) else position
        start = self.addresses[place] if isinstance(place, str) else place
        return self.builder.gep(start, [index.value], source_etype=kind or self.real)

    def part(self, k: int, half: int) -> Any:
        """Return where the real (0) or the imaginary (1) parts of the vectors lie."""
        return self.at("work", k * half * LANES)

    def vector(self, place: Any, position: _Value | int) -> _Value:
        """Return the vector there."""
        address = self.at(place, position)
        return _Value(self, self.builder.load(address, typ=self.lanes, align=4))

    def complex(self, position: _Value | int, half: int) -> tuple[_Value, _Value]:
        """Return the real and the imaginary part of a value of the transform."""
        return self.vector(self.part(0, half), position), self.vector(self.part(1, half), position)

    def whole(self, place: str, position: _Value) -> _Value:
        """Return a whole number of a table of int64."""
        address = self.at(place, position, self.integer)
        return _Value(self, self.builder.load(address, typ=self.integer, align=8))

    def everywhere(self, place: str, position: _Value) -> _Value:
        """Return a number of a table of float32 in every element of a vector."""
        one = self.builder.load(self.at(place, position), typ=self.real, align=4)
        none = self.ir.Constant(self.lanes, self.ir.Undefined)
        filled = self.builder.insert_element(none, one, self.ir.Constant(self.ir.IntType(32), 0))
        return _Value(self, self._shuffle(filled, none, [0] * LANES))

    def put(self, value: _Value, place: Any, position: _Value | int) -> None:
        """Write a vector."""
        self.builder.store(value.value, self.at(place, position), align=4)

    def scatter(self, value: _Value, place: str, position: _Value, stride: _Value) -> None:
        """Write the elements of a vector, `stride` apart."""
        for lane in range(LANES):
            one = self.builder.extract_element(
                value.value, self.ir.Constant(self.ir.IntType(32), lane)
            )
            self.builder.store(one, self.at(place, position + stride * lane), align=4)

    def transposed(self, rows: Sequence[_Value]) -> list[_Value]:
        """Return LANES vectors whose k-th holds the k-th elements of `rows`.

        Halves are exchanged between rows that lie half apart, then quarters, then eighths.
        """
        found, apart = [row.value for row in rows], LANES // 2
        while apart:
            keep = [i if not i & apart else i - apart + LANES for i in range(LANES)]
            rest = [i + apart if not i & apart else i + LANES for i in range(LANES)]
            for i in (i for i in range(LANES) if not i & apart):
                upper, lower = found[i], found[i + apart]
                found[i] = self._shuffle(upper, lower, keep)
                found[i + apart] = self._shuffle(upper, lower, rest)
            apart //= 2
        return [_Value(self, value) for value in found]

    def _shuffle(self, left: Any, right: Any, places: list[int]) -> Any:
        kind = self.ir.VectorType(self.ir.IntType(32), LANES)
        return self.builder.shuffle_vector(left, right, self.ir.Constant(kind, places))
