"""A host that answers as another machine's Nix did: what it says was recorded there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.local import Completed

RECORDED = Path(__file__).with_name("recorded")


def read_recorded(name: str) -> bytes:
    """Return a recorded file's bytes."""
    return (RECORDED / name).read_bytes()


@dataclass
class RecordedHost:
    """Answers a command by the first of ``answers`` whose key is in the command line, else with status 1.

    ``files`` are what it has, ``programs`` what is installed, ``asked`` every command line that was run.
    """

    answers: dict[str, bytes | Completed]
    files: dict[str, bytes] = field(default_factory=dict)
    programs: tuple[str, ...] = ("nix",)
    free: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    name: str = "ssh://builder@nas.example"

    def run(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        timeout: float | None = None,
        check: bool = True,
    ) -> Completed:
        """Answer a command."""
        line = " ".join(argv)
        self.asked.append(line)
        for key, answer in self.answers.items():
            if key in line:
                return answer if isinstance(answer, Completed) else Completed(answer, "", 0)
        return Completed(b"", f"no answer to {line}", 1)

    def find_program(self, name: str) -> str:
        """Return a place for the programs it has."""
        return f"/usr/bin/{name}" if name in self.programs else ""

    def read_file(self, path: str, *, limit: int) -> bytes:
        """Return one of ``files``."""
        if path not in self.files:
            raise HostFailed(f"{path} is not there")
        return self.files[path][:limit]

    def free_bytes(self, path: str) -> int:
        """Return what ``free`` says of the longest path above."""
        return next((free for top, free in self.free.items() if path.startswith(top)), 1 << 40)

    def make_directory(self) -> str:
        """Not needed here."""
        raise NotImplementedError

    def remove_directory(self, directory: str) -> None:
        """Not needed here."""
        raise NotImplementedError

    def put_tree(self, source: Path, directory: str) -> None:
        """Not needed here."""
        raise NotImplementedError

    def measure_file(self, path: str) -> int:
        """Return the length of one of ``files``."""
        return len(self.read_file(path, limit=1 << 30))

    def digest_file(self, path: str) -> str:
        """Not needed here."""
        raise NotImplementedError

    def fetch_file(
        self, path: str, destination: Path, *, size: int, on_bytes: Callable[[int], None] | None = None
    ) -> Path:
        """Not needed here."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is open."""
