from __future__ import annotations

import stat
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runpodctl_py import env_file
from runpodctl_py.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "RUNPOD_TEST_ENDPOINT_ID"


def change(tmp_path: Path, before: str | bytes, values: dict[str, str]) -> bytes:
    """Return a file's bytes after some values were set in it."""
    path = tmp_path / ".env"
    path.write_bytes(before if isinstance(before, bytes) else before.encode())
    env_file.set_values(path, values)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "K=new\n"),
        ("A=1", "A=1\nK=new\n"),
        ("A=1\r\nB=2\r\n", "A=1\r\nB=2\r\nK=new\r\n"),
        ("K=old\n", "K=new\n"),
        ("# top\n\nK=old # why\nZ=1\n", "# top\n\nK=new # why\nZ=1\n"),
        ("export K=old\n", "export K=new\n"),
        ("  export  K = old  # c\n", "  export  K = new  # c\n"),
        ("K='old'  # c\n", "K='new'  # c\n"),
        ('K="old"\n', 'K="new"\n'),
        ("K=\n", "K=new\n"),
        ("K= # c\n", "K=new # c\n"),
        ("K\nB=1\n", "K=new\nB=1\n"),
        ("'K'=old\n", "'K'=new\n"),
        ("K=first\nK=second\n", "K=first\nK=new\n"),
        ('L="two\nlines"\nK=old\n', 'L="two\nlines"\nK=new\n'),
        ("KK=1\nXK=2\n#K=3\n", "KK=1\nXK=2\n#K=3\nK=new\n"),
        ("\ufeffK=old\n", "\ufeffK=new\n"),
    ],
)
def test_only_the_value_changes(tmp_path: Path, before: str, after: str) -> None:
    """Comments, order, quoting, `export` and line endings stay as they were."""
    assert change(tmp_path, before, {"K": "new"}) == after.encode()


def test_bytes_that_are_not_utf8_stay(tmp_path: Path) -> None:
    """A Latin-1 comment survives the change."""
    assert change(tmp_path, b"# caf\xe9\nK=1\n", {"K": "2"}) == b"# caf\xe9\nK=2\n"


env_text = st.text(
    st.sampled_from(list("ABK=# '\"\\\n\r\t$ex{}é\u2028\x0b")), max_size=60
) | st.lists(
    st.sampled_from(
        ["A=1", "export B='x y'", "# note", "", "K=old # c", 'C="a\\"b"', "K='q'", "D", "=bad", "'"]
    ),
    max_size=8,
).flatmap(lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(lines)))


@given(before=env_text, value=st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_keeps_its_other_variables(tmp_path: Path, before: str, value: str) -> None:
    """Whatever stood there: the key reads back, the rest reads as before, or nothing changed."""
    path = tmp_path / ".env"
    path.write_bytes(before.encode())
    old = dotenv_values(stream=StringIO(before, newline=""), interpolate=False)
    try:
        env_file.set_values(path, {"K": value})
    except ConflictError:
        assert path.read_bytes() == before.encode()
        return
    text = path.read_bytes().decode()
    new = dotenv_values(stream=StringIO(text, newline=""), interpolate=False)
    assert new == {**old, "K": value}


@given(before=env_text)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_setting_twice_is_setting_once(tmp_path: Path, before: str) -> None:
    """The second write changes no byte."""
    path = tmp_path / ".env"
    path.write_bytes(before.encode())
    try:
        env_file.set_values(path, {KEY: "i02xupws21hp6i"})
    except ConflictError:
        return
    once = path.read_bytes()
    env_file.set_values(path, {KEY: "i02xupws21hp6i"})
    assert path.read_bytes() == once


@given(before=env_text)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_removing_takes_the_key_and_nothing_else(tmp_path: Path, before: str) -> None:
    """After a removal the key is gone and every other variable reads as before."""
    path = tmp_path / ".env"
    path.write_bytes(before.encode())
    old = dotenv_values(stream=StringIO(before, newline=""), interpolate=False)
    env_file.remove_values(path, ["K"])
    text = path.read_bytes().decode()
    new = dotenv_values(stream=StringIO(text, newline=""), interpolate=False)
    old.pop("K", None)
    assert new == old


def test_removing_leaves_blank_lines_and_comments(tmp_path: Path) -> None:
    """Only the lines that set the key go, all of them."""
    path = tmp_path / ".env"
    path.write_text("# a\n\nK=1\n# b\nK=2\nZ=1\n")
    env_file.remove_values(path, ["K"])
    assert path.read_text() == "# a\n\n# b\nZ=1\n"


def test_mode_is_private(tmp_path: Path) -> None:
    """A file that was readable by others is not any more: it may hold an API key."""
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    env_file.set_values(path, {"K": "1"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    """No temporary file and no lock file stays in the project."""
    folder = tmp_path / "project"
    folder.mkdir()
    env_file.set_values(folder / ".env", {"K": "1"})
    assert [p.name for p in folder.iterdir()] == [".env"]


def test_a_symlink_out_of_the_project_is_refused(tmp_path: Path) -> None:
    """The file behind the link is not touched."""
    outside = tmp_path / "outside.env"
    outside.write_text("A=1\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / ".env").symlink_to(outside)
    with pytest.raises(ConflictError, match="symlink"):
        env_file.set_values(project / ".env", {"K": "1"})
    assert outside.read_text() == "A=1\n"


def test_a_symlink_inside_the_project_is_followed(tmp_path: Path) -> None:
    """The link stays a link; the file it names is changed."""
    (tmp_path / "real.env").write_text("A=1\n")
    (tmp_path / ".env").symlink_to("real.env")
    env_file.set_values(tmp_path / ".env", {"K": "1"})
    assert (tmp_path / ".env").is_symlink()
    assert (tmp_path / "real.env").read_text() == "A=1\nK=1\n"


def test_an_open_quote_is_reported_and_the_file_kept(tmp_path: Path) -> None:
    """A value that would fall into somebody's open quote is not written."""
    path = tmp_path / ".env"
    path.write_text("A='open\n")
    with pytest.raises(ConflictError, match="open quote"):
        env_file.set_values(path, {"K": "it's"})
    assert path.read_text() == "A='open\n"


@pytest.mark.parametrize("name", ["", "1A", "A B", "A=B", "A\n"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    """A name that no shell could set never reaches the file."""
    with pytest.raises(UsageError, match="not a variable name"):
        env_file.set_values(tmp_path / ".env", {name: "1"})
    assert not (tmp_path / ".env").exists()


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    """The message names the file and the reason."""
    with pytest.raises(UsageError, match="No such file"):
        env_file.set_values(tmp_path / "nowhere" / ".env", {"K": "1"})


def test_reading_fills_in_variables_and_skips_bare_names(tmp_path: Path) -> None:
    """What python-dotenv understands, we understand."""
    path = tmp_path / ".env"
    path.write_text("\ufeffA=1\nB=${A}2\nC\n")
    assert env_file.read(path) == {"A": "1", "B": "12"}
    assert env_file.read(tmp_path / "none") == {}
