"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database.

Five women and five men talk in pairs, one pair a session: 151 dialogues, improvised or after a
script, of 10039 turns in English, about twelve hours. At least three evaluators chose classes for
each turn, at least two rated its valence, activation and dominance.

Source: https://sail.usc.edu/iemocap/ (on request, after signing the release form).
Licence: for research, by the University of Southern California's release form.
Citation: Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee & Narayanan 2008, IEMOCAP:
Interactive emotional dyadic motion capture database, Language Resources and Evaluation 42(4),
pp. 335-359.
Layout: IEMOCAP_full_release, in any folder, any case of letters, any suffix of the audio:
    Session1..5/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav   one turn
    Session1..5/dialog/wav/Ses01F_impro01.wav                          one dialogue, two channels
    Session1..5/dialog/EmoEvaluation/Ses01F_impro01.txt                labels, ratings, votes
    Session1..5/dialog/transcriptions/Ses01F_impro01.txt               words
Text files are looked for in the folders above each audio file, so that a session, a dialogue's
folder or a single file serves, too. A turn without a sentence file is cut from its dialogue's
audio by the evaluation's times. Dialogues whose turns are all there as sentence files, and films,
are left out.

Fields. The speaker is who speaks the turn (Ses01F_impro01_M003: Ses01M). A turn on whose class
most evaluators did not agree (`xxx`) has no label; its raw_label says so. `text` is the
transcription's words without case and punctuation, so that a line of a script that two pairs say
alike is one sentence. Further: scenario (improvised, scripted), dialogue, scene (script01_1),
turn, transcription, valence, activation, dominance (averages, 1 to 5), votes ({"neutral": 2, …},
what evaluators chose, for soft labels), choices ({"E2": ["neutral"], …}) and ratings ({"E3":
{"valence": 3, …}, …}) by evaluator, and self_reports, the same of the actors' (F1 and M1) on
themselves, which neither the label, the averages nor the votes count.

Selections. The improvised four classes of Ma et al. 2018 (Interspeech, paper 2228): 1099 neutral,
289 anger, 284 happiness and 608 sadness, 2280 in all, a fold a session:
    sertool prepare IEMOCAP_full_release ma2018.jsonl --where scenario=improvised \\
        --where 'label in neutral,anger,happiness,sadness' --split sessions
The 5531 turns in four classes, excited as happy (1708, 1103, 1636, 1084), that most others use:
    sertool prepare IEMOCAP_full_release four.jsonl --labels iemocap4 --where 'label!=null'
For train --soft, which learns from turns on which evaluators differ, too, give a map of your own
without xxx: drop = ["*"] and the same four classes.

Published counts: the turns by label of all EmoEvaluation files, as counted in
https://github.com/tae898/multimodal-datasets (IEMOCAP/dataset-stats.md); the four classes also in
https://github.com/emo-box/EmoBox. Counts by speaker are published nowhere that we know of.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sertool.corpora import Corpus, Published, Skipped, make, stem
from sertool.corpora.iemocap_labels import (
    Evaluation,
    Name,
    Turn,
    fields,
    parse_name,
    read_evaluation,
    read_transcription,
)
from sertool.items import Item

PUBLISHED = Published(
    classes={
        "(no label)": 2507,  # as `counts` calls turns without one
        "anger": 1103,
        "disgust": 2,
        "excitement": 1041,
        "fear": 40,
        "frustration": 1849,
        "happiness": 595,
        "neutral": 1708,
        "other": 3,
        "sadness": 1084,
        "surprise": 107,
    }
)
FILMS = (".avi", ".mp4", ".mov", ".mkv")
EVALUATIONS, TRANSCRIPTIONS = "EmoEvaluation", "transcriptions"
_LEVELS = 5  # folders above a file: Ses01F_impro01, wav, sentences, Session1, the release


@dataclass
class _Dialogue:
    """One dialogue: its text files, and its available audio (POSIX paths below root)."""

    path: Path | None = None  # of its evaluation
    evaluation: Evaluation | None = None
    texts: dict[str, str] = field(default_factory=dict)
    unread: list[Skipped] = field(default_factory=list)
    sentences: dict[str, str] = field(default_factory=dict)  # turn -> file
    recording: str | None = None

    def uncovered(self) -> list[Turn]:
        """Return the evaluated turns without a sentence file, in order of time."""
        turns = self.evaluation.turns.values() if self.evaluation else ()
        left = [turn for turn in turns if turn.name not in self.sentences]
        return sorted(left, key=lambda turn: (turn.start, turn.end, turn.name))

    def why_not(self, turn: str) -> str:
        """Return why nothing is known of one of its turns."""
        if self.path is None:
            return f"no {EVALUATIONS} gives the times of its turns"
        where = f"{EVALUATIONS}/{self.path.name}"
        if self.evaluation is None:
            return f"{where} cannot be read"
        line, reason = self.evaluation.broken.get(turn, (0, ""))
        return f"{where} line {line} {reason}" if reason else f"{where} has no line for it"


class _Shelf:
    """Finds the text files of dialogues in the folders above their audio; remembers listings."""

    def __init__(self) -> None:
        self.listings: dict[str, dict[str, str]] = {}
        self.folders: dict[tuple[str, str, str], list[str]] = {}

    def names(self, folder: str) -> dict[str, str]:
        """Return {name in small letters: name} of a folder's content; none if there is none."""
        if folder not in self.listings:
            try:
                content = sorted(os.listdir(folder), reverse=True)
            except OSError:
                content = []
            self.listings[folder] = {name.casefold(): name for name in content}
        return self.listings[folder]

    def child(self, folder: str, *parts: str) -> str | None:
        """Return the path of what lies below a folder, in any case of letters; None if nothing."""
        for part in parts:
            name = self.names(folder).get(part.casefold())
            if name is None:
                return None
            folder = os.path.join(folder, name)
        return folder

    def find(self, folder: str, kind: str, name: Name) -> Path | None:
        """Return a dialogue's text file of that kind, the nearest above `folder`."""
        key = (folder, kind, name.session)
        if key not in self.folders:
            above = [Path(folder), *Path(folder).parents][:_LEVELS]
            ways = (("dialog", kind), (kind,), (f"Session{name.session}", "dialog", kind))
            places = [self.child(str(path), *way) for path in above for way in ways]
            self.folders[key] = [place for place in places if place is not None]
        for place in self.folders[key]:
            path = self.child(place, f"{name.dialogue}.txt")
            if path is not None:
                return Path(path)
        return None


def fits(relative: str) -> bool:
    """Return whether the file is named like IEMOCAP's turns and dialogues, films among them."""
    return parse_name(stem(relative)) is not None


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per turn: its sentence file, or a cut of its dialogue's audio."""
    shelf = _Shelf()
    dialogues: dict[tuple[str, str], _Dialogue] = {}
    parsed: list[tuple[str, Name | None, _Dialogue | None]] = []
    for relative in files:
        name, dialogue = parse_name(stem(relative)), None
        if name is not None and not relative.lower().endswith(FILMS):
            dialogue = _open(shelf, dialogues, os.path.dirname(os.path.join(root, relative)), name)
            if name.turn is not None:
                dialogue.sentences.setdefault(name.turn, relative)
            else:
                dialogue.recording = dialogue.recording or relative
        parsed.append((relative, name, dialogue))
    for relative, name, dialogue in parsed:
        if name is None:
            reason = "not named like IEMOCAP's files (Ses01F_impro01_F000)"
            yield Skipped(relative, reason)
        elif dialogue is None:
            yield Skipped(relative, "video, not audio only", harmless=True)
        elif name.turn is not None:
            yield _sentence(root, relative, name, dialogue)
        else:
            yield from _cuts(root, relative, dialogue)
    for dialogue in dialogues.values():
        yield from _lost(shelf, root, dialogue)
    yield from _silent(shelf, root, dialogues)


def _open(
    shelf: _Shelf, dialogues: dict[tuple[str, str], _Dialogue], folder: str, name: Name
) -> _Dialogue:
    """Return the dialogue that an audio file in `folder` is of, its text files read."""
    path = shelf.find(folder, EVALUATIONS, name)
    key = (str(path or ""), name.dialogue)
    if key not in dialogues:
        dialogue = dialogues[key] = _Dialogue(path)
        try:
            dialogue.evaluation = read_evaluation(path, name.dialogue) if path else None
        except OSError as error:
            dialogue.unread.append(Skipped(str(path), str(error.strerror)))
        spoken = shelf.find(folder, TRANSCRIPTIONS, name)
        try:
            dialogue.texts = read_transcription(spoken) if spoken else {}
        except OSError as error:
            dialogue.unread.append(Skipped(str(spoken), str(error.strerror)))
    return dialogues[key]


def _sentence(root: Path, relative: str, name: Name, dialogue: _Dialogue) -> Item | Skipped:
    """Return the utterance of a sentence file; without any evaluation its label is unknown."""
    turn = dialogue.evaluation.turns.get(name.turn or "") if dialogue.evaluation else None
    if turn is None and dialogue.path is not None:
        return Skipped(relative, dialogue.why_not(name.turn or ""))
    return make(root, relative, **fields(name, turn, dialogue.texts.get(name.turn or "")))


def _cuts(root: Path, relative: str, dialogue: _Dialogue) -> Iterator[Item | Skipped]:
    """Yield the turns without a sentence file, cut from the dialogue's audio in order of time."""
    if relative != dialogue.recording:
        yield Skipped(relative, "further copies of a dialogue", harmless=True)
        return
    turns = dialogue.uncovered()
    if not turns and dialogue.sentences:
        reason = "whole dialogues, whose turns are there as sentence files"
        yield Skipped(relative, reason, harmless=True)
    elif not turns:
        yield Skipped(relative, dialogue.why_not(""))
    places: dict[tuple[int, int], str] = {}
    for turn in turns:
        name, place = parse_name(turn.name), (round(1000 * turn.start), round(1000 * turn.end))
        if place[0] >= place[1] or name is None:
            reason = f"{turn.name} ends at {turn.end:g} s, before it begins"
            yield Skipped(f"{dialogue.path} line {turn.line}", reason)
        elif place in places:
            reason = f"{turn.name} has the same times as {places[place]}"
            yield Skipped(f"{dialogue.path} line {turn.line}", reason)
        else:
            places[place] = turn.name
            known = fields(name, turn, dialogue.texts.get(turn.name))
            yield make(root, relative, start=turn.start, end=turn.end, **known)


def _lost(shelf: _Shelf, root: Path, dialogue: _Dialogue) -> Iterator[Skipped]:
    """Yield what the text files of a dialogue below `root` promise and nothing gives."""
    yield from dialogue.unread
    path, evaluation = dialogue.path, dialogue.evaluation
    if path is None or evaluation is None or not path.is_relative_to(root):
        return
    for line, reason in evaluation.problems:
        yield Skipped(f"{path} line {line}", reason)
    for turn, (line, reason) in evaluation.broken.items():
        if turn not in dialogue.sentences:
            yield Skipped(f"{path} line {line}", reason)
    if dialogue.recording is None:
        folder = os.path.dirname(os.path.join(root, next(iter(dialogue.sentences.values()))))
        # files that are there but were not given are not missed
        there = {parse_name(stem(name)) for name in shelf.names(folder)}
        for lost in dialogue.uncovered():
            if parse_name(lost.name) not in there:
                reason = f"{lost.name} has neither a sentence file nor its dialogue's audio"
                yield Skipped(f"{path} line {lost.line}", reason)


def _silent(shelf: _Shelf, root: Path, dialogues: Collection[tuple[str, str]]) -> Iterator[Skipped]:
    """Yield the evaluations below `root` of dialogues without any audio."""
    kinds = ((kind, place) for (_, kind, _), places in shelf.folders.items() for place in places)
    folders = {place for kind, place in kinds if kind == EVALUATIONS}
    for folder in sorted(folder for folder in folders if Path(folder).is_relative_to(root)):
        session = os.path.dirname(os.path.dirname(folder))
        audio = (shelf.child(session, "dialog", "wav"), shelf.child(session, "sentences", "wav"))
        # audio that is there but was not given is not missed
        there = {parse_name(stem(name)) for place in audio if place for name in shelf.names(place)}
        for name in sorted(shelf.names(folder).values()):
            title, path = parse_name(stem(name)), os.path.join(folder, name)
            known = title is None or title in there or (path, title.dialogue) in dialogues
            if not known and name.lower().endswith(".txt"):
                yield Skipped(path, "evaluations of dialogues without audio", harmless=True)


def published(root: Path, found: Sequence[Item]) -> Published:
    """Return the counts of the 10039 turns."""
    return PUBLISHED


CORPUS = Corpus(
    name="iemocap",
    summary="IEMOCAP: 10 speakers in 5 sessions, 10 classes and 3 dimensions, English",
    fits=fits,
    utterances=utterances,
    published=published,
    licence="for research, by the University of Southern California's release form",
)
