"""Online training: the gradient of each step, memory, counts, and the ordinary loop."""

from __future__ import annotations

import contextlib
import copy
import dataclasses

import pytest
import torch

from snn4 import BPTT, OTTT, SLTT, EProp, OptionError, ShapeError, nn, use_route
from snn4.data import Split
from snn4.objectives import tet
from snn4.training import FitConfig, Task, fit, online
from snn4.training.recording import recorded_rates, recorded_spikes

CROSS_ENTROPY = torch.nn.functional.cross_entropy


def make(*, tau=2.0, seed=0, double=True):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(nn.Linear(4, 8), nn.LIF(tau=tau), nn.Linear(8, 6), nn.LIF(tau=tau), nn.Linear(6, 3))
    with torch.no_grad():
        # so that every layer fires
        for layer in (net[0], net[2]):
            layer.weight.mul_(3)
    return net.double() if double else net


def batch(steps=6):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(steps, 5, 4, generator=draw, dtype=torch.float64) * 2, torch.randint(3, (5,), generator=draw)


def gradients(net):
    return [p.grad for p in net.parameters()]


@pytest.mark.parametrize("route", [SLTT(), OTTT(), OTTT(first="trace", readout="input", decay=0.3)])
def test_it_adds_up_what_one_backward_pass_layer_by_layer_gives(route):
    xs, targets = batch()
    one, other = use_route(make(), route), use_route(make(), route)
    steps = online(one, xs, lambda y: CROSS_ENTROPY(y[0], targets))
    ys = other(xs)
    loss = torch.stack([CROSS_ENTROPY(y, targets) for y in ys]).mean()
    loss.backward()
    assert torch.allclose(steps.outputs, ys, rtol=1e-12)
    assert steps.loss.item() == pytest.approx(loss.item(), rel=1e-12)
    assert steps.backward == 6
    assert all(grad.any() for grad in gradients(one))
    assert not steps.outputs.requires_grad
    for mine, theirs in zip(gradients(one), gradients(other), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-14)


def test_of_k_steps_k_send_a_gradient_and_k_equal_to_t_is_all():
    xs, targets = batch()

    def loss(y):
        return CROSS_ENTROPY(y[0], targets)

    everything, all_of_k = use_route(make(), SLTT()), use_route(make(), SLTT(k=6))
    online(everything, xs, loss)
    steps = online(all_of_k, xs, loss, generator=torch.Generator().manual_seed(3))
    assert steps.backward == 6
    for mine, theirs in zip(gradients(all_of_k), gradients(everything), strict=True):
        assert torch.equal(mine, theirs)

    # two of six steps: the gradient of these two alone, worked out layer by layer with the other losses left out
    draw = torch.Generator().manual_seed(4)
    chosen = torch.randperm(6, generator=torch.Generator().manual_seed(4))[:2].tolist()
    some, reference = use_route(make(), SLTT(k=2)), use_route(make(), SLTT())
    steps = online(some, xs, loss, generator=draw)
    assert steps.backward == 2
    ys = reference(xs)
    (sum(CROSS_ENTROPY(ys[t], targets) for t in chosen) / 6).backward()
    for mine, theirs in zip(gradients(some), gradients(reference), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-14)
    # another batch, another choice
    assert torch.randperm(6, generator=draw)[:2].tolist() != chosen


class Alive:
    """The most bytes that autograd holds for backward at one time."""

    def __init__(self):
        self.now = self.most = 0

    def __enter__(self):
        alive = self

        class Held:
            def __init__(self, tensor):
                self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
                alive.now += self.size
                alive.most = max(alive.most, alive.now)

            def __del__(self):
                alive.now -= self.size

        self.hooks = torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error):
        self.hooks.__exit__(*error)


@pytest.mark.parametrize("route", [SLTT(), OTTT(), EProp()])
def test_what_is_kept_for_the_gradient_does_not_grow_with_time(route):
    most = {}
    for steps in (2, 8, 32):
        xs, targets = batch(steps)
        net = use_route(make(), route)
        with Alive() as alive:
            online(net, xs, lambda y, targets=targets: CROSS_ENTROPY(y[0], targets))
        most[steps] = alive.most
        assert alive.now == 0
    assert most[2] == most[8] == most[32] > 0
    if route.online == "only":
        return
    # layer by layer it does
    whole = {}
    for steps in (2, 32):
        xs, targets = batch(steps)
        with Alive() as alive:
            use_route(make(), route)(xs).sum().backward()
        whole[steps] = alive.most
    assert whole[32] > 8 * whole[2]


def test_a_stream_goes_on_where_it_stopped():
    xs, targets = batch()

    def loss(y):
        return CROSS_ENTROPY(y[0], targets)

    for route in (SLTT(), OTTT()):
        one, other = use_route(make(), route), use_route(make(), route)
        whole = online(one, xs, loss)
        first = online(other, xs[:2], lambda y: loss(y) * (2 / 6))
        second = online(other, xs[2:], lambda y: loss(y) * (4 / 6), state=first.state)
        assert torch.equal(torch.cat([first.outputs, second.outputs]), whole.outputs)
        for mine, theirs in zip(gradients(other), gradients(one), strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-14)
        assert whole.state.keys() == second.state.keys()
        assert all(not t.requires_grad for entry in second.state.values() for t in entry)


def test_batch_norm_sees_each_step_by_itself():
    xs, targets = batch(3)
    net = use_route(torch.nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LIF(), nn.Linear(6, 3)).double(), SLTT())
    with torch.no_grad():
        currents = net[0](xs)
    expected_mean, expected_var = torch.zeros(6).double(), torch.ones(6).double()
    for current in currents:
        expected_mean = 0.9 * expected_mean + 0.1 * current.mean(0)
        expected_var = 0.9 * expected_var + 0.1 * current.var(0)
    online(net, xs, lambda y: CROSS_ENTROPY(y[0], targets))
    assert torch.allclose(net[1].running_mean, expected_mean)
    assert torch.allclose(net[1].running_var, expected_var)


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (nn.TdBN1d(3), r"5 \(TdBN1d\): its statistics are taken over time"),
        (nn.Hold(2), r"5 \(Hold\): it makes several steps of one"),
        (nn.MeanOverTime(), r"5 \(MeanOverTime\): it answers once a sequence"),
        (nn.PSN(steps=6), r"5 \(PSN\)"),
    ],
)
def test_what_cannot_run_step_by_step_is_refused_by_name(member, says):
    xs, targets = batch()
    net = make()
    net.append(member.double())
    with pytest.raises(OptionError, match=says):
        online(use_route(net, SLTT()), xs, lambda y: CROSS_ENTROPY(y[0], targets))


def test_routes_and_options_that_do_not_go_together():
    xs, targets = batch()

    def loss(y):
        return CROSS_ENTROPY(y[0], targets)

    with pytest.raises(OptionError, match="needs the whole sequence"):
        online(make(), xs, loss)
    net = make()
    net[1].route = SLTT()
    with pytest.raises(OptionError, match="one route for all neurons"):
        online(net, xs, loss)
    with pytest.raises(OptionError, match="without a generator"):
        online(use_route(make(), SLTT(k=2)), xs, loss)
    with pytest.raises(OptionError, match="k <= 6"):
        online(use_route(make(), SLTT(k=7)), xs, loss, generator=torch.Generator())
    with pytest.raises(ShapeError, match="answer at every step"):
        online(use_route(torch.nn.Sequential(make(), Drop()), SLTT()), xs, loss)


class Drop(torch.nn.Module):
    def forward(self, xs):
        return xs[-1]


TASK = Task(lambda x, _: x.expand(4, *x.shape), lambda ys: ys.mean(0), CROSS_ENTROPY)


def splits():
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 4, generator=draw) * 2
    return Split(inputs[:32], inputs[:32, :3].argmax(1)), Split(inputs[32:], inputs[32:, :3].argmax(1))


def quiet(net, task, config, seed=0):
    return fit(net, task, *splits(), config, seed=seed, progress=False, log=lambda text: None)


@pytest.mark.parametrize("mode", ["batch", "step"])
def test_fit_is_the_loop_that_one_writes_by_hand(mode):
    net = use_route(make(tau=1.1, double=False), OTTT())
    other = copy.deepcopy(net)
    config = FitConfig(
        epochs=1, batch_size=16, optimiser="sgd", learning_rate=0.1, schedule="constant", weight_decay=0, online=mode
    )
    quiet(net, TASK, config, seed=7)
    from snn4.data import order

    optimiser = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    train, _ = splits()
    from snn4 import run

    for chosen in order(32, 7, 0).split(16):
        state = None
        optimiser.zero_grad()
        for _ in range(4):
            y, state = run(other, train.inputs[chosen][None], state)
            state = state.detach()
            (CROSS_ENTROPY(y[0], train.targets[chosen]) / 4).backward()
            if mode == "step":
                torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
        if mode == "batch":
            torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            optimiser.step()
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_fit_learns_online_and_chooses_the_same_steps_for_the_same_seed():
    task = Task(TASK.encode, TASK.readout, TASK.loss, objective=tet)
    ends = []
    for seed in (1, 1, 2):
        net = use_route(make(tau=1.1, double=False), SLTT(k=2))
        fitted = quiet(net, task, FitConfig(epochs=5, batch_size=16, learning_rate=0.05, online="batch"), seed=seed)
        ends.append(net[0].weight.detach().clone())
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_fit_learns_with_eligibilities_and_validates_layer_by_layer():
    net = use_route(make(double=False), EProp())
    fitted = quiet(net, TASK, FitConfig(epochs=5, batch_size=16, learning_rate=0.05, online="batch"))
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]


def test_under_autocast_the_gradients_are_near_those_of_float32():
    xs, targets = batch()
    for route in (SLTT(), OTTT(), EProp()):
        found = []
        for autocast in (False, True):
            net = use_route(make(tau=1.1, double=False), route)
            steps = online(net, xs.float(), lambda y: CROSS_ENTROPY(y[0], targets), autocast=autocast)
            assert steps.outputs.dtype == torch.float32
            found.append(net[4].weight.grad)
        assert (found[0] - found[1]).abs().max() < 0.1 * found[0].abs().max()


def test_fit_refuses_what_does_not_go_together():
    with pytest.raises(OptionError, match="a loss at every step"):
        quiet(use_route(make(double=False), SLTT(k=2)), TASK, FitConfig(epochs=1))
    with pytest.raises(OptionError, match=r"BPTT\(truncate=None\), whose gradient needs the whole sequence"):
        quiet(use_route(make(double=False), BPTT()), TASK, FitConfig(epochs=1, online="batch"))
    with pytest.raises(OptionError, match="online 'no', 'batch' or 'step'"):
        FitConfig(online="yes")


CLASSES = torch.tensor([[0, -1, 2, -1, 1, 1], [-1, -1, 0, -1, 2, -1], [1, -1, -1, -1, 0, 2], [2, -1, 1, -1, -1, 0]])


def fitted(route, how, task, split):
    """The weights after one step of plain gradient descent on the whole split, in float64."""
    net = use_route(make(), route)
    config = FitConfig(epochs=1, batch_size=len(split), optimiser="sgd", momentum=0, weight_decay=0, clip_norm=None)
    config = dataclasses.replace(config, schedule="constant", learning_rate=1.0, online=how, alarms=False)
    fit(net, task, split, split, config, seed=0, progress=False)
    return [p.detach() for p in net.parameters()]


def by_step(readout=lambda ys: ys):
    encoded = torch.randn(6, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2
    # the samples come shuffled, and so does what is encoded of them
    return Split(encoded.transpose(0, 1), CLASSES), Task(lambda x, _: x.transpose(0, 1), readout, CROSS_ENTROPY)


@pytest.mark.parametrize("route", [SLTT(), OTTT(first="trace", readout="input")])
def test_a_class_a_step_weighs_as_much_as_layer_by_layer(route):
    split, task = by_step()
    for mine, theirs in zip(fitted(route, "batch", task, split), fitted(route, "no", task, split), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-13)


def test_a_step_without_a_label_sends_nothing_back():
    xs, _ = batch()
    net, calls = use_route(make(), SLTT()), []

    def loss(y, classes):
        calls.append(classes.tolist())
        known = classes >= 0
        return CROSS_ENTROPY(y[0][known], classes[known]) if known.any() else None

    steps = online(net, xs[:, :4], loss, targets=CLASSES.T)
    assert (len(calls), steps.backward) == (6, 4)
    with pytest.raises(ShapeError, match="for 6 steps"):
        online(net, xs[:, :4], loss, targets=CLASSES)
    nothing = online(net, xs, lambda y: None)
    assert (nothing.backward, nothing.loss.item(), nothing.outputs.shape) == (0, 0.0, (6, 5, 3))


def test_penalties_linear_in_spikes_and_terms_of_weights_are_those_of_the_whole_sequence():
    split, task = by_step()

    def penalty(spikes):
        return sum((s.mean() for s in spikes.values()), torch.zeros(()))

    @contextlib.contextmanager
    def regulariser(net):
        yield lambda: net[0].weight.square().sum()

    plain = fitted(SLTT(), "batch", task, split)
    for added in ({"penalty": penalty}, {"regulariser": regulariser}, {"penalty": penalty, "regulariser": regulariser}):
        costly = dataclasses.replace(task, **added)
        one, other = (fitted(SLTT(), how, costly, split) for how in ("batch", "no"))
        assert not torch.equal(one[0], plain[0])
        for mine, theirs in zip(one, other, strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("mode", ["batch", "step"])
def test_a_batch_without_a_label_changes_nothing(mode):
    split, task = by_step()
    silent = torch.cat([torch.full((4, 6), -1), CLASSES])
    both = Split(torch.cat([split.inputs, split.inputs]), silent)
    net = use_route(make(), SLTT())
    fit(net, task, both, both, FitConfig(epochs=1, batch_size=1, online=mode, alarms=False), seed=0, progress=False)
    assert all(p.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("mode", ["batch", "step"])
def test_a_gradient_that_is_not_finite_is_found(mode):
    from snn4 import NotFiniteError

    task = Task(TASK.encode, TASK.readout, lambda y, t: CROSS_ENTROPY(y, t) * float("inf"))
    with pytest.raises(NotFiniteError, match="is NaN or infinite"):
        quiet(use_route(make(double=False), SLTT()), task, FitConfig(epochs=1, online=mode))


def test_after_step_follows_each_step_of_the_optimiser():
    split = Split(torch.randn(12, 4), torch.arange(12) % 3)
    for mode, calls in (("batch", 3), ("step", 3 * 5)):
        seen = []
        task = Task(lambda x, _: x.expand(5, *x.shape), lambda ys: ys.mean(0), CROSS_ENTROPY, after_step=seen.append)
        net = use_route(make(double=False), SLTT())
        fitted = fit(net, task, split, split, FitConfig(1, 4, online=mode), seed=0, progress=False)
        assert (len(seen), fitted.steps) == (calls, 3)


def test_alarms_keep_no_spikes():
    """The rates are those of all steps; the watched first batch of an epoch keeps one step like any other."""
    split = Split(torch.randn(4, 4), torch.arange(4) % 3)
    most = {}
    for steps in (2, 32):
        task = Task(lambda x, _, steps=steps: x.expand(steps, *x.shape), lambda ys: ys.mean(0), CROSS_ENTROPY)
        with Alive() as alive:
            fit(
                use_route(make(double=False), SLTT()),
                task,
                split,
                split,
                FitConfig(1, 4, online="batch"),
                seed=0,
                progress=False,
            )
        most[steps] = alive.most
    assert most[2] == most[32] > 0
    net = make()
    xs, _ = batch()
    with recorded_rates(net) as rates, recorded_spikes(net) as spikes:
        for x in xs.split(2):
            net(x)
    assert dict(rates).keys() == dict(spikes).keys() == {"1", "3"}
    assert all(rates[path].item() == pytest.approx(spikes[path].mean().item(), rel=1e-12) for path in rates)


def test_without_gradients_it_says_what_to_do():
    xs, _ = batch()
    net = use_route(make(), SLTT())
    with torch.no_grad():
        with pytest.raises(OptionError, match="backward=False"):
            online(net, xs, lambda y: y.sum())
        assert online(net, xs, lambda y: y.sum(), backward=False).outputs.shape == (6, 5, 3)
