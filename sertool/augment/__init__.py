"""Augmentations of waveforms: one module a family, pure functions that report what they drew."""

AUGMENTATIONS = {"awgn": "sertool.augment.noise:AWGN"}
GROUP = "sertool.augmentations"
