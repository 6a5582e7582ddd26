"""Generated IEMOCAP releases: true names, published line formats and counts, empty audio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus_trees import touch

from sertool.corpora import iemocap, labels

# the evaluation that every description of the format quotes
PUBLISHED_LINES = """\
% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral;\t()
C-E4:\tNeutral;\t()
C-F1:\tNeutral;\t(curious)
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mildly aggravated but staying polite, attitude)
A-F1:\tval 3; act 2; dom  1;\t()

[10.0100 - 11.3925]\tSes01F_impro01_F001\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-F1:\tNeutral; Anger;\t()
A-E3:\tval 3; act ; dom  2;\t()

[14.8872 - 18.0175]\tSes01F_impro01_M001\txxx\t[2.0000, 3.0000, 2.6667]
C-E2:\tExcited;\t()
C-E3:\tOther;\t(annoyed)
"""
PUBLISHED_WORDS = """\
Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_MXX0 [007.1234-007.9999]: Mmhmm.
M: [LAUGHTER]
Ses01F_impro01_M001 [014.8872-018.0175]: Yeah. [LAUGHTER] I don't--  know!
"""


@dataclass
class T:
    """A turn to generate: its name after the dialogue's, label, times, words, evaluators' votes."""

    name: str
    code: str = "neu"
    start: float = 0.0
    end: float = 0.0
    words: str = "Okay."
    votes: tuple[str, ...] = ("Neutral",)


def evaluation(dialogue: str, turns: Iterable[T]) -> str:
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    for i, turn in enumerate(turns):
        start, end = turn.start or 2.0 * i + 1, turn.end or 2.0 * i + 2
        times = f"[{start:.4f} - {end:.4f}]"
        lines += [f"{times}\t{dialogue}_{turn.name}\t{turn.code}\t[2.5000, 3.0000, 1.6667]"]
        lines += [f"C-E{k}:\t{vote};\t()" for k, vote in enumerate(turn.votes, 2)]
        lines += ["A-E3:\tval 3; act 2; dom  2;\t()", ""]
    return "\n".join(lines)


def release(
    root: Path, dialogues: dict[str, list[T]], sentences: bool = True, recordings: bool = False
) -> Path:
    """Write a release of empty audio files; returns `root`."""
    for dialogue, turns in dialogues.items():
        session = root / f"Session{dialogue[4]}"
        texts = session / "dialog"
        for kind in ("EmoEvaluation", "transcriptions"):
            (texts / kind).mkdir(parents=True, exist_ok=True)
        (texts / "EmoEvaluation" / f"{dialogue}.txt").write_text(evaluation(dialogue, turns))
        spoken = [f"{dialogue}_{t.name} [001.0000-002.0000]: {t.words}\n" for t in turns]
        (texts / "transcriptions" / f"{dialogue}.txt").write_text("".join(spoken))
        if sentences:
            names = [f"{dialogue}_{turn.name}.wav" for turn in turns]
            touch(session / "sentences" / "wav" / dialogue, names)
        if recordings:
            touch(session / "dialog" / "wav", [f"{dialogue}.wav"])
    return root


SMALL = {
    "Ses01F_impro01": [T("F000", "neu"), T("M000", "hap"), T("M001", "xxx")],
    "Ses01M_script01_1": [T("F000", "exc"), T("M000", "fru")],
    "Ses05M_script01_1b": [T("M000", "oth"), T("F000", "ang")],
    "Ses03M_impro05a": [T("M003", "sad"), T("F010", "sur")],
}


def every_dialogue() -> dict[str, list[str]]:
    """The names of the 151 dialogues by session, as the release has them."""
    scripts = [f"script{a}" for a in ("01_1", "01_2", "01_3", "02_1", "02_2", "03_1", "03_2")]
    names: dict[str, list[str]] = {}
    for session in "12345":
        impro = [f"impro{i:02d}" for i in range(1, 8 if session == "1" else 9)]
        for wearer in "FM":
            scenes = [*impro, *scripts]
            if (session, wearer) == ("3", "M"):
                scenes.remove("impro05")
                scenes.remove("impro08")
                scenes += ["impro05a", "impro05b", "impro08a", "impro08b"]
            if (session, wearer) == ("5", "M"):
                scenes.append("script01_1b")
            names.setdefault(session, []).extend(f"Ses0{session}{wearer}_{s}" for s in scenes)
    return names


# By session: anger, excitement, frustration, happiness, neutral, sadness (in several descriptions,
# e.g. EmoBox's folds of 1085, 1023, 1151, 1031 and 1241) and the number of all turns
CODES = ("ang", "exc", "fru", "hap", "neu", "sad")
SESSIONS = {
    "1": ((229, 143, 280, 135, 384, 194), 1819),
    "2": ((137, 210, 325, 117, 362, 197), 1811),
    "3": ((240, 151, 382, 135, 320, 305), 2136),
    "4": ((327, 238, 481, 65, 258, 143), 2103),
    "5": ((170, 299, 381, 143, 384, 245), 2170),
}
REST = {"fea": 40, "sur": 107, "dis": 2, "oth": 3, "xxx": 2507}
IMPROVISED = {"neu": 1099, "ang": 289, "hap": 284, "sad": 608}  # Ma et al.'s four classes


def full_release() -> dict[str, list[T]]:
    """A release with the published counts; which turn has which label is ours."""
    rest = [code for code, n in REST.items() for _ in range(n)]
    left, seen = dict(IMPROVISED), Counter[str]()
    turns: dict[str, list[T]] = {}
    for session, (by_code, total) in SESSIONS.items():
        codes = [code for code, n in zip(CODES, by_code, strict=True) for _ in range(n)]
        codes += [rest.pop() for _ in range(total - len(codes))]
        dialogues = every_dialogue()[session]
        for i, code in enumerate(codes):
            seen[code] += 1
            improvised = i % 2 == 0
            if code in IMPROVISED:  # spread over the sessions, in all exactly as many
                all_of = iemocap.PUBLISHED.classes[labels.noun(code)]
                due = round(seen[code] * IMPROVISED[code] / all_of)
                improvised = IMPROVISED[code] - left[code] < due
                left[code] -= improvised
            scenes = [d for d in dialogues if ("impro" in d) == improvised]
            turns.setdefault(scenes[i % len(scenes)], []).append(T(f"{'FM'[i % 2]}{i:03d}", code))
    assert not rest
    assert not any(left.values())
    assert sorted(turns) == sorted(d for names in every_dialogue().values() for d in names)
    return turns
