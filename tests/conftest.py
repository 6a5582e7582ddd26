"""Fixtures that every test shares: the command line in process, real corpora, small sounds."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no failure, and the same commit draws the same inputs: `make fuzz` draws others
settings.register_profile("sertool", deadline=None, derandomize=True)
settings.load_profile("sertool")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `train` sets it, before torch is loaded
os.environ["COLUMNS"] = "100"  # whatever terminal, or none, the tests are started from
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # as the first test with worker processes would, for all
if "PYTEST_XDIST_WORKER" in os.environ:
    # numba, where two processes compile at once, keeps code that ends a later one
    kept = Path(__file__).parent.parent / ".pytest_cache" / "numba"
    os.environ["NUMBA_CACHE_DIR"] = str(kept / os.environ["PYTEST_XDIST_WORKER"])
    import torch  # now, so that its first user draws what all others do  # noqa: F401

GET_CHILD_SUBREAPER = 37  # of prctl
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGPIPE)
LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
BEFORE = pytest.StashKey[dict[str, Any]]()
VARIABLES = pytest.StashKey[dict[str, str]]()

SLOW = {  # files that take more than some four seconds of processor time; recipes do, too
    "test_api",
    "test_bad_input",
    "test_batch_size",
    "test_boxes",
    "test_cli",
    "test_executors",
    "test_explain",
    "test_featurize",
    "test_file_limits",
    "test_findings",
    "test_fingerprint",
    "test_flips",
    "test_fuzz",
    "test_hearing",
    "test_help_examples",
    "test_hostile_sizes",
    "test_iemocap_whole",
    "test_info_pictures",
    "test_intervals",
    "test_keep_last",
    "test_kill",
    "test_long",
    "test_lost_workers",
    "test_model_sundharam_parallel",
    "test_onnx",
    "test_package",
    "test_parallel",
    "test_per",
    "test_plugins",
    "test_predict",
    "test_predict_by_speaker",
    "test_predict_resume",
    "test_provenance",
    "test_readme",
    "test_report_cli",
    "test_schemas",
    "test_scoring",
    "test_separate",
    "test_serve",
    "test_shards",
    "test_soak",
    "test_streams",
    "test_stress",
    "test_survey",
    "test_sweep",
    "test_timed_labels",
    "test_torchrun",
    "test_train_cli",
    "test_training",
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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Begin every test, and the fixtures that it is the first to use, with the same draws."""
    import numpy as np

    item.stash[VARIABLES], item.stash[BEFORE] = variables(), process()
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)  # which begins with a seed that differs
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Name a test that leaves the process otherwise than it was, for those that come after it."""
    yield
    for name in variables():  # --device, for worker processes
        del os.environ[name]
    os.environ.update(item.stash[VARIABLES])
    after = process()
    changed = {
        name: (was, after[name]) for name, was in item.stash[BEFORE].items() if after[name] != was
    }
    if changed:
        warnings.warn(f"{item.nodeid}: not as before the test: {changed}", stacklevel=1)


def variables() -> dict[str, str]:
    """Return what the environment tells the program."""
    return {name: text for name, text in os.environ.items() if name.startswith("SERTOOL_")}


def process() -> dict[str, Any]:
    """Return what of this process a test might change."""
    boxes, torch = (sys.modules.get(name) for name in ("sertool.core.boxes", "torch"))
    adopts = ctypes.c_int(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(GET_CHILD_SUBREAPER, ctypes.byref(adopts), 0, 0, 0)
    mask = os.umask(0o77)
    os.umask(mask)
    found = {
        "folder": os.getcwd(),
        "umask": mask,
        "adopts": adopts.value,
        "signals": [signal.getsignal(one) for one in SIGNALS],
        "limits": [resource.getrlimit(one) for one in LIMITS],
        "seconds": boxes._allowed.get() if boxes else (0.0, False),
    }
    if torch is not None:
        found |= {"type": torch.get_default_dtype(), "threads": torch.get_num_threads()}
    return found


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
