"""Zstandard from the standard library of Python 3.14, or from its backport; with a limit to the memory it takes."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

__all__ = ["ZstdDecompressor", "ZstdError", "new_decompressor"]


def new_decompressor(window_bits: int) -> ZstdDecompressor:
    """Return a decompressor for one frame; one that needs a window above 2^``window_bits`` bytes is an error."""
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: window_bits})
