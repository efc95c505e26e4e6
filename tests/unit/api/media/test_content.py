import pytest

from mlxd.api.media.asked import AskedMedia, Inline
from mlxd.api.media.content import Content, joined


def picture(name="p", at=0):
    return AskedMedia(kind="image", files=[], at=at, param=name, sources=[Inline("AAAA")])


def places(content):
    return content.text, [(one.param, one.at) for one in content.media]


TEXT, SEEN = Content("ab"), Content(media=[picture()])


@pytest.mark.parametrize(
    ("contents", "between", "expected"),
    [
        ([], "\n", ("", [])),
        ([TEXT, TEXT], "", ("abab", [])),
        ([TEXT, TEXT], "\n\n", ("ab\n\nab", [])),
        ([TEXT, Content(), TEXT], "\n\n", ("ab\n\nab", [])),
        ([TEXT, SEEN, TEXT], "\n\n", ("abab", [("p", 2)])),
        ([SEEN, TEXT, TEXT], "\n\n", ("ab\n\nab", [("p", 0)])),
        ([TEXT, TEXT, SEEN, SEEN], "\n\n", ("ab\n\nab", [("p", 6), ("p", 6)])),
        ([TEXT, Content("cd", [picture("q", 1)]), TEXT], "-", ("ab-cd-ab", [("q", 4)])),
        ([TEXT, Content("cd", [picture("q", 2)]), TEXT], "-", ("ab-cdab", [("q", 5)])),
        ([TEXT, Content("cd", [picture("q", 0)]), TEXT], "-", ("abcd-ab", [("q", 2)])),
    ],
)
def test_contents_are_one_behind_the_other(contents, between, expected):
    assert places(joined(contents, between)) == expected


def test_what_is_put_before_it_moves_what_is_seen():
    assert places(Content("cd", [picture("q", 1)]).behind("Error: ")) == ("Error: cd", [("q", 8)])
    assert not Content()
    assert SEEN
    assert TEXT
