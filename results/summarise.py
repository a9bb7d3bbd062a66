"""Writes the tables of results from the result.json files beside it.

python results/summarise.py            # rewrites results/README.md, the READMEs and the pages that show results,
                                       # between their marks
python results/summarise.py --check    # exits with 1 if one of them would change
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
NETWORKS = ("snn", "ann", "ann_quantised")


def runs(folder: Path) -> list[dict[str, Any]]:
    """The results of one experiment, one a seed."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("seed*/result.json"))]


def accuracy(values: list[float]) -> str:
    """Mean and spread in percent; the spread is the sample standard deviation."""
    percent = [100 * value for value in values]
    if len(percent) == 1:
        return f"{percent[0]:.2f}"
    return f"{statistics.mean(percent):.2f} ± {statistics.stdev(percent):.2f}"


def joules(results: list[dict[str, Any]], network: str, kind: str) -> str:
    """From the lowest to the highest estimate of any seed, in nanojoules."""
    low = min(r[network]["energy_pj"][kind][0] for r in results) / 1000
    high = max(r[network]["energy_pj"][kind][1] for r in results) / 1000
    return " to ".join(f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in (low, high))


def row(folder: Path) -> str:
    """One line of the short table."""
    results = runs(folder)
    first = results[0]
    seeds = len(results)
    cells = [
        f"[{folder.name}](results/{folder.name})",
        first["snn"]["architecture"],
        str(first["steps"] or "none"),
        str(seeds),
        *(accuracy([r[network]["test_accuracy"] for r in results]) for network in NETWORKS),
    ]
    return f"| {' | '.join(cells)} |"


def short_table(language: str) -> str:
    """The table of the READMEs."""
    header = {
        "en": "| run | network | T | seeds | SNN, % | ANN, % | quantised ANN, % |",
        "ja": "| 実行 | ネットワーク | T | シード数 | SNN、% | ANN、% | 量子化ANN、% |",
    }[language]
    return "\n".join([header, "|---|---|---|---|---|---|---|", *(row(folder) for folder in experiments())])


def experiments() -> list[Path]:
    """The folders that hold results."""
    return sorted({path.parent.parent for path in HERE.glob("*/seed*/result.json")})


def long_table(folder: Path) -> str:
    """All that is worth a line, for one experiment."""
    results = runs(folder)
    lines = ["| | SNN | ANN | quantised ANN |", "|---|---|---|---|"]

    def line(title: str, cell: Any) -> None:
        lines.append(f"| {title} | {' | '.join(cell(network) for network in NETWORKS)} |")

    def mean(key: str, form: str) -> Any:
        return lambda network: format(statistics.mean(r[network][key] for r in results), form)

    line("test accuracy, %", lambda n: accuracy([r[n]["test_accuracy"] for r in results]))
    line("validation accuracy, %", lambda n: accuracy([r[n]["val_accuracy"] for r in results]))
    line("parameters", mean("parameters", ",.0f"))
    line("time steps", lambda n: "none" if results[0][n]["steps"] is None else mean("steps", ".0f")(n))
    line("effective MAC a sample", mean("macs_per_sample", ",.0f"))
    line("effective AC a sample", mean("acs_per_sample", ",.0f"))
    line("energy a sample, arithmetic alone, nJ", lambda n: joules(results, n, "compute"))
    line("energy a sample, with memory access, nJ", lambda n: joules(results, n, "with_memory"))
    line("latency on the machine of the run, ms", mean("latency_ms", ".3g"))
    line("training on the machine of the run, s", mean("train_seconds", ".0f"))
    spikes = statistics.mean(r["snn"]["spikes_per_sample"] for r in results)
    rate = statistics.mean(r["snn"]["mean_firing_rate"] for r in results)
    commits = sorted({r["environment"]["commit"][:10] for r in results})
    threads = sorted({r["environment"]["threads"] for r in results})
    machine = results[0]["environment"]
    data = results[0]["data"]
    time = "exact spike times" if results[0]["steps"] is None else f"T = {results[0]['steps']}"
    about = (
        f"{results[0]['title']}. {results[0]['snn']['architecture']}, {time}, {data['train']:,} "
        f"training, {data['validation']:,} validation and {data['test']:,} test samples."
    )
    course = f"The SNN sends {spikes:,.0f} spikes a sample, {rate:.2f} a neuron."
    if results[0]["steps"] is not None:
        steps = range(1, results[0]["steps"] + 1)
        over_time = [statistics.mean(r["snn"]["accuracy_by_step"][t - 1] for r in results) for t in steps]
        course = (
            f"The SNN sends {spikes:,.0f} spikes a sample, {100 * rate:.1f} % of its neurons a step. Its test accuracy "
            f"after 1, 2, ... {results[0]['steps']} steps: {', '.join(f'{100 * a:.2f}' for a in over_time)} %."
        )
    place = (
        f"Commit {', '.join(commits)}; {machine['cpu']}, {machine['cores']} cores, "
        f"threads {', '.join(map(str, threads))}; torch {machine['versions']['torch']}."
    )
    commands = ["```console", *(f"$ {r['command']}" for r in results), "```"]
    return "\n".join([f"## {folder.name}", "", about, "", *commands, "", *lines, "", course, "", place])


def studies(recipe: str = "*") -> dict[Path, dict[str, Any]]:
    """Folder and result of each study of many runs: `results/NAME/PART/result.json` with rows, in their order."""
    found: dict[Path, dict[str, Any]] = {}
    for path in sorted(HERE.glob("*/*/result.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "study" in result and recipe in ("*", result["recipe"]):
            found[path.parent] = result
    return found


def study_text(folder: Path, result: dict[str, Any]) -> str:
    """A study: its command, its tables, its pictures and its machine."""
    machine = result["environment"]
    title = str(folder.parent.relative_to(HERE))
    if folder.name != "study":
        title += f", {folder.name}"
    pictures = [f"![{result['title']}]({path.relative_to(HERE)})" for path in sorted(folder.glob("*.svg"))]
    figures = [f"- {key}: {value:.3g}" for key, value in result.get("figures", {}).items()]
    place = (
        f"Commit {machine['commit'][:10]}; {machine['cpu']}, {machine['cores']} cores, threads {machine['threads']}; "
        f"torch {machine['versions']['torch']}."
    )
    head = [f"## {title}", "", f"{result['title']}.", "", "```console", f"$ {result['command']}", "```", ""]
    # headings that no other study has
    tables = result["table"].replace("### ", f"### {title}: ")
    return "\n".join([*head, tables, *pictures, "", *figures, *([""] if figures else []), place])


WORDS = {
    "en": {
        "short": "One seed, short budget: {epochs} epochs of {samples:,} samples.",
        "full": "Full budget: {epochs} epochs of {samples:,} samples.",
        "surrogate": "surrogate",
        "route": "route",
        "neuron": "neuron",
        "columns": (
            "seeds",
            "validation, %",
            "test, %",
            "forward and backward, ms",
            "peak memory, MiB",
            "firing rate, %",
            "zero gradients, %",
        ),
        "failed": "not trained",
        "none": "No result is stored yet. `snn4 run direct_training` makes it.",
    },
    "ja": {
        "short": "シード1つ、少ない学習量: {samples:,}サンプルを{epochs}エポック。",
        "full": "通常の学習量: {samples:,}サンプルを{epochs}エポック。",
        "surrogate": "サロゲート",
        "route": "経路",
        "neuron": "ニューロン",
        "columns": (
            "シード数",
            "検証、%",
            "テスト、%",
            "順伝播と逆伝播、ms",
            "最大メモリ、MiB",
            "発火率、%",
            "ゼロの勾配、%",
        ),
        "failed": "学習できず",
        "none": "保存された結果はまだありません。`snn4 run direct_training` で作成できます。",
    },
}
QUANTITIES = (
    ("val_accuracy", 100, 2),
    ("test_accuracy", 100, 2),
    ("step_ms", 1, 1),
    ("peak_bytes", 1 / 2**20, 1),
    ("firing_rate", 100, 1),
    ("zero_gradient", 100, 1),
)


def cell(values: list[float], digits: int) -> str:
    """Mean, and the sample standard deviation where there are several values."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def choice_table(rows: list[dict[str, Any]], kind: str, language: str) -> str:
    """The members of one kind with the common baseline: the full budget, then the short one."""
    words = WORDS[language]
    parts: list[str] = []
    for budget in ("full", "short"):
        some = {
            (row["kind"], row["member"], row["seed"]): row
            for row in rows
            if row["budget"] == budget and row["kind"] in ("baseline", kind)
        }
        members: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for (which, member, _), row in some.items():
            members.setdefault((which, member), []).append(row)
        if not any(which == kind for which, _ in members):
            continue
        lines = [f"| {words[kind]} | {' | '.join(words['columns'])} |", f"|{'---|' * (len(words['columns']) + 1)}"]
        order = sorted(members, key=lambda key: -statistics.mean(row.get("val_accuracy", -1.0) for row in members[key]))
        for key in order:
            whole = [row for row in members[key] if "failed" not in row]
            if whole:
                cells = [str(len(whole))]
                for name, scale, digits in QUANTITIES:
                    cells.append(cell([scale * row[name] for row in whole if row[name] is not None], digits))
            else:
                reason = " ".join(members[key][0]["failed"].split()).replace("|", "\\|")
                cells = [words["failed"], reason, *[""] * (len(QUANTITIES) - 1)]
            lines.append(f"| {' | '.join([key[1], *cells])} |")
        first = next(row for row in some.values() if "failed" not in row)
        parts.append(words[budget].format(epochs=first["epochs"], samples=first["samples"]) + "\n\n" + "\n".join(lines))
    return "\n\n".join(parts) if parts else words["none"]


PAGES = {
    "docs/how-to/choose-a-neuron.md": ("neuron", "en"),
    "docs/how-to/choose-a-surrogate.md": ("surrogate", "en"),
    "docs/ja/choose-a-neuron.md": ("neuron", "ja"),
    "docs/ja/choose-a-surrogate.md": ("surrogate", "ja"),
}


_ROUTE_WORDS = {
    "en": {
        "header": (
            "study",
            "route",
            "T",
            "test accuracy, %",
            "memory of a batch, MiB",
            "time of a batch, ms",
            "fires, %",
        ),
        "stream": "on a stream",
        "more": (
            "The same small network on Fashion-MNIST, T = 4, with LIF and ATan, one recipe and nobody's tuning\n"
            "(`snn4 run direct_training --kinds routes`):"
        ),
    },
    "ja": {
        "header": ("実験", "経路", "T", "テスト正解率、%", "1バッチのメモリ、MiB", "1バッチの時間、ms", "発火率、%"),
        "stream": "ストリーム上",
        "more": (
            "同じ小さなネットワーク（Fashion-MNIST、T = 4、LIF と ATan）を、同じレシピで個別の調整なしに学習した結果"
            "（`snn4 run direct_training --kinds routes`）："
        ),
    },
}


def route_rows(language: str) -> list[list[str]]:
    """One line a route and study, from the studies that there are."""
    found: list[list[str]] = []
    for result in studies().values():
        study = result["study"]
        costs = {(r["route"], r["steps"]): r for r in study if r.get("kind") == "cost"}
        for row in study:
            if row.get("kind") in ("training", "loop", "stream") and row["seed"] == result["seed"]:
                same = [r for r in study if r.get("kind") == row["kind"] and r["route"] == row["route"]]
                kind = f" ({_ROUTE_WORDS[language]['stream']})" if row["kind"] == "stream" else ""
                measured = costs.get((row["route"], row["steps"]))
                cells = [f"{row['route']}{kind}", str(row["steps"]), accuracy([r["test_accuracy"] for r in same])]
                found.append([result["recipe"], *cells, *_cost(measured), "-"])
            elif result["recipe"] == "dsr":
                cells = [row["about"], str(row["steps"]), accuracy([row["test_accuracy"]]), *_cost(row)]
                found.append([result["recipe"], *cells, f"{100 * row['firing_rate']:.1f}"])
    return found


def _cost(row: dict[str, Any] | None) -> list[str]:
    return ["-", "-"] if row is None else [f"{row['peak_bytes'] / 2**20:.2f}", f"{row['ms']:.1f}"]


def route_table(rows: list[dict[str, Any]], language: str) -> str:
    """Studies of routes, and below them the routes among the rows of direct_training."""
    header = _ROUTE_WORDS[language]["header"]
    lines = [header, ["---"] * len(header), *route_rows(language)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, _ROUTE_WORDS[language]["more"], choice_table(rows, "route", language)])


_LEAK_WORDS = {
    "en": (
        "{seeds} seeds, {epochs} epochs without augmentation, test accuracy and its standard deviation:",
        "leak, windows | several spikes, % | one spike, % | spikes a neuron, several | spikes a neuron, one",
        "Accuracy and spikes a neuron against the leak, several spikes and one",
        "none",
    ),
    "ja": (
        "シード {seeds} 個、データ拡張なしの {epochs} エポック。テスト正解率と標準偏差：",
        "リーク（窓を単位） | 複数スパイク、% | 単一スパイク、% | ニューロン当たりのスパイク、複数 | 同、単一",
        "リークに対する正解率とニューロン当たりのスパイク数。複数スパイクと単一スパイク",
        "なし",
    ),
}


def leak_text(language: str) -> str:
    """The leak study as the page on spike times shows it."""
    about, header, alt, none = _LEAK_WORDS[language]
    parts: list[str] = []
    for folder, result in studies("leak_study").items():
        rows = result["study"]
        epochs = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]["epochs"]
        lines = [f"| {header} |", "|---" * 5 + "|"]
        for leak in dict.fromkeys(row["tau_v"] for row in rows):
            cells = [none if leak is None else f"{leak:g}"]
            for key, scale in (("test_accuracy", 100), ("spikes_per_neuron", 1)):
                for model in ("several", "one"):
                    same = [scale * r[key] for r in rows if r["tau_v"] == leak and r["model"] == model]
                    cells.append(cell(same, 2))
            lines.append(f"| {' | '.join(cells)} |")
        seeds = len({row["seed"] for row in rows})
        picture = f"![{alt}](../../{folder.relative_to(HERE.parent)}/leak_study.svg)"
        parts += [about.format(seeds=seeds, epochs=epochs), "\n".join(lines), picture]
    return "\n\n".join(parts)


def replaced(text: str, content: str) -> str:
    """`text` with what stands between the marks replaced."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def wanted() -> dict[Path, str]:
    """What each file should hold."""
    root = HERE.parent
    full = "\n\n".join([*map(long_table, experiments()), *(study_text(*one) for one in studies().items())])
    rows = [row for result in studies("direct_training").values() for row in result["study"]]
    contents = {
        HERE / "README.md": full,
        root / "README.md": short_table("en"),
        root / "README.ja.md": short_table("ja"),
        root / "docs/how-to/choose-a-route.md": route_table(rows, "en"),
        root / "docs/ja/choose-a-route.md": route_table(rows, "ja"),
        root / "docs/explanation/spike-times.md": leak_text("en"),
        root / "docs/ja/spike-times.md": leak_text("ja"),
    }
    contents |= {root / page: choice_table(rows, kind, language) for page, (kind, language) in PAGES.items()}
    return {path: replaced(path.read_text(encoding="utf-8"), content) for path, content in contents.items()}


def main() -> int:
    """Write, or check."""
    stale = [path for path, text in wanted().items() if path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in sys.argv:
            sys.stderr.write(f"{path.relative_to(HERE.parent)} is not up to date: python results/summarise.py\n")
        else:
            path.write_text(wanted()[path], encoding="utf-8")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
