"""apt's sources and settings in each of their forms."""

from imagekit.verify.facts.packages import read_apt_options, read_apt_sources
from tests.verify.facts.conftest import MakeView


def test_scopes_are_joined(make_view: MakeView) -> None:
    """Braces, double colons and comments give the same full names."""
    view = make_view(
        {
            "/etc/apt/apt.conf.d/a": 'Acquire { // c\n http { Proxy "http://p"; }; Retries "3"; };\n'
            '/* Acquire::x "1"; */\n# no\nAPT::Get::Assume-Yes "true";\nDPkg::Post-Invoke {"a; b";};\n'
        }
    )
    assert [(option.name, option.value) for option in read_apt_options(view)] == [
        ("Acquire::http::Proxy", "http://p"),
        ("Acquire::Retries", "3"),
        ("APT::Get::Assume-Yes", "true"),
        ("DPkg::Post-Invoke::a; b", ""),
    ]


def test_both_formats_of_sources_are_read(make_view: MakeView) -> None:
    """One-line and deb822 sources give archives, options and suites; disabled ones do not count."""
    view = make_view(
        {
            "/etc/apt/sources.list": "# no\ndeb [trusted=yes arch=amd64] http://a/ s main\n",
            "/etc/apt/sources.list.d/x.sources": "URIs: http://b/ http://c/\nSuites: t\n u\n\nEnabled: no\nURIs: http://d/\n",
        }
    )
    found = [(source.uri, source.suites, source.options.get("trusted")) for source in read_apt_sources(view)]
    assert found == [("http://a/", ("s",), "yes"), ("http://b/", ("t", "u"), None), ("http://c/", ("t", "u"), None)]
