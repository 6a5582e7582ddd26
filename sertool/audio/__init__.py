"""All reading of audio files: decoding, resampling, fingerprints."""

from __future__ import annotations

from collections.abc import Mapping

SLOWEST = 1000  # Hz: at a rate of 1 Hz a small file is a year, and fills memory once resampled
FASTEST = 4_000_000  # Hz: four times the rate at which bats are recorded
LONG = 60.0  # seconds: a longer recording is heard in parts, never whole in memory
HELD = 1 << 24  # samples of an utterance that features are computed of in memory, if no more
CHANNELS = ("mix", "left", "right")
NOTES = {  # what a note of `decoding.Decoded` means, after the number of recordings
    "cropped": "cropped: only their beginning is kept",
    "mixed": "mixed down",
    "padded": "zero-padded",
    "upsampled": "of a lower sample rate, so without the highest frequencies",
}


def resampling(rate: int, wanted: int) -> str:
    """Return the note on what was brought from a rate to another, in Hz."""
    return "resampled" if rate > wanted else "upsampled"


def summarised(notes: Mapping[str, int]) -> str:
    """Return how many recordings had each note, as "2 clipped; 3 mixed down"; "" for none."""
    return "; ".join(f"{count} {NOTES.get(note, note)}" for note, count in sorted(notes.items()))
