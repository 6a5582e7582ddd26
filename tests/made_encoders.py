"""Tiny pre-trained encoders with random weights, saved as their folders are published."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from sertool.models import encoders

HIDDEN, LAYERS, HEADS = 16, 3, 2
CONV = {
    "conv_dim": (16,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
SMALL = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 24,
    "hidden_dropout": 0.1,
    "layerdrop": 0.5,  # what only training may use
    "apply_spec_augment": True,
    "mask_time_prob": 0.5,
}
GROUP = ("Wav2Vec2", "Hubert", "WavLM")
LAYER = ("Wav2Vec2-layer", "Hubert-layer", "WavLM-layer")
OTHER = ("Data2VecAudio", "Wav2Vec2Conformer-layer", "Whisper")
NORMALISED = (
    "Wav2Vec2",
    "Wav2Vec2Conformer-layer",
    "Wav2Vec2-layer",
    "Hubert-layer",
    "WavLM-layer",
)


def transformers() -> Any:
    """Return the package, or skip the test: it is an extra."""
    pytest.importorskip("transformers", reason="an extra: pip install 'sertool[ssl]'")
    return encoders.need()


def _config(name: str) -> Any:
    package = transformers()
    family, _, kind = name.partition("-")
    more: dict[str, Any] = {**SMALL, **CONV}
    if family == "Data2VecAudio":
        more["conv_pos_kernel_size"] = 5
    elif kind == "layer":
        more |= {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    return getattr(package, f"{family}Config")(**more)


@functools.cache
def module(name: str, seed: int = 0) -> Any:
    """Return a network of random weights: "Wav2Vec2", "WavLM-layer", "Whisper", …"""
    import torch

    package = transformers()
    torch.manual_seed(seed)
    if name == "Whisper":
        config = package.WhisperConfig(
            d_model=HIDDEN, encoder_layers=LAYERS, decoder_layers=1, num_mel_bins=8,
            encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=24,
            decoder_ffn_dim=24, vocab_size=30, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            decoder_start_token_id=1, max_target_positions=8,
        )  # fmt: skip
        found = package.WhisperModel(config)
    else:
        found = getattr(package, f"{name.partition('-')[0]}Model")(_config(name))
    return found.eval()


def extractor(name: str) -> Any:
    """Return the feature extractor that belongs to it."""
    package = transformers()
    if name == "Whisper":
        return package.WhisperFeatureExtractor(feature_size=8)
    return package.Wav2Vec2FeatureExtractor(
        do_normalize=name in NORMALISED, return_attention_mask=name not in GROUP
    )


def save(folder: Path, name: str = "Wav2Vec2", seed: int = 0) -> Path:
    """Write such an encoder to `folder`, as published ones are; return it."""
    module(name, seed).save_pretrained(folder)
    extractor(name).save_pretrained(folder)
    return folder


def edit(path: Path, **values: Any) -> None:
    """Change settings in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
