"""The table that sets the SNN beside its ANN, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snn4.cli.tables import console, show_rows
from snn4.core.optional import need

__all__ = ["show", "show_values"]

_MODELS = ("snn", "ann", "ann_quantised")

_WORDS = {
    "en": {
        "snn": "SNN",
        "ann": "ANN",
        "ann_quantised": "ANN, quantised",
        "test_accuracy": "test accuracy",
        "val_accuracy": "validation accuracy",
        "parameters": "parameters",
        "bytes": "weights",
        "steps": "time steps",
        "spikes_per_sample": "spikes a sample",
        "compute": "energy a sample, compute",
        "with_memory": "energy a sample, with memory",
        "latency_ms": "latency here, one sample",
        "train_seconds": "training here",
        "note": "Energy is a range over named models: what each assumes stands in the report.",
        "files": "Everything is in",
        "report": "Report",
    },
    "ja": {
        "snn": "SNN",
        "ann": "ANN",
        "ann_quantised": "量子化 ANN",
        "test_accuracy": "テスト正解率",
        "val_accuracy": "検証正解率",
        "parameters": "パラメータ数",
        "bytes": "重みの容量",
        "steps": "時間ステップ数",
        "spikes_per_sample": "スパイク数",
        "compute": "エネルギー（演算のみ）",
        "with_memory": "エネルギー（メモリ込み）",
        "latency_ms": "遅延（この計算機）",
        "train_seconds": "学習時間（この計算機）",
        "note": (
            "スパイク数、エネルギー、遅延は 1 サンプルあたりの値です。"
            "エネルギーは複数のモデルによる推定の幅で、各モデルの前提はレポートに記載しています。"
        ),
        "files": "出力フォルダー",
        "report": "レポート",
    },
}


def show(result: Mapping[str, Any], folder: Path, lang: str = "en") -> None:
    """Print the comparison and where the files are.

    Args:
        result: the content of `result.json`. What it lacks is left out.
        folder: the run folder.
        lang: `"en"` or `"ja"`.
    """
    words = _WORDS[lang]
    models = {name: result[name] for name in _MODELS if isinstance(result.get(name), Mapping)}
    if models:
        table = need("rich.table", "to print tables").Table(title=f"{result.get('title', '')}  seed {result['seed']}")
        table.add_column("")
        for name in models:
            table.add_column(words[name], justify="right")
        for key, row in _rows(models).items():
            table.add_row(words[key], *row)
        console().print(table)
        console().print(words["note"], style="dim", soft_wrap=True)
    if isinstance(result.get("table"), str):  # a study of many runs
        from snn4.recipes.tables import cells_of

        for heading, (columns, *lines) in cells_of(result["table"]).items():
            show_rows(heading, columns, lines)
    console().print(f"{words['files']}: {folder}", soft_wrap=True, markup=False)
    if (folder / "report.html").exists():
        console().print(f"{words['report']}: {folder / 'report.html'}", soft_wrap=True, markup=False)


def _rows(models: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for key, form in _FORMS.items():
        values = [_look_up(name, model, key) for name, model in models.items()]
        if any(value is not None for value in values):
            rows[key] = ["" if value is None else form(value) for value in values]
    return rows


def _look_up(name: str, model: Mapping[str, Any], key: str) -> Any:
    if key == "spikes_per_sample" and name != "snn":
        return None  # an ANN has none, which is not the same as zero
    if key in ("compute", "with_memory"):
        return model.get("energy_pj", {}).get(key)
    return model.get(key)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _count(value: float) -> str:
    return f"{value:,.0f}"


# the report's own wording of units, imported where it is used because the rest of its package is heavy
def _size(value: float) -> str:
    from snn4.view.units import bytes_text

    return bytes_text(value)


def _energy(value: list[float]) -> str:
    from snn4.view.units import energy_range

    low, high = value
    return energy_range(low, high)


def _milliseconds(value: float) -> str:
    from snn4.view.units import milliseconds

    return milliseconds(value)


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


_FORMS = {
    "test_accuracy": _percent,
    "val_accuracy": _percent,
    "parameters": _count,
    "bytes": _size,
    "steps": _count,
    "spikes_per_sample": _count,
    "compute": _energy,
    "with_memory": _energy,
    "latency_ms": _milliseconds,
    "train_seconds": _seconds,
}


def show_values(values: Mapping[str, Any], title: str) -> None:
    """Print a mapping as a table of two columns; nested mappings become dotted names.

    Args:
        values: numbers, texts, and mappings of them. Longer lists are left to the JSON.
        title: above the table.
    """
    table = need("rich.table", "to print tables").Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in _flat(values):
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console().print(table)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, (list, tuple)):
            rows.append((f"{prefix}{key}", value))
    return rows
