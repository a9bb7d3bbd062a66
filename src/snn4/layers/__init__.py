"""Floor 5: what snn4.nn adds to torch.nn."""

from __future__ import annotations

from snn4.layers.bntt import BNTT1d, BNTT2d
from snn4.layers.dendritic_linear import DendriticLinear
from snn4.layers.dropout import Dropout, Dropout2d
from snn4.layers.folded import Fold
from snn4.layers.fused import Fused, fuse
from snn4.layers.hold import Hold
from snn4.layers.linear_layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    Linear,
    PReLU,
    use_events,
    use_product,
)
from snn4.layers.loop import Loop, Recurrent
from snn4.layers.memory import use_memory
from snn4.layers.norms import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm,
    RMSNorm,
    SyncBatchNorm,
)
from snn4.layers.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    Flatten,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    PixelShuffle,
    PixelUnshuffle,
    Unflatten,
    Upsample,
    ZeroPad2d,
)
from snn4.layers.readouts import LastStep, MaxOverTime, MeanOverTime
from snn4.layers.spiking_twin import SpikingTwin, integer_levels
from snn4.layers.standardised import standardised
from snn4.layers.tdbn import TdBN1d, TdBN2d
from snn4.layers.tebn import TEBN1d, TEBN2d

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BNTT1d",
    "BNTT2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DendriticLinear",
    "Dropout",
    "Dropout2d",
    "Flatten",
    "Fold",
    "Fused",
    "GroupNorm",
    "Hold",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LastStep",
    "LayerNorm",
    "Linear",
    "Loop",
    "MaxOverTime",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MeanOverTime",
    "PReLU",
    "PixelShuffle",
    "PixelUnshuffle",
    "RMSNorm",
    "Recurrent",
    "SpikingTwin",
    "SyncBatchNorm",
    "TEBN1d",
    "TEBN2d",
    "TdBN1d",
    "TdBN2d",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
    "fuse",
    "integer_levels",
    "standardised",
    "use_events",
    "use_memory",
    "use_product",
]
