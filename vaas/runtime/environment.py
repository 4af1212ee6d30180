"""What a kernel's process may know of the server's environment: an allow-list and a private home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["TO_BE_FORKED", "kernel_environment"]

_KEPT = frozenset(
    {
        *("PATH", "LANG", "LANGUAGE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS"),
    }
)
#: An operator names further variables here, separated by commas; what is secret stays out even so.
_MORE = "VAAS_KERNEL_ENV"
#: As many threads as a numerical library starts by itself, where nobody says otherwise: a big machine has many
#: processors and many visitors.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")
_FEW_THREADS = str(min(4, os.cpu_count() or 1))
#: A kernel that is forked must not have threads of its libraries: those of OpenMP (scikit-learn) wait in a fork for
#: others that are not there, and Arrow's allocator, which pandas brings along, starts one to tidy up.
TO_BE_FORKED = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
#: The packages are those of all apps: a cell that installs something only says what it would do.
_NO_INSTALLS = {"PIP_DRY_RUN": "1", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
_NEVER = ("JUPYTERHUB_", "VAAS_", "JPY_")


def kernel_environment(
    source: Mapping[str, str], *, home: Path, fonts: Path, request: Mapping[str, str], ahead: bool = False
) -> dict[str, str]:
    """Return the environment of a kernel.

    Parameters
    ----------
    source:
        The server's own environment.
    home:
        The kernel's private folder; its home and its temporary folder lie in it.
    fonts:
        Where matplotlib keeps its list of fonts.
    request:
        What Voilà tells notebooks of the visitor's request.
    ahead:
        Whether the kernel runs ahead of its visits, to be forked.
    """
    temporary = str(home / "tmp")
    return {
        **dict.fromkeys(_THREADS, _FEW_THREADS),
        **(TO_BE_FORKED if ahead else {}),
        **_kept(source),
        **request,
        "HOME": str(home),
        "TMPDIR": temporary,
        "IPYTHONDIR": str(home / ".ipython"),
        "MPLCONFIGDIR": str(fonts),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        # Otherwise plotly's default sends its whole library along with every figure.
        "PLOTLY_RENDERER": "plotly_mimetype",
        "PYTHONDONTWRITEBYTECODE": "1",
        **_NO_INSTALLS,
    }


def _kept(source: Mapping[str, str]) -> dict[str, str]:
    more = {name.strip() for name in source.get(_MORE, "").split(",")}
    return {
        name: value
        for name, value in source.items()
        if (name in _KEPT or name in more or name.startswith("LC_")) and not name.startswith(_NEVER)
    }
