"""How many files, connections among them, the daemon may have open."""

import resource

import structlog

_WANTED = 10_240  # what macOS lets any process have; launchd and terminals there begin with 256

_log = structlog.get_logger(__name__)


def raise_open_files_limit() -> None:
    """Raises the soft limit as far as the hard one allows. This is done here, for a plist cannot: in a LaunchDaemon ``NumberOfFiles`` would
    set the limit of the whole machine (launchd.plist(5)).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        _log.warning("open_files_limit_not_raised", limit=soft, wanted=wanted, reason=str(error))
