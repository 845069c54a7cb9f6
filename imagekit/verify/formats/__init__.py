"""A report as text for people, JSON for programs, JUnit and Markdown for CI, and a script that mends. Nothing prints.

Texts in a :class:`imagekit.report.Finding` were escaped when it was made; whatever a stored report brings is escaped
here once more, because this is the last place before the terminal.
"""
