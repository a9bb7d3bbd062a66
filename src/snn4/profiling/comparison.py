"""Networks side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from snn4.core.errors import OptionError
from snn4.core.report import table
from snn4.profiling import units
from snn4.profiling.energy_models.estimate import span
from snn4.profiling.result import Profile

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """A table: one column a network. `print` it, or take `markdown()`.

    Args:
        names: of the networks.
        rows: each starts with what it tells, then one cell a network.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return table(["per sample", *self.names], self.rows)

    def markdown(self) -> str:
        """As a Markdown table."""

        def line(cells: tuple[str, ...] | list[str]) -> str:
            return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

        rule = ["---", *["---:" for _ in self.names]]
        return "\n".join([line(["per sample", *self.names]), line(rule), *(line(row) for row in self.rows)])


def compare(profiles: Mapping[str, Profile]) -> Comparison:
    """Lay profiles side by side.

    Args:
        profiles: name -> profile, in the order of the columns.

    Raises:
        OptionError: nothing to compare.

    Example:
        >>> import torch
        >>> from snn4.profiling import profile
        >>> x = torch.full((1, 1, 10), 0.5)
        >>> print(compare({"small": profile(torch.nn.Linear(10, 5), x), "large": profile(torch.nn.Linear(10, 500), x)}))
        per sample              small                large
        time steps              1                    1
        ...
    """
    if not profiles:
        raise OptionError("compare got no profile", "at least one", "Write compare({'SNN': profile(net, x)}).")
    columns = [_column(p) for p in profiles.values()]
    rows = [(label, *(column[label] for column in columns)) for label in columns[0]]
    # what no network has says nothing
    rows = [row for row in rows if any(row[1:])]
    return Comparison(tuple(profiles), tuple(rows))


def _column(profile: Profile) -> dict[str, str]:
    energy = profile.energy()
    spiking = bool(profile.spiking)
    return {
        "time steps": "none" if profile.steps is None else str(profile.steps),
        "bits (weights, activations)": f"{profile.bits.weights}, {profile.bits.activations}",
        "parameters": units.count(profile.parameters),
        "size": units.size(profile.bytes),
        "state": units.size(profile.state_bytes) if profile.state_bytes else "",
        "MAC": units.count(profile.macs),
        "AC": units.count(profile.acs),
        "if nothing were zero": units.count(profile.dense_macs),
        "MAC + AC, 95th percentile": units.count(profile.operations_p95),
        "spikes": units.count(profile.spikes) if spiking else "",
        "firing rate": units.share(profile.mean_firing_rate) if spiking else "",
        "membrane updates": units.count(profile.membrane_updates) if profile.membrane_updates else "",
        "energy, arithmetic": span(energy.compute),
        "energy, with memory": span(energy.with_memory),
    }
