"""Results of the benchmarks as one Markdown page: results/table.md."""

from __future__ import annotations

import json
from typing import Any

from common import RESULTS

FILES = ("layer", "linear", "steps", "recurrent", "memory", "latency")


def page() -> str:
    """All sections of all files, each a table."""
    lines = ["# Results", ""]
    for name in FILES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        whole: dict[str, Any] = json.loads(path.read_text())
        for section, result in whole.items():
            rows: dict[str, dict[str, Any]] = result["rows"]
            columns = list(dict.fromkeys(key for row in rows.values() for key in row))
            about = result["conditions"]
            rounds = result.get("rounds", result.get("repeats", about.get("repeats", "")))
            lines += [f"## {name}: {section}", ""]
            lines.append(
                f"{about['cpu']}, {about['threads']} threads, torch {about['torch']}, commit {about['commit']}, "
                f"medians of {rounds or 'one run'}."
            )
            lines += ["", f"| entry | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
            for entry, row in rows.items():
                lines.append(f"| {entry} | {' | '.join(str(row.get(key, '')) for key in columns)} |")
            lines.append("")
        if name == "linear":
            lines += spyx()
    return "\n".join(lines)


def spyx() -> list[str]:
    """What spyx.sh has measured, in another process and environment."""
    path = RESULTS / "spyx.json"
    if not path.exists():
        return []
    known: dict[str, Any] = json.loads(path.read_text())
    lines = [f"## linear: spyx {known['spyx']}", "", f"jax {known['jax']}, medians of {known['rounds']}.", ""]
    lines += ["| entry | ms | compiled_in_s |", "|---|---|---|"]
    for entry, row in known.items():
        if isinstance(row, dict):
            lines.append(f"| {entry} | {row['ms']} | {row['compiled_in_s']} |")
    return [*lines, ""]


if __name__ == "__main__":
    (RESULTS / "table.md").write_text(page())
