"""Fixtures that every test shares: the command line in process, real corpora, small sounds."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure, and the same commit draws the same inputs: `make fuzz` draws others
settings.register_profile("sertool", deadline=None, derandomize=True)
settings.load_profile("sertool")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `train` sets it, before torch is loaded
os.environ["COLUMNS"] = "100"  # whatever terminal, or none, the tests are started from
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # numba, where two processes compile at once, keeps code that ends a later one
    kept = Path(__file__).parent.parent / ".pytest_cache" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(kept / os.environ["PYTEST_XDIST_WORKER"])

SLOW = {  # files that take more than some four seconds of processor time; recipes do, too
    "test_api",
    "test_bad_input",
    "test_cli",
    "test_explain",
    "test_featurize",
    "test_file_limits",
    "test_fingerprint",
    "test_fuzz",
    "test_flips",
    "test_hearing",
    "test_help_examples",
    "test_iemocap_whole",
    "test_info_pictures",
    "test_keep_last",
    "test_kill",
    "test_long",
    "test_model_sundharam_parallel",
    "test_package",
    "test_per",
    "test_plugins",
    "test_predict",
    "test_predict_resume",
    "test_readme",
    "test_report_cli",
    "test_scoring",
    "test_separate",
    "test_soak",
    "test_streams",
    "test_survey",
    "test_sweep",
    "test_timed_labels",
    "test_train_cli",
    "test_untrusted_stores",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of pure functions first, then the recipes, so that what is short ends the run."""
    for item in items:
        if "recipes" in item.path.parts or item.path.stem in SLOW:
            item.add_marker("slow")
    stages = {
        item.path
        for item in items
        if "cli" in getattr(item, "fixturenames", ())
        or hasattr(getattr(item, "module", None), "subprocess")
    }
    items.sort(key=lambda item: 1 if "recipes" in item.path.parts else 2 * (item.path in stages))


@dataclass
class Result:
    """What one command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process: `cli("info", path)`."""
    from sertool.cli import main

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora, from SERTOOL_CORPORA; the test is skipped without it."""
    folder = os.environ.get("SERTOOL_CORPORA")
    if not folder:
        pytest.skip("SERTOOL_CORPORA is not set: no real corpora")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class-named folders with twelve half-second WAV files at 16 kHz."""
    import numpy as np
    import soundfile

    root = tmp_path_factory.mktemp("sounds")
    random = np.random.default_rng(0)
    time = np.arange(8000) / 16000
    for i in range(12):
        label = ("angry", "happy", "sad")[i % 3]
        folder = root / label
        folder.mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (120 + 60 * (i % 3)) * time)
        wave = tone + 0.02 * random.standard_normal(len(time))
        soundfile.write(folder / f"s{i:02d}.wav", wave.astype(np.float32), 16000, "PCM_16")
    return root
