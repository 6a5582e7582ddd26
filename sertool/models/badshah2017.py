"""Networks of Badshah, Ahmad, Rahim & Baik (PlatCon 2017): a CNN over spectrograms, and AlexNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn

    from sertool.models.layers import OverPictures

CONVOLUTIONS = ((120, 11, 4, 0), (256, 5, 1, 2), (384, 3, 1, 1))  # maps, width, stride, padding
POOL, POOL_STRIDE = 3, 2  # picture points
CONV_SD, HIDDEN_SD, LAST_SD = 0.01, 0.005, 0.01  # Caffe's AlexNet
LRN_SIZE, LRN_ALPHA, LRN_BETA = 5, 1e-4, 0.75  # there, after the first two convolutions
CAFFE_BIAS, BIASED = 0.1, (2, 4, 5)  # there: convolutions and hidden layers that begin with it
SMALLEST_ALEXNET = 63  # points: its third pooling is left one
ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


@dataclass(frozen=True)
class CnnSettings:
    """Settings of the paper's own CNN; the text leaves its second and third block open."""

    pools: tuple[int, ...] = setting(
        (1, 2, 3), "convolutions followed by a pooling; the text: [1]", least=1, most=3
    )
    padding: bool = setting(True, "C2 and C3 keep height and width; the text mentions no padding")
    hidden: int = setting(2048, "width of both hidden dense layers", "units", least=1)
    dropout: float = setting(
        0.5, "share of values zeroed after each hidden dense layer", least=0, below=1
    )
    bias: float = setting(
        CAFFE_BIAS, "first biases of C2 and both hidden dense layers; 0 elsewhere", least=0, most=1
    )
    lrn: bool = setting(
        False, "local response normalisation after C1 and C2, as AlexNet has; the text: none"
    )

    def __post_init__(self) -> None:
        if len(set(self.pools)) < len(self.pools):
            raise ValueError("pools may name each convolution once only")


class Badshah2017(Network):
    """The paper's own CNN: three convolutions, three dense layers."""

    name = "badshah2017"
    summary = "CNN over spectrogram pictures (Badshah et al. 2017): three convolutions, three dense"
    pictures = True
    Settings = CnnSettings
    settings: CnnSettings

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the paper's CNN for pictures of `shape` (height, width, channels).

        With the default settings, 256 × 256 × 3 and seven logits: 44 444 967 parameters. With the
        text taken literally (`pools=[1]`, no padding): 497 429 799. Raises InputError for pictures
        that are too small. Weights and biases begin as in Caffe's AlexNet: Gaussian of sd 0.01, in
        both hidden dense layers 0.005; see `bias`.
        """
        from torch import nn

        from sertool.models.layers import OverPictures, check_size

        settings = self.settings
        height, width, channels = shape
        check_size("badshah2017", shape, self.size_after)
        convolutions: list[nn.Module] = []
        for number, (maps, kernel, stride, padding) in enumerate(CONVOLUTIONS, 1):
            pad = padding if settings.padding else 0
            convolutions += [nn.Conv2d(channels, maps, kernel, stride, pad), nn.ReLU(inplace=True)]
            if settings.lrn and number <= 2:
                convolutions += [nn.LocalResponseNorm(LRN_SIZE, LRN_ALPHA, LRN_BETA)]
            if number in settings.pools:
                convolutions += [nn.MaxPool2d(POOL, POOL_STRIDE, ceil_mode=True)]
            channels = maps
        flat = channels * self.size_after(height) * self.size_after(width)
        hidden = settings.hidden
        dense = [
            *[nn.Linear(flat, hidden), nn.ReLU(inplace=True), nn.Dropout(settings.dropout)],
            *[nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(settings.dropout)],
            nn.Linear(hidden, outputs),
        ]
        network = OverPictures(nn.Sequential(*convolutions), nn.Sequential(*dense))
        _caffe(network, settings.bias)
        return network

    def size_after(self, points: int) -> int:
        """Return the height or width that the convolutions leave of `points`; below 1: none."""
        for number, (_, width, stride, padding) in enumerate(CONVOLUTIONS, 1):
            if points < 1:
                return points
            points = (points + 2 * padding * self.settings.padding - width) // stride + 1
            if number in self.settings.pools:
                points = -((POOL - points) // POOL_STRIDE) + 1  # rounded up, as Caffe does
        return points

    def defaults(self) -> Hyperparameters:
        """Return the paper's training, and where the paper is silent that of its tools.

        Published: batch 100, 30 epochs, rate 0.01, a tenth every 10: all of them what DIGITS
        proposes with its AlexNet. From there too: momentum, weight decay, the rate of biases, and
        pictures of 0 to 255 less their mean image.
        """
        return Hyperparameters(
            epochs=30,
            batch_size=100,
            lr=0.01,
            optimizer="sgd",
            momentum=0.9,
            weight_decay=5e-4,
            schedule="step",
            schedule_step=10,
            schedule_factor=0.1,
            monitor="accuracy",
            # With weights this small the signal shrinks: values of 0 to 255 begin with logits of
            # about 0.1 and a first step of 1e-3 to 1e-2 of each weight; divided by 255, logits and
            # steps are up to 255 times smaller.
            normalisation="mean-image",
            biases="caffe",
        )


def _caffe(network: OverPictures, bias: float) -> None:
    """Initialise as Caffe's AlexNet, with `bias` where that has its 0.1."""
    from torch import nn

    convolutions = [m for m in network.features if isinstance(m, nn.Conv2d)]
    dense = [m for m in network.classifier if isinstance(m, nn.Linear)]
    begin: list[tuple[nn.Conv2d | nn.Linear, float, float]] = [
        *[(m, CONV_SD, bias * (n in BIASED)) for n, m in enumerate(convolutions, 1)],
        *[(m, HIDDEN_SD, bias) for m in dense[:-1]],
        (dense[-1], LAST_SD, 0.0),
    ]
    for layer, sd, value in begin:
        if not layer.weight.is_meta:
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=sd)
            nn.init.constant_(layer.bias, value)


@dataclass(frozen=True)
class AlexnetSettings:
    """Settings of AlexNet."""

    caffe: bool = setting(
        False, "first weights and biases of Caffe's AlexNet, made for pixels of 0 to 255"
    )
    dropout: float = setting(
        0.5, "share of values zeroed before both hidden dense layers", least=0, below=1
    )


class Badshah2017Alexnet(Network):
    """AlexNet as torchvision lays it out (Krizhevsky 2014, one tower)."""

    name = "badshah2017-alexnet"
    summary = "AlexNet over pictures, for --init imagenet (Badshah et al. 2017) or from scratch"
    pictures = True
    pretrained: Mapping[str, str] = {"imagenet": ALEXNET_URL}
    Settings = AlexnetSettings
    settings: AlexnetSettings

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return AlexNet as torchvision lays it out (Krizhevsky 2014, one tower).

        Names and shapes of its tensors are torchvision's, so that published weights fit. With three
        channels and seven logits: 57 032 519 parameters, whatever the pictures' size. Raises
        InputError for pictures below 63 × 63. Weights are drawn as torch does by default, or as in
        `badshah2017`.
        """
        from torch import nn

        from sertool.models.layers import AveragedTo, OverPictures, check_size

        def pool() -> nn.Module:
            return nn.MaxPool2d(POOL, POOL_STRIDE)

        def relu() -> nn.Module:
            return nn.ReLU(inplace=True)

        check_size("badshah2017-alexnet", shape, lambda points: points - SMALLEST_ALEXNET + 1)
        features = [  # height and width of 256 after each line
            *[nn.Conv2d(shape[2], 64, 11, stride=4, padding=2), relu(), pool()],  # 31
            *[nn.Conv2d(64, 192, 5, padding=2), relu(), pool()],  # 15
            *[nn.Conv2d(192, 384, 3, padding=1), relu()],  # 15
            *[nn.Conv2d(384, 256, 3, padding=1), relu()],  # 15
            *[nn.Conv2d(256, 256, 3, padding=1), relu(), pool()],  # 7
        ]
        dense = [
            *[nn.Dropout(self.settings.dropout), nn.Linear(256 * 6 * 6, 4096), relu()],
            *[nn.Dropout(self.settings.dropout), nn.Linear(4096, 4096), relu()],
            nn.Linear(4096, outputs),
        ]
        pooled = AveragedTo(6)
        network = OverPictures(nn.Sequential(*features), nn.Sequential(*dense), pooled)
        if self.settings.caffe:
            _caffe(network, CAFFE_BIAS)
        return network

    def defaults(self) -> Hyperparameters:
        """Return the paper's training: "one tenth of the normal" rate for weights of `--init`."""
        return replace(Badshah2017().defaults(), normalisation="imagenet", lr_scale=0.1)
