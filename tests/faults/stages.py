"""Every stage that writes, on inputs so small that it is killed a thousand times in an evening."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OUT = "o"  # the folder in which every stage here writes, below its working folder
DEMO = Path(__file__).parents[2] / "data" / "demo" / "corpus"

# `{d}` is the folder with the inputs
DESK = """
prepare --split speakers:3 {d}/c {d}/m.jsonl
featurize --kind wave --duration 1.4 {d}/m.jsonl {d}/w.h5
featurize --kind mel --set n_mels=20 {d}/w.h5 {d}/f.h5
select {d}/f.h5 {d}/s1.h5 --where speaker=spk01
select {d}/f.h5 {d}/s2.h5 --where speaker=spk02
select {d}/f.h5 {d}/s3.h5 --where speaker=spk03
convert {d}/f.h5 {d}/f.npz
train --model logistic --test-fold all {d}/f.h5 {d}/l.ckpt
train --model majority --test-fold 0 {d}/f.h5 {d}/j.ckpt
eval {d}/l.0.ckpt {d}/l.1.ckpt {d}/l.2.ckpt {d}/f.h5 --json {d}/r.json
eval {d}/j.ckpt {d}/f.h5 --json {d}/j.json
push {d}/l.0.ckpt {d}/model --licence cc0-1.0 --report {d}/r.json
push {d}/l.1.ckpt {d}/model1 --licence cc0-1.0
separate --mix {d}/c/spk01/spk01_anger_s1_r1.flac {d}/c/spk02/spk02_anger_s1_r1.flac {d}/mix
"""
SWEEP = """
test-fold = 0
[train]
model = "linear"
[search]
set.C = [0.1, 1.0]
"""


@dataclass(frozen=True)
class Stage:
    """How a stage is run in a soak.

    words: the command line, which writes into `o/`; old: the one that made what is there already
    in the state "over". continues: whether it takes `--resume`.
    """

    name: str
    words: str
    old: str
    continues: bool = True

    def line(self, desk: Path, old: bool = False) -> list[str]:
        """Return the words for these inputs."""
        return (self.old if old else self.words).format(d=desk).split()


def _stage(name: str, words: str, *swap: tuple[str, str], continues: bool = True) -> Stage:
    """Return a stage whose older output was made with other words in some places."""
    old = words
    for one, other in swap:
        assert one in old
        old = old.replace(one, other)
    return Stage(name, words, old, continues)


STAGES = {
    one.name: one
    for one in (
        _stage("prepare", "prepare --split kfold:3 --seed 1 {d}/c o/m.jsonl", ("d 1", "d 2")),
        _stage(
            "prepare lhotse", "prepare --to lhotse --split kfold:3 --seed 1 {d}/c o/l",
            ("d 1", "d 2"),
        ),
        _stage("featurize", "featurize --kind wave --dtype int16 {d}/m.jsonl o/f.h5",
               ("int16", "float32")),
        _stage("featurize workers", "featurize --kind mel --workers 2 --duration 1 {d}/c o/f.h5",
               ("n 1", "n 0.9")),
        _stage("featurize gzip", "featurize --kind mel --compress gzip {d}/w.h5 o/f.h5",
               ("gzip", "lzf")),
        _stage("featurize shard", "featurize --kind mel --shard 1/2 --duration 1 {d}/c o/f.h5",
               ("n 1", "n 0.9")),
        _stage("augment", "augment --awgn 15:30 --seed 1 {d}/w.h5 o/a.h5", ("d 1", "d 2")),
        _stage("merge", "merge {d}/s1.h5 {d}/s2.h5 o/m.h5", ("s2", "s3")),
        _stage("select", "select --where speaker=spk01 {d}/f.h5 o/s.h5", ("spk01", "spk02")),
        _stage("convert npz", "convert {d}/s1.h5 o/f.npz", ("s1", "s2")),
        _stage("convert webdataset", "convert --to webdataset {d}/s1.h5 o/w", ("s1", "s2")),
        _stage("convert back", "convert {d}/f.npz o/f.h5"),
        _stage("train network", "train --model probe --epochs 8 --batch-size 16 --seed 1"
               " --val 0.2 --test-fold 0 {d}/f.h5 o/n.ckpt", ("d 1", "d 2")),
        _stage("train tabular", "train --model svm --test-fold 0 --set C=1.0 {d}/f.h5 o/t.ckpt",
               ("C=1", "C=2")),
        _stage("train folds", "train --model logistic --test-fold all --set C=1.0 {d}/f.h5"
               " o/t.ckpt", ("C=1", "C=2")),
        _stage("eval", "eval {d}/l.0.ckpt {d}/l.1.ckpt {d}/f.h5 --json o/r.json", ("l.1", "l.2")),
        _stage("eval pages", "eval {d}/l.0.ckpt {d}/f.h5 --json o/r.json --html o/r.html"
               " --figures o/fig", ("l.0", "l.1")),
        _stage("predict", "predict --output o/p.jsonl --digits 3 {d}/l.0.ckpt {d}/c/spk01",
               ("s 3", "s 4")),
        _stage("predict workers", "predict --workers 2 --output o/p.csv --format csv"
               " --digits 3 {d}/l.0.ckpt {d}/c/spk01", ("s 3", "s 4")),
        _stage("predict page", "predict --output o/p.jsonl --html o/p.html --audio 2"
               " --digits 3 {d}/l.0.ckpt {d}/c/spk01", ("s 3", "s 4"), continues=False),
        _stage("report", "report {d}/r.json --pack o/r.jsonl", ("r.json ", "j.json "),
               continues=False),
        _stage("report page", "report {d}/r.json --html o/r.html", ("r.json ", "j.json ")),
        _stage("calibrate", "calibrate {d}/l.0.ckpt {d}/r.json o/c.ckpt", ("l.0", "l.1")),
        _stage("fuse", "fuse {d}/l.0.ckpt {d}/l.1.ckpt o/f.ckpt", ("l.1", "l.2")),
        _stage("export", "export {d}/l.0.ckpt o/m.onnx", ("l.0", "l.1")),
        _stage("separate", "separate --seed 1 {d}/mix/microphone-1.wav {d}/mix/microphone-2.wav"
               " o/s", ("d 1", "d 2")),
        _stage("sweep", "sweep {d}/sweep.toml {d}/f.h5 o/w", ("sweep.", "sweep2.")),
        _stage("push", "push {d}/l.0.ckpt o/model --licence cc0-1.0", ("l.0", "l.1")),
        _stage("pull", "pull {d}/model o/p.ckpt", ("model", "model1")),
    )
}  # fmt: skip


def make_desk(desk: Path, run: Callable[[list[str], Path], object], speakers: int = 3) -> None:
    """Make the inputs of all stages in a new folder; `run` runs a line, and raises if it fails."""
    for i in range(1, 1 + speakers):
        first = shutil.ignore_patterns("*_r2.flac")  # the repetitions
        shutil.copytree(DEMO / f"spk{i:02d}", desk / "c" / f"spk{i:02d}", ignore=first)
    (desk / "sweep.toml").write_text(SWEEP)
    (desk / "sweep2.toml").write_text(SWEEP.replace("0.1", "0.2"))
    for line in DESK.format(d=desk).strip().splitlines():
        run(line.split(), desk)
