"""Learning shares of raters' votes, and being tested by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import audmetric
import numpy as np
import pytest
import soundfile
import torch
from conftest import Result
from iemocap_tree import T, release
from made_stores import write_store
from scipy.optimize import minimize
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression

from sertool import votes
from sertool.evaluation import measures, pooling
from sertool.formats import checkpoint
from sertool.items import Item
from sertool.models import tabular
from sertool.targets import IGNORED, make_shares, make_target, shares, weigh_items
from sertool.training.heads import class_loss, tally

Cli = Callable[..., Result]
CLASSES = ("anger", "neutral", "sadness")
RATERS = 4  # on each item of `known`
SPEAKERS, EACH = 12, 40


def distribution(x: np.ndarray) -> np.ndarray:
    """What raters say of items with features x (n, 2): shares of three classes, known exactly."""
    logits = np.stack([1.5 * x[:, 0], 0.3 + 0 * x[:, 0], 1.2 * x[:, 1] - 0.5 * x[:, 0]], 1)
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True)


def drawn(seed: int) -> tuple[list[Item], list[np.ndarray], np.ndarray]:
    """Items with votes drawn from the distribution of their features, four folds of speakers."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((SPEAKERS * EACH, 2))
    p = distribution(x)
    rows, arrays = [], []
    for i in range(len(x)):
        counts = random.multinomial(RATERS, p[i])
        said = {c: int(n) for c, n in zip(CLASSES, counts, strict=True) if n}
        s = i // EACH
        rows.append(
            Item(f"c/{i}", f"/nowhere/{i}.wav", corpus="c", speaker=f"{s}", fold=s // 3,
                 gender="female" if s % 2 else "male", label=votes.majority(said),
                 origin=f"c/{i}", extra={"votes": said})
        )  # fmt: skip
        # half the frames above and half below: the mean over time is x
        arrays.append((x[i] + np.array([[0.1], [-0.1]])).astype(np.float32))
    return rows, arrays, p


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, arrays, _ = drawn(3)
    path = tmp_path_factory.mktemp("soft") / "s.h5"
    write_store(path, arrays, rows, kind="mel")
    return path


@pytest.fixture(scope="module")
def tested(known: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of every fold of linear models, one that learned shares and one that did not."""
    from sertool.cli import main

    folder, made = tmp_path_factory.mktemp("tested"), {}
    for name, options in (("soft", ["--soft"]), ("hard", [])):
        output = str(folder / f"{name}.ckpt")
        assert main(["train", str(known), output, "--test-fold", "all", *options]) == 0
        made[name] = folder / f"{name}.json"
        paths = [str(folder / f"{name}.{fold}.ckpt") for fold in range(4)]
        assert main(["eval", *paths, str(known), "--json", str(made[name])]) == 0
    return made


# --- what is learned ---


def table(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    counts = random.multinomial(5, [0.5, 0.3, 0.2], size=n).astype(float)
    return random.standard_normal((n, 4)) * 3 + 1, counts / counts.sum(1, keepdims=True)


@pytest.mark.parametrize("weights", [np.ones(3), np.array([0.5, 1.0, 3.0])])
def test_linear_is_the_minimum_of_the_cross_entropy(weights: np.ndarray) -> None:
    rows, wanted = table()
    model = tabular("linear")
    fitted = model.fit_shares(rows, wanted, weights, np.zeros(len(rows), np.int64))
    z = (rows - rows.mean(0)) / rows.std(0)

    def objective(flat: np.ndarray) -> float:
        coef, bias = flat[:12].reshape(3, 4), flat[12:]
        logits = z @ coef.T + bias
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return float(-(wanted * weights * logs).sum() + 0.5 * (coef**2).sum())

    best = minimize(objective, np.zeros(15), tol=1e-12).x
    coef, bias = best[:12].reshape(3, 4), best[12:]
    logits = z @ coef.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert model.posterior(fitted, rows) == pytest.approx(expected, abs=2e-4)
    # and it is scikit-learn's of each row once for each class, weighted
    copies = LogisticRegression(max_iter=2000).fit(
        np.repeat(z, 3, 0), np.tile(range(3), len(z)), (wanted * weights).ravel()
    )
    assert fitted["coef"] == pytest.approx(copies.coef_, abs=2e-3)


@pytest.mark.parametrize("name", ["linear", "majority"])
def test_shares_of_one_class_each_are_that_class(name: str) -> None:
    rows, wanted = table()
    targets = wanted.argmax(1)
    model, ones, groups = tabular(name), np.ones(3), np.zeros(len(rows), np.int64)
    hard = model.posterior(model.fit(rows, targets, 3, ones, groups), rows)
    soft = model.posterior(model.fit_shares(rows, np.eye(3)[targets], ones, groups), rows)
    assert soft == pytest.approx(hard, abs=1e-6)


SAID: list[dict[str, float] | None] = [
    {"anger": 3, "neutral": 1}, {"anger": 1, "sadness": 1}, None, {"sadness": 2}, {"neutral": 4},
    {"joy": 1, "anger": 1},
]  # fmt: skip


@pytest.mark.parametrize("balanced", ["none", "balanced"])
@pytest.mark.parametrize("length_weights", ["none", "inverse", "pieces"])
@pytest.mark.parametrize("norm", ["sum_w", "n", "epoch"])
def test_the_loss_by_hand(balanced: str, length_weights: str, norm: str) -> None:
    train, lengths = [0, 1, 3, 4], np.array([10, 20, 10, 40, 5, 10])
    items = [Item(f"i{k}", origin=f"o{k // 2}") for k in range(6)]
    names = [votes.majority(own) for own in SAID]
    target = make_shares(SAID, names, train, balanced)
    assert target.classes == list(CLASSES)
    assert target.indices.tolist() == [0, IGNORED, IGNORED, 2, 1, IGNORED]
    if length_weights != "none" or norm != "sum_w":
        target = weigh_items(target, items, train, lengths, length_weights)
    s = np.array([[0.75, 0.25, 0], [0.5, 0, 0.5], [0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    each = np.ones(4)
    if length_weights == "inverse":
        each = 1 / lengths[train]
    if length_weights == "pieces":
        each = np.array([1 / 2, 1 / 2, 1, 1])
    factors = np.ones(3)
    if balanced == "balanced":
        mass = (each[:, None] * s[train]).sum(0) if length_weights == "pieces" else s[train].sum(0)
        factors = mass.sum() / (3 * mass)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    logs = torch.log_softmax(logits.double(), 1).numpy()
    weight = each[:, None] * s[train] * factors
    scale = 4 / weight.sum() if length_weights != "none" or norm != "sum_w" else 1.0
    below = {"sum_w": weight.sum() * scale, "n": 4, "epoch": 2.5}[norm]
    wanted = -(weight * scale * logs).sum() / below
    divisor = 2.5 if norm == "epoch" else None
    found = class_loss(logits, np.array(train), target, norm, divisor)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_unknown_votes_add_nothing_and_one_class_is_the_plain_loss() -> None:
    said: list[dict[str, float] | None] = [{"anger": 1}, {"sadness": 2}, None, {"anger": 4}]
    names = [votes.majority(own) for own in said]
    soft = make_shares(said, names, [0, 1, 3], "balanced")
    hard = make_target(names, [0, 1, 3], "label", class_weights="balanced")
    plain = make_shares(said, names, [0, 1, 3]), make_target(names, [0, 1, 3], "label")
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(2))
    at = np.arange(4)
    assert soft.known(at).tolist() == [True, True, False, True]
    both = [float(class_loss(logits, at, target, "sum_w", None)) for target in (soft, hard)]
    assert both[0] == pytest.approx(both[1], rel=1e-6)
    both = [float(class_loss(logits, at, target, "sum_w", None, 0.1)) for target in plain]
    assert both[0] == pytest.approx(both[1], rel=1e-6)


def test_validation_is_by_shares_and_rates_by_majority() -> None:
    target = make_shares(SAID, [votes.majority(own) for own in SAID], [0, 1, 3, 4])
    logits = torch.tensor([[2.0, 0, 0], [0, 1.0, 0], [0, 0, 3.0]])
    counted = tally(target)
    counted.add(logits, np.array([0, 1, 3]))
    logs = torch.log_softmax(logits.double(), 1).numpy()
    s = np.array([[0.75, 0.25, 0], [0.5, 0, 0.5], [0, 0, 1]])
    assert counted.loss() == pytest.approx(-(s * logs).sum() / 3)
    assert counted.rates() == {"uar": 1.0, "accuracy": 1.0}  # of the two with a majority


# --- train and eval ---


def test_a_known_distribution_is_recovered(cli: Cli, known: Path, tmp_path: Path) -> None:
    """Of 480 items with four votes each, shares are learned nearer the truth than majorities."""
    rows, arrays, p = drawn(99)
    store = tmp_path / "new.h5"
    write_store(store, arrays, rows, kind="mel")
    gaps = {}
    for name, options in (("soft", ["--soft"]), ("hard", [])):
        path, out = tmp_path / f"{name}.ckpt", tmp_path / f"{name}.json"
        assert cli("train", known, path, "--test-fold", "none", *options).code == 0
        assert cli("eval", path, store, "--all", "--json", out).code == 0
        report = json.loads(out.read_text())
        found = {r["id"]: r["posterior"] for r in [*report["items"], *report["undecided"]]}
        q = np.array([[found[row.id][c] for c in CLASSES] for row in rows])
        gaps[name] = float(entropy(p, q, axis=1).mean())
    assert gaps["soft"] < 0.01
    assert gaps["hard"] > 5 * gaps["soft"]


def test_a_report_by_votes_is_scipys(known: Path, tested: dict[str, Path]) -> None:
    rows, _, _ = drawn(3)
    by_id = {row.id: row for row in rows}
    ties = [row.id for row in rows if row.label is None]
    for name, path in tested.items():
        report = json.loads(path.read_text())
        assert len(report["items"]) == sum(map(sum, report["confusion"])) == len(rows) - len(ties)
        assert sorted(r["id"] for r in report["undecided"]) == sorted(ties)
        truth = [by_id[r["id"]].label for r in report["items"]]
        assert truth == [r["truth"] for r in report["items"]]
        said = [r["prediction"] for r in report["items"]]
        assert report["uar"] == pytest.approx(audmetric.unweighted_average_recall(truth, said))
        assert report["accuracy"] == pytest.approx(audmetric.accuracy(truth, said))
        every = [*report["items"], *report["undecided"]]
        s = shares([votes.votes_of(by_id[r["id"]]) for r in every], CLASSES)
        q = np.array([[r["posterior"][c] for c in CLASSES] for r in every])
        assert [r["votes"] for r in every] == [dict(zip(CLASSES, row, strict=True)) for row in s]
        kl, own = entropy(s, q, axis=1), report["votes"]
        assert (own["n"], own["undecided"]) == (len(rows), len(ties))
        assert own["kl"] == pytest.approx(kl.mean())
        assert own["cross_entropy"] == pytest.approx((kl + entropy(s, axis=1)).mean())
        assert own["ci"]["kl"][0] < own["kl"] < own["ci"]["kl"][1]
        assert set(own["speakers"]) == {f"c/{k}" for k in range(SPEAKERS)}
        assert ("soft" in report["protocol"]) == (name == "soft")
        assert report["baselines"]["majority"]["votes"]["kl"] > own["kl"]


def test_intervals_are_over_speakers(tested: dict[str, Path]) -> None:
    report = json.loads(tested["soft"].read_text())
    rows = np.array([[sums[1], sums[0]] for sums in report["votes"]["speakers"].values()])
    random = np.random.default_rng(0)
    draws = rows[random.integers(0, len(rows), (4000, len(rows)))].sum(1)
    wanted = np.percentile(draws[:, 0] / draws[:, 1], [2.5, 97.5])
    assert report["votes"]["ci"]["kl"] == pytest.approx(wanted, abs=0.1 * np.ptp(wanted))


def test_soft_models_are_compared_with_hard_ones(cli: Cli, tested: dict[str, Path]) -> None:
    result = cli("report", "--compare", tested["soft"], tested["hard"], "--format", "json")
    assert result.code == 0, result.err
    pair = json.loads(result.out)["pairs"][0]
    gap = pair["figures"]["votes_kl"]
    each = [json.loads(tested[name].read_text())["votes"]["kl"] for name in ("soft", "hard")]
    assert [own["mean"] for own in gap["systems"]] == pytest.approx(each)
    assert gap["difference"]["value"] == pytest.approx(each[0] - each[1])
    assert gap["difference"]["ci"][1] < 0
    both = ("report", tested["soft"], tested["hard"])  # two systems, whatever their tags
    shown = cli(*both, "--format", "markdown")
    assert "KL from votes" in " ".join(shown.out.split())
    assert "shares of votes" in shown.out


def test_reports_by_votes_pool(cli: Cli, known: Path, tested: dict[str, Path]) -> None:
    folder, parts = tested["soft"].parent, []
    for fold in range(4):
        parts.append(folder / f"part{fold}.json")
        args = ("eval", folder / f"soft.{fold}.ckpt", known, "--summary", "--json", parts[-1])
        assert cli(*args).code == 0
        assert "items" not in json.loads(parts[-1].read_text())
    pooled = pooling.pool(pooling.group(pooling.load(parts))[0])
    whole = pooling.pool(pooling.group(pooling.load([tested["soft"]]))[0])
    figures = [{"measure": name} for name in measures.OF_VOTES]
    for left, right in zip(
        measures.values(pooled, figures), measures.values(whole, figures), strict=True
    ):
        assert left is not None
        assert right is not None
        assert (left.mean, left.ci) == (pytest.approx(right.mean), pytest.approx(right.ci))


def test_what_eval_prints(cli: Cli, known: Path, tested: dict[str, Path]) -> None:
    folder = tested["soft"].parent
    shown = cli("eval", *(folder / f"soft.{fold}.ckpt" for fold in range(4)), known)
    out = " ".join(shown.out.split())
    assert "against votes, in nats" in out
    assert "trained on shares of votes" in out
    assert "480 files with votes" in out
    mixed = cli("eval", folder / "soft.0.ckpt", folder / "hard.1.ckpt", known)
    assert (mixed.code, "shares of votes" in mixed.err) == (3, True)
    assert "shares of raters' votes" in cli("info", folder / "soft.0.ckpt").out


def test_a_network_learns_shares(cli: Cli, known: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    options = ("--model", "sundharam-cnn", "--epochs", 2, "--soft", "--device", "cpu")
    more = ("--class-weights", "balanced", "--mixup", 0.2, "--length-weights", "inverse")
    store = tmp_path / "s.h5"
    rows, arrays, _ = drawn(3)
    some = range(0, len(rows), 3)
    write_store(store, [np.tile(arrays[i], (20, 2)) for i in some], [rows[i] for i in some])
    result = cli("train", store, path, "--test-fold", 0, "--val-fold", 1, *options, *more)
    assert result.code == 0, result.err
    loaded = checkpoint.load(path)
    ids = {item.id for item in loaded.part("train")}
    ties = {rows[i].id for i in some if rows[i].label is None and (rows[i].fold or 0) > 1}
    assert ties
    assert ties <= ids
    assert (loaded.header.protocol or {})["soft"] is True
    out = tmp_path / "r.json"
    assert cli("eval", path, store, "--json", out).code == 0
    assert json.loads(out.read_text())["votes"]["kl"] > 0


def test_hard_models_leave_ties_out_of_training_and_say_so(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    path = tmp_path / "m.ckpt"
    result = cli("train", known, path, "--test-fold", 0)
    said = " ".join(result.err.split())
    assert "items with votes and no label are left out of training; --soft learns them" in said
    rows, _, _ = drawn(3)
    ties = {row.id for row in rows if row.label is None}
    loaded = checkpoint.load(path)
    assert not ties & {item.id for item in loaded.part("train")}
    assert {r.id for r in rows if r.fold == 0} == {item.id for item in loaded.part("test")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "svm"], "learns one class of each item"),
        (["--model", "huang2014"], "learns one class of each item"),
        (["--target", "gender"], "votes are on the label"),
        (["--per", "gender"], "--per"),
    ],
)
def test_what_cannot_learn_shares_is_refused(
    cli: Cli, known: Path, tmp_path: Path, options: list[str], told: str
) -> None:
    result = cli("train", known, tmp_path / "m.ckpt", "--test-fold", 0, "--soft", *options)
    assert result.code == 2, result.err
    assert told in " ".join(result.err.split())


def test_without_any_votes(cli: Cli, tmp_path: Path) -> None:
    rows, arrays, _ = drawn(3)
    for row in rows:
        row.extra, row.label = {}, row.label or "neutral"
    write_store(tmp_path / "s.h5", arrays, rows, kind="mel")
    args = ("train", tmp_path / "s.h5", tmp_path / "m.ckpt", "--test-fold", 0)
    result = cli(*args, "--soft")
    assert (result.code, "no item has votes" in result.err) == (2, True)
    assert cli(*args).code == 0
    out = tmp_path / "r.json"
    assert cli("eval", tmp_path / "m.ckpt", tmp_path / "s.h5", "--json", out).code == 0
    assert not {"votes", "undecided"} & set(json.loads(out.read_text()))


def test_a_label_without_votes_is_one(cli: Cli, tmp_path: Path) -> None:
    rows, arrays, _ = drawn(3)
    labelled = [row for row in rows if row.label is not None]
    for row in labelled[:100]:
        row.extra = {}
    write_store(tmp_path / "s.h5", arrays, rows, kind="mel")
    result = cli("train", tmp_path / "s.h5", tmp_path / "m.ckpt", "--test-fold", 0, "--soft")
    assert result.code == 0
    assert "100 items have a label and no votes" in " ".join(result.err.split())


def test_copies_inherit_votes_and_stores_keep_them(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    random = np.random.default_rng(0)
    lines = ["file,speaker,r1,r2,r3"]
    for i in range(12):
        soundfile.write(folder / f"{i}.wav", 0.1 * random.standard_normal(4000), 8000)
        second = ("sad", "angry", "sad")[i % 3]
        lines.append(f"{i}.wav,{i % 4},{('angry', 'sad')[i % 2]},{second},{'' if i % 2 else 'sad'}")
    (folder / "t.csv").write_text("\n".join(lines))
    m, w, a, f = (tmp_path / name for name in ("m.jsonl", "w.h5", "a.h5", "f.h5"))
    assert cli("prepare", folder / "t.csv", m, "--raters", "r*", "--split", "speakers:2").code == 0
    assert cli("featurize", m, w, "--kind", "wave").code == 0
    assert cli("augment", w, a, "--awgn", "15:30", "--copies", 1).code == 0
    cut = ("--segment", 0.25, "--segment-hop", 0.125)
    assert cli("featurize", a, f, "--kind", "mel", *cut).code == 0
    from sertool.formats.store import Store

    with Store(f) as store:
        rows = store.items()
    said = {
        json.loads(line)["id"]: json.loads(line)["votes"] for line in m.read_text().splitlines()
    }
    assert len(rows) > 24
    assert all(votes.votes_of(row) == said[row.origin] for row in rows)
    result = cli("train", f, tmp_path / "m.ckpt", "--soft", "--test-fold", 0)
    assert result.code == 0, result.err
    assert cli("eval", tmp_path / "m.ckpt", f, "--json", tmp_path / "r.json").code == 0
    report: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    assert report["votes"]["n"] == len(report["items"]) + len(report.get("undecided", []))


def test_iemocap_from_its_evaluations_to_a_report(cli: Cli, tmp_path: Path) -> None:
    words = ("Neutral", "Sadness", "Anger", "Excited", "Happiness")
    codes = {"Neutral": "neu", "Sadness": "sad", "Anger": "ang"}
    dialogues: dict[str, list[T]] = {}
    k = 0
    for session in "123":
        for letter in "FM":
            turns = []
            for i in range(8):
                one, other = words[k % 3], words[(k // 3) % 5]
                third = (one, other, "Other")[i % 3]
                code = codes[one] if (one, other).count(one) + (third == one) > 1 else "xxx"
                turns.append(T(f"{letter}{i:03d}", code, votes=(one, other, third)))
                k += 1
            dialogues[f"Ses0{session}{letter}_impro01"] = turns
    root = release(tmp_path / "IEMOCAP_full_release", dialogues)
    random = np.random.default_rng(1)
    for path in root.rglob("*.wav"):
        soundfile.write(path, 0.1 * random.standard_normal(6400), 16000)
    m, f, out = (tmp_path / name for name in ("m.jsonl", "f.h5", "r.json"))
    four = tmp_path / "four.toml"  # as iemocap4, with the turns on which evaluators differ
    kept = ("anger = []", 'happiness = ["excitement"]', "neutral = []", "sadness = []")
    four.write_text("\n".join(['drop = ["*"]', "[classes]", *kept]))
    prepared = cli("prepare", root, m, "--labels", four, "--split", "sessions")
    assert prepared.code == 0, prepared.err
    assert "without a majority" in prepared.err
    rows = [json.loads(line) for line in m.read_text().splitlines()]
    assert {name for row in rows for name in row["votes"] or ()} == {
        "anger", "happiness", "neutral", "sadness",
    }  # fmt: skip
    assert cli("featurize", m, f, "--kind", "mel", "--duration", 1.4, "--fit", "both").code == 0
    for model in ("linear", "sundharam-cnn"):
        more = () if model == "linear" else ("--epochs", 1, "--device", "cpu")
        path = tmp_path / f"{model}.ckpt"
        given = ("--soft", "--test-fold", "all", "--model", model, *more)
        result = cli("train", f, path, *given)
        assert result.code == 0, result.err
        paths = [tmp_path / f"{model}.{fold}.ckpt" for fold in range(3)]
        tested = cli("eval", *paths, f, "--force", "--json", out)
        assert tested.code == 0, tested.err
        report = json.loads(out.read_text())
        assert report["votes"]["undecided"] == len(report["undecided"]) > 0
        assert report["protocol"]["soft"] is True
