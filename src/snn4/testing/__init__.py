"""Floor 8: the laws that every member keeps, ours and yours.

A neuron or a surrogate of yours is judged as ours are:

    class MyNeuron(snn4.Neuron): ...
    print(snn4.testing.check_neuron(MyNeuron()))        # raises LawError, naming every law that is broken
"""

from __future__ import annotations

from snn4.testing.judge import Law, LawError, LawReport
from snn4.testing.neurons import check_neuron
from snn4.testing.routes import check_route
from snn4.testing.surrogates import check_surrogate

__all__ = ["Law", "LawError", "LawReport", "check_neuron", "check_route", "check_surrogate"]
