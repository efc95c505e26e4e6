"""What is asked of every model: words alone, pictures in every order and place, and for those that see them, videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.vision.generate.pictures import CLIP

Message = dict[str, Any]
LONG = "Look at the picture and compare it with the other one, and look at this picture and that picture: what is in it? "


@dataclass(frozen=True)
class Case:
    """A prompt: parts of type ``image`` name a picture, those of type ``video`` the number of frames and how many make a second."""

    name: str
    messages: Sequence[Message]

    def parts(self, kind: str) -> Iterator[dict[str, Any]]:
        for message in self.messages:
            yield from (part for part in message["content"] if part["type"] == kind)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(name: str) -> dict[str, Any]:
    return {"type": "image", "picture": name}


def video(frames: int, fps: float) -> dict[str, Any]:
    return {"type": "video", "picture": CLIP, "frames": frames, "fps": fps}


def say(role: str, *parts: dict[str, Any]) -> Message:
    return {"role": role, "content": list(parts)}


WORDS = Case("words", [say("user", text("What is this?"))])
PICTURES = [
    Case("picture", [say("user", image("red"), text("What is this?"))]),
    Case("other_picture", [say("user", image("blue"), text("What is this?"))]),
    Case("two_pictures", [say("user", image("red"), text("and"), image("small"), text("compare."))]),
    Case("swapped", [say("user", image("small"), text("and"), image("red"), text("compare."))]),
    Case("sizes", [say("user", image("wide"), image("tall"), text("compare."))]),
    Case("late_picture", [say("user", text(LONG), image("red"), text("What is this?"))]),
    Case("late_other_picture", [say("user", text(LONG), image("blue"), text("What is this?"))]),
    Case(
        "turns",
        [
            say("system", text("Look at the picture.")),
            say("user", image("red"), text("What is this?")),
            say("assistant", text("A picture.")),
            say("user", image("blue"), text("And that?")),
        ],
    ),
]
VIDEOS = [
    Case("video", [say("user", video(4, 2.0), text("What is this?"))]),
    Case("slow_video", [say("user", video(4, 1.0), text("What is this?"))]),
    Case("odd_video", [say("user", video(5, 2.0), text("What is this?"))]),
    Case("picture_and_video", [say("user", image("red"), text("and"), video(4, 2.0), text("compare."))]),
]


def cases(*, videos: bool) -> list[Case]:
    return [WORDS, *PICTURES, *(VIDEOS if videos else [])]
