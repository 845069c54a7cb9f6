"""A report as text for people, JSON for programs, JUnit and Markdown for CI, and a script that mends. Nothing prints.

Texts in a :class:`imagekit.report.Finding` were escaped when it was made; whatever a stored report brings is escaped
here once more, because this is the last place before the terminal.
"""

from imagekit.verify.formats.document import render_json
from imagekit.verify.formats.fixes import render_fixes
from imagekit.verify.formats.junit import render_junit
from imagekit.verify.formats.markdown import render_checks, render_markdown
from imagekit.verify.formats.text import render_text

__all__ = ["render_checks", "render_fixes", "render_json", "render_junit", "render_markdown", "render_text"]
