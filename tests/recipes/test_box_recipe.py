"""recipes/box.sh on the embedded voices, named as three corpora: every figure of the card."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from running import ROOT, few, run

from sertool.formats import checkpoint

EMODB = {"anger": "W", "happiness": "F", "neutral": "N", "sadness": "T"}
EMOVO = {"anger": "rab", "happiness": "gio", "neutral": "neu", "sadness": "tri"}
RAVDESS = {"anger": "05", "happiness": "03", "neutral": "01", "sadness": "04"}


def corpora(folder: Path) -> list[Path]:
    """Four of the twelve voices in each of three corpora, under names as theirs."""
    for path in few().glob("*/*.flac"):
        speaker, label, sentence, _ = path.stem.split("_")
        number, text = int(speaker[3:]) - 1, int(sentence[1:])
        k = number % 4
        if number < 4:
            name = f"emodb/{('03', '08', '09', '10')[k]}a0{text}{EMODB[label]}a.flac"
        elif number < 8:
            actor = ("f1", "f2", "m1", "m2")[k]
            name = f"emovo/{actor}/{EMOVO[label]}-{actor}-b{text}.flac"
        else:
            name = f"ravdess/Actor_0{k + 1}/03-01-{RAVDESS[label]}-01-0{text}-01-0{k + 1}.flac"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    return [folder / name for name in ("emodb", "ravdess", "emovo")]


def test_box(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with_onnx = find_spec("onnx") is not None
    more = {"FOLDS": "2", "ONNX": str(int(with_onnx))}
    done = run("box", *corpora(tmp_path), out, **more)
    assert done.returncode == 0, done.stderr
    reports = {path.stem: json.loads(path.read_text()) for path in (out / "results").iterdir()}
    assert set(reports) == {"known", "crossed", "unseen", "speakers", "corpora"}
    assert all(one["protocol"]["speaker_disjoint"] for one in reports.values())
    tested = {name: set(one["by"]["corpus"]) for name, one in reports.items()}
    assert tested["known"] == tested["crossed"] == {"emodb", "ravdess"}
    assert tested["unseen"] == {"emovo"}
    assert tested["corpora"] == {"emodb", "emovo", "ravdess"}
    model = checkpoint.load(out / "box.ckpt")
    assert len(model.items) == 2 * len(reports["corpora"]["items"])  # with a copy of each
    assert sum(item.augmentation != "" for item in model.items) == len(model.items) // 2
    assert model.header.calibration is not None
    assert (out / "box.onnx").exists() == with_onnx
    told = card(out)
    assert f"| all | {100 * reports['speakers']['uar']:.1f} [" in told
    by_telephone = reports["corpora"]["stress"]["conditions"]["telephone"]
    assert f"by a model of the others | {100 * by_telephone['value']:.1f} [" in told
    assert f"({model.header.calibration.temperature:.2f}) is fitted" in told
    assert f"`logistic@{model.identity[:12]}`" in told
    assert "openSMILE" not in told
    for test in ("unseen", "corpora"):  # as if openSMILE's were the same
        shutil.copy(out / "results" / f"{test}.json", out / "results" / f"opensmile-{test}.json")
    told = card(out)
    assert told.count("(ours less theirs: 0.0 [0.0, 0.0])") == 1  # four speakers are too few
    assert f"had\n{100 * reports['unseen']['uar']:.1f} on EMOVO" in told


def card(out: Path) -> str:
    words = [sys.executable, "recipes/box.py", out, out / "results"]
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout
