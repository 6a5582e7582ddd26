"""IEMOCAP's text files: the evaluations of each turn, and its transcription.

Source: the README.txt of the release's folder dialog/EmoEvaluation, and the lines as published:

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-F1:	Neutral; Anger;	(curious)
    A-E3:	val 3; act 2; dom  2;	()

Times are seconds within the dialogue. The label is what most evaluators chose, and the three
numbers (valence, activation, dominance, from 1 to 5) are their average; the actors' own votes, F1
and M1, count for neither. Transcriptions: `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sertool.corpora import labels
from sertool.votes import CHOICES, RATINGS, VOTES, count

LABELS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
    "xxx": None,  # no class that most evaluators chose
}
DIMENSIONS = {"val": "valence", "act": "activation", "dom": "dominance"}
SCENARIOS = {"i": "improvised", "s": "scripted"}
GENDERS = {"F": "female", "M": "male"}
ACTORS = ("F1", "M1")  # evaluators of themselves
_NAME = (
    r"Ses0(?P<session>[1-5])(?P<wearer>[FM])_(?P<scene>impro\d\d[a-z]?|script\d\d_\d[a-z]?)"
    r"(?:_(?P<speaker>[FM])(?P<number>\d{3,4}))?"
)
_WHOLE_NAME = re.compile(_NAME, re.ASCII | re.IGNORECASE)
_SECONDS = r"(\d{1,6}(?:\.\d{1,9})?)"
_AVERAGE = r"(\d{1,2}(?:\.\d{1,9})?)"
_TURN = re.compile(
    rf"\[\s*{_SECONDS}\s*-\s*{_SECONDS}\s*\]\s+(?P<name>\S+)\s+(?P<code>\w+)\s+"
    rf"\[\s*{_AVERAGE}\s*,\s*{_AVERAGE}\s*,\s*{_AVERAGE}\s*\]",
    re.ASCII,
)
_VOTE = re.compile(r"(?P<kind>[CA])-(?P<evaluator>[A-Z]\d+)\s*:(?P<rest>.*)", re.ASCII)
_SCORE = re.compile(r"\b(val|act|dom)\s*(\d{1,2})\b", re.ASCII)
_SPOKEN = re.compile(r"(?P<name>\S+)\s*\[[^\]]*\]\s*:(?P<text>.*)")
_NOISE = re.compile(r"\[[^\]]*\]|\+\+[^+]*\+\+")  # [LAUGHTER]; ++LAUGHTER++ in older copies
_NOT_WORDS = re.compile(r"[^\w']+|_+")


@dataclass(frozen=True)
class Name:
    """The name of a dialogue or of a turn in it, e.g. Ses01F_impro01 or Ses01F_impro01_M003.

    The letter after the session's number says who wears the markers of the motion capture; who
    speaks is the letter before the turn's number.
    """

    session: str
    wearer: str
    scene: str
    speaker: str | None = None
    number: str | None = None

    @property
    def dialogue(self) -> str:
        """The dialogue's name, as published."""
        return f"Ses0{self.session}{self.wearer}_{self.scene}"

    @property
    def turn(self) -> str | None:
        """The turn's name, as published; None for a whole dialogue."""
        return f"{self.dialogue}_{self.speaker}{self.number}" if self.speaker else None


def parse_name(stem: str) -> Name | None:
    """Return what a file's name says, in any case of letters; None where it is not IEMOCAP's."""
    match = _WHOLE_NAME.fullmatch(stem)
    if match is None:
        return None
    speaker = match["speaker"]
    return Name(
        match["session"],
        match["wearer"].upper(),
        match["scene"].lower(),
        speaker.upper() if speaker else None,
        match["number"],
    )


@dataclass
class Turn:
    """The evaluation of one turn.

    `start` and `end` are seconds within the dialogue. `votes` maps each evaluator to the classes
    chosen, `ratings` to valence, activation and dominance (None where not given).
    """

    name: str
    line: int
    start: float
    end: float
    code: str
    averages: dict[str, float]
    votes: dict[str, list[str]] = field(default_factory=dict)
    ratings: dict[str, dict[str, int | None]] = field(default_factory=dict)


@dataclass
class Evaluation:
    """One file of EmoEvaluation: its turns, and what cannot be read of it.

    `broken` gives (line number, reason) for each turn whose line is wrong, `problems` the same for
    lines that name no turn.
    """

    turns: dict[str, Turn] = field(default_factory=dict)
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def read_evaluation(path: Path, dialogue: str) -> Evaluation:
    """Return the evaluations of a dialogue's turns in a file of EmoEvaluation; raises OSError."""
    evaluation = Evaluation()
    turn: Turn | None = None
    lost = False  # the votes that follow belong to a turn that cannot be read
    for number, line in enumerate(_read(path).splitlines(), 1):
        line = line.strip()
        vote = _VOTE.match(line)
        if not line or line.startswith("%"):
            continue
        if line.startswith("["):
            turn = _turn(line, number, dialogue, evaluation)
            lost = turn is None
        elif vote is None:
            evaluation.problems.append((number, f"neither a turn nor a vote: {line[:40]!r}"))
        elif turn is not None:
            _add_vote(turn, vote["kind"], vote["evaluator"], vote["rest"])
        elif not lost:
            evaluation.problems.append((number, "a vote before any turn"))
            lost = True
    return evaluation


def _turn(line: str, number: int, dialogue: str, evaluation: Evaluation) -> Turn | None:
    """Add the turn of a line that begins with its times; return it, None where it is wrong."""
    match = _TURN.fullmatch(line)
    words = match["name"] if match else next((w for w in line.split() if parse_name(w)), "")
    name = parse_name(words)
    if name is None or name.turn is None or name.dialogue != dialogue:
        what = f"names no turn of {dialogue}" if match else "is not a line of a turn"
        evaluation.problems.append((number, f"{what}: {line[:60]!r}"))
        return None
    if match is None:
        reason = "is not [start - end] turn label [valence, activation, dominance]"
    elif match["code"].lower() not in LABELS:
        reason = f"has the unknown label {match['code']!r}"
    elif name.turn in evaluation.turns or name.turn in evaluation.broken:
        evaluation.problems.append((number, f"{name.turn} comes a second time"))
        return None
    else:
        start, end, _, code, *averages = match.groups()
        turn = Turn(
            name.turn,
            number,
            float(start),
            float(end),
            code.lower(),
            dict(zip(DIMENSIONS.values(), map(float, averages), strict=True)),
        )
        evaluation.turns[name.turn] = turn
        return turn
    if name.turn in evaluation.turns:
        evaluation.problems.append((number, reason))
    else:
        evaluation.broken[name.turn] = (number, reason)
    return None


def _add_vote(turn: Turn, kind: str, evaluator: str, rest: str) -> None:
    """Add one evaluator's classes or ratings to a turn; remarks in brackets are left out."""
    said = rest.split("(")[0]
    if kind == "C":
        words = [printable(word) for word in said.split(";")]
        turn.votes.setdefault(evaluator, []).extend(labels.noun(word) for word in words if word)
    else:
        scores = {short: int(score) for short, score in _SCORE.findall(said)}
        turn.ratings[evaluator] = {name: scores.get(short) for short, name in DIMENSIONS.items()}


def read_transcription(path: Path) -> dict[str, str]:
    """Return {turn: its words} of a file of transcriptions; raises OSError.

    Lines of turns that were not evaluated (`…_MXX0`, `M:`) are passed over.
    """
    texts: dict[str, str] = {}
    for line in _read(path).splitlines():
        match = _SPOKEN.match(line.strip())
        name = parse_name(match["name"]) if match else None
        if match and name and name.turn:
            texts.setdefault(name.turn, printable(match["text"]))
    return texts


def sentence(transcription: str) -> str | None:
    """Return the sentence of a transcription, the same for the same words; None for none.

    In small letters, without punctuation and without the sounds in brackets; the sounds alone
    where there is nothing else (`[laughter]`).
    """
    folded = unicodedata.normalize("NFKC", transcription).casefold().replace("\u2019", "'")
    pieces = _NOT_WORDS.sub(" ", _NOISE.sub(" ", folded)).split()
    words = [word for piece in pieces if (word := piece.strip("'"))]
    if words:
        return " ".join(words)
    sounds = [_NOT_WORDS.sub(" ", sound).strip() for sound in _NOISE.findall(folded)]
    return " ".join(f"[{sound}]" for sound in sounds if sound) or None


def fields(name: Name, turn: Turn | None, transcription: str | None) -> dict[str, Any]:
    """Return the fields of a turn's utterance, `extra` among them; unknown ones are None."""
    averages: dict[str, float] = turn.averages if turn else {}
    extra: dict[str, Any] = {
        "scenario": SCENARIOS[name.scene[0]],
        "dialogue": name.dialogue,
        "scene": name.scene,
        "turn": name.turn,
        "transcription": transcription or None,
        **{dimension: averages.get(dimension) for dimension in DIMENSIONS.values()},
        **_opinions(turn),
    }
    return {
        "speaker": f"Ses0{name.session}{name.speaker}",
        "gender": GENDERS[name.speaker or ""],
        "language": "en",
        "session": name.session,
        "text": sentence(transcription or ""),
        "label": LABELS[turn.code] if turn else None,
        "raw_label": turn.code if turn else None,
        "extra": extra,
    }


def _opinions(turn: Turn | None) -> dict[str, Any]:
    """Return what evaluators said of a turn, and apart from it what its actors said themselves."""
    choices, ratings = (turn.votes, turn.ratings) if turn else ({}, {})
    own: dict[str, dict[str, Any]] = {
        name: {CHOICES: chosen} for name, chosen in choices.items() if name in ACTORS
    }
    for name, rated in ratings.items():
        if name in ACTORS:
            own[name] = own.get(name, {}) | rated
    choices = {name: chosen for name, chosen in choices.items() if name not in ACTORS}
    return {
        VOTES: count(choices),
        CHOICES: choices or None,
        RATINGS: {name: rated for name, rated in ratings.items() if name not in ACTORS} or None,
        "self_reports": own or None,
    }


def printable(text: str) -> str:
    """Return text on one line, single spaces between words, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _read(path: Path) -> str:
    """Return a file's text: UTF-8, else the Western European code of Windows; raises OSError."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")
