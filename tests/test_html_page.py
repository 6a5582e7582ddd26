"""Pages of reports: their numbers are the report's, no name is markup, all appears or nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import made_reports
import numpy as np
import pytest
import soundfile
from html_pages import data_of, names_of, parsed, posteriors_of
from made_reports import speech
from made_stores import write_store

from sertool.evaluation import page as pages
from sertool.evaluation import page_sound
from sertool.evaluation.page_sound import Place
from sertool.evaluation.terminal import percent
from sertool.ui.page import charts
from sertool.ui.page.clips import LEVELS, chosen

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = (
    '</script><script>alert(1)</script><img src=x onerror=alert(2)>" onclick="x\u202eevil\x1b[2J'
)


def made(tmp_path: Path, **options: Any) -> Path:
    """Write a report with its items, and return its path."""
    given = options.pop("speech", None) or speech(0)
    values = made_reports.report(given, losses=[(1.2, 1.3), (0.9, 1.1)], items=True, **options)
    return made_reports.write(tmp_path / "r.json", values)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return made(tmp_path)


def of(cli: Any, *words: object) -> str:
    path = Path(str(words[0])).with_name("page.html")
    done = cli("report", "-q", *words, "--html", path, "--force")
    assert done.code == 0, done.err
    return path.read_text(encoding="utf-8")


def test_the_numbers_are_those_of_the_json(cli: Any, report: Path) -> None:
    page, raw = parsed(of(cli, report)), json.loads(report.read_text())
    for name in ("uar", "accuracy"):
        low, high = raw["ci"][name]
        assert f"{percent(raw[name])} [{percent(low)}, {percent(high)}]" in page.shown
        for baseline in raw["baselines"].values():
            assert percent(baseline[name]) in page.shown
    for label, row in raw["per_class"].items():
        assert label in page.shown
        for rate in ("precision", "recall", "f1", "auc"):
            assert percent(row[rate]) in page.shown
    cells = [(b["data-truth"], b["data-said"]) for b in page.of("button") if "data-truth" in b]
    counts = enumerate(raw["confusion"])
    assert cells == [(f"{i}", f"{j}") for i, row in counts for j, n in enumerate(row) if n]
    said = re.sub(r"\s+", " ", page.shown)
    for i, row in enumerate(raw["confusion"]):
        for j, n in enumerate(row):
            names = f"{raw['classes'][i]} recognised as {raw['classes'][j]}"
            told = f"{names}: {percent(n / sum(row), 0)} per cent, {n} of {sum(row)}"
            assert (told in said) == (n > 0)


def test_the_recordings_are_those_of_the_json(cli: Any, report: Path) -> None:
    data, raw = data_of(parsed(of(cli, report))), json.loads(report.read_text())
    assert names_of(data) == [item["id"] for item in raw["items"]]
    classes, shares = data["classes"], posteriors_of(data)
    for i, item in enumerate(raw["items"]):
        assert classes[data["truth"][i]] == item["truth"]
        assert classes[data["said"][i]] == item["prediction"]
        assert data["speakers"][data["who"][i]].startswith(item["speaker"])
        assert shares[i] == pytest.approx([item["posterior"][c] for c in classes], abs=5.1e-4)


def test_of_very_many_classes_the_likeliest_are_kept(cli: Any, tmp_path: Path) -> None:
    names = [f"c{i:02d}" for i in range(30)]
    path = made(tmp_path, speech=speech(0, classes=names, each=40))
    data, raw = data_of(parsed(of(cli, path))), json.loads(path.read_text())
    first = [data["p"][i : i + 6] for i in range(0, 60, 6)]
    found = {names[int(cell[:4], 36)]: int(cell[4:], 36) / 1000 for cell in first}
    best = sorted(raw["items"][0]["posterior"].values())[-10:]
    assert sorted(found.values()) == pytest.approx(best, abs=5.1e-4)
    for name, share in found.items():
        assert share == pytest.approx(raw["items"][0]["posterior"][name], abs=5.1e-4)


def test_leaks_are_words(cli: Any, tmp_path: Path) -> None:
    apart, shared = (parsed(of(cli, made(tmp_path, apart=apart))) for apart in (True, False))
    assert "No speaker of the test was heard in training." in apart.shown
    assert "10 speakers of the test were heard in training." in shared.shown
    assert len(re.findall("LEAK", shared.shown)) == len(re.findall("LEAK", apart.shown)) + 1
    unknown = parsed(of(cli, made(tmp_path, apart=None)))
    assert "Whether a speaker of the test was heard in training is unknown." in unknown.shown


def test_no_name_is_markup(cli: Any, tmp_path: Path) -> None:
    path = made(tmp_path)
    text = path.read_text().replace("toy/0000", json.dumps(HOSTILE)[1:-1])
    for old in ("anger", "s03"):
        text = text.replace(f'"{old}', f'"{json.dumps(HOSTILE)[1:-1]}{old}')
    values = json.loads(text.replace("toy/s03", json.dumps(f"toy/{HOSTILE}s03")[1:-1]))
    del values["sha256"]
    made_reports.write(path, values)
    written = of(cli, path)
    page = parsed(written)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not page.of("img")
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert not set("\u202e\x1b") & set(written)
    assert any("onerror" in name for name in names_of(data_of(page)))
    assert "onerror" in page.shown


def test_nothing_may_come_from_outside(cli: Any, report: Path) -> None:
    page = parsed(of(cli, report))
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv"))
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy
    for _, attributes in page.tags:
        assert not attributes.keys() & {"style", "srcset", "action", "integrity"}
        assert (attributes.get("href") or "#")[0] == "#"


def test_a_page_is_small(cli: Any, tmp_path: Path) -> None:
    eight = [f"class{i}" for i in range(8)]
    few, many = (
        len(of(cli, made(tmp_path, speech=speech(0, each=each, classes=eight))).encode())
        for each in (10, 210)
    )
    assert few < 300_000
    assert (many - few) / 2000 < 100  # bytes an item


@pytest.mark.slow
def test_the_page_of_the_longest_study_is_small(cli: Any, tmp_path: Path) -> None:
    runs = sorted((ROOT / "recipes/results/huang2014").glob("*.jsonl"))
    done = cli("report", "-q", *runs, "--paper", "huang2014", "--html", tmp_path / "p.html")
    assert done.code == 0, done.err
    assert (tmp_path / "p.html").stat().st_size < 300_000


def test_systems_are_ranked_in_a_picture(cli: Any, tmp_path: Path) -> None:
    paths = [
        made_reports.write(
            tmp_path / f"{i}.json",
            made_reports.report(speech(i), {"system": f"<b>{i}"}, model=f"m{i}"),
        )
        for i in range(4)
    ]
    done = cli("report", "-q", "--compare", *paths, "--html", tmp_path / "c.html")
    assert done.code == 0, done.err
    page = (tmp_path / "c.html").read_text()
    drawn = re.search(r'<svg[^>]*class="plot ranks".*?</svg>', page)
    assert drawn is not None
    picture = ElementTree.fromstring(drawn[0])
    ranking = json.loads(cli("report", "--compare", *paths, "--format", "json").out)["ranking"]
    leads = [one.get("d", "") for one in picture.iter("path") if one.get("class") == "lead"]
    at = [float(lead[1:].split(" ")[0]) for lead in leads]
    ranks = [one["mean_rank"] for one in ranking["systems"]]
    one, four = charts.LEFT, charts.LEFT + charts.WIDTH  # of the axis, rank 1 and rank 4
    assert at == pytest.approx([one + (r - 1) / 3 * (four - one) for r in ranks], abs=0.01)
    assert [one.text for one in picture.iter("title")] == [s["name"] for s in ranking["systems"]]
    joined = [one for one in picture.iter("path") if one.get("class") == "point"]
    assert len(joined) == len(ranking["not_apart"])
    assert f"over {ranking['n_speakers']} speakers" in parsed(page).shown


def test_the_same_report_gives_the_same_bytes(cli: Any, report: Path) -> None:
    assert of(cli, report) == of(cli, report)


def test_several_reports_and_a_comparison(cli: Any, tmp_path: Path) -> None:
    paths = [
        made_reports.write(
            tmp_path / f"{i}.json",
            made_reports.report(speech(i), {"system": f"<b>{i}"}, model=f"m{i}"),
        )
        for i in range(2)
    ]
    both = parsed(of(cli, *paths))
    assert "<b>0" in both.shown
    assert "<b>1" in both.shown
    assert "Side by side" in both.shown
    done = cli("report", "-q", "--compare", *paths, "--html", tmp_path / "c.html")
    assert done.code == 0, done.err
    compared = parsed((tmp_path / "c.html").read_text())
    values = json.loads(cli("report", "--compare", *paths, "--format", "json").out)
    gap = values["pairs"][0]["figures"]["uar"]["difference"]
    low, high = (f"{100 * end:+.1f}" for end in gap["ci"])
    assert f"{100 * gap['value']:+.1f} [{low}, {high}]" in compared.shown


def test_a_paper_stands_beside(cli: Any, tmp_path: Path) -> None:
    done = cli("report", "-q", "--paper", "sundharam", "--html", tmp_path / "p.html")
    assert done.code == 0, done.err
    assert "sundharam" in parsed((tmp_path / "p.html").read_text()).shown


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--audio 3", 2, "add --html"),
        ("--html p.html --audio 0", 2, "above 0, or all"),
        ("--html p.html --audio some", 2, "above 0, or all"),
        ("--html p.html --audio all --summary", 2, "--summary"),
        ("--html p.txt", 2, "ends in .html"),
        ("--html there.html", 3, "--force"),
        ("--html nowhere/p.html", 3, "does not exist"),
    ],
)
def test_what_is_refused(cli: Any, desk: Path, words: str, code: int, said: str) -> None:
    (desk / "there.html").write_text("mine")
    done = cli("eval", "-q", "m.ckpt", "f.h5", *words.split())
    assert (done.code, said in done.err) == (code, True), done.err
    assert (desk / "there.html").read_text() == "mine"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 16 short recordings, and a model of it with a fold held out."""
    from sertool.cli import main

    root = tmp_path_factory.mktemp("desk")
    draw = np.random.default_rng(0)
    rows = []
    for i in range(16):
        sound = 0.2 * np.sin(np.arange(8000) * (0.05 + 0.01 * i))
        soundfile.write(root / f"{i}.wav", sound, 16000, "PCM_16")
        rows.append(
            {"id": f"c/{i}", "path": f"{i}.wav", "corpus": "c", "label": "ab"[i % 2]}
            | {"speaker": f"s{i // 2}", "fold": i // 8}
        )
    arrays = [draw.normal(i % 2, 1, (9, 3)) for i in range(16)]
    write_store(root / "f.h5", arrays, rows, root=str(root))
    words = ["train", "-q", str(root / "f.h5"), str(root / "m.ckpt"), "--test-fold", "0"]
    assert main([*words, "--model", "linear"]) == 0
    return root


@pytest.fixture
def desk(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("f.h5", "m.ckpt"):
        (tmp_path / name).symlink_to(built / name)
    return tmp_path


def test_clips_are_in_the_page(cli: Any, desk: Path) -> None:
    done = cli("eval", "m.ckpt", "f.h5", "--html", "p.html", "--audio", "3", "--json", "r.json")
    assert done.code == 0, done.err
    assert "with the sound of 3 recordings" in done.err
    data = data_of(parsed(Path("p.html").read_text()))
    assert len(data["clips"]) == 3
    assert "folder" not in data
    clip = next(iter(data["clips"].values()))
    assert clip["seconds"] == clip["whole"] == 0.5
    assert len(clip["bands"]) % clip["n"] == 0
    assert set(clip["bands"]) <= set(LEVELS)
    assert Path("p.html").read_text().count("data:audio") == 1  # of the script


def test_clips_beside_the_page(cli: Any, desk: Path) -> None:
    assert cli("eval", "-q", "m.ckpt", "f.h5", "--html", "p.html", "--audio", "all").code == 0
    data = data_of(parsed(Path("p.html").read_text()))
    assert data["folder"] == "p-audio"
    assert len(data["clips"]) == 8
    files = {path.name for path in Path("p-audio").iterdir()}
    assert files == {f"{i:05d}.{kind}" for i in range(8) for kind in ("mp3", "png")}
    sound, rate = soundfile.read("p-audio/00000.mp3")
    assert rate == 16000
    assert 0.45 < len(sound) / rate < 0.65
    assert Path("p-audio/00000.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_nobody_elses_folder_is_replaced(cli: Any, desk: Path) -> None:
    Path("p-audio").mkdir()
    Path("p-audio/thesis.txt").write_text("mine")
    words = ("m.ckpt", "f.h5", "--html", "p.html", "--audio", "all", "--force")
    done = cli("eval", "-q", *words)
    assert done.code == 3
    assert "p-audio" in done.err
    assert Path("p-audio/thesis.txt").read_text() == "mine"
    assert not Path("p.html").exists()


def test_all_or_nothing(cli: Any, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(page: Any) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr(page_sound, "document", fails)
    cli("eval", "-q", "m.ckpt", "f.h5", "--html", "p.html", "--audio", "all")
    assert {path.name for path in desk.iterdir()} == {"f.h5", "m.ckpt"}


def test_a_page_that_appeared_meanwhile_is_left(
    cli: Any, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def appears(page: Any) -> str:
        Path("p.html").write_text("another's")
        return "ours"

    monkeypatch.setattr(page_sound, "document", appears)
    done = cli("eval", "-q", "m.ckpt", "f.h5", "--html", "p.html", "--audio", "all")
    assert done.code == 3, done.err
    assert Path("p.html").read_text() == "another's"
    assert {path.name for path in desk.iterdir()} == {"f.h5", "m.ckpt", "p.html"}


def test_a_recording_that_is_gone_is_named(cli: Any, built: Path, desk: Path) -> None:
    hidden = built / "gone"
    (built / "1.wav").rename(hidden)
    try:
        done = cli("eval", "-q", "m.ckpt", "f.h5", "--html", "p.html", "--audio", "all")
    finally:
        hidden.rename(built / "1.wav")
    assert done.code == 1
    assert "1.wav" in done.err
    assert len(data_of(parsed(Path("p.html").read_text()))["clips"]) == 7


def test_a_clip_is_of_the_beginning_and_says_so(built: Path) -> None:
    clip = page_sound.cut(Place(built / "0.wav"), 0.2)
    assert (clip.seconds, clip.whole) == (pytest.approx(0.2), pytest.approx(0.5))
    with pytest.raises(page_sound.ItemError, match="not the recording"):
        page_sound.cut(Place(built / "0.wav", audio_hash="0" * 64), 1.0)


def test_a_spectrogram_shows_the_tone() -> None:
    tone = np.sin(2 * np.pi * 4000 * np.arange(16000) / 16000)
    levels = page_sound.spectrogram(tone)
    low = page_sound.spectrogram(np.sin(2 * np.pi * 300 * np.arange(16000) / 16000))
    assert levels.shape[0] <= page_sound.FRAMES
    assert levels.max() == 63
    assert levels.mean(0).argmax() > 2 * low.mean(0).argmax()


def test_clips_are_of_every_cell() -> None:
    cells = [(0, 0)] * 5 + [(0, 1)] * 3 + [(1, 1)]
    sure = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.8, 0.6, 0.7]
    assert chosen(cells, sure, 3) == [1, 6, 8]
    assert chosen(cells, sure, 100) == list(range(9))


def test_stages_are_a_graph() -> None:
    lines = [
        'sertool prepare "$CORPUS" m.jsonl', "sertool featurize m.jsonl f.h5 --kind mel",
        "sertool train f.h5 0.ckpt --test-fold 0", "sertool train f.h5 1.ckpt --test-fold 1",
        "sertool eval 0.ckpt 1.ckpt f.h5 --json report.json",
    ]  # fmt: skip
    nodes = pages._nodes(lines)
    assert [(n.stage, tuple(n.needs)) for n in nodes] == [
        ("prepare", ()), ("featurize", (0,)), ("train × 2", (1,)), ("eval", (1, 2)),
    ]  # fmt: skip


def test_a_paper_begins_with_what_it_is(cli: Any, tmp_path: Path) -> None:
    runs = Path(__file__).parent.parent / "recipes/results/badshah2017/emodb.jsonl"
    done = cli("report", "-q", "--paper", "badshah2017", runs, "--html", tmp_path / "p.html")
    assert done.code == 0, done.err
    page = parsed((tmp_path / "p.html").read_text())
    shown = page.shown
    places = [shown.find(words) for words in ("Abdul Malik Badshah", "LEAK")]
    assert places == sorted(places)
    assert -1 not in places


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose items say a number, a model of it, and sound to predict from."""
    from sertool.cli import main

    root = tmp_path_factory.mktemp("numbers")
    draw = np.random.default_rng(0)
    manifest = []
    for i in range(24):
        sound = 0.2 * np.sin(np.arange(8000) * (0.05 + 0.01 * i)) + 0.01 * draw.normal(size=8000)
        soundfile.write(root / f"{i}.wav", sound, 16000, "PCM_16")
        manifest.append(
            {"id": f"c/{i}", "path": str(root / f"{i}.wav"), "corpus": "c"}
            | {"speaker": f"s{i // 3}", "fold": i // 12, "arousal": i / 10}
        )
    (root / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in manifest))
    words = (
        ("featurize", "m.jsonl", "f.h5", "--kind", "mfcc"),
        ("train", "f.h5", "m.ckpt", "--model", "ridge", "--target", "arousal", "--test-fold", "0"),
    )
    for command, *rest in words:
        given = [str(root / one) if one in ("m.jsonl", "f.h5", "m.ckpt") else one for one in rest]
        assert main([command, "-q", *given]) == 0
    return root


def test_numbers_have_a_page(cli: Any, numbered: Path, tmp_path: Path) -> None:
    words = (numbered / "m.ckpt", numbered / "f.h5", "--json", tmp_path / "r.json")
    done = cli("eval", "-q", *words, "--html", tmp_path / "p.html")
    assert done.code == 0, done.err
    page, raw = parsed((tmp_path / "p.html").read_text()), json.loads(
        (tmp_path / "r.json").read_text()
    )  # fmt: skip
    assert f"{raw['targets']['arousal']['ccc']:.3f}" in page.shown
    data = data_of(page)
    for i, item in enumerate(raw["items"]):
        _, said, truth = data["numbers"][str(i)][0]
        assert said == pytest.approx(item["prediction"]["arousal"], rel=1e-3)
        assert truth == pytest.approx(item["truth"]["arousal"], rel=1e-3)


def test_predicted_numbers_have_a_page(cli: Any, numbered: Path, tmp_path: Path) -> None:
    words = (numbered / "m.ckpt", numbered / "3.wav", "--vad", "off", "--html", tmp_path / "p.html")
    done = cli("predict", "-q", *words)
    assert done.code == 0, done.err
    said = json.loads(done.out)["numbers"]["arousal"]
    data = data_of(parsed((tmp_path / "p.html").read_text()))
    assert data["numbers"]["0"][0][1] == pytest.approx(said, rel=1e-3)


@pytest.fixture(scope="module")
def heard(numbered: Path) -> Path:
    """A model of classes that predicts from the same sound."""
    from sertool.cli import main

    rows = [json.loads(line) for line in (numbered / "m.jsonl").read_text().splitlines()]
    text = "".join(json.dumps(row | {"label": "ab"[i % 2]}) + "\n" for i, row in enumerate(rows))
    (numbered / "c.jsonl").write_text(text)
    train = ("train", "c.h5", "c.ckpt", "--model", "linear", "--test-fold", "0")
    for words in (("featurize", "c.jsonl", "c.h5", "--kind", "mfcc"), train):
        given = [str(numbered / one) if "c." in one[:2] else one for one in words[1:]]
        assert main([words[0], "-q", *given]) == 0
    return numbered


def test_predictions_are_the_rows(cli: Any, heard: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    paths = [heard / "0.wav", tmp_path / "broken.wav", heard / "1.wav"]
    page_file = tmp_path / "p.html"
    words = ("--vad", "off", "--html", page_file, "--audio", "2")
    done = cli("predict", "-q", heard / "c.ckpt", *paths, *words)
    assert done.code == 1
    rows = [json.loads(line) for line in done.out.splitlines()]
    page = parsed(page_file.read_text())
    data = data_of(page)
    assert names_of(data) == [row["path"] for row in rows]
    shares = posteriors_of(data)
    for i, row in enumerate(rows):
        if "error" in row:
            assert data["said"][i] == -1
            assert data["notes"][str(i)] == row["error"]
            continue
        assert data["classes"][data["said"][i]] == row["label"]
        assert shares[i] == pytest.approx(list(row["posterior"].values()), abs=5.1e-4)
    assert sorted(data["clips"]) == ["0", "2"]
    assert "1 recording could not be read" in page.shown


def test_windows_are_a_course(cli: Any, heard: Path, tmp_path: Path) -> None:
    page_file = tmp_path / "p.html"
    words = ("--vad", "off", "--window", "0.1", "--html", page_file)
    done = cli("predict", "-q", heard / "c.ckpt", heard / "0.wav", *words)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    data = data_of(parsed(page_file.read_text()))
    assert len(names_of(data)) == 1
    spans = [[round(row["start"], 3), round(row["end"], 3)] for row in rows]
    assert data["windows"]["0"] == spans
    course = [int(data["courses"]["0"][i : i + 2], 36) / 1000 for i in range(0, 4 * len(rows), 2)]
    assert course == pytest.approx([p for r in rows for p in r["posterior"].values()], abs=5.1e-4)


@pytest.mark.parametrize(("words", "said"), [("--resume", "--resume"), ("--stream -", "--stream")])
def test_what_no_page_shows(cli: Any, heard: Path, tmp_path: Path, words: str, said: str) -> None:
    given = words.split()
    paths = [] if "-" in given else [heard / "0.wav"]
    output = [] if "-" in given else ["--output", tmp_path / "o.jsonl"]
    done = cli("predict", heard / "c.ckpt", *paths, *given, *output, "--html", tmp_path / "p.html")
    assert done.code == 2
    assert said in done.err


def test_a_clip_of_an_mp3_is_as_long_as_its_sound(built: Path) -> None:
    samples, rate = soundfile.read(built / "0.wav")
    soundfile.write(built / "0.mp3", samples, rate, format="MP3")
    whole = page_sound.cut(Place(built / "0.mp3"), 15.0)  # its header only estimates a length
    assert (whole.seconds, whole.whole) == (pytest.approx(0.5, abs=0.1), whole.seconds)
    clip = page_sound.cut(Place(built / "0.mp3"), 0.2)
    assert (clip.seconds, clip.whole) == (pytest.approx(0.2), pytest.approx(whole.whole))
