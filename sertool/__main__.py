"""The command `sertool`, and `python -m sertool`; Ctrl-C while it is loaded ends it quietly."""

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes ms: Ctrl-C may come
import os


def main() -> None:
    """Run sertool as a program."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored
    if usual:  # nothing is open yet, and an exception could be lost in an import
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    from sertool.cli import console_script

    console_script(interruptible=usual)


if __name__ == "__main__":
    main()
