from __future__ import annotations

import dataclasses
import signal
import threading

import pytest
import torch

from snn4.core.errors import OptionError
from snn4.training import FitConfig, Interrupted, OutOfTime, fit, tensorfile, time_limit
from snn4.training.interruption import StopAsked, Stopper

CONFIG = FitConfig(epochs=3, batch_size=10, learning_rate=0.05, ema=0.9)


def interrupting(net, task, training, call, number=signal.SIGINT, times=1):
    """The task, which sends a signal in the given encoding of a batch, counted from 1, in training or validation."""
    calls = 0

    def encode(xs, generator):
        nonlocal calls
        if net.training == training:
            calls += 1
            if calls == call:
                for _ in range(times):
                    # not os.kill: two signals to the process may arrive as one, and in another thread
                    signal.raise_signal(number)
        return task.encode(xs, generator)

    return dataclasses.replace(task, encode=encode)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("training", "call", "batch"), [(True, 5, 2), (True, 6, 3), (False, 3, 3)])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    make_net, norm, leaky, split, val, task, tmp_path, said, number, training, call, batch
):
    def fresh():
        return make_net(norm(6), leaky(), torch.nn.Dropout(0.2))

    def run(net, task, folder):
        return fit(net, task, split, val, CONFIG, seed=0, folder=folder, progress=False, log=said.append)

    expected, net = fresh(), fresh()
    run(expected, task, tmp_path / "whole")
    folder = tmp_path / "run"
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt) as caught:
        run(net, interrupting(net, task, training, call, number), folder)
    assert type(caught.value) is Interrupted
    assert "everything is saved" in str(caught.value)
    assert f"snn4 resume {folder}" in str(caught.value)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert any("Stopping after this step" in text for text in said)
    _, about = tensorfile.read(folder / "snn.checkpoint.safetensors", "checkpoint")
    assert about["course"]["batch"] == batch
    net = fresh()
    run(net, task, folder)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


@pytest.fixture
def usual_handlers():
    """A process that runs tests side by side with others may ignore Ctrl-C; a user's does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_handlers")
def test_twice_stops_at_once_and_says_so(net, split, val, task, tmp_path):
    with pytest.raises(Interrupted, match=r"in the middle of a step.*snn4 resume"):
        fit(net, interrupting(net, task, True, 2, times=2), split, val, CONFIG, seed=0, folder=tmp_path, progress=False)
    assert tensorfile.read(tmp_path / "snn.checkpoint.safetensors", "checkpoint")[1]["course"]["step"] == 0


def test_without_a_folder_it_says_that_nothing_is_kept(net, split, val, task, said):
    stopping = interrupting(net, task, True, 2)
    with pytest.raises(Interrupted, match="stopped in epoch 1, after step 2; nothing is kept"):
        fit(net, stopping, split, val, CONFIG, seed=0, progress=False, log=said.append)


def test_another_thread_trains_without_signals(net, split, val, task):
    done = []
    thread = threading.Thread(
        target=lambda: done.append(fit(net, task, split, val, CONFIG, seed=0, progress=False, log=print))
    )
    thread.start()
    thread.join(60)
    assert done[0].epochs_run == 3


def test_a_handler_that_cannot_speak_still_stops():
    def say(text):
        raise RuntimeError("reentrant call")

    with pytest.raises(StopAsked), Stopper(say) as stopper:  # noqa: PT012
        stopper.check()
        signal.raise_signal(signal.SIGINT)
        stopper.check()


@pytest.fixture
def clock(monkeypatch):
    """The clock of the time limit, in seconds, to be moved by hand."""
    import snn4.training.interruption as module

    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_calls_with_a_time_limit_end_as_one_call_without(make_net, norm, leaky, split, val, task, tmp_path, clock):
    def fresh():
        return make_net(norm(6), leaky(), torch.nn.Dropout(0.2))

    def ticking(xs, generator):
        clock[0] += 10.0
        return task.encode(xs, generator)

    def run(net, folder, task=task):
        return fit(net, task, split, val, CONFIG, seed=0, folder=folder, progress=False, log=lambda _text: None)

    expected = fresh()
    run(expected, tmp_path / "whole")
    folder, reached = tmp_path / "run", [0]
    while True:
        net = fresh()
        try:
            # four batches, of training or of validation
            with time_limit(40 / 60):
                run(net, folder, dataclasses.replace(task, encode=ticking))
        except OutOfTime:
            _, about = tensorfile.read(folder / "snn.checkpoint.safetensors", "checkpoint")
            reached.append(about["course"]["step"])
            continue
        break
    # nine steps of training, and validations of two batches that are made again where they were cut
    assert reached[1:] == sorted(reached[1:])
    assert reached[1] == 3
    assert len(reached) > 3
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name


def test_the_end_of_the_time_is_told_with_how_to_go_on(net, task, split, val, tmp_path):
    with pytest.raises(OutOfTime, match=r"after step 1; everything is saved.*snn4 resume"), time_limit(1e-9):
        fit(net, task, split, val, CONFIG, seed=0, folder=tmp_path, progress=False)


def test_of_two_limits_the_earlier_one_counts(clock):
    with Stopper(lambda text: None) as stopper:
        with time_limit(1), time_limit(None), time_limit(5):
            clock[0] += 59
            stopper.check()
            clock[0] += 1
            with pytest.raises(StopAsked):
                stopper.check()
        stopper.check()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_told(minutes):
    with pytest.raises(OptionError, match="time limit"), time_limit(minutes):
        pass
