"""Items come from files a few at a time; each knows where to go on, and says in words where it cannot be read."""

from pathlib import Path
from typing import Any

import pytest

from taskfleet.core.errors import DatasetError, InputError
from taskfleet.parallel.items import ItemList, ParquetFile, Source, file_items

TABLE = 'name,text\na,"one\ntwo"\nb,\n\nc,"say ""x"""\n'


def written(folder: Path, name: str, content: str) -> Source:
    file = folder / name
    file.write_text(content)
    form = {"jsonl": "jsonl", "csv": "csv", "txt": "text"}[name.partition(".")[2]]
    return file_items(file, form)


def parquet(folder: Path) -> Source:
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pa.table({"name": ["a", "b", "c", "d", "e"], "n": [1, 2, 3, 4, 5]})
    pq.write_table(table, folder / "t.parquet", row_group_size=2)
    return ParquetFile(folder / "t.parquet")


SOURCES: dict[str, Any] = {
    "list": lambda _folder: ItemList(["a", {"b": 1}, None]),
    "jsonl": lambda folder: written(folder, "i.jsonl", '\ufeff{"a": 1}\n\n2\n"x"'),
    "text": lambda folder: written(folder, "i.txt", "a\r\n  \n b \n"),
    "csv": lambda folder: written(folder, "i.csv", TABLE),
    "parquet": parquet,
}
EXPECTED: dict[str, list[Any]] = {
    "list": ["a", {"b": 1}, None],
    "jsonl": [{"a": 1}, 2, "x"],
    "text": ["a", "b"],
    "csv": [{"name": "a", "text": "one\ntwo"}, {"name": "b", "text": ""}, {"name": "c", "text": 'say "x"'}],
    "parquet": [{"name": name, "n": n} for n, name in enumerate("abcde", start=1)],
}


@pytest.mark.parametrize("kind", SOURCES)
def test_items_are_the_same_from_the_beginning_and_from_behind_each_of_them(kind: str, tmp_path: Path) -> None:
    source: Source = SOURCES[kind](tmp_path)
    placed = list(source.items(None))
    assert [item for item, _ in placed] == EXPECTED[kind]
    for number, (_, cursor) in enumerate(placed, start=1):
        assert [item for item, _ in source.items(cursor)] == EXPECTED[kind][number:]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("i.jsonl", '1\n{"a"\n', "line 2: not JSON"),
        ("i.csv", "a,b\n1,2\n1\n", "line 3: 1 fields, and there are 2 columns"),
        ("i.csv", "a,a\n", "line 1: the first row must name each column"),
        ("i.csv", "", "line 1: the first row must name each column"),
        ("i.csv", 'a,b\n1,"x', "not CSV"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(tmp_path: Path, name: str, content: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        list(written(tmp_path, name, content).items(None))


def test_bytes_that_are_no_text_and_lines_without_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "i.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(DatasetError, match="line 2: not UTF-8"):
        list(file_items(tmp_path / "i.txt", "text").items(None))
    (tmp_path / "i.txt").write_bytes(b"a" * (2 << 20))
    with pytest.raises(DatasetError, match="line 1: it is longer than"):
        list(file_items(tmp_path / "i.txt", "text").items(None))
    with pytest.raises(InputError, match="there is no file"):
        file_items(tmp_path / "none.txt", "text")


def test_a_table_that_is_damaged_is_said_to_break_off(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet as pq

    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [str(number) * 50 for number in range(20_000)]}), file, row_group_size=5_000)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2_000] = b"\xff" * 2_000
    file.write_bytes(content)
    rows = file_items(file, "parquet").items(None)
    assert next(rows)
    with pytest.raises(DatasetError, match=r"t\.parquet: it breaks off: "):
        list(rows)


def test_a_cell_may_hold_a_document(tmp_path: Path) -> None:
    document = "x" * 500_000
    (item,) = (item for item, _ in written(tmp_path, "i.csv", f"a,b\n1,{document}\n").items(None))
    assert item == {"a": "1", "b": document}
