"""`sertool augment`: augmented copies beside their originals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sertool.cli import common

SOUND = "What is done to waveforms, in this order (all drawn uniformly)"
PICTURES = "What is done to pictures (together one bilinear resampling)"
FRAMES = "What is done to features over time"


def _sound(name: str, metavar: str, text: str, **more: Any) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=SOUND, **more)


def _picture(name: str, text: str, **more: Any) -> Any:
    return typer.Option(name, help=text, rich_help_panel=PICTURES, **more)


Source = Annotated[
    Path,
    typer.Argument(
        metavar="STORE", readable=False, help="A store of waveforms, pictures or features."
    ),
]
Output = Annotated[
    Path, typer.Argument(metavar="STORE", readable=False, help="The store to write.")
]
Pitch = Annotated[
    str | None,
    _sound("--pitch", "LOW:HIGH", "So many semitones higher, e.g. -2:2; the duration stays."),
]
TimeStretch = Annotated[
    str | None,
    _sound(
        "--time-stretch",
        "LOW:HIGH",
        "So many times as fast, e.g. 0.9:1.1, at the same pitch; 2 is half as long.",
    ),
]
Shift = Annotated[
    float | None,
    _sound(
        "--shift",
        "F",
        "Move by -F to F of the duration; silence fills up. Of pictures: of height and of width;"
        " the edge's pixels fill up.",
    ),
]
Reverb = Annotated[
    Path | None,
    _sound(
        "--reverb",
        "FOLDER",
        "A room: an impulse response from this folder; the direct sound stays where it is, and"
        " the energy what it is.",
        readable=False,
    ),
]
Noise = Annotated[
    Path | None,
    _sound(
        "--noise",
        "FOLDER",
        "Noise from this folder's recordings: a random stretch, repeated where it is too short.",
        readable=False,
    ),
]
NoiseSnr = Annotated[
    str | None,
    _sound("--noise-snr", "LOW:HIGH", "Its signal-to-noise ratio in dB (without: 0:15)."),
]
Awgn = Annotated[
    str | None,
    _sound("--awgn", "LOW:HIGH", "White Gaussian noise at this signal-to-noise ratio in dB."),
]
BandPass = Annotated[
    str | None,
    _sound(
        "--band-pass",
        "LOW:HIGH",
        "Only this band in Hz, e.g. 300:3400 (a telephone), or with ranges for its edges,"
        " 200-400:3000-4000.",
    ),
]
Gain = Annotated[
    str | None,
    _sound("--gain", "LOW:HIGH", "So many dB louder, e.g. -6:6; int16 is cut off at full scale."),
]
Codec = Annotated[
    str | None,
    _sound(
        "--codec",
        "LIST",
        "Encoded and decoded again by one of these: mp3, ogg, opus, gsm, mulaw, alaw.",
    ),
]
Zoom = Annotated[
    float | None,
    _picture(
        "--zoom",
        "Scale height and width, each by its own factor from 1-F to 1+F, uniform.",
        metavar="F",
    ),
]
Flip = Annotated[
    bool,
    _picture(
        "--flip",
        "Change left and right over in every second copy, as FSER did: it plays speech backwards.",
    ),
]
SpecAugment = Annotated[
    str | None,
    typer.Option(
        "--spec-augment",
        metavar="LIST",
        help="Hide N stretches of at most T frames each (at most the share P of all, 1) and N bands"
        " of at most F dimensions: time-mask=T:N:P,freq-mask=F:N, e.g."
        " time-mask=40:2,freq-mask=15:2. The item's own mean stands there. train --augment does"
        " so anew in every epoch.",
        rich_help_panel=FRAMES,
    ),
]
Copies = Annotated[int, typer.Option("--copies", min=1, help="Copies of each original.")]
OnlyCopies = Annotated[bool, typer.Option("--only-copies", help="Leave the originals out.")]
Part = Annotated[
    str, typer.Option("--part", help="Of items with a part, copy those of: train, val or test.")
]
Compress = Annotated[str, typer.Option("--compress", help="none, lzf or gzip.")]
RANGES = ("pitch", "time_stretch", "awgn", "gain")  # options that are LOW:HIGH
NOISE_SNR = "0:15"  # dB, that of Snyder et al. (2018) for noise


def command(
    source: Source,
    output: Output,
    pitch: Pitch = None,
    time_stretch: TimeStretch = None,
    shift: Shift = None,
    reverb: Reverb = None,
    noise: Noise = None,
    noise_snr: NoiseSnr = None,
    awgn: Awgn = None,
    band_pass: BandPass = None,
    gain: Gain = None,
    codec: Codec = None,
    zoom: Zoom = None,
    flip: Flip = False,
    spec_augment: SpecAugment = None,
    copies: Copies = 1,
    only_copies: OnlyCopies = False,
    part: Part = "train",
    compress: Compress = "none",
    seed: common.Seed = 0,
    force: common.Force = False,
    resume: common.Resume = False,
    workers: common.Workers = 0,
    log: common.Log = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Write a store of originals and augmented copies, each copy tied to its origin.

    A copy keeps its origin's label, speaker, fold and part; train uses it only where its origin
    is in training, and eval leaves it out. What was drawn is in its field augmentation.
    For pictures and features train --augment draws alike as it goes, and stores nothing.

    [bold]sertool augment --awgn 15:30 --copies 2 wave.h5 noisy.h5[/bold]

    [bold]sertool augment --pitch -2:2 --noise musan/noise --reverb rooms wave.h5 more.h5[/bold]

    [bold]sertool augment --shift 0.1 --zoom 0.1 --flip --copies 20 pictures.h5 more.h5[/bold]

    Exit codes: 0 done, 1 a recording of noise or of a room failed, 2 wrong usage, 3 cannot start.
    """
    _run(locals())


def _run(given: dict[str, Any]) -> None:
    """Hand the command line's values to the stage."""
    from sertool.core import workers as pool

    pool.single_thread()
    from sertool.commands.augment import augment
    from sertool.items import PARTS

    common.one_of("--compress", given["compress"], ("none", "lzf", "gzip"))
    common.one_of("--part", given["part"], PARTS)
    steps = _steps(given)
    passed = ("copies", "only_copies", "part", "seed", "compress", "workers", "force", "resume")
    with common.console("augment", given["quiet"], given["verbose"], given["log"]) as console:
        more = {name: given[name] for name in passed}
        augment(given["source"], given["output"], steps, **more, console=console)
    raise typer.Exit(console.exit_code)


def _steps(given: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the augmentations that the options ask for, each with its values."""
    from sertool.augmentations import read_steps, suiting
    from sertool.core.errors import UsageError

    steps: dict[str, list[Any]] = {}
    for name in RANGES:
        if given[name] is not None:
            option = name.replace("_", "-")
            steps[option] = list(common.number_range(f"--{option}", given[name]))
    for name in ("shift", "zoom", "reverb"):
        if given[name] is not None:
            steps[name] = [given[name]]
    if given["flip"]:
        steps["flip"] = []
    if given["noise"] is not None:
        snr = given["noise_snr"] or NOISE_SNR
        steps["noise"] = [given["noise"], *common.number_range("--noise-snr", snr)]
    elif given["noise_snr"] is not None:
        raise UsageError("--noise-snr: of what? --noise FOLDER names recordings")
    if given["band_pass"] is not None:
        steps["band-pass"] = _band(given["band_pass"])
    if given["codec"] is not None:
        steps["codec"] = [tuple(name.strip() for name in given["codec"].split(","))]
    masks = read_steps("--spec-augment", given["spec_augment"])
    strange = sorted(set(masks) - set(suiting("frames")))
    if strange:
        raise UsageError(
            f"--spec-augment {', '.join(strange)}: needs {' or '.join(suiting('frames'))}"
        )
    return steps | masks


def _band(text: str) -> list[float]:
    """Return the four numbers of "A-B:C-D", each of which A-B may be one number alone."""
    from sertool.core.errors import UsageError

    edges: list[float] = []
    for edge in text.split(":"):
        low, dash, high = edge.partition("-")
        try:
            edges += [float(low), float(high if dash else low)]
        except ValueError:
            edges = []
            break
    if len(edges) != 4:
        raise UsageError(f"--band-pass {text}: write LOW:HIGH in Hz, or 200-400:3000-4000")
    return edges
