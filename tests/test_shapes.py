"""The shapes that stand in annotations are true: every call below is checked against them while it runs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from jaxtyping import install_import_hook

with install_import_hook(["snn4.surrogates", "snn4.through_time", "snn4.neurons", "snn4.layers"], "beartype.beartype"):
    import snn4
    from snn4 import neurons, nn, surrogates

import torch

image = torch.rand(5, 2, 3, 8, 8)
flat = torch.rand(5, 2, 6)
for name in neurons.__all__:
    member = getattr(neurons, name)
    if name in ("IF", "LI", "LIF", "CubaLIF", "plif"):
        for x in (flat, image, flat.double()):
            assert member()(x).shape == x.shape
for name in surrogates.__all__:
    if name != "Surrogate":
        one = getattr(surrogates, name)()
        for x in (torch.zeros(()), flat):
            assert one(x).shape == one.derivative(x).shape == one.primitive(x).shape == x.shape
assert neurons.IF().transfer(flat).shape == flat.shape
net = nn.Sequential(
    nn.Conv2d(3, 4, 3), nn.TdBN2d(4), nn.Hold(2), nn.LIF(), nn.Dropout2d(0.5), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(36, 6), nn.Recurrent(nn.CubaLIF(), nn.Linear(6, 6)), nn.Dropout(0.5), nn.Linear(6, 2), nn.LI(),
)
assert net(image).shape == (10, 2, 2)
net.eval()
ys, state = snn4.run(net, image)
snn4.run(net, image[:2], state)
snn4.Stream(net)(image)
for readout in (nn.MeanOverTime(), nn.MaxOverTime(), nn.LastStep()):
    assert readout(flat).shape == (2, 6)
assert nn.Fold(torch.nn.PixelShuffle(1))(image).shape == image.shape
snn4.checkpoint(net, image).sum().backward()

# and a call that breaks them is noticed, so that this test can fail
try:
    surrogates.ATan.forward(surrogates.ATan(), torch.zeros(3, dtype=torch.int64))
except Exception as error:
    assert "Type-check error" in str(error), error
else:
    raise AssertionError("integers passed as Float")
print("checked")
"""


def test_annotated_shapes_hold():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.strip() == "checked", done.stderr[-3000:]
