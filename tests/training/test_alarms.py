from __future__ import annotations

import dataclasses

import pytest
import torch

from snn4.core.errors import NotFiniteError
from snn4.training import FitConfig, check_rates, find_non_finite, fit, recorded_spikes, tensorfile

CONFIG = FitConfig(epochs=3, batch_size=10)


class Break(torch.nn.Module):
    """Passes its input on until it is told to break the output or the gradient."""

    def __init__(self, part, value, after=0):
        super().__init__()
        self.part, self.value, self.after, self.calls = part, value, after, 0

    def forward(self, xs):
        if not self.training:
            return xs
        self.calls += 1
        if self.calls <= self.after:
            return xs
        if self.part == "output":
            return xs + torch.where(torch.arange(xs.shape[-1]) == 1, self.value, 0.0)
        return Scaled.apply(xs, self.value)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, xs, value):
        ctx.value = value
        return xs.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.value, None


def find(net, loss=torch.sum, xs=None):
    xs = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)) if xs is None else xs
    return find_non_finite(net, xs, lambda xs: loss(net(xs)))


def warnings(net, task, split, said, **options):
    config = dataclasses.replace(CONFIG, **options)
    fit(net, task, split, split, config, seed=0, progress=False, log=said.append)
    return said


def test_a_dead_layer_is_named_once(make_net, leaky, task, split, said):
    net = make_net(leaky(v_threshold=1e6), torch.nn.Linear(6, 6), leaky(v_threshold=0.0))
    warnings(net, task, split, said)
    dead = [text for text in said if "fired no spike" in text]
    assert len(dead) == 1
    assert "epoch 1" in dead[0]
    assert "layer '1' (Leaky)" in dead[0]
    assert "Lower its v_threshold" in dead[0]


def test_a_saturated_layer_is_named(make_net, leaky, task, split, said):
    net = make_net(torch.nn.Linear(6, 6), leaky(v_threshold=-1e6))
    warnings(net, task, split, said)
    assert len(said) == 1
    assert "layer '2' (Leaky) fired at 100.0% of all steps" in said[0]
    assert "Raise its v_threshold" in said[0]


def test_a_healthy_or_graded_layer_and_a_silenced_alarm_say_nothing(make_net, leaky, membrane, norm, task, split, said):
    warnings(make_net(norm(6), leaky(v_threshold=0.3), torch.nn.Linear(6, 6), membrane()), task, split, said)
    warnings(make_net(leaky(v_threshold=1e6)), task, split, said, alarms=False)
    assert said == []


def test_a_layer_that_dies_later_is_noticed(make_net, leaky, norm, task, split, said):
    net = make_net(norm(6), leaky(v_threshold=0.3))

    def encode(xs, generator):
        if net[1].num_batches_tracked == 3:
            net[2].v_threshold = 1e6
        return task.encode(xs, generator)

    warnings(net, dataclasses.replace(task, encode=encode), split, said)
    assert [text.startswith("Warning, epoch 2: layer '2'") for text in said] == [True]


def test_rates_of_zero_and_one_are_the_bounds(net):
    spikes = torch.zeros(10, 5, 4)
    assert [alarm.kind for alarm in check_rates(net, {"2": spikes})] == ["dead"]
    spikes[0, 0, 0] = 1
    assert check_rates(net, {"2": spikes}) == []
    assert [alarm.kind for alarm in check_rates(net, {"2": 1 - spikes})] == ["saturated"]
    spikes[:2] = 1
    assert check_rates(net, {"2": 1 - spikes}) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_layer_with_a_bad_output_is_named(make_net, leaky, value):
    net = make_net(leaky(), Break("output", value), torch.nn.Linear(6, 6))
    told = find(net)
    assert told.startswith("The output of layer '2' (Break) is the first that is not finite.")


def test_a_layer_inside_a_block_is_named_and_not_the_block(make_net):
    block = torch.nn.Sequential(torch.nn.Linear(6, 6), Break("output", float("nan")), torch.nn.Linear(6, 6))
    told = find(make_net(block))
    assert "layer '1.1' (Break)" in told


def test_a_neuron_is_one_layer(make_net, leaky):
    neuron = leaky()
    neuron.surrogate = Break("output", float("nan"))
    told = find(make_net(neuron))
    assert "layer '1' (Leaky)" in told


def test_the_code_around_the_layers_is_named(make_net):
    class Divides(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = make_net()

        def forward(self, xs):
            return self.inner(xs) / 0

    told = find(Divides())
    assert "Divides itself, outside of its layers," in told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_layer_that_breaks_the_gradient_is_named(make_net, leaky, value):
    net = make_net(leaky(), torch.nn.Linear(6, 6), Break("gradient", value), torch.nn.Linear(6, 6))
    told = find(net)
    assert told.startswith("The gradient is finite behind layer '3' (Break) and not before it.")
    assert all(p.grad is None for p in net.parameters())


def test_a_block_that_breaks_the_gradient_is_searched(make_net):
    block = torch.nn.Sequential(torch.nn.Linear(6, 6), Break("gradient", float("inf")))
    told = find(make_net(block))
    assert "layer '1.1' (Break)" in told


def test_a_weight_gradient_alone_names_its_layer():
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(1))

        def forward(self, xs):
            # finite, but the derivative of a root at zero is not
            return xs + self.scale.sqrt()

    net = torch.nn.Sequential(torch.nn.Linear(4, 4), Scale(), torch.nn.Linear(4, 3))
    assert "layer '1' (Scale)" in find(net)


def test_input_parameter_loss_and_explosion_are_told_apart(make_net):
    xs = torch.randn(3, 2, 4)
    assert "encoded input" in find(make_net(), xs=xs / 0)
    net = make_net()
    net[1].bias.data[0] = float("inf")
    assert "the parameter '1.bias'" in find(net)
    assert "the loss is not" in find(make_net(), lambda ys: ys.sum() / 0)
    told = find(make_net(), lambda ys: (ys - ys.detach()).abs().sqrt().sum())
    assert "leaves the loss" in told
    assert "the gradient explodes" in find(make_net())


@pytest.mark.parametrize(("part", "what"), [("output", "loss"), ("gradient", "gradient")])
def test_training_ends_with_the_last_good_state_saved(make_net, norm, task, split, tmp_path, part, what):
    def fresh():
        # five calls go well: the second batch of epoch 2 is left in the middle
        return make_net(norm(6), torch.nn.Dropout(0.2), Break(part, float("nan"), after=4))

    def run(net, config=CONFIG, **more):
        return fit(net, task, split, split, config, seed=0, progress=False, log=print, **more)

    net = fresh()
    with pytest.raises(NotFiniteError) as caught:
        run(net, folder=tmp_path)
    message = str(caught.value)
    assert f"the {what} of epoch 2, step 4 is NaN or infinite" in message
    assert "layer '3' (Break)" in message
    assert "The state before this step is in" in message
    tensors, about = tensorfile.read(tmp_path / "snn.checkpoint.safetensors", "checkpoint")
    assert about["course"]["step"] == 4
    assert all(torch.isfinite(tensor).all() for name, tensor in tensors.items() if not name.startswith("random"))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, tensors[f"net/{name}"])
    # the state is the one from which an undisturbed run would have gone on
    whole, healed = fresh(), fresh()
    whole[3].after = healed[3].after = 1000
    run(whole, folder=tmp_path / "whole")
    run(healed, folder=tmp_path)
    expected, _ = tensorfile.read(tmp_path / "whole" / "snn.checkpoint.safetensors", "checkpoint")
    tensors, _ = tensorfile.read(tmp_path / "snn.checkpoint.safetensors", "checkpoint")
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected[name]), name


def test_without_a_folder_the_layer_is_named_all_the_same(make_net, task, split):
    net = make_net(Break("output", float("inf"), after=1))
    with pytest.raises(NotFiniteError, match=r"epoch 1, step 1 .*layer '1' \(Break\)") as caught:
        fit(net, task, split, split, CONFIG, seed=0, progress=False)
    assert "The state before" not in str(caught.value)


def test_a_network_that_only_validates_badly_is_told(make_net, task, split):
    class OnlyInTraining(torch.nn.Module):
        def forward(self, xs):
            return xs if self.training else xs / 0

    with pytest.raises(NotFiniteError, match="after epoch 1, the loss over 30 samples is nan"):
        fit(make_net(OnlyInTraining()), task, split, split, CONFIG, seed=0, progress=False)


def test_recording_survives_an_error(net):
    with pytest.raises(ZeroDivisionError), recorded_spikes(net):
        raise ZeroDivisionError
    assert not net[2]._forward_hooks
