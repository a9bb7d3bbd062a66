"""A class a step, with steps that have none."""

from __future__ import annotations

import math

import pytest
import torch

from snn4.core.errors import ShapeError
from snn4.data import Split, hold_out
from snn4.objectives import cross_entropy
from snn4.training import FitConfig, Task, evaluate, fit

# (N, T): the second sample starts without a label, the third has none at all
TARGETS = torch.tensor([[0, 1, 1], [-1, 0, -1], [-1, -1, -1]])
# (N, T, C): the outputs of the network are its inputs
OUTPUTS = torch.tensor(
    [
        [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]],
        [[9.0, 0.0], [0.0, 0.0], [0.0, 9.0]],
        [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
    ]
)
TASK = Task(lambda x, _: x.transpose(0, 1), lambda ys: ys, cross_entropy)


def quiet(net, task, train, val, config):
    return fit(net, task, train, val, config, seed=0, progress=False, log=lambda _: None)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_all_numbers_on_a_hand_worked_split(batch_size):
    found = evaluate(torch.nn.Identity(), TASK, Split(OUTPUTS, TARGETS), batch_size)
    # right, wrong, right, and right by the first of two equal outputs
    assert found.accuracy == 3 / 4
    # one label at the first step, three at the first two, four in all
    assert found.accuracy_by_step == pytest.approx([1.0, 2 / 3, 3 / 4])
    assert found.predictions.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 1]]
    assert found.confusion.tolist() == [[2, 0], [1, 1]]
    sure, wrong, half = math.log1p(math.exp(-2)), math.log1p(math.exp(2)), math.log(2)
    assert found.loss == pytest.approx((sure + wrong + sure + half) / 4, rel=1e-6)


def test_before_the_first_label_the_accuracy_is_zero():
    split = Split(OUTPUTS[1:2], TARGETS[1:2])
    assert evaluate(torch.nn.Identity(), TASK, split).accuracy_by_step == [0.0, 1.0, 1.0]


def test_training_sees_labelled_steps_only(membrane):
    """One step of gradient descent, against the loss over labelled steps worked out beside it."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), membrane())
    weight, bias = (p.detach().clone().requires_grad_() for p in net[0].parameters())
    sums = (OUTPUTS @ weight.T + bias).cumsum(1)
    picked = [(n, t) for n in range(3) for t in range(3) if TARGETS[n, t] >= 0]
    loss = -sum(sums[n, t].log_softmax(0)[TARGETS[n, t]] for n, t in picked) / len(picked)
    loss.backward()
    split = Split(OUTPUTS, TARGETS)
    config = FitConfig(
        epochs=1, batch_size=3, optimiser="sgd", learning_rate=0.1, momentum=0, weight_decay=0, clip_norm=None
    )
    fitted = quiet(net, TASK, split, split, config)
    assert torch.allclose(net[0].weight, weight - 0.1 * weight.grad, atol=1e-6)
    assert torch.allclose(net[0].bias, bias - 0.1 * bias.grad, atol=1e-6)
    assert fitted.history[0]["train_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_a_batch_without_a_label_counts_for_nothing(membrane):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), membrane())
    before = net[0].weight.detach().clone()
    # one of two batches has no label
    split = Split(OUTPUTS[1:], TARGETS[1:])
    alone = Split(OUTPUTS[2:], TARGETS[2:])
    config = FitConfig(epochs=1, batch_size=1, optimiser="sgd", learning_rate=0.1, momentum=0, weight_decay=0)
    fitted = quiet(net, TASK, split, split, config)
    assert math.isfinite(fitted.history[0]["train_loss"])
    assert not torch.equal(net[0].weight, before)
    with pytest.raises(ShapeError, match="from -1 to -1"):
        evaluate(net, TASK, alone)


def test_it_learns_to_remember_the_last_spike(make_net, leaky):
    """Labels say which of two inputs spiked last; nothing is asked before any has."""
    generator = torch.Generator().manual_seed(0)
    spikes = torch.zeros(80, 8, 2)
    which = torch.randint(3, (80, 8), generator=generator)
    targets = torch.full((80, 8), -1)
    for n in range(80):
        last = -1
        for t in range(8):
            if which[n, t] < 2:
                last = int(which[n, t])
                spikes[n, t, last] = 1.0
            targets[n, t] = last
    train, val = hold_out(Split(spikes, targets), 0.25, seed=0)
    assert (len(train), len(val)) == (60, 20)

    net = torch.nn.RNN(2, 8, nonlinearity="tanh")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.out = net, torch.nn.Linear(8, 2)

        def forward(self, xs):
            return self.out(self.rnn(xs)[0])

    torch.manual_seed(0)
    fitted = quiet(Net(), TASK, train, val, FitConfig(epochs=30, batch_size=20, learning_rate=0.03, alarms=False))
    assert fitted.val_accuracy > 0.95


@pytest.mark.parametrize(
    ("readout", "targets", "says"),
    [
        (lambda ys: ys.mean(0), TARGETS, r"answers of shape \(3, 2\).*\(3, 3, classes\), since each of 3 steps"),
        (lambda ys: ys[1:], TARGETS, r"answers of shape \(2, 3, 2\)"),
        (lambda ys: ys, TARGETS[:, 0].clamp(min=0), r"answers of shape \(3, 3, 2\).*\(3, classes\)"),
        (lambda ys: ys, TARGETS - 1, "from -2 to 0"),
        (lambda ys: ys, TARGETS + 1, "from 0 to 2: expected classes from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_told(readout, targets, says):
    with pytest.raises(ShapeError, match=says):
        evaluate(torch.nn.Identity(), Task(TASK.encode, readout, cross_entropy), Split(OUTPUTS, targets))
