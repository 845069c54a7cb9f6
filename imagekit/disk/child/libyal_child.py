"""The child process in which the libyal C libraries read: a program of its own that takes nothing from imagekit.

It has its standard input and output and no path: what it needs of the image it asks its parent for. It is started as
``python -I -S libyal_child.py LIBRARY DIRECTORY MEMORY SECONDS``, where DIRECTORY is the one that holds the library
(``-S`` leaves site-packages out, which saves a third of the start) and the limits are in bytes and seconds of CPU.

A message is two big-endian 32-bit lengths, a JSON object and bytes. The parent sends one request and answers every
``{"read": [offset, length]}`` with the bytes, until an answer comes: ``{"done": …}`` or ``{"failed": sentence}``.
"""

import functools
import json
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any

LENGTHS = struct.Struct(">II")
_PIECE = 128 << 10
_KEEP = 256
_MOST_ENTRIES = 250_000
_DESCRIPTORS = 16

Request = dict[str, Any]
Answer = tuple[Any, bytes]


class Parent:
    """The other end of the pipes."""

    def __init__(self, incoming: Any, outgoing: Any) -> None:  # noqa: ANN401 - raw binary streams
        self._incoming = incoming
        self._outgoing = outgoing

    def send(self, header: Request, body: bytes = b"") -> None:
        """Send one message."""
        text = json.dumps(header).encode()
        self._outgoing.write(LENGTHS.pack(len(text), len(body)) + text + body)
        self._outgoing.flush()

    def receive(self) -> tuple[Request, bytes] | None:
        """Return the next message; ``None`` when the parent has closed the pipe."""
        lengths = self._incoming.read(LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            return None
        header, body = LENGTHS.unpack(lengths)
        return json.loads(self._incoming.read(header)), self._incoming.read(body)


class RemoteFile:
    """A file object, as the libraries take it, whose bytes the parent reads; large pieces are kept."""

    def __init__(self, parent: Parent, size: int) -> None:
        self._parent = parent
        self._size = size
        self._position = 0
        self._pieces: dict[int, bytes] = {}

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to ``offset`` from the beginning, from here or from the end."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def get_size(self) -> int:
        """Return the size in bytes."""
        return self._size

    def read(self, length: int = -1) -> bytes:
        """Return up to ``length`` bytes from the position, fewer only at the end."""
        rest = max(0, self._size - self._position)
        end = self._position + (rest if length < 0 else min(length, rest))
        parts = []
        while self._position < end:
            number, start = divmod(self._position, _PIECE)
            part = self._piece(number)[start : start + end - self._position]
            self._position += len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _piece(self, number: int) -> bytes:
        piece = self._pieces.get(number)
        if piece is None:
            begin = number * _PIECE
            self._parent.send({"read": [begin, min(_PIECE, self._size - begin)]})
            answer = self._parent.receive()
            if answer is None or not answer[0].get("done"):
                raise OSError("the image could not be read there")
            piece = answer[1]
            if len(self._pieces) >= _KEEP:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[number] = piece
        return piece


def open_xfs(library: Any, file: RemoteFile) -> Callable[[Request], Answer]:  # noqa: ANN401 - a library without types
    """Open the XFS filesystem in ``file`` and return what answers requests about it."""
    volume = library.volume()
    volume.open_file_object(file)

    def entry(request: Request) -> Any:  # noqa: ANN401 - the library's object
        found = volume.get_file_entry_by_inode(request["inode"])
        if found is None:
            raise OSError(f"inode {request['inode']} cannot be found")
        return found

    def answer(request: Request) -> Answer:
        match request["do"]:
            case "root":
                return None, json.dumps([_describe("/", volume.get_root_directory())]).encode()
            case "children":
                directory = entry(request)
                count = directory.number_of_sub_file_entries
                if count > _MOST_ENTRIES:
                    raise OSError(f"the directory has {count} entries")
                children = (directory.get_sub_file_entry(index) for index in range(count))
                return None, json.dumps([_describe(_name(child), child) for child in children]).encode()
            case "read":
                return None, entry(request).read_buffer_at_offset(request["length"], request["offset"]) or b""
            case "target":
                return None, (entry(request).symbolic_link_target or "").encode(errors="surrogateescape")
            case "attribute":
                for index in range((file_entry := entry(request)).number_of_extended_attributes):
                    attribute = file_entry.get_extended_attribute(index)
                    if attribute.name == request["name"]:
                        return True, attribute.read_buffer_at_offset(min(attribute.size, 1 << 16), 0) or b""
                return False, b""
            case unknown:
                raise OSError(f"there is no request {unknown}")

    return answer


def _name(entry: Any) -> str:  # noqa: ANN401 - the library's object
    """Return the entry's name; the library cannot tell one that is not UTF-8, so its inode stands for it."""
    try:
        return str(entry.name)
    except OSError:
        return f"\N{REPLACEMENT CHARACTER}inode-{entry.inode_number}"


def _describe(name: str, entry: Any) -> list[Any]:  # noqa: ANN401 - the library's object
    """Return name, inode, mode, owner, group, size and modification time in nanoseconds."""
    return [
        name,
        entry.inode_number,
        entry.file_mode,
        entry.owner_identifier,
        entry.group_identifier,
        entry.size,
        entry.get_modification_time_as_integer(),
    ]


def open_vmdk(library: Any, file: RemoteFile) -> Callable[[Request], Answer]:  # noqa: ANN401 - a library without types
    """Open the VMDK disk in ``file``, whose one extent is that file itself: no name in it is ever followed."""
    handle = library.handle()
    handle.open_file_object(file)
    if handle.parent_content_identifier not in (None, 0xFFFFFFFF) or handle.number_of_extents != 1:
        raise OSError("the disk is made of several files")
    handle.open_extent_data_files_as_file_objects([file])
    return _answer_disk(handle)


def open_vhdi(library: Any, file: RemoteFile) -> Callable[[Request], Answer]:  # noqa: ANN401 - a library without types
    """Open the VHDX disk in ``file``."""
    handle = library.file()
    handle.open_file_object(file)
    if handle.disk_type == library.disk_types.DIFFERENTIAL or handle.parent_identifier:
        raise OSError("the disk is a difference to another file")
    return _answer_disk(handle)


def _answer_disk(handle: Any) -> Callable[[Request], Answer]:  # noqa: ANN401 - the library's object
    def answer(request: Request) -> Answer:
        match request["do"]:
            case "size":
                return handle.media_size, b""
            case "read":
                return None, handle.read_buffer_at_offset(request["length"], request["offset"]) or b""
            case unknown:
                raise OSError(f"there is no request {unknown}")

    return answer


def load_opener(name: str) -> Callable[[RemoteFile], Callable[[Request], Answer]]:
    """Load the library called ``name`` and return what opens a file with it."""
    match name:
        case "pyfsxfs":
            import pyfsxfs

            return functools.partial(open_xfs, pyfsxfs)
        case "pyvmdk":
            import pyvmdk

            return functools.partial(open_vmdk, pyvmdk)
        case "pyvhdi":
            import pyvhdi

            return functools.partial(open_vhdi, pyvhdi)
        case _:
            raise ValueError(f"there is no library {name}")


def limit_process(memory: int, seconds: int) -> None:
    """Bound this process for good (setrlimit(2)): address space in bytes, CPU in seconds, descriptors, no writing."""
    bounds = [
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ]
    if sys.platform != "darwin":  # macOS knows the constant and refuses to set it
        bounds.append((resource.RLIMIT_AS, memory))
    for which, bound in bounds:
        _, hard = resource.getrlimit(which)
        bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (bound, bound))


def serve(parent: Parent, opener: Callable[[RemoteFile], Callable[[Request], Answer]]) -> None:
    """Answer requests until the parent closes the pipe; the first one says how large the file is."""
    answer: Callable[[Request], Answer] | None = None
    while (message := parent.receive()) is not None:
        request = message[0]
        try:
            if answer is None:
                answer, done, body = opener(RemoteFile(parent, request["size"])), True, b""
            else:
                done, body = answer(request)
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, MemoryError) as problem:
            parent.send({"failed": f"{type(problem).__name__}: {problem}"[:600]})
        else:
            parent.send({"done": done}, body)


def main() -> None:
    """Limit this process, load the library named on the command line, and serve."""
    name, directory, memory, seconds = sys.argv[1:5]
    limit_process(int(memory), int(seconds))
    sys.path.append(directory)
    serve(Parent(sys.stdin.buffer, sys.stdout.buffer), load_opener(name))


if __name__ == "__main__":
    main()
