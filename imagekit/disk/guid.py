"""The text of a UUID; the library for it takes longer to load than a partition table to read (it asks the platform)."""


def format_uuid(stored: bytes) -> str:
    """Return 16 bytes in network order as text in lower case (RFC 9562 section 4)."""
    digits = stored.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def format_guid(stored: bytes) -> str:
    """Return 16 bytes whose first three fields are little-endian as text in upper case (UEFI appendix A)."""
    return format_uuid(stored[3::-1] + stored[5:3:-1] + stored[7:5:-1] + stored[8:]).upper()
