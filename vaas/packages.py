"""Packages and modules: what is imported by one name is often installed by another."""

from __future__ import annotations

import re

__all__ = ["normal", "package_of"]

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


def package_of(module: str) -> str:
    """Return the name under which package indexes know what brings ``module``."""
    return _PACKAGES.get(module, module.replace("_", "-"))


def normal(package: str) -> str:
    """Return the one form of a package's name, in which spellings are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()
