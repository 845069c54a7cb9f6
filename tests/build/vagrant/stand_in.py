"""A Vagrant that replays what a real one said: Debian's 2.3.4 with vagrant-libvirt 0.11.2, recorded, paths changed.

It keeps the machine's state and id as Vagrant does, so a command after another finds what that left.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

RECORDED = Path(__file__).with_name("recorded")

# $PLAY has: state (not_created, running, shutoff), calls, and for a command COMMAND.out, .rc, .err, .state, .wait
_SCRIPT = """\
#!/bin/sh
play={play}
recorded={recorded}
echo "$*" >>"$play/calls"
env | grep -E '^(VAGRANT|LIBVIRT)' | sort >"$play/environment"
state=$(cat "$play/state")
machine=$VAGRANT_DOTFILE_PATH/machines/builder/libvirt
case $1 in
    --version) cat "$play/version"; exit 0 ;;
    plugin) cat "$play/plugins"; exit 0 ;;
    status) [ -e "$play/status.out" ] || set -- "status-$state" ;;
    ssh-config)
        [ "$state" = running ] || {{ cat "$recorded/ssh-config-not-ready.txt" >&2; exit 1; }}
        cat "$play/ssh-config.out"; exit 0 ;;
esac
forced=; [ "$2" != --force ] || forced=-force
name=$1$forced; [ -e "$play/$name.out" ] || name=$1
out=$recorded/$name.txt; [ ! -e "$play/$name.out" ] || out=$play/$name.out
left=$(cat "$play/$name.state" 2>/dev/null) || left=
[ -z "$left" ] || {{
    echo "$left" >"$play/state"
    mkdir -p "$machine"
    [ "$left" = not_created ] && rm -f "$machine"/* || echo 5f1f2a52 >"$machine/id"
}}
cat "$out"
[ ! -e "$play/$name.err" ] || cat "$play/$name.err" >&2
if [ -e "$play/$name.wait" ]; then
    trap 'echo interrupted >>"$play/calls"; exit 1' INT
    while :; do sleep 0.05; done
fi
exit "$(cat "$play/$name.rc" 2>/dev/null || echo 0)"
"""


@dataclass(frozen=True, slots=True)
class StandInVagrant:
    """The stand-in as tests set it up; ``play`` is where it is told what to do."""

    play: Path

    def install(self, bin_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be the ``vagrant`` that is found, with libvirt beside it."""
        self.play.mkdir()
        bin_directory.mkdir()
        for name, text in (
            ("vagrant", _SCRIPT.format(play=self.play, recorded=RECORDED)),
            ("virsh", "#!/bin/sh\n"),
        ):
            (bin_directory / name).write_text(text)
            (bin_directory / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_directory}:/usr/bin:/bin")
        self.write("version", "Vagrant 2.3.4\n")
        self.write("plugins", (RECORDED / "plugin-list.txt").read_text())
        self.write("state", "not_created")
        self.write("ssh-config.out", (RECORDED / "ssh-config.txt").read_text())
        self.plan("up", "up-stopped", left="running")
        self.plan("halt", "halt", left="shutoff")
        self.plan("destroy", "destroy", left="not_created")

    def write(self, name: str, text: str) -> None:
        """Give one file of the plan."""
        (self.play / name).write_text(text)

    def plan(
        self, command: str, recording: str, *, status: int = 0, left: str = "", waits: bool = False, errors: str = ""
    ) -> None:
        """Have ``command`` replay ``recording``, end with ``status`` and leave the machine in state ``left``.

        With ``waits`` it goes on until it is interrupted.
        """
        self.write(f"{command}.out", (RECORDED / f"{recording}.txt").read_text())
        self.write(f"{command}.rc", str(status))
        self.write(f"{command}.state", left)
        if errors:
            self.write(f"{command}.err", errors)
        if waits:
            self.write(f"{command}.wait", "")

    @property
    def state(self) -> str:
        """The machine's state, in libvirt's word."""
        return (self.play / "state").read_text().strip()

    def list_calls(self) -> list[str]:
        """Return the command lines so far that were not about Vagrant itself."""
        lines = (self.play / "calls").read_text().splitlines() if (self.play / "calls").exists() else []
        return [line for line in lines if not line.startswith(("--version", "plugin"))]
