"""Floor 6: networks, one family a file, and by name."""

from __future__ import annotations

from snn4.models.conv_net import conv_net
from snn4.models.lsnn import NoSelf, Populations, lsnn
from snn4.models.mlp import mlp
from snn4.models.ms_resnet import MSBlock, ms_resnet18, ms_resnet34, ms_resnet_small
from snn4.models.plif_net import Vote, plif_net
from snn4.models.preact_resnet import PreActBlock, preact_resnet18
from snn4.models.registry import builder, create, names, register
from snn4.models.sew_resnet import SEWBlock, sew_resnet18, sew_resnet34, sew_resnet50
from snn4.models.spiking_resnet import BasicBlock, resnet19, resnet20, spiking_resnet18, spiking_resnet34
from snn4.models.srnn import srnn
from snn4.models.timing_net import Delays, Firing, timing_conv_net, timing_mlp
from snn4.models.vgg_snn import vgg_snn

__all__ = [
    "BasicBlock",
    "Delays",
    "Firing",
    "MSBlock",
    "NoSelf",
    "Populations",
    "PreActBlock",
    "SEWBlock",
    "Vote",
    "builder",
    "conv_net",
    "create",
    "lsnn",
    "mlp",
    "ms_resnet18",
    "ms_resnet34",
    "ms_resnet_small",
    "names",
    "plif_net",
    "preact_resnet18",
    "register",
    "resnet19",
    "resnet20",
    "sew_resnet18",
    "sew_resnet34",
    "sew_resnet50",
    "spiking_resnet18",
    "spiking_resnet34",
    "srnn",
    "timing_conv_net",
    "timing_mlp",
    "vgg_snn",
]
