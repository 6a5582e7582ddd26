"""Pre-trained speech encoders in Hugging Face's format, through transformers: `sertool[ssl]`.

An encoder is a folder (config.json, preprocessor_config.json, weights as safetensors) or its ID on
the hub, which transformers' cache or the hub turns into one. Which encoder it is, its weights
say: the SHA-256 of the tensors, whatever the folder is called and wherever it lies.

wav2vec 2.0, HuBERT, WavLM, data2vec and their kin take waveforms. Those whose first layers have
group norm take no mask, and padding would change them, as it does data2vec in spite of its mask:
they are given items of one length. The others take the mask. Whisper's encoder takes 30 s of
log-mel, of which the frames of the sound alone count. Any other model is given what its feature
extractor makes, one by one.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.formats import checkpoint

if TYPE_CHECKING:
    import torch

PLACES = "SERTOOL_ENCODERS"  # the environment variable: folders of encoders, or encoders
DEVICE = "SERTOOL_ENCODER_DEVICE"  # set for worker processes, which know nothing else
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
CONVERT = "python -m sertool.extras.to_safetensors"
LONGEST, OVERLAP = 30, 5  # seconds of a piece of a longer sound, and what two pieces share
VARIANCE_FLOOR = 1e-7  # added to a waveform's variance, as transformers does
# by which padding changes nothing; data2vec's stacked convolutions over positions let it through
MASKED = ("wav2vec2", "hubert", "wavlm")
OF_TRAINING = ("masked_spec_embed",)  # tensors that nothing but training uses


def need() -> Any:
    """Return the package transformers, silent; UsageError where it is not installed."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            "pre-trained encoders need transformers: pip install 'sertool[ssl]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


# --- which folder, and which weights lie in it ---


def look_in(folder: Path) -> None:
    """Look for encoders in `folder`, or take it for one, from now on and in worker processes."""
    known = [place for place in os.environ.get(PLACES, "").split(os.pathsep) if place]
    place = str(folder.absolute())
    os.environ[PLACES] = os.pathsep.join([place, *(one for one in known if one != place)])


def compute_on(device: str) -> None:
    """Compute encoders on `device` from now on, in worker processes, too."""
    os.environ[DEVICE] = device


def settle(folder: Path | None, device: str) -> None:
    """Say where encoders lie, if that is given, and what computes them; InputError if wrong."""
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"--encoder {show(folder)}: no such folder")
        look_in(folder)
    compute_on(device)


def find(name: str) -> Path:
    """Return the folder of the encoder called `name`: a folder, or an ID on the hub.

    An ID is looked for in transformers' cache first, and only then fetched. Raises InputError where
    there is no such folder, it holds no encoder, or the ID can neither be found nor fetched.
    """
    folder = Path(name)
    if folder.is_dir():
        _check(folder)
        return folder.absolute()
    if not _is_id(name):
        raise InputError(f"{show(name)}: no such folder, and no ID of the hub (OWNER/NAME)")
    return _from_hub(name)


def located(name: str, sha256: str) -> Path:
    """Return the folder of the encoder whose weights have this hash; `name` says what to look for.

    Looked for where `look_in` and SERTOOL_ENCODERS say, in the working directory, and, if the name
    is an ID, in transformers' cache and on the hub. Raises InputError where it is nowhere, or other
    weights have its name.
    """
    others: list[Path] = []
    for folder in _candidates(name):
        if weights_sha256(folder) == sha256:
            return folder
        others.append(folder)
    if _is_id(name) and not others:
        folder = _from_hub(name)
        if weights_sha256(folder) == sha256:
            return folder
        others.append(folder)
    if others:
        raise InputError(
            f"{show(others[0])}: not the weights that the features come from: their SHA-256 is not"
            f" {sha256[:12]}…"
        )
    raise InputError(
        f"the features come from the encoder {show(name)} (weights {sha256[:12]}…), which is not"
        f" here: name its folder with --encoder FOLDER or in {PLACES}"
    )


def _candidates(name: str) -> Iterator[Path]:
    """Yield the folders that may hold an encoder, those that were named first."""
    base = name.rpartition("/")[2]
    for place in [*os.environ.get(PLACES, "").split(os.pathsep), "."]:
        for folder in (Path(place), Path(place) / name, Path(place) / base) if place else ():
            if (folder / CONFIG).is_file():
                yield folder.absolute()


def _is_id(name: str) -> bool:
    owner, slash, rest = name.partition("/")
    return bool(owner.strip(".") and slash and rest) and "/" not in rest and not Path(name).exists()


def _from_hub(name: str) -> Path:
    need()
    import huggingface_hub  # comes with transformers

    wanted = ["*.json", "*.safetensors"]
    problem = ""
    for cached in (True, False):
        try:
            found = huggingface_hub.snapshot_download(
                name, allow_patterns=wanted, local_files_only=cached
            )
            _check(Path(found))
            return Path(found)
        except InputError as error:
            problem = str(error)  # of the cache: a part of it may be missing
        except Exception as error:  # of all sorts: no network, no such name, no access
            problem = problem or (type(error).__name__ if not cached else "")
    raise InputError(
        f"{show(name)}: neither a folder nor in the local cache, and cannot be fetched"
        f" ({problem}); download it where there is a network and name the folder"
    )


def _check(folder: Path) -> None:
    """Raise InputError where a folder holds no encoder that may be loaded."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{show(folder)}: not an encoder's folder, it has no {CONFIG}")
    if not ((folder / WEIGHTS).is_file() or (folder / INDEX).is_file()):
        pickled = any((folder / name).is_file() for name in PICKLED)
        why = (
            f"its weights are pickled, which is not loaded; convert them: {CONVERT} {show(folder)}"
            if pickled
            else f"it has no {WEIGHTS}"
        )
        raise InputError(f"{show(folder)}: {why}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{show(path)}: cannot be read as JSON") from error
    if not isinstance(found, dict):
        raise InputError(f"{show(path)}: not a table of settings")
    return found


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of an encoder's tensors: name, type, shape and bytes, names sorted."""
    _check(folder)
    files = _weight_files(folder)
    try:
        state = tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files)
    except OSError as error:
        raise InputError(f"{show(folder)}: a file of its weights is missing") from error
    return _sha256(state)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    parts = _json(folder / INDEX).get("weight_map")
    names = {str(name) for name in parts.values()} if isinstance(parts, dict) else set()
    return [folder / Path(name).name for name in sorted(names)]


@functools.lru_cache(maxsize=8)
def _sha256(files: tuple[tuple[str, int, int], ...]) -> str:
    """Return the hash of the tensors in files, which their sizes and times tell from older ones."""
    tensors: dict[str, Any] = {}
    for path, _, _ in files:
        found = checkpoint.plain_weights(Path(path))
        if found is None:
            raise InputError(f"{show(path)}: damaged, or not a file of weights")
        tensors |= found
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        state.update(f"{name}\0{str(tensor.dtype).rpartition('.')[2]}\0".encode())
        state.update(f"{tuple(tensor.shape)}\0".encode())
        state.update(tensor.reshape(-1).view(_bytes()).numpy().data)
    return state.hexdigest()


def _bytes() -> torch.dtype:
    import torch

    return torch.uint8


def normalises(folder: Path) -> bool:
    """Return whether an encoder wants waveforms of mean 0 and variance 1, by its preprocessor.

    False for one that takes no waveforms. Raises InputError where there is no preprocessor's file.
    """
    path = folder / PREPROCESSOR
    if not path.is_file():
        raise InputError(f"{show(folder)}: it has no {PREPROCESSOR}, which says how sound is given")
    given = _json(path)
    kind = str(given.get("feature_extractor_type", "Wav2Vec2FeatureExtractor"))
    return kind == "Wav2Vec2FeatureExtractor" and bool(given.get("do_normalize", True))


# --- the network ---


class Family(NamedTuple):
    """How an encoder takes sound.

    kind: "waveform", "whisper" or "other". rate: in Hz. step: samples from one frame to the next,
    0 where unknown. least: samples of the first frame. masked: it takes a mask.
    """

    kind: str
    rate: int
    step: int
    least: int
    masked: bool


class Encoder:
    """A pre-trained encoder, in evaluation mode, float32.

    module: the network itself. layers: hidden states that it gives, its input's among them.
    """

    def __init__(self, module: Any, family: Family, extractor: Any = None) -> None:
        self.module, self.family, self._extractor = module, family, extractor
        self._placed = "cpu"

    @property
    def layers(self) -> int:
        """How many hidden states it gives: one after each layer, and one before the first."""
        config = self.module.config
        inner = getattr(config, "encoder_layers", None) if self.family.kind == "whisper" else None
        return 1 + int(inner or config.num_hidden_layers)

    def frames(self, samples: int) -> int:
        """Return how many frames that many samples have."""
        if self.family.kind == "whisper":
            return -(-samples // self.family.step)
        return _frames(self.module.config, samples)

    def states(self, samples: np.ndarray, layer: int | None = None) -> np.ndarray:
        """Return the hidden states of samples (n,) at the encoder's rate, ready by `normalised`.

        Float32 (frames, layers, dims), or of one layer (frames, 1, dims). What is longer than
        LONGEST seconds is heard in pieces that overlap. Raises ItemError for too short a sound,
        and where a state is not finite.
        """
        import torch

        from sertool.models.device import one_thread

        self._place()
        _check_length(len(samples), self.family)
        with one_thread(), torch.inference_mode():
            (found,) = run(self, [torch.from_numpy(np.ascontiguousarray(samples))], layer)
            made: np.ndarray = found.cpu().numpy()
        if not np.isfinite(made).all():
            raise ItemError("the encoder gives numbers that are not finite")
        return made

    def _place(self) -> None:
        """Move the network to the device that was asked for; not before, as a fork must not."""
        wanted = os.environ.get(DEVICE, "cpu")
        if wanted != self._placed:
            from sertool.models import device

            self.module.to(device.choose(wanted))
            self._placed = wanted

    def hidden(self, items: Sequence[torch.Tensor], layer: int | None) -> list[torch.Tensor]:
        """Return the states (frames, layers, dims) of sounds (n,), each at most LONGEST seconds.

        In one pass, if they may be: of one length, or masked.
        """
        if self.family.kind == "waveform":
            return self._of_waveforms(items, layer)
        there = next(self.module.parameters()).device
        sounds = [item.cpu().numpy() for item in items]
        if self.family.kind == "whisper":
            given = self._extracted(sounds)
            out = self.module(given["input_features"].to(there), output_hidden_states=True)
            stack = _stack(out, layer)
            return [row[: self.frames(len(s))] for row, s in zip(stack, sounds, strict=True)]
        found = []
        for sound in sounds:
            given = {name: value.to(there) for name, value in self._extracted(sound).items()}
            found.append(_stack(self.module(**given, output_hidden_states=True), layer)[0])
        return found

    def _extracted(self, sounds: Any) -> Any:
        return self._extractor(sounds, sampling_rate=self.family.rate, return_tensors="pt")

    def _of_waveforms(self, items: Sequence[torch.Tensor], layer: int | None) -> list[torch.Tensor]:
        import torch

        there = next(self.module.parameters()).device
        lengths = torch.tensor([len(item) for item in items])
        x = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True).to(there)
        mask = None
        if int(lengths.min()) < x.shape[1]:
            mask = (torch.arange(x.shape[1]) < lengths[:, None]).long().to(there)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of transformers' own calls of torch
            out = self.module(x, attention_mask=mask, output_hidden_states=True)
        stack = _stack(out, layer)
        return [
            row if mask is None else row[: self.frames(n)]
            for row, n in zip(stack, lengths.tolist(), strict=True)
        ]


def _stack(out: Any, layer: int | None) -> torch.Tensor:
    """Return hidden states (batch, frames, layers, dims), or of one layer; ItemError without."""
    import torch

    states = getattr(out, "hidden_states", None)
    if not states or states[0].ndim != 3:
        raise UsageError("the encoder gives no hidden states over time")
    return torch.stack(states if layer is None else [states[layer]], 2)


def _frames(config: Any, samples: int) -> int:
    """Return the frames of samples after convolutions without padding."""
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        samples = (samples - kernel) // stride + 1
    return max(0, samples)


def run(
    encoder: Encoder, items: Sequence[torch.Tensor], layer: int | None = None
) -> list[torch.Tensor]:
    """Return the states (frames, layers, dims) of sounds (n,) of any lengths, in their order.

    What one gives does not depend on the others: only what may share a pass does.
    """
    import torch

    found: list[torch.Tensor] = [torch.empty(0)] * len(items)
    together: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        if len(item) > LONGEST * encoder.family.rate:
            found[i] = _in_pieces(encoder, item, layer)
        else:
            # masked: one pass for all; else one for each length
            key = 0 if encoder.family.masked else len(item)
            together.setdefault(key, []).append(i)
    for members in together.values():
        made = encoder.hidden([items[i] for i in members], layer)
        for i, states in zip(members, made, strict=True):
            found[i] = states
    return found


def _in_pieces(encoder: Encoder, item: torch.Tensor, layer: int | None) -> torch.Tensor:
    """Return the states of a long sound: of overlapping pieces, each but for its outer frames."""
    import torch

    rate, step = encoder.family.rate, encoder.family.step
    if not step:
        raise ItemError(f"longer than {LONGEST} s; featurize with --segment-max {LONGEST}")
    cuts = pieces(len(item), rate, step)
    found: list[torch.Tensor] = []
    done = 0  # frames
    for i, (first, last) in enumerate(cuts):
        (states,) = encoder.hidden([item[first:last]], layer)
        begin = first // step
        following = cuts[i + 1][0] // step if i + 1 < len(cuts) else None
        # two pieces meet in the middle of what they share
        end = begin + len(states)
        if following is not None:
            end = (following + end) // 2
        found.append(states[done - begin : end - begin])
        done = end
    return torch.cat(found)


def pieces(samples: int, rate: int, step: int) -> list[tuple[int, int]]:
    """Return (first, last + 1) of the pieces of a long sound: they begin at a frame's beginning.

    Each has LONGEST seconds; the last ends with the sound and may lack up to a frame.

    >>> pieces(40 * 16000, 16000, 320)
    [(0, 480000), (160000, 640000)]
    """
    length, hop = (seconds * rate // step * step for seconds in (LONGEST, LONGEST - OVERLAP))
    last = -(-(samples - length) // step) * step
    starts = [*range(0, last, hop), last]
    return [(first, min(first + length, samples)) for first in starts]


def _check_length(samples: int, family: Family) -> None:
    if samples < family.least:
        raise ItemError(
            f"too short for the encoder: {samples} samples at {family.rate} Hz, and its first frame"
            f" needs {family.least}"
        )


def normalised(samples: np.ndarray) -> np.ndarray:
    """Return samples (n,) of mean 0 and variance 1, as transformers' feature extractor does."""
    scale = np.sqrt(samples.var() + VARIANCE_FLOOR)
    made: np.ndarray = ((samples - samples.mean()) / scale).astype(np.float32)
    return made


@functools.lru_cache(maxsize=2)
def load(folder: Path) -> Encoder:
    """Return the encoder in a folder, on the CPU.

    Raises UsageError without transformers, InputError for a folder that holds none, lacks some of
    its weights, or needs code of its own.
    """
    transformers = need()
    import torch

    _check(folder)
    with _one_line(folder), torch.random.fork_rng(devices=[]):  # it draws weights before it reads
        module, found = transformers.AutoModel.from_pretrained(
            folder,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = [n for n in found["missing_keys"] if n.rpartition(".")[2] not in OF_TRAINING]
    odd = [*found.get("mismatched_keys", ()), *found.get("error_msgs", ())]
    if missing or odd:
        what = f"weights are missing ({sorted(missing)[0]}, …)" if missing else "weights do not fit"
        raise InputError(f"{show(folder)}: {what}, so the rest would be drawn by chance")
    family = family_of(module.config, folder)
    extractor: Any = None
    if family.kind != "waveform":
        with _one_line(folder):
            extractor = transformers.AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    if family.kind == "whisper":
        module = module.get_encoder()
        family = family._replace(step=2 * extractor.hop_length, least=extractor.n_fft)
    module.eval().requires_grad_(False)
    return Encoder(module, family, extractor)


def architecture(config: Mapping[str, Any]) -> Any:
    """Return the untrained network that a configuration describes, for training without LayerDrop.

    Its own masking of features is off as well. UsageError without transformers, ValueError for a
    configuration that describes none.
    """
    transformers = need()
    given = dict(config)
    try:
        made = transformers.AutoConfig.for_model(given.pop("model_type", ""), **given)
        made.layerdrop, made.apply_spec_augment = 0.0, False
        return transformers.AutoModel.from_config(made, dtype="float32")
    except Exception as error:  # of all sorts
        raise ValueError(f"not the configuration of an encoder: {error}") from error


@contextlib.contextmanager
def _one_line(folder: Path) -> Iterator[None]:
    """Turn what transformers raises about a folder, of all sorts, into one line."""
    try:
        yield
    except (InputError, UsageError):
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{show(folder)}: transformers cannot load it: {show(first)}") from error


def family_of(config: Any, folder: Path | None = None) -> Family:
    """Return how an encoder of this configuration takes sound."""
    given = _json(folder / PREPROCESSOR) if folder and (folder / PREPROCESSOR).is_file() else {}
    rate = int(given.get("sampling_rate", 16000))
    if config.model_type == "whisper":
        return Family("whisper", rate, 0, 0, True)
    if not hasattr(config, "conv_kernel") or not hasattr(config, "conv_stride"):
        return Family("other", rate, 0, 1, False)
    least = step = 1
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        least, step = (least - 1) * stride + kernel, step * stride
    layer_norm = getattr(config, "feat_extract_norm", None) == "layer"
    return Family("waveform", rate, step, least, layer_norm and config.model_type in MASKED)
