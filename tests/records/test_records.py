"""Records on disk are whole or not there."""

from __future__ import annotations

import io
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_cases import FACTS, RUN, SAMPLES, TIMING, UNAVAILABLE

from bench.errors import InputError
from bench.records import SCHEMA_VERSION, Record, RecordStore, digest, latest

NAN, INF = float("nan"), float("inf")


def line(record: Record, **changed: Any) -> bytes:
    """A record as a line of the file, with fields changed to whatever."""
    return json.dumps(asdict(record) | changed).encode() + b"\n"


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "not" / "there" / "yet")


# ------------------------------------------------------------------------------ write and read


def test_no_file_is_no_records(store: RecordStore) -> None:
    assert store.read() == []
    assert not store.path.parent.exists()


def test_what_is_appended_is_read_back_in_order(store: RecordStore) -> None:
    written = [RUN, TIMING, UNAVAILABLE, replace(RUN, message='two\nlines, "quotes", é, \u2028')]
    store.append(written[:1])
    store.append(written[1:])
    assert store.read() == written
    assert store.path.name == "records.jsonl"
    assert store.path.read_bytes().count(b"\n") == len(written)


def test_each_line_is_an_object_of_standard_json(store: RecordStore) -> None:
    store.append([RUN, TIMING])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    for text in store.path.read_text().splitlines():
        fields = json.loads(text, parse_constant=refuse)
        assert set(fields) == set(asdict(RUN))
        assert fields["schema_version"] == SCHEMA_VERSION == 2


def test_nan_and_infinity_become_null_wherever_they_stand(store: RecordStore) -> None:
    store.append(
        [
            replace(
                RUN,
                score={"gap": NAN, "run_s": INF, "f": -INF, "steps": 3},
                samples=SAMPLES | {"f": [1.0, NAN, INF]},
                problem_facts=FACTS | {"gap_bound": INF, "nested": {"deep": [(NAN,)]}},
            )
        ]
    )
    (found,) = store.read()
    assert found.score == {"gap": None, "run_s": None, "f": None, "steps": 3}
    assert found.samples == SAMPLES | {"f": [1.0, None, None]}
    assert found.problem_facts == FACTS | {"gap_bound": None, "nested": {"deep": [[None]]}}
    assert not any(word in store.path.read_text() for word in ("NaN", "Infinity"))


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    st.lists(st.integers(-(2**63), 2**63)),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_numbers_and_text_come_back_exactly(
    floats: list[float], whole: list[int], text: str
) -> None:
    samples = {"seconds_per_call": floats, "whole": whole}
    written = replace(TIMING, message=text, score={"timed_beside": text}, samples=samples)
    with tempfile.TemporaryDirectory() as folder:
        store = RecordStore(Path(folder))
        store.append([written])
        assert store.read() == [written]


# --------------------------------------------------------------------------- an unfinished line


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def check_cut(store: RecordStore, records: list[Record], content: bytes, cut: int) -> None:
    """Of a file cut off after `cut` bytes every whole line is read, and kept by an append."""
    store.path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert_same(store.read(), records[:whole])
    store.append([UNAVAILABLE, TIMING])
    assert_same(store.read(), [*records[:whole], UNAVAILABLE, TIMING])
    kept = content[: content[:cut].rfind(b"\n") + 1]
    assert_same(store.path.read_bytes(), kept + line(UNAVAILABLE) + line(TIMING))


def assert_same(found: Any, expected: Any) -> None:
    """Plain equality: pytest would take minutes to explain how such long values differ."""
    same = found == expected
    assert same


def test_a_file_cut_off_at_any_byte_loses_no_whole_record(tmp_path: Path, no_fsync: None) -> None:
    store, records = RecordStore(tmp_path), [UNAVAILABLE, replace(UNAVAILABLE, seed=1)]
    content = b"".join(map(line, records))
    store.append(records)
    assert store.path.read_bytes() == content
    for cut in range(len(content) + 1):
        check_cut(store, records, content, cut)


@settings(max_examples=60)
@given(st.data())
def test_long_lines_cut_off_anywhere(data: st.DataObject) -> None:
    """Lines of several blocks of the backward search, 64 KiB each."""
    lengths = data.draw(st.lists(st.integers(0, 200_000), min_size=1, max_size=4), label="lengths")
    records = [replace(RUN, message="x" * length) for length in lengths]
    content = b"".join(map(line, records))
    cut = data.draw(st.integers(0, len(content)), label="cut")
    with tempfile.TemporaryDirectory() as folder:
        check_cut(RecordStore(Path(folder)), records, content, cut)


@pytest.mark.parametrize("before", [65535, 65536, 65537, 131072])
def test_unfinished_line_of_about_a_block(tmp_path: Path, no_fsync: None, before: int) -> None:
    content = line(RUN) + b"x" * before
    check_cut(RecordStore(tmp_path), [RUN], content, len(content))


# --------------------------------------------------------------------------- all at once or none


def test_several_records_are_one_write(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    plain_open = Path.open

    class Counted(io.FileIO):
        def write(self, data: Any) -> int:
            writes.append(bytes(data))
            return super().write(data)

    def counted_open(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode == "ab":
            return io.BufferedWriter(Counted(path, mode))
        return plain_open(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", counted_open)
    store.append([RUN, TIMING])
    store.append(replace(RUN, seed=seed, message="x" * 50_000) for seed in range(5))
    assert [data.count(b"\n") for data in writes] == [2, 5]
    assert len(store.read()) == 7


def test_nothing_is_written_if_one_of_them_cannot_be(store: RecordStore) -> None:
    bad = replace(RUN, score={"gap": object()})
    with pytest.raises(TypeError):
        store.append([RUN, bad])
    assert not store.path.exists()
    store.append([RUN])
    before = store.path.read_bytes()
    with pytest.raises(TypeError):
        store.append([RUN, TIMING, bad])
    assert store.path.read_bytes() == before


def test_records_reach_the_disk(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    store.append([RUN])
    assert synced == [store.path.stat().st_size]


# ------------------------------------------------------------------------------ what is refused

NOT_RECORDS = {
    "garbage": bytes(range(128, 256)).replace(b"\n", b""),
    "words": b"hello",
    "cut off": line(RUN)[:-20],
    "null": b"null",
    "number": b"3",
    "text": b'"record"',
    "list": b"[1, 2]",
    "no version": b"{}",
    "space": b"   ",
    "deeply nested": b"[" * 100_000,
    "field missing": json.dumps({k: v for k, v in asdict(RUN).items() if k != "key"}).encode(),
    "field too many": line(RUN, colour="red")[:-1],
}
# As parsed, but not of the types that all readers rely on.
WRONG_TYPES: dict[str, dict[str, Any]] = {
    "key": {"key": [1]},
    "problem": {"problem": ["iris"]},
    "status": {"status": None},
    "kind": {"kind": "something else"},
    "seed": {"seed": "zero"},
    "repetition": {"repetition": "first"},
    "sampling": {"sampling": None},
    "score": {"score": None},
    "score a list": {"score": []},
    "score of text": {"score": {"gap": "small"}},
    "score of another column": {"score": {"gap": 1.0, "time_to_1e-11_s": 1.0}},
    "kernel times with a run's column": {"kind": "kernel", "score": {"gap": 1.0}, "samples": {}},
    "samples": {"samples": None},
    "samples not lists": {"samples": dict.fromkeys(SAMPLES, 1.0)},
    "samples of text": {"samples": SAMPLES | {"f": ["a", "b", "c"]}},
    "samples of unequal length": {"samples": SAMPLES | {"f": [1.0]}},
    "samples without a column": {"samples": {"step": [0]}},
    "facts": {"problem_facts": None},
    "environment": {"environment": None},
    "environment without machine": {"environment": {}},
    "kernel times beside nothing": {"kind": "kernel", "samples": {"seconds_per_call": [1.0]}},
}
BAD_LINES = NOT_RECORDS | {k: line(RUN, **changed)[:-1] for k, changed in WRONG_TYPES.items()}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_line_that_is_no_record_is_named(store: RecordStore, case: str) -> None:
    store.append([RUN, TIMING])
    content = line(RUN) + line(TIMING) + BAD_LINES[case] + b"\n" + line(UNAVAILABLE)
    store.path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        store.read()
    message = str(refusal.value)
    assert str(store.path) in message
    assert "line 3" in message
    assert "\n" not in message
    assert store.path.read_bytes() == content


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, None, "1"])
def test_another_schema_version_is_refused(store: RecordStore, version: Any) -> None:
    store.append([RUN])
    # Whatever its other fields are: a newer version may have other ones.
    with store.path.open("ab") as stream:
        stream.write(json.dumps({"schema_version": version, "new": 1}).encode() + b"\n")
    with pytest.raises(InputError, match=f"line 2 .*version {version}.* reads {SCHEMA_VERSION}"):
        store.read()


def test_records_of_format_1_are_read(store: RecordStore) -> None:
    old = {k: v for k, v in asdict(RUN).items() if k not in ("repetition", "sampling")}
    store.append([])
    store.path.write_bytes(json.dumps(old | {"schema_version": 1}).encode() + b"\n")
    store.append([TIMING])
    first, second = store.read()
    assert first == replace(RUN, schema_version=1)
    assert second == TIMING
    assert latest([first, RUN]) == [RUN]


# ---------------------------------------------------------------------------- latest and digest


def test_latest_keeps_the_last_of_each_cell_in_first_order() -> None:
    a, b = RUN, replace(RUN, seed=1)
    newer = replace(a, key="new code", status="budget", created="later", suite="full")
    assert latest([a, b, newer]) == [newer, b]
    assert latest([]) == []


@pytest.mark.parametrize(
    "other",
    [
        {"problem": "digits"},
        {"kernel": "torch-autograd"},
        {"optimizer": "adam"},
        {"device": "cuda"},
        {"dtype": "float32"},
        {"seed": 1},
        {"repetition": 1},
        {"kind": "kernel"},
        {"score": {"timed_beside": "numpy"}},
    ],
)
def test_cells_that_differ_in_what_they_measure_are_both_kept(other: dict[str, Any]) -> None:
    assert len(latest([RUN, replace(RUN, **other), RUN])) == 2


def test_digest_depends_on_every_part_and_its_place() -> None:
    parts: list[tuple[Any, ...]] = [(), (1,), ("1",), (1, 2), (2, 1), ([1, 2],), (None,), ("",)]
    assert len({digest(*part) for part in parts}) == len(parts)
    assert digest(1, {"a": 1, "b": 2}) == digest(1, {"b": 2, "a": 1})
