"""What a deployment changes is told as packages and versions."""

from imagekit.deliver.deploy.changes import compare_closures

_HASH = "0123456789abcdfghijklmnpqrsvwxyz"


def path(name: str, store: str = "/nix/store") -> str:
    return f"{store}/{_HASH}-{name}"


def test_other_versions_are_told() -> None:
    """A package with another version, a new one and one that is gone are told; what has no version is not."""
    before = [path("openssl-3.5.1"), path("unbound-1.23.0"), path("etc"), path("glibc-2.40")]
    after = [path("openssl-3.5.2"), path("pihole-6.1"), path("units"), path("glibc-2.40")]
    assert [str(change) for change in compare_closures(before, after)] == [
        "openssl: 3.5.1 → 3.5.2",
        "pihole: none → 6.1",
        "unbound: 1.23.0 → none",
    ]


def test_two_versions_of_one_package_are_one_line() -> None:
    """A closure may hold a package twice."""
    (change,) = compare_closures([path("openssl-3.5.1")], [path("openssl-3.5.1"), path("openssl-1.1.1w")])
    assert str(change) == "openssl: 3.5.1 → 1.1.1w, 3.5.1"


def test_a_store_may_be_elsewhere() -> None:
    """Names are read from stores anywhere; what is no store path is left out."""
    before = [path("openssl-3.5.1", "/srv/nix/store"), "/etc/passwd", "\x1b[2J"]
    assert [change.name for change in compare_closures(before, [])] == ["openssl"]
