"""The shapes that stand in annotations are true: every call below is checked against them while it runs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from jaxtyping import install_import_hook

packages = ["surrogates", "through_time", "neurons", "layers", "timing"]
with install_import_hook([f"snn4.{name}" for name in packages], "beartype.beartype"):
    import snn4
    from snn4 import neurons, nn, surrogates, timing

import torch

image = torch.rand(5, 2, 3, 8, 8)
flat = torch.rand(5, 2, 6)
for name in neurons.__all__:
    member = getattr(neurons, name)
    if name in ("IF", "LI", "LIF", "CubaLIF", "plif"):
        for x in (flat, image, flat.double()):
            assert member()(x).shape == x.shape
for name in surrogates.__all__:
    if name not in ("Surrogate", "TemperatureSearch", "anneal", "search_temperature"):
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

sent = torch.rand(2, 6, 3).sort(-1).values
for method in ("analytic", "eventprop", "two_stage"):
    layer = timing.LIF(6, 4, snn4.Learned(1.0), method=method, delay=snn4.Learned(0.1, (4, 6)))
    fired = layer.fired(sent, want_max=True)
    (fired.times[fired.exists].sum() + fired.v_max.sum()).backward()
for layer in (timing.LIF(6, 4), timing.Readout(6, 4), timing.MaxOverTime(6, 4)):
    out = layer(sent)
    assert out.shape[:2] == (2, 4)
assert timing.FirstSpike()(sent).shape == timing.SpikeCount()(sent).shape == (2, 6)
assert timing.from_grid(timing.render(sent, 5, 1.0), 1.0).shape[:2] == (2, 6)
maps = torch.rand(2, 3, 8, 8, 1)
assert timing.MergePool2d(2)(timing.Conv2d(3, 4, 3, 2, 1, max_spikes=2)(maps)).shape == (2, 4, 2, 2, 8)
constants = timing.Constants(1.0, 0.2, 1.0)
assert timing.trajectory(sent, torch.rand(4, 6), constants, torch.rand(9)).v.shape == (2, 4, 9)
assert timing.integrated_potential(sent, torch.rand(4, 6), constants, 1.0).shape == (2, 4)

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
