"""`sertool push` and `pull`: a model's folder with its card, and what must not pass for one."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_reports
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_store import items, make

from sertool.core.errors import UsageError
from sertool.evaluation import card, report
from sertool.extras import hub
from sertool.formats import box, checkpoint, lineage, onnx, repository
from sertool.items import Item
from sertool.models.scoring import Scorer

Cli = Callable[..., Any]
FILES = [repository.CONFIG, repository.CARD, repository.MODEL]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of three folds, their report, and one of a leak: tested on what was trained on."""
    from sertool.cli import main

    folder = tmp_path_factory.mktemp("models")
    plain = items(copies=0)
    store = make(folder / "s.h5", plain)
    train = ["train", "--model", "linear", str(store), str(folder / "m.ckpt"), "--test-fold", "all"]
    assert main(train) == 0
    folds = [str(folder / f"m.{k}.ckpt") for k in range(3)]
    assert main(["eval", *folds, str(store), "--json", str(folder / "r.json")]) == 0
    again = ["eval", folds[0], str(store), "--all", "--json", str(folder / "leaky.json")]
    assert main(again) == 0
    rows = [Item.from_row(row.store_row() | {"arousal": i % 7 / 6}) for i, row in enumerate(plain)]
    numbers = make(folder / "n.h5", rows)
    train = ["train", "--model", "linear", str(numbers), str(folder / "n.ckpt"), "--test-fold", "0"]
    assert main([*train, "--target", "arousal"]) == 0
    line = ["eval", str(folder / "n.ckpt"), str(numbers), "--json", str(folder / "numbers.json")]
    assert main(line) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, cli: Cli) -> Path:
    """A model that was pushed into a folder, beside what it was made from."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    result = cli("push", tmp_path / "m.0.ckpt", tmp_path / "p", "--report", tmp_path / "r.json")
    assert result.code == 0, result.err
    return tmp_path


def pulled(cli: Cli, folder: Path, *more: object) -> Any:
    return cli("pull", folder / "p", folder / "out.ckpt", *more)


def refused(cli: Cli, folder: Path, words: str) -> None:
    result = pulled(cli, folder)
    assert (result.code, result.err.count("\n")) == (3, 1), result.err
    assert words in result.err
    assert not (folder / "out.ckpt").exists()
    assert not list(folder.glob(".*"))


def listed(folder: Path, name: str = repository.MODEL, **values: object) -> None:
    """Change what the list says of a file."""
    path = folder / "p" / repository.CONFIG
    config = json.loads(path.read_text())
    config["files"].setdefault(name, {}).update(values)
    path.write_text(json.dumps(config))


def lie(folder: Path, content: bytes) -> None:
    """Put other bytes in the place of the model, with a list that fits."""
    (folder / "p" / repository.MODEL).write_bytes(content)
    listed(folder, size=len(content), sha256=hashlib.sha256(content).hexdigest())


# --- there and back ---


def test_what_is_pulled_is_what_was_pushed(folder: Path, cli: Cli) -> None:
    assert sorted(os.listdir(folder / "p")) == sorted(FILES)
    assert pulled(cli, folder).code == 0
    assert (folder / "out.ckpt").read_bytes() == (folder / "m.0.ckpt").read_bytes()
    config = json.loads((folder / "p" / repository.CONFIG).read_text())
    assert config["identity"] == checkpoint.load(folder / "m.0.ckpt").identity
    assert list(config["id2label"].values()) == checkpoint.load(folder / "m.0.ckpt").header.classes


def test_neither_replaces_anything_without_force(folder: Path, cli: Cli) -> None:
    push = ("push", folder / "m.1.ckpt", folder / "p")
    for more in ((), ("--resume",)):
        result = cli(*push, *more)
        assert (result.code, "--force replaces it" in result.err) == (3, True)
    assert pulled(cli, folder).code == 0
    assert pulled(cli, folder).code == 3
    assert pulled(cli, folder, "--resume").code == 0
    assert cli(*push, "--force").code == 0
    assert cli(*push, "--resume").code == 0
    assert pulled(cli, folder, "--resume").code == 3
    assert pulled(cli, folder, "--force").code == 0
    assert (folder / "out.ckpt").read_bytes() == (folder / "m.1.ckpt").read_bytes()


def test_a_clone_keeps_what_else_is_in_it(folder: Path, cli: Cli) -> None:
    clone = folder / "clone"
    (clone / ".git").mkdir(parents=True)
    (clone / ".gitattributes").write_text("*.ckpt filter=lfs\n")
    assert cli("push", folder / "m.0.ckpt", clone).code == 0
    assert sorted(os.listdir(clone)) == sorted([".git", ".gitattributes", *FILES])


def test_an_input_is_no_output(folder: Path, cli: Cli) -> None:
    own = folder / "p" / repository.MODEL
    before = own.read_bytes()
    for line in (("push", own, folder / "p"), ("pull", folder / "p", own)):
        result = cli(*line, "--force")
        assert (result.code, "the same file" in result.err) == (2, True)
    assert own.read_bytes() == before


@pytest.mark.parametrize("name", FILES)
def test_a_mixed_set_is_refused(folder: Path, cli: Cli, name: str) -> None:
    assert cli("push", folder / "m.1.ckpt", folder / "q").code == 0
    shutil.copy(folder / "q" / name, folder / "p")
    if name != repository.CARD:  # which people edit
        refused(cli, folder, "damaged")


@pytest.mark.parametrize("place", ["p", "new"])
def test_an_interrupted_push_leaves_what_was_there(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def stop(path: Path, content: bytes) -> int:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        return kept(path, content)

    written: list[Path] = []
    kept = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", stop)
    assert cli("push", folder / "m.1.ckpt", folder / place, "--force").code == 130
    monkeypatch.undo()
    assert not (folder / "new").exists()
    assert not [*folder.glob(".*"), *(folder / "p").glob(".*")]
    assert pulled(cli, folder).code == 0
    assert (folder / "out.ckpt").read_bytes() == (folder / "m.0.ckpt").read_bytes()


def test_the_model_in_the_box_has_its_own_card(tmp_path: Path, cli: Cli) -> None:
    assert cli("push", "box", tmp_path / "b").code == 0
    assert (tmp_path / "b" / repository.CARD).read_text() == box.card()
    assert cli("pull", tmp_path / "b", tmp_path / "b.ckpt").code == 0
    found = box.model()
    assert found is not None
    assert (tmp_path / "b.ckpt").read_bytes() == found.read_bytes()
    assert cli("push", "box", tmp_path / "c", "--licence", "mit").code == 2


def exported(folder: Path, k: int) -> Path:
    """Write the ONNX model of a fold; made without ONNX Runtime, which would compare it."""
    pytest.importorskip("onnx", reason="ONNX models need sertool[onnx]")
    from sertool.formats.onnx_graph import Graph

    model = checkpoint.load(folder / f"m.{k}.ckpt")
    scorer, graph = Scorer.of(model), Graph()
    graph.output("posterior", scorer.graph(graph), ("items", len(scorer.outputs)))
    step = lineage.record("export", {}, f"m.{k}.ckpt", model.identity)
    meta = onnx.described(model.meta) | {"lineage": [*model.meta["lineage"], step]}
    onnx.save(onnx.packed(graph.to_bytes(), meta), folder / f"m.{k}.onnx")
    return folder / f"m.{k}.onnx"


def test_an_onnx_model_beside_it(folder: Path, cli: Cli, remote: Hub) -> None:
    ours, other = exported(folder, 0), exported(folder, 1)
    push = ("push", folder / "m.0.ckpt", folder / "q")
    result = cli(*push, "--onnx", other)
    assert (result.code, "exported" in result.err) == (3, True)
    assert cli(*push, "--onnx", ours).code == 0
    assert cli("pull", folder / "q", folder / "out.onnx").code == 0
    assert (folder / "out.onnx").read_bytes() == ours.read_bytes()
    result = cli("pull", folder / "p", folder / "two.onnx")
    assert (result.code, "holds no model.onnx" in result.err) == (3, True)
    result = cli(*push, "--force")
    assert (result.code, "remove it" in result.err) == (3, True)
    whole = bytearray(ours.read_bytes())
    whole[-1] ^= 1
    (folder / "q" / repository.ONNX).write_bytes(whole)
    assert cli("pull", folder / "q", folder / "two.onnx").code == 3
    assert cli("push", folder / "m.0.ckpt", "hf:a/b", "--onnx", ours).code == 0
    assert cli("push", folder / "m.0.ckpt", "hf:a/b", "--force").code == 0
    assert not (folder / "hub/a/b/main" / repository.ONNX).exists()


# --- hostile folders ---


def test_a_flipped_bit_a_cut_file_and_a_longer_one(folder: Path, cli: Cli) -> None:
    path = folder / "p" / repository.MODEL
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for other in (bytes(flipped), content[:-1]):
        path.write_bytes(other)
        refused(cli, folder, "damaged")
    path.write_bytes(content + b"\0")
    refused(cli, folder, "bytes expected")
    path.unlink()
    refused(cli, folder, "no such file")


@pytest.mark.parametrize(
    ("size", "words"),
    [(1 << 36, "GB of memory, and the limit is 1 GB"), (10**400, "config.json")],
    ids=["a hole", "no size"],
)
def test_a_size_beyond_memory(folder: Path, cli: Cli, size: int, words: str) -> None:
    os.truncate(folder / "p" / repository.MODEL, 1 << 36)
    listed(folder, size=size)
    refused(cli, folder, words)


def test_a_list_that_fits_saves_no_bad_checkpoint(folder: Path, cli: Cli) -> None:
    lie(folder, b"not a checkpoint")
    refused(cli, folder, "not a checkpoint")
    content = bytearray((folder / "m.0.ckpt").read_bytes())
    content[-1] ^= 1
    lie(folder, bytes(content))
    refused(cli, folder, "checksum is wrong")


@pytest.mark.parametrize("name", [repository.MODEL, repository.CONFIG])
def test_links_are_not_followed(folder: Path, cli: Cli, name: str) -> None:
    own, outside = folder / "p" / name, folder / name
    shutil.move(own, outside)
    own.symlink_to(outside)
    refused(cli, folder, "is a link")
    own.unlink()
    own.symlink_to(own)
    refused(cli, folder, "is a link")
    own.unlink()
    os.mkfifo(own)
    refused(cli, folder, "not a regular file")
    own.unlink()
    own.mkdir()
    refused(cli, folder, "is a directory")


def test_no_name_in_the_list_is_opened(folder: Path, cli: Cli) -> None:
    (folder / "secret").write_bytes(b"secret")
    for name in ("../secret", str(folder / "secret"), "a\0b", "..", ""):
        listed(folder, name, size=6, sha256=hashlib.sha256(b"secret").hexdigest())
    assert pulled(cli, folder).code == 0
    assert (folder / "out.ckpt").read_bytes() == (folder / "m.0.ckpt").read_bytes()


def test_push_replaces_a_link_not_what_it_leads_to(folder: Path, cli: Cli) -> None:
    (folder / "other").write_text("precious")
    own = folder / "p" / repository.CARD
    own.unlink()
    own.symlink_to(folder / "other")
    assert cli("push", folder / "m.0.ckpt", folder / "p", "--force").code == 0
    assert (folder / "other").read_text() == "precious"
    assert not own.is_symlink()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ("[]", "not of a model"),
        ("{}", "not of a model"),
        ("[" * 100_000, "damaged"),
        ('{"format": "sertool-model", "version": 1}', "damaged"),
        ('{"format": "sertool-model", "version": 1, "files": {}}', "holds no model.ckpt"),
        ('{"format": "sertool-model", "version": 2, "files": {}}', "reads up to 1"),
        (
            '{"format": "sertool-model", "version": 1, "files": {"model.ckpt": {"size": -1,'
            ' "sha256": "0"}}}',
            "damaged",
        ),
        ('{"format": ' + "9" * 5000 + "}", "damaged"),
        (" " * (repository.MOST_CONFIG + 1), "bytes expected"),
    ],
)
def test_a_list_that_is_none(folder: Path, cli: Cli, text: str, words: str) -> None:
    (folder / "p" / repository.CONFIG).write_text(text)
    refused(cli, folder, words)


def test_places_that_are_none(folder: Path, cli: Cli) -> None:
    for place in ("nowhere", "m.0.ckpt"):
        result = cli("pull", folder / place, folder / "out.ckpt")
        assert (result.code, result.err.count("\n")) == (3, 1), place
    for place in ("no/where", "m.0.ckpt"):
        result = cli("push", folder / "m.0.ckpt", folder / place)
        assert (result.code, result.err.count("\n")) == (3, 1), place
    for line in (
        ("push", folder / "m.0.ckpt", folder / "q", "--private"),
        ("push", folder / "m.0.ckpt", folder / "q", "--licence", "CC BY\n"),
        ("push", folder / "m.0.ckpt", folder / "q", "--language", "english"),
        ("pull", folder / "p", folder / "out.ckpt", "--revision", "v1"),
    ):
        result = cli(*line)
        assert (result.code, result.err.count("\n")) == (2, 1), line


# --- the card ---


def test_figures_are_the_report_s(folder: Path) -> None:
    text = (folder / "p" / repository.CARD).read_text()
    told = report.read(folder / "r.json")
    assert isinstance(told, report.Report)
    limits = told.figures.ci.limits["uar"]
    assert told.figures.uar is not None
    assert None not in limits
    uar, low, high = (f"{100 * value:.1f}" for value in (told.figures.uar, *limits) if value)
    assert f"| linear | {uar} [{low}, {high}] |" in text
    assert f"value: {float(uar)}\n" in text
    assert "speakers apart: yes" in text
    assert "This model and 2 models trained alike on" in text
    assert hashlib.sha256((folder / "r.json").read_bytes()).hexdigest()[:12] in text
    for words in ("must not be used", "Not calibrated", "No licence was named"):
        assert words in text


def test_a_leak_is_said_in_text_and_data(folder: Path, cli: Cli) -> None:
    line = ("push", folder / "m.0.ckpt", folder / "l", "--report", folder / "leaky.json")
    assert cli(*line, "--licence", "cc0-1.0").code == 0
    text = (folder / "l" / repository.CARD).read_text()
    _, head, body = text.split("---\n", 2)
    assert "speakers apart: NO" in head
    assert "**speakers apart: NO" in body
    assert "Do not expect these figures" in body
    assert "license: cc0-1.0" in head


def test_without_a_report_no_figure(folder: Path, cli: Cli) -> None:
    result = cli("push", folder / "m.0.ckpt", folder / "q")
    assert result.code == 0
    assert all(word in result.err for word in ("no --report", "no --licence"))
    assert result.err.count("\n") == 3
    text = (folder / "q" / repository.CARD).read_text()
    assert "model-index" not in text
    assert "Not known: no report of a test was given" in text


def test_reports_of_other_models_are_refused(folder: Path, cli: Cli) -> None:
    other = made_reports.report(made_reports.speech(), model="cnn")
    made_reports.write(folder / "other.json", other)
    for name in ("numbers.json", "other.json", "m.0.ckpt", "missing.json"):
        result = cli("push", folder / "m.0.ckpt", folder / "q", "--report", folder / name)
        assert (result.code, result.err.count("\n")) == (3, 1), (name, result.err)
        assert not (folder / "q").exists()


def test_of_numbers(folder: Path, cli: Cli) -> None:
    line = ("push", folder / "n.ckpt", folder / "q", "--report", folder / "numbers.json")
    assert cli(*line).code == 0
    told = report.read(folder / "numbers.json")
    assert isinstance(told, report.NumberReport)
    own = told.figures.targets["arousal"]
    text = (folder / "q" / repository.CARD).read_text()
    assert own.ccc is not None
    assert f"| arousal | {own.ccc:.3f} " in text
    assert f"value: {round(own.ccc, 3)}\n" in text
    assert "says arousal" in text
    line = ("push", folder / "n.ckpt", folder / "x", "--report", folder / "r.json")
    assert cli(*line).code == 3


def test_hugging_face_reads_the_card(folder: Path) -> None:
    library = pytest.importorskip("huggingface_hub")
    for path in (folder / "p" / repository.CARD, None):
        text = path.read_text() if path else box.card()
        data = library.ModelCard(text).data
        assert data.pipeline_tag == "audio-classification"
        assert data.eval_results
        assert all(isinstance(one, library.EvalResult) for one in data.eval_results)
        assert all(one.metric_type in ("recall", "accuracy") for one in data.eval_results)
        assert all(0 < one.metric_value <= 100 for one in data.eval_results)
    told = report.read(folder / "r.json")
    own = library.ModelCard((folder / "p" / repository.CARD).read_text()).data.eval_results[0]
    assert own.metric_value == pytest.approx(100 * told.figures.uar, abs=0.05)
    limits = told.figures.ci.limits["uar"]
    assert own.metric_args["interval"] == pytest.approx([100 * x for x in limits], abs=0.05)


TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(["no", "1e3", "- a", "a: b", "~"])


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=3), st.floats(-1e6, 1e6))
@example("a", "b", [], -1e-05)
def test_yaml_reads_what_is_written(a: str, b: str, texts: list[str], value: float) -> None:
    yaml = pytest.importorskip("yaml")
    figures = [card.Figure(a, b, value, {b: a, "interval": [1.5, value]})]
    text = card.front_matter(a, [card.Result.on(texts, b, figures)], a or None, texts)
    found = yaml.safe_load(text.strip("-"))

    def plain(text: str) -> str:
        return text.encode("utf-8", "backslashreplace").decode()

    assert found["model-index"][0]["name"] == plain(a)
    (made,) = found["model-index"][0]["results"]
    (one,) = made["metrics"]
    assert (made["dataset"]["name"], one["type"], one["name"]) == (plain(b), plain(a), plain(b))
    assert one["value"] == pytest.approx(value)
    assert one["args"] == {plain(b): plain(a)} | {"interval": pytest.approx([1.5, value])}
    assert found.get("language", []) == [plain(text) for text in texts]


def test_markdown_shows_names_as_they_are() -> None:
    assert card.markdown("<b>a|b</b>") == r"\<b\>a\|b\</b\>"
    assert card.markdown("a\n# b\u202e") == "a\\\\n\\# b\\\\u202e"


# --- the hub ---


@pytest.mark.parametrize(
    "name",
    ["", "a", "/a", "a/", "a/b/c", "../a", "a/..", "a/.b", "a/b..c", "a--b/c", "a/b.git", "a /b",
     "a/b\n", "a\\b/c", "a/b?x", "é/b", "a" * 97 + "/b", "datasets/a/b", "a/-b"],
)  # fmt: skip
def test_names_on_the_hub_that_are_none(name: str, cli: Cli, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        hub.repository_of(f"hf:{name}")
    result = cli("pull", f"hf:{name}", tmp_path / "x.ckpt")
    assert (result.code, result.err.count("\n")) == (2, 1)


class Hub:
    """The hub's functions that sertool calls, over a folder a repository."""

    def __init__(self, root: Path) -> None:
        self.root, self.commits, self.private = root, [], None  # type: ignore[var-annotated]

    def repo_exists(self, repo_id: str) -> bool:
        return (self.root / repo_id).is_dir()

    def file_exists(self, repo_id: str, filename: str, *, revision: str | None = None) -> bool:
        return (self.root / repo_id / (revision or "main") / filename).exists()

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> None:
        self.private = private
        (self.root / repo_id / "main").mkdir(parents=True, exist_ok=exist_ok)

    def create_branch(self, repo_id: str, *, branch: str, exist_ok: bool) -> None:
        (self.root / repo_id / branch).mkdir(exist_ok=exist_ok)

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: Path,
        revision: str | None,
        commit_message: str,
        delete_patterns: list[str],
    ) -> None:
        self.commits.append(commit_message)
        place = self.root / repo_id / (revision or "main")
        for pattern in delete_patterns:
            (place / pattern).unlink(missing_ok=True)
        shutil.copytree(folder_path, place, dirs_exist_ok=True)

    def hf_hub_download(
        self, repo_id: str, filename: str, *, revision: str | None, local_dir: Path
    ) -> None:
        place = self.root / repo_id / (revision or "main")
        if not place.is_dir():
            raise ValueError("404: no such repository\nRequest ID: 7")
        shutil.copy(place / filename, local_dir)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")
    module = SimpleNamespace(HfApi=lambda library_name: made)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)  # type: ignore[arg-type]
    return made


def test_the_hub_and_back(folder: Path, cli: Cli, remote: Hub) -> None:
    push = ("push", folder / "m.0.ckpt", "hf:you/model", "--report", folder / "r.json")
    assert cli(*push, "--private").code == 0
    assert (remote.commits, remote.private) == (["sertool push"], True)
    place = folder / "hub" / "you" / "model"
    assert sorted(os.listdir(place / "main")) == sorted(FILES)
    assert "sertool pull hf:you/model model.ckpt" in (place / "main/README.md").read_text()
    assert cli("pull", "hf:you/model", folder / "out.ckpt").code == 0
    assert (folder / "out.ckpt").read_bytes() == (folder / "m.0.ckpt").read_bytes()
    result = cli(*push)
    assert (result.code, "--force replaces it" in result.err) == (3, True)
    for branch in ((), ("--revision", "v2")):
        assert cli("push", folder / "m.1.ckpt", "hf:you/model", "--force", *branch).code == 0
    (place / "main" / repository.MODEL).write_bytes(b"")
    pull = ("pull", "hf:you/model", folder / "two.ckpt")
    assert cli(*pull).code == 3
    assert cli(*pull, "--revision", "v2").code == 0
    assert (folder / "two.ckpt").read_bytes() == (folder / "m.1.ckpt").read_bytes()


def test_what_the_hub_refuses_is_one_line(folder: Path, cli: Cli, remote: Hub) -> None:
    result = cli("pull", "hf:no/body", folder / "x.ckpt")
    assert result.code == 3
    assert result.err == "sertool pull: hf:no/body: 404: no such repository\n"


def test_without_the_package(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # type: ignore[arg-type]
    for line in (("pull", "hf:a/b", folder / "x.ckpt"), ("push", folder / "m.0.ckpt", "hf:a/b")):
        result = cli(*line)
        assert (result.code, "sertool[hub]" in result.err) == (2, True)


def test_the_library_has_these_functions() -> None:
    api = pytest.importorskip("huggingface_hub").HfApi
    for name in ("repo_exists", "file_exists", "create_repo", "create_branch", "upload_folder",
                 "hf_hub_download"):  # fmt: skip
        theirs = inspect.signature(getattr(api, name)).parameters
        assert set(inspect.signature(getattr(Hub, name)).parameters) <= set(theirs), name
    assert "library_name" in inspect.signature(api).parameters
