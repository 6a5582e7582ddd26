"""What inputs are made from and lie beside: small files of every format, made by sertool itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sertool.cli import main
from sertool.formats.outputs import Parts

RATE = 8000
SMALL = ("f", "n", "w", "gzip", "lzf", "checked", "one", "new")
LABELS = ("anger", "happiness", "sadness")


def build(desk: Path) -> None:
    """Fill an empty folder."""
    _sounds(desk / "c")
    made = [
        ("prepare", "c", "m.jsonl", "--split", "kfold:2"),
        ("featurize", "--kind", "mfcc", "m.jsonl", "f.h5"),
        ("featurize", "--kind", "wave", "m.jsonl", "w.h5"),
        ("featurize", "--kind", "mel", "--set", "n_mels=8", "m.jsonl", "n.h5"),
        ("train", "f.h5", "m.ckpt", "--test-fold", "0"),
        ("train", "f.h5", "m1.ckpt", "--test-fold", "1"),
        ("train", "f.h5", "tiny.ckpt", "--test-fold", "0", "--no-baselines"),
        NETWORK.split(),
        ("export", "net.ckpt", "net.onnx"),
        ("eval", "m.ckpt", "m1.ckpt", "f.h5", "--json", "r.json"),
        ("eval", "m.ckpt", "f.h5", "--summary", "--tag", "fold=0", "--json", "s.json"),
        ("eval", "m1.ckpt", "f.h5", "--summary", "--tag", "fold=1", "--json", "s1.json"),
        ("report", "s.json", "s1.json", "--pack", "runs.jsonl"),
        ("push", "m.ckpt", "pushed", "--report", "r.json"),
        ("export", "m.ckpt", "m.onnx"),
        ("convert", "f.h5", "x.npz"),
        ("convert", "f.h5", "x.tar.d", "--to", "webdataset"),
        ("convert", "f.h5", "x.parquet"),
        ("prepare", "m.jsonl", "lhotse", "--to", "lhotse"),
        ("prepare", "m.jsonl", "aud.csv", "--to", "audformat"),
    ]  # fmt: skip
    for line in made:
        try:
            code = _run(desk, line)
        except Exception as error:
            print(f"fuzz: the desk is without {' '.join(line)}: {error!r}")
            continue
        if code:
            print(f"fuzz: the desk is without {' '.join(line)}: code {code}")
    _small(desk)
    _interrupted(desk)
    (desk / "whole").write_text("")


def _run(desk: Path, line: Sequence[str]) -> int:
    here = os.getcwd()
    os.chdir(desk)
    try:
        return main([line[0], "-q", *line[1:]])
    finally:
        os.chdir(here)


def _sounds(root: Path) -> None:
    import numpy as np
    import soundfile

    draw = np.random.default_rng(0)
    time = np.arange(RATE // 2) / RATE
    for i in range(6):
        folder = root / LABELS[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * (120 + 60 * (i % 3)) * time)
        wave += 0.02 * draw.standard_normal(len(time))
        soundfile.write(folder / f"s{i}.wav", wave, RATE, "PCM_16")
    formats = root.parent / "formats"
    formats.mkdir()
    both = np.stack([wave, wave[::-1]], 1)
    for suffix, kind, subtype, sound, rate in (
        ("wav", "WAV", "PCM_16", wave, RATE),
        ("2.wav", "WAV", "PCM_24", both, RATE),
        ("f.wav", "WAV", "FLOAT", wave, RATE),
        ("x.wav", "WAVEX", "PCM_16", both, RATE),
        ("u.wav", "WAV", "ULAW", wave, RATE),
        ("i.wav", "WAV", "IMA_ADPCM", wave, RATE),
        ("rf64", "RF64", "PCM_16", wave, RATE),
        ("w64", "W64", "PCM_16", wave, RATE),
        ("flac", "FLAC", "PCM_16", wave, RATE),
        ("2.flac", "FLAC", "PCM_24", both, RATE),
        ("mp3", "MP3", "MPEG_LAYER_III", wave, RATE),
        ("ogg", "OGG", "VORBIS", wave, RATE),
        ("opus", "OGG", "OPUS", wave, RATE),
        ("aiff", "AIFF", "PCM_16", wave, RATE),
        ("aifc", "AIFF", "ULAW", wave, RATE),
        ("au", "AU", "PCM_16", wave, RATE),
        ("caf", "CAF", "ALAC_16", wave, RATE),
        ("snd", "AU", "G721_32", wave, RATE),
        ("nist", "NIST", "PCM_16", wave, RATE),
    ):
        soundfile.write(formats / f"a.{suffix}", sound, rate, subtype, format=kind)


def _small(desk: Path) -> None:
    """Keep stores of the same content in many small chunks, packed in every way, and by newer
    versions of HDF5: a small file is changed and read sooner, and has an index worth changing."""
    import h5py

    (desk / "small").mkdir()
    for name, rows, more in (
        ("f", 8, {}), ("n", 16, {}), ("w", 4000, {}), ("gzip", 8, {"compression": "gzip"}),
        ("lzf", 8, {"compression": "lzf"}), ("checked", 8, {"fletcher32": True}),
        ("one", 0, {}), ("new", 8, {}),
    ):  # fmt: skip
        source = desk / f"{name if len(name) == 1 else 'f'}.h5"
        version = "latest" if name == "new" else "earliest"
        with (
            h5py.File(source) as old,
            h5py.File(desk / "small" / f"{name}.h5", "w", libver=version) as new,
        ):
            for key in ("offsets", "crc32", "items"):
                old.copy(key, new)
            data = old["features"]
            chunk = (rows, *data.shape[1:]) if rows else None
            made = new.create_dataset("features", data=data[()], chunks=chunk, **more)
            for before, after in ((old, new), (data, made)):
                for key, value in before.attrs.items():
                    after.attrs[key] = value


def _interrupted(desk: Path) -> None:
    """Keep the parts of runs, as they lie there before the output is whole, and these outputs."""
    whole = Parts.remove_all

    def kept(parts: Parts) -> None:
        target = desk / "parts" / f"{name}{parts.folder.name}"
        if not target.exists():
            shutil.copytree(parts.folder, target, ignore=shutil.ignore_patterns("lock"))
        whole(parts)

    Parts.remove_all = kept  # type: ignore[method-assign]
    try:
        for line in RESUMED.values():
            name = line[0]
            made = desk / "parts" / f"{name}.whole"
            made.mkdir(parents=True)
            _run(made, [word.replace("{desk}", str(desk)) for word in line[:-1]])
            (made / "LINE").write_text(" ".join(line))
    finally:
        Parts.remove_all = whole  # type: ignore[method-assign]


NET = "--set widths=[4,4,4] --set hidden=8 --set attention=4"
NETWORK = f"train n.h5 net.ckpt --model sertool --test-fold 0 --epochs 1 {NET}"
_RESUMED = (
    "featurize --kind mfcc {desk}/m.jsonl o.h5 --workers 1 --resume",
    "augment --awgn 9 {desk}/w.h5 o.h5 --workers 1 --resume",
    "prepare {desk}/m.jsonl o --to lhotse --resume",
    "predict {desk}/m.ckpt {desk}/c --output o.jsonl --format jsonl --resume",
    "train {desk}/n.h5 o.ckpt --model sertool {net} --test-fold 0 --epochs 2 --resume",
)
RESUMED = {line.split()[0]: line.replace("{net}", NET).split() for line in _RESUMED}


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their relative names."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[dict[str, object]]:
    """Return the values of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
