"""A fitted encoder as a frozen torch module, for other people's networks."""

from __future__ import annotations

from resu_conv import ReSUEncoder
from resu_torch_layers import DenseLayers


class ReSUModule(DenseLayers):
    """An encoder as a module without parameters, equal to it bit for bit; it can be exported and traced.

    forward   (B, R, H, W) uint8 or float of grey values 0 to 255, newest frame first -> (B, D) float32; R = `memory`
    encode    one episode (T, H, W) uint8 tensor -> (T, D) float32, as `ReSUEncoder.encode`
    Raises    ValueError for an encoder that is not fitted.
    """

    def __init__(self, encoder: ReSUEncoder) -> None:
        super().__init__(encoder.layers_)
