"""Reasoning in a form that clients keep and send back without reading it: ``encrypted_content``, and signatures.

It is theirs, so it is encoded and not encrypted. It is exact where clients leave out or shorten what they can read, and so it is what makes
the next turn's prompt begin like this one's.
"""

import base64
import binascii

_MARK = "mlxd1."


def sealed(text: str) -> str:
    """Returns the text as it travels."""
    return _MARK + base64.urlsafe_b64encode(text.encode()).decode()


def opened(sent: str | None) -> str | None:
    """Returns the text; None for what another server made, or was damaged."""
    if sent is None or not sent.startswith(_MARK):
        return None
    try:
        return base64.b64decode(sent.removeprefix(_MARK), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
