"""Where `--init`'s weights come from: a checkpoint, a torch or safetensors file, or the net."""

from __future__ import annotations

import dataclasses
import http.client
import re
import socket
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import regular, show
from sertool.formats import checkpoint as checkpoints
from sertool.formats import lineage
from sertool.items import Item
from sertool.models import MODELS, Network, encoders, model, speakers
from sertool.ui.console import Console

TORCH_STARTS = (b"PK\x03\x04", b"\x80")  # a zip archive; before torch 1.6 a bare pickle
ENCODER = "ssl:"  # how `--init` names a pre-trained encoder
NESTED = ("state_dict", "model")  # where a larger dictionary keeps the weights
PUBLISHED_HASH = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")  # in a name, as torch publishes files
PATIENCE = 30.0  # seconds that a server may stay silent


@dataclass(frozen=True)
class Initial:
    """Weights that a network starts from, and what is known of them.

    tensors: by their names in the network's state dict. classes: those of each group of logits,
    None where the file does not say. items: what they were trained on and chosen by, None where
    nothing is known. record: what the lineage keeps, without the file's place. made_by: the
    stages that made a checkpoint.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    classes: list[list[str]] | None
    items: list[Item] | None
    record: dict[str, Any]
    made_by: list[lineage.Record] = dataclasses.field(default_factory=list)

    @property
    def source(self) -> lineage.Source:
        """The file as a lineage has it."""
        what = "checkpoint" if self.made_by else "file"
        if self.path.name == encoders.CONFIG:
            what = "encoder"
        name, sha256 = self.record["name"], self.record["sha256"]
        return lineage.Source(name, sha256, what, "--init", self.made_by)


def load(source: str, network: Network, console: Console) -> Initial:
    """Return the weights that `source` names: a word of `network.pretrained`, or a file.

    Raises UsageError for a word that only other models know and for another model's checkpoint,
    InputError for a file that cannot be fetched or read. Nothing in a file is run.
    """
    url = network.pretrained.get(source)
    if url is None and not Path(source).exists():
        _check_word(source, network.name)
    path = Path(source) if url is None else fetch(source, url, console)
    kind = _kind(path)
    weights = None
    if kind == "torch":
        weights = read_torch(path)
    elif kind == "safetensors":
        weights = checkpoints.plain_weights(path)
    if weights is None:
        return _of_checkpoint(path, network.name)
    console.note(f"--init {show(source)}: what these weights were trained on is unknown")
    return Initial(path, weights, None, None, _record(path, url=url))


def of_encoder(source: str, network: Network, console: Console) -> tuple[Network, Initial]:
    """Return the network around the pre-trained encoder that "ssl:FOLDER" names, and its weights.

    Raises UsageError for a network without an encoder and where transformers is not installed,
    InputError for a folder that holds no encoder.
    """
    name = source.removeprefix(ENCODER)
    made, tensors = network.from_encoder(name)
    folder = encoders.find(name)
    console.note(f"--init {show(source)}: what these weights were trained on is unknown")
    known = {"name": folder.name, "sha256": encoders.weights_sha256(folder)}
    record = known | {"url": None, "items": None, "init": None}
    return made, Initial(folder / encoders.CONFIG, dict(tensors), None, None, record)


def _check_word(source: str, name: str) -> None:
    """Raise UsageError where `source` names published weights of other models than `name`."""
    having = [n for n in MODELS if source in getattr(model(n), "pretrained", ())]
    if having:
        raise UsageError(
            f"--init {source}: there are no such published weights for {name}, only for"
            f" {', '.join(having)}"
        )


def _record(path: Path, **known: Any) -> dict[str, Any]:
    """Return the lineage of `path`: `items` counts what it has seen, None where it is unknown."""
    empty = {"url": None, "items": None, "init": None}
    if "sha256" not in known:
        known["sha256"] = lineage.file_sha256(path)
    return {"name": path.name} | empty | known


def _of_checkpoint(path: Path, name: str) -> Initial:
    """Return the weights of a checkpoint; UsageError where it holds another model than `name`."""
    loaded = checkpoints.load(path)
    header = loaded.header
    if header.model.name != name:
        raise UsageError(f"--init {show(path)}: holds a {header.model.name}, not a {name}")
    if header.per is not None:
        raise UsageError(
            f"--init {show(path)}: holds one model per {header.per.field}; name a checkpoint of a"
            " single model"
        )
    tensors = {key: torch.from_numpy(array) for key, array in loaded.subset("model").items()}
    classes = [head.classes for head in header.model.heads or ()]
    seen = [item for item in loaded.items if item.part in ("train", "val")]
    before = header.lineage[-1].params.get("init") if header.lineage else None
    known: dict[str, Any] = {"items": len(seen), "init": before, "sha256": loaded.identity}
    if header.augment:
        known["augment"] = header.augment
    if speakers.declared(header):
        known[speakers.DECLARED] = True
    return Initial(path, tensors, classes, seen, _record(path, **known), header.lineage)


def _kind(path: Path) -> str:
    """Return "torch" or "safetensors" by a file's first bytes, "" where there are none.

    Raises InputError for a file of another kind.
    """
    try:
        with regular(path) as file:
            head = file.read(9)
    except OSError:
        return ""  # reading it as a checkpoint says why
    if head[8:] == b"{" and head[4:8] == bytes(4):  # before that the length of what it opens
        return "safetensors"
    if head.startswith(TORCH_STARTS):
        return "torch"
    raise InputError(
        f"{show(path)}: neither a checkpoint nor a torch or safetensors file of weights"
    )


def read_torch(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a torch file: a state dict, or one under "state_dict" or "model".

    Raises InputError where the file is damaged or holds objects that only code could rebuild.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that torch did not write: refused below
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises all sorts for bytes that it did not write
        if type(error).__name__ == "UnpicklingError":
            raise InputError(
                f"{show(path)}: damaged, or holds more than tensors, which could run code and is"
                " not loaded; save only the model's state_dict()"
            ) from error
        what = "a TorchScript program, not weights" if "TorchScript" in str(error) else "damaged"
        raise InputError(f"{show(path)}: {what}, or not a torch file") from error
    for name in NESTED:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
    tensors = {}
    if isinstance(found, dict):
        tensors = {n: t for n, t in found.items() if isinstance(n, str) and _is_plain(t)}
    if not tensors:
        raise InputError(f"{show(path)}: a torch file, but not a dictionary of tensors by name")
    return tensors


def _is_plain(value: object) -> bool:
    """Return whether a value is a tensor of numbers as a network's own are."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_complex() or value.is_meta)
    )


def fetch(word: str, url: str, console: Console) -> Path:
    """Return the file at `url` in torch's own cache, fetched unless it is there.

    Raises InputError where it cannot be fetched, or is not the one whose hash its name gives.
    """
    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    published = PUBLISHED_HASH.search(name)
    prefix = published[1] if published else ""
    if not path.exists():
        console.note(f"--init {word}: fetching {url}")
        _download(word, url, path, prefix)
    if not lineage.file_sha256(path).startswith(prefix):
        raise InputError(f"{show(path)}: not the published file; delete it and it will be fetched")
    return path


def _download(word: str, url: str, path: Path, prefix: str) -> None:
    """Write the file at `url` whole to `path`, or nothing; InputError says what to do instead."""
    instead = "download it elsewhere and pass it with --init FILE"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torch sets none, and would wait for ever
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), prefix or None, progress=False)
    except RuntimeError as error:
        raise InputError(
            f"--init {word}: {url} is not the published file: its hash is wrong; {instead}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        why = show(getattr(why, "strerror", None) or why)
        raise InputError(f"--init {word}: {url} cannot be fetched ({why}); {instead}") from error
    finally:
        socket.setdefaulttimeout(before)
