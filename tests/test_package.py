"""The project as strangers get it: the wheel runs alone, and no word of it leads astray."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import sertool
from sertool.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked in a folder of its own."""
    (wheel,) = built.glob("*.whl")
    site = tmp_path_factory.mktemp("wheel") / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, site, wheel], check=True, capture_output=True)
    return site


def tracked(*places: str) -> set[str]:
    """The files of the repository below some places, as git has them."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_the_wheel_holds_the_package_its_data_and_its_pages(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"sertool/_{name}" for name in tracked("data", ":!data/demo")}
    shared = {name for name in names if ".data/data/share/" in name}
    own = {name for name in names if ".dist-info/" not in name} - shared
    assert own == tracked("sertool") | data
    pages = {Path(name).name for name in shared if name.endswith(".1")}
    assert pages == {"sertool.1", *(f"sertool-{name}.1" for name in COMMANDS)}
    assert {"bash-completion", "zsh", "fish"} <= {name.split("/")[3] for name in shared}


def test_the_source_distribution_holds_what_the_wheel_is_made_of(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kept = {"README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"}
    kept |= {"hatch_build.py", ".gitignore", "PKG-INFO"}
    assert names == tracked("sertool", "data", ":!data/demo") | kept


def test_it_could_be_uploaded(built: Path) -> None:
    pytest.importorskip("twine")
    check = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_wheel_runs_outside_the_repository(
    installed: Path, sounds: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(installed)

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sertool", *(str(a) for a in arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import sertool; print(sertool.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(str(installed))
    run("prepare", "--labels", "fser8", sounds, "m.jsonl")
    run("featurize", "--kind", "mel", "m.jsonl", "m.h5")
    assert "12 items" in run("info", "m.h5")
    run("featurize", "--kind", "image", "--set", "colormap=jet", "m.jsonl", "i.h5")
    assert "a picture of 64 x 64 x 3" in run("info", "i.h5", "--figures", "f", "--items", 3)
    assert "20 published numbers" in run("report", "--paper", "sundharam")
    assert "must not be used" in run("info", "box")
    assert len(run("predict", sounds).splitlines()) == 12
    assert (installed / "bin" / "sertool").exists()


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == sertool.__version__
    assert f"version: {sertool.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"[{sertool.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def pinned(name: str) -> dict[str, str]:
    """Return the version of each package that a file of requirements pins."""
    text = (ROOT / name).read_text()
    rows = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {re.sub(r"[_.-]+", "-", package.lower()): version for package, version in rows}


def test_the_lock_has_what_is_pinned_with_hashes() -> None:
    """After a change of constraints.txt: `make lock`."""
    locked, pins = pinned("requirements.lock"), pinned("constraints.txt")
    both = pins.keys() & locked.keys()
    assert {name: locked[name] for name in both} == {name: pins[name] for name in both}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        assert re.split(r"[<>=]", text)[0] in locked
    text = re.sub(r"\\\n\s*", " ", (ROOT / "requirements.lock").read_text())
    for line in filter(lambda line: line and not line.startswith("#"), text.splitlines()):
        assert re.search(r" --hash=sha256:[0-9a-f]{64}", line), line[:60]


def test_every_dependency_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[name.lower().replace("_", "-")] = version
    extras = [text for group in project["optional-dependencies"].values() for text in group]
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower()]), text
