"""Dirt about the policy: what it forbids, and allowances that should not stand."""

from datetime import timedelta

from imagekit.definition import Allowance
from imagekit.verify import Policy
from tests.verify.dirty.change import FAIL, INFO, WARN, Dirt, wrote

_TODAY = Policy().today
_CORP = Policy(forbid_text=("build.corp.example",))
_NOTHING = wrote("/etc/motd", "welcome\n")
_OVER = Policy(today=_TODAY, allow=(Allowance("shell-history", reason="was needed", until=_TODAY - timedelta(days=1)),))
_IDLE = Policy(today=_TODAY, allow=(Allowance("shell-history", "/root", "was needed", _TODAY),))
_BARE = Policy(allow=(Allowance("tmp-contents"),))
_ENDLESS = Policy(allow=(Allowance("tmp-contents", reason="our first boot empties it"),))
_LEFT_IN_TMP = wrote("/var/tmp/script.sh", "echo\n")

DIRT = (
    Dirt("forbidden-path", "file", FAIL, "/opt/build", wrote("/opt/build/x"), Policy(forbid_paths=("/opt/build",))),
    Dirt("forbidden-path", "glob", FAIL, "/opt/b/x.log", wrote("/opt/b/x.log"), Policy(forbid_paths=("/o*/?/*.log",))),
    Dirt("forbidden-text", "host", FAIL, "/etc/motd", wrote("/etc/motd", "see build.corp.example\n"), _CORP),
    Dirt("allowance-expired", "over", WARN, "verify.allow shell-history", _NOTHING, _OVER),
    Dirt("allowance-unused", "idle", WARN, "verify.allow shell-history /root", _NOTHING, _IDLE),
    Dirt("allowance-unexplained", "bare", WARN, "verify.allow tmp-contents", _LEFT_IN_TMP, _BARE),
    Dirt("allowance-unexplained", "endless", INFO, "verify.allow tmp-contents", _LEFT_IN_TMP, _ENDLESS),
)
