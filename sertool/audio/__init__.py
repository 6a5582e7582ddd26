"""The only door to audio files: decoding, resampling, fingerprints."""

FASTEST = 4_000_000  # Hz: four times what records bats; a second of more is no longer small
CHANNELS = ("mix", "left", "right")
