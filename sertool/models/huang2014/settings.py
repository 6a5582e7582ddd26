"""Settings of huang2014, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sertool.core.settings import setting

if TYPE_CHECKING:
    from sertool.models.huang2014.loss import Objective
    from sertool.models.huang2014.semi_cnn import Sizes
    from sertool.models.huang2014.sparse_autoencoder import Fit

OF_STAGE_TWO = ("salient", "other")
OF_KERNELS = ("lif", "k1", "k2", *OF_STAGE_TWO)


@dataclass(frozen=True)
class Huang2014Settings:
    """Settings of huang2014. The paper gives the sizes, and the weights 1 and 2 of two terms."""

    features: Literal["salient", "other", "lif", "k1", "k2", "raw"] = setting(
        "salient",
        "what the last stage is given: the salient features, the others, the kernels' answers"
        " (both sizes, 6 frames, 10 frames), or the whitened fragments",
    )
    components: int = setting(60, "principal components kept of each frame")
    frames: int = setting(15, "of a fragment", "frames")
    hop: int = setting(15, "between fragments, while salient features are learned", "frames")
    test_hop: int = setting(5, "between fragments, wherever a recording is judged", "frames")
    maps: int = setting(60, "kernels of each of the two sizes (120: another reading)")
    salient: int = setting(300, "features that tell the classes")
    other: int = setting(300, "features that only rebuild")
    saliency: float = setting(1.0, "weight of the saliency term (0: the paper's no_s)")
    orthogonality: float = setting(2.0, "weight of the orthogonality term (0: no_or)")
    curvature: Literal["gauss-newton", "exact"] = setting(
        "gauss-newton", "second derivatives of the rebuilding: Levenberg's, or all of them"
    )
    clamp: Literal["scale", "stop", "off"] = setting(
        "scale", "where saliency would outweigh the other terms: less of it, none, or literally all"
    )
    rescale: bool = setting(
        True, "squash what the kernels say before it is rebuilt: it hardly varies (literal: false)"
    )
    finetune: bool = setting(False, "train the kernels, too, with the salient features")
    share: float = setting(1 / 3, "of the training recordings, for the kernels' patches")
    patches: int = setting(50_000, "at most, for each size of kernel")
    patch_epochs: int = setting(50, "of the auto-encoders")
    sparsity: float = setting(0.05, "mean activation that the auto-encoders' units are drawn to")
    sparsity_weight: float = setting(3.0, "of that, in the auto-encoders' loss")
    decay: float = setting(1e-4, "of the auto-encoders' weights")
    contraction: float = setting(0.0, "weight of the contractive penalty (the abstract's word)")
    classifier: Literal["svm", "logistic"] = setting(
        "svm", "the last stage: a support vector machine, or the network's own logits"
    )
    kernel: Literal["rbf", "linear"] = setting("rbf", "of the support vector machine")
    C: tuple[float, ...] = setting((), "candidates (none given: those of model svm)")
    sigma: tuple[float, ...] = setting((), "candidates, in median distances (likewise)")
    utterance: Literal["mean", "posteriors", "votes"] = setting(
        "mean", "of fragments: their features' mean is judged; or each is, and they are averaged"
    )

    def __post_init__(self) -> None:
        if min(self.components, self.hop, self.test_hop, self.patches, self.patch_epochs) < 1:
            raise ValueError("components, hops, patches and patch_epochs must be at least 1")
        if not 0 < self.share <= 1:
            raise ValueError("share must be above 0, and at most 1")
        if self.classifier == "logistic" and self.features != "salient":
            raise ValueError("classifier logistic is for features salient alone")
        self.sizes, self.autoencoder, self.objective  # noqa: B018  they check themselves

    @property
    def sizes(self) -> Sizes:
        """The sizes of the network."""
        from sertool.models.huang2014.semi_cnn import Sizes

        return Sizes(self.frames, self.components, (6, 10), self.maps, self.salient, self.other)

    @property
    def autoencoder(self) -> Fit:
        """How the kernels are learned."""
        from sertool.models.huang2014.sparse_autoencoder import Fit

        return Fit(self.maps, self.sparsity, self.sparsity_weight, self.decay, self.contraction)

    @property
    def objective(self) -> Objective:
        """The weights of the second stage's terms."""
        from sertool.models.huang2014.loss import Objective

        return Objective(
            self.saliency, self.orthogonality, self.curvature, self.clamp, not self.finetune
        )
