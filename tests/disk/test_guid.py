"""UUIDs as text, like the library writes them."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from imagekit.disk.guid import format_guid, format_uuid


@given(st.binary(min_size=16, max_size=16))
def test_text_is_that_of_the_library(stored: bytes) -> None:
    """Both byte orders give what Python's own module gives."""
    assert format_uuid(stored) == str(uuid.UUID(bytes=stored))
    assert format_guid(stored) == str(uuid.UUID(bytes_le=stored)).upper()
