"""Kind `ssl` where transformers is not installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sertool.formats import checkpoint


def test_without_the_package(
    cli: Callable[..., Any], sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTOOL_ENCODERS", "")
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder = tmp_path / "encoder"
    folder.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps({"model_type": "wav2vec2"}))
    checkpoint.save_weights({"a": torch.zeros(2)}, folder / "model.safetensors")
    given = ("--kind", "ssl", "--set", f"model={folder}")
    result = cli("featurize", *given, sounds, tmp_path / "x.h5")
    assert result.code == 2
    assert "pip install 'sertool[ssl]'" in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "x.h5").exists()
    wave = tmp_path / "wave.h5"
    assert cli("featurize", "--kind", "wave", sounds, wave).code == 0
    given = ("--model", "finetune", "--init", f"ssl:{folder}", "--resplit", "random:80:20")
    result = cli("train", wave, tmp_path / "x.ckpt", *given)
    assert (result.code, "pip install 'sertool[ssl]'" in result.err) == (2, True)
