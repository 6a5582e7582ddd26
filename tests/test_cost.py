"""`eval --cost`: what stages took, by their logs, and how much sound was heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_stores import write_store

from sertool.core import boxes
from sertool.core.errors import InputError
from sertool.evaluation.cost import sound, spent
from sertool.evaluation.report import identity, read
from sertool.formats.store import Store
from sertool.items import Item


def log(path: Path, *ends: tuple[str, float]) -> Path:
    rows = [{"stage": stage, "event": "end", "cpu": cpu} for stage, cpu in ends]
    told = [{"stage": "train", "event": "start"}, *rows, {"stage": "train", "event": "note"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return path


def test_stages_are_summed_over_logs_and_resumed_runs(tmp_path: Path) -> None:
    logs = [log(tmp_path / "a", ("train", 2.5), ("train", 1.0)), log(tmp_path / "b", ("eval", 4))]
    assert spent(logs) == {"train": 3.5, "eval": 4.0}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nothing of the kind", "not a log"),
        ('{"stage": "train", "event": "end", "seconds": 1}', "older"),
        ('{"stage": "train", "event": "start"}', "no stage has ended"),
    ],
)
def test_what_is_no_log_is_named(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "x.log"
    path.write_text(text + "\n")
    with pytest.raises(InputError, match=rf"x\.log: .*{word}"):
        spent([path])


def test_a_recording_counts_once_and_one_that_is_gone_makes_it_unknown(
    tmp_path: Path, sounds: Path
) -> None:
    first = sorted(sounds.rglob("*.wav"))[0]
    name = str(first.relative_to(sounds))
    whole = [Item(f"c/a{end}", path=name, origin="c/a") for end in ("#000", "#001")]
    once = sound(whole, str(sounds))
    assert once is not None
    assert once == sound(whole[:1], str(sounds))
    cut = Item("c/b@0-50", path=name, start=0.0, end=0.05, origin="c/b@0-50")
    assert sound([*whole, cut], str(sounds)) == pytest.approx(once + 0.05)
    assert sound([Item("c/a", path="gone.wav")], str(sounds)) is None


def test_one_process_reads_the_headers_of_all(
    sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    real = boxes.Boxes
    monkeypatch.setattr(boxes, "Boxes", lambda *given: begun.append(1) or real(*given))
    items = [Item(path.name, str(path)) for path in sorted(sounds.rglob("*.wav"))]
    with boxes.usually():
        assert sound(items, "") == pytest.approx(6.0)
    assert begun == [1] * boxes.FORKS


def test_a_report_keeps_what_it_took_apart_from_what_it_is(
    tmp_path: Path, sounds: Path, cli
) -> None:
    store, plain, costly = tmp_path / "f.h5", tmp_path / "plain.json", tmp_path / "costly.json"
    logs = tmp_path / "f.log", tmp_path / "t.log"
    assert cli("featurize", "--log", logs[0], sounds, store).code == 0
    train = ("train", "--val", "0.2", "--no-baselines", "--log", logs[1])
    assert cli(*train, store, tmp_path / "m.ckpt").code == 0
    test = ("eval", "--all", tmp_path / "m.ckpt", store, "--json")
    assert cli(*test, plain).code == 0
    done = cli(*test, costly, "--cost", logs[0], "--cost", logs[1])
    assert done.code == 0, done.err
    report = read(costly)
    assert set(report.cost.stages) == {"featurize", "train"}
    assert min(report.cost.stages.values()) > 0
    assert report.cost.scoring >= 0
    with Store(store) as made:
        assert report.cost.sound == pytest.approx(sound(made.items(), made.root))
    assert report.cost.sound > 0
    raw = [json.loads(path.read_text()) for path in (plain, costly)]
    assert "cost" not in raw[0]
    assert raw[0]["model"]["parameters"] > 0
    assert identity(raw[0]) == identity(raw[1])
    missing = cli(*test, tmp_path / "x.json", "--cost", tmp_path / "none.log")
    assert (missing.code, "none.log" in missing.err) == (3, True)


def test_seeds_change_nothing_in_what_draws_nothing(tmp_path: Path, cli) -> None:
    """What recipes/leaderboard.sh says of models that are fitted in one step, at any seed."""
    from sertool.formats import checkpoint

    random = np.random.default_rng(0)
    store = tmp_path / "s.h5"
    items, arrays = [], []
    for i in range(48):
        label = ("anger", "fear", "sadness")[i % 3]
        shift = {"anger": 0.0, "fear": 1.0, "sadness": 2.0}[label]
        item = Item(f"c/{i:02d}", speaker=f"s{i // 12}", corpus="c", label=label, fold=i // 12)
        items.append(item)
        arrays.append(random.normal(shift, 1.0, (4, 6)).astype(np.float32))
    write_store(store, arrays, items)
    for model, extra in (
        ("linear", ()),
        ("logistic", ()),
        ("svm", ("--set", 'kernel="linear"')),
        ("boosting", ("--set", "trees=5")),
    ):
        weights = []
        for seed in (0, 1, 2):
            path = tmp_path / f"{model}{seed}.ckpt"
            words = ("--model", model, *extra, "--test-fold", "0", "--seed", str(seed))
            done = cli("train", "--no-baselines", *words, store, path)
            assert done.code == 0, done.err
            weights.append(checkpoint.load(path).tensors)
        assert weights[0].keys() == weights[1].keys() == weights[2].keys()
        for name, value in weights[0].items():
            for other in weights[1:]:
                assert np.array_equal(value, other[name]), (model, name)
