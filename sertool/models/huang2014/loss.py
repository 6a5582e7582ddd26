"""The objective of Huang et al., "Speech emotion recognition using CNN" (2014), Eqs. 4 to 10.

Pure functions. Shapes: B fragments, D values of y, K features φ of which the first E are
affect-salient (φe) and the others nuisance (φo), C classes. A matrix is laid out as torch has it,
(outputs, inputs): what the paper writes Uᵀ is `decoder` (D, K). s is the logistic function, so
s' = s(1 - s) and s'' = s'(1 - 2s).

Every term is Eq. 10's sum over fragments divided by B, those without a label counted in B.
Second derivatives are in closed form, of φ held fixed: no term needs a double backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch.nn import functional

from sertool.targets import IGNORED

Curvature = Literal["exact", "gauss-newton"]
Clamp = Literal["scale", "stop", "off"]


class Outputs(NamedTuple):
    """The network's outputs on a batch."""

    y: torch.Tensor  # (B, D): the pooled maps, the paper's LIF
    features: torch.Tensor  # (B, K): φ, in (0, 1), the E salient ones first
    rebuilt: torch.Tensor  # (B, D): ŷ of Eq. 4, in (0, 1)
    logits: torch.Tensor  # (B, C): what s makes ẑ of Eq. 5


class Matrices(NamedTuple):
    """The weights that saliency and orthogonality look at."""

    encoder: torch.Tensor  # (K, D): V
    decoder: torch.Tensor  # (D, K): Uᵀ
    classifier: torch.Tensor  # (C, E): A; its width says where φe ends


@dataclass(frozen=True)
class Objective:
    """How the terms of Eq. 10 are weighed and kept in bounds.

    The paper's are `saliency` λ1 = 1 and `orthogonality` λ2 = 2; a term of weight 0 is not
    computed. The rest is chosen here, because the loss as printed has no lower bound: with
    `curvature="exact"`, `clamp="off"` it is the literal one. Where λ1 J_SAL would count for more
    than -(L_R + L_D), `clamp` "scale" makes it less by a factor, so that it goes on to pull, as
    hard as the others at most; "stop" puts that bound in its place, which pulls at nothing.
    `hold_target` keeps gradients out of
    the y that is to be rebuilt: kernels that are trained, too, would make it a constant. With
    frozen kernels it changes nothing.
    """

    saliency: float = 1.0
    orthogonality: float = 2.0
    curvature: Curvature = "gauss-newton"
    clamp: Clamp = "scale"
    hold_target: bool = True


class Terms(NamedTuple):
    """The parts of the loss, each a scalar, unweighted; only `total` knows weights and clamp.

    saliency_weight: the weight that the gradient of J_SAL has in this batch: λ1, or less where
    `clamp` bounds the term.
    """

    reconstruction: torch.Tensor
    discriminative: torch.Tensor
    saliency: torch.Tensor
    orthogonality: torch.Tensor
    saliency_weight: torch.Tensor
    total: torch.Tensor


def reconstruction(y: torch.Tensor, rebuilt: torch.Tensor) -> torch.Tensor:
    """Return the mean over fragments of ‖y - ŷ‖², summed over the D values (Eqs. 8 and 10)."""
    return (y - rebuilt).square().sum(1).mean()


def discriminative(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return Eq. 6, -Σ_c z_c log ẑ_c + (1 - z_c) log(1 - ẑ_c), summed over fragments, over B.

    `labels` int64 (B,) are classes from 0, or IGNORED: such a fragment adds nothing, and a batch
    of nothing else gives 0. Raises RuntimeError for a class that has no logit.
    """
    known = labelled(labels, logits)
    classes = labels.where(labels != IGNORED, 0)
    truth = functional.one_hot(classes, logits.shape[1]).to(logits)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return (each.sum(1) * known).mean()


def labelled(labels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return 1 for each fragment with a label, else 0: (B,), of the type of `like`."""
    return (labels != IGNORED).to(like)


def rebuilt_curvature(y: torch.Tensor, rebuilt: torch.Tensor, curvature: Curvature) -> torch.Tensor:
    """Return ∂²‖y - ŷ‖²/∂a² (B, D) where ŷ = s(a).

    Exact, 2 ŷ'² - 2 (y - ŷ) ŷ'', which may be negative; or Levenberg's form 2 ŷ'², never so,
    which is what Gauss and Newton keep and what optimal brain damage computes.
    """
    slope = rebuilt * (1 - rebuilt)
    squared = 2 * slope.square()
    if curvature == "gauss-newton":
        return squared
    return squared - 2 * (y - rebuilt) * slope * (1 - 2 * rebuilt)


def class_curvature(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the exact second derivative ẑ(1 - ẑ) (B, C) of Eq. 6 by each logit.

    A fragment without a label has no such loss, and so no curvature.
    """
    likely = torch.sigmoid(logits)
    return likely * (1 - likely) * labelled(labels, logits).unsqueeze(1)


def saliency(
    outputs: Outputs, matrices: Matrices, labels: torch.Tensor, curvature: Curvature
) -> torch.Tensor:
    """Return J_SAL of Eq. 8: less where the weights that leave the features are more salient.

    All features count for the reconstruction, φe alone for the classes. (The sentence below the
    equation gives the second term to φo; the formula, and the network, give it to φe.)
    """
    y, features, rebuilt, logits = outputs
    salient = features[:, : matrices.classifier.shape[1]]
    by_feature = rebuilt_curvature(y, rebuilt, curvature) @ matrices.decoder.square()
    by_salient = class_curvature(logits, labels) @ matrices.classifier.square()
    # S_i of Eq. 7, ½ φ_i² Σ_k curvature_k w_ki², summed without each feature's own
    total = (features.square() * by_feature).sum() + (salient.square() * by_salient).sum()
    return total * (-0.5 / len(features))


def orthogonality(features: torch.Tensor, encoder: torch.Tensor, salient: int) -> torch.Tensor:
    """Return J_orth of Eq. 9, the mean over fragments.

    The sum over φe's i < `salient` and φo's j of (∂φ_i/∂y · ∂φ_j/∂y)². As ∂φ_i/∂y = φ_i' V_i,
    one matrix of the inner products ⟨V_i, V_j⟩ serves the whole batch.
    """
    blocks = [salient, len(encoder) - salient]  # slices would cost a matrix of zeros in backward
    ours, others = encoder.split(blocks)
    gram = ours @ others.T  # (E, K - E)
    slope, other_slope = (features * (1 - features)).square().split(blocks, 1)  # φ'²
    return ((slope @ gram.square()) * other_slope).sum() / len(features)


def objective(
    outputs: Outputs, matrices: Matrices, labels: torch.Tensor, settings: Objective
) -> Terms:
    """Return the terms of Eq. 10 and their weighted sum.

    J_SAL falls without bound as U or A grows in directions that change neither ŷ nor ẑ. Unless
    `clamp` is off, λ1 J_SAL counts for no less than -(L_R + L_D): the sum is never negative.
    Bound and factor are held fixed: no gradient goes through them.
    """
    if settings.hold_target:
        outputs = outputs._replace(y=outputs.y.detach())
    rebuilding = reconstruction(outputs.y, outputs.rebuilt)
    classes = discriminative(outputs.logits, labels)
    total = rebuilding + classes
    salience = orthogonal = weight = total.new_zeros(())
    if settings.saliency:
        salience = saliency(outputs, matrices, labels, settings.curvature)
        counted = settings.saliency * salience
        weight = total.new_tensor(settings.saliency)
        bound, value = total.detach(), counted.detach()
        if settings.clamp == "stop":
            counted = counted.maximum(-bound)
            weight = weight * (value > -bound)
        elif settings.clamp == "scale":
            share = torch.where(value < -bound, -bound / value, 1.0)
            counted, weight = counted * share, weight * share
        total = total + counted
    if settings.orthogonality:
        salient = matrices.classifier.shape[1]
        orthogonal = orthogonality(outputs.features, matrices.encoder, salient)
        total = total + settings.orthogonality * orthogonal
    return Terms(rebuilding, classes, salience, orthogonal, weight, total)
