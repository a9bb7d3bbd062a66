from __future__ import annotations

import json

import pytest

from snn4.cli.listing import KINDS
from snn4.recipes.tables import markdown


def rows(snn4, kind: str) -> dict[str, dict[str, str]]:
    answer = snn4(f"list {kind} --json")
    assert answer.code == 0, answer.err
    return {row["name"]: row for row in json.loads(answer.out)}


def test_neurons_say_what_they_can_do(snn4):
    found = rows(snn4, "neurons")
    assert found["LIF"]["state"] == "v"
    assert found["LIF"]["output"] == "0, 1"
    assert found["LI"]["output"] == "any number"
    assert found["CubaLIF"]["state"] == "v, i"
    assert {"tau", "v_threshold"} <= set(found["LIF"]["learnable"].split(", "))
    assert found["plif"]["paper"] == "fang2021plif"
    assert found["TCLIF"]["state"] == "d, v"
    assert found["IntegerLIF"]["output"] == "0, 1, 2, 3, 4"
    assert found["TernaryLIF"]["output"] == "-1, 0, 1"
    assert {"alpha", "beta"} <= set(found["DALIF"]["learnable"].split(", "))
    assert {"ALIF", "BRF", "DHLIF", "PSN", "se_adlif"} <= set(found)
    assert not {"heterogeneous", "branch_mask", "unary"} & set(found)
    assert not {"SpikingNeuron", "Decay", "exponential"} & set(found)


def test_models_are_found_by_wildcards(snn4):
    found = rows(snn4, "models --pattern *resnet18")
    assert set(found) == {"ms_resnet18", "preact_resnet18", "sew_resnet18", "spiking_resnet18"}
    assert found["sew_resnet18"]["paper"] == "fang2021sew"
    assert "connect" in found["sew_resnet18"]["arguments"]
    assert {"mlp", "conv_net", "srnn", "plif_net"} <= set(rows(snn4, "models"))


def test_surrogates(snn4):
    found = rows(snn4, "surrogates")
    assert {"ATan", "superspike", "MultiGaussian", "LSG", "MSG", "Dspike", "Annealed"} <= set(found)
    assert not {"Membrane", "anneal", "search_temperature"} & set(found)
    assert "Surrogate" not in found
    assert found["ATan"]["learnable"] == "alpha"


def test_routes(snn4):
    found = rows(snn4, "routes")
    assert set(found) == {"BPTT", "SLTT", "OTTT", "DSR", "EProp"}
    assert {name: row["online"] for name, row in found.items()} == {
        "BPTT": "no",
        "SLTT": "may be",
        "OTTT": "may be",
        "DSR": "no",
        "EProp": "must be",
    }
    assert found["SLTT"]["paper"] == "meng2023sltt"


def test_encoders(snn4):
    found = rows(snn4, "encoders")
    assert {"Direct", "Poisson", "Latency", "Delta", "Phase", "Population"} <= set(found)
    assert "Encoder" not in found


def test_datasets(snn4, monkeypatch, tmp_path):
    monkeypatch.setenv("SNN4_DATA", str(tmp_path))
    found = rows(snn4, "datasets")
    assert set(found) >= {"digits", "mnist", "fashion", "cifar10"}
    assert found["digits"]["here"]
    assert not found["mnist"]["here"]


def test_recipes(snn4):
    assert rows(snn4, "recipes") == {"fake": {"name": "fake", "what": "A recipe that trains nothing"}}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_also_a_table(snn4, kind):
    answer = snn4(f"list {kind}")
    assert answer.code == 0
    for name in rows(snn4, kind):
        assert name in answer.out


def test_an_unknown_kind(snn4):
    answer = snn4("list neuron")
    assert (answer.code, answer.err) == (
        2,
        "snn4: snn4 list got 'neuron': expected a kind of member. Did you mean neurons?\n",
    )


def test_cite_prints_each_entry_once(snn4):
    answer = snn4("cite plif ATan fang2021plif")
    assert answer.code == 0, answer.err
    assert answer.out.count("@") == 1
    assert answer.out.startswith("@inproceedings{fang2021plif,")


def test_cite_of_a_data_set(snn4):
    assert snn4("cite mnist").out.startswith("@")


def test_cite_says_when_there_is_no_paper(snn4):
    answer = snn4("cite Linear")
    assert (answer.code, answer.out, answer.err) == (0, "", "% Linear names no paper\n")


@pytest.mark.parametrize(
    ("line", "message"), [("cite LIFF", "Did you mean LIF"), ("cite", "For example: snn4 cite LIF ATan")]
)
def test_cite_of_nothing_known(snn4, line, message):
    answer = snn4(line)
    assert answer.code == 2
    assert message in answer.err


def test_doctor_tells_what_is_there(snn4, monkeypatch, tmp_path):
    monkeypatch.setenv("SNN4_DATA", str(tmp_path / "sets"))
    monkeypatch.setenv("COLUMNS", "300")
    out = snn4("doctor").out
    lines = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in out.splitlines() if line.count("│") == 3
    }
    assert lines["data folder"].startswith(f"{tmp_path / 'sets'} (made when needed")
    assert lines["data set mnist"].startswith("not there")
    assert lines["runs go to"] == f"{tmp_path / 'runs'} (made when needed)"
    import torch

    assert lines["torch"] == torch.__version__
    assert lines["neurons run as"]
    assert "MiB; --clear-kernels empties it" in lines["kernel cache"]


def test_doctor_clears_compiled_kernels(snn4, monkeypatch, tmp_path):
    monkeypatch.setenv("SNN4_CACHE", str(tmp_path))
    key = tmp_path / "kernels" / ("0" * 32 + ".so")
    key.parent.mkdir()
    key.write_bytes(b"code")
    assert "1 compiled kernels removed" in snn4("doctor --clear-kernels").out
    assert not key.exists()


def test_doctor_tells_what_is_missing(snn4, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("snn4.cli.doctor._LIBRARIES", {"no-such-library": "a test"})
    out = snn4("doctor").out
    assert "missing, needed for a test: pip install no-such-library" in out
    (line,) = (line for line in out.splitlines() if "g++" in line and "clang" not in line)
    assert "not found" in line


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"recipes"}))
@pytest.mark.parametrize("width", ["80", "120"])
def test_names_and_keys_are_never_cut(snn4, monkeypatch, kind, width):
    monkeypatch.setenv("COLUMNS", width)
    out = snn4(f"list {kind}").out
    words = set(out.replace(",", " ").split())
    for row in rows(snn4, kind).values():
        for text in (row["name"], row.get("paper", ""), row["what"], row.get("learnable", "")):
            assert set(text.replace(",", " ").split()) <= words


def test_a_row_begins_with_its_name_where_the_table_is_too_wide(snn4, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = snn4("list neurons --pattern plif").out.splitlines()
    assert lines[:2] == ["neurons", "plif"]
    assert "    paper: fang2021plif" in lines
    assert max(map(len, lines)) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    assert "┏" in snn4("list neurons --pattern plif").out


def test_a_pattern_does_not_ask_for_capitals(snn4):
    assert set(rows(snn4, "neurons --pattern cubalif")) == {"CubaLIF"}
    assert set(rows(snn4, "models --pattern *RESNET20")) == {"resnet20"}


@pytest.mark.parametrize("more", ["", " --json"])
def test_a_pattern_that_matches_nothing_is_told(snn4, more):
    answer = snn4(f"list neurons --pattern x*{more}")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "snn4: no neuron matches 'x*': expected a name, with wildcards. snn4 list neurons shows all.\n"
    )


def test_list_without_a_kind(snn4):
    answer = snn4("list")
    assert answer.code == 2
    assert "snn4 list got no kind: expected one of recipes, models, neurons," in answer.err
    assert "For example: snn4 list neurons" in answer.err
    for kind in KINDS:
        assert kind in next(line for line in snn4("--help").out.splitlines() if line.startswith("  list "))


def test_the_tables_of_a_study_are_tables(capsys, monkeypatch, tmp_path):
    from snn4.cli.summary import show

    cells = [["arm", "test, %"], ["a|b", "97.00 ± 0.12"], ["[dim]", "failed"]]
    result = {"seed": 0, "table": f"### first\n\n{markdown(cells)}\n### second\n\n{markdown(cells)}"}
    monkeypatch.setenv("COLUMNS", "80")
    show(result, tmp_path)
    out = capsys.readouterr().out
    assert "|---" not in out
    assert "###" not in out
    assert out.count("│ a|b   │ 97.00 ± 0.12 │") == 2
    assert out.count("[dim]") == 2
    wide = [[f"quantity {n}, %" for n in range(11)], [f"{n}.00 ± 0.12" for n in range(11)]]
    show({"seed": 0, "table": f"### wide\n\n{markdown(wide)}"}, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["wide", "quantity 0, %: 0.00 ± 0.12", "    quantity 1, %: 1.00 ± 0.12"]
