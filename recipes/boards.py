"""What was run on several corpora, as tables: the leaderboard, the cross-corpus matrix, inflation.

Every number comes from the summaries kept in recipes/results; `recipes/results.py` makes the pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sertool.core.errors import InputError
from sertool.evaluation import measures, pooling
from sertool.evaluation.measures import Value
from sertool.evaluation.pooling import Pooled, Result
from sertool.evaluation.report import Cost
from sertool.papers.pages import shared
from sertool.papers.words import difference, runs_of, value
from sertool.ui.tables import Block, Grid, Heading, Text

UAR = [{"measure": "uar"}]
CORPORA = {  # by folder: the corpora whose cells are counted, as tables name them
    "ravdess": "RAVDESS",
    "emodb-2s": "EmoDB, cut to 2 s",
    "emovo": "EMOVO",
    "nemo-1057": "nEMO, 1057 of 4481",
}
SYSTEMS = {  # by features and model, as in recipes/leaderboard.sh
    ("mel", "linear"): "log-mel statistics, linear",
    ("mel", "logistic"): "log-mel statistics, logistic",
    ("voice", "logistic"): "voice, logistic",
    ("voice", "svm"): "voice, svm",
    ("compare", "logistic"): "ComParE, logistic",
    ("compare", "svm"): "ComParE, svm",
    ("mel64", "sertool"): "sertool (network)",
    ("voice", "boosting"): "voice, boosting",
}
NORMALISATIONS = {"none": "as it is", "speaker": "normalised by speaker"}
PROTOCOLS = {  # of recipes/leakage.sh
    "speakers": "speakers apart",
    "normalised": "speakers apart, normalised by speaker",
    "chosen": "speakers apart, penalty chosen on the test folds",
    "random": "recordings at random",
    "copies": "copies first, then at random",
}
OTHERS = "others"
MATRICES = (("voice", "logistic"), ("compare", "logistic"))  # of recipes/crosscorpus.sh


@dataclass(frozen=True)
class Cell:
    """A system on a corpus: its runs, and their UAR."""

    run: Pooled
    uar: Value

    @property
    def text(self) -> str:
        """UAR with its interval, in per cent."""
        return value(self.uar, "%")


def cells(results: Iterable[Result], *keys: str) -> dict[tuple[str, ...], Cell]:
    """Return what was kept by its values of `keys`, its folds and seeds pooled.

    Raises InputError for two systems of the same values, and for one that does not say all.
    """
    found: dict[tuple[str, ...], Cell] = {}
    for group in pooling.group(results):
        run = pooling.pool(group)
        if not run.values.keys() >= set(keys):
            raise InputError(f"{group[0].name}: lacks one of the tags {', '.join(keys)}")
        place = tuple(run.values[key] for key in keys)
        uar = measures.values(run, UAR)[0]
        if place in found or uar is None:
            raise InputError(f"{group[0].name}: {' '.join(place)} is kept twice, or has no UAR")
        found[place] = Cell(run, uar)
    return found


def apart(run: Pooled) -> Pooled:
    """Return a run whose speakers and recordings were kept apart; InputError for another one."""
    facts = pooling.evidence(run).facts
    if facts["speaker_disjoint"] is not True or facts["origin_disjoint"] is not True:
        raise InputError(f"{run.tags}: speakers or recordings are not known to be apart")
    return run


def chance(run: Pooled) -> str:
    """Return the UAR of guessing, in per cent."""
    return f"{100 / len(run.classes):.1f}"


def tested(run: Pooled) -> str:
    """Return what a run was tested on, in words."""
    told = pooling.evidence(run)
    n = str(told.n_test[0]) if told.n_test[0] == told.n_test[1] else "–".join(map(str, told.n_test))
    return f"{n} recordings of {told.n_speakers} speakers, {len(run.classes)} classes"


def _missing(known: Sequence[Cell | None]) -> str:
    """Return how many cells there are, and how many are missing."""
    return f"{sum(cell is None for cell in known)} of {len(known)} cells are missing."


# --- leaderboard ---

Board = dict[tuple[str, ...], Cell]  # by corpus, features, model and normalisation


def board(results: Iterable[Result]) -> Board:
    """Return the cells of the leaderboard; InputError for one that is not leak-free."""
    found = cells(results, "corpus", "features", "model", "normalisation")
    for cell in found.values():
        apart(cell.run)
    return found


def ranked(made: Board, corpus: str) -> list[tuple[str, str]]:
    """Return features and model of a corpus's systems, the best as it is first, missing last."""

    def place(system: tuple[str, str]) -> tuple[float, ...]:
        both = [made.get((corpus, *system, name)) for name in NORMALISATIONS]
        return tuple(-cell.uar.mean if cell else 1.0 for cell in both)

    return sorted(SYSTEMS, key=place)


def leaderboard(made: Board) -> list[Block]:
    """Return a table a corpus, best system first, and which cells are missing."""
    blocks: list[Block] = []
    for corpus, name in CORPORA.items():
        rows: list[list[str]] = []
        every: list[Cell | None] = []
        for system in ranked(made, corpus):
            both = [made.get((corpus, *system, how)) for how in NORMALISATIONS]
            every += both
            known = [cell for cell in both if cell]  # of two, the one whose cost is known
            own = max(known, key=lambda cell: -costs(cell.run).count("–"), default=None)
            texts = [cell.text if cell else "–" for cell in both]
            told = [*costs(own.run), _seeds(own.run)] if own else ["–"] * 4
            rows.append([SYSTEMS[system], *texts, *told])
        head = ["system", "UAR, %", "normalised by speaker: UAR, %", "parameters",
                "training, CPU s a fold", "real-time factor", "seeds"]  # fmt: skip
        blocks.append(Heading(name, 2))
        run = next((cell.run for key, cell in made.items() if key[0] == corpus), None)
        if run:
            blocks.append(Text([f"{tested(run)} (chance {chance(run)} %), {runs_of_folds(run)}."]))
            blocks.append(Grid(head, rows, 1))
        blocks.append(Text([_missing(every)]))
    return blocks


def runs_of_folds(run: Pooled) -> str:
    """Return "6 folds, speakers and recordings apart"."""
    folds = max(sum(len(report.figures.folds) for report in each) for each in run.reports)
    return f"{folds} folds, speakers and recordings apart"


def _seeds(run: Pooled) -> str:
    """Return how many seeds a network has; what has no epochs draws nothing."""
    return str(len(run.seeds)) if int(run.values.get("epochs") or 0) else "draws nothing"


def costs(run: Pooled) -> list[str]:
    """Return parameters, CPU seconds of training a fold, and the real-time factor; "–" if unknown.

    The last is of features and scoring together, CPU seconds a second of sound.
    """
    reports = [report for each in run.reports for report in each]
    sizes = [report.model.parameters for report in reports if report.model]
    size = f"{sizes[0]:,}" if sizes and isinstance(sizes[0], int) else "–"
    known = [(one.cost, len(one.figures.folds)) for one in reports if isinstance(one.cost, Cost)]
    if len(known) < len(reports):
        return [size, "–", "–"]
    spent = sum(cost.stages.get("train", 0.0) for cost, _ in known)
    training = f"{spent / sum(folds for _, folds in known):.1f}" if spent else "–"
    heard = [cost.sound for cost, _ in known if cost.sound and "featurize" in cost.stages]
    if len(heard) < len(known):
        return [size, training, "–"]
    # every seed reads the same features, and its log says what they took
    took = [cost.stages["featurize"] + cost.scoring for cost, _ in known]
    return [size, training, f"{sum(took) / sum(heard):.4f}"]


# --- cross-corpus matrix ---

Matrix = dict[tuple[str, ...], Cell]  # by features, model, normalisation, trained and tested


def matrix(results: Iterable[Result]) -> Matrix:
    """Return the cells of the matrix; InputError for one that is not leak-free."""
    found = cells(results, "features", "model", "normalisation", "trained", "tested")
    for cell in found.values():
        apart(cell.run)
    return found


def corpora(made: Matrix) -> list[str]:
    """Return the corpora trained on or tested, those of `CORPORA` first and in its order."""
    known = list(CORPORA.values())

    def place(name: str) -> int:
        text = corpus_name(name)
        return known.index(text) if text in known else len(known)

    found = dict.fromkeys(name for key in made for name in key[3:] if name != OTHERS)
    return sorted(found, key=place)


def systems(made: Matrix) -> list[tuple[str, ...]]:
    """Return (features, model, normalisation) of each matrix, in the order of `SYSTEMS`."""
    every = [(*system, how) for system in SYSTEMS for how in NORMALISATIONS]
    return [system for system in every if any(key[:3] == system for key in made)]


def corpus_name(corpus: str) -> str:
    """Return a corpus as tables name it, from what a manifest calls it."""
    return next((text for name, text in CORPORA.items() if name.startswith(corpus)), corpus)


def crosscorpus(made: Matrix) -> list[Block]:
    """Return a matrix a system, one row a tested corpus, and which cells are missing."""
    blocks: list[Block] = []
    names = corpora(made)
    for system in systems(made):
        features, model, normalisation = system
        head = ["tested on", "chance", *map(corpus_name, names), "all others"]
        rows: list[list[str]] = []
        every: list[Cell | None] = []
        for test in names:
            row = {train: made.get((*system, train, test)) for train in (*names, OTHERS)}
            every += row.values()
            known = next((cell.run for cell in row.values() if cell), None)
            texts = [
                (f"({cell.text})" if train == test else cell.text) if cell else "–"
                for train, cell in row.items()
            ]
            name = corpus_name(test) + (f": {tested(known)}" if known else "")
            rows.append([name, chance(known) if known else "–", *texts])
        title = f"{SYSTEMS[features, model]}, {NORMALISATIONS[normalisation]}"
        blocks += [Heading(title, 2), Grid(head, rows, 1)]
        blocks.append(Text([_missing(every)]))
    wanted = [(*system, how) for system in MATRICES for how in NORMALISATIONS]
    left = [
        f"{SYSTEMS[system[0], system[1]]}, {NORMALISATIONS[system[2]]}"
        for system in wanted
        if system not in systems(made)
    ]
    if left:
        blocks.append(Text([f"Not run: {'; '.join(left)}."]))
    return blocks


# --- inflation ---


def inflation(results: Iterable[Result]) -> list[Block]:
    """Return a table: each corpus and model by each way of testing, beside speakers apart, paired.

    The cells that are counted are those of recipes/leakage.sh; whatever else was kept follows.
    """
    found = cells(results, "corpus", "model", "protocol")
    counted = dict.fromkeys((corpus, "logistic") for corpus in CORPORA)
    rows: list[list[str]] = []
    for corpus, model in counted | dict.fromkeys(key[:2] for key in found):
        honest = found.get((corpus, model, "speakers"))
        for protocol, text in PROTOCOLS.items():
            cell = found.get((corpus, model, protocol))
            keys = [CORPORA.get(corpus, corpus), model, text]
            if cell is None:
                rows += [[*keys, *["–"] * 4]] if (corpus, model) in counted else []
                continue
            gap = None
            if honest and protocol != "speakers":
                gap = measures.differences(*pooling.shared(cell.run, honest.run), UAR)[0]
            told = [difference(gap, "%"), shared(cell.run), runs_of(cell.run)]
            rows.append([*keys, cell.text, *told])
    head = ["corpus", "model", "tested", "UAR, %", "less speakers apart", "shared with training",
            "runs"]  # fmt: skip
    every = [found.get((*system, protocol)) for system in counted for protocol in PROTOCOLS]
    return [Grid(head, rows, 3), Text([_missing(every)])]
