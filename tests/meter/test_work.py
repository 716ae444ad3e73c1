"""What was produced: who is believed, what one knows from the other, and when they disagree."""

from vidmeter.meter.run import Phase, Work
from vidmeter.meter.work import with_rates, work_cautions, work_done


def clip(origin: str, frames: int, fps: float | None = None, count: int = 1) -> Work:
    seconds = frames / fps if fps else None
    return Work("video", count, origin, seconds, frames, 96, 64, fps, f"/x/{origin}.mp4")


def call(name: str) -> Phase:
    return Phase("1", "generate", 0, 1, facts={"class": name})


def kinds(work: list[Work], phases: list[Phase]) -> list[str]:
    return [caution.kind for caution in work_cautions(work, phases)]


def test_a_pipelines_frames_play_at_the_rate_of_the_file_with_as_many() -> None:
    made, other = clip("pipeline", 81), clip("pipeline", 33)

    found = with_rates([made, other, clip("file", 81, 16)])

    assert (found[0].fps, found[0].video_seconds) == (16, 81 / 16)
    assert found[1] == other, "no file tells its rate"


def test_a_batch_takes_the_rate_of_its_single_files() -> None:
    (found, *_) = with_rates([clip("pipeline", 162, count=2), clip("export", 81, 16)])

    assert found.video_seconds == 162 / 16


def test_files_that_disagree_about_the_rate_leave_it_unknown() -> None:
    made = clip("pipeline", 81)

    assert with_rates([made, clip("file", 81, 16), clip("export", 81, 24)])[0] == made


def test_the_same_clip_is_counted_once_and_from_who_knows_best() -> None:
    pipeline, export, file = clip("pipeline", 81), clip("export", 81, 16), clip("file", 81, 16)

    assert work_done([pipeline]).frames == 81
    assert work_done([pipeline, export]).origin == "export"
    assert work_done([pipeline, export, file]).clips == 1
    assert work_done([pipeline, export, file]).origin == "file"
    assert work_done([pipeline, file, clip("user", 81, 16)]).origin == "user"


def test_a_file_with_other_frames_than_any_call_returned_is_a_caution() -> None:
    phases = [call("WanPipeline")]

    assert kinds([clip("pipeline", 81), clip("file", 81, 16)], phases) == []
    assert kinds([clip("pipeline", 81), clip("file", 161, 16)], phases) == ["frames_disagree"]
    # A warm-up that is thrown away is no disagreement.
    assert kinds([clip("pipeline", 9), clip("pipeline", 81), clip("file", 81, 16)], phases) == []
    assert kinds([clip("pipeline", 162, count=2), clip("file", 81, 16)], phases) == []


def test_a_file_that_plays_at_another_rate_than_the_models_is_a_caution() -> None:
    work = [clip("pipeline", 81), clip("file", 81, 8)]

    (caution,) = work_cautions(work, [call("WanPipeline")])

    assert caution.kind == "frame_rate"
    assert "8 frames per second, WanPipeline makes 16 or 24" in caution.text
    assert kinds([clip("file", 81, 24000 / 1001)], [call("WanPipeline")]) == []
    assert kinds(work, [call("UnknownPipeline")]) == []
    assert kinds(work, [call("WanPipeline"), call("LattePipeline")]) == []
