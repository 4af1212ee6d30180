"""Which modules are there, and which package to install for those that are not."""

from __future__ import annotations

import importlib
import importlib.util
import sys

__all__ = ["is_missing", "package_of"]

#: module → the package that brings it, where the names differ.
_PACKAGES = {
    "Bio": "biopython", "Crypto": "pycryptodome", "IPython": "ipython",
    "MySQLdb": "mysqlclient", "OpenSSL": "pyOpenSSL", "PIL": "pillow", "PyPDF2": "pypdf2", "attr": "attrs",
    "bs4": "beautifulsoup4", "cartopy": "Cartopy", "community": "python-louvain", "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil", "docx": "python-docx", "dotenv": "python-dotenv", "faiss": "faiss-cpu",
    "fitz": "PyMuPDF", "git": "GitPython", "github": "PyGithub", "google": "google-cloud-storage",
    "googleapiclient": "google-api-python-client", "jwt": "PyJWT",
    "kafka": "kafka-python", "magic": "python-magic", "mpl_toolkits":
    "matplotlib", "nacl": "PyNaCl", "osgeo": "gdal", "pptx": "python-pptx", "psycopg2": "psycopg2-binary",
    "pylab": "matplotlib", "ROOT": "root", "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "skopt": "scikit-optimize", "slugify": "python-slugify", "snappy": "python-snappy", "socks": "PySocks",
    "talib": "TA-Lib", "telegram": "python-telegram-bot", "umap": "umap-learn", "usb": "pyusb",
    "webdav3": "webdavclient3", "wx": "wxPython", "yaml": "PyYAML", "zmq": "pyzmq",
}  # fmt: skip


def is_missing(module: str) -> bool:
    """Tell whether a top-level module cannot be imported in this environment."""
    importlib.invalidate_caches()
    if module in sys.builtin_module_names or module in sys.stdlib_module_names:
        return False
    try:
        return importlib.util.find_spec(module) is None
    except (ImportError, ValueError):
        # It is loaded already, in a way that tells no origin.
        return module not in sys.modules


def package_of(module: str) -> str:
    """Return the name under which package indexes know what brings ``module``."""
    return _PACKAGES.get(module, module.replace("_", "-"))
