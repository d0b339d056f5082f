"""What the processor of this machine can do."""

import functools
import os
import platform
from pathlib import Path

# As Linux names what multiplies bfloat16, and what TensorFlow's makers ask for before they turn oneDNN on.
_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
_ONEDNN = frozenset({"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"})


def cores() -> int:
    """Return how many cores this process may use.

    Example:

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_bfloat16() -> bool:
    """Tell whether the processor computes in bfloat16 by itself; false where this is not known (not on Linux).

    Example:

    >>> isinstance(has_bfloat16(), bool)
    True
    """
    return bool(_BFLOAT16 & _flags())


def uses_onednn() -> bool:
    """Tell whether TensorFlow computes with oneDNN here; false where this is not known.

    The variable ``TF_ENABLE_ONEDNN_OPTS`` decides, and without it the processor.

    Example:

    >>> isinstance(uses_onednn(), bool)
    True
    """
    asked = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    return bool(_ONEDNN & _flags()) if asked is None else asked.lower() in ("1", "true")


def name() -> str:
    """Return the processor's name as Linux lists it, or else its kind.

    Example:

    >>> len(name()) > 0
    True
    """
    return _listed("model name") or platform.machine()


def _flags() -> frozenset[str]:
    return frozenset(_listed("flags").split())


@functools.cache
def _listed(what: str) -> str:
    """Return what Linux lists of the first processor; ``""`` where this is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith(what)), "").partition(":")[2].strip()
