"""The shell lines that make a file again, from what it keeps of its stages.

Corpora, and folders of noise and of rooms, are shell variables, as nothing keeps where they lay.
What a stage made has the name that the next stage recorded, or a new folder where two have one
name, so that the lines give files of the same content.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert, structs

from sertool import augmentations, corpora, features, models
from sertool.augmentations import declared as fields_of
from sertool.augmentations import every, main_fields
from sertool.commands.augment import AugmentOptions
from sertool.commands.featurize import FeaturizeOptions
from sertool.commands.merge import MergeOptions
from sertool.commands.prepare import PrepareOptions
from sertool.commands.select import SelectOptions
from sertool.core import plugins
from sertool.core.errors import InputError, SertoolError
from sertool.core.options import Declared, declared
from sertool.core.paths import show
from sertool.core.settings import make, option_of, read_value
from sertool.evaluation.options import EvalOptions
from sertool.formats.lineage import Record, Source, canonical
from sertool.models.hyperparameters import Hyperparameters
from sertool.training.options import TrainOptions

CORPUS, LIST, PLUGIN = "CORPUS", "LIST", "PLUGIN"
SHOWN = 12  # digits of a SHA-256 in a remark
LAST = ".last"  # before the suffix of the checkpoint that `train --keep-last` adds


@dataclass(frozen=True)
class Variable:
    """A shell variable that stands for what no stage made, and what is known of it."""

    stem: str
    what: str


Word = str | Variable


@dataclass
class Script:
    """The lines so far. made: what lies under each name, as canonical JSON of its stages."""

    lines: list[list[Word]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    variables: list[Variable] = field(default_factory=list)

    def variable(self, stem: str, what: str) -> Variable:
        """Return the variable of something, the same one for the same thing."""
        found = Variable(stem, what)
        if found not in self.variables:
            self.variables.append(found)
        return found

    def remark(self, line: str) -> None:
        """Add a remark to the head of the script, once."""
        if line not in self.remarks:
            self.remarks.append(line)

    def file(self, name: str, what: str, sha256: str) -> str:
        """Return the name of a file that must be there, and say so at the head."""
        self.remark(f"{name}: {what}, must be here{_hash(sha256)}")
        return name

    def render(self) -> list[str]:
        """Return the remarks and the lines as a shell reads them."""
        names: dict[Variable, str] = {}
        for stem in dict.fromkeys(variable.stem for variable in self.variables):
            own = [variable for variable in self.variables if variable.stem == stem]
            single = len(own) == 1
            names |= {v: stem if single else f"{stem}{i}" for i, v in enumerate(own, 1)}
        told = [f"{name}: {variable.what}" for variable, name in names.items()]
        heads = [f"# {show(line)}" for line in [*told, *self.remarks]]

        def word(one: Word) -> str:
            return f'"${names[one]}"' if isinstance(one, Variable) else _quoted(one)

        return [*heads, *(" ".join(map(word, line)) for line in self.lines)]


def _quoted(word: str) -> str:
    return word if word in ("&&", "<") else shlex.quote(word)


def _hash(sha256: str) -> str:
    return f" (sha256 {sha256[:SHOWN]}…)" if sha256 else ""


def commands(lineage: Sequence[Record], name: str) -> list[str]:
    """Return the lines that make a file called `name`, one a stage; remarks begin with #.

    Raises InputError for stages that are not as sertool records them.
    """
    script = Script()
    try:
        _make(script, lineage, name)
        return script.render()
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{show(name)}: what it says of how it was made is not what sertool writes"
        ) from error


def of_file(lineage: Sequence[object] | None, name: str) -> list[str]:
    """Return the lines that make a file called `name`, of its lineage; [] where it does not say.

    It is anybody's file: what its stages say may be of another program.
    """
    try:
        return commands(convert(lineage or [], list[Record]), name) if lineage else []
    except (SertoolError, ValidationError):
        return []


def _make(script: Script, lineage: Sequence[Record], name: str) -> str:
    """Add the lines that make what `lineage` describes, and return its file, called `name`."""
    key = canonical([structs.asdict(r) | {"input": r.input.name} for r in _plain(lineage)])
    known = [path for path, made in script.made.items() if made == key]
    for path in known:
        if Path(path).name == name:
            return path
    path, folder = name, 2
    while path in script.made:
        path, folder = f"{folder}/{name}", folder + 1
    script.made[path] = key  # before its own inputs take the name
    start: list[Word] = ["mkdir", "-p", str(Path(path).parent), "&&"] if "/" in path else []
    if known:
        script.lines.append([*start, "cp", known[0], path])
    else:
        record = lineage[-1]
        if record.stage not in STAGES:
            raise InputError(f"{show(name)}: made by the stage {record.stage}, unknown here")
        added = _plugins(script, record)
        line = STAGES[record.stage](script, record, lineage[:-1], path)
        script.lines.append([*start, *line, *added])
    return path


def _plugins(script: Script, record: Record) -> list[Word]:
    """Return the options that name the plug-ins whose parts a stage was told to use."""
    params = record.params
    every = plugins.names(augmentations.AUGMENTATIONS, augmentations.GROUP)
    steps = [name for name, _ in params.get("steps") or ()]
    full = [next((one for one in every if one.partition(".")[2] == n), n) for n in steps]
    used = [(augmentations.AUGMENTATIONS, augmentations.GROUP, name) for name in full]
    if params.get("kind"):
        used.append((features.KINDS, features.GROUP, params["kind"]))
    if params.get("model"):
        used.append((models.MODELS, models.GROUP, params["model"]))
    corpus = params.get("corpus", "auto")
    if corpus != "auto" and not corpus.endswith(".toml"):
        used.append((corpora.CORPORA, corpora.GROUP, corpus))
    files = dict.fromkeys(filter(None, (plugins.file_of(*one) for one in used)))
    variables = [script.variable(PLUGIN, f"the plug-in {name}") for name in files]
    return [word for one in variables for word in ("--plugin", one)]


def _plain(lineage: Sequence[Record]) -> list[Record]:
    """Return stages without what hangs on them, to be compared."""
    return [structs.replace(record, sources=[]) for record in lineage]


# --- the stages ---


def _prepare(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    params = dict(record.params)
    arguments: list[Word] = []
    listed: list[Word] = []
    for source in record.sources:
        if source.lineage:
            arguments.append(_make(script, source.lineage, source.name))
        elif source.option == "--audio-root":
            params["audio_root"] = script.file(source.name, "the --audio-root", source.sha256)
        elif source.option:
            script.file(source.name, f"given to {source.option}", source.sha256)
        elif source.what == "list":
            listed = ["<", script.variable(LIST, "manifest lines, from standard input")]
            arguments.append("-")
        else:
            arguments.append(_corpus(script, source.name, source.what, source.sha256))
    flags = flags_of(PrepareOptions, params)
    return ["sertool", "prepare", *arguments, output, *flags, *listed]


def _corpus(script: Script, name: str, what: str, sha256: str) -> Variable:
    kind = f"the {what or 'folder'} {name}"
    listing = "" if what != "folder" else " of its listing" if sha256 else ""
    return script.variable(CORPUS, kind + (f", sha256{listing} {sha256[:SHOWN]}…" * bool(sha256)))


def _featurize(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    params = dict(record.params)
    listed: list[Word] = []
    source: Word
    if before:
        source = _make(script, before, record.input.name)
        if before[-1].stage != "prepare":
            params["sample_rate"] = None  # that of the waveforms
    elif record.input.name == "-":
        listed = ["<", script.variable(LIST, "paths or manifest lines, from standard input")]
        source = "-"
    elif record.input.what == "manifest" or Path(record.input.name).suffix == ".jsonl":
        source = script.file(record.input.name, "a manifest", record.input.sha256)
    else:
        source = _corpus(script, record.input.name, record.input.what, "")
    for made in record.sources:
        params["settings"] = params["settings"] | {made.option: _source(script, made)}
    if params["kind"] == "ssl":
        script.file(params["settings"]["model"], "the encoder", params["settings"]["sha256"])
    params["settings"] = _settings_of_kind(params)
    flags = flags_of(FeaturizeOptions, _without_own_dtype(params))
    return ["sertool", "featurize", source, output, *flags, *listed]


def _settings_of_kind(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not the kind's defaults."""
    from sertool.features import kind

    given = {name: v for name, v in params["settings"].items() if name != "sha256"}
    return _changed(kind(params["kind"]).Settings, given)


def _without_own_dtype(params: dict[str, Any]) -> dict[str, Any]:
    from sertool.features import kind

    own = params["dtype"] == kind(params["kind"]).dtypes[0]
    return params | ({"dtype": None} if own else {})


def _changed(cls: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a dataclass of settings that are not its defaults."""
    usual = {f.name: f.default for f in dataclasses.fields(cls)}
    return {n: v for n, v in given.items() if n not in usual or _json(usual[n]) != _json(v)}


def _source(script: Script, source: Source) -> str:
    """Return the file of a source, after the lines that make it, or that it must be there."""
    if source.lineage:
        return _make(script, source.lineage, source.name)
    return script.file(source.name, f"given to {source.option}", source.sha256)


def _augment(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    source = _input(script, record, before)
    words: list[Word] = ["sertool", "augment", source, output]
    known = {name: (family, cls) for family, name, cls in every()}
    masks = {}
    for name, values in record.params["steps"]:
        family, cls = known[name]
        if family == "frames":
            masks[name] = [float(value) for value in values]
        else:
            words += _augmentation(script, name, cls, list(values))
    params = {n: v for n, v in record.params.items() if n != "steps"}
    return [*words, *flags_of(AugmentOptions, params | {"spec_augment": masks})]


def _augmentation(script: Script, name: str, cls: Any, values: list[Any]) -> list[Word]:
    """Return the options of an augmentation with its values in order."""
    words: list[Word] = []
    own: list[str] = []
    main = main_fields(cls)
    for one, hint in fields_of(cls):
        pair = hint == tuple[float, float]
        taken, values = values[: 2 if pair else 1], values[2 if pair else 1 :]
        flag = option_of(one).flag
        if hint is Path:
            what = f"the folder given to --{name}, {canonical(taken[0])}"
            words += [f"--{name}", script.variable(name.upper().replace("-", "_"), what)]
        elif flag:
            usual: Any = one.default
            if list(taken) != _json(list(usual) if pair else [usual]):
                words += [f"--{flag}", ":".join(map(_number, taken))]
        elif isinstance(taken[0], list):
            words += [f"--{name}", ",".join(map(str, taken[0]))]
        else:
            own += map(_number, taken)
    if own or not main:
        words += [f"--{name}", *([":".join(own)] if own else [])]
    return words


def _input(script: Script, record: Record, before: Sequence[Record]) -> str:
    """Return the store that a stage reads."""
    if before:
        return _make(script, before, record.input.name)
    return script.file(record.input.name, "a store", record.input.sha256)


def _train(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    from sertool.models import model

    source = _input(script, record, before)
    params = dict(record.params)
    kind: Any = model(params["model"])
    network = "epochs" in params["hyperparameters"]
    found = kind(make(kind.Settings, params["settings"]))
    usual = found.defaults() if network else _of_tabular(found)
    overrides = dict(params.pop("hyperparameters"))
    overrides = {n: v for n, v in overrides.items() if _json(getattr(usual, n)) != _json(v)}
    params["settings"] = _changed(kind.Settings, params["settings"])
    params["device"] = params["device"] if network else "auto"
    params["init"] = _init(script, kind, record)
    params["init_unlabelled"] = [
        _source(script, one) for one in record.sources if one.option == "--init-unlabelled"
    ]
    if params["parts"]["split_seed"] == params["seed"]:
        params["parts"] = params["parts"] | {"split_seed": None}
    _folds_file(script, params["parts"].get("resplit"))
    flags = flags_of(
        TrainOptions, {n: v for n, v in params.items() if n != "unlabelled"} | overrides
    )
    path = Path(output)
    if params.get("keep_last") and path.stem.endswith(LAST):
        output = str(path.with_name(path.stem.removesuffix(LAST) + path.suffix))
    return ["sertool", "train", source, output, *flags]


def _of_tabular(found: Any) -> Hyperparameters:
    return Hyperparameters(class_weights=getattr(found, "class_weights", "none"))


def _folds_file(script: Script, protocol: str | None) -> None:
    if protocol and protocol.startswith("file:"):
        script.file(protocol.removeprefix("file:"), "given to --resplit", "")


def _init(script: Script, kind: Any, record: Record) -> str | None:
    """Return what was given to --init: a word for published weights, or a file."""
    init = record.params.get("init")
    if init is None:
        return None
    for word, url in getattr(kind, "pretrained", {}).items():
        if url == init["url"]:
            return str(word)
    from sertool.training.initial import ENCODER  # torch

    for source in record.sources:
        if source.option == "--init":
            before = ENCODER if source.what == "encoder" else ""
            return before + _source(script, source)
    return script.file(init["name"], "given to --init", init["sha256"])


def _eval(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    params = dict(record.params)
    names = [name for name, _ in params.pop("checkpoints")]
    others = {s.name: s for s in record.sources if s.what == "checkpoint"}
    checkpoints = [_make(script, before, names[0])] if before else []
    if not before:
        checkpoints = [script.file(names[0], "a checkpoint", record.params["checkpoints"][0][1])]
    for name, sha256 in record.params["checkpoints"][1:]:
        lineage = _fold(before, others.get(name))
        made = _make(script, lineage, name) if lineage else None
        checkpoints.append(made or script.file(name, "a checkpoint", sha256))
    own = next((s for s in record.sources if s.what == "store"), None)
    if own is not None:
        store = _source(script, structs.replace(own, option="eval"))
    elif before[:-1]:
        store = _make(script, before[:-1], record.input.name)
    else:
        store = script.file(record.input.name, "a store", record.input.sha256)
    flags = flags_of(EvalOptions, params)
    return ["sertool", "eval", *checkpoints, store, "--json", output, *flags]


def _fold(before: Sequence[Record], source: Source | None) -> list[Record]:
    """Return the stages of a further checkpoint; none where they are unknown."""
    if source is None or not (source.params or source.lineage):
        return []
    if source.lineage:
        return source.lineage
    last = before[-1]
    return [*before[:-1], structs.replace(last, params=last.params | source.params)]


def _fuse(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    members: list[Word] = [_make(script, before, record.input.name)]
    fit_on: list[Word] = []
    for source in record.sources:
        if source.option:
            fit_on = [source.option, _source(script, source)]
        else:
            members.append(_source(script, source))
    weights = record.params["weights"]
    if not fit_on and len(set(weights)) > 1:
        fit_on = ["--weights", ",".join(map(str, weights))]
    return ["sertool", "fuse", *members, output, *fit_on]


def _merge(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    stores = [_input(script, record, before), *(_store(script, one) for one in record.sources)]
    return ["sertool", "merge", *stores, output, *flags_of(MergeOptions, record.params)]


def _store(script: Script, source: Source) -> str:
    """Return a store that is an argument."""
    if source.lineage:
        return _make(script, source.lineage, source.name)
    return script.file(source.name, "a store", source.sha256)


def _select(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    source = _input(script, record, before)
    for one in record.sources:
        _source(script, one)
    return ["sertool", "select", source, output, *flags_of(SelectOptions, record.params)]


def _convert(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    name = script.file(record.input.name, f"items as {record.input.what}", record.input.sha256)
    return ["sertool", "convert", name, output]


def _export(script: Script, record: Record, before: Sequence[Record], output: str) -> list[Word]:
    return ["sertool", "export", _make(script, before, record.input.name), output]


STAGES: dict[str, Callable[[Script, Record, Sequence[Record], str], list[Word]]] = {
    "prepare": _prepare,
    "featurize": _featurize,
    "augment": _augment,
    "train": _train,
    "eval": _eval,
    "merge": _merge,
    "select": _select,
    "convert": _convert,
    "fuse": _fuse,
    "export": _export,
}


# --- options ---


def flags_of(cls: Any, params: Mapping[str, Any]) -> list[Word]:
    """Return the options of a stage whose recorded values are not their defaults."""
    flat = _flattened(params)
    words: list[Word] = []
    for one in declared(cls.complete()):
        if one.name in flat and one.option.recorded:
            words += _flag(one, flat[one.name])
    return words


def _flattened(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by name, those of `parts`, `spec` and `test` among them."""
    nested = [v for n, v in params.items() if n in ("parts", "spec", "test")]
    flat = {n: v for n, v in params.items() if n not in ("parts", "spec", "test")}
    return flat | {n: v for group in nested for n, v in group.items()}


def _flag(one: Declared, value: Any) -> list[str]:
    """Return an option as it is typed, [] for its default."""
    if _json(value) == _json(one.default) or (value is None and one.default in (None, {}, ())):
        return []
    if isinstance(value, bool):
        return [one.flag] if value != one.default else []
    if isinstance(value, dict):
        return _table(one, value)
    several = isinstance(value, list) and not _is_pair(one)
    values = value if several else [":".join(map(_number, value)) if _is_pair(one) else value]
    return [word for each in values for word in _joined(one.flag, _text(each))]


def _joined(flag: str, text: str) -> list[str]:
    """Return an option and its value: one word where the value looks like an option itself."""
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]


def _table(one: Declared, value: Mapping[str, Any]) -> list[str]:
    """Return an option of several values by name: repeated, or as a list of steps."""
    if one.name in ("augment", "spec_augment"):
        steps = [name + ("=" + ":".join(map(_number, v)) if v else "") for name, v in value.items()]
        return [one.flag, ",".join(steps)]
    text = _toml if one.name == "settings" else _text
    return [word for name, each in value.items() for word in (one.flag, f"{name}={text(each)}")]


def _is_pair(one: Declared) -> bool:
    return one.hint == tuple[float, float]


def _text(value: Any) -> str:
    return "none" if value is None else _number(value)


def _number(value: Any) -> str:
    """Return a number as short as it can be read back, and text as it is."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _toml(value: Any) -> str:
    """Return a setting as `--set NAME=VALUE` takes it."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value if read_value(value) == value and value.strip() == value else _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_string(v) if isinstance(v, str) else _toml(v) for v in value)}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _json(value: Any) -> Any:
    return json.loads(canonical(value)) if not dataclasses.is_dataclass(value) else value
