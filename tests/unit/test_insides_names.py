"""What a name promises, what the first bytes tell, and that both speak of the same formats."""

from __future__ import annotations

from io import BufferedReader, BytesIO

import pytest

from vaas.insides import formats
from vaas.insides.formats import TITLES, find_format
from vaas.insides.handed import Handed, Part
from vaas.insides.names import NOT_READ, SUFFIXES, promised, tells


def found(name: str, head: bytes) -> str:
    return find_format(Handed(name, (Part(name, BufferedReader(BytesIO(head))),)))  # type: ignore[type-var]


def test_every_format_has_words_and_somebody_who_reads_it_or_is_known_not_to_be_read() -> None:
    assert set(formats._MODULES) == set(TITLES) and set(SUFFIXES.values()) <= set(TITLES)
    assert {name for name, module in formats._MODULES.items() if module == "others"} == NOT_READ
    magic = {name for _, name in (*formats._MAGIC, *formats._UNREAD_MAGIC)}
    assert magic <= set(TITLES) and {name for _, name in formats._UNREAD_MAGIC} <= NOT_READ


def test_what_is_read_is_worth_a_look_by_its_name() -> None:
    for name in ("a.csv", "A.CSV", "b.tar.gz", "c.dat", "d.markdown", "e.png", "f.jpg", "g.svg", "h.webp", "i.log"):
        assert tells(name), name
    for name in ("a.pdf", "b.zip", "c.root", "d.grib", "e.npy", "f.xls", "g.bz2", "h.exe", "README", ".csv", "csv", ""):
        assert not tells(name), name


def test_a_name_promises_a_format_or_at_least_its_ending() -> None:
    expected = {"a.grb2": "grib", "b.ROOT": "root", "c.npz": "numpy", "d.jpg": "jpeg", "e.tab": "tsv", "f.foo": "foo"}
    assert {name: promised(name) for name in expected} == expected
    assert promised("README") == promised(".csv") == promised("x.") == "" and len(promised(f"x.{'y' * 99}")) == 20


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (b"GRIB\0\0\0\2" + b"\0" * 8, "grib"),
        (b"GRIB\0\0\0\7" + b"\0" * 8, "binary"),
        (b"BUFR\0\0\0\4", "bufr"),
        (b"root\0\0\xf2\x50", "root"),
        (b"\x93NUMPY\1\0", "numpy"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b"\0\1IM", "matlab"),
        (b"SQLite format 3\0" + b"\1" * 52 + b"GPKG", "geopackage"),
        (b"SQLite format 3\0" + b"\1" * 60, "sqlite"),
        (b"\x0e\x03\x13\x01\0", "hdf4"),
        (b"BZh91AY&SY\0\1", "bzip2"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"\x28\xb5\x2f\xfd\0", "zstd"),
        (b"\0\1\2\3", "binary"),
        # Texts that begin so.
        (b"GRIB is a format.", "text"),
        (b"root: of all", "text"),
        (b"BZh: a word", "text"),
    ],
)
def test_what_is_not_read_is_named_by_its_first_bytes(head: bytes, format: str) -> None:
    assert found("x.dat", head) == format


def test_a_file_that_promises_nothing_is_no_surprise() -> None:
    from vaas.insides.reading import look

    told = look(Handed("x.dat", (Part("x.dat", BufferedReader(BytesIO(b"\0\1\2\3"))),)))  # type: ignore[type-var]
    assert told["format"] == "binary" and "summary" not in told
