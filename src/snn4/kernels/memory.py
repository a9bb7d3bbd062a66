"""Keep freed memory in the process: with glibc, worth more than a faster kernel.

glibc hands every block above 32 MiB back to the system when it is freed, and the next tensor of that size is then
mapped and zeroed page by page. Large layers spend more time in that than in arithmetic. `snn4.kernels.pool` spares it
the outputs of kernels; this setting spares it every tensor of the process.
"""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# where glibc's own adaptation ends
_DEFAULT_TRIM, _DEFAULT_MMAP = 64 << 20, 32 << 20


def keep_memory(on: bool = True) -> bool:
    """Ask glibc to keep freed memory for this process instead of handing it back; off by default.

    It is a setting of the whole process: memory that was used once stays with it (up to 2 GiB unused), whoever used it.

    Args:
        on: `False` goes back to the largest sizes that glibc chooses itself.

    Returns:
        Whether the C library took it. Others than glibc do not know it, and nothing changes.

    Example:
        >>> took = keep_memory()        # doctest: +SKIP
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    threshold, trim = (1 << 30, (1 << 31) - 1) if on else (_DEFAULT_MMAP, _DEFAULT_TRIM)
    return bool(libc.mallopt(_M_MMAP_THRESHOLD, threshold)) and bool(libc.mallopt(_M_TRIM_THRESHOLD, trim))
