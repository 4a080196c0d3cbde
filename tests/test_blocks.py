"""Blocks as HTML and as Markdown."""

from cgankd.report import blocks
from cgankd.report.blocks import Caution, Code, Folded, Heading, Picture, Table, Text

TABLE = Table({"a|b": ["x*", "<y>"], "n": ["1", "2"]}, marks=[{}, {"n": "better"}])


def test_a_table_is_its_columns_row_by_row():
    assert TABLE.header == ["a|b", "n"]
    assert TABLE.rows == [["x*", "1"], ["<y>", "2"]]


def test_markdown_shows_what_a_cell_holds_and_marks_are_bold():
    assert blocks.markdown([TABLE]).splitlines() == [
        r"| a\|b | n |",
        "| :-- | --: |",
        r"| x\* | 1 |",
        "| &lt;y> | **2** |",
    ]


def test_a_mark_is_the_class_of_its_cell_alone():
    page = blocks.html("title", [TABLE])
    assert '<td class=" better">2</td>' in page
    assert page.count("better") == page.split("</style>")[0].count("better") + 1


def test_every_block_has_its_text_in_both_forms():
    parts = [
        Heading("a heading"),
        Text("a text"),
        Caution("a caution"),
        Code("a\nb"),
        Picture("data:,", "a caption"),
        Folded("a summary", [Text("inside")]),
    ]
    page, markdown = blocks.html("title", parts), blocks.markdown(parts)
    for words in ("a heading", "a text", "a caution", "a caption", "a summary", "inside"):
        assert words in page, words
        assert words in markdown, words
    assert "<pre>a\nb</pre>" in page
    assert "    a\n    b" in markdown
