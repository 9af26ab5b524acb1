"""One picture for each dashboard, put together from the pictures of its panels."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

COLUMNS = 3
GAP = 8
GROUND = "#f4f5f7"
COLOURS = 128
"""A palette is enough for lines and bars, and a quarter of the size."""


def sheets(drawn: Iterable[tuple[str, Path]], place: Path) -> list[Path]:
    """Write a picture for each dashboard into ``place`` and return them.

    :param drawn: the title of the dashboard and the picture of each panel, in their order.
    """
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for title, group in groupby(drawn, lambda item: item[0]):
        pictures = [Image.open(path).convert("RGB") for _, path in group]
        width = max(picture.width for picture in pictures) + GAP
        height = max(picture.height for picture in pictures) + GAP
        columns = min(COLUMNS, len(pictures))
        rows = math.ceil(len(pictures) / columns)
        sheet = Image.new("RGB", (columns * width + GAP, rows * height + GAP), GROUND)
        for number, picture in enumerate(pictures):
            row, column = divmod(number, columns)
            sheet.paste(picture, (GAP + column * width, GAP + row * height))
        path = place / f"dashboard-{title.lower().replace(' ', '-')}.png"
        sheet.quantize(COLOURS).save(path, optimize=True)
        written.append(path)
    return written
