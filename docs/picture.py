"""Draw docs/eval.svg, what `sertool eval` prints in a terminal: python docs/picture.py out/demo.

The folder is what `make demo` leaves.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 76
LINES = 33  # down to the fifth speaker
COMMAND = "sertool eval demo.0.ckpt demo.1.ckpt demo.2.ckpt mel.h5"


def main() -> None:
    """Run the command on the demo's checkpoints, and keep its colours."""
    colour = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "COLUMNS": str(WIDTH)}
    done = subprocess.run(
        [sys.executable, "-m", *COMMAND.split(), "--quiet"],
        cwd=sys.argv[1],
        env=os.environ | colour,
        capture_output=True,
        text=True,
        check=True,
    )
    text = Text.from_ansi("\n".join(done.stdout.splitlines()[:LINES]))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), color_system="truecolor")
    console.print(Text.assemble(("$ ", "green"), (COMMAND, "bold")), text, sep="\n")
    drawn = console.export_svg(title="sertool", clear=False)
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)  # fonts of the network
    Path(__file__).with_name("eval.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
