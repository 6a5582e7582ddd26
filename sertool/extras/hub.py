"""The Hugging Face hub: a folder goes up as one commit, single files come down (`sertool[hub]`).

Its token is the environment's (`HF_TOKEN`, or what `hf auth login` kept); sertool never sees it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, SertoolError, UsageError
from sertool.formats.repository import CONFIG, ONNX

PREFIX = "hf:"
_PART = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_NAME = re.compile(f"{_PART}/{_PART}", re.ASCII)


def repository_of(text: str) -> str | None:
    """Return OWNER/NAME for "hf:OWNER/NAME", None for a folder; UsageError for a wrong name.

    >>> repository_of("hf:you/model"), repository_of("folder/model")
    ('you/model', None)
    """
    if not text.startswith(PREFIX):
        return None
    name = text.removeprefix(PREFIX)
    if not _NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith(".git"):
        raise UsageError(f"{text}: needs {PREFIX}OWNER/NAME, of letters, digits, '-', '_' and '.'")
    return name


def exists(repository: str, revision: str | None) -> bool:
    """Return whether there is a model of ours under this name."""
    with _explained(repository) as api:
        if not api.repo_exists(repository):
            return False
        return bool(api.file_exists(repository, CONFIG, revision=revision))


def upload(folder: Path, repository: str, revision: str | None, private: bool) -> None:
    """Put the files of a folder into a repository, made if it is missing, as one commit."""
    with _explained(repository) as api:
        # None: as the owner's organisation has it
        api.create_repo(repository, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message="sertool push",
            delete_patterns=[ONNX],  # of another model, where this one has none
        )


def download(repository: str, names: Collection[str], folder: Path, revision: str | None) -> None:
    """Put files of a repository into a folder."""
    with _explained(repository) as api:
        for name in names:
            api.hf_hub_download(repository, name, revision=revision, local_dir=folder)


@contextlib.contextmanager
def _explained(repository: str) -> Iterator[Any]:
    """Yield the hub's functions; whatever they raise becomes an InputError of one line."""
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UsageError(
            f"{PREFIX}{repository}: needs huggingface_hub: pip install 'sertool[hub]'"
        ) from error
    try:
        yield HfApi(library_name="sertool")
    except SertoolError:
        raise
    except Exception as error:  # the network's, the server's and the library's own, of many kinds
        first = next((line for line in str(error).splitlines() if line), type(error).__name__)
        raise InputError(f"{PREFIX}{repository}: {first}") from error
