"""What holds for all tests."""

import signal

# Whoever begins the tests in the background, or under nohup, has these ignored, and so would the programs have that we start to see what
# a signal does to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
