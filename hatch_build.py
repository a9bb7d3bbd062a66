"""A wheel with compiled kernels of snn4's own neurons: `make wheel`, or SNN4_PREBUILD=1 around any build.

It needs torch and a C++ compiler where it is built, so it is asked for; without, the wheel is pure Python and snn4
compiles on the machine that it runs on.
"""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Prebuild(BuildHookInterface):
    """Adds the kernels to a wheel and tells its platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before files are collected."""
        if version == "editable" or not os.environ.get("SNN4_PREBUILD"):
            return
        folder = Path(self.root) / "build" / "prebuilt"
        sys.path.insert(0, str(Path(self.root) / "src"))
        names = compile_kernels(folder)
        self.app.display_info(f"{len(names)} kernels compiled ahead")
        build_data["force_include"][str(folder)] = "snn4/kernels/prebuilt"
        build_data["pure_python"] = False
        # shared objects that know nothing of Python: any version of it, this platform
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compile_kernels(folder: Path) -> list[str]:
    """The kernels of every neuron as it comes, and with a hard reset; those of exact spike times in float32."""
    import shutil

    import torch

    from snn4 import neurons
    from snn4.kernels.prebuild import prebuild
    from snn4.through_time import Neuron
    from snn4.timing import engine_cpp

    members: list[Neuron] = []
    for name in neurons.__all__:
        kind = getattr(neurons, name)
        if not (inspect.isclass(kind) and issubclass(kind, Neuron)) or inspect.isabstract(kind):
            continue
        parameters = inspect.signature(kind).parameters.values()
        if all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            members.append(kind())
            if any(p.name == "v_reset" for p in parameters):
                members.append(kind(v_reset=0.0))
    shutil.rmtree(folder, ignore_errors=True)
    engine = {"exact spike times": engine_cpp.source(torch.float32)}
    return prebuild(members, folder, shared=True, more=engine)
