import base64

import pytest

from mlxd.api.media import base64_text
from mlxd.api.media.asked import Inline
from mlxd.api.media.base64_text import decoded
from mlxd.errors import InvalidRequestError


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1000, base64_text._PIECE - 1, base64_text._PIECE, base64_text._PIECE * 3 // 4 * 2 + 1])
def test_it_is_what_was_encoded(size):
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    text = base64.b64encode(data).decode()
    assert decoded(text) == data
    assert Inline(text).size == size


WHOLE = "A" * base64_text._PIECE


@pytest.mark.parametrize(
    "text",
    [
        *(
            "A",
            "AA",
            "AAA",
            "AAAAA",
            "AAA\n",
            "AA A",
            "AAAA\nAAAA",
            "AA-_",
            "AA==AAAA",
            "A===",
            "====",
            "=AAA",
            "AAA==",
            "AAAA====",
            "AAé=",
            "AAA\0",
        ),
        *("AAAA%3D%3D", "AAA,", WHOLE[:-1] + "=" + "AAAA", WHOLE + "AAA\n", WHOLE + "AAA"),
    ],
)
def test_what_is_not_quite_base64_is_refused(text):
    with pytest.raises(InvalidRequestError, match="is no valid base64"):
        decoded(text)
