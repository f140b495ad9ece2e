"""Parameter files in CSV."""

from __future__ import annotations

import pytest

from .helpers import params, plan, refused

NAME = "sweep.csv"


def test_cells_are_typed_and_empty_ones_left_out():
    text = "name,lr,bs,flag,note\na,1e-4,32,TRUE,x y\nb,0.1,,false,\nc,.5,010,True,nan\nd,-3,0x1F,no,1_000\n"
    made = plan(text, NAME)
    assert made.dialect == "spawn"
    assert [task.label for task in made.tasks] == ["a", "b", "c", "d"]
    assert repr(params(made)) == repr([
        {"name": "a", "lr": 1e-4, "bs": 32, "flag": True, "note": "x y"},
        {"name": "b", "lr": 0.1, "flag": False},
        {"name": "c", "lr": 0.5, "bs": "010", "flag": True, "note": "nan"},
        {"name": "d", "lr": -3, "bs": "0x1F", "flag": "no", "note": "1_000"},
    ])  # fmt: skip


def test_launch_fields_are_columns_too():
    made = plan("instance_type,spot,ttl,lr\nt3.micro,true,2h,1\n", NAME)
    assert made.tasks[0].launch == {"instance_type": "t3.micro", "spot": True, "ttl": "2h"}
    assert params(made) == [{"lr": 1}]


def test_blanks_around_cells_go_and_those_in_quotes_stay():
    made = plan('a, b ,c\n 1 , x  , y\n1," two\nlines ","a,""b"""\n', NAME)
    assert params(made) == [{"a": 1, "b": "x", "c": "y"}, {"a": 1, "b": " two\nlines ", "c": 'a,"b"'}]


@pytest.mark.parametrize("text", ["a,b\r\n1,2\r\n", "a,b\r1,2\r", "\ufeffa,b\n1,2", "a,b\n1,2\n\n\n"])
def test_line_ends_and_byte_order_marks(text: str):
    made = plan(text.encode(), NAME)
    assert params(made) == [{"a": 1, "b": 2}]
    assert made.warnings == ()


def test_empty_rows_are_skipped_and_said_so():
    made = plan("a,b\n1,2\n\n , \n3,4\n", NAME)
    assert params(made) == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert made.warnings == ("sweep.csv: empty rows are skipped and count as no task (line 3, 4)",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sweep.csv:1: is empty; the first line names the parameters: name,lr,batch_size"),
        ("a,b\n", "sweep.csv:1: has a header but no rows; write one row for each task"),
        ("a,,c\n1,2,3\n", "sweep.csv:1: column 2 has no name"),
        ("a,b,a\n1,2,3\n", 'sweep.csv:1: "a" names two columns; keep one of them'),
        ("a,b\n1,2\n3\n", "sweep.csv:3: the row has 1 cells, the header has 2"),
        (
            'a,b\n1,"x\ny"\n1,2,3\n',
            "sweep.csv:4: the row has 3 cells, the header has 2; put a text that holds a comma in",
        ),
        ("a;b\n1;2\n", "sweep.csv:1: has its columns separated by semicolons; separate them with commas"),
        ("a\tb\n1\t2\n", "separated by tabs"),
        ('a,b\n1,"open\n', "sweep.csv:2: is cut off: the file ends inside quotes"),
        ("ttl,a\n2 hours,1\n", 'sweep.csv:2: params[0].ttl: "2 hours" is not a duration'),
        ("spot,a\nmaybe,1\n", 'sweep.csv:2: params[0].spot: "maybe" must be true or false, not text'),
        (
            "name,a\nx,1\nx,2\n",
            'sweep.csv:3: params[1].name: "x" is the name of params[0] too; names must differ',
        ),
    ],
)
def test_wrong_files_are_named_with_their_line(text: str, message: str):
    assert message in refused(text, NAME)


def test_all_ragged_rows_are_named():
    assert len(refused("a,b\n1\n2\n3,4\n5\n", NAME).splitlines()) == 3
