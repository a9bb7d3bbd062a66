"""The training loop, short enough to read."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Generator, Tensor

from snn4.core.errors import NotFiniteError, OptionError
from snn4.data import Split, order
from snn4.training import adapting, randomness
from snn4.training.alarms import check_rates, find_non_finite, heard_warnings
from snn4.training.answers import answered, check_shapes, loss_of
from snn4.training.batches import batch_of, batches, chosen_device, device_of, resident, tuned
from snn4.training.checkpoint import Keeper, Rollback, Training
from snn4.training.evaluation import evaluate
from snn4.training.fitted import Fitted
from snn4.training.identity import identity_of
from snn4.training.interruption import Interrupted, OutOfTime, StopAsked, Stopper, TimeUp
from snn4.training.optimiser import Average, clip, make_optimiser
from snn4.training.outermost import check_route, online, step_loss, step_terms
from snn4.training.progress import Metrics, Report, report
from snn4.training.recording import recorded_rates, recorded_spikes
from snn4.training.schedule import learning_rate
from snn4.training.task import FitConfig, Task
from snn4.training.weights import load_state, state_of

__all__ = ["fit"]


def fit(
    net: torch.nn.Module,
    task: Task,
    train: Split,
    val: Split,
    config: FitConfig | None = None,
    *,
    seed: int,
    folder: Path | None = None,
    name: str = "snn",
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
    log: Callable[[str], None] | None = None,
) -> Fitted:
    """Train a network; validation chooses the epoch whose weights it keeps.

    Annealed surrogates are sharpened, and Dspike's temperature is searched, at the beginning of each epoch. All that is
    random follows from `seed`; the global random states are left as they were. With a folder, the state of
    the run is kept there, and the same call goes on where it stopped: after a kill at any moment, on the same machine
    and with as many threads, the final weights are those of a run that was never stopped, bit for bit on a CPU.

    Args:
        net: maps (T, B, *features) to (T, B, C). It is left in eval mode, on the device where it was trained.
        task: what is learned.
        train: what is learned from.
        val: what chooses the best epoch: the highest accuracy, then the lowest loss. The test split has no place here.
        config: how.
        seed: of everything random here; the first weights are yours.
        folder: the run's folder, for checkpoints and metrics.jsonl; None keeps nothing.
        name: of the model, in file names and rows.
        identity: what else makes this run the run it is, as JSON; a checkpoint that differs in it is refused.
        progress: show how far it is, on standard error.
        log: takes each line in place of standard error.

    Raises:
        OptionError: an empty split, nothing to learn, or a device that is not there.
        ShapeError: outputs or answers of the wrong shape, or targets beyond the last class.
        NotFiniteError: a loss or gradient is NaN or infinite; the state before that step is saved.
        CheckpointError: the folder's checkpoint is damaged or belongs to another run.
        StorageError: the folder cannot be written, or the disk is full.
        Interrupted: Ctrl-C or SIGTERM; the state is saved. `OutOfTime` of `time_limit` is one.

    Example:
        >>> task = Task(lambda x, _: x[None], lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)
        >>> split = Split(torch.eye(2).repeat(8, 1), torch.tensor([0, 1]).repeat(8))
        >>> net = torch.nn.Linear(2, 2)
        >>> fitted = fit(net, task, split, split, FitConfig(epochs=5, learning_rate=0.3), seed=0, progress=False)
        >>> fitted.val_accuracy
        1.0
    """
    config = config or FitConfig()
    for which, split in (("training", train), ("validation", val)):
        if len(split) == 0:
            raise OptionError(f"the {which} split is empty", "at least one sample", "See how the data was divided.")
    check_route(net, config.online)
    place = chosen_device(config.device, net)
    net.to(place)
    training = Training(net, make_optimiser(net, config), Average(net, config.ema) if config.ema is not None else None)
    keeper = metrics = None
    if folder is not None:
        same = identity_of(net, train, val, config, seed, name, identity)
        keeper = Keeper(Path(folder), name, same, config.checkpoint_seconds, config.checkpoint_steps)
        metrics = Metrics(Path(folder), name)
    train, val = resident(train, place), resident(val, place)
    per_epoch = len(batches(torch.arange(len(train)), config.batch_size))
    with (
        report(name, config.epochs, config.epochs * per_epoch, progress=progress, log=log) as said,
        Stopper(said.say) as stopper,
        randomness.scope(net, seed),
        tuned(place),
    ):
        run = _Run(net, task, train, val, config, seed, per_epoch, training, keeper, metrics, said, stopper)
        try:
            run.begin(name)
            while not run.finished():
                run.epoch()
                run.validate(name)
        except StopAsked as wish:
            stopped = OutOfTime if isinstance(wish, TimeUp) else Interrupted
            raise stopped(run.farewell(folder, save=True)) from None
        except KeyboardInterrupt as cause:
            raise Interrupted(run.farewell(folder, save=False)) from cause
    load_state(net, training.best, state_of(net)[1], "the best epoch")
    net.eval()
    training.optimiser.zero_grad(set_to_none=True)
    course = training.course
    return Fitted(
        course.epoch,
        course.best_epoch,
        course.best_accuracy,
        course.best_loss,
        course.seconds,
        course.step,
        course.epoch < config.epochs,
        tuple(course.rows),
    )


@dataclasses.dataclass
class _Run:
    """One call of `fit`: what stays the same, and `training`, which holds what changes."""

    net: torch.nn.Module
    task: Task
    train: Split
    val: Split
    config: FitConfig
    seed: int
    per_epoch: int
    training: Training
    keeper: Keeper | None
    metrics: Metrics | None
    said: Report
    stopper: Stopper
    clock: float = dataclasses.field(default_factory=time.monotonic)

    def begin(self, name: str) -> None:
        """Go on from the folder's checkpoint, or write the first one: a folder that cannot be written shows now."""
        if self.keeper is None or self.metrics is None:
            return
        if self.keeper.load(self.training):
            course = self.training.course
            if course.temperature is not None:
                adapting.set_temperature(self.net, course.temperature)
            if not self.finished():
                self.said.say(f"{name}  goes on after epoch {course.epoch}, step {course.step}")
        else:
            self.keeper.save(self.training)
        self.metrics.restart(self.training.course.rows)

    def finished(self) -> bool:
        """Whether all epochs are done, or patience has run out."""
        course, patience = self.training.course, self.config.patience
        out_of_patience = patience is not None and course.epoch - course.risen_epoch >= patience
        return course.epoch >= self.config.epochs or (course.epoch > 0 and out_of_patience)

    def epoch(self) -> None:
        """The steps that are left of one epoch."""
        course = self.training.course
        samples = order(len(self.train), self.seed, course.epoch).to(self.train.inputs.device)
        parts = batches(samples, self.config.batch_size)
        self.net.train()
        if self.config.adapt:
            self.adapt(parts[0])
        for chosen in parts[course.batch :]:
            loss, right, asked = self.step(chosen)
            course.loss_sum += loss * asked
            course.right += right
            course.seen += asked
            course.batch += 1
            course.step += 1
            self.tick()
            seen = max(course.seen, 1)
            self.said.step(course.epoch + 1, course.step, course.loss_sum / seen, course.right / seen)
            if self.keeper is not None and self.keeper.due(course.step):
                self.keeper.save(self.training)
            self.stopper.check()

    def adapt(self, first: Tensor) -> None:
        """Let surrogates follow the training; a search is made once an epoch, at its first batch."""
        course = self.training.course
        adapting.follow_epoch(self.net, course.epoch, self.config.epochs)
        if course.batch or adapting.temperature(self.net) is None:
            return
        before = self.training.rollback()

        def loss() -> Tensor:
            before.undo()
            xs, targets, numbers = self.batch(first)
            return self.forward(xs, targets, numbers, learn=False, watched=False)[0]

        late = 2 * course.epoch >= self.config.epochs
        drawn = randomness.generator("cpu", self.seed, course.epoch, -1)
        course.temperature = adapting.searched(self.net, loss, late, drawn)
        before.undo()

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor, Generator]:
        """The network's input, the targets, and the random numbers of this step."""
        course, task, place = self.training.course, self.task, device_of(self.net)
        numbers = randomness.generator(place, self.seed, course.epoch, course.step)
        inputs, targets = batch_of(self.train, chosen, place)
        if task.augment is not None:
            inputs = task.augment(inputs, numbers)
        return task.encode(inputs, numbers), targets, numbers

    def step(self, chosen: Tensor) -> tuple[float, int, int]:
        """One step of the optimiser: the loss, how many answers were right, and how many were asked for."""
        course, task, optimiser = self.training.course, self.task, self.training.optimiser
        xs, targets, numbers = self.batch(chosen)
        before = self.training.rollback()
        for group in optimiser.param_groups:
            # a checkpoint of an earlier version knows no factor
            group["lr"] = learning_rate(self.config, course.step, self.per_epoch) * group.get("times", 1.0)
        optimiser.zero_grad(set_to_none=True)
        by_step = self.config.online == "step"
        norms: list[Tensor] = []

        def update() -> None:
            norms.append(clip(self.net, self.config.clip_norm))
            if not math.isfinite(norms[-1].item()):
                self.fail("gradient", before, xs, targets, numbers)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            if task.after_step is not None:
                task.after_step(self.net)

        loss, answers, wanted = self.forward(xs, targets, numbers, after_backward=update if by_step else None)
        if self.config.online == "no":
            loss.backward()
        norm = torch.stack(norms or [torch.zeros(())]).max() if by_step else clip(self.net, self.config.clip_norm)
        right = (answers.argmax(1) == wanted).sum()
        # one look at the device for all three
        values: list[float] = torch.stack([t.detach().double() for t in (loss, norm, right)]).tolist()
        for what, value in zip(("loss", "gradient"), values, strict=False):
            if not math.isfinite(value):
                self.fail(what, before, xs, targets, numbers)
        if not by_step:
            optimiser.step()
            if task.after_step is not None:
                task.after_step(self.net)
        if self.training.average is not None:
            self.training.average.follow(self.net, course.step + 1)
        return values[0], int(values[2]), len(wanted)

    def forward(
        self,
        xs: Tensor,
        targets: Tensor,
        numbers: Generator,
        *,
        after_backward: Callable[[], None] | None = None,
        learn: bool = True,
        watched: bool = True,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, answers and their classes, online with gradients where `learn`; an epoch's first batch is watched."""
        course, task, config = self.training.course, self.task, self.config
        watch = watched and config.alarms and course.batch == 0
        # online, penalty and regulariser are terms of each step
        whole = config.online == "no"
        penalty, regulariser = (task.penalty, task.regulariser) if whole else (None, None)
        # all spikes only where they are there anyway: online, memory must not grow with T
        record = recorded_spikes if whole else recorded_rates
        recording = record(self.net) if watch or penalty is not None else contextlib.nullcontext({})
        cost = regulariser(self.net) if regulariser is not None else contextlib.nullcontext()
        listening = heard_warnings(self.net) if watch else contextlib.nullcontext([])
        with recording as spikes, listening as heard, cost as term:
            loss = None
            if whole:
                with torch.autocast(xs.device.type, torch.bfloat16, enabled=config.autocast):
                    ys = self.net(xs)
                ys = ys.float() if config.autocast else ys
            else:
                steps = online(
                    self.net,
                    xs,
                    step_loss(task, targets),
                    targets=targets.T if targets.ndim == 2 else None,
                    regulariser=step_terms(task),
                    generator=numbers,
                    after_backward=after_backward,
                    backward=learn,
                    autocast=config.autocast,
                )
                ys, loss = steps.outputs, steps.loss
            logits = task.readout(ys)
            if course.batch == 0:
                check_shapes(ys, logits, self.train)
            answers, wanted = answered(logits, targets)
            if loss is None:
                loss = loss_of(task, ys, targets, answers, wanted)
            if penalty is not None:
                loss = loss + penalty(spikes)
            if term is not None:
                loss = loss + term()
        if watch:
            for alarm in (*check_rates(self.net, spikes), *heard):
                if (key := f"{alarm.kind} {alarm.layer}") not in course.warned:
                    course.warned.append(key)
                    self.said.say(f"Warning, epoch {course.epoch + 1}: {alarm}")
        return loss, answers, wanted

    def fail(self, what: str, before: Rollback, xs: Tensor, targets: Tensor, numbers: Generator) -> NoReturn:
        """Save the state before the step, and say where the first number that is not finite appeared."""
        course = self.training.course
        before.undo()
        where = find_non_finite(self.net, xs, lambda inputs: self.forward(inputs, targets, numbers, learn=False)[0])
        before.undo()
        kept = ""
        if self.keeper is not None and self.config.online != "step":  # in which the weights have moved since
            self.keeper.save(self.training)
            kept = f" The state before this step is in {self.keeper.path}."
        raise NotFiniteError(
            f"the {what} of epoch {course.epoch + 1}, step {course.step} is NaN or infinite",
            "a finite number",
            where + kept,
        )

    def validate(self, name: str) -> None:
        """Close an epoch: validate, remember the best, write the row and the checkpoint."""
        course, average = self.training.course, self.training.average
        with average.inside(self.net) if average is not None else contextlib.nullcontext():
            try:
                result = evaluate(
                    self.net,
                    self.task,
                    self.val,
                    self.config.batch_size,
                    seed=self.seed,
                    after_batch=self.stopper.check,
                    over_time=False,
                )
            except NotFiniteError as cause:
                raise NotFiniteError(
                    f"after epoch {course.epoch + 1}, {cause.came}", cause.expected, cause.advice
                ) from cause
            weights = {key: tensor.detach().clone() for key, tensor in state_of(self.net)[0].items()}
        course.epoch += 1
        if result.accuracy > course.best_accuracy:
            course.risen_epoch = course.epoch
        if (result.accuracy, -result.loss) > (course.best_accuracy, -course.best_loss):
            course.best_accuracy, course.best_loss, course.best_epoch = result.accuracy, result.loss, course.epoch
            self.training.best = weights
        self.tick()
        row = {
            "model": name,
            "epoch": course.epoch,
            "step": course.step,
            "train_loss": course.loss_sum / course.seen,
            "train_accuracy": course.right / course.seen,
            "val_loss": result.loss,
            "val_accuracy": result.accuracy,
            "learning_rate": learning_rate(self.config, course.step - 1, self.per_epoch),
            "seconds": round(course.seconds, 3),
        } | ({} if course.temperature is None else {"temperature": course.temperature})
        course.rows.append(row)
        course.batch, course.loss_sum, course.right, course.seen = 0, 0.0, 0, 0
        if self.keeper is not None and self.metrics is not None:
            # the row first: a row too many is dropped when the run goes on, a missing one could not be made again
            self.metrics.append(row)
            self.keeper.save(self.training)
        self.said.row(row, course.seconds / course.epoch * (self.config.epochs - course.epoch))

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = time.monotonic()
        self.training.course.seconds += now - self.clock
        self.clock = now

    def farewell(self, folder: Path | None, *, save: bool) -> str:
        """Save if that is safe, and say how to go on."""
        course = self.training.course
        where = f"stopped in epoch {course.epoch + 1}, after step {course.step}"
        if self.keeper is None:
            return f"{where}; nothing is kept, because fit() got no folder."
        if save:
            self.keeper.save(self.training)
            return f"{where}; everything is saved. Go on with: snn4 resume {folder}"
        return f"{where}, in the middle of a step. Go on from the last checkpoint with: snn4 resume {folder}"
