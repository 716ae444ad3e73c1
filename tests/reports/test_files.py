import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vidmeter.meter.errors import BadRun
from vidmeter.reports.files import check_writable, opened, write


def test_a_report_is_written_with_the_folders_it_needs(tmp_path):
    write("wörter\n", tmp_path / "a" / "b" / "report.txt")
    assert (tmp_path / "a" / "b" / "report.txt").read_bytes() == "wörter\n".encode()


def test_a_file_is_never_overwritten_without_force(tmp_path):
    path = tmp_path / "report.txt"
    write("old", path)
    for refuse in (check_writable, lambda p: write("new", p)):
        with pytest.raises(BadRun, match="--force"):
            refuse(path)
    assert path.read_text() == "old"
    write("new", path, force=True)
    assert path.read_text() == "new"


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.txt"
    write("old", path)
    with pytest.raises(ZeroDivisionError), opened(path, force=True) as file:
        file.write(b"half of the")
        file.write(b"%d" % (1 // 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    write("old", target)
    link.symlink_to(target)
    write("new", link, force=True)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_folder_is_refused_even_with_force(tmp_path):
    with pytest.raises(BadRun, match="is a folder"):
        check_writable(tmp_path, force=True)


def test_a_file_in_place_of_a_folder_is_refused_in_one_line(tmp_path):
    write("x", tmp_path / "file")
    with pytest.raises(BadRun, match="file is a file; choose another"):
        write("y", tmp_path / "file" / "report.txt")


def test_a_pipe_is_written_to_and_not_replaced():
    code = (
        "from pathlib import Path; from vidmeter.reports.files import write\n"
        "write('to the pipe', Path('/dev/stdout'))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert said.stdout == b"to the pipe"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_in_one_line():
    with pytest.raises(BadRun, match="No space left"):
        write("x" * 100_000, Path("/dev/full"))


def test_a_file_that_is_replaced_keeps_who_may_read_and_write_it(tmp_path):
    path = tmp_path / "all.csv"
    write("old", path)
    path.chmod(0o664)
    write("new", path, force=True)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o664)


def test_a_file_that_is_read_only_is_never_replaced(tmp_path):
    path = tmp_path / "all.csv"
    write("old", path)
    path.chmod(0o444)
    with pytest.raises(BadRun, match="is read-only"):
        write("new", path, force=True)
    assert path.read_text() == "old"


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path):
    """In containers many processes have the same number, and share folders."""
    path = tmp_path / "all.csv"
    for number in (os.getpid(), 1, 7):
        (tmp_path / f".all.csv.{number}.part").write_text("half of")
    write("whole", path)
    assert path.read_text() == "whole"
