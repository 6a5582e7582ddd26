"""The command `sertool`, and `python -m sertool`; Ctrl-C while it is loaded ends it quietly."""

import os
import signal
from types import FrameType


def main() -> None:
    """Run sertool as a program."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
    if usual:
        signal.signal(signal.SIGINT, _leave)
    from sertool.cli import console_script

    if usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    console_script()


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing is open yet, and an exception could be lost in an import


if __name__ == "__main__":
    main()
