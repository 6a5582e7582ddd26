"""`eval --stress`: each condition is what it says, and costs nothing where it changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import made
import numpy as np
import pytest
from made_reports import evaluate
from scipy.signal import welch

import sertool
from sertool.augmentations.noise import pink_noise
from sertool.augmentations.rooms import CRITICAL, VOLUME, impulse_response
from sertool.cli.parameters import with_values
from sertool.core.errors import InputError, UsageError
from sertool.core.settings import Option
from sertool.evaluation import conditions, stress
from sertool.evaluation.conditions import CONDITIONS, Condition, Heard
from sertool.evaluation.options import ALL, STRESSES
from sertool.evaluation.options import EvalOptions as Options
from sertool.evaluation.report import dumps, parse
from sertool.ui.console import Console

RATE = 16000
SEGMENTS = replace(made.SPEC, segment=0.2, segment_hop=0.1)


def speech(seconds=1.0, seed=0):
    """Noise that comes and goes as syllables do."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * random.standard_normal(len(time)) * np.sin(8 * time) ** 2).astype(np.float32)


def heard(samples=None, name="u", seed=0, voices=3):
    samples = speech() if samples is None else samples
    others = [speech(0.7, k + 1) * 10.0**-k for k in range(voices)]
    return Heard(samples, RATE, name, seed, lambda rate: others)


def power(samples):
    return float(np.mean(np.asarray(samples, np.float64) ** 2))


# --- what is done ---


def test_every_family_has_its_conditions():
    assert {one.family for one in CONDITIONS.values()} == set(STRESSES)
    assert all(one.possible for one in CONDITIONS.values())


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_same_draw_for_the_same_utterance(name):
    one = CONDITIONS[name].apply(heard())
    assert one.dtype == np.float32
    assert len(one) == len(speech()) * (2 if name.startswith("half") else 1)
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, CONDITIONS[name].apply(heard()))
    drawn = ("white", "pink", "babble", "room", "half-noise")
    for other in (heard(name="v"), heard(seed=1)):
        same = np.array_equal(one, CONDITIONS[name].apply(other))
        assert same != name.startswith(drawn)
    assert not np.array_equal(one, speech())


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
def test_ratios_are_exact_and_of_one_noise(kind):
    noises = {}
    for snr in conditions.RATIOS:
        added = CONDITIONS[f"{kind}-{snr}"].apply(heard()).astype(np.float64) - speech()
        assert 10 * np.log10(power(speech()) / power(added)) == pytest.approx(snr, abs=0.01)
        noises[snr] = added / np.sqrt(power(added))
    np.testing.assert_allclose(noises[0], noises[20], atol=1e-2)


def test_pink_noise_falls_by_3_db_an_octave():
    frequency, density = welch(
        pink_noise(1 << 18, RATE, np.random.default_rng(0)), RATE, nperseg=4096
    )
    inner = (frequency > 50) & (frequency < 7000)
    slope = np.polyfit(np.log2(frequency[inner]), 10 * np.log10(density[inner]), 1)[0]
    assert slope == pytest.approx(-3.01, abs=0.1)


def test_babble_is_of_all_voices_alike():
    """A voice a hundredth as loud is as loud in it: less one voice the same is missing."""
    made_of = heard()
    for k in range(3):
        others = [v for i, v in enumerate(made_of.voices(RATE)) if i != k]
        fewer = conditions._noise_like(replace(made_of, voices=lambda rate, o=others: o),
                                       "babble", RATE)  # fmt: skip
        assert power(fewer) == pytest.approx(2, rel=0.2)


@pytest.mark.parametrize("rt60", conditions.REVERBERATION)
def test_rooms_die_away_as_they_say(rt60):
    """By Schroeder's backward integration, from -5 to -35 dB."""
    response = impulse_response(rt60, RATE, np.random.default_rng(0)).astype(np.float64)
    tail = response[1:] ** 2
    level = 10 * np.log10(np.cumsum(tail[::-1])[::-1] / tail.sum())
    first, last = np.argmax(level < -5), np.argmax(level < -35)
    assert 2 * (last - first) / RATE == pytest.approx(rt60, rel=0.1)
    ratio = response[0] ** 2 / tail.sum()
    assert ratio == pytest.approx((CRITICAL * np.sqrt(VOLUME / rt60)) ** 2, rel=1e-4)


def test_a_telephone_is_narrow():
    made_of = CONDITIONS["telephone"].apply(heard(0.1 * np.random.default_rng(0).standard_normal(
        4 * RATE).astype(np.float32)))  # fmt: skip
    frequency, density = welch(made_of, RATE, nperseg=2048)
    inside = density[(frequency > 500) & (frequency < 2500)].mean()
    for low, high in ((10, 120), (4100, 8000)):
        outside = density[(frequency > low) & (frequency < high)].mean()
        assert 10 * np.log10(inside / outside) > 25


def test_levels_and_halves():
    quiet, clipped = (CONDITIONS[name].apply(heard()) for name in ("quiet", "clipped"))
    np.testing.assert_allclose(quiet, speech() / 10, rtol=1e-6)
    assert np.abs(clipped).max() == 1.0
    assert 0 < np.mean(np.abs(clipped) == 1.0) < 0.2
    silence, noisy = (CONDITIONS[f"half-{k}"].apply(heard()) for k in ("silence", "noise"))
    n = len(speech())
    np.testing.assert_array_equal(silence[n // 2 : n // 2 + n], speech())
    assert not silence[: n // 2].any()
    assert not silence[n // 2 + n :].any()
    background = noisy.astype(np.float64) - silence
    assert 10 * np.log10(power(speech()) / power(background)) == pytest.approx(20, abs=0.01)


def test_silence_stays_what_it_is():
    nothing = np.zeros(RATE, np.float32)
    for name, one in CONDITIONS.items():
        assert np.abs(one.apply(heard(nothing, voices=0))).max() < 1e-3, name


# --- what it costs ---


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Six speakers; stores of whole recordings, of segments; a model of each, and of folds."""
    folder = tmp_path_factory.mktemp("stress")
    items = made.corpus(folder / "wav", speakers=8)
    made.store(folder / "whole.h5", folder / "wav", items)
    made.store(folder / "segments.h5", folder / "wav", items, SEGMENTS)
    for name in ("whole", "segments"):
        made.train(folder / f"{name}.h5", folder / f"{name}.ckpt",
                   lambda i: "train" if i.speaker in ("s0", "s1") else "test")  # fmt: skip
    own = {"test_where": ("speaker!=s0", "speaker!=s1"), "speaker_normalisation": True}
    sertool.train(folder / "segments.h5", folder / "own.ckpt", "linear", **own)
    for fold in range(2):
        made.train(folder / "whole.h5", folder / f"fold.{fold}.ckpt",
                   lambda i, fold=fold: "test" if int(i.speaker[1]) % 2 == fold else "train",
                   protocol={"fold": fold})  # fmt: skip
    return folder


def run(toy, names, store, **options):
    paths = [toy / name for name in names]
    options = Options(**{"stress": ALL, "workers": 1, "batch_size": 7} | options)
    return evaluate(paths, toy / store, options, Console.silent())


SYSTEMS = [
    (["whole.ckpt"], "whole.h5"),
    (["segments.ckpt"], "segments.h5"),
    (["own.ckpt"], "segments.h5"),
    (["fold.0.ckpt", "fold.1.ckpt"], "whole.h5"),
]


@pytest.mark.parametrize(("names", "store"), SYSTEMS)
def test_what_changes_nothing_costs_nothing(toy, names, store, monkeypatch):
    """Decoded, and given to the pipeline and the model of its fold as the store's items are."""
    same = Condition("level", "as it is", lambda heard: heard.samples)
    monkeypatch.setattr(stress, "CONDITIONS", {"same": same})
    report = run(toy, names, store)
    assert np.count_nonzero(np.sum(report["confusion"], 0)) > 1
    found = report["stress"]
    one = found["conditions"]["same"]
    assert found["clean"] == report["uar"] == one["value"]
    assert found["clean_ci"] == one["ci"] == report["ci"]["uar"]
    assert (one["difference"], one["difference_ci"]) == (0.0, [0.0, 0.0])
    assert one["confusion"] == report["confusion"]
    assert found["n_units"] == report["ci"]["n_units"]


def test_statistics_are_of_degraded_speakers(toy, monkeypatch):
    """What a speaker's own statistics take away costs a model nothing that is given them."""
    louder = {"louder": Condition("level", "", lambda heard: 4 * heard.samples)}
    monkeypatch.setattr(stress, "CONDITIONS", louder)
    report = run(toy, ["own.ckpt"], "segments.h5")
    assert report["stress"]["conditions"]["louder"]["confusion"] == report["confusion"]


@pytest.mark.parametrize(("names", "store"), SYSTEMS[2:])
def test_the_same_report_whatever_the_workers(toy, names, store):
    one = run(toy, names, store, stress="noise,half")
    assert list(one["stress"]["conditions"]) == [
        *(f"{kind}-{snr}" for kind in ("white", "pink", "babble") for snr in (20, 10, 0)),
        "half-silence",
        "half-noise",
    ]
    assert one == run(toy, names, store, stress="half,noise", workers=3)
    other = run(toy, names, store, stress="noise,half", seed=1)
    values = [[c["confusion"] for c in r["stress"]["conditions"].values()] for r in (one, other)]
    assert values[0] != values[1]
    for condition in one["stress"]["conditions"].values():
        difference = condition["value"] - one["stress"]["clean"]
        assert condition["difference"] == pytest.approx(difference)
        low, high = condition["difference_ci"]
        assert low <= difference <= high


def test_voices_are_others(toy):
    """Of other speakers; where there is one alone, of other recordings."""
    drawn = {}
    real = stress.Plan._voices

    def spy(self, item, condition):
        found = real(self, item, condition)
        if found:
            drawn.setdefault(item.id, set()).add(tuple(other.id for other in found))
            assert len(set(found_ids := [o.id for o in found])) == len(found_ids)
            assert {other.speaker for other in found}.isdisjoint({item.speaker}) or only
            assert item.id not in found_ids
        return found

    only = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stress.Plan, "_voices", spy)
        run(toy, ["whole.ckpt"], "whole.h5", stress="noise")
        assert len(drawn) == 36
        assert all(len(each) == 1 for each in drawn.values())  # the same at every ratio
        assert len(set(map(frozenset, drawn.values()))) > 1
        only = True
        run(toy, ["whole.ckpt"], "whole.h5", stress="noise", where=("speaker=s3",))


def test_a_test_of_one_recording_has_no_babble(toy, cli):
    result = cli("eval", toy / "whole.ckpt", toy / "whole.h5", "--stress", "noise", "--where",
                 "speaker=s3", "--where", "text=t0", "--where", "label=anger")  # fmt: skip
    assert result.code == 0
    assert "without babble" in result.err
    assert "white-0" in result.out
    assert "babble-0" not in result.out


def test_numbers_have_a_ccc(tmp_path, monkeypatch, cli):
    items = made.corpus(tmp_path / "wav", speakers=7)
    items = [
        item.replace(extra={"valence": float(i % 5), "arousal": float(i % 3)}, part=part)
        for i, item in enumerate(items)
        for part in ["train" if item.speaker in ("s0", "s1") else "test"]
    ]
    made.store(tmp_path / "s.h5", tmp_path / "wav", items)
    checkpoint, path = tmp_path / "m.ckpt", tmp_path / "r.json"
    target = ("--target", "valence,arousal", "--model", "ridge", "--as-numbers")
    assert cli("train", tmp_path / "s.h5", checkpoint, *target).code == 0
    same = Condition("level", "as it is", lambda heard: heard.samples)
    monkeypatch.setattr(stress, "CONDITIONS", {"same": same, "quiet": CONDITIONS["quiet"]})
    result = cli("eval", checkpoint, tmp_path / "s.h5", "--stress", "--json", path,
                 "--figures", tmp_path / "f", "-j", 1)  # fmt: skip
    assert result.code == 0, result.err
    report = json.loads(path.read_text())
    one = report["stress"]["conditions"]["same"]
    mean = np.mean([own["ccc"] for own in report["targets"].values()])
    assert report["stress"]["measure"] == "ccc"
    assert one["value"] == pytest.approx(mean)
    assert one["difference_ci"] == [0.0, 0.0]
    assert "mean CCC" in result.out
    assert (tmp_path / "f" / "stress.png").stat().st_size > 10_000


# --- how it is asked for, and what is refused ---


def test_tables_report_and_picture(toy, cli, tmp_path):
    path, figures = tmp_path / "r.json", tmp_path / "figures"
    words = ("eval", "--stress", toy / "whole.ckpt", toy / "whole.h5", "-j", 1, "--json", path)
    result = cli(*words, "--figures", figures, "--summary")
    assert result.code == 0, result.err
    shown = cli("info", path).out
    for name in CONDITIONS:
        assert f"\n{name} " in result.out
        assert f"\n{name} " in shown
    assert (figures / "stress.png").stat().st_size > 10_000
    text = path.read_text()
    report = json.loads(text)
    assert list(report["stress"]["conditions"]) == list(CONDITIONS)
    assert dumps(parse(report, "r.json")) == text
    assert "already complete" in cli(*words, "--summary", "--resume").err
    plain = cli("eval", toy / "whole.ckpt", toy / "whole.h5", "--json", tmp_path / "p.json")
    assert plain.code == 0
    assert "stress" not in json.loads((tmp_path / "p.json").read_text())
    report["stress"]["conditions"]["white-0"]["value"] = "much"
    (tmp_path / "bad.json").write_text(json.dumps(report))
    refused = cli("info", tmp_path / "bad.json")
    assert (refused.code, "stress/conditions/…/value" in refused.err) == (3, True)


def test_a_list_or_none():
    option = {"--stress": Option("", bare="all", choices=("noise", "room", "all"))}
    assert with_values(["--stress", "m.ckpt"], option) == ["--stress=all", "m.ckpt"]
    assert with_values(["--stress", "room,noise", "m"], option) == ["--stress=room,noise", "m"]
    assert with_values(["--stress=room", "noise"], option) == ["--stress=room", "noise"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stress": "niose"}, "--stress niose: needs telephone, codec, .*did you mean 'noise'"),
        ({"by": "item"}, "no --by item"),
        ({"copies": True}, "no --copies"),
        ({"noise_snr": 3.0}, "no --noise-snr"),
        ({"channel_rate": 8000}, "no --channel-rate"),
    ],
)
def test_contradictions(options, message):
    with pytest.raises(UsageError, match=message):
        Options(**{"stress": "all"} | options)


def test_the_very_recordings_are_needed(toy, cli, tmp_path):
    folder = tmp_path / "wav"
    made.store(tmp_path / "s.h5", folder, made.corpus(folder, speakers=8))
    words = ("eval", toy / "whole.ckpt", tmp_path / "s.h5", "--stress", "level", "-j", 2)
    assert cli(*words).code == 0
    path = folder / "s3-anger-0.wav"
    path.write_bytes((folder / "s3-anger-1.wav").read_bytes())
    for message in ("not the recording", "no such file; --stress needs the recordings"):
        result = cli(*words)
        assert (result.code, result.out, result.err.count("\n")) == (3, "", 1)
        assert message in result.err
        path.unlink(missing_ok=True)


def test_files_that_are_tested_in_part_are_refused(toy, tmp_path):
    made.train(toy / "segments.h5", tmp_path / "m.ckpt",
               lambda i: "test" if i.id.endswith("#000") else "train")  # fmt: skip
    with pytest.raises(InputError, match="of whole files, and 48 are held out in parts"):
        run(tmp_path, ["m.ckpt"], toy / "segments.h5", stress="level")


def test_what_libsndfile_lacks_is_said(toy, cli, monkeypatch):
    monkeypatch.setattr(conditions.decoding, "codes", lambda container, coding: coding != "OPUS")
    words = ("eval", toy / "whole.ckpt", toy / "whole.h5", "--stress", "codec", "-j", 1)
    result = cli(*words)
    assert result.code == 0
    assert "without opus: this machine's libsndfile does not have it" in result.err
    assert "\nmp3 " in result.out
    assert "\nopus " not in result.out


def test_partial_conditions_are_picklable():
    """Workers of other platforms than Linux get them by name; the functions are of modules."""
    for one in CONDITIONS.values():
        function = one.apply.func if isinstance(one.apply, partial) else one.apply
        assert "<" not in function.__qualname__
