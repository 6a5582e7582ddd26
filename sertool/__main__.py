"""`python -m sertool` is the command `sertool`."""

from sertool.cli import console_script

if __name__ == "__main__":
    console_script()
