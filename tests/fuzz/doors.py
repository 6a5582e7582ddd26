"""The doors: what comes in at each, how it is changed, and the command lines that read it."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz import desk as desks
from fuzz import mutate, signed
from fuzz.judge import ARGUMENT, STDIN

Files = dict[str, bytes]
Change = Callable[..., bytes]
LINE = "LINE"  # the file of an input that says which command line reads it
ROOT = Path(__file__).resolve().parents[2]

CHANGES: tuple[tuple[str, Change], ...] = (  # by the end of a file's name
    (".jsonl.gz", mutate.gzipped(mutate.json_of)),
    ("job.json", mutate.json_of),
    (LINE, lambda draw, content, others=(): content),
    (".json", mutate.json_of),
    (".jsonl", mutate.json_of),
    (".toml", mutate.text_of),
    (".yaml", mutate.text_of),
    (".md", mutate.text_of),
    (".rttm", mutate.text_of),
    (".csv", mutate.table_of),
    (".tsv", mutate.table_of),
    (".h5", signed.store_of),
    (".ckpt", signed.checkpoint_of),
    (".onnx", signed.onnx_of),
    (ARGUMENT, mutate.text_of),
)


@dataclass(frozen=True)
class Door:
    """One kind of input. seeds: of the desk, what is changed. lines: command lines, of which an
    input has one; {desk} is the desk's folder, {ARG} the input where it is an argument."""

    name: str
    seeds: Callable[[Path], list[Files]]
    lines: Sequence[str]
    change: Change | None = None
    whole: bool = False  # the names of files are changed, too
    files: Callable[[random.Random, Files, Sequence[Files]], Files] | None = None
    traced: float = 0.3  # of the inputs: what they reach costs twice the time

    @property
    def kind(self) -> str:
        """What the door is counted among."""
        return next(kind for kind, first in reversed(KINDS) if _at(self.name) >= _at(first))

    def changed(self, draw: random.Random, files: Files, others: Sequence[Files]) -> Files:
        """Return an input with one file changed, once or a few times."""
        found = dict(files)
        for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
            if self.files is not None and draw.random() < 0.4:
                found = self.files(draw, found, others)
                continue
            if not found or (self.whole and draw.random() < 0.1):
                found = _names(draw, found or dict(files))
                continue
            name = draw.choice(list(found))
            alike = [one[name] for one in others if name in one][-20:]
            found[name] = self.of(name)(draw, found[name], alike)
        return found

    def of(self, name: str) -> Change:
        """Return how a file is changed."""
        if self.change is not None:
            return self.change
        if "\0" in name:
            return lambda draw, content, others=(): content
        if ".parts/" in name and not name.endswith("job.json"):
            return signed.part_of
        return next((how for end, how in CHANGES if name.endswith(end)), mutate.bytes_of)


def _names(draw: random.Random, files: Files) -> Files:
    """Return an input with a file dropped, doubled, renamed or exchanged."""
    name, other = draw.choice(list(files)), draw.choice(list(files))
    match draw.randrange(4):
        case 0 if len(files) > 1:
            del files[name]
        case 1:
            files[f"{name}.{draw.randrange(10)}"] = files[name]
        case 2:
            head, _, last = name.rpartition("/")
            if f"{head}/x{last}".lstrip("/") not in files:
                files[f"{head}/x{last}".lstrip("/")] = files.pop(name)
        case _:
            files[name] = files[other]
    return files


def _files(*pairs: tuple[str, str]) -> Callable[[Path], list[Files]]:
    """Return what takes one input from each file of the desk that is there, under a name."""

    def taken(desk: Path) -> list[Files]:
        there = [(desk / source, name) for source, name in pairs]
        return [{name: path.read_bytes()} for path, name in there if path.exists()]

    return taken


def _below(folder: str) -> Callable[[Path], list[Files]]:
    """Return what takes a folder of the desk as one input, the folder x."""

    def taken(desk: Path) -> list[Files]:
        found = {f"x/{name}": value for name, value in desks.tree(desk / folder).items()}
        return [found] if found else []

    return taken


def _stores(desk: Path) -> list[Files]:
    return _files(*((f"small/{name}.h5", "x.h5") for name in desks.SMALL))(desk)


def _texts(name: str, *texts: str) -> Callable[[Path], list[Files]]:
    def taken(desk: Path) -> list[Files]:
        return [{name: text.replace("{desk}", str(desk)).encode()} for text in texts]

    return taken


def _sounds(*suffixes: str) -> Callable[[Path], list[Files]]:
    return _files(*((f"formats/a.{one}", f"x.{one.split('.')[-1]}") for one in suffixes))


def _wave(desk: Path) -> Files:
    return {"wav/a.wav": (desk / "c/anger/s0.wav").read_bytes(),
            "wav/b.wav": (desk / "c/happiness/s1.wav").read_bytes()}  # fmt: skip


LISTENING = (
    "featurize -q --kind mfcc . o.h5 --workers 1",
    "predict -q --format jsonl {desk}/m.ckpt .",
    "predict -q --format jsonl .",
    "prepare -q . o.jsonl",
    "predict {desk}/m.ckpt . --window 0.2 --format jsonl",
)
FOLDERS = (
    "prepare -q . o.jsonl", "prepare . o.jsonl --split kfold:2", "prepare --suggest .",
    "featurize -q --kind mfcc . o.h5 --workers 1", "prepare . - --relative",
)  # fmt: skip
MANIFEST = (
    "featurize -q --kind mfcc x.jsonl o.h5 --workers 1", "info x.jsonl", "info --items x.jsonl",
    "prepare x.jsonl o.jsonl --split kfold:2", "prepare -q x.jsonl o --to lhotse",
    "prepare -q x.jsonl o.csv --to audformat", "prepare x.jsonl - --where label=anger",
    "info --json x.jsonl", "info --audit x.jsonl {desk}/m.jsonl",
    "prepare x.jsonl o.jsonl --split speakers:2 --also-disjoint text --relative",
)  # fmt: skip
STORE = (
    "info x.h5", "info --items x.h5", "info --audit x.h5", "info --json x.h5",
    "info --commands x.h5", "info --untrusted x.h5", "info x.h5 --items c/anger/s0",
    "merge x.h5 {desk}/small/f.h5 o.h5", "select x.h5 o.h5 --where label=anger",
    "convert x.h5 o.npz", "info --audit x.h5 {desk}/f.h5",
)  # fmt: skip
STORE_SOUND = (
    "featurize --kind mfcc x.h5 o.h5 --workers 1", "augment --awgn 9 x.h5 o.h5 --workers 1",
    "featurize --kind mel x.h5 o.h5 --workers 1 --segment 0.2",
)  # fmt: skip
STORE_MODEL = (
    "train x.h5 o.ckpt --test-fold 0", "train x.h5 o.ckpt --model majority --test-fold 0",
    "eval {desk}/m.ckpt x.h5", "eval --all {desk}/m.ckpt x.h5 --json o.json",
    "predict -q {desk}/m.ckpt x.h5", "train x.h5 o.ckpt --resplit kfold:2 --test-fold 1",
)  # fmt: skip
STORE_NETWORK = (
    "train x.h5 o.ckpt --model sertool --epochs 1 --test-fold 0 " + desks.NET,
    "eval --all {desk}/net.ckpt x.h5 --by item",
    "predict -q {desk}/net.ckpt x.h5 --format jsonl",
)  # fmt: skip
CHECKPOINT = (
    "info x.ckpt", "info --json x.ckpt", "info --commands x.ckpt", "info --untrusted x.ckpt",
    "predict -q x.ckpt {desk}/c/anger/s0.wav --format jsonl",
    "eval x.ckpt {desk}/f.h5", "eval x.ckpt {desk}/n.h5", "info --audit x.ckpt",
    "eval --all x.ckpt {desk}/n.h5 --json o.json", "eval --all x.ckpt {desk}/f.h5 --json o.json",
    "fuse x.ckpt {desk}/m.ckpt o.ckpt", "calibrate x.ckpt {desk}/r.json o.ckpt",
    "export x.ckpt o.onnx", "push x.ckpt o",
    "train {desk}/n.h5 o.ckpt --model sertool --epochs 1 --test-fold 0 --init x.ckpt "
    + desks.NET,
)  # fmt: skip
REPORT = (
    "info x.json", "report x.json", "report --compare x.json",
    "report --compare x.json {desk}/r.json",
    "report x.json --format json", "report --recount x.json", "report x.json --pack o.jsonl",
    "calibrate {desk}/m.ckpt x.json o.ckpt", "report x.json --html o.html", "info --json x.json",
    "report --paper sundharam x.json", "push {desk}/m.ckpt o --report x.json",
)  # fmt: skip
WHERE = "label=anger|label!=anger,sadness|label in anger,sadness|fold=0|speaker=1 |age<3|start>=0.5"
PAPERS = ROOT / "data" / "papers"


def _papers(desk: Path) -> list[Files]:
    texts = [path.read_bytes() for path in sorted(PAPERS.glob("*.toml"))]
    return [{"x.toml": text[:9000].rpartition(b"\n")[0]} for text in texts] + [
        {"x.toml": min(texts, key=len)}
    ]


def _named(desk: Path) -> list[Files]:
    return [
        {"x.toml": path.read_bytes()} for path in sorted((ROOT / "data/corpora").glob("*.toml"))
    ]


def _tables(desk: Path) -> list[Files]:
    rows = desks.rows(desk / "m.jsonl")
    head = "file,label,speaker,fold,start,end,age,r1,r2,text"
    lines = [
        f"{row['path']},{row['label']},s{i % 2},{i % 2},0,0.{i + 1},2{i},{i % 3},{i % 2},t {i}"
        for i, row in enumerate(rows)
    ]
    short = [f"{Path(str(row['path'])).name}\t{row['label']}\t{i}\n" for i, row in enumerate(rows)]
    text = "\n".join([head, *lines, ""]).encode()
    return [
        {"x.csv": text},
        {"x.tsv": text.replace(b",", b"\t")},
        {"x.csv": b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")},
        {"x.csv": text.replace(b",t ", b',"t ""q""\nx", ').replace(b",", b";")},
        {"x.csv": text.decode().encode("utf-16")},
        {"x.tsv": "".join(["name\tclass\tspk\n", *short]).encode()},
    ]  # fmt: skip


def _lhotse(desk: Path) -> list[Files]:
    made = desks.tree(desk / "lhotse")
    plain = {}
    for name, content in made.items():
        plain[name.removesuffix(".gz")] = (
            gzip.decompress(content) if name.endswith(".gz") else content
        )
    return [made, plain, made | _wave(desk)]


def _audformat(desk: Path) -> list[Files]:
    head = (
        b"name: toy\nsource: x\nusage: other\nlanguages: [deu]\nsplits: {train: {type: train}}\n"
        b"schemes:\n  emotion:\n    dtype: str\n    labels: [anger, neutral]\n"
        b"  speaker: {dtype: int, labels: speaker}\ntables: {}\n"
    )
    files = b"file,speaker,gender\nwav/a.wav,3,male\nwav/b.wav,8,female\n"
    speakers = b"speaker,age,gender,language\n3,31,male,deu\n8,34,female,deu\n"
    emotion = b"file,emotion,emotion.confidence\nwav/a.wav,anger,0.9\nwav/b.wav,neutral,1.0\n"
    cuts = (
        b"file,start,end,emotion\nwav/a.wav,0 days 00:00:00.0,0 days 00:00:00.3,anger\n"
        b"wav/b.wav,0 days,,neutral\n"
    )
    base = {"db.yaml": head, "db.files.csv": files} | _wave(desk)
    return [
        base | {"db.speaker.csv": speakers, "db.emotion.csv": emotion},
        base | {"db.segments.csv": cuts},
        base | {f"db.emotion.categories.{part}.gold.csv": emotion for part in ("train", "test")},
    ]  # fmt: skip


def _huggingface(desk: Path) -> list[Files]:
    wave = _wave(desk)
    rows = [{"file_name": f"wav/{n}.wav", "label": label, "speaker": n, "age": 3, "tags": ["a"]}
            for n, label in (("a", "angry"), ("b", "sad"))]  # fmt: skip
    table = b"file_name,emotion,speaker,text\na.wav,happy,7,x\nb.wav,sad,8,y\n"
    sounds = dict(zip(("a.wav", "b.wav"), wave.values(), strict=True))
    return [
        wave | {"metadata.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()},
        {f"train/{n}": v for n, v in (sounds | {"metadata.csv": table}).items()}
        | {f"test/{n}": v for n, v in (sounds | {"metadata.csv": table}).items()},
        {"train/angry/a.wav": sounds["a.wav"], "test/sad/b.wav": sounds["b.wav"]},
    ]


def _parts(desk: Path) -> list[Files]:
    found = []
    for name in desks.RESUMED:
        for folder in sorted((desk / "parts").glob(f"{name}.*.parts")):
            suffix = folder.name.removeprefix(name)
            files = {f"{suffix}/{n}": v for n, v in desks.tree(folder).items()}
            found.append(files | {LINE: " ".join(desks.RESUMED[name]).encode()})
    return found


OTHERWISE = (  # what a run is that the parts are not of
    ("--kind mfcc", "--kind mel"), ("--awgn 9", "--awgn 8"), ("--epochs 2", "--epochs 3"),
    ("--test-fold 0", "--test-fold 1"), ("m.ckpt", "m1.ckpt"), ("hidden=8", "hidden=12"),
    ("--format jsonl", "--format csv"),
)  # fmt: skip


def _parts_of_others(draw: random.Random, files: Files, others: Sequence[Files]) -> Files:
    """Return parts that are of another run, forged, cut, links, or beside another output."""
    names = [name for name in files if ".parts/" in name and "\0" not in name]
    if not names:
        return dict(draw.choice(others))
    folder, name = names[0].split("/")[0], draw.choice(names)
    job = f"{folder}/job.json"
    rest = {one: value for one, value in files.items() if one != name}
    match draw.randrange(9):
        case 0:
            line = files[LINE].decode()
            known = [pair for pair in OTHERWISE if pair[0] in line]
            return files | {LINE: line.replace(*draw.choice(known)).encode()} if known else rest
        case 1:
            other = draw.choice(others)
            stale = {n: value for n, value in other.items() if ".parts/" in n and "\0" not in n}
            moved = {f"{folder}/{n.split('/')[1]}": value for n, value in stale.items()}
            forged = {job: files[job]} if job in files and draw.random() < 0.5 else {}
            return {LINE: files[LINE]} | moved | forged
        case 2:
            return files | {name: files[name][: draw.randrange(len(files[name]) + 1)]}
        case 3:
            place = draw.choice(("/etc/passwd", "/dev/zero", ".", "nowhere", "../x", f"../{LINE}"))
            return rest | {f"{name}\0link": place.encode()}
        case 4:
            return rest | {f"{name}\0twin": LINE.encode()}
        case 5:
            kind = draw.choice(("pipe", "folder"))
            place = draw.choice((name, f"{folder}/lock", f"{folder}/.x.tmp", f"{folder}/x"))
            return {n: v for n, v in files.items() if n != place} | {f"{place}\0{kind}": b""}
        case 6:
            plain = {n: v for n, v in files.items() if not n.startswith(folder)}
            return plain | {f"{folder}\0link": draw.choice((b".", b"/tmp", b"x", b"/dev/null"))}
        case 7:
            return rest
        case _:
            other = (
                f"{folder}/{draw.choice(('0000001', '000001', '000000', 'x', 'lock', 'e' * 255))}"
            )
            return files | {other: files[name]}


def _stream(desk: Path) -> list[Files]:
    whole = (desk / "formats/a.wav").read_bytes()
    return [{STDIN: whole}, {STDIN: whole[44:]}, {STDIN: (desk / "formats/a.2.wav").read_bytes()},
            {STDIN: (desk / "formats/a.f.wav").read_bytes()}]  # fmt: skip


def _requests(desk: Path) -> list[Files]:
    sound = (desk / "formats/a.flac").read_bytes()
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'
    host = b"Host: 127.0.0.1:8000\r\nContent-Length: %d\r\n"
    post = b"POST /predict HTTP/1.1\r\n" + host
    form = b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    body = part + sound + b"\r\n--x--\r\n"
    requests = [
        post % len(sound) + b"Content-Type: audio/flac\r\n\r\n" + sound,
        post % len(body) + form + body,
        post % 3 + b"Accept: application/jsonl\r\nOrigin: http://127.0.0.1:8000\r\n\r\nabc",
    ]
    requests += [
        b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n" % place
        for place in (b"/", b"/health", b"/openapi.json", b"/predict?x=1")
    ]
    return [{STDIN: request} for request in requests]  # fmt: skip


def _arguments(*texts: str) -> Callable[[Path], list[Files]]:
    return _texts(ARGUMENT, *texts)


NAMES = ("anger/s0", "happiness/s1", "sadness/s2", "anger/s3", "happiness/s4", "sadness/s5")
FOLDS = "id,fold\n" + "".join(f"c/{name},{i % 2}\n" for i, name in enumerate(NAMES))
PARTS = FOLDS.replace("fold", "part").replace(",0", ",train").replace(",1", ",test")
PATTERNS = ("{label}/{speaker}.wav", "{label}/s{}.wav", "{label}/{speaker:1}{text}.wav", "{}")
PROTOCOLS = ("kfold:2", "random:80:20", "random:8:1:1", "speakers:2", "loso", "texts")
TURNED = "predict {desk}/m.ckpt {desk}/c/anger/s0.wav --format jsonl"
OPTIONS = (
    "featurize {desk}/m.jsonl o.h5 --kind mfcc --workers 1 --duration {ARG}",
    "featurize {desk}/m.jsonl o.h5 --workers 1 --kind mfcc --segment {ARG}",
    "augment {desk}/w.h5 o.h5 --awgn {ARG} --workers 1",
    "augment {desk}/n.h5 o.h5 --spec-augment {ARG} --workers 1",
    "predict {desk}/m.ckpt {desk}/c --only {ARG}",
    "featurize {desk}/m.jsonl o --shard {ARG}",
    "train {desk}/n.h5 o.ckpt --model sertool --epochs 1 --test-fold 0 --augment {ARG}",
    "prepare {desk}/m.jsonl o.jsonl --column {ARG}",
    "predict {desk}/m.ckpt {desk}/c --window {ARG}",
    "eval --all {desk}/m.ckpt {desk}/f.h5 --tag {ARG}",
    "augment {desk}/w.h5 o.h5 --band-pass {ARG} --workers 1",
    "list kinds --kind {ARG}",
    "train {desk}/f.h5 o.ckpt --test-fold {ARG}",
    "info {desk}/f.h5 --items {ARG}",
)
SPEC = """test-fold = 0

[train]
model = "logistic"

[search]
set.C = [0.01, 1.0]
class-weights = ["none", "balanced"]
"""
RANDOM = """val = 0.2
[train]
model = "linear"
[search]
set.C = { low = 0.01, high = 1.0, log = true }
[sampler]
runs = 2
"""
MAP = '[classes]\nangry = ["anger"]\nother = ["happiness", "sadness"]\n'
RTTM = (
    "SPEAKER s0 1 0.00 0.20 <NA> <NA> anna <NA> <NA>\nSPEAKER s0 1 0.20 0.30 <NA> <NA> ben <NA>\n"
)
TURNS = "start,end,speaker\n0,0.2,anna\n0.2,0.5,ben\n"

DOORS: tuple[Door, ...] = (
    Door("wav", _sounds("wav", "2.wav", "f.wav", "x.wav", "u.wav", "i.wav"), LISTENING),
    Door("flac", _sounds("flac", "2.flac"), LISTENING),
    Door("mp3", _sounds("mp3"), LISTENING),
    Door("ogg, opus", _sounds("ogg", "opus"), LISTENING),
    Door("aiff, au, caf, w64, nist",
         _sounds("aiff", "aifc", "au", "caf", "snd", "w64", "rf64", "nist"), LISTENING),
    Door("manifest", _files(("m.jsonl", "x.jsonl")), MANIFEST),
    Door("table", _tables, (
        "prepare -q {} o.jsonl",
        "prepare {} o.jsonl --raters r*",
        "prepare --suggest .",
        "prepare {} - --column file=name --column label=class --audio-root {desk}/c",
        "prepare {} o.jsonl --split kfold:2",
        "prepare {} - --encoding cp1252",
        "featurize -q --kind mfcc {} o.h5 --workers 1",
    )),
    Door("lhotse", _lhotse, FOLDERS, whole=True),
    Door("audformat", _audformat, FOLDERS, whole=True),
    Door("huggingface", _huggingface, FOLDERS, whole=True),
    Door("store", _stores, STORE, traced=0.1),
    Door("store: sound", _stores, STORE_SOUND, traced=0.1),
    Door("store: models", _stores, STORE_MODEL, traced=0.1),
    Door("store: networks", _stores, STORE_NETWORK, traced=0.1),
    Door("checkpoint",
         _files(("m.ckpt", "x.ckpt"), ("tiny.ckpt", "x.ckpt"), ("net.ckpt", "x.ckpt")),
         CHECKPOINT, traced=0.1),
    Door("onnx", _files(("m.onnx", "x.onnx"), ("net.onnx", "x.onnx")), (
        "info x.onnx",
        "predict -q x.onnx {desk}/c/anger/s0.wav --format jsonl",
        "eval --all x.onnx {desk}/f.h5 --json o.json",
        "eval --all x.onnx {desk}/n.h5",
        "info --json x.onnx",
    ), traced=0.1),
    Door("label map", _texts("x.toml", MAP, MAP + 'drop = ["sadness"]\n'), (
        "prepare {desk}/m.jsonl o.jsonl --labels x.toml",
        "prepare {desk}/c o.jsonl --labels x.toml",
    )),
    Door("corpus file", _named, (
        "prepare {desk}/c o.jsonl --corpus x.toml",
        "featurize -q {desk}/c o.h5 --corpus x.toml --kind mfcc --workers 1",
    )),
    Door("paper", _papers, (
        "report --paper x.toml {desk}/s.json",
        "report --paper x.toml",
        "report --paper x.toml --headlines {desk}/runs.jsonl",
        "report --paper x.toml {desk}/runs.jsonl --format json",
    )),
    Door("sweep", _texts("x.toml", SPEC, RANDOM), ("sweep x.toml {desk}/f.h5 o",)),
    Door("report", _files(("r.json", "x.json"), ("s.json", "x.json")), REPORT),
    Door("runs", _files(("runs.jsonl", "x.jsonl")), (
        "report x.jsonl",
        "report --compare x.jsonl",
        "report x.jsonl {desk}/s.json --pack o.jsonl",
        "report --paper ma2018 x.jsonl",
        "info x.jsonl",
    )),
    Door("folds", _texts("x.csv", FOLDS, PARTS), (
        "prepare {desk}/c o.jsonl --split file:x.csv",
        "prepare {desk}/m.jsonl - --split file:x.csv",
        "train {desk}/f.h5 o.ckpt --resplit file:x.csv --test-fold 0",
    )),
    Door("parts", _parts, ("",), files=_parts_of_others, traced=0.1),
    Door("--where", _arguments(*WHERE.split("|")), (
        "prepare {desk}/m.jsonl o.jsonl --where {ARG}",
        "train {desk}/f.h5 o.ckpt --test-fold 0 --where {ARG}",
        "select {desk}/f.h5 o.h5 --where {ARG}",
        "eval --all {desk}/m.ckpt {desk}/f.h5 --where {ARG}",
        "train {desk}/f.h5 o.ckpt --test-where {ARG}",
    )),
    Door("--set", _arguments("n_mfcc=13", "hop_length=80", "fmax=4000", "window=hann", "C=1"), (
        "featurize --kind mfcc {desk}/m.jsonl o.h5 --workers 1 --set {ARG}",
        "featurize --kind mel {desk}/w.h5 o.h5 --workers 1 --set {ARG}",
        "train {desk}/f.h5 o.ckpt --test-fold 0 --set {ARG}",
        "train {desk}/n.h5 o.ckpt --model sertool --epochs 1 --test-fold 0 --set {ARG}",
    )),
    Door("--pattern", _arguments(*PATTERNS), (
        "prepare {desk}/c o.jsonl --pattern {ARG}",
        "prepare {desk}/c - --pattern {ARG} --labels native",
    )),
    Door("--resplit, --split", _arguments(*PROTOCOLS), (
        "train {desk}/f.h5 o.ckpt --test-fold 0 --resplit {ARG}",
        "prepare {desk}/m.jsonl o.jsonl --split {ARG}",
    )),
    Door("other options", _arguments("0.5", "9:15", "wave.gain=-6:6", "time-mask=40:2",
                                     "anger,sadness", "1/2", "label=Emotion"), OPTIONS),
    Door("turns (RTTM)", _texts("x.rttm", RTTM), (f"{TURNED} --by-speaker x.rttm",)),
    Door("turns (table)", _texts("x.csv", TURNS), (f"{TURNED} --by-speaker x.csv",)),
    Door("list on -", _texts(STDIN, "{desk}/c/anger/s0.wav\n{desk}/c/sadness\n",
                             '{"id": "a", "path": "{desk}/c/anger/s0.wav"}\n'), (
        "predict {desk}/m.ckpt - --format jsonl",
        "featurize --kind mfcc - o.h5 --workers 1",
        "prepare - o.jsonl",
        "predict {desk}/m.ckpt - --null --format jsonl",
    ), change=mutate.json_of),
    Door("stream", _stream, (
        "predict {desk}/m.ckpt - --stream --sample-rate 8000 --format jsonl",
        "predict {desk}/m.ckpt - --stream --format jsonl",
        "predict - --stream --window 0.1 --format jsonl",
        "predict {desk}/m.ckpt - --stream --sample-rate 8000 --channels 2 --format jsonl",
    )),
    Door("serve", _requests, ("serve: {desk}/m.ckpt",)),
    Door("pull", _below("pushed"), ("pull x o.ckpt",), whole=True),
    Door("convert: npz", _files(("x.npz", "x.npz")), ("convert x.npz o.h5",), signed.zip_of),
    Door("convert: WebDataset", _below("x.tar.d"), ("convert x o.h5",), signed.tar_of, True),
    Door("convert: Parquet", _files(("x.parquet", "x.parquet")), ("convert x.parquet o.h5",)),
)  # fmt: skip


KINDS = (  # each from this door on
    ("recordings", "wav"),
    ("manifests, tables, folders of other tools", "manifest"),
    ("stores, checkpoints, ONNX models", "store"),
    ("label maps, papers, sweeps, reports, folds", "label map"),
    ("parts of an interrupted run", "parts"),
    ("values of options", "--where"),
    ("turns, lists, streams, requests", "turns (RTTM)"),
    ("folders to pull, arrays to convert", "pull"),
)


def _at(name: str) -> int:
    return [one.name for one in DOORS].index(name)


def words(line: str, files: Mapping[str, bytes]) -> list[str]:
    """Return a command line's words; {} is the name of the input's one file."""
    line = files.get(LINE, line.encode()).decode()
    return [next(iter(files)) if word == "{}" else word for word in line.split()]
