"""Rows as other trainers read them: one below the other, padded on the right to the longest."""

from collections.abc import Sequence

import torch
from potstill.tokens.examples import Example


def collate(rows: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids [B, T] padded with 0, and the bool mask [B, T] of answer tokens."""
    length = max(len(row.ids) for row in rows)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.int64)
    answer_BT = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = torch.tensor(row.ids)
        for start, end, _ in row.spans:
            answer_BT[index, start:end] = True
    return ids_BT, answer_BT
