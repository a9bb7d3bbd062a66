"""Draws the pictures of the page on exact spike times: python docs/pictures/spike_times.py"""

from __future__ import annotations

from pathlib import Path

import torch

from snn4.timing import Constants, spike_times, trajectory
from snn4.timing.psp import psp
from snn4.view import pictures
from snn4.view.pictures.canvas import figure

HERE = Path(__file__).resolve().parent
INPUTS = torch.tensor([0.02, 0.1, 0.16, 0.3, 0.42, 0.5, 0.55])
WEIGHTS = torch.tensor([[4.0, 3.5, 5.0, -2.5, 4.5, 6.0, -3.0]])
CASES = {
    "tau_v = 1, tau_i = 0.5": (1.0, 0.5),
    "tau_v = tau_i = 0.5": (0.5, 0.5),
    "no leak, tau_i = 0.5": (float("inf"), 0.5),
    "tau_v = 1, step current": (1.0, float("inf")),
    "neither decays": (float("inf"), float("inf")),
}


def main() -> None:
    """Write one SVG: the answers to a single spike, and a neuron that fires several times."""
    drawing = figure(8.2, 2.9)
    left, right = drawing.subplots(1, 2)
    time = torch.linspace(0.0, 1.0, 200)
    answers = torch.stack([psp(time, 1 / tau_v, 1 / tau_i) for tau_v, tau_i in CASES.values()], 1)
    pictures.potentials(time, answers, names=list(CASES), ax=left, title="Potential after one spike of weight 1")
    left.get_legend().set_title(None)
    left.legend(list(CASES), frameon=False, fontsize=7)
    constants = Constants(0.8, 0.2, 1.0)
    fired = spike_times(INPUTS[None, :, None], WEIGHTS, tau_v=0.8, tau_i=0.2, max_spikes=8).times
    own = fired[0, 0][torch.isfinite(fired[0, 0])]
    moments = torch.cat([time, own - 1e-6, own + 1e-6, INPUTS + 1e-6]).clamp(0.0, 1.0).sort().values
    course = trajectory(INPUTS[None, :, None], WEIGHTS, constants, moments, fired)
    pictures.potential(
        moments,
        course.v[0, 0],
        current=course.i[0, 0],
        threshold=1.0,
        spikes=own,
        ax=right,
        title="A neuron that fires several times",
    )
    drawing.savefig(HERE / "spike-times.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
