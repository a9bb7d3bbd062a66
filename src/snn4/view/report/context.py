"""What every section of the report is given: the run, the language, and the numbers as text."""

from __future__ import annotations

from dataclasses import dataclass

from snn4.view import units
from snn4.view.report.html import Html, data, join
from snn4.view.report.run_folder import Model, Range, Run
from snn4.view.texts import Texts

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """A run in one language."""

    run: Run
    texts: Texts

    @property
    def snn(self) -> Model:
        """The network that everything is about."""
        return self.run.models["snn"]

    def name(self, model: Model | str) -> str:
        """What a network is called."""
        names = {
            "snn": self.texts.names.snn,
            "ann": self.texts.names.ann,
            "ann_quantised": self.texts.names.ann_quantised,
        }
        return names[model if isinstance(model, str) else model.key]

    def opponent_name(self, model: Model) -> str:
        """What the opponent is called where floating point and quantised must not be mixed up."""
        return self.texts.names.ann_float if model.key == "ann" else self.name(model)

    def steps(self) -> str:
        """How many time steps the SNN takes, or that it has none."""
        if self.snn.event_driven:
            return self.texts.names.no_steps
        steps = self.snn.steps or self.run.steps
        return self.texts.names.steps.format(steps=units.count(steps) if steps else "?")

    def share(self, value: float) -> str:
        """An accuracy."""
        return units.percent(value, self.run.test)

    def range(self, value: Range) -> str:
        """A range of energies."""
        return _kept(units.energy_range(value.low, value.high, self.texts.page.dash))

    def latency(self, milliseconds: float) -> str:
        """The time for one sample."""
        return _kept(units.milliseconds(milliseconds))

    def duration(self, seconds: float) -> str:
        """A length of time for people."""
        page = self.texts.page
        if seconds < 100:
            return page.seconds.format(seconds=units.amount(seconds))
        minutes, rest = divmod(round(seconds), 60)
        if minutes < 60:
            return page.minutes.format(minutes=minutes, seconds=rest)
        return page.hours.format(hours=minutes // 60, minutes=minutes % 60)

    def sentences(self, *parts: str | None) -> str:
        """Sentences behind each other, as the language sets them."""
        return self.texts.page.between_sentences.join(part for part in parts if part)

    def energy_cell(self, value: Range) -> Html:
        """A range whose exact ends stay readable for machines."""
        text = self.range(value)
        if value.low == value.high:
            return data(value.low, text)
        low, dash, high = text.partition(self.texts.page.dash)
        return join([data(value.low, low), dash, data(value.high, high)]) if dash else data(value.high, text)


def _kept(text: str) -> str:
    """A number that is not parted from its unit at the end of a line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
