"""NVTX ranges of the program become phases, and phases become NVTX ranges."""

from .conftest import Running


def test_ranges_of_nvtx_are_phases(hooked: Running) -> None:
    ended = hooked("""
import nvtx
nvtx.push_range("outer")
with nvtx.annotate("inner", color="red"):
    one = nvtx.start_range("by number")
    two = nvtx.start_range("another")
nvtx.end_range(two)
nvtx.end_range(one)
nvtx.pop_range()
nvtx.pop_range()

@nvtx.annotate()
def decorated(n):
    return n + 1

@nvtx.annotate("named")
def other():
    raise KeyError("inside")

print(decorated(1), decorated.__name__)
try:
    other()
except KeyError:
    pass
""")

    assert (ended.code, ended.out, ended.err) == (0, "2 decorated\n", "")
    assert ended.tree == [
        "outer",
        "outer > inner",
        "outer > inner > by number",
        "outer > inner > another",
        "decorated",
        "named",
    ]
    assert all(p.end_ns and p.facts == {"nvtx": True} for p in ended.marked.phases)
    assert ended.marked.phases[-1].error == "KeyError"


def test_each_domain_of_nvtx_has_a_stack_of_its_own(hooked: Running) -> None:
    ended = hooked("""
import nvtx, time
nvtx.push_range("a", domain="one")
nvtx.push_range("b", domain="two")
nvtx.pop_range(domain="one")
with nvtx.annotate("c", domain="one"):
    nvtx.pop_range("two")
    nvtx.push_range("d")
nvtx.pop_range()
nvtx.push_range("e")
nvtx.pop_range()
""")

    assert (ended.code, ended.err) == (0, "")
    assert ended.tree == ["a", "a > b", "a > b > c", "a > b > c > d", "e"]
    ends = sorted(ended.marked.phases, key=lambda p: p.end_ns or 0)
    assert "".join(p.name for p in ends) == "abcde"


def test_ranges_of_torch_are_phases_and_ours_are_ranges_in_their_own_numbers(
    hooked: Running,
) -> None:
    ended = hooked("""
import sys, types
# NVTX as a CUDA build of torch has it; this one has none.
import torch
said, stack = [], []
def start(msg):
    said.append(f"start {msg}"); return len(said)
torch._C._nvtx = types.SimpleNamespace(
    rangePushA=lambda msg: stack.append(msg) or len(stack),
    rangePop=lambda: stack.pop(),
    rangeStartA=start,
    rangeEnd=lambda number: said.append(f"end {number}"),
)
sys.modules["torch.cuda.nvtx"]._nvtx = torch._C._nvtx
from _vidmeter import marks
torch.cuda.nvtx.range_push("mine")
with torch.cuda.nvtx.range("block"):
    assert stack == ["mine", "block"]
    phase = marks.begin("ours")
    marks.end(phase)
torch.cuda.nvtx.range_pop()
number = torch.cuda.nvtx.range_start("numbered")
torch.cuda.nvtx.range_end(number)
print(said)
""")

    assert ended.err == ""
    assert ended.out.strip() == "['start ours', 'end 1', 'start numbered', 'end 3']"
    assert ended.tree == ["mine", "mine > block", "mine > block > ours", "numbered"]


def test_a_build_without_nvtx_marks_all_the_same(hooked: Running) -> None:
    ended = hooked("""
import torch
from _vidmeter import marks
marks.end(marks.begin("ours"))
try:
    torch.cuda.nvtx.range_push("none")
except RuntimeError as error:
    print("refused")
""")

    assert (ended.out, ended.tree) == ("refused\n", ["ours"])
