"""The only door to audio files: decoding, resampling, fingerprints."""
