"""A training loop of your own in PyTorch, on features of sertool.

python examples/torch_training_loop.py [CORPUS]    (default: the demo corpus)
"""

import sys
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

import sertool

DEMO = Path(__file__).parent.parent / "data" / "demo" / "corpus"
EPOCHS = 8


class Recurrent(nn.Module):
    """A GRU over the frames; the mean of its outputs over an utterance gives the logits."""

    def __init__(self, dims: int, classes: int) -> None:
        super().__init__()
        self.gru = nn.GRU(dims, 32, batch_first=True)
        self.output = nn.Linear(32, classes)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, classes) of zero-padded features (batch, frames, dims)."""
        outputs, _ = self.gru(features)
        there = torch.arange(features.shape[1]) < lengths[:, None]
        mean = (outputs * there[..., None]).sum(1) / lengths[:, None]
        return self.output(mean)


def main(corpus: Path, folder: Path) -> float:
    """Train with one fold of speakers held out; return the accuracy there."""
    torch.manual_seed(0)
    manifest = sertool.prepare(corpus, split="speakers:4")
    store = sertool.featurize(manifest, folder / "mel.h5", kind="mel", n_mels=40)
    data = store.torch()
    folds = [item.fold for item in store.items()]
    train = Subset(data, [i for i, fold in enumerate(folds) if fold != 0])
    test = Subset(data, [i for i, fold in enumerate(folds) if fold == 0])

    frames = torch.cat([features for features, _ in train])  # the training part's alone
    mean, sd = frames.mean(0), frames.std(0)
    network = Recurrent(store.shape[0], len(data.classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for epoch in range(EPOCHS):
        total = 0.0
        for features, lengths, labels in DataLoader(
            train, batch_size=16, shuffle=True, collate_fn=data.collate
        ):
            logits = network((features - mean) / sd, lengths)
            loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        print(f"epoch {epoch}: loss {total / len(train):.3f}")

    right = 0
    with torch.inference_mode():
        for features, lengths, labels in DataLoader(test, 16, collate_fn=data.collate):
            found = network((features - mean) / sd, lengths).argmax(1)
            right += int((found == labels).sum())
    print(f"{right} of {len(test)} held-out utterances are right")
    return right / len(test)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO, Path(scratch))
