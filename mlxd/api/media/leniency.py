"""What is tolerated of parts that show something: fields that mlxd knows and does nothing with.

``docs/compatibility.md`` is made from these tables; how they are read is in ``api/fields/tolerance.py``.
"""

from mlxd.api.fields.hints import HINTS
from mlxd.api.fields.tolerance import TEXT, Rules, hint, only

_IT_SAYS_SO = "A file says itself what it is."
_ALIKE = only("auto", why="All frames are looked at alike.")

MEDIA_PART: Rules = {
    "cache_control": HINTS["cache_control"],
    "prompt_cache_breakpoint": HINTS["prompt_cache_breakpoint"],
    "uuid": hint(TEXT, "Equal pictures are known by what is to be seen."),
    "id": hint(TEXT, "Answers carry it, so clients send it back."),
    "file_id": only(why="No files are stored here; send it by a URL."),
}

FILM_PART: Rules = {**MEDIA_PART, "detail": _ALIKE}

MEDIA_URL: Rules = {
    "format": hint(TEXT, _IT_SAYS_SO),
    "media_type": hint(TEXT, _IT_SAYS_SO),
    "uuid": MEDIA_PART["uuid"],
}

FILM_URL: Rules = {**MEDIA_URL, "detail": _ALIKE}
