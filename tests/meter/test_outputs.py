"""What a command produced is found without being told, and nothing else is counted."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

import vidmeter
from vidmeter.meter.files import File, Limits
from vidmeter.meter.outputs import Found, Origin, Span, copies, find_videos, origin
from vidmeter.meter.videofile import creation_ns, length

REPOSITORY = Path(vidmeter.__file__).parents[1]
Find = Callable[..., Found]


def make_video(
    path: Path,
    codec: str = "libx264",
    rate: Fraction | int = 24,
    *,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    shade: int = 0,
    stamps_ms: list[int] | None = None,
    created: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a real video of a moving gradient; `shade` makes its content differ from others."""
    width, height = size
    with av.open(str(path), "w", options=options or {}) as container:
        if created:
            container.metadata["creation_time"] = created
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = {"gif": "rgb8", "apng": "rgb24"}.get(codec, "yuv420p")
        if stamps_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        row = np.arange(width)
        for number in range(frames):
            line = ((row * 3 + number * 9 + shade) % 256).astype(np.uint8)
            picture = np.broadcast_to(line[:, None], (height, width, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if stamps_ms:
                frame.pts, frame.time_base = stamps_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_sound(path: Path, *, cover: bool = False) -> Path:
    """Write a file with sound alone, or with a cover picture."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        assert isinstance(sound, AudioStream)
        if cover:
            picture = container.add_stream("png", rate=1)
            assert isinstance(picture, VideoStream)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "rgb24"
            picture.disposition = Disposition.attached_pic
            container.mux(picture.encode(av.VideoFrame(64, 48, "rgb24")))
        for number in range(5):
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.rate, frame.pts = 44100, number * 1024
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def cut(source: Path, target: Path, share: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def pass_time() -> None:
    """Wait until what was written before is older than any slack for timestamps."""
    time.sleep(0.03)


@contextmanager
def run_in(folder: Path) -> Iterator[Find]:
    """A run: what the block writes is written during it; the function it gives looks for it."""
    pass_time()
    started = time.time_ns()
    ended: list[int] = []

    def find(patterns: tuple[str, ...] | None = None, limits: Limits = Limits()) -> Found:  # noqa: B008
        end = ended[0] if ended else time.time_ns()
        return find_videos(
            folder, patterns=patterns, started_real_ns=started, ended_real_ns=end, limits=limits
        )

    yield find
    ended.append(time.time_ns())


def names(found: Found) -> list[str]:
    return [Path(work.path or "").name for work in found.videos]


def kinds(found: Found) -> list[str]:
    return [doubt.kind for doubt in found.doubts]


@pytest.mark.parametrize(
    ("name", "codec", "rate", "frames"),
    [
        ("a.mp4", "libx264", 16, 17),
        ("a.MP4", "libx264", 24, 49),
        ("a.mp4", "libx264", Fraction(30000, 1001), 33),
        ("a.mov", "libx264", 25, 17),
        ("a.mkv", "libx264", Fraction(30000, 1001), 25),
        ("a.webm", "libvpx-vp9", 24, 25),
        ("a.ts", "libx264", 25, 30),
        ("a.avi", "mpeg4", 25, 30),
        ("a.flv", "libx264", 24, 20),
        ("a.mpg", "mpeg1video", 25, 30),
        ("a.apng", "apng", 10, 12),
    ],
)
def test_a_video_is_found_with_its_exact_length_rate_and_size(
    tmp_path: Path, name: str, codec: str, rate: Fraction | int, frames: int
) -> None:
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / name, codec, rate, frames=frames, size=(80, 48))
    found = find()
    (work,) = found.videos
    assert found.doubts == ()
    assert (work.frames, work.width, work.height) == (frames, 80, 48)
    assert work.video_seconds == float(frames / Fraction(rate))
    assert work.fps == float(rate)
    assert (work.unit, work.count, work.origin, work.path) == ("video", 1, "file", str(path))


def test_a_gif_plays_as_long_as_its_delays_say(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        make_video(tmp_path / "a.gif", "gif", 15, frames=12)  # delays of 7, 6 and 7 hundredths
    (work,) = find().videos
    assert (work.frames, work.video_seconds, work.fps) == (12, 0.8, 15.0)


def test_frames_are_counted_where_a_fragmented_mp4_states_none(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        options = {"movflags": "frag_keyframe+empty_moov"}
        make_video(tmp_path / "a.mp4", frames=30, options=options)
    (work,) = find().videos
    assert (work.frames, work.video_seconds) == (30, 1.25)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")])
def test_a_variable_rate_is_timed_by_its_timestamps_and_said(
    tmp_path: Path, name: str, codec: str
) -> None:
    stamps = [0, 40, 80, 120, 160] + [200 + 200 * i for i in range(20)]
    with run_in(tmp_path) as find:
        make_video(tmp_path / name, codec, 24, frames=len(stamps), stamps_ms=stamps)
    found = find()
    assert found.videos[0].frames == 25
    assert found.videos[0].video_seconds == pytest.approx(4.0 + 1 / 24, abs=2e-3)
    assert kinds(found) == ["variable_rate"]


def test_padding_that_an_avi_states_as_frames_is_not_counted(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        stamps = [200 * i for i in range(20)]
        make_video(tmp_path / "a.avi", "mpeg4", 24, frames=20, stamps_ms=stamps)
    (work,) = find().videos
    assert (work.frames, work.video_seconds) == (20, 4.0)


def test_videos_in_subfolders_come_in_the_order_of_writing(tmp_path: Path) -> None:
    (tmp_path / "z" / "deep").mkdir(parents=True)
    with run_in(tmp_path) as find:
        make_video(tmp_path / "z" / "deep" / "first.mp4")
        pass_time()
        make_video(tmp_path / "a.mp4", shade=50)
    assert names(find()) == ["first.mp4", "a.mp4"]


def test_an_old_video_is_passed_over_without_a_word(tmp_path: Path) -> None:
    make_video(tmp_path / "old.mp4")
    with run_in(tmp_path) as find:
        pass
    assert find() == Found((), ())


def test_an_old_video_that_is_overwritten_counts_as_new(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", frames=10)
    with run_in(tmp_path) as find:
        make_video(tmp_path / "a.mp4", frames=10)
    assert names(find()) == ["a.mp4"]


def test_a_video_copied_with_its_time_is_not_counted(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    work = tmp_path / "work"
    elsewhere.mkdir()
    work.mkdir()
    old = make_video(elsewhere / "old.mp4")
    with run_in(work) as find:
        subprocess.run(["cp", "-p", old, work / "new.mp4"], check=True)
    found = find()
    assert (found.videos, kinds(found)) == ((), ["old_video"])
    assert found.doubts[0].detail.startswith("new.mp4 was copied, moved or downloaded")


def test_a_video_moved_here_after_it_was_made_elsewhere_during_the_run_counts(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    with run_in(work) as find:
        make_video(tmp_path / "temporary.mp4").rename(work / "a.mp4")
    assert names(find()) == ["a.mp4"]


def test_a_download_that_says_when_it_was_made_is_not_counted(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        make_video(tmp_path / "old.mp4", created="2020-01-02T03:04:05Z")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        make_video(tmp_path / "new.mp4", created=now, shade=50)
    found = find()
    assert (names(found), kinds(found)) == (["new.mp4"], ["old_video"])


def test_a_plain_copy_of_an_older_video_is_not_counted(tmp_path: Path) -> None:
    old = make_video(tmp_path / "old.mp4")
    with run_in(tmp_path) as find:
        shutil.copyfile(old, tmp_path / "new.mp4")
    found = find()
    assert (found.videos, kinds(found)) == ((), ["copy"])
    assert "new.mp4 is a copy of old.mp4, which is older" in found.doubts[0].detail


def test_a_file_that_the_user_names_is_output_even_if_an_older_one_is_equal(
    tmp_path: Path,
) -> None:
    old = make_video(tmp_path / "old.mp4")
    with run_in(tmp_path) as find:
        shutil.copyfile(old, tmp_path / "new.mp4")
    found = find(("*.mp4",))
    assert (names(found), kinds(found)) == (["new.mp4"], [])


def test_a_video_copied_within_the_run_counts_once(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        made = make_video(tmp_path / "made.mp4")
        pass_time()
        shutil.copyfile(made, tmp_path / "latest.mp4")
    found = find()
    assert (names(found), kinds(found)) == (["made.mp4"], ["copy"])
    assert found.doubts[0].detail == "latest.mp4 is a copy of made.mp4: counted once"


def test_videos_of_one_size_and_different_content_both_count(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        for name, shade in (("a.avi", 0), ("b.avi", 1)):
            make_video(tmp_path / name, "rawvideo", 24, shade=shade * 40)
    assert (tmp_path / "a.avi").stat().st_size == (tmp_path / "b.avi").stat().st_size
    assert names(find()) == ["a.avi", "b.avi"]


def test_links_to_one_file_count_once(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        made = make_video(tmp_path / "made.mp4")
        (tmp_path / "a-link.mp4").symlink_to(made)
        (tmp_path / "made.mp4.mov").hardlink_to(made)
    found = find()
    assert (names(found), kinds(found)) == (["made.mp4"], [])


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    outside = tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (work / "loop").symlink_to(work)
    (work / "link").symlink_to(outside)
    with run_in(work) as find:
        make_video(outside / "a.mp4")
    assert find() == Found((), ())


@pytest.mark.parametrize("name", [".cache", "node_modules", "__pycache__", "site-packages"])
def test_folders_that_are_nobodys_output_are_skipped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with run_in(tmp_path) as find:
        make_video(tmp_path / name / "a.mp4")
    assert find() == Found((), ())


def test_a_virtual_environment_is_skipped_unless_it_is_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "pyvenv.cfg").touch()
    with run_in(tmp_path) as find:
        make_video(tmp_path / "env" / "a.mp4")
        make_video(tmp_path / "b.mp4")
    assert names(find()) == ["b.mp4"]


def test_a_video_that_a_process_still_holds_open_is_not_counted(tmp_path: Path) -> None:
    code = "import sys; f = open(sys.argv[1], 'ab'); print(flush=True); input()"
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / "a.mp4")
        make_video(tmp_path / "done.mp4", shade=50)
        command = [sys.executable, "-c", code, str(path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
    with child:
        open_yet = find()
        child.communicate(b"\n")
    closed = find()
    assert (names(open_yet), kinds(open_yet)) == (["done.mp4"], ["still_written"])
    assert (names(closed), kinds(closed)) == (["a.mp4", "done.mp4"], [])


def test_a_video_that_someone_reads_counts(tmp_path: Path) -> None:
    code = "import sys; f = open(sys.argv[1], 'rb'); print(flush=True); input()"
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / "a.mp4")
        command = [sys.executable, "-c", code, str(path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
    with child:
        found = find()
        child.communicate(b"\n")
    assert (names(found), kinds(found)) == (["a.mp4"], [])


def test_a_video_that_grows_after_the_end_is_not_counted(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "print(flush=True)\n"
        "for _ in range(1000):\n"
        "    open(sys.argv[1], 'ab').write(b'x')\n"
        "    time.sleep(0.01)\n"
    )
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / "a.mp4")
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
    with child:
        found = find()
        child.kill()
    assert (found.videos, kinds(found)) == ((), ["still_written"])


def test_a_video_changed_after_the_end_is_not_counted(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / "a.mp4")
    pass_time()
    with path.open("ab") as file:
        file.write(b"more")
    assert kinds(find()) == ["still_written"]


def test_what_can_not_be_played_is_said_and_not_counted(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    work = tmp_path / "work"
    sources.mkdir()
    work.mkdir()
    whole = make_video(sources / "a.mp4", frames=30)
    with run_in(work) as find:
        cut(whole, work / "truncated.mp4", 0.6)
        (work / "text.mp4").write_text("no video at all\n")
        (work / "empty.mp4").touch()
        make_sound(work / "sound.mp4")
        make_sound(work / "cover.mp4", cover=True)
        make_video(work / "still.gif", "gif", 10, frames=1)
    found = find()
    said = {Path(doubt.path).name: (doubt.kind, doubt.detail) for doubt in found.doubts}
    assert found.videos == ()
    assert said.pop("truncated.mp4")[0] == "unreadable"
    assert said == {
        "text.mp4": (
            "unreadable",
            "text.mp4 can't be read as a video (moov atom not found): not counted",
        ),
        "empty.mp4": ("unreadable", "empty.mp4 is empty: not counted"),
        "sound.mp4": ("no_video", "sound.mp4 has no video in it: not counted"),
        "cover.mp4": ("no_video", "cover.mp4 has no video in it: not counted"),
        "still.gif": ("image", "still.gif is a single image: not counted"),
    }


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.mkv", "libx264", {}),
        ("a.flv", "libx264", {}),
        ("a.gif", "gif", {}),
        ("a.apng", "apng", {}),
    ],
)
def test_a_video_cut_short_behind_a_whole_header_is_not_counted(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    (tmp_path / "work").mkdir()
    rate = 10 if codec == "gif" else 24
    whole = make_video(tmp_path / name, codec, rate, frames=60, options=options)
    with run_in(tmp_path / "work") as find:
        shutil.copyfile(whole, tmp_path / "work" / f"whole{whole.suffix}")
        cut(whole, tmp_path / "work" / f"part{whole.suffix}", 0.8)
    found = find()
    assert names(found) == [f"whole{whole.suffix}"]
    assert kinds(found) == ["cut_short"]


def test_a_video_that_lacks_a_part_of_its_last_frame_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    whole = make_video(tmp_path / "a.mp4", frames=60, options={"movflags": "faststart"})
    with run_in(tmp_path / "work") as find:
        (tmp_path / "work" / "part.mp4").write_bytes(whole.read_bytes()[:-3])
    assert kinds(find()) == ["cut_short"]


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    whole = make_video(tmp_path / "a.mp4", "mpeg4", 25, frames=20)
    trimmed = tmp_path / "work" / "trimmed.mp4"
    with (
        run_in(tmp_path / "work") as find,
        av.open(str(whole)) as source,
        av.open(str(trimmed), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None and packet.duration:
                packet.pts, packet.dts = (t - 5 * packet.duration for t in (packet.pts, packet.dts))
                packet.stream = copy
                target.mux(packet)
    (work,) = find().videos
    assert (work.frames, work.video_seconds) == (15, 0.6)


def test_typescript_is_not_taken_for_a_video(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        (tmp_path / "main.ts").write_text("export const answer = 42\n")
    assert find() == Found((), ())


def test_patterns_find_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "work" / "a" / "b").mkdir(parents=True)
    (tmp_path / "work" / "results").mkdir()
    with run_in(tmp_path / "work") as find:
        make_video(tmp_path / "work" / "other.mp4")
        make_video(tmp_path / "work" / "a" / "b" / "deep.mp4", shade=10)
        make_video(tmp_path / "absolute.mp4", shade=20)
        make_video(tmp_path / "work" / "clip[1].mp4", shade=30)
        make_video(tmp_path / "work" / "results" / "in.mp4", shade=40)
        video = make_video(tmp_path / "work" / "results" / "named.mp4", shade=50)
        video.rename(tmp_path / "work" / "named.bin")
        (tmp_path / "work" / "a" / "notes.txt").write_text("not a video")
    assert names(find(("a/**/*.mp4",))) == ["deep.mp4"]
    assert names(find((str(tmp_path / "abs*.mp4"),))) == ["absolute.mp4"]
    assert names(find(("clip[1].mp4",))) == ["clip[1].mp4"]
    assert names(find(("results",))) == ["in.mp4"]
    assert names(find(("named.bin",))) == ["named.bin"]
    assert names(find(("**/deep.*", "results/*", "**/deep.mp4"))) == ["deep.mp4", "in.mp4"]
    assert kinds(find(("a/*",))) == ["no_match"]


def test_a_pattern_without_a_new_file_is_said(tmp_path: Path) -> None:
    make_video(tmp_path / "old.mp4")
    with run_in(tmp_path) as find:
        make_video(tmp_path / "new.mp4", shade=50)
    found = find(("o*.mp4", "nothing*.mp4", "n*.mp4"))
    assert names(found) == ["new.mp4"]
    assert [(doubt.kind, doubt.path) for doubt in found.doubts] == [
        ("no_match", "o*.mp4"),
        ("no_match", "nothing*.mp4"),
    ]


def test_a_search_that_was_stopped_is_said(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").touch()
    (tmp_path / "deep").mkdir()
    with run_in(tmp_path) as find:
        make_video(tmp_path / "deep" / "a.mp4")
    (by_entries,) = find(limits=Limits(entries=20)).doubts
    (by_time,) = find(limits=Limits(seconds=0)).doubts
    assert (by_entries.kind, by_time.kind) == ("search_stopped", "search_stopped")
    assert "after 20 entries: name the files with --outputs" in by_entries.detail
    assert names(find()) == ["a.mp4"]


def test_videos_that_there_was_no_time_to_look_at_are_said(tmp_path: Path) -> None:
    with run_in(tmp_path):
        make_video(tmp_path / "a.mp4")
    found = find_videos(
        tmp_path,
        patterns=None,
        started_real_ns=0,
        ended_real_ns=time.time_ns(),
        probing_s=0,
    )
    assert (found.videos, kinds(found)) == ((), ["search_stopped"])
    assert "only 0 of 1 new videos could be looked at in 0 s" in found.doubts[0].detail


def test_many_doubts_of_a_kind_are_folded(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        for number in range(50):
            (tmp_path / f"{number:02}.mp4").write_text(f"text {number}")
    found = find()
    assert len(found.doubts) == 6
    assert found.doubts[-1].detail.startswith("45 more files like")


def test_a_name_that_is_no_text_is_told_as_text(tmp_path: Path) -> None:
    with run_in(tmp_path) as find:
        path = make_video(tmp_path / "a.mp4")
        path.rename(tmp_path / os.fsdecode(b"\xff.mp4"))
    (work,) = find().videos
    assert work.path == str(tmp_path / "\\xff.mp4")
    assert work.frames == 10


def python(
    code: str, folder: Path, *, path: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `code` after a search of `folder` whose result it finds in `found`."""
    before = (
        "import sys, time, pathlib\n"
        "from vidmeter.meter.outputs import find_videos\n"
        "found = find_videos(pathlib.Path(sys.argv[1]), patterns=None,\n"
        "                    started_real_ns=0, ended_real_ns=time.time_ns())\n"
    )
    paths = [str(each) for each in (path, REPOSITORY) if each]
    return subprocess.run(
        [sys.executable, "-c", before + code, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )


def test_without_new_videos_pyav_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    done = python(
        "print(found, [name for name in sys.modules if name in ('av', 'numpy')])", tmp_path
    )
    assert done.stdout == "Found(videos=(), doubts=()) []\n"


def test_libav_says_nothing_on_the_users_terminal(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mp4", frames=60, options={"movflags": "faststart"})
    cut(whole, tmp_path / "b.mp4", 0.5)
    (tmp_path / "c.mp4").write_text("text")
    done = python("print(len(found.videos), len(found.doubts))", tmp_path)
    assert (done.stdout, done.stderr) == ("1 2\n", "")


def test_without_pyav_the_user_hears_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "av.py").write_text("raise ImportError('libx264.so: not found')\n")
    make_video(tmp_path / "a.mp4")
    done = python("print(found)", tmp_path, path=tmp_path / "broken")
    assert "videos=()" in done.stdout
    assert "libx264.so: not found" in done.stdout
    assert "pip install av" in done.stdout


def test_a_folder_without_videos_costs_next_to_nothing(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.txt").touch()

    def cost_s() -> float:
        before = time.perf_counter()
        find_videos(tmp_path, patterns=None, started_real_ns=0, ended_real_ns=time.time_ns())
        return time.perf_counter() - before

    assert min(cost_s() for _ in range(5)) < 0.005


def file_at(mtime_s: float, ctime_s: float, *, size: int = 1, name: str = "a") -> File:
    return File(Path(name), 1, 1, size, round(mtime_s * 1e9), round(ctime_s * 1e9))


@pytest.mark.parametrize(
    ("mtime_s", "ctime_s", "expected"),
    [
        (99.5, 99.5, Origin.EARLIER),
        (99.99, 99.99, Origin.WRITTEN),  # the kernel's clock for files lags by a tick
        (99, 99, Origin.WRITTEN),  # a file system that keeps 2 s
        (97, 97, Origin.EARLIER),
        (150.5, 150.5, Origin.WRITTEN),
        (150.5, 230.5, Origin.WRITTEN),  # only renamed or linked since
        (50.5, 150.5, Origin.ARRIVED),
        (900.5, 150.5, Origin.ARRIVED),  # stamped with a time to come
        (900.5, 50.5, Origin.EARLIER),
        (210.5, 210.5, Origin.LATER),
    ],
)
def test_timestamps_tell_where_a_file_stands_to_the_run(
    mtime_s: float, ctime_s: float, expected: Origin
) -> None:
    span = Span(100_000_000_000, 200_000_000_000)
    assert origin(file_at(mtime_s, ctime_s), span) is expected


@given(st.lists(st.binary(min_size=1, max_size=2), max_size=12), st.integers(0, 12))
def test_each_content_that_no_earlier_file_has_is_kept_once(
    contents: list[bytes], already: int
) -> None:
    # All within the moment in which a copy is made; later, the same content is a repeat.
    files = [file_at(i / 10, i, size=len(each), name=str(i)) for i, each in enumerate(contents)]
    content = {file.path: each for file, each in zip(files, contents, strict=True)}
    earlier, written = files[:already], files[already:]
    found = copies(written, earlier, digest=content.__getitem__)
    kept = [content[file.path] for file in written if file not in found]
    assert kept == [each for each in dict.fromkeys(contents) if each not in contents[:already]]
    assert all(content[file.path] == content[original.path] for file, original in found.items())


def test_the_same_content_written_again_later_is_a_repeat_and_counts() -> None:
    first, copy = (file_at(t, t, size=9, name=str(t)) for t in (100, 101))
    again, copied_again = (file_at(t, t, size=9, name=str(t)) for t in (130, 131))

    found = copies([first, copy, again, copied_again], [], digest=lambda path: b"same")

    assert found == {copy: first, copied_again: again}


def test_only_files_that_share_their_size_are_read() -> None:
    asked: list[str] = []

    def digest(path: Path) -> bytes:
        asked.append(path.name)
        return b""

    written = [file_at(5, 5, size=10, name="a"), file_at(6, 6, size=20, name="b")]
    earlier = [file_at(1, 1, size=20, name="c"), file_at(1, 1, size=30, name="d")] * 2
    assert copies(written, earlier, digest=digest) == {written[1]: earlier[0]}
    assert set(asked) == {"b", "c"}


@given(
    st.integers(1, 10_000),
    st.sampled_from([Fraction(8), Fraction(24), Fraction(30000, 1001), Fraction(60)]),
    st.fractions(-1, 1),
)
def test_timestamps_within_a_frame_of_the_rate_leave_the_length_exact(
    frames: int, rate: Fraction, off: Fraction
) -> None:
    span_s = (frames + off) / rate
    if span_s * 3 > 2 / rate:
        assert length(frames, rate, span_s=span_s) == (frames / rate, False)


@given(st.integers(4, 10_000), st.fractions(2, 10))
def test_timestamps_far_from_the_rate_overrule_it(frames: int, factor: Fraction) -> None:
    span_s = factor * frames / 24
    assert length(frames, Fraction(24), span_s=span_s) == (span_s, True)
    assert length(frames, None, span_s=span_s) == (span_s, True)
    assert length(frames, None, span_s=None) is None


def test_a_creation_time_that_was_never_set_says_nothing() -> None:
    assert creation_ns("1904-01-01T00:00:00.000000Z") is None
    assert creation_ns("1970-01-01T00:00:00Z") is None
    assert creation_ns("yesterday") is None
    assert creation_ns(None) is None
    assert creation_ns("2001-09-09T01:46:40Z") == 1_000_000_000 * 10**9
