"""Sample captures: small stories played on an invented network, with what must be found.

`write(folder)` makes one folder a story: the capture, README.md for people, expected.toml for
the test; beside them the policy and a list. All of it is invented, uses addresses and names
set aside for documentation, and is the same octet by octet each time.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from op25b_pcap.samples import pages
from op25b_pcap.samples.containers import CONTAINERS
from op25b_pcap.samples.network import SECOND, Network
from op25b_pcap.samples.stories_cases import STORIES as CASES
from op25b_pcap.samples.stories_filters import STORIES as FILTERS
from op25b_pcap.samples.stories_holes import STORIES as HOLES
from op25b_pcap.samples.stories_lines import STORIES as LINES
from op25b_pcap.samples.story import Story
from op25b_pcap.samples.world import POLICY

STORIES: tuple[Story, ...] = (*CASES, *FILTERS, *HOLES, *LINES)
_FIRST_STORY_NS = 1_760_745_600 * SECOND  # 2025-10-18 00:00 UTC
_HOUR_NS = 3600 * SECOND


def write(folder: Path) -> list[Path]:
    """Write all samples below the folder, over what was there; returns the files written."""
    written = [
        _write(folder / "README.md", pages.list_of_stories(STORIES).encode()),
        _write(folder / "policy.toml", POLICY.encode()),
    ]
    for hour, story in enumerate(STORIES):
        # An hour apart: read together, the stories do not run into each other.
        contents = files(story, _FIRST_STORY_NS + hour * _HOUR_NS)
        written += [_write(folder / story.name / name, content) for name, content in contents.items()]
    return written


def files(story: Story, start_ns: int) -> dict[str, bytes]:
    """The files of one story by name."""
    network = Network(start_ns, Random(story.name), story.line, story.hears_downstream)
    expected = list(story.play(network))
    pieces = network.pieces()
    numbers = [""] if len(pieces) == 1 else [f"-{number}" for number in range(1, len(pieces) + 1)]
    captures = {
        f"capture{number}.{story.container}": CONTAINERS[story.container](piece)
        for number, piece in zip(numbers, pieces, strict=True)
    }
    return {
        **captures,
        "README.md": pages.page(story, list(captures), expected).encode(),
        "expected.toml": pages.toml(expected).encode(),
    }


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
