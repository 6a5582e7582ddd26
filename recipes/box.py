"""The card of the model in the box, from the reports of recipes/box.sh: box.py OUTDIR RESULTS."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.corpora import named
from sertool.evaluation import card, reliability
from sertool.evaluation.calibration import temperature_of
from sertool.evaluation.predictor import HASH
from sertool.evaluation.report import Report, read
from sertool.evaluation.terminal import percent
from sertool.formats.checkpoint import load
from sertool.papers import comparing
from sertool.ui.console import Console

LANGUAGES = {"de": "German", "en": "English", "it": "Italian", "pl": "Polish"}
TESTS = {"speakers": "speakers apart", "corpora": "by a model of the other corpora"}
STEPS = (0, 0.3, 0.4, 0.5, 0.6, 0.7, 1)  # of confidences, beside how often they are right
SURE = (0.5, 0.7)  # confidences that --reject may ask for


def main(out: Path, results: Path) -> None:
    """Print the card."""
    reports = {path.stem: _report(path) for path in sorted(results.glob("*.json"))}
    model = load(out / "box.ckpt")
    header = model.header
    assert header.calibration is not None
    trained = card.trained_on(model)
    known = {name: _title(name) for name in trained}
    unseen = next(iter(reports["unseen"].figures.by["corpus"]))
    title = known[unseen]
    before = reports["unseen"].figures.calibration
    assert before is not None
    classes = header.classes
    crossed = _shares(reports["corpora"])
    told = list(_results(reports, known))
    recordings = sum(not item.augmentation for item in model.items)
    languages = card.languages_of(trained)
    print(card.front_matter("sertool-box", told, "cc-by-nc-sa-4.0", languages))
    print(f"""
# The model in the box

`sertool predict recordings/` uses it where no model is named. It tells {len(classes)} classes
apart, {", ".join(classes)}, from {header.model.parameters:,} numbers: logistic regression on
statistics of descriptors of the voice (loudness over time, pitch, jitter, formants, spectrum,
modulation), without those that follow the recording's level. It needs neither torch nor a network.
Rows of `sertool predict` name it `{header.model.name}@{model.identity[:HASH]}`.

It is fitted for recordings of other corpora than its own (`train --across-corpora`): each class of
each corpus weighs alike, descriptors count from their corpus' mean, and its penalty was chosen by
corpora held out. It learned each recording twice, once as a telephone passes it on: a band from
200-400 to 3000-3800 Hz at 8 kHz, by mu-law, A-law or GSM.

Trained on {recordings} recordings of actors: {", ".join(known.values())}. Calm counts as
neutral, anxiety as fear; boredom, disgust and surprise were left out, and the model calls them
something else.

## How far to trust it

UAR in per cent: the mean of the classes' recall, of which chance is {100 / len(classes):.0f}. In
brackets 95 % intervals of a bootstrap over speakers.

| tested on | speakers of a known corpus, none of them known | a corpus that is not known |
| --- | --- | --- |""")
    for name in known:
        told = [percent(_uar(reports[test], name)) for test in TESTS]
        print(f"| {known[name]} | {' | '.join(told)} |")
    print(f"| all | {' | '.join(card.whole(reports[test]) for test in TESTS)} |")
    print(f"""
**The second column is what to expect of your recordings**, and yours may be harder: nobody there
acts for a corpus. What is shipped knows all of these corpora, so that its own figures on them say
nothing; these are of models trained alike on the others.

{title} did not decide how the model is fitted: the other corpora did, each by a
model of the others ({card.whole(reports["crossed"])}). Then a model of these had
{card.whole(reports["unseen"])} on {title}.{_compared(results)}

Recall in a corpus that is not known: {card.recalls(reports["corpora"])}.

Through a telephone (300 to 3400 Hz, 8 kHz, mu-law), and what that changes, paired by speaker:

| tested on | UAR | difference |
| --- | --- | --- |
| all, each by a model of the others | {_telephone(reports["corpora"])} |
| {title}, before it was trained on | {_telephone(reports["unseen"])} |

## Confidence

The temperature ({header.calibration.temperature:.2f}) is fitted to {header.calibration.items}
recordings of corpora that the models of the second column did not know, each class alike.

| | calibration error (15 bins) |
| --- | --- |
| as trained | {_error(*crossed[:2]):.3f} |
| each corpus at the temperature of the others | {_error(*_apart(crossed)):.3f} |
| {title}, before it was trained on | {_interval(before.ece, before.ci["ece"], 1, 3)} |

How often it is right, by what it says of itself, each corpus at the temperature of the others:

| confidence | recordings | of these right |
| --- | --- | --- |""")
    truth, posterior = _apart(crossed)
    sure, hit = posterior.max(1), posterior.argmax(1) == truth
    for low, high in itertools.pairwise(STEPS):
        if (kept := (sure > low) & (sure <= high)).any():
            print(f"| {low:g} to {high:g} | {_share(kept)} | {_share(hit[kept])} |")
    print("""
`--reject P` leaves recordings without a label whose confidence is below P:

| --reject | labelled | of these right |
| --- | --- | --- |""")
    for least in (0, *SURE):
        if (kept := sure >= least).any():
            print(f"| {least:g} | {_share(kept)} | {_share(hit[kept])} |")
    print(f"""
## Known failures

- Recordings unlike the corpora's: rooms, noise, several speakers at once, children, whispering,
  singing. `sertool eval --stress` measures the first on recordings of your own. Its telephones are
  computed; calls of people who do not act were not tested.
- Spontaneous speech: actors exaggerate. Most of what people say in a day is neutral, and with
  classes alike in training the model says so too rarely; `--only` and your own judgement help.
- Other languages than {", ".join(languages)}: not tested.
- Pairs that it confuses most in a corpus that is not known: {card.confused(reports["corpora"])}.

{card.MISUSE}

## Trained on

{card.trained_table(trained)}""")
    print("""
RAVDESS and nEMO are for non-commercial use and to be shared alike, and EMOVO is for research.
Licence of this model, too: CC BY-NC-SA 4.0. For commercial use train one of your own.

Made by `recipes/box.sh`; `recipes/box.py` prints this card from its reports.""")


def _report(path: Path) -> Report:
    report = read(path)
    assert isinstance(report, Report)
    return report


def _shares(report: Report) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (truth (n,), posteriors (n, classes), corpora (n,)) of a report's items."""
    assert isinstance(report.items, list)
    rows = [[item.posterior[name] for name in report.classes] for item in report.items]
    truth = [report.classes.index(item.truth) for item in report.items]
    corpora = [item.id.partition("/")[0] for item in report.items]
    return np.array(truth), np.array(rows), np.array(corpora)


def _apart(given: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return truth and posteriors, each corpus at the temperature that suits the others."""
    truth, posterior, corpora = given
    made = posterior.copy()
    for name in np.unique(corpora):
        own = corpora == name
        found = temperature_of(truth[~own], posterior[~own])
        made[own] = metrics.tempered(posterior[own], found)
    return truth, made


def _share(of: np.ndarray) -> str:
    return f"{percent(float(of.mean()), 0)} %"


def _error(truth: np.ndarray, posterior: np.ndarray) -> float:
    return reliability.calibration_error(truth, posterior)


def _title(corpus: str) -> str:
    """Return a corpus' name for people: "EmoDB (German)"."""
    spec = named.described(corpus)
    if spec is None:
        return corpus
    language = spec.constants.get("language", "")
    return f"{spec.title} ({LANGUAGES.get(language, language)})"


def _uar(report: Report, corpus: str) -> float:
    return report.figures.by["corpus"][corpus].uar


def _results(reports: Mapping[str, Report], known: Mapping[str, str]) -> Iterator[card.Result]:
    """Yield what `model-index` says: the UAR on each corpus, tested in both ways."""
    for name, title in known.items():
        figures = [
            card.uar_figure(_uar(reports[test], name), how=how) for test, how in TESTS.items()
        ]
        yield card.Result.on([name], title, figures)


def _interval(
    value: float | None,
    limits: Sequence[float | None] | None,
    scale: float = 100,
    digits: int = 1,
) -> str:
    """Return a figure in per cent, or by another scale, and its interval in brackets."""
    if value is None:
        return "unknown"
    if limits is None or None in limits:
        return f"{scale * value:.{digits}f}"
    low, high = (f"{scale * (limit or 0):.{digits}f}" for limit in limits)
    return f"{scale * value:.{digits}f} [{low}, {high}]"


def _telephone(report: Report) -> str:
    """Return two cells: the UAR through a telephone, and less that without one."""
    stress = report.stress
    assert not isinstance(stress, msgspec.UnsetType)
    found = stress.conditions["telephone"]
    difference = _interval(found.difference, found.difference_ci)
    return f"{_interval(found.value, found.ci)} | {difference}"


def _compared(results: Path) -> str:
    """Return openSMILE's figures beside ours, where they were measured, paired by speaker."""
    told = []
    for test, words in (("unseen", "there"), ("corpora", "on all, each by a model of the others")):
        other = results / f"opensmile-{test}.json"
        if not other.exists():
            continue
        told.append(f"{card.whole(_report(other))} {words}")
        try:
            (found,) = comparing.compare([results / f"{test}.json", other], Console("box")).pairs
        except InputError:
            continue  # too few speakers for an interval
        if gap := found.figures["uar"].gap:
            told[-1] += f" (ours less theirs: {_interval(gap.value, gap.ci)})"
    if not told:
        return ""
    return (
        (
            " openSMILE's ComParE 2016 functionals,\nwith the same classifier, corpora and"
            " `--across-corpora`, without copies of telephones, had "
        )
        + " and\n".join(told)
        + "."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
