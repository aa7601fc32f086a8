from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.grading.exports.sheet import Sheet
from harness.texts.problem import Problem

TABLE = 'Name,"Full name",Note\nZoé,"a ""b"", c",\n"x\ny",,3\n'


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "cp1252"),
    ],
)
def test_a_file_stays_as_it_was(mark: bytes, codec: str, end: str, delimiter: str) -> None:
    """Whatever its encoding, delimiter and line ends: only the cell that is written is another one."""
    before = mark + TABLE.replace(",", delimiter).replace("\n", end).encode(codec)
    sheet = Sheet(before)
    assert sheet.to_bytes() == before
    assert sheet.delimiter == delimiter
    assert [len(row) for row in sheet.rows] == [3, 3, 3]
    sheet.put(1, 2, "7.5")
    old, new = f"{delimiter}{end}".encode(codec), f"{delimiter}7.5{end}".encode(codec)
    assert sheet.to_bytes() == before.replace(old, new, 1)


@given(st.binary(max_size=60))
def test_any_bytes_stay_as_they_were(data: bytes) -> None:
    """A file of any bytes is kept as it is, or refused with a sentence; nothing else happens."""
    try:
        sheet = Sheet(data)
    except Problem:
        return
    assert sheet.to_bytes() == data


@given(st.text("a\",;\n\r\t '", max_size=12), st.sampled_from(",;\t"))
def test_what_is_written_is_read(text: str, delimiter: str) -> None:
    """A cell with quotation marks, delimiters or line breaks in it is the same cell afterwards."""
    sheet = Sheet(f"a{delimiter}b{delimiter}c\n1{delimiter}{delimiter}3\n".encode())
    sheet.put(1, 1, text)
    assert Sheet(sheet.to_bytes()).rows == [["a", "b", "c"], ["1", text, "3"]]


def test_a_cell_beyond_the_end_of_its_row() -> None:
    """A row that a spreadsheet has cut is made longer."""
    sheet = Sheet(b"a,b,c\n1\n")
    assert sheet.cell(1, 2) == ""
    sheet.put(1, 2, "x")
    assert sheet.to_bytes() == b"a,b,c\n1,,x\n"


def test_what_an_encoding_lacks() -> None:
    """It becomes a reference of HTML, and no error."""
    sheet = Sheet("é,b\n,\n".encode("cp1252"))
    sheet.put(1, 1, "李")
    assert sheet.to_bytes() == "é,b\n,&#26446;\n".encode("cp1252")


def test_a_quotation_mark_that_is_never_closed() -> None:
    """A broken file is read in time that grows with its length only, and kept."""
    data = b"a,b\n" + b'"x,' * 20_000
    assert Sheet(data).to_bytes() == data


@pytest.mark.parametrize("data", [b"PK\3\4\0\0\0", b"\xff\xfea"])
def test_binary_data_is_refused(data: bytes) -> None:
    """A spreadsheet's own file is no table, and half a character no text."""
    with pytest.raises(Problem, match="save it as CSV"):
        Sheet(data)
