"""What `eval` and `predict` say of a model of fixed length."""

from __future__ import annotations

from sertool.ui.console import Console


def announce(console: Console, windows: int, padded: int, what: str) -> None:
    """Say once what a model of fixed length made of longer and shorter input."""
    if windows:
        console.note(f"{windows} {what} longer than the model's input: averaged over windows")
    if padded:
        console.note(f"{padded} {what} shorter than the model's input: padded")
