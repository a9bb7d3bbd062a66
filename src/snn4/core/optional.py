"""Libraries that are not needed by the core, imported where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from snn4.core.errors import MissingLibraryError

__all__ = ["need"]

# the extra of pyproject.toml that brings each library
_EXTRA = {
    "safetensors": "files",
    "safetensors.numpy": "files",
    "safetensors.torch": "files",
    "sklearn": "data",
    "sklearn.datasets": "data",
    "rich": "cli",
    "tyro": "cli",
    "matplotlib": "view",
    "numba": "numba",
    "llvmlite": "numba",
    "triton": "gpu",
}


def need(library: str, purpose: str) -> ModuleType:
    """Import an optional library, or say which extra brings it.

    Args:
        library: the module to import, `"matplotlib.pyplot"`.
        purpose: what it is for, as the end of "is needed ...": `"to draw pictures"`.

    Raises:
        MissingLibraryError: the library is not installed.

    Example:
        >>> need("json", "to read configurations").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(library)
    except ImportError as cause:
        top = library.split(".")[0]
        extra = _EXTRA.get(library) or _EXTRA.get(top)
        install = f"pip install 'snn4[{extra}]'" if extra else f"pip install {top}"
        raise MissingLibraryError(
            f"the library {top!r} cannot be imported ({cause})",
            f"it installed, because it is needed {purpose}",
            f"Install it with: {install}",
        ) from cause
