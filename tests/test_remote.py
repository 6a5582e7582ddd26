"""Recordings and manifests that lie elsewhere, and which addresses a manifest may name."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sertool.core import remote
from sertool.core.errors import InputError, ItemError
from sertool.formats.store import Store

fsspec = pytest.importorskip("fsspec")
ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "data" / "demo" / "corpus"
Cli = Callable[..., Any]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket in memory with two speakers of the demo corpus, memory://corpora/demo."""
    monkeypatch.delenv(remote.ALLOWED, raising=False)
    system = fsspec.filesystem("memory")
    for name in ("spk01", "spk02"):
        for path in sorted((CORPUS / name).iterdir()):
            system.pipe(f"/corpora/demo/{name}/{path.name}", path.read_bytes())
    yield system
    system.rm("/corpora", recursive=True)


def manifest(bucket: Any, *paths: str) -> str:
    """Put a manifest of these paths into the bucket; return its URL."""
    lines = [json.dumps({"id": f"c/{i}", "path": path}) for i, path in enumerate(paths)]
    bucket.pipe("/corpora/demo/m.jsonl", "\n".join(lines).encode())
    return "memory://corpora/demo/m.jsonl"


def typed(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Let a line stand on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line.encode() + b"\n")))


def local_store(cli: Cli, tmp_path: Path, *words: str) -> Store:
    """Featurize the same two speakers from disk."""
    for name in ("spk01", "spk02"):
        shutil.copytree(CORPUS / name, tmp_path / "demo" / name)
    assert cli("featurize", tmp_path / "demo", tmp_path / "here.h5", *words).code == 0
    return Store(tmp_path / "here.h5")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_folder_elsewhere_gives_what_it_gives_here(
    cli: Cli, bucket: Any, tmp_path: Path, workers: str
) -> None:
    words = ("--kind", "mel", "--workers", workers)
    result = cli("featurize", "memory://corpora/demo", tmp_path / "there.h5", *words)
    assert result.code == 0, result.err
    there, here = Store(tmp_path / "there.h5"), local_store(cli, tmp_path, *words)
    assert [(i.id, i.label, i.speaker, i.audio_hash) for i in there.items()] == [
        (i.id, i.label, i.speaker, i.audio_hash) for i in here.items()
    ]
    assert all((there.features(i) == here.features(i)).all() for i in range(len(here)))
    assert there.items()[0].path.startswith("memory://corpora/demo/spk01/")


def test_prepare_then_featurize_from_a_manifest_elsewhere(
    cli: Cli, bucket: Any, tmp_path: Path
) -> None:
    made = tmp_path / "m.jsonl"
    assert cli("prepare", "memory://corpora/demo", made, "--split", "loso").code == 0
    rows = [json.loads(line) for line in made.read_text().splitlines()]
    assert {row["fold"] for row in rows} == {0, 1}
    bucket.pipe("/corpora/demo/m.jsonl", made.read_bytes())
    result = cli("featurize", "memory://corpora/demo/m.jsonl", tmp_path / "s.h5")
    assert result.code == 0, result.err
    store = Store(tmp_path / "s.h5")
    assert [i.id for i in store.items()] == [row["id"] for row in rows]
    assert store.lineage[-1]["input"]["name"] == "memory://corpora/demo/m.jsonl"
    assert cli("prepare", "memory://corpora/demo/m.jsonl", tmp_path / "again.jsonl").code == 0
    assert (tmp_path / "again.jsonl").read_text() == made.read_text()


def test_relative_paths_count_from_the_manifest_and_stay_in_its_bucket(
    cli: Cli, bucket: Any, tmp_path: Path
) -> None:
    name = "spk01/spk01_anger_s1_r1.flac"
    url = manifest(bucket, name, f"../demo/{name}", "../../../../etc/passwd.wav")
    result = cli("featurize", url, tmp_path / "s.h5")
    assert result.code == 1
    assert "memory://corpora/etc/passwd.wav: no such file" in result.err
    assert len(Store(tmp_path / "s.h5")) == 2


@pytest.mark.parametrize(
    "path",
    ["memory://elsewhere/a.wav", "http://169.254.169.254/a.wav", "file:///etc/a.wav", "/a/b.wav"],
)
def test_a_manifest_has_nothing_fetched_that_the_user_did_not_name(
    cli: Cli, bucket: Any, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(remote, "_copy", lambda url, target, real=remote._copy: (
        asked.append(url), real(url, target)))  # fmt: skip
    url = manifest(bucket, "spk01/spk01_anger_s1_r1.flac", path)
    result = cli("featurize", url, tmp_path / "s.h5")
    assert result.code == 1, result.err
    assert "may not" in result.err if path.startswith("/") else remote.ALLOWED in result.err
    assert len(Store(tmp_path / "s.h5")) == 1
    assert {remote.place(one) for one in asked} == {"memory://corpora"}


def test_a_local_manifest_or_list_names_places_that_the_environment_allows(
    cli: Cli, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"id": "c/1", "path": "memory://corpora/demo/spk01/spk01_anger_s1_r1.flac"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    refused = cli("featurize", tmp_path / "m.jsonl", tmp_path / "s.h5")
    assert refused.code == 3
    assert f"{remote.ALLOWED}=memory://corpora allows it" in refused.err
    monkeypatch.setenv(remote.ALLOWED, "s3://other memory://corpora")
    assert cli("featurize", tmp_path / "m.jsonl", tmp_path / "s.h5").code == 0
    typed(monkeypatch, row["path"])
    listed = cli("featurize", "-", tmp_path / "l.h5")
    assert listed.code == 0, listed.err


def test_predict_hears_files_and_folders_elsewhere(
    cli: Cli, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "memory://corpora/demo/spk01/spk01_anger_s1_r1.flac"
    result = cli("predict", one, "memory://corpora/demo/spk02")
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    local = cli("predict", CORPUS / "spk01" / "spk01_anger_s1_r1.flac", CORPUS / "spk02")
    known = [json.loads(line) for line in local.out.splitlines()]
    assert [row["posterior"] for row in rows] == [row["posterior"] for row in known]
    assert rows[0]["path"] == one
    missing = cli("predict", "memory://corpora/demo/none.wav", one)
    assert missing.code == 1
    assert json.loads(missing.out.splitlines()[0])["error"] == "no such file"
    assert cli("predict", "memory://corpora/nothing").code == 3
    typed(monkeypatch, one)
    refused = cli("predict", "-")
    assert refused.code == 1
    assert remote.ALLOWED in refused.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("simplecache::memory://corpora/demo", "chain"),
        ("memory://corpora::memory://x/m.jsonl", "chain"),
        ("s3://key:secret@bucket/m.jsonl", "name or password"),
        ("nowhere://bucket/m.jsonl", "not known"),
        ("memory://corpora/none.jsonl", "no such file"),
        ("memory://corpora/empty", "no audio files"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    cli: Cli, bucket: Any, tmp_path: Path, url: str, said: str
) -> None:
    result = cli("featurize", url, tmp_path / "s.h5")
    assert result.code == 3
    assert "secret" not in result.err.replace("key:secret@bucket: has", "")
    assert said in result.err or url.startswith("simplecache")
    assert result.err.count("\n") <= 2


def test_without_the_extra_it_says_what_to_install(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    result = cli("featurize", "s3://bucket/m.jsonl", tmp_path / "s.h5")
    assert (result.code, "pip install 'sertool[remote]'" in result.err) == (3, True)


def test_what_is_too_large_is_refused_and_nothing_stays(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "MOST_BYTES", 1000)
    before = os.listdir(remote.folder())
    with pytest.raises(ItemError, match="larger than"):
        remote.fetched("memory://corpora/demo/spk02/spk02_sadness_s1_r1.flac")
    assert os.listdir(remote.folder()) == before


def test_a_second_fetch_replaces_the_first_and_none_outlives_the_process(bucket: Any) -> None:
    names = sorted((CORPUS / "spk01").iterdir())[:2]
    first, second = (remote.fetched(f"memory://corpora/demo/spk01/{p.name}") for p in names)
    assert not os.path.exists(first)
    assert Path(second).read_bytes() == names[1].read_bytes()
    code = "from sertool.core import remote; print(remote.folder())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not os.path.exists(done.stdout.strip())


def test_a_path_that_is_there_is_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert remote.url_of(Path("s3://bucket/x")) == "s3://bucket/x"
    (tmp_path / "s3:").mkdir()
    assert remote.url_of(Path("s3://bucket/x")) is None


def test_a_refusal_comes_before_any_library_is_asked() -> None:
    with pytest.raises(ValueError, match="not named"):
        remote.check("http://localhost/a.wav", ["https://localhost/m.jsonl"])
    with pytest.raises(InputError, match="chain"):
        remote._system("memory://corpora::s3://bucket/a.wav")
