import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidmeter.reports.systems import facts, systems

ROOT = Path(__file__).parents[2]
OFFLINE = """
import socket, sys
def refuse(*_, **__):
    raise SystemExit("it reached for the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from vidmeter.cli import main
sys.exit(main(sys.argv[1:]))
"""


def estimate(*arguments):
    return subprocess.run(
        [sys.executable, "-c", OFFLINE, "estimate", *arguments],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


def test_every_name_has_an_answer_without_a_network():
    names = [one.name for one in (*systems(), *facts())]
    done = estimate(*names, "--seconds", "6")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ESTIMATE, not measured") == len(names)
    for one in (*systems(), *facts()):
        assert one.title in done.stdout
    scale = done.stdout.partition("J per second of video, estimated")[2]
    # In the order in which they were asked for, never by size.
    assert [line.split()[0] for line in scale.splitlines()[1:-1]] == [s.name for s in systems()]


def test_length_and_size_are_stated_and_may_be_chosen():
    assert "one video of 8 s at 720p" in estimate("sora-2-pro").stdout
    chosen = estimate("sora-2-pro", "--seconds", "12", "--resolution", "1080p").stdout
    assert "one video of 12 s at 1080p" in chosen


def test_json_has_ranges_only_and_says_that_nothing_was_measured():
    (one, fact) = json.loads(estimate("veo-3", "gpt-3", "--json").stdout)

    assert one["measured"] is False and one["kind"] == "estimate"
    assert one["low_j"] < one["high_j"]
    assert one["low_j_per_video_second"] == pytest.approx(one["low_j"] / 8)
    assert one["high_wh"] == pytest.approx(one["high_j"] / 3600)
    assert fact["kind"] == "fact" and fact["quantities"][0]["unit"] == "MWh"


def test_the_list_names_them_all():
    text = estimate("--list").stdout
    for one in (*systems(), *facts()):
        assert one.name in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a system"),
        (("sora-3",), "nothing is known of 'sora-3': did you mean"),
        (("veo-3", "--seconds", "30"), "it holds from 5 to 10 s"),
        (("veo-3", "--resolution", "4k"), "4k is outside of what can be estimated: ask for 480p"),
        (("veo-3", "--seconds", "-1"), "--seconds"),
        (("gpt-3", "--seconds", "5"), "are of videos"),
    ],
)
def test_a_mistake_is_one_line(arguments, said):
    done = estimate(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith(("vidmeter: ", "usage: "))
    assert "usage" in done.stderr or len(done.stderr.splitlines()) == 1
