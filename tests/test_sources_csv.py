"""CSV files as sources: columns, separators, splits, labels, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from sets import draw, heard, refused, settings

from cgankd import sources


@pytest.fixture
def table(tmp_path):
    """Writes a CSV beside pictures 0.png to 9.png, whose red is their number."""
    for number in range(10):
        draw(tmp_path / "images" / f"{number}.png", (number, 0, 0))

    def table(*lines: str) -> Path:
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "table.csv"

    return table


ROWS = [f"images/{number}.png,{'rose' if number % 2 else 'lily'}" for number in range(10)]


def test_a_csv_of_files_and_classes_is_read(table):
    source = sources.load(settings("csv", table("file,label", *ROWS)), 0)
    assert source.label == {"kind": "class", "classes": ["lily", "rose"]}
    assert np.array_equal(source.labels, source.images[:, 0, 0, 0] % 2)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [4, 2, 4]


def test_the_splits_of_a_csv_are_kept(table):
    parts = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    source = sources.load(settings("csv", table("file,label,split", *rows)), 0)
    found = {split: source.images[source.rows[split], 0, 0, 0].tolist() for split in sources.SPLITS}
    assert found == {"train": [0, 1, 2, 3], "validation": [4, 5], "test": [6, 7, 8, 9]}


def test_the_test_may_stand_in_a_csv_of_its_own(table, tmp_path):
    (tmp_path / "test.csv").write_text(
        "\ufefffile,label\nimages/9.png,rose\nimages/8.png,lily\n", encoding="utf-8"
    )
    asked = settings("csv", table("file,label", *ROWS[:8]), test=str(tmp_path / "test.csv"))
    source = sources.load(asked, 0)
    assert source.images[source.rows["test"], 0, 0, 0].tolist() == [9, 8]
    assert source.labels[source.rows["test"]].tolist() == [1, 0]


def test_classes_that_are_integers_are_ordered_as_integers(table):
    rows = [f"images/{number}.png,{[10, 9][number % 2]}" for number in range(10)]
    source = sources.load(settings("csv", table("file,label", *rows)), 0)
    assert source.label["classes"] == ["9", "10"]
    assert np.array_equal(source.labels, 1 - source.images[:, 0, 0, 0] % 2)


def test_with_a_range_the_labels_of_a_csv_are_numbers(table):
    rows = [f"images/{number}.png,{number / 4}" for number in range(10)]
    source = sources.load(
        settings("csv", table("file,label", *rows), range=[0.0, 2.5], unit="m"), 0
    )
    assert source.label == {"kind": "continuous", "min": 0.0, "max": 2.5, "unit": "m"}
    np.testing.assert_array_equal(source.labels, source.images[:, 0, 0, 0] / 4)


def test_numbers_of_a_csv_with_a_step_are_its_multiples_and_drawn_evenly(table):
    rows = [f"images/{number}.png,{[0.3, 0.1001, 0.7][number % 3]}" for number in range(9)]
    asked = {"range": [0.0, 1.0], "step": 0.1, "num_train": 3, "num_validation": 3}
    source = sources.load(settings("csv", table("file,label", *rows), **asked), 0)
    assert source.label == {"kind": "continuous", "min": 0.0, "max": 1.0, "unit": "", "step": 0.1}
    for split in sources.SPLITS:
        assert np.sort(source.labels[source.rows[split]]).tolist() == [
            np.float32(0.1),
            np.float32(0.3),
            np.float32(0.7),
        ]
    twice = sources.load(settings("csv", table("file,label", *rows), **asked, min_per_label=2), 0)
    assert len(twice.rows["train"]) == 6


def test_a_csv_may_name_types(table, tmp_path):
    rows = [f"{row},{number % 3 + 9}" for number, row in enumerate(ROWS)]
    source = sources.load(settings("csv", table("file,label,type", *rows)), 0)
    assert np.array_equal(source.types, source.images[:, 0, 0, 0] % 3), (
        "9, 10, 11 in their order as integers"
    )
    refused(
        settings("csv", table("file,label,type", *rows, "images/x.png,rose,")),
        "line 12: type is empty",
    )
    (tmp_path / "test.csv").write_text("file,label\nimages/9.png,rose\n")
    asked = settings("csv", table("file,label,type", *rows[:9]), test=str(tmp_path / "test.csv"))
    assert sources.load(asked, 0).types is None, "not all rows have one"


def test_sizes_may_be_left_to_the_data(table):
    auto = {"num_train": "auto", "num_validation": "auto"}
    source = sources.load(settings("csv", table("file,label", *ROWS), **auto), 0)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [6, 2, 2]
    given = [f"{row},{'train' if number < 9 else 'test'}" for number, row in enumerate(ROWS)]
    source = sources.load(settings("csv", table("file,label,split", *given), **auto), 0)
    assert [len(source.rows[split]) for split in sources.SPLITS] == [7, 2, 1]
    assert source.images[source.rows["test"], 0, 0, 0].tolist() == [9]
    refused(
        settings("csv", table("file,label", *ROWS[:2]), **auto),
        "table.csv has 2 images to split, too few",
    )


@pytest.mark.parametrize(
    ("lines", "changes", "words"),
    [
        (["name,label", *ROWS], {}, r"no column file \(found: \['name', 'label'\]\)"),
        (["file,label"], {}, "has no rows"),
        (["file,label", *ROWS, "images/1.png,"], {}, "line 12: label is empty"),
        (["file,label", *ROWS, "../secret.png,rose"], {}, "line 12: '../secret.png' leads out of"),
        (["file,label", *ROWS, "/etc/passwd,rose"], {}, "line 12: '/etc/passwd' leads out of"),
        (["file,label", *ROWS, "images/x.png,rose"], {}, "x.png: not a readable image"),
        (["file,label", *ROWS, ROWS[3]], {}, "3.png stands in line 5 and again in line 12"),
        (
            ["file,label,split", f"{ROWS[0]},valid"],
            {},
            "line 2: split is 'valid', expected train, validation or test",
        ),
        (
            ["file,label", *ROWS],
            {"range": [0.0, 1.0]},
            "line 2: 'lily' is no number, as data.range asks for",
        ),
        (
            ["file,label", "images/0.png,0.5", "images/1.png,1"],
            {},
            "line 2: the label 0.5 is a fraction, not a class",
        ),
        (
            ["file,label,split", *[f"{row},train" for row in ROWS[:8]], "images/8.png,elm,test"],
            {},
            "the test has the class 'elm', which no training row has",
        ),
        (
            ["file,label", "images/0.png,nan", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "1 of 2 labels are no numbers",
        ),
        (
            ["file,label", "images/0.png,9", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "1 of 2 labels lie outside",
        ),
        (
            ["file,label", "images/0.png,1", "images/1.png,1"],
            {"range": [0.0, 1.0]},
            "all 2 labels are 1",
        ),
        (["file,label", *ROWS[::2]], {}, "all 5 images are of one class, lily"),
        (
            ["file,label,split", *[f"{row},test" for row in ROWS]],
            {},
            "no images to train on, all are test images",
        ),
        (["file,label", '"images/0.png,rose'], {}, "not readable as CSV"),
    ],
)
def test_a_csv_that_will_not_do_is_refused_in_one_message(lines, changes, words, table):
    refused(settings("csv", table(*lines), **changes), words)


def test_a_file_that_is_no_csv_or_not_there_is_named(tmp_path):
    refused(settings("csv", tmp_path / "none.csv"), "none.csv not found")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    refused(settings("csv", tmp_path / "x.csv"), "not readable as CSV")


# Cells, separators and numbers


def lines(cell: str, *values: str) -> list[str]:
    """A line for each picture; `cell` is the separator."""
    return [f"images/{number}.png{cell}{values[number % len(values)]}" for number in range(10)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["file,label", *lines(",", "3,5")], "line 2: 3 cells, but the first line has 2"),
        (["file,label,split", *lines(",", "a,train"), "images/1.png,b"], "line 12: 2 cells"),
        (["file;label", *lines(";", "a"), "images/1.png;a;b"], "line 12: 3 cells, .* semicolons"),
        (["file,label,label", *lines(",", "a,b")], "line 1: the column 'label' stands there 2"),
        (["file,file,label", *lines(",", "a,b")], "line 1: the column 'file' stands there 2"),
        (["file|label", *lines("|", "a")], r"no column file \(found: \['file|label'\]\)"),
        (["file,label", *ROWS, "images/\0.png,a"], r"line 12: 'images/\\x00.png' is no name"),
        (["file,label", *ROWS, "images/\x1b[0m.png,a"], "is no name of a file"),
    ],
)
def test_a_line_that_is_not_as_the_first_says_is_refused_with_its_number(rows, words, table):
    refused(settings("csv", table(*rows)), words)


@pytest.mark.parametrize(("cell", "name"), [(",", ""), (";", "semicolons"), ("\t", "tabs")])
def test_the_separator_is_that_of_the_first_line_and_is_told(cell, name, table, monkeypatch):
    said = heard(monkeypatch, "say")
    path = table(f"file{cell}label", *lines(cell, "lily", "rose"))
    source = sources.load(settings("csv", path), 0)
    assert source.label["classes"] == ["lily", "rose"]
    assert np.array_equal(source.labels, source.images[:, 0, 0, 0] % 2)
    assert said == ([f"{path}: its cells are separated by {name}"] if name else [])


def test_columns_that_are_not_read_are_told(table, monkeypatch):
    said = heard(monkeypatch, "say")
    path = table("file,label,width,sex", *lines(",", "a,1,f", "b,2,m"))
    sources.load(settings("csv", path), 0)
    assert said == [f"{path}: these columns are not read: width, sex"]


@pytest.mark.parametrize(
    ("cell", "values", "expected"),
    [
        (";", ["1,5", "2,25"], [1.5, 2.25]),
        (",", ['"1,5"', '"-2,25"'], [1.5, -2.25]),
        (";", ["1,5", "2,250"], [1.5, 2.25]),
        (",", ["1.5", "1e1"], [1.5, 10.0]),
    ],
)
def test_decimal_commas_are_read_where_they_can_be_nothing_else(cell, values, expected, table):
    path = table(f"file{cell}label", *lines(cell, *values))
    source = sources.load(settings("csv", path, range=[-3.0, 20.0]), 0)
    number = source.images[:, 0, 0, 0]
    np.testing.assert_array_equal(source.labels, np.array(expected, np.float32)[number % 2])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1,500", "2,250"], "line 2: 1,500 may be a fraction, or thousands"),
        (["1,5", "2.5"], "line 2: 1,5 beside 2.5 in line 3 may be"),
        (["1.234,5", "1"], "may be a fraction, or thousands"),
        (["1_5", "2"], "line 2: '1_5' is no number"),
    ],
)
def test_numbers_that_may_be_others_are_refused(values, words, table):
    path = table("file;label", *lines(";", *values))
    refused(settings("csv", path, range=[0.0, 3000.0]), words)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["0", "0.0", "1", "1.0", "01"], ["0", "1"]),
        (["10", "9", "9.0"], ["9", "10"]),
        (["007", "1"], ["1", "007"]),
        (["12345678901234567", "12345678901234568"], ["12345678901234567", "12345678901234568"]),
        (["0", "0.0", "none"], ["0", "0.0", "none"]),
        (["nan", "inf"], ["inf", "nan"]),
    ],
)
def test_classes_that_are_numbers_are_told_apart_as_numbers(values, names, table):
    path = table("file,label", *lines(",", *values))
    asked = settings("csv", path, num_train=6, num_validation=2)
    source = sources.load(asked, 0)
    assert source.label["classes"] == names
    for label, row in zip(source.labels, source.images[:, 0, 0, 0], strict=True):
        name, text = names[label], values[row % len(values)]
        assert name == text or float(name) == float(text)


def test_a_pipe_or_a_folder_in_the_place_of_a_picture_is_refused_and_not_waited_for(
    table, tmp_path
):
    os.mkfifo(tmp_path / "images" / "pipe.png")
    for name in ("pipe.png", "."):
        path = table("file,label", *ROWS, f"images/{name},rose")
        refused(settings("csv", path), "a folder, a pipe or a device")
        source = sources.load(settings("csv", path, skip_broken=True), 0)
        assert len(source.images) == 10


def test_names_and_places_that_no_system_takes_end_in_one_message(table, tmp_path):
    long = "a photo of a dog " * 20
    path = table("file,label", *ROWS, f"{long},rose")
    error = refused(settings("csv", path), "not a readable image .File name too long")
    assert len(str(error)) < 300
    refused(settings("csv", tmp_path / ("x" * 300)), "cannot be read .File name too long")
    refused(settings("csv", "~nobody_here/x.csv"), "there is no such user")
