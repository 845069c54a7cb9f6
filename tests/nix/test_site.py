"""The values of a site: read from the JSON that a build writes, and a placeholder where there is none."""

import base64
import hashlib
import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.nix.conftest import KEY, ROOT, Evaluator, quote

_SITE: dict[str, Any] = {
    "hostName": "dns",
    "address": "10.0.0.2",
    "prefixLength": 16,
    "gateway": "10.0.255.254",
    "bootstrapDns": ["9.9.9.9"],
    "timeZone": "UTC",
    "authorizedKeys": [KEY],
    "interface": None,
    "adminUser": "me",
}


def read(text: str) -> str:
    """Return the expression that reads a site.json of this text."""
    return f"import {ROOT}/nix/site/read.nix {quote(text)}"


def test_values_are_what_the_file_says(nix: Evaluator) -> None:
    """Every value of the schema becomes the option of the same name, and is right for our modules."""
    assert nix.evaluate(read(json.dumps(_SITE))) == _SITE
    described = nix.describe(**_SITE)
    assert described["told"]["assertions"] == []
    assert {name: described["values"][name] for name in _SITE} == _SITE


def test_port_may_have_a_name(nix: Evaluator) -> None:
    """``interface`` is null or a text."""
    assert nix.evaluate(read('{"interface": "end0"}')) == {"interface": "end0"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "site.json is not an object with the values of a site"),
        ('{"hostname": "a"}', 'site.json has "hostname", which is no value of a site; there are address, adminUser, '),
        ('{"prefixLength": "24"}', "site.json: prefixLength is not a whole number"),
        ('{"prefixLength": 24.5}', "site.json: prefixLength is not a whole number"),
        ('{"authorizedKeys": "ssh-ed25519 AAAA"}', "site.json: authorizedKeys is not a list of texts"),
        ('{"bootstrapDns": [1]}', "site.json: bootstrapDns is not a list of texts"),
        ('{"address": null}', "site.json: address is not a text"),
    ],
)
def test_other_values_are_refused(nix: Evaluator, text: str, sentence: str) -> None:
    """An unknown name and a value of another kind end with a sentence; nothing is passed over."""
    assert sentence in nix.refuse(read(text))


def evaluate_site(nix: Evaluator, directory: Path) -> Any:
    """Return what nix/site of a copy says: our options' values, and the checks that the system gets."""
    lib = Path(__file__).parent / "stand_in"
    return nix.evaluate(
        f"let lib = import {lib}/lib.nix; pkgs = import {lib}/packages.nix;"
        f" merged = lib.merge [ ] [ (import {directory}/nix/site {{ inherit lib pkgs; }}).config ];"
        " in { inherit (merged.imagekit) pihole;"
        " checks = map (check: { inherit (check) name script; }) (merged.system.checks or [ ]); }"
    )


def test_checkout_can_be_evaluated_and_not_built(nix: Evaluator) -> None:
    """Without a site.json the key is a labelled placeholder, and a build stops with a sentence that says what to do."""
    found = evaluate_site(nix, ROOT)
    assert found["pihole"]["enable"] is True
    (key,) = found["pihole"]["authorizedKeys"]
    assert key.endswith(" placeholder-that-nobody-can-log-in-with")
    (check,) = found["checks"]
    assert "put your key into imagekit.toml and run `imagekit build pihole`" in check["script"]
    assert check["script"].rstrip().endswith("exit 1")


def test_placeholder_has_no_other_half(nix: Evaluator) -> None:
    """Its bytes are the digest of a sentence, in the form of an Ed25519 key: not a key that somebody made."""
    text = (ROOT / "nix" / "site" / "placeholder.nix").read_text()
    kind, blob, _ = nix.evaluate(f"(import {ROOT}/nix/site/placeholder.nix).key").split(" ", 2)
    named = re.findall(r'"(imagekit: [^"]+)"', text.replace("\n# ", " "))[0]
    name = kind.encode()
    digest = hashlib.sha256(named.encode()).digest()
    assert base64.b64decode(blob) == struct.pack(">I", len(name)) + name + struct.pack(">I", 32) + digest
    assert nix.describe(authorizedKeys=[f"{kind} {blob} x"])["told"]["assertions"] == []


def test_staged_copy_has_the_sites_values(nix: Evaluator, tmp_path: Path) -> None:
    """With a site.json beside it the same module gives its values, and nothing stops the build."""
    shutil.copytree(ROOT / "nix", tmp_path / "nix")
    (tmp_path / "nix" / "site.json").write_text(json.dumps(_SITE))
    found = evaluate_site(nix, tmp_path)
    assert found["checks"] == []
    assert {name: value for name, value in found["pihole"].items() if name != "enable"} == {
        name: value for name, value in _SITE.items() if value is not None
    }
