"""Studies of many runs: whole, resumable run by run, failures told; on made-up images, so that they take seconds."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch

from snn4 import nn
from snn4.core.errors import CheckpointError, OptionError
from snn4.data import DataSet, Split
from snn4.recipes import get, names, study, trials
from snn4.recipes.common import evaluate_folder, read_config, report_folder
from snn4.recipes.costs import step_cost, zero_gradient
from snn4.recipes.learning_dynamics import draw
from snn4.recipes.options import NeuronOptions, TrainingOptions, command_line
from snn4.recipes.tables import Column, table
from snn4.recipes.trials import best
from snn4.training import FitConfig, Task

STUDIES = ["direct_training", "lsg_ablation", "dalif_ablation"]


def made_up():
    images = torch.rand(48, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    whole = Split(images, torch.arange(48) % 10)
    return DataSet("made up", whole, whole, tuple("0123456789"), (0.5,), (0.3,))


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    """The smoke run of each study, made once: folder, result, and the loads of data that it took."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        loads = []
        patch.setattr(study, "load", lambda name, *_args, **_options: loads.append(name) or made_up())
        for name in STUDIES:
            out = tmp_path_factory.mktemp(name)
            recipe = get(name)
            result = recipe.main(
                recipe.smoke(), out=out, resume=False, progress=False, lang="en", data=None, download=False
            )
            made[name] = (out, result, list(loads))
            loads.clear()
    return made


@pytest.mark.parametrize("name", STUDIES)
def test_the_smoke_run_of_a_study_is_whole(studies, name):
    out, result, loads = studies[name]
    assert loads == ["fashion"]
    for row in result["study"]:
        if "failed" in row:
            assert row["error"] == "OptionError"
            continue
        assert 0 <= row["val_accuracy"] <= 1
        assert row["step_ms"] > 0
        assert row["peak_bytes"] > 0
        assert 0 <= row["firing_rate"] <= 1
        assert 0 <= row["zero_gradient"] <= 1
        assert len(row["val_curve"]) == row["epochs"] == 1
    page = (out / "report.html").read_text(encoding="utf-8")
    assert result["title"] in page
    assert "data:image/svg+xml" in page
    assert result["table"] == (out / f"{name}.md").read_text(encoding="utf-8")
    # again, from its results alone; the layout of a picture that is drawn again may move by a hair
    (out / "report.html").unlink()
    again = report_folder(out, "ja").read_text(encoding="utf-8")
    image = r"data:image/svg\+xml;base64,[^\"]+"
    assert re.sub(image, "image", again) == re.sub(image, "image", page)
    assert not list(out.glob("runs/*/*.checkpoint*"))
    assert read_config(out)[1] == get(name).smoke()
    with pytest.raises(CheckpointError, match="study of many networks"):
        evaluate_folder(out, None, False)


def test_every_member_has_a_run_and_a_failure_is_a_row_that_says_why(studies):
    rows = studies["direct_training"][1]["study"]
    short = {(row["kind"], row["member"]): row for row in rows if row["budget"] == "short"}
    assert list(short) == [("baseline", "LIF, ATan, BPTT"), ("surrogate", "Triangle"), ("route", "EProp")]
    assert "EProp cannot serve norm1" in short["route", "EProp"]["failed"]
    full = [(row["kind"], row["member"]) for row in rows if row["budget"] == "full"]
    assert full == [("baseline", "LIF, ATan, BPTT"), ("surrogate", "Triangle")]
    assert "| EProp | failed | EProp cannot serve" in studies["direct_training"][1]["table"]


def test_a_study_reads_what_it_has_and_runs_what_it_lacks(studies, tmp_path, monkeypatch):
    import shutil

    out, result, _ = studies["direct_training"]
    folder = shutil.copytree(out, tmp_path / "again")
    lost = "full-surrogate-triangle-seed0"
    (folder / "runs" / lost / "row.json").unlink()
    kept = {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("runs/*/row.json")}
    monkeypatch.setattr(study, "load", lambda *_args, **_options: made_up())
    recipe, config = read_config(folder)
    again = recipe.main(config, out=folder, resume=True, progress=False, lang="en", data=None, download=False)
    now = {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("runs/*/row.json")}
    assert {name for name, when in now.items() if kept.get(name) != when} == {lost}
    measured = {"step_ms", "train_seconds", "cpu_seconds", "peak_bytes"}
    strip = [{k: v for k, v in row.items() if k not in measured} for row in result["study"]]
    assert [{k: v for k, v in row.items() if k not in measured} for row in again["study"]] == strip


def test_a_trial_that_was_stopped_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    from snn4.recipes.search import experiment_of
    from snn4.training import Interrupted

    monkeypatch.setattr(study, "load", lambda *_args, **_options: made_up())
    config = get("lsg_ablation").smoke()
    trial = trials.Trial("one", {"seed": 0}, experiment_of("lsg_ablation", "", config), config)
    (whole,) = trials.run_trials(study.Study("s", "", config, tmp_path / "whole"), [trial])
    evaluate = study.evaluate

    def stopped(*_args, **_options):
        raise Interrupted("stopped")

    monkeypatch.setattr(study, "evaluate", stopped)
    with pytest.raises(Interrupted):
        trials.run_trials(study.Study("s", "", config, tmp_path / "part"), [trial])
    assert not list(tmp_path.glob("part/runs/*/row.json"))
    monkeypatch.setattr(study, "evaluate", evaluate)
    (row,) = trials.run_trials(study.Study("s", "", config, tmp_path / "part"), [trial])
    same = ("val_accuracy", "test_accuracy", "best_epoch", "firing_rate", "zero_gradient", "val_curve", "parameters")
    assert {key: row[key] for key in same} == {key: whole[key] for key in same}
    # what the first part took is not known
    assert (whole["cpu_seconds"] is None, row["cpu_seconds"]) == (False, None)


def test_every_shipped_member_is_compared():
    from snn4 import surrogates, through_time
    from snn4.cli.listing import members as listed
    from snn4.recipes import members
    from snn4.recipes.direct_training import Config, arms

    found = arms(Config())
    have = {kind: {member for k, member in found if k == kind} for kind in ("surrogate", "route", "neuron")}
    public = {name for name, _ in listed("snn4.surrogates", surrogates.Surrogate)}
    assert have["surrogate"] == public - {"ATan"}
    public = {name for name, _ in listed("snn4.neurons", through_time.Neuron)}
    # a readout; a twin made from another neuron; builders that need the shape of a layer, whose classes are there
    assert public - have["neuron"] == {"LIF", "LI", "UnaryLIF", "brf", "dh_lif", "se_adlif"}
    routes = {type(train.through_time()).__name__ for _, train in found.values()}
    assert {name.lower() for name in routes} == set(members.routes())


def test_parts_of_a_study_can_be_asked_for():
    from snn4.recipes.direct_training import Config, arms

    only = arms(Config(kinds=("routes",), only=("SLTT", "DSR")))
    assert [member for _, member in only] == ["LIF, ATan, BPTT", "SLTT", "DSR"]
    with pytest.raises(OptionError, match="Did you mean SLTT"):
        arms(Config(only=("SLT",)))


def test_a_line_says_which_run_of_the_study_it_is(tmp_path, monkeypatch, capsys):
    import sys

    from snn4.recipes.search import experiment_of

    monkeypatch.setattr(study, "load", lambda *_args, **_options: made_up())
    config = get("lsg_ablation").smoke()
    for progress in (True, False):
        out = tmp_path / str(progress)
        trial = trials.Trial("first-run", {"seed": 0}, experiment_of("lsg_ablation", "", config), config)
        trials.run_trials(study.Study("s", "", config, out, progress=progress), [trial])
        said = capsys.readouterr().err
        assert said.startswith("first-run  epoch 1/1  loss ") if progress else not said
    # where a bar is drawn, the name stands above it
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert study._lines_of("second", progress=True) is None
    assert study._lines_of("third", progress=False) is None
    assert capsys.readouterr().err == "second\n"


def test_every_study_can_write_its_page_again():
    for name in names():
        recipe = get(name)
        assert (recipe.experiment is None) == (recipe.tables is not None) == (recipe.draw is not None), name


def test_a_page_that_cannot_be_written_again_is_told(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="Finish it with: snn4 resume"):
        report_folder(tmp_path)
    result = {"schema": 1, "recipe": "trt", "title": "", "command": "", "study": [{"set": "nmnist"}]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(CheckpointError, match="does not fit this version of snn4"):
        report_folder(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        report_folder(tmp_path)


def test_the_baseline_is_called_by_its_surrogate():
    from snn4.recipes.direct_training import Config, arms

    neuron = NeuronOptions(surrogate="triangle", surrogate_settings=("width=2",))
    found = arms(Config(neuron=neuron, kinds=("surrogates",)))
    assert next(iter(found)) == ("baseline", "LIF, Triangle, BPTT")
    members = [member for kind, member in found if kind == "surrogate"]
    assert "ATan" in members
    assert "Triangle" not in members
    # settings of one surrogate are none of another
    for options, _ in found.values():
        options.factory(4)


def test_neurons_without_what_the_study_sets_are_named():
    from snn4.recipes.lsg_ablation import Config, arms

    neuron = dataclasses.replace(Config().neuron, kind="psn")
    with pytest.raises(OptionError, match="--neuron.kind psn, that is PSN, without tau and v_threshold") as found:
        arms(Config(neuron=neuron))
    kinds = found.value.advice.removeprefix("These have them: ").rstrip(".").split(", ")
    assert {"lif", "klif", "cubalif"} <= set(kinds)
    for kind in kinds:
        assert len(arms(Config(neuron=dataclasses.replace(neuron, kind=kind)))) == 13


@pytest.mark.parametrize("again", [False, True])
def test_a_study_whose_every_run_failed_is_an_error(tmp_path, monkeypatch, capsys, again):
    from snn4.cli import main

    monkeypatch.setattr(study, "load", lambda *_args, **_options: made_up())
    out = str(tmp_path / "one")
    # e-prop does not serve norms
    words = ["--smoke", "--quiet", "--train.route", "eprop", "--train.online", "batch"]
    code = main(["run", "lsg_ablation", *words, "--out", out])
    if again:
        code = main(["resume", out, "--quiet"])
    assert code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("snn4: all 7 runs of lsg_ablation failed, the first because EProp cannot serve norm1")
    assert said.endswith(f"The table in {out} says why for each.")
    assert "EProp cannot serve" in (tmp_path / "one/report.html").read_text(encoding="utf-8")


def test_the_baseline_is_in_every_table_and_the_best_come_first():
    from snn4.recipes.direct_training import tables

    def row(kind, member, val):
        return {"kind": kind, "member": member, "budget": "short", "seed": 0, "val_accuracy": val, "test_accuracy": val}

    rows = [row("baseline", "LIF", 0.5), row("surrogate", "A", 0.4), row("surrogate", "B", 0.6), row("route", "R", 0.1)]
    made = tables(rows)
    assert [line[0] for line in made["surrogates, short budget"][1:]] == ["B", "LIF", "A"]
    assert [line[0] for line in made["routes, short budget"][1:]] == ["LIF", "R"]


def test_a_table_shows_the_spread_over_seeds():
    rows = [{"a": "x", "v": 1.0}, {"a": "x", "v": 3.0}, {"a": "y", "v": 5.0}, {"a": "z", "failed": "no"}]
    cells = table(rows, {"a": "arm"}, [Column("v", "value")], order="v")
    # the standard deviation of 1 and 3 is the root of 2
    assert cells[1:] == [["y", "1", "5.00"], ["x", "2", "2.00 ± 1.41"], ["z", "failed", "no"]]


def test_validation_chooses_and_failures_are_never_chosen():
    rows = [{"n": 1, "val_accuracy": 0.2, "test_accuracy": 0.9}, {"n": 2, "failed": "x"}, {"n": 3, "val_accuracy": 0.4}]
    assert [row["n"] for row in best(rows, 5)] == [3, 1]


def test_arms_have_equal_budgets(tmp_path):
    from snn4.recipes.search import Arm, compare_arms

    one, two = NeuronOptions(), NeuronOptions(tau=3.0)
    arms = [Arm({"arm": "a"}, {"x": one}), Arm({"arm": "b"}, {"x": one, "y": two})]
    config = get("lsg_ablation").smoke()
    with pytest.raises(OptionError, match="equal search budget"):
        compare_arms(study.Study("s", "", config, tmp_path), arms, config, lambda *_: None)


def test_the_arms_of_the_ablations_start_where_they_should():
    from snn4.recipes import dalif_ablation, lsg_ablation

    made = {arm.labels["arm"]: arm for arm in dalif_ablation.arms(dalif_ablation.Config(), "fashion")}
    assert len(made) == 7
    for name, arm in made.items():
        neurons = [options.factory()() for options in arm.candidates.values()]
        assert len(neurons) == 3
        learned = {q for q in ("alpha", "beta", "tau") if q in neurons[0].quantities and neurons[0].is_learned(q)}
        assert learned == {
            "LIF": set(),
            "gain learned": {"alpha"},
            "decay learned": {"beta"},
            "PLIF": {"tau"},
        }.get(name, {"alpha", "beta"})
        if name != "PLIF":
            starts = [tuple(float(torch.as_tensor(q).detach()) for q in (n.alpha, n.beta)) for n in neurons]
            # the same first coefficients, whatever the curve behind them
            assert starts == [pytest.approx(pair, abs=1e-5) for pair in ((0.5, 0.5), (0.99, 0.5), (0.75, 0.25))]
    widths = {
        (arm.labels["arm"], arm.labels["start"]): next(iter(arm.candidates.values())).factory()()
        for arm in lsg_ablation.arms(lsg_ablation.Config(parts=("starts",)))
    }
    # 2 theta sqrt(1 + 0.2 ** 2), times the factor
    for (name, start), neuron in widths.items():
        width = neuron.surrogate.width(neuron.surrogate.alone._replace(threshold=1.0)) if "LSG" in name else None
        width = neuron.surrogate.width if width is None else width
        assert float(torch.as_tensor(width).detach()) == pytest.approx(
            2.0396078 * float(start.removeprefix("x")), rel=1e-5
        )


def test_what_is_said_of_bad_first_widths():
    from snn4.recipes.lsg_ablation import judged

    accuracy = {("fixed width", "x1"): 0.9, ("LSG, learned factor", "x1"): 0.9}
    accuracy |= {("fixed width", "x5"): 0.8, ("LSG, learned factor", "x5"): 0.896}
    accuracy |= {("fixed width", "x0.2"): 0.88, ("LSG, learned factor", "x0.2"): 0.9}
    rows = [{"part": "starts", "arm": a, "start": s, "test_accuracy": v} for (a, s), v in accuracy.items()]
    found = judged(rows)
    assert found["x5"]["recovers"] is True
    assert found["x5"]["points_lost"]["fixed width"] == pytest.approx(10)
    # nothing to recover from
    assert found["x0.2"]["recovers"] is None


def test_added_parameters_are_two_a_layer_for_dalif(studies):
    rows = {row["arm"]: row for row in studies["dalif_ablation"][1]["study"]}
    # three spiking layers
    expected = {"LIF": 0, "gain learned": 3, "decay learned": 3, "PLIF": 3, "DA-LIF, tanh": 6, "DA-LIF, clamp": 6}
    assert {arm: rows[arm]["added_parameters"] for arm in expected} == expected
    learned = rows["DA-LIF, tanh"]["learned"]
    assert len(learned) == 6
    assert all(-1 < value < 1 for value in learned.values())


@pytest.mark.parametrize(("name", "shape", "classes"), [("nmnist", (10, 2, 34, 34), 10), ("shd", (100, 140), 20)])
def test_frames_of_events_are_averaged_to_so_many_steps(name, shape, classes):
    from snn4.recipes.comparison import make_networks, make_tasks
    from snn4.recipes.dalif_ablation import experiment_of_set

    config = dataclasses.replace(get("fashion").smoke(), steps=5, neuron=NeuronOptions(kind="da_lif"))
    experiment = experiment_of_set(name, config)
    stored = torch.randint(4, (3, *shape), dtype=torch.uint8)
    split = Split(stored, torch.arange(3))
    data = DataSet("", split, split, (), (0.0,), (1.0,))
    xs = make_tasks(experiment, config, data)["snn"].encode(stored, torch.Generator())
    group = shape[0] // 5
    expected = stored.float().view(3, 5, group, *shape[1:]).mean(2).transpose(0, 1)
    assert torch.allclose(xs, expected)
    assert make_networks(experiment, config)["snn"](xs).shape == (5, 3, classes)


def linear_task():
    return Task(lambda x, _: x.expand(3, *x.shape), lambda ys: ys.mean(0), torch.nn.functional.cross_entropy)


def test_zeros_of_the_gradient_are_counted_at_the_neurons_inputs():
    # two neurons a sample: one far below the window of the surrogate, one inside
    net = torch.nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.LIF(surrogate=snn_rectangle(), detach_reset=True), nn.Linear(2, 2)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[0.9, 0.0], [-50.0, 0.0]]))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    split = Split(torch.ones(4, 2), torch.tensor([0, 1, 0, 1]))
    assert zero_gradient(net, linear_task(), split, FitConfig(epochs=1)) == pytest.approx(0.5)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def snn_rectangle():
    from snn4.surrogates import Rectangle

    # as wide as the membrane gets in three steps: 0.9, then the soft reset keeps it near
    return Rectangle(2.0)


def test_memory_of_online_training_does_not_grow_with_time():
    from snn4 import SLTT, use_route

    def peak(steps, online):
        net = torch.nn.Sequential(nn.Linear(64, 64), nn.LIF(), nn.Linear(64, 64), nn.LIF(), nn.Linear(64, 4))
        use_route(net, SLTT())
        task = dataclasses.replace(linear_task(), encode=lambda x, _: x.expand(steps, *x.shape))
        split = Split(torch.rand(64, 64), torch.arange(64) % 4)
        return step_cost(net, task, split, FitConfig(epochs=1, online=online)).peak_bytes

    # only the answers and the loss of each step are kept, 64 * 4 + 1 numbers of 4 bytes
    assert peak(32, "batch") <= peak(4, "batch") + 28 * (64 * 4 + 1) * 4
    assert peak(32, "no") > 3 * peak(4, "no")


def test_a_failure_of_the_machine_is_no_row(tmp_path, monkeypatch):
    from snn4.core.errors import DataFileError

    def missing(*_args, **_options):
        raise DataFileError("fashion is not there", "its files")

    monkeypatch.setattr(study, "load", missing)
    recipe = get("direct_training")
    with pytest.raises(DataFileError):
        recipe.main(recipe.smoke(), out=tmp_path, resume=False, progress=False, lang="en", data=None, download=False)
    assert not list(tmp_path.glob("runs/*/row.json"))


@pytest.mark.parametrize("refusals", [False, True])
def test_an_error_that_nobody_foresaw_stops_the_study_at_its_run(tmp_path, refusals):
    config = get("lsg_ablation").smoke()
    mine = study.Study("s", "", config, tmp_path)

    def breaks(_folder):
        raise ZeroDivisionError("division by zero")

    mine.row("first", lambda _: {"a": 1}, refusals=refusals)
    with pytest.raises(ZeroDivisionError) as found:
        mine.row("second", breaks, refusals=refusals)
    assert found.value.__notes__ == [
        f"This happened in the run 'second' of s. `snn4 resume {tmp_path}` begins with it."
    ]
    assert [path.parent.name for path in tmp_path.glob("runs/*/row.json")] == ["first"]
    # what was found stays; what broke is made
    assert mine.row("first", breaks, refusals=refusals) == {"a": 1}
    assert mine.row("second", lambda _: {"a": 2}, refusals=refusals) == {"a": 2}


def test_the_command_line_names_the_run_that_broke(tmp_path, monkeypatch, capsys):
    from snn4.cli import main

    def breaks(*_args, **_options):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(study, "load", lambda *_args, **_options: made_up())
    monkeypatch.setattr(study, "fit", breaks)
    words = "--smoke --quiet --out".split()
    assert main(["run", "lsg_ablation", *words, str(tmp_path / "one")]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in said
    assert "in the run 'search-fixed-width-fixed-decay-x1-full-seed0' of lsg_ablation" in said


def test_a_refusal_is_a_row_only_where_members_are_compared(tmp_path):
    config = get("lsg_ablation").smoke()
    mine = study.Study("s", "", config, tmp_path)

    def refused(_folder):
        raise OptionError("this neuron has no rate", "one that has")

    with pytest.raises(OptionError, match="no rate") as found:
        mine.row("one", refused)
    assert "'one'" in found.value.__notes__[0]
    row = mine.row("one", refused, {"arm": "x"}, refusals=True)
    assert (row["arm"], row["error"]) == ("x", "OptionError")
    assert "no rate" in row["failed"]


@pytest.mark.parametrize(
    ("options", "train", "says"),
    [
        (NeuronOptions(kind="tc_lif", tau=3.0), TrainingOptions(), "TCLIF, which has no tau"),
        (NeuronOptions(kind="tclifs"), TrainingOptions(), "Did you mean tclif"),
        (NeuronOptions(kind="dh_lif"), TrainingOptions(), "has branches"),
        (NeuronOptions(kind="masked_psn"), TrainingOptions(), "without k"),
        (NeuronOptions(kind="da_lif", settings=("alfa=1",)), TrainingOptions(), "Did you mean alpha"),
        (NeuronOptions(kind="da_lif", settings=("alpha",)), TrainingOptions(), "name=value"),
        (NeuronOptions(kind="da_lif", settings=("alpha=2",)), TrainingOptions(), "from -1 to 1"),
        (NeuronOptions(kind="da_lif", settings=("alpha=word",)), TrainingOptions(), "alpha"),
        (NeuronOptions(kind="tc_lif", surrogate="lsg"), TrainingOptions(), "no single decay"),
        (NeuronOptions(surrogate_settings=("width=1",)), TrainingOptions(), "without a surrogate"),
        (NeuronOptions(surrogate="rectangle", surrogate_settings=("width=0",)), TrainingOptions(), "width=0"),
        (NeuronOptions(), TrainingOptions(route="slt"), "Did you mean sltt"),
        (NeuronOptions(), TrainingOptions(route="sltt", route_settings=("k=2",)), "a loss at every step"),
        (NeuronOptions(), TrainingOptions(route="dsr", online="batch"), "needs the whole sequence"),
        (NeuronOptions(kind="alif"), TrainingOptions(route="dsr"), "no closed-form rate"),
        (NeuronOptions(kind="psn"), TrainingOptions(route="sltt", online="batch"), "PSN"),
        (NeuronOptions(), TrainingOptions(route="eprop", online="batch"), "EProp cannot serve norm1"),
    ],
)
def test_what_does_not_go_together_is_refused_before_data_is_read(options, train, says, tmp_path):
    recipe = get("fashion")
    config = dataclasses.replace(recipe.smoke(), neuron=options, train=train)
    with pytest.raises(OptionError, match=says):
        recipe.main(
            config, out=tmp_path, resume=False, progress=False, lang="en", data=tmp_path / "none", download=False
        )


@pytest.mark.parametrize(
    ("words", "away"),
    [
        ("--neuron.kind adex --neuron.tau 3", "--neuron.tau None"),
        ("--neuron.kind adex --neuron.learn-tau", "--neuron.no-learn-tau"),
        ("--neuron.kind adex --neuron.tau 3 --neuron.learn-tau", "--neuron.tau None --neuron.no-learn-tau"),
        ("--neuron.kind psn --neuron.v-reset 0", "--neuron.v-reset None"),
    ],
)
def test_what_a_neuron_has_not_is_named_and_the_advice_can_be_followed(words, away):
    from snn4.cli.run import _parse

    config, _ = _parse(get("digits").config(), words.split(), "digits", "")
    with pytest.raises(OptionError, match=f"is set for --neuron.kind {config.neuron.kind}, that is") as found:
        config.neuron.factory(4)
    assert f"Leave it away: {away}." in found.value.advice
    config, _ = _parse(get("digits").config(), [*words.split(), *away.split()], "digits", "")
    config.neuron.factory(4)


def test_options_that_would_be_passed_over_are_refused():
    from snn4.recipes.comparison import make_networks

    recipe = get("ecg")
    config = dataclasses.replace(recipe.smoke(), neuron=NeuronOptions(kind="da_lif"))
    with pytest.raises(OptionError, match="--cell lif"):
        make_networks(recipe.experiment(config), config)
    recipe = get("yinyang_times")
    config = dataclasses.replace(recipe.smoke(), train=TrainingOptions(route="sltt"))
    with pytest.raises(OptionError, match="exact spike times"):
        make_networks(recipe.experiment(config), config)


def test_names_and_settings_reach_the_neuron():
    neuron = NeuronOptions(
        kind="DA_LIF",
        settings=("beta=learned:0.8", "activation=sigmoid", "v_reset=none"),
        surrogate="annealed",
        surrogate_settings=("base=triangle", "sharpness=3"),
        detach_reset=False,
    ).factory()()
    assert isinstance(neuron, nn.DALIF)
    assert float(neuron.beta.detach()) == pytest.approx(0.8)
    assert (neuron.activation, neuron.v_reset, neuron.detach_reset) == ("sigmoid", None, False)
    assert neuron.surrogate.sharpness == 3
    assert type(neuron.surrogate.base).__name__ == "Triangle"
    assert NeuronOptions(kind="psn").factory(6)().steps == 6
    with pytest.raises(OptionError):
        NeuronOptions(tau=0.0, learn_tau=True).factory()
    assert NeuronOptions(kind="glif", v_threshold=0.7).factory()().v_threshold == 0.7
    assert NeuronOptions(kind="plif", tau=3.0, learn_tau=True).factory()().is_learned("tau")
    assert NeuronOptions(kind="da_lif", v_reset="soft").factory()().v_reset is None


def test_the_command_line_takes_members_and_settings():
    from snn4.cli.run import _parse

    words = "--neuron.kind da_lif --neuron.settings beta=learned:0.8 activation=clamp --neuron.v-reset soft"
    words += " --neuron.surrogate lsg --train.route sltt --train.route-settings k=2 --train.online batch"
    config, _ = _parse(get("fashion").config(), words.split(), "fashion", "")
    assert config.neuron == NeuronOptions(
        kind="da_lif", settings=("beta=learned:0.8", "activation=clamp"), v_reset="soft", surrogate="lsg"
    )
    assert str(config.train.through_time()) == "SLTT(k=2)"
    assert command_line("fashion", config) == f"snn4 run fashion --seed 0 {words}"


def test_the_frame_is_shown_again_where_time_runs_outermost():
    from snn4.recipes.comparison import make_networks, make_tasks

    recipe = get("fashion")
    config = dataclasses.replace(recipe.smoke(), steps=3, train=TrainingOptions(route="sltt", online="batch"))
    experiment = recipe.experiment(config)
    networks, tasks = make_networks(experiment, config), make_tasks(experiment, config, made_up())
    xs = tasks["snn"].encode(made_up().train.inputs[:2], torch.Generator())
    assert xs.shape == (3, 2, 1, 28, 28)
    assert tasks["ann"].encode(made_up().train.inputs[:2], torch.Generator()).shape[0] == 1
    assert networks["snn"](xs).shape == (3, 2, 10)
    # the same weights, held inside the network
    held = make_networks(recipe.experiment(recipe.smoke()), dataclasses.replace(recipe.smoke(), steps=3))["snn"]
    for one, other in zip(networks["snn"].parameters(), held.parameters(), strict=True):
        assert torch.equal(one, other)
    held.eval(), networks["snn"].eval()
    assert torch.allclose(held(xs[:1]), networks["snn"](xs), atol=1e-5)


def test_a_comparison_trains_online(tmp_path, monkeypatch):
    from snn4.recipes import comparison

    monkeypatch.setattr(comparison, "load", lambda *_args, **_options: made_up())
    recipe = get("fashion")
    config = dataclasses.replace(recipe.smoke(), train=TrainingOptions(route="ottt", online="batch", threads=1))
    result = recipe.main(config, out=tmp_path, resume=False, progress=False, lang="en", data=None, download=False)
    assert "--train.route ottt --train.online batch" in result["command"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["model"] for row in rows] == ["snn", "ann", "ann_quantised"]


def test_the_dynamics_of_learning_are_measured_before_and_after(tmp_path):
    pytest.importorskip("sklearn")
    recipe = get("learning_dynamics")
    result = recipe.main(
        recipe.smoke(), out=tmp_path, resume=False, progress=False, lang="en", data=None, download=False
    )
    atan, rectangle = result["study"]
    assert (atan["surrogate"], rectangle["surrogate"]) == ("ATan", "Rectangle")
    for row in (atan, rectangle):
        for when in ("start", "trained"):
            assert [len(row[when][key]) for key in ("size", "dead", "silent")] == [2, 2, 2]
            assert all(0 <= value <= 2 for value in row[when]["mismatch"])
    # before training it is one network, whatever stands for the derivative
    assert atan["start"]["silent"] == rectangle["start"]["silent"]
    # tails reach every neuron of the last layer
    assert atan["start"]["dead"][-1] == 0
    assert "T = 2" in (tmp_path / "report.html").read_text(encoding="utf-8")
    # one scale a quantity, before training and after; no gradient at all is no number, nor is one beyond the scale
    flow = {"size": [0.0, 1e-13, 1e-5], "dead": [1.0, 0.5, 0.0], "mismatch": [1.0, 1.0, 0.1]}
    (drawing,) = draw([{"surrogate": "ATan", "steps": 2, "start": flow, "trained": flow}]).values()
    assert [ax.images[0].get_clim() for ax in drawing.axes] == [(-12, -2), (0, 100), (0, 1.2)] * 2
    assert [[text.get_text() for text in ax.texts] for ax in drawing.axes[:3]] == [
        ["", "≤ -12", "-5.0"],
        ["100", "50", "0"],
        ["1.00", "1.00", "0.10"],
    ]
    with pytest.raises(OptionError, match="Did you mean triangle"):
        recipe.main(
            dataclasses.replace(recipe.smoke(), surrogates=("triangl",)),
            out=tmp_path,
            resume=False,
            progress=False,
            lang="en",
            data=None,
            download=False,
        )
