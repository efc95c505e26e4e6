"""Pictures in prompts."""

from mlxd.worker.encoded_prompt import MediaSpan


def spans(length, pictures):
    """``pictures`` are (tokens before it, tokens it takes, content), one behind the other, as far as they begin within ``length``."""
    found, end = [], 0
    for gap, size, content in pictures:
        if end + gap < length:
            found.append(MediaSpan(end + gap, min(end + gap + size, length), content))
            end = found[-1].stop
    return tuple(found)
