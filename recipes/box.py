"""The card of the model in the box, from the reports of recipes/box.sh: box.py OUTDIR RESULTS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.evaluation import reliability
from sertool.evaluation.calibration import temperature_of
from sertool.evaluation.predictor import HASH
from sertool.evaluation.report import Report, read
from sertool.formats.checkpoint import load
from sertool.papers import comparing
from sertool.ui.console import Console

NAMES = {
    "ravdess": "RAVDESS (English)",
    "emodb": "EmoDB (German)",
    "nemo": "nEMO (Polish)",
    "emovo": "EMOVO (Italian)",
}
LICENCES = {
    "ravdess": "CC BY-NC-SA 4.0 (Livingstone & Russo 2018)",
    "emodb": "CC0 (Burkhardt et al. 2005)",
    "nemo": "CC BY-NC-SA 4.0 (Christop 2024)",
    "emovo": "free for research (Costantini et al. 2014)",
}
LANGUAGES = {"ravdess": "en", "emodb": "de", "nemo": "pl", "emovo": "it"}
SURE = (0.5, 0.7)  # confidences that --reject may ask for


def main(out: Path, results: Path) -> None:
    """Print the card."""
    reports = {path.stem: _report(path) for path in sorted(results.glob("*.json"))}
    model = load(out / "box.ckpt")
    header = model.header
    corpora = sorted({str(item.corpus) for item in model.items})
    assert header.calibration is not None
    known = {name: NAMES.get(name, name) for name in corpora}
    unseen = next(iter(reports["unseen"].figures.by["corpus"]))
    title = known.get(unseen, unseen)
    before = reports["unseen"].figures.calibration
    assert before is not None
    classes = header.classes
    crossed = _shares(reports["corpora"])
    print(_yaml(reports, corpora, known))
    print(f"""
# The model in the box

`sertool predict recordings/` uses it where no model is named. It tells {len(classes)} classes
apart, {", ".join(classes)}, from {header.model.parameters:,} numbers: logistic regression on
statistics of descriptors of the voice (loudness over time, pitch, jitter, formants, spectrum,
modulation), without those that follow the recording's level. It needs neither torch nor a network.
Rows of `sertool predict` name it `{header.model.name}@{model.identity[:HASH]}`.

It is fitted for recordings of other corpora than its own (`train --across-corpora`): each class of
each corpus weighs alike, descriptors count from their corpus' mean, and its penalty was chosen by
corpora held out.

Trained on {len(model.items)} recordings of actors: {", ".join(known.values())}. Calm counts as
neutral, anxiety as fear; boredom, disgust and surprise were left out, and the model calls them
something else.

## How far to trust it

UAR in per cent: the mean of the classes' recall, of which chance is {100 / len(classes):.0f}. In
brackets 95 % intervals of a bootstrap over speakers.

| tested on | speakers of a known corpus, none of them known | a corpus that is not known |
| --- | --- | --- |""")
    for name in known:
        told = [_uar(reports[test], name) for test in ("speakers", "corpora")]
        print(f"| {known[name]} | {told[0]} | {told[1]} |")
    print(f"| all | {_whole(reports['speakers'])} | {_whole(reports['corpora'])} |")
    print(f"""
**The second column is what to expect of your recordings**, and yours may be harder: nobody there
acts for a corpus. What is shipped knows all of these corpora, so that its own figures on them say
nothing; these are of models trained alike on the others.

{title} did not decide how the model is fitted: the other corpora did, each by a
model of the others ({_whole(reports["crossed"])}). Then a model of these had
{_whole(reports["unseen"])} on {title}.{_compared(results)}

Recall in a corpus that is not known: {_recalls(reports["corpora"])}.

## Confidence

The temperature ({header.calibration.temperature:.2f}) is fitted to {header.calibration.items}
recordings of corpora that the models of the second column did not know, each class alike.

| | calibration error (15 bins) |
| --- | --- |
| as trained | {_error(*crossed[:2]):.3f} |
| each corpus at the temperature of the others | {_error(*_apart(crossed)):.3f} |
| {title}, before it was trained on | {_interval(before.ece, before.ci["ece"], 1, 3)} |

`--reject P` leaves recordings without a label whose confidence is below P:

| --reject | labelled | of these right |
| --- | --- | --- |""")
    truth, posterior = _apart(crossed)
    for least in (0, *SURE):
        kept = posterior.max(1) >= least
        right = (posterior[kept].argmax(1) == truth[kept]).mean() if kept.any() else float("nan")
        print(f"| {least:g} | {100 * kept.mean():.0f} % | {100 * right:.0f} % |")
    print(f"""
## Known failures

- Recordings unlike the corpora's: telephones, rooms, noise, several speakers at once, children,
  whispering, singing. `sertool eval --stress` measures the first on recordings of your own.
- Spontaneous speech: actors exaggerate. Most of what people say in a day is neutral, and with
  classes alike in training the model says so too rarely; `--only` and your own judgement help.
- Other languages than {", ".join(LANGUAGES[c] for c in corpora if c in LANGUAGES)}: not tested.
- Pairs that it confuses most in a corpus that is not known: {_confused(reports["corpora"])}.

## What it must not be used for

Decisions about a person: hiring, school, credit, insurance, police, borders, medicine, custody. In
the European Union, inferring emotions at work and in education is prohibited but for medical or
safety reasons (Regulation 2024/1689, Article 5). What it says is how an actor's recording of such a
sound was labelled, not what somebody feels.

## Corpora and licences

| corpus | recordings | licence |
| --- | --- | --- |""")
    for name in known:
        count = sum(item.corpus == name for item in model.items)
        print(f"| {known[name]} | {count} | {LICENCES.get(name, 'its own')} |")
    print("""
RAVDESS and nEMO are for non-commercial use and to be shared alike, and EMOVO is for research: take
this model as CC BY-NC-SA 4.0, too. For commercial use train one of your own (`sertool train`).

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


def _error(truth: np.ndarray, posterior: np.ndarray) -> float:
    return reliability.calibration_error(truth, posterior)


def _uar(report: Report, corpus: str) -> str:
    group = report.figures.by["corpus"][corpus]
    return f"{100 * float(metrics.uar(np.array(group.confusion))):.1f}"


def _whole(report: Report) -> str:
    return _interval(report.figures.uar, report.figures.ci.limits["uar"])


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


def _compared(results: Path) -> str:
    """Return openSMILE's figures beside ours, where they were measured, paired by speaker."""
    told = []
    for test, words in (("unseen", "there"), ("corpora", "on all, each by a model of the others")):
        other = results / f"opensmile-{test}.json"
        if not other.exists():
            continue
        told.append(f"{_whole(_report(other))} {words}")
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
            " `--across-corpora`, had "
        )
        + " and\n".join(told)
        + "."
    )


def _recalls(report: Report) -> str:
    found = report.figures.per_class.items()
    return ", ".join(f"{name} {100 * (one.recall or 0):.0f}" for name, one in found)


def _confused(report: Report) -> str:
    """Return the three cells beside the diagonal that hold most of their row."""
    counts = np.array(report.figures.confusion, float)
    shares = counts / counts.sum(1, keepdims=True)
    np.fill_diagonal(shares, 0)
    told = []
    for cell in np.argsort(-shares, axis=None)[:3]:
        truth, said = np.unravel_index(cell, shares.shape)
        names = report.classes[truth], report.classes[said]
        told.append(f"{names[0]} as {names[1]} ({100 * shares[truth, said]:.0f} %)")
    return ", ".join(told)


def _yaml(reports: dict[str, Report], corpora: Sequence[str], known: dict[str, str]) -> str:
    """Return the metadata that Hugging Face reads, `model-index` among it."""
    lines = ["---", "library_name: sertool", "license: cc-by-nc-sa-4.0", "language:"]
    lines += [f"- {LANGUAGES[name]}" for name in corpora if name in LANGUAGES]
    lines += ["tags:", "- audio-classification", "- speech-emotion-recognition"]
    lines += ["pipeline_tag: audio-classification", "model-index:", "- name: sertool-box"]
    lines += ["  results:"]
    told = {"speakers": "speakers apart", "corpora": "by a model of the other corpora"}
    for test, words in told.items():
        for name in corpora:
            value = _uar(reports[test], name)
            lines += [
                "  - task: {type: audio-classification, name: Speech emotion recognition}",
                f"    dataset: {{type: {name}, name: '{known[name]}, {words}'}}",
                "    metrics:",
                f"    - {{type: recall, name: UAR in per cent, value: {value}}}",
            ]
    return "\n".join([*lines, "---"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
