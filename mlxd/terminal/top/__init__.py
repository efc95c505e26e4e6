"""``mlxd top``: a daemon's models and requests as they are now, drawn again and again, steered by keys.

    poller ──Look──▶ session ──▶ history ──▶ screen ──▶ terminal
                        ▲
     keys ──Key──▶ view ┘

``history``, ``histogram``, ``view`` and all that draws are pure: values in, values out, no clock. ``poller`` asks the daemon on a thread of
its own, so that a daemon that hangs leaves the keys alive.
"""
