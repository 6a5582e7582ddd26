"""The file names of whole corpora, as their archives have them, for generated trees.

Each function returns POSIX names below the corpus's folder, in order, with the true counts. They
are written from the corpora's documentation and file lists, not from the adaptors that they test.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

# the 535 of EmoDB: speaker -> its sentences, each with the (emotion, version) of its files
_EMODB = {
    "03": """
    a01FaNcWa a02FcNcTaWbWc a04AdFdLcNcTaWc a05AaFcNdTcWaWb a07FaFbLaNcWc b01FaLbNbTdWaWc
    b02AaLaNaTbWb b03NbTcWc b09LaNcTcWa b10AbEcNaNcWbWc""",
    "08": """
    a01AbFdLcNaWaWc a02AbAcFeLaNaTbWc a04FfLaNcTbWc a05FeLcNbTaWa a07FdLaNaTaTbWc
    b01AaFdFeLbNaWa b02FfLaNbTcWd b03FeLcNbTcWd b09AbFdLcNbTbWaWc b10AaFdLaNcTcWa""",
    "09": """
    a01EaFaNbWb a02EaEbLaWb a04FdLaNbWa a05EdLcNbTbWbWc a07EbNaTaWbWd b01EaNaWb
    b02NaTbWcWd b03EdFaFdLbNbTaWb b09EaNdWa b10AaNdWa""",
    "10": """
    a01AcNbWa a02AbFaLbNaWa a04FdNbWaWb a05AaLdTbWb a07AaAdLaTaWb b01AaEaFaLb b02AaLaNaWb
    b03LaTbWb b09AdLbWb b10FcLcWa""",
    "11": """
    a01AaAbLdNdWc a02EcFbLdNcTcWc a04AcFdNdWc a05AdFbFcLcNaTdWd a07AcLdTaWc
    b01AbEbFcLbNcWd b02AbFdNaTdWb b03FcLcNbTdWaWb b09AdFdLdNaTdWa b10AdAeLdNcTdWa""",
    "12": """
    a01FbLbNbWc a02AcEcNbWaWc a04Wc a05AbLbNdTaWb a07AcLaWa b01TaWa b02AdEaFbNaWaWbWd
    b03LaTa b09AcTdWc b10AcLdWa""",
    "13": """
    a01AcEaEcFdLbNbWb a02AdEcFaLcNcTaWa a04AcFcLbTaWc a05AaEaLcNbTcWaWc a07FdLbNaTcWb
    b01AbEcFcLdNcWa b02FbLcNbWa b03AcEdFdLbNaTdWc b09AbEcFbFcLaNaWa b10EcFaLaNcWaWc""",
    "14": """
    a01AaAcEaNaWaWc a02AbEaFdLaNcTbWaWc a04AaEdLbTbTcWbWc a05AaAcFaFbLbNaTaTcWaWb
    a07AaEbFdLcLdNaTcWc b01AcEbFaFcNaWc b02AaFbNaTcWbWd b03AdEdLbTaWb b09AcEaFcLbTdWaWc
    b10AdEbLbNbTcWc""",
    "15": """
    a01EaFbLaNbWa a02AcEaLaNaTaWbWd a04AbAcFdNcWaWb a05EbFbLbNaWa a07AcEbFaFbLdNc
    b01EcLbNaWc b02AaLbNdTcWaWc b03AaLcNbTcWaWb b09AcFaLaNbTaWb b10AcLcNbNcWa""",
    "16": """
    a01EcFcLbNcTbWb a02EaEcLbNbTcWb a04AbEaFaLaLcNcTcWbWc a05AbEaFcLaTbWbWc
    a07EaFaFbLaLbNbTdWa b01AaEbFaLaLcTbWaWb b02AaEbFdLbWb b03AdEaFaFdLaNbTaWb
    b09AbEbFbLaLbWb b10AaEbFbLbTbTdWaWb""",
}
_TESS = """
back bar base bath bean beg bite boat bone book bought burn cab calm came cause chain chair chalk
chat check cheek chief choice cool dab date dead death deep dime dip ditch dodge dog doll door fail
fall far fat fit five food gap gas gaze germ get gin goal good goose gun half hall hash hate have
haze hire hit hole home hurl hush jail jar join judge jug juice keen keep keg kick kill king kite
knock late laud lean learn lease lid life limb live loaf long lore lose lot love luck make match
merge mess met mill mob mode mood moon mop mouse nag name near neat nice note numb pad page pain
pass pearl peg perch phone pick pike pole pool puff rag raid rain raise rat reach read red ring ripe
road room rose rot rough rush said sail search seize sell shack shall shawl sheep shirt should shout
size soap soup sour south sub such sure take talk tape team tell thin third thought thumb time tip
tire ton tool tough turn vine voice void vote wag walk wash week wheat when which whip white wife
wire witch yearn yes young youth"""
# folders of TESS as they are spelt in the older release
_TESS_FOLDERS = """
OAF_angry OAF_disgust OAF_Fear OAF_happy OAF_neutral OAF_Pleasant_surprise OAF_Sad
YAF_angry YAF_disgust YAF_fear YAF_happy YAF_neutral YAF_pleasant_surprised YAF_sad"""
# URDU: the last running number of each speaker in a folder
_URDU = {
    "Angry": "SM1:22 SM2:50 SM3:52 SM4:100",
    "Happy": "SF1:12 SF2:14 SF3:16 SF4:20 SF5:24 SF6:38 SF7:44 SF8:46 SM17:48 SM18:50 SM19:52"
    " SM3:54 SM5:62 SM6:72 SM7:100",
    "Neutral": "SF9:4 SM20:14 SM21:18 SM22:20 SM3:28 SM5:100",
    "Sad": "SF10:2 SF11:6 SM23:12 SM24:50 SM25:90 SM26:92 SM27:96 SM6:100",
}
_CREMA_D = "IEO TIE IOM IWW TAI MTI IWL ITH DFA ITS TSI WSI"
_CREMA_D_MISSING = {"1002_TIE_NEU", "1076_ITS_NEU", "1008_WSI", "1009_MTI", "1019_ITH"}
# ESD: the encoding of each speaker's table
_ESD_ENCODINGS = """
gb2312 gb2312 utf_16 gb2312 gb2312 utf_16 utf_16 utf_16 gb2312 utf_16
utf_8 utf_16 utf_16 utf_16 utf_8 latin_1 latin_1 utf_16 utf_16 utf_8"""
# MELD: dialogues, and utterances in each class, in the order below
_MELD = {
    "train_splits": (1039, (1109, 271, 268, 1743, 4710, 683, 1205)),
    "dev_splits_complete": (114, (153, 22, 40, 163, 470, 111, 150)),
    "output_repeated_splits_test": (280, (345, 68, 50, 402, 1256, 208, 281)),
}
_MELD_CLASSES = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


def write(root: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files below `root`, which is returned."""
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def emodb(suffix: str = ".wav") -> list[str]:
    """EmoDB: 535 files, in the folder `wav` of the archive."""
    return [
        f"wav/{speaker}{item[:3]}{item[i : i + 2]}{suffix}"
        for speaker, items in _EMODB.items()
        for item in items.split()
        for i in range(3, len(item), 2)
    ]


def ravdess(channel: str = "01", suffix: str = ".wav", flat: bool = False) -> list[str]:
    """RAVDESS, sound only: 1440 files of speech (channel 01) or 1012 of song (02)."""
    names = []
    for actor, emotion, intensity, statement, repetition in product(
        range(1, 25), range(1, 9 if channel == "01" else 7), (1, 2), (1, 2), (1, 2)
    ):
        if (emotion == 1 and intensity == 2) or (channel == "02" and actor == 18):
            continue
        numbers = (emotion, intensity, statement, repetition, actor)
        stem = f"03-{channel}-" + "-".join(f"{n:02d}" for n in numbers)
        names.append(f"{'' if flat else f'Actor_{actor:02d}/'}{stem}{suffix}")
    return names


def savee(flat: bool = False) -> list[str]:
    """SAVEE: 480 files, by speaker in AudioData, or flat."""
    emotions = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
    return [
        f"{speaker}_{emotion}{n:02d}.wav" if flat else f"AudioData/{speaker}/{emotion}{n:02d}.wav"
        for speaker in ("DC", "JE", "JK", "KL")
        for emotion, last in emotions.items()
        for n in range(1, last + 1)
    ]


def emovo() -> list[str]:
    """EMOVO: 588 files, by speaker."""
    kinds = {"b": 3, "l": 4, "n": 5, "d": 2}
    sentences = [f"{kind}{n}" for kind, last in kinds.items() for n in range(1, last + 1)]
    emotions = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
    return [
        f"{speaker}/{emotion}-{speaker}-{sentence}.wav"
        for speaker in ("f1", "f2", "f3", "m1", "m2", "m3")
        for emotion in emotions
        for sentence in sentences
    ]


def tess(flat: bool = False) -> list[str]:
    """TESS: 2800 files, by speaker and emotion with the spellings of the older release, or flat."""
    names = []
    for folder in _TESS_FOLDERS.split():
        speaker, _, word = folder.partition("_")
        emotion = "ps" if word.lower().startswith("pleasant") else word.lower()
        for target in _TESS.split():
            stem = f"{speaker}_{target}_{emotion}"
            if not flat and stem == "OAF_bite_neutral":
                stem = "OA_bite_neutral"
            names.append(f"{stem}.wav" if flat else f"{folder}/{stem}.wav")
    return names


def crema_d(folder: str = "AudioWAV", suffix: str = ".wav") -> list[str]:
    """CREMA-D: 7442 clips, of which one has a short name."""
    names = []
    emotions = ("NEU", "HAP", "SAD", "ANG", "FEA", "DIS")
    for actor, sentence, emotion in product(range(1001, 1092), _CREMA_D.split(), emotions):
        clip = f"{actor}_{sentence}_{emotion}"
        if {clip, clip[:8]} & _CREMA_D_MISSING:
            continue
        levels = ("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",)
        levels = ("X",) if clip == "1040_ITH_SAD" else levels
        names += [f"{folder}/{clip}_{level}{suffix}" for level in levels]
    return names


def urdu() -> list[str]:
    """URDU: 400 files, by emotion."""
    names = []
    for folder, ends in _URDU.items():
        before = 0
        for speaker, last in (end.split(":") for end in ends.split(" ")):
            names += [
                f"{folder}/{speaker}_F{n - before}_{folder[0]}0{n}.wav"
                for n in range(before + 1, int(last) + 1)
            ]
            before = int(last)
    return names


def des(flat: bool = False) -> list[str]:
    """DES: 260 recordings, in the layout that its adaptor takes."""
    gap = "_" if flat else "/"
    classes = ("anger", "happiness", "neutral", "sadness", "surprise")
    items = ["w1", "w2", *(f"s{n}" for n in range(1, 10)), "p1", "p2"]
    return [gap.join(parts) + ".wav" for parts in product(("F1", "F2", "M1", "M2"), classes, items)]


def mes(flat: bool = False) -> list[str]:
    """MES: some recordings, in the layout that its adaptor takes; its true number is unknown."""
    gap = "_" if flat else "/"
    classes = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")
    items = [f"t{n:02d}" for n in range(1, 11)]
    speakers = ("F1", "F2", "F3", "M1", "M2", "M3")
    return [gap.join(parts) + ".wav" for parts in product(speakers, classes, items)]


def esd(split: bool = True) -> list[str]:
    """ESD: 35000 files, by speaker and emotion, and by part where `split`."""
    names = []
    blocks = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
    for speaker, (block, emotion), n in product(range(1, 21), enumerate(blocks), range(1, 351)):
        part = "evaluation/" if n <= 20 else "test/" if n <= 50 else "train/"
        stem = f"{speaker:04d}_{block * 350 + n:06d}"
        names.append(f"{speaker:04d}/{emotion}/{part if split else ''}{stem}.wav")
    return names


def esd_tables() -> dict[str, bytes]:
    """The tables of ESD with made-up sentences, in the encodings of the archive."""
    english = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
    chinese = ("中立", "生气", "快乐", "伤心", "惊喜")
    tables = {}
    for speaker, encoding in enumerate(_ESD_ENCODINGS.split(), 1):
        words = chinese if speaker <= 10 else english
        lines = [
            f"{speaker:04d}_{block * 350 + n:06d}\t{esd_sentence(speaker, n)}\t{words[block]}"
            for block in range(5)
            for n in range(1, 351)
        ]
        text = "\r\n".join(lines) + "\r\n"
        tables[f"{speaker:04d}/{speaker:04d}.txt"] = text.encode(encoding)
    return tables


def esd_sentence(speaker: int, number: int) -> str:
    """The made-up sentence of that number, 1 to 350, in the speaker's language."""
    return f"打远一看，第{number}句。" if speaker <= 10 else f"The nine the eggs, I keep {number}."


def meld() -> list[str]:
    """MELD: 13708 films, as many of each part as its tables have; the dialogues are made up."""
    return [
        f"{folder}/dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"
        for folder in _MELD
        for row in _meld_rows(folder)
    ]


def meld_tables() -> dict[str, bytes]:
    """The tables of `meld`, with the true number of each class in each part."""
    names = ("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv")
    tables = {}
    for name, folder in zip(names, _MELD, strict=True):
        rows = list(_meld_rows(folder))
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        tables[name] = text.getvalue().encode("utf-8")
    return tables


def meld_root(folder: Path) -> Path:
    """Write the tables of MELD below `folder`, and return the corpus's folder."""
    return write(folder / "MELD.Raw", meld_tables())


def _meld_rows(folder: str) -> Iterator[dict[str, str]]:
    dialogues, counts = _MELD[folder]
    emotions = [word for word, n in zip(_MELD_CLASSES, counts, strict=True) for _ in range(n)]
    speakers = ("Ross", "Rachel", "Monica", "Chandler", "Joey", "Phoebe", "Gunther", "All")
    for i, emotion in enumerate(emotions):
        dialogue, utterance = i % dialogues, i // dialogues
        yield {
            "Sr No.": str(i + 1),
            "Utterance": f"You\u2019re number {i % 400}!",
            "Speaker": speakers[(dialogue + utterance) % len(speakers)],
            "Emotion": emotion,
            "Sentiment": {"joy": "positive", "neutral": "neutral"}.get(emotion, "negative"),
            "Dialogue_ID": str(dialogue),
            "Utterance_ID": str(utterance),
            "Season": "8",
            "Episode": "21",
            "StartTime": "00:16:16,059",
            "EndTime": "00:16:21,731",
        }
