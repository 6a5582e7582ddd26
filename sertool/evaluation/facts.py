"""The facts of a protocol that a report states, and `--require` wants."""

from __future__ import annotations

# fact -> what is shared where it is False
FACTS: dict[str, str] = {
    "speaker_disjoint": "speakers",
    # whole, in segments or augmented; also two cuts of one file that are half the same
    "origin_disjoint": "recordings",
    "text_disjoint": "sentences",
    # the same samples under two names
    "audio_disjoint": "identical recordings",
    # alike by their fingerprints, and neither one recording nor identical
    "near_disjoint": "near-duplicates",
    # the very test items, among those that statistics or weights were fitted to
    "fit_disjoint": "fitted items",
}
