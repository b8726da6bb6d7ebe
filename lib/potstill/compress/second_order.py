"""What a change of weights does to a matrix's outputs, and how other weights make up for it.

With P the mean of x x^T over inputs x, a row w that becomes v loses (w - v) P (w - v)^T.

Source: Hassibi & Stork 1993 (Optimal Brain Surgeon); Frantar et al. 2022 (GPTQ, arXiv:2210.17323,
step 3: the factor of the inverse, from which a column is taken after another).

Dimensions: R rows, X inputs of a matrix.
"""

import torch


def error(weight_RX: torch.Tensor, other_RX: torch.Tensor, product_XX: torch.Tensor) -> float:
    """Return the sum over outputs of the mean square by which two matrices differ in them."""
    off_RX = weight_RX.float() - other_RX.float()
    return float(((off_RX @ product_XX) * off_RX).sum())


def factor(product_XX: torch.Tensor, damping: float) -> torch.Tensor:
    """Return U, upper, float32: U^T U is the inverse of the product with damping.

    Args:
        product_XX: the mean of x x^T.
        damping: share of the mean square of an input that is added to each, so that inputs which
            hardly differ do not make up for each other without end.
    """
    held_XX = product_XX.to(torch.float64, copy=True)
    square_X = held_XX.diagonal()
    square_X.add_(damping * square_X.mean() + torch.finfo(torch.float32).tiny)
    inverse_XX = torch.cholesky_inverse(torch.linalg.cholesky(held_XX))
    return torch.linalg.cholesky(inverse_XX, upper=True).float()
