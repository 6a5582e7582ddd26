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
        "input of the last stage: the salient features, the others, the kernels' responses (both"
        " sizes, 6 frames, 10 frames), or the whitened fragments",
    )
    components: int = setting(60, "principal components kept of each frame", least=1)
    frames: int = setting(15, "length of a fragment", "frames", least=11)
    hop: int = setting(15, "hop between fragments in training", "frames", least=1)
    test_hop: int = setting(5, "hop between fragments in validation and testing", "frames", least=1)
    maps: int = setting(60, "kernels of each of the two sizes (120: another reading)", least=1)
    salient: int = setting(300, "features that classify and rebuild", least=1)
    other: int = setting(300, "features that only rebuild", least=1)
    saliency: float = setting(1.0, "weight of the saliency term (0: the paper's no_s)", least=0)
    orthogonality: float = setting(2.0, "weight of the orthogonality term (0: no_or)", least=0)
    curvature: Literal["gauss-newton", "exact"] = setting(
        "gauss-newton",
        "second derivatives of the reconstruction: Levenberg's approximation, or exact",
    )
    clamp: Literal["scale", "stop", "off"] = setting(
        "scale", "where saliency would outweigh the other terms: scale it down, stop it, or let it"
    )
    rescale: bool = setting(
        True, "stretch the kernels' responses, which hardly vary, before the next layer (paper: no)"
    )
    finetune: bool = setting(False, "go on training the kernels with the salient features")
    share: float = setting(
        1 / 3, "share of the training recordings that patches are drawn from", above=0, most=1
    )
    patches: int = setting(50_000, "most patches for each size of kernel", least=1)
    patch_epochs: int = setting(50, "epochs of the auto-encoders", "epochs", least=1)
    sparsity: float = setting(
        0.05, "target mean activation of the auto-encoders' units", above=0, below=1
    )
    sparsity_weight: float = setting(
        3.0, "weight of that target in the auto-encoders' loss", least=0
    )
    decay: float = setting(1e-4, "weight decay of the auto-encoders", least=0)
    contraction: float = setting(
        0.0, "weight of a contractive penalty (the abstract's word)", least=0
    )
    classifier: Literal["svm", "logistic"] = setting(
        "svm", "the last stage: a support vector machine, or the network's own logits"
    )
    kernel: Literal["rbf", "linear"] = setting("rbf", "kernel of the support vector machine")
    C: tuple[float, ...] = setting((), "candidates for C (none given: those of model svm)", above=0)
    sigma: tuple[float, ...] = setting(
        (), "candidates for sigma, in median distances (likewise)", above=0
    )
    utterance: Literal["mean", "posteriors", "votes"] = setting(
        "mean",
        "classify the mean of the fragments' features, or each fragment and pool the results",
    )

    def __post_init__(self) -> None:
        if self.classifier == "logistic" and self.features != "salient":
            raise ValueError("classifier=logistic needs features=salient")

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
