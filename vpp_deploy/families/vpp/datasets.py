"""Class names of the label sets that models were trained on, in label order."""

from __future__ import annotations

DATASETS: dict[str, tuple[str, ...]] = {
    "youtube-vis-2019": (
        "person", "giant_panda", "lizard", "parrot", "skateboard", "sedan", "ape", "dog", "snake", "monkey", "hand",
        "rabbit", "duck", "cat", "cow", "fish", "train", "horse", "turtle", "bear", "motorbike", "giraffe", "leopard",
        "fox", "deer", "owl", "surfboard", "airplane", "truck", "zebra", "tiger", "elephant", "snowboard", "boat",
        "shark", "mouse", "frog", "eagle", "earless_seal", "tennis_racket",
    ),
    "youtube-vis-2021": (
        "airplane", "bear", "bird", "boat", "car", "cat", "cow", "deer", "dog", "duck", "earless_seal", "elephant",
        "fish", "flying_disc", "fox", "frog", "giant_panda", "giraffe", "horse", "leopard", "lizard", "monkey",
        "motorbike", "mouse", "parrot", "person", "rabbit", "shark", "skateboard", "snake", "snowboard", "squirrel",
        "surfboard", "tennis_racket", "tiger", "train", "truck", "turtle", "whale", "zebra",
    ),
    "shapes": ("circle", "square", "triangle", "star", "ring"),
}  # fmt: skip
