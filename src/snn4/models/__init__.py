"""Floor 6: networks, one family a file, and by name."""

from __future__ import annotations

from snn4.models.conv_net import conv_net
from snn4.models.mlp import mlp
from snn4.models.registry import create, names, register
from snn4.models.timing_net import Firing, timing_conv_net, timing_mlp

__all__ = ["Firing", "conv_net", "create", "mlp", "names", "register", "timing_conv_net", "timing_mlp"]
