"""A fitted encoder as a frozen torch module, for other people's networks."""

from __future__ import annotations

from resu_conv import ReSUEncoder
from resu_torch_kernels import DenseLayer


class ReSUModule(DenseLayer):
    """A one-layer encoder as a module without parameters, equal to it bit for bit; it can be exported and traced.

    forward   (B, m, H, W) uint8 or float of grey values 0 to 255, newest frame first -> (B, D) float32
    encode    one episode (T, H, W) uint8 tensor -> (T, D) float32, as `ReSUEncoder.encode`
    Raises    ValueError for an encoder that is not fitted or has layers above the first.
    """

    def __init__(self, encoder: ReSUEncoder) -> None:
        if encoder.n_layers != 1:
            raise ValueError(f"only the first layer is available in torch, not {encoder.n_layers} layers")
        super().__init__(encoder.integer_form())
