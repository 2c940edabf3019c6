"""cfcore.files: what is interrupted leaves the old file, and nothing beside it."""

from pathlib import Path

import pytest

from cfcore.files import whole


def test_a_file_is_replaced_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with whole(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("a.txt", "new")]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()], ids=repr)
def test_what_goes_wrong_half_way_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write() -> None:
        with whole(file) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_is_said_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as said, whole(tmp_path / "a.txt"), open("/dev/full", "w") as full:
        full.write("new")
    assert said.value.filename == str(tmp_path / "a.txt")


def test_without_its_folder_the_error_is_the_writers(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    place = whole(tmp_path / "none" / "a.txt")
    with pytest.raises(NotADirectoryError), place as partial:
        partial.write_text("new")
