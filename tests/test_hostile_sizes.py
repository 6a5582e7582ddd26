"""What files ask for is worked out before it is taken: memory has a limit, said with how to raise
it."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peaks
import pytest
import soundfile
from made_stores import write_store

from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.formats import checkpoint

MOST = 900  # MB of memory that a refusal may take, torch's own 250 among them
SPACE = 5 << 30  # bytes of addresses: most of these are libraries'


def peak(*words: object, **environment: str) -> tuple[int, str, float]:
    """Return the exit code, standard error and peak memory (MB) of a sertool command."""
    return peaks.peak(sys.executable, "-m", "sertool", *words, space=SPACE, **environment)


def refused(*words: object, code: int = 3) -> str:
    found, said, most = peak(*words)
    assert found == code, said
    assert said.count("\n") == 1 or words[0] == "prepare", said  # which names its corpus, too
    assert "the limit is 1 GB; SERTOOL_MEMORY=" in said
    assert most < MOST
    return said


@pytest.fixture
def desk(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for label in ("angry", "sad"):
        Path("d", label).mkdir(parents=True)
        for i in range(4):
            soundfile.write(f"d/{label}/{label}{i}.wav", 0.1 * draw.normal(size=16000), 16000)
    assert cli("featurize", "-q", "--kind", "mel", "d", "f.h5").code == 0
    return tmp_path


def settings(**given: Any) -> Callable[[dict[str, Any]], None]:
    return lambda meta: meta["pipeline"][-1]["settings"].update(given)


def stage(**given: Any) -> Callable[[dict[str, Any]], None]:
    return lambda meta: meta["pipeline"][-1].update(given)


FORGED = {
    "n_fft": settings(n_fft=1 << 26),
    "n_mels": settings(n_mels=10**6),
    "both": settings(n_mels=10**5, n_fft=1 << 16),
    "dims": lambda meta: meta.update(dims=[2**31 - 1]),
    "duration": stage(duration=1e9),
    "segment": stage(segment=1e9, segment_tail="pad"),
}


def forge(model: str, change: Callable[[dict[str, Any]], None]) -> None:
    found = checkpoint.load(Path(model))
    change(found.meta)
    checkpoint.save(found, Path("forged.ckpt"))


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_checkpoint(desk: Path, cli: Any, what: str) -> None:
    assert cli("train", "-q", "f.h5", "m.ckpt", "--resplit", "random:50:50").code == 0
    forge("m.ckpt", FORGED[what])
    line = ("predict", "-q", "--vad", "off", "--format", "csv", "forged.ckpt", "d/sad/sad0.wav")
    if what in ("duration", "segment"):  # of each recording
        code, _, most = peak(*line)
        assert code == 1
        assert most < MOST
    else:
        assert "forged.ckpt: " in refused(*line)


def test_a_forged_network(desk: Path, cli: Any) -> None:
    line = ("train", "-q", "f.h5", "m.ckpt", "--model", "sertool", "--epochs", "1")
    assert cli(*line, "--resplit", "random:50:50").code == 0
    forge("m.ckpt", lambda meta: meta["model"].update(frames=2**31 - 1))
    assert "forged.ckpt: " in refused("eval", "-q", "forged.ckpt", "f.h5")


def test_the_limit_may_be_raised(desk: Path) -> None:
    line = ("featurize", "-q", "d", "x.h5", "--set", "n_mels=20000")
    assert "n_mels=20000 with n_fft=2048 takes 0.492 GB" in peak(*line, SERTOOL_MEMORY="0.4")[1]
    assert peak(*line, SERTOOL_MEMORY="0.5")[0] == 0
    assert refused(*line[:-1], "n_fft=67108864", code=2)


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_a_limit_is_a_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERTOOL_MEMORY", text)
    with pytest.raises(InputError, match="needs a number of gigabytes above 0"):
        afford(1, "a byte")


def test_what_is_within_the_limit() -> None:
    afford(1e9, "all of it")
    with pytest.raises(TooMuch, match="a bit more takes 1 GB of memory"):
        afford(1e9 + 1, "a bit more")


def test_a_manifest_that_unpacks_to_far_more(desk: Path) -> None:
    row = b'{"id": "x", "sources": [], "duration": 1.0}\n'
    with gzip.open("a_recordings_all.jsonl.gz", "wb", 1) as file:
        file.write(row)
        for _ in range(1010):
            file.write(b" " * 999_999 + b"\n")
    said = refused("prepare", "a_recordings_all.jsonl.gz", "m.jsonl")
    assert "a_recordings_all.jsonl.gz: what is read of it takes" in said
    with gzip.open("b_recordings_all.jsonl.gz", "wb", 1) as file:
        file.write(row[:-2] + b', "more": "')
        for _ in range(1500):
            file.write(b" " * 1_000_000)
    code, _, most = peak("prepare", "b_recordings_all.jsonl.gz", "m.jsonl")
    assert code == 3
    assert most < MOST


def test_two_thousand_classes(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": f"class{i % 2000:04d}"}
        | {"speaker": f"s{i % 10}", "fold": i // 2000}
        for i in range(4000)
    ]
    write_store(Path("f.h5"), [np.full((1, 2), i % 2000, np.float32) for i in range(4000)], rows)
    line = ("train", "-q", "f.h5", "m.ckpt", "--test-fold", "0", "--no-baselines", "--model")
    assert "svm: 1999000 pairs of classes by 2000 rows takes" in refused(*line, "svm")
    assert cli(*line, "majority").code == 0
    assert "counts of 2000 classes, of each of 10 speakers," in refused(
        "eval", "-q", "m.ckpt", "f.h5"
    )


def test_a_table_of_a_hundred_thousand_columns(desk: Path, cli: Any) -> None:
    names = [f"c{i}" for i in range(100_000)]
    rows = [["path", "label", *names]]
    rows += [[f"d/sad/sad{i}.wav", "sad", *("x" for _ in names)] for i in range(3)]
    Path("wide.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    found = cli("prepare", "wide.csv", "wide.jsonl")
    assert found.code == 3
    assert "d/sad/sad0.wav: its further fields" in found.err.splitlines()[-1]
    assert "the limit is 1048576: leave columns of the table out" in found.err
    assert not Path("wide.jsonl").exists()
    rows = [row[:10_000] for row in rows]
    Path("wide.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    assert cli("prepare", "wide.csv", "wide.jsonl").code == 0
    assert cli("info", "wide.jsonl").code == 0
