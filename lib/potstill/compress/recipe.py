"""The settings of a compressed checkpoint; nothing here is slow to import."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from potstill.params import Section

DAMPING = 0.01
GgmlType = Literal[
    "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1", "Q8_0"
]


class Importance(Section):
    """Measure how much each input of a matrix is used: for quantisers of GGUF files."""

    kind: Literal["importance"]


class Mixed(Section):
    """Choose the type of each matrix of a GGUF file under a number of bytes, by measured loss."""

    kind: Literal["mixed"]
    bytes: Annotated[int, Field(ge=1)]  # of the file
    # ggml's; a matrix takes those whose blocks divide its rows
    types: list[GgmlType] = Field(
        default=["Q4_K", "Q5_K", "Q6_K", "Q4_0", "IQ4_NL", "Q5_0", "Q8_0"], min_length=1
    )
    # whose errors are counted: those of `gptq`, which is to follow, or the nearest
    codes: Literal["gptq", "nearest"] = "gptq"
    measured_packs: Annotated[int, Field(ge=1)] = 1  # of eight calibration rows each


class Gptq(Section):
    """Round matrices to a GGUF type so that errors undo each other."""

    kind: Literal["gptq"]
    quantisation: (
        str  # of a GGUF file: q4_0, q4_k_m, ...; stated: as `mixed` chose for the checkpoint
    )
    damping: Annotated[float, Field(gt=0)] = DAMPING  # of an input's mean square, added to each


class Oneshot(Section):
    """Round matrices by llmcompressor, to a folder that vLLM and transformers load."""

    kind: Literal["oneshot"]
    # algorithm, bits of weights and of activations; rtn rounds to the nearest: the control
    scheme: Literal["rtn_w4a16", "gptq_w4a16", "awq_w4a16", "rtn_w8a8", "smoothquant_w8a8"]
    group: Annotated[int, Field(ge=1)] = 128  # columns that share a scale, of 4 bits


class Sparse(Section):
    """Set weights of each matrix of the layers to zero."""

    kind: Literal["sparse"]
    share: Annotated[float, Field(gt=0, lt=1)]  # of each matrix
    # which: the smallest; those times the size of their inputs; those that others make up for
    way: Literal["magnitude", "wanda", "sparsegpt"]
    of_four: bool = False  # two of each four that follow one another in a row; share is 0.5
    damping: Annotated[float, Field(gt=0)] = DAMPING  # of sparsegpt; see `Gptq`

    @model_validator(mode="after")
    def _two_of_four(self) -> "Sparse":
        if self.of_four and self.share != 0.5:
            raise ValueError(f"of_four sets two of four to zero, share is {self.share}: state 0.5")
        return self


Method = Annotated[Importance | Mixed | Gptq | Oneshot | Sparse, Field(discriminator="kind")]


class Compression(Section):
    """One of `compressed`, with what all share from `compression`."""

    checkpoint: str  # folder below models/
    method: Method
    calibration_rows: Annotated[int, Field(ge=1)]  # of the training split
    batch_rows: Annotated[int, Field(ge=1)]  # that are measured at a time
    threads: Annotated[int, Field(ge=1)]
    seed: int
