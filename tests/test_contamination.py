"""Encoders that were trained on what a model is tested on: the list, the fact, and the line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_reports import report, speech, write
from made_stores import write_store
from small_store import items
from test_layer_choice import features

from sertool.corpora import CORPORA
from sertool.evaluation import contamination
from sertool.evaluation.contamination import Named
from sertool.evaluation.report import EncoderUsed, read

ELSEWHERE = {  # corpora that sertool has no name for
    *("ased", "asvp-esd", "emozionalmente", "m3ed", "mead", "mer2023", "msp-podcast", "pavoque"),
    *("turev-db", "cmu-mosei", "librispeech", "libri-light", "common-voice", "switchboard"),
    *("fisher", "gigaspeech", "voxpopuli", "babel", "mls", "voxlingua107"),
}
NOTHING = "0" * 64


@pytest.mark.parametrize(
    ("name", "corpus", "clean"),
    [
        ("iic/emotion2vec_plus_large", "ravdess", False),
        ("emotion2vec_plus_base", "EmoDB", False),
        ("emotion2vec_plus_base", "nemo", True),
        ("emotion2vec_base", "ravdess", True),
        ("superb/hubert-large-superb-er", "iemocap", False),
        ("audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim", "MSP-Podcast", False),
        ("ehcalabres/wav2vec2-lg-xlsr-en-speech-emotion-recognition", "ravdess", False),
        ("facebook/wav2vec2-xls-r-300m", "ravdess", True),
        ("microsoft/wavlm-large", None, None),
        ("openai/whisper-large-v3", "ravdess", None),
        ("my-own", "ravdess", None),
    ],
)
def test_what_is_known(name: str, corpus: str | None, clean: bool | None) -> None:
    found = contamination.used(Named(name, NOTHING), [corpus])
    assert found.clean is clean
    assert found.corpora == ([corpus] if clean is False else [])


def test_the_weights_tell_whatever_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = contamination.Entry(["x"], ["ravdess"], "test", sha256=["a" * 64])
    monkeypatch.setattr(contamination, "table", lambda: contamination.Table([entry]))
    assert contamination.trained_on(Named("renamed", "a" * 64)) == ["ravdess"]
    assert contamination.trained_on(Named("renamed", "b" * 64)) is None


def test_every_entry_has_its_source() -> None:
    for entry in contamination.table().encoder:
        assert re.search(r"https://|et al\. \d{4}", entry.source), entry
        assert set(entry.corpora) <= {*CORPORA, *ELSEWHERE}, entry
        assert entry.corpora


def test_folds_together() -> None:
    one = EncoderUsed(name="e", clean=True, corpora=[])
    other = EncoderUsed(name="e", clean=False, corpora=["ravdess"])
    assert contamination.together([[one], [other]]) == [other]
    unknown = EncoderUsed(name="e", clean=None, corpora=[])
    assert contamination.together([[one], [unknown]]) == [unknown]
    assert contamination.together([[], []]) == []


@pytest.fixture
def trained(tmp_path: Path, cli: Callable[..., Any]) -> Callable[[str], tuple[Path, Path]]:
    def make(encoder: str) -> tuple[Path, Path]:
        rows = [row.replace(corpus="ravdess") for row in items(copies=0)]
        settings = {"model": encoder, "sha256": NOTHING}
        write_store(
            tmp_path / "s.h5", features(rows), rows, kind="ssl", settings=settings, frame_rate=0
        )
        given = ("--set", "layer=2", "--test-fold", "0", "--no-baselines", "--force")
        assert cli("train", tmp_path / "s.h5", tmp_path / "m.ckpt", *given).code == 0
        return tmp_path / "m.ckpt", tmp_path / "s.h5"

    return make


@pytest.mark.parametrize(
    ("encoder", "line", "why"),
    [
        ("emotion2vec_plus_seed", "CONTAMINATED: trained on ravdess", "was trained on ravdess"),
        ("wavlm-large", "encoder wavlm-large: not trained on these", None),
        ("my-own", "encoder my-own: training data unknown", "was trained on what nobody knows"),
    ],
)
def test_eval_says_so(
    cli: Callable[..., Any],
    trained: Callable[[str], tuple[Path, Path]],
    tmp_path: Path,
    encoder: str,
    line: str,
    why: str | None,
) -> None:
    paths = trained(encoder)
    result = cli("eval", *paths, "--json", tmp_path / "r.json")
    assert result.code == 0, result.err
    assert line in " ".join(result.out.split())
    (used,) = read(tmp_path / "r.json").protocol.encoders
    assert used.clean is {None: True, "was trained on ravdess": False}.get(why)
    result = cli("eval", *paths, "--require", "speaker-disjoint,encoder-clean")
    assert result.code == (0 if why is None else 3)
    assert why is None or why in result.err


def test_report_repeats_it(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Pooled over folds, where one is enough, and beside another system or a baseline."""
    made, names = speech(), {"emotion2vec": [True, False], "wavlm-large": [True, True]}
    every: dict[str, list[Path]] = {}
    for encoder, folds in names.items():
        for fold, clean in enumerate(folds):
            given = made.only(np.arange(len(made.truth)) // 80 == fold)
            raw = report(given, {"features": encoder}, fold=fold)
            corpora = [] if clean else ["ravdess"]
            raw["protocol"]["encoders"] = [
                {"name": encoder, "clean": clean, "corpora": corpora}
            ]  # fmt: skip
            every.setdefault(encoder, []).append(write(tmp_path / f"{encoder}.{fold}.json", raw))
    bad, good = every.values()
    told = "encoder emotion2vec CONTAMINATED: trained on ravdess"
    clean = "encoder wavlm-large: not trained on these"
    page = " ".join(cli("report", *bad, *good, "--format", "markdown").out.split())
    assert page.count(told) == 2  # beside its figures, and in how it was tested
    assert clean in page
    assert "CONTAMINATED" not in cli("report", *good).out
    study = json.loads(cli("report", *bad, "--format", "json").out)
    (used,) = study["systems"][0]["protocols"][""]["protocol"]["encoders"]
    assert used == {"name": "emotion2vec", "clean": False, "corpora": ["ravdess"]}
    for paths in ([*bad, *good], bad):
        page = " ".join(cli("report", "--compare", *paths, "--format", "markdown").out.split())
        assert page.count(told) == 1
        pair = json.loads(cli("report", "--compare", *paths, "--format", "json").out)["pairs"][0]
        assert pair["encoders"][0] == [used]
    assert clean in " ".join(cli("report", "--compare", *bad, *good).out.split())
