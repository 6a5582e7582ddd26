"""The stages with `sundharam-bilstm` and `sundharam-transformer`, on files of half a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_store import make

SMALL = {
    "sundharam-bilstm": ["hidden=3"],
    "sundharam-transformer": ["layers=1", "dense=5"],
}


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", SMALL)
def test_the_stages(name: str, cli: Callable[..., Any], sounds: Path, tmp_path: Path) -> None:
    """MFCC every 4 ms of half a second; each file alone gives what it gives in `eval`."""
    store, net = tmp_path / "s.h5", tmp_path / "m.ckpt"
    features = ["--kind", "mfcc", "--set", "n_mfcc=13", "--set", "hop_length=60"]
    assert cli("featurize", sounds, store, *features).code == 0
    small = [word for text in SMALL[name] for word in ("--set", text)]
    done = cli("train", store, net, "--model", name, *small, "--epochs", 1, "--test-fold", "none")
    assert done.code == 0, done.err
    tested = cli("eval", net, store, "--all", "--json", "-")
    assert tested.code == 0, tested.err
    heard = cli("predict", net, sounds, "--vad", "off")
    assert heard.code == 0, heard.err
    expected = {item["id"].split("/")[-1]: item for item in json.loads(tested.out)["items"]}
    assert len(expected) == 12
    for row in rows(heard.out):
        posterior = expected[Path(row["path"]).stem]["posterior"]
        assert row["posterior"] == pytest.approx(posterior, abs=1e-6)
    file = min(sounds.rglob("*.wav"))
    drawn = cli("predict", net, file, "--vad", "off", "--explain", tmp_path / "why")
    assert drawn.code == 0, drawn.err


def test_items_of_several_lengths_need_a_crop_or_a_mask(
    cli: Callable[..., Any], tmp_path: Path
) -> None:
    store = make(tmp_path / "s.h5", frames=140, dims=13, ragged=True)
    words = ("train", store, tmp_path / "m.ckpt", "--epochs", 1, "--test-fold", 0)
    refused = cli(*words, "--model", "sundharam-bilstm")
    assert refused.code == 3
    assert "featurize with --duration S --fit both, or --set mask=true" in refused.err
    assert cli(*words, "--model", "sundharam-bilstm", "--set", "mask=true").code == 0
    other = cli(*words, "--force", "--model", "sundharam-cnn")
    assert other.err.endswith("--duration S --fit both\n")
    masked = (*words, "--force", "--model", "sundharam-bilstm", "--set", "mask=true")
    for statistic in ("cell", "mean-image"):  # of each cell, so that lengths must not differ
        refused = cli(*masked, "--normalisation", statistic)
        assert refused.code == 3
        assert "needs items of one length" in refused.err
