"""Pages as a person has them, in a real Chromium: cells, sound, keyboard, themes, narrow, hostile.

Playwright drives the system's Chromium (extra `browser`), and axe-core judges what a screen reader
or a colour-blind eye would miss: `npm install --no-save axe-core` puts it where it is found. What
is not there is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_reports
import pytest
from test_html_page import HOSTILE

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = "node_modules/axe-core/axe.min.js"
Page = Any
HEARD = """audio => new Promise((heard, failed) => {
    audio.addEventListener("timeupdate", () => audio.currentTime > 0.1 && heard(audio.currentTime));
    audio.addEventListener("error", () => failed(audio.error.message));
    audio.play();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        options = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        options += ["--no-sandbox"] if os.getuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=found, args=options)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def demo(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make demo` leaves, of one epoch."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = ["sh", "recipes/demo.sh", "data/demo/corpus", str(out)]
    environment = os.environ | {"EPOCHS": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    return out


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Open a file as a page, of which everything that a browser complains about fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_(path: Path, width: int = 1280, scheme: str = "light") -> Page:
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:"))
                or complaints.append(r.url))  # fmt: skip
        page.goto(path.absolute().as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def cell(page: Page, truth: int, said: int) -> Any:
    return page.locator(f'.matrix [data-truth="{truth}"][data-said="{said}"]')


def named(page: Page) -> list[str]:
    """Return the recordings that are listed."""
    found: list[str] = page.locator("#list [data-i] > span:first-child").all_text_contents()
    return found


def errors(raw: Any) -> tuple[int, int]:
    """Return the fullest cell beside the diagonal."""
    counts = raw["confusion"]
    return max(
        ((i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j),
        key=lambda at: counts[at[0]][at[1]],
    )


def test_a_cell_opens_the_recordings_in_it(opened: Any, demo: Path) -> None:
    raw = json.loads((demo / "report.json").read_text())
    truth, said = errors(raw)
    page = opened(demo / "report.html")
    assert len(named(page)) == 100  # of all 384, at first
    cell(page, truth, said).click()
    names = [raw["classes"][truth], raw["classes"][said]]
    inside = [one for one in raw["items"] if [one["truth"], one["prediction"]] == names]
    assert sorted(named(page)) == sorted(one["id"] for one in inside)
    sure = sorted((max(one["posterior"].values()) for one in inside), reverse=True)
    listed = page.locator("#list .said span:last-child").all_text_contents()
    assert [float(text.removeprefix("♪ ")) for text in listed] == pytest.approx(sure, abs=6e-4)


def test_a_recording_has_the_reports_numbers(opened: Any, demo: Path) -> None:
    raw = json.loads((demo / "report.json").read_text())
    page = opened(demo / "report.html")
    item = raw["items"][200]
    page.get_by_label("name has").fill(item["id"])
    page.locator("#list [data-i]").click()
    shown = page.locator("#detail").inner_text()
    assert item["id"] in shown
    assert item["speaker"] in shown
    for name, share in item["posterior"].items():
        row = page.locator("#detail .shares tr", has_text=name)
        assert float(row.locator(".number").inner_text()) == pytest.approx(share, abs=5.1e-4)


@pytest.mark.parametrize("name", ["report", "predictions"])
def test_a_clip_is_heard_and_seen(opened: Any, demo: Path, name: str) -> None:
    page = opened(demo / f"{name}.html")
    page.get_by_label("with sound").check()
    assert len(named(page)) == {"report": 20, "predictions": 4}[name]
    page.locator("#list [data-i]").first.click()
    assert page.locator("#detail audio").evaluate(HEARD) > 0.1
    assert page.locator("#detail audio").evaluate("audio => audio.error") is None
    seconds = page.locator("#detail audio").evaluate("audio => audio.duration")
    assert 0.3 < seconds < 4
    colours = page.locator("#detail canvas").evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert colours > 50  # no empty picture
    page.locator("#detail canvas").click(position={"x": 5, "y": 20})
    assert page.locator("#detail audio").evaluate("audio => audio.currentTime") < 0.3


def test_sound_beside_the_page(opened: Any, demo: Path, tmp_path: Path) -> None:
    page_file = tmp_path / "beside.html"
    command = ["sertool", "eval", "-q", demo / "demo.0.ckpt", demo / "mel.h5"]
    subprocess.run(
        [*command, "--html", page_file, "--audio", "all"], check=True, capture_output=True
    )
    page = opened(page_file)
    page.locator("#list [data-i]").first.click()
    assert page.locator("#detail audio").evaluate(HEARD) > 0.1
    assert page.locator("#detail img").evaluate("image => image.naturalWidth") > 20


def test_dark_and_light(opened: Any, demo: Path) -> None:
    def background(page: Page) -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    page = opened(demo / "report.html")
    light = background(page)
    dark = background(opened(demo / "report.html", scheme="dark"))
    assert light != dark
    page.get_by_role("button", name="Change to the dark theme").click()
    assert background(page) == dark
    page.reload()
    assert background(page) == dark  # kept
    page.emulate_media(media="print")
    assert background(page) == light
    assert not page.locator("#theme").is_visible()


@pytest.mark.parametrize("name", ["report", "predictions"])
def test_nothing_is_wider_than_a_telephone(opened: Any, demo: Path, name: str) -> None:
    page = opened(demo / f"{name}.html", width=360)
    page.locator("#list [data-i]").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_is_enough(opened: Any, demo: Path) -> None:
    page = opened(demo / "report.html")
    focused = "document.activeElement.textContent"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.cell')"):
            break
    first = page.evaluate(focused)
    assert "recognised as" in first
    page.keyboard.press("ArrowDown")
    second = page.evaluate(focused)
    assert second not in ("", first)
    page.keyboard.press("Enter")
    in_list = "document.activeElement.closest('#list') !== null"
    assert page.evaluate(in_list)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    page.keyboard.press("Escape")
    assert page.evaluate(in_list)
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == second


def test_a_command_is_copied(opened: Any, demo: Path) -> None:
    page = opened(demo / "report.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the line of prepare").click()
    page.get_by_text("Copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith("sertool prepare ")


def test_labels_over_time(opened: Any, demo: Path, tmp_path: Path) -> None:
    page_file = tmp_path / "windows.html"
    sound = next((ROOT / "data/demo/corpus").rglob("*.flac"))
    command = ["sertool", "predict", "-q", demo / "demo.0.ckpt", sound, "--window", "0.3"]
    done = subprocess.run(
        [*command, "--html", page_file], check=True, capture_output=True, text=True
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    page = opened(page_file)
    page.locator("#list [data-i]").click()
    page.locator("#detail summary").click()
    shown = page.locator("#detail details tr").all_inner_texts()
    assert len(shown) == len(rows) > 1
    for line, row in zip(shown, rows, strict=True):
        assert (row["label"] or "no speech") in line
        assert row["confidence"] is None or f"{row['confidence']:.3f}" in line


def test_hostile_names_do_nothing(opened: Any, tmp_path: Path, cli: Any) -> None:
    values = made_reports.report(made_reports.speech(0), items=True)
    bad = json.dumps(HOSTILE)[1:-1]
    text = json.dumps(values).replace("toy/0000", bad).replace('"anger', f'"{bad}anger')
    (tmp_path / "r.json").write_text(text)
    done = cli("report", "-q", tmp_path / "r.json", "--html", tmp_path / "r.html")
    assert done.code == 0, done.err
    page = opened(tmp_path / "r.html", width=360)
    page.get_by_label("name has").fill("alert(1)")
    page.locator("#list [data-i]").click()
    assert "<script>alert(1)</script>" in page.locator("#detail").inner_text()
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_ten_thousand_items(opened: Any, tmp_path: Path, cli: Any) -> None:
    values = made_reports.report(made_reports.speech(0, speakers=50, each=200), items=True)
    path = made_reports.write(tmp_path / "r.json", values)
    assert cli("report", "-q", path, "--html", tmp_path / "r.html").code == 0
    page = opened(tmp_path / "r.html")
    assert "10000 of 10000" in page.locator("#count").inner_text()
    page.get_by_role("button", name="Show more").click()
    assert len(named(page)) == 200


@pytest.fixture(scope="module")
def axe() -> str:
    path = ROOT / AXE
    if not path.is_file():
        pytest.skip(f"no {AXE}: npm install --no-save axe-core")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "predictions", "compared", "paper"])
def test_axe_finds_nothing_serious(
    opened: Any, demo: Path, axe: str, name: str, scheme: str, tmp_path: Path, cli: Any
) -> None:
    path = demo / f"{name}.html"
    if name == "compared":
        assert cli("report", "-q", "--compare", demo / "report.json", "--html", path, "--force")
    elif name == "paper":
        runs = ROOT / "recipes/results/badshah2017/emodb-339.jsonl"
        words = ("--paper", "badshah2017", *([runs] if runs.exists() else []))
        assert cli("report", "-q", *words, "--html", path, "--force").code == 0
    page = opened(path, scheme=scheme)
    if page.locator("#list [data-i]").count():
        page.locator("#list [data-i]").first.click()
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found
            if one["impact"] in ("serious", "critical")]  # fmt: skip
    assert told == []
