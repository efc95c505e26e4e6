"""A real daemon whose one model says what a test has it say."""

from tests.e2e.daemon_process import DaemonProcess
from tests.support.scripted.script import Rule, write_script

TOML = """
[defaults.sampling]
max_tokens = 2000
[defaults.cache]
memory = "1GiB"
[models.scripted]
source = "{dir}/scripted"
aliases = ["default", "tiny", "claude-*", "gpt-*"]
"""


class ScriptedDaemon(DaemonProcess):
    """As ``DaemonProcess``, with a scripted model that is called ``scripted``."""

    def __init__(self, directory, toml=TOML, **options):
        super().__init__(directory, toml, module="tests.support.fake_daemon", **options)
        self.say()

    def say(self, *rules: Rule) -> None:
        """Has the model say so from the next prompt on."""
        write_script(self.directory / "scripted", *rules)
