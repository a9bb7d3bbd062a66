from __future__ import annotations

import pytest
import torch

from snn4.core.errors import NotFiniteError, OptionError, ShapeError
from snn4.data import Split
from snn4.training import Task, evaluate


def voter(ys):
    return ys.sum(0)


def test_all_numbers_on_a_hand_worked_split():
    # three classes, two steps: the outputs are the samples themselves
    steps = torch.tensor(
        [
            [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0]],
            [[3.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 5.0, 0.0]],
        ]
    )
    split = Split(torch.arange(4.0)[:, None], torch.tensor([0, 0, 2, 2]))
    task = Task(lambda x, _: steps[:, x[:, 0].long()], voter, torch.nn.functional.cross_entropy)
    for batch_size in (1, 3, 4, 100):
        found = evaluate(torch.nn.Identity(), task, split, batch_size)
        assert found.predictions.tolist() == [0, 0, 2, 1]
        assert found.accuracy == 0.75
        assert found.accuracy_by_step == [0.75, 0.75]
        assert found.confusion.tolist() == [[2, 0, 0], [0, 0, 0], [0, 1, 1]]
        assert found.confusion.dtype == torch.int64
        expected = torch.nn.functional.cross_entropy(steps.sum(0), split.targets).item()
        assert found.loss == pytest.approx(expected, rel=1e-6)


def test_accuracy_by_step_reads_out_the_first_steps():
    steps = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]], [[9.0, 0.0]]])
    split = Split(torch.zeros(1, 1), torch.tensor([0]))
    task = Task(lambda x, _: steps, voter, torch.nn.functional.cross_entropy)
    assert evaluate(torch.nn.Identity(), task, split).accuracy_by_step == [1.0, 0.0, 1.0]


def test_nothing_is_changed(net, task, split):
    net.train()
    net[1].eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    random = torch.get_rng_state()
    net.insert(3, torch.nn.Dropout(0.5))
    evaluate(net, task, split)
    assert [module.training for module in net] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in net.parameters())
    for name, tensor in before.items():
        assert torch.equal(net.state_dict()[name.replace("3.", "4.")], tensor)


def test_random_encoders_draw_from_the_seed(make_net, split):
    net = make_net()
    task = Task(
        lambda x, g: torch.rand(3, *x.shape, generator=g), lambda ys: ys.mean(0), torch.nn.functional.cross_entropy
    )
    assert evaluate(net, task, split, seed=1).loss == evaluate(net, task, split, seed=1).loss
    assert evaluate(net, task, split, seed=1).loss != evaluate(net, task, split, seed=2).loss


def test_a_network_that_draws_global_numbers_is_measured_alike_each_time(make_net, task, split):
    class Noise(torch.nn.Module):
        def forward(self, xs):
            return xs + torch.rand_like(xs)

    net = make_net(Noise())
    before = torch.get_rng_state()
    losses = [evaluate(net, task, split, seed=seed).loss for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert losses[0] == losses[1] != losses[2]


def test_wrong_arguments_are_told(net, task, split):
    with pytest.raises(OptionError, match="empty split"):
        evaluate(net, task, split.take([]))
    with pytest.raises(OptionError, match="batch_size=0"):
        evaluate(net, task, split, 0)
    cross_entropy = torch.nn.functional.cross_entropy
    with pytest.raises(ShapeError, match="T >= 1"):
        evaluate(torch.nn.Identity(), Task(lambda x, _: x[None][:0], voter, cross_entropy), split)
    with pytest.raises(ShapeError, match=r"answers of shape \(3, 30, 3\)"):
        evaluate(net, Task(task.encode, lambda ys: ys, cross_entropy), split)
    with pytest.raises(ShapeError, match="from 0 to 7: expected classes from 0 to 2"):
        evaluate(net, task, Split(split.inputs, torch.arange(30) % 8))


def test_a_network_that_is_not_finite_is_told(net, task, split):
    net[3].bias.data[1] = float("nan")
    with pytest.raises(NotFiniteError, match="the loss over 30 samples is nan"):
        evaluate(net, task, split)


def test_it_can_be_stopped_between_batches(net, task, split):
    seen = []

    def stop():
        seen.append(1)
        if len(seen) == 2:
            raise InterruptedError

    net.train()
    with pytest.raises(InterruptedError):
        evaluate(net, task, split, 10, after_batch=stop)
    assert net.training
