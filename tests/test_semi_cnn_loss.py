"""The loss of semi-CNN: every term against loops and double autograd, and a ray without an end."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_semi_cnn import CURVATURES, EXACTLY, Small, number, sizes
from torch.autograd import gradcheck
from torch.autograd.functional import hessian, jacobian

from sertool.models.huang2014 import loss as losses
from sertool.targets import IGNORED

# --- each term against what it is in the paper ---


def feature_saliency(
    features: torch.Tensor, curvature: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """Return Eq. 7's S_i for one layer of outgoing weights: (inputs,), the mean over fragments.

    With `weight` (outputs, inputs) and the loss's second derivative `curvature` (B, outputs) by
    each sum a = weight · φ, that by a weight w_ki is φ_i² curvature_k. So
    S_i = ½ Σ_k (∂²loss/∂w_ki²) w_ki² = ½ φ_i² Σ_k curvature_k w_ki².
    """
    return 0.5 * (features.square() * (curvature @ weight.square())).mean(0)


def test_reconstruction_and_discriminative_are_loops_over_values() -> None:
    small = Small(batch=4)
    outputs, _ = small.run()
    outputs = losses.Outputs(*(t.detach() for t in outputs))
    squares = logs = 0.0
    for b in range(4):
        for j in range(5):
            squares += number(outputs.y[b, j] - outputs.rebuilt[b, j]) ** 2
        for c in range(3):
            if small.labels[b] == IGNORED:
                continue
            likely = 1 / (1 + math.exp(-number(outputs.logits[b, c])))
            logs -= math.log(likely if small.labels[b] == c else 1 - likely)
    assert number(losses.reconstruction(outputs.y, outputs.rebuilt)) == pytest.approx(squares / 4)
    assert number(losses.discriminative(outputs.logits, small.labels)) == pytest.approx(logs / 4)


def test_fragments_without_labels_only_rebuild() -> None:
    small = Small(batch=4)
    outputs, matrices = small.run()
    nothing = torch.full((4,), IGNORED)
    loss = losses.discriminative(outputs.logits, nothing)
    assert loss.detach() == 0
    assert not any(g.any() for g in torch.autograd.grad(loss, small.classifier, retain_graph=True))
    ours = losses.saliency(outputs, matrices, nothing, "exact")
    curved = losses.rebuilt_curvature(outputs.y, outputs.rebuilt, "exact")
    alone = feature_saliency(outputs.features, curved, matrices.decoder).sum()
    torch.testing.assert_close(ours, -alone, **EXACTLY)
    one = nothing.clone()
    one[2] = 1
    row = outputs.logits[2:3]
    expected = losses.discriminative(row, one[2:3]) / 4
    torch.testing.assert_close(losses.discriminative(outputs.logits, one), expected, **EXACTLY)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    assert losses.discriminative(logits, torch.tensor([0])).detach() == 0
    wrong = losses.discriminative(logits, torch.tensor([1]))
    assert wrong.detach() == 2e4
    for unknown in (2, -1):
        with pytest.raises(RuntimeError):
            losses.discriminative(logits, torch.tensor([unknown]))


def curvature_of_classes(small: Small) -> torch.Tensor:
    """Σ_k H_kk w_k² of the mean loss over A, by double autograd."""
    outputs, matrices = small.run()
    features = outputs.features.detach()[:, : small.salient]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        logits = features @ flat.view_as(matrices.classifier).T + small.classifier_bias.detach()
        total = logits.new_zeros(())
        for row, label in zip(logits, small.labels, strict=True):
            if label != IGNORED:
                z = torch.eye(len(row), dtype=row.dtype)[label]
                p = torch.sigmoid(row)
                total = total - (z * p.log() + (1 - z) * (1 - p).log()).sum()
        return total / len(logits)

    flat = matrices.classifier.detach().flatten()
    full: Any = hessian(loss, flat)
    return (full.diagonal() * flat.square()).view_as(matrices.classifier).sum(0)


def curvature_of_rebuilding(small: Small) -> torch.Tensor:
    """Σ_k H_kk w_k² of the mean loss over U, by double autograd."""
    outputs, matrices = small.run()
    features, y = outputs.features.detach(), outputs.y.detach()

    def loss(flat: torch.Tensor) -> torch.Tensor:
        sums = features @ flat.view_as(matrices.decoder).T + small.decoder_bias.detach()
        return (y - torch.sigmoid(sums)).square().sum() / len(y)

    flat = matrices.decoder.detach().flatten()
    full: Any = hessian(loss, flat)
    return (full.diagonal() * flat.square()).view_as(matrices.decoder).sum(0)


@settings(max_examples=12, deadline=None)
@given(sizes)
def test_saliency_is_the_diagonal_of_the_hessian(given_sizes: dict[str, int]) -> None:
    """Eqs. 7 and 8: both terms, by feature and in all, of the whole Hessians by double autograd."""
    small = Small(**given_sizes)
    outputs, matrices = small.run()
    rebuilding, classes = curvature_of_rebuilding(small), curvature_of_classes(small)
    exact = losses.rebuilt_curvature(outputs.y, outputs.rebuilt, "exact")
    ours = feature_saliency(outputs.features, exact, matrices.decoder)
    torch.testing.assert_close(ours, 0.5 * rebuilding, **EXACTLY)
    salient = outputs.features[:, : small.salient]
    exact = losses.class_curvature(outputs.logits, small.labels)
    ours = feature_saliency(salient, exact, matrices.classifier)
    torch.testing.assert_close(ours, 0.5 * classes, **EXACTLY)
    whole = losses.saliency(outputs, matrices, small.labels, "exact")
    expected = -0.5 * rebuilding.sum() - 0.5 * classes.sum()
    torch.testing.assert_close(whole, expected, **EXACTLY)


@settings(max_examples=12, deadline=None)
@given(sizes)
def test_saliency_of_weights_is_curvature_by_features(given_sizes: dict[str, int]) -> None:
    """Σ_k H_kk w_k² = φ_i² h_i, where h_i is the loss's second derivative by the feature φ_i."""
    small = Small(**(given_sizes | {"batch": 1}))
    outputs, matrices = small.run()

    def rebuilding(features: torch.Tensor) -> torch.Tensor:
        rebuilt = torch.sigmoid(matrices.decoder.detach() @ features + small.decoder_bias.detach())
        return (outputs.y[0].detach() - rebuilt).square().sum()

    def classes(features: torch.Tensor) -> torch.Tensor:
        logits = matrices.classifier.detach() @ features + small.classifier_bias.detach()
        return losses.discriminative(logits.unsqueeze(0), small.labels)

    features = outputs.features[0].detach()
    by_feature: Any = hessian(rebuilding, features)
    expected = features.square() * by_feature.diagonal()
    torch.testing.assert_close(curvature_of_rebuilding(small), expected, **EXACTLY)
    salient = features[: small.salient]
    by_feature = hessian(classes, salient)
    expected = salient.square() * by_feature.diagonal()
    torch.testing.assert_close(curvature_of_classes(small), expected, **EXACTLY)


@settings(max_examples=12, deadline=None)
@given(sizes)
def test_gauss_newton_is_twice_the_squared_jacobian(given_sizes: dict[str, int]) -> None:
    """Levenberg's form keeps 2 Jᵀ J of the squared error, of ŷ by each weight; it is the exact
    curvature where y is rebuilt without error."""
    small = Small(**given_sizes)
    outputs, matrices = small.run()

    def rebuilt(flat: torch.Tensor) -> torch.Tensor:
        sums = outputs.features.detach() @ flat.view_as(matrices.decoder).T
        return torch.sigmoid(sums + small.decoder_bias.detach())

    flat = matrices.decoder.detach().flatten()
    rows: Any = jacobian(rebuilt, flat)  # (B, D, D K)
    expected = 0.5 * (2 * rows.square().sum(1) * flat.square()).mean(0)
    curved = losses.rebuilt_curvature(outputs.y, outputs.rebuilt, "gauss-newton")
    assert (curved >= 0).all()
    ours = feature_saliency(outputs.features, curved, matrices.decoder)
    torch.testing.assert_close(ours, expected.view_as(matrices.decoder).sum(0), **EXACTLY)
    without_error = losses.rebuilt_curvature(outputs.rebuilt, outputs.rebuilt, "exact")
    torch.testing.assert_close(without_error, curved, **EXACTLY)


def test_the_exact_curvature_can_be_negative() -> None:
    """So that the two settings are two, and the paper's literal one is the one without a sign."""
    y, rebuilt = torch.tensor([[1.0]]), torch.tensor([[0.1]])
    assert number(losses.rebuilt_curvature(y, rebuilt, "exact")) == pytest.approx(
        2 * 0.09**2 - 2 * 0.9 * 0.09 * 0.8
    )


@settings(max_examples=12, deadline=None)
@given(sizes)
def test_orthogonality_is_a_loop_over_pairs_of_jacobian_rows(given_sizes: dict[str, int]) -> None:
    """Eq. 9, with the rows ∂φ_i/∂y of each fragment by autograd."""
    small = Small(**given_sizes)
    outputs, _ = small.run()
    total = 0.0
    for y in outputs.y.detach():
        rows: Any = jacobian(lambda y: torch.sigmoid(small.encoder @ y + small.encoder_bias), y)
        for i in range(small.salient):
            for j in range(small.salient, len(small.encoder)):
                total += number(rows[i] @ rows[j]) ** 2
    ours = losses.orthogonality(outputs.features, small.encoder, small.salient)
    assert number(ours) == pytest.approx(total / len(outputs.y), rel=1e-10, abs=1e-14)


def test_orthogonal_blocks_cost_nothing() -> None:
    """Rows within a block may be as alike as they like; rows of two blocks may not."""
    features = torch.full((2, 3), 0.5)
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert number(losses.orthogonality(features, apart, 2)) == 0
    alike = apart[[0, 2, 0]]
    assert number(losses.orthogonality(features, alike, 2)) == 0.25**4


# --- gradients ---


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize(
    "term", ["reconstruction", "discriminative", "saliency", "orthogonality", "total"]
)
def test_gradients_of_each_term(term: str, curvature: losses.Curvature) -> None:
    """By central differences in float64, by y and by every weight and bias, all at once."""
    small = Small(salient=2)
    form = losses.Objective(curvature=curvature, clamp="off", hold_target=False)

    def value(*inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = getattr(
            losses.objective(*small.run(*inputs), small.labels, form), term
        )
        return found

    assert gradcheck(value, small.inputs)


@settings(max_examples=8, deadline=None)
@given(sizes, st.sampled_from(CURVATURES))
def test_gradients_of_the_whole_at_any_size(
    given_sizes: dict[str, int], curvature: losses.Curvature
) -> None:
    small = Small(**given_sizes)
    form = losses.Objective(curvature=curvature, clamp="off", hold_target=False)
    assert gradcheck(
        lambda *inputs: losses.objective(*small.run(*inputs), small.labels, form).total,
        small.inputs,
        fast_mode=True,
    )


def test_a_held_target_gives_no_gradient_and_the_same_value() -> None:
    small = Small()
    outputs, matrices = small.run()
    moving, held = (
        losses.objective(
            outputs, matrices, small.labels, losses.Objective(clamp="off", hold_target=held)
        ).total
        for held in (False, True)
    )
    assert number(moving) == number(held)
    (through_both,) = torch.autograd.grad(moving, small.y, retain_graph=True)
    (through_features,) = torch.autograd.grad(held, small.y, retain_graph=True)
    as_target = 2 * (outputs.y - outputs.rebuilt) / len(outputs.y)
    torch.testing.assert_close(through_both - through_features, as_target, **EXACTLY)


# --- the sum ---


def test_the_sum_weighs_its_terms_and_leaves_out_what_weighs_nothing() -> None:
    small = Small()
    run = small.run()

    def terms(**changed: float) -> losses.Terms:
        form = losses.Objective(**changed, clamp="off")  # type: ignore[arg-type]
        return losses.objective(*run, small.labels, form)

    paper = terms()
    assert number(paper.total) == pytest.approx(
        number(
            paper.reconstruction + paper.discriminative + paper.saliency + 2 * paper.orthogonality
        )
    )
    assert number(paper.saliency) < 0 < number(paper.orthogonality)
    heavy = terms(saliency=2.5, orthogonality=0.5)
    expected = paper.total + 1.5 * paper.saliency - 1.5 * paper.orthogonality
    assert number(heavy.total) == pytest.approx(number(expected))
    assert number(heavy.saliency) == number(paper.saliency)
    assert number(heavy.saliency_weight) == 2.5
    no_s, no_or = terms(saliency=0), terms(orthogonality=0)
    assert number(no_s.saliency) == 0
    assert number(no_s.total) == pytest.approx(number(paper.total - paper.saliency))
    assert number(no_or.orthogonality) == 0
    assert number(no_or.total) == pytest.approx(number(paper.total - 2 * paper.orthogonality))


# --- the loss as printed has no lower bound ---


def twins() -> Small:
    """A stage where two salient features are the same one, whatever the input, and rebuild it
    well, so that the exact curvature, too, is positive."""
    small = Small(batch=4)
    with torch.no_grad():
        small.encoder[1], small.encoder_bias[1] = small.encoder[0], small.encoder_bias[0]
        outputs, _ = small.run()
        small.y += 0.9 * (outputs.rebuilt - small.y)
    return small


def along(small: Small, which: str, t: float, form: losses.Objective) -> losses.Terms:
    """The terms with t more on one of the twins' weights and t less on the other's."""
    weight = getattr(small, which).detach().clone()
    weight[0, 0] += t
    weight[0, 1] -= t
    changed = {"decoder": (3, weight), "classifier": (5, weight)}[which]
    inputs = list(small.inputs)
    inputs[changed[0]] = changed[1]
    return losses.objective(*small.run(*inputs), small.labels, form)


@pytest.mark.parametrize("which", ["decoder", "classifier"])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_the_literal_loss_has_no_lower_bound(which: str, curvature: losses.Curvature) -> None:
    """Along the ray neither ŷ, ẑ nor J_orth moves, and J_SAL falls by -t² times a constant."""
    small = twins()
    form = losses.Objective(curvature=curvature, clamp="off")
    start, far, farther = (along(small, which, t, form) for t in (0.0, 1e3, 2e3))
    for name in ("reconstruction", "discriminative", "orthogonality"):
        torch.testing.assert_close(getattr(farther, name), getattr(start, name))
    outputs, _ = small.run()
    bent = losses.class_curvature(outputs.logits, small.labels)
    if which == "decoder":
        bent = losses.rebuilt_curvature(outputs.y, outputs.rebuilt, curvature)
    constant = number((outputs.features[:, 0].square() * bent[:, 0]).mean())
    assert constant > 0
    assert number(far.total) == pytest.approx(-constant * 1e6, rel=0.02)
    assert number(farther.total) == pytest.approx(4 * number(far.total), rel=0.02)
    assert number(farther.total) < -1e3


@pytest.mark.parametrize("which", ["decoder", "classifier"])
@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_clamp_bounds_it(which: str, curvature: losses.Curvature, weight: float) -> None:
    for clamp in ("scale", "stop"):
        bounded(which, losses.Objective(saliency=weight, curvature=curvature, clamp=clamp))


def bounded(which: str, form: losses.Objective) -> None:
    small = twins()
    for t in (0.0, 10.0, 1e3, 1e6):
        terms = along(small, which, t, form)
        assert number(terms.total) >= 0
        assert math.isfinite(number(terms.saliency))
    assert number(terms.saliency) < -1e6  # what is reported is not clamped
    assert number(terms.total) == pytest.approx(2 * number(terms.orthogonality))


@pytest.mark.parametrize("clamp", ["stop", "scale"])
@pytest.mark.parametrize("t", [0.0, 1e3])
def test_what_the_clamp_leaves_of_saliency(t: float, clamp: losses.Clamp) -> None:
    """Short of the bound the literal gradient; beyond it none, or as much as the bound allows."""
    small = twins()
    with torch.no_grad():
        small.decoder *= 0.1  # J_SAL is then short of the bound
        small.decoder[0, 0] += t
        small.decoder[0, 1] -= t

    def gradient(form: losses.Objective) -> torch.Tensor:
        total = losses.objective(*small.run(), small.labels, form).total
        return torch.autograd.grad(total, small.encoder)[0]

    literal = gradient(losses.Objective(clamp="off"))
    without = gradient(losses.Objective(saliency=0.0))
    terms = losses.objective(*small.run(), small.labels, losses.Objective())
    bound = number(terms.reconstruction) + number(terms.discriminative)
    share = min(1.0, bound / -number(terms.saliency))
    assert (share < 1) == (t > 0)
    if clamp == "stop" and t:
        share = 0.0
    expected = without + share * (literal - without)
    torch.testing.assert_close(gradient(losses.Objective(clamp=clamp)), expected, **EXACTLY)
    bounded = losses.objective(*small.run(), small.labels, losses.Objective(clamp=clamp))
    assert number(bounded.saliency_weight) == pytest.approx(share)  # what the history says
