"""Manual pages and shell completion: all of what the commands declare, and shells take them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sertool.cli import COMMANDS, load
from sertool.core.options import declared

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make man` writes."""
    folder = tmp_path_factory.mktemp("share")
    subprocess.run([sys.executable, "hatch_build.py", folder], cwd=ROOT, check=True)
    return folder


def test_they_are_made_of_these_sources_by_few_packages(tmp_path: Path) -> None:
    code = (
        "import pathlib, runpy, sys\n"
        f"made = runpy.run_path({str(ROOT / 'hatch_build.py')!r})\n"
        f"made['write'](pathlib.Path({str(tmp_path / 'share')!r}))\n"
        "print(sys.modules['sertool'].__file__, *sys.modules)"
    )
    # without site: no package that is installed by a link to its sources
    environment = os.environ | {"PYTHONPATH": sysconfig.get_paths()["purelib"]}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    home, *modules = done.stdout.split()
    assert Path(home).parent == ROOT / "sertool"
    assert not {"numpy", "torch", "h5py", "scipy", "librosa"} & set(modules)
    assert (tmp_path / "share" / "man" / "man1" / "sertool.1").is_file()


def page(share: Path, name: str) -> str:
    """A page without roff's escapes."""
    text = (share / "man" / "man1" / f"{name}.1").read_text(encoding="utf-8")
    return re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-").replace("\\e", "\\")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_and_example(share: Path, name: str) -> None:
    text = page(share, f"sertool-{name}")
    command = load(name)
    for group in command.groups.values():
        for one in declared(group):
            flag = one.flag.removeprefix("--no-").removeprefix("--")
            assert re.search(rf"--(\[no-\]|no-)?{re.escape(flag)}\b", text), one.flag
    for line in re.findall(r"^ *sertool .*$", command.help, re.MULTILINE):
        assert " ".join(line.split()) in " ".join(text.split())
    assert f".SH NAME\nsertool-{name} - " in text


def test_the_first_page_leads_to_all(share: Path) -> None:
    text = page(share, "sertool")
    assert re.findall(r"^\.BR sertool-(\w+) \(1\)$", text, re.MULTILINE) == list(COMMANDS)


def test_roff_takes_them(share: Path) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    pages = sorted((share / "man" / "man1").iterdir())
    lint = ["mandoc", "-T", "lint", "-W", "warning", *pages]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("shell", "name"),
    [
        ("bash", "bash-completion/completions/sertool"),
        ("zsh", "zsh/site-functions/_sertool"),
        ("fish", "fish/vendor_completions.d/sertool.fish"),
    ],
)
def test_shells_take_the_completion(share: Path, shell: str, name: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", share / name], check=True)


@pytest.mark.parametrize(
    ("words", "found"), [("sertool feat", "featurize"), ("sertool featurize --dur", "--duration")]
)
def test_bash_and_fish_complete(share: Path, words: str, found: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = share / "bash-completion/completions/sertool"
    listed = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))"
    commands = [["bash", "-c", f'. "{script}"; {listed}; _sertool_completion sertool;'
                 ' echo "${COMPREPLY[@]}"']]  # fmt: skip
    if shutil.which("fish"):
        script = share / "fish/vendor_completions.d/sertool.fish"
        commands.append(["fish", "-c", f"source {script}; complete -C '{words}'"])
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert found in done.stdout.split(), command
