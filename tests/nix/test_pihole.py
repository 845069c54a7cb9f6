"""What our modules tell NixOS: what goes wrong on a real Raspberry Pi, or on the second boot, cannot go wrong here."""

import json
import re

import pytest

from tests.nix.conftest import KEY, ROOT, Evaluator

_HASH = "sha256-" + "A" * 43 + "="


def test_defaults_are_those_of_the_issue(nix: Evaluator) -> None:
    """192.168.0.53/24 behind .1, in Berlin, under the name pihole."""
    told = nix.describe()["told"]
    network = told["systemd"]["network"]["networks"]["10-imagekit-wired"]
    assert (network["address"], network["gateway"]) == (["192.168.0.53/24"], ["192.168.0.1"])
    assert told["time"]["timeZone"] == "Europe/Berlin"
    assert told["networking"]["hostName"] == "pihole"


def test_any_wired_port_gets_the_address(nix: Evaluator) -> None:
    """A Pi 4 has end0 and no eth0: the port is matched by its type, and what Docker makes has a kind."""
    network = nix.describe()["told"]["systemd"]["network"]["networks"]["10-imagekit-wired"]
    assert network["matchConfig"] == {"Type": "ether", "Kind": "!*"}
    named = nix.describe(interface="end0")["told"]["systemd"]["network"]["networks"]["10-imagekit-wired"]
    assert named["matchConfig"] == {"Name": "end0"}


def test_machine_never_asks_itself(nix: Evaluator) -> None:
    """resolv.conf has the bootstrap resolvers alone, and nobody else writes it or listens on port 53."""
    told = nix.describe(bootstrapDns=["9.9.9.9", "192.168.0.1"])["told"]
    assert told["environment"]["etc"]["resolv.conf"]["text"] == "nameserver 9.9.9.9\nnameserver 192.168.0.1\n"
    assert told["networking"]["resolvconf"]["enable"] is False
    assert told["services"]["resolved"]["enable"] is False


def test_unbound_is_first(nix: Evaluator) -> None:
    """Pi-hole starts after Unbound answers; it is not cancelled for good when Unbound's first start fails."""
    told = nix.describe(upstreamPort=5353)["told"]
    services = told["systemd"]["services"]
    assert services["docker-pihole"]["after"] == services["docker-pihole"]["wants"] == ["docker-unbound.service"]
    assert "dependsOn" not in told["virtualisation"]["oci-containers"]["containers"]["pihole"]
    assert "/dev/tcp/127.0.0.1/5353" in services["docker-unbound"]["postStart"]
    assert 'kill -0 "$MAINPID"' in services["docker-unbound"]["postStart"]
    for name in ("docker-unbound", "docker-pihole"):
        assert services[name]["startLimitIntervalSec"] == 0
        assert services[name]["serviceConfig"]["RestartSec"] == "10s"


def test_pihole_is_told_by_variables_of_version_6(nix: Evaluator) -> None:
    """Everything but time zone and the password's file is FTLCONF_, and the only upstream is our Unbound."""
    environment = nix.describe()["told"]["virtualisation"]["oci-containers"]["containers"]["pihole"]["environment"]
    assert environment["FTLCONF_dns_upstreams"] == "127.0.0.1#5335"
    assert {name for name in environment if not name.startswith("FTLCONF_")} == {"TZ", "WEBPASSWORD_FILE"}
    assert "FTLCONF_webserver_api_password" not in environment


def test_containers_have_the_hosts_network(nix: Evaluator) -> None:
    """Both on Docker with the host's network; logs of every query are in memory."""
    containers = nix.describe()["told"]["virtualisation"]["oci-containers"]
    assert containers["backend"] == "docker"
    for container in containers["containers"].values():
        assert "--network=host" in container["extraOptions"]
    assert any(
        option.startswith("--tmpfs=/var/log/pihole:") for option in containers["containers"]["pihole"]["extraOptions"]
    )


def test_images_are_pulled_by_digest(nix: Evaluator) -> None:
    """Without a hash an image is named by tag and digest, and is fetched when it is not there."""
    pinned = json.loads((ROOT / "nix" / "pihole" / "images.json").read_text())
    containers = nix.describe()["told"]["virtualisation"]["oci-containers"]["containers"]
    for name, image in pinned.items():
        assert containers[name]["image"] == f"{image['name']}:{image['tag']}@{image['digest']}"
        assert containers[name]["pull"] == "missing"
        assert "imageFile" not in containers[name]


def test_images_with_a_hash_are_on_the_card(nix: Evaluator) -> None:
    """With one they are fetched by Nix, by the same digest, and nothing is ever pulled."""
    values = {"images": {"pihole": {"hash": _HASH}}}
    containers = nix.describe(**values)["told"]["virtualisation"]["oci-containers"]["containers"]
    pihole = containers["pihole"]
    assert pihole["pull"] == "never"
    assert "@" not in pihole["image"]
    digest = nix.describe()["values"]["images"]["pihole"]["digest"]
    assert pihole["imageFile"]["text"] == f"docker.io/pihole/pihole@{digest} {_HASH} as {pihole['image']}"
    assert containers["unbound"]["pull"] == "missing"


def test_mounts_are_store_files_or_the_machines_own(nix: Evaluator) -> None:
    """Nothing below /etc of the host is mounted: NixOS makes symbolic links there, which end inside a container."""
    containers = nix.describe()["told"]["virtualisation"]["oci-containers"]["containers"]
    sources = [volume.split(":")[0] for container in containers.values() for volume in container["volumes"]]
    assert len(sources) == 2
    assert all(source.startswith(("/stand-in/", "/var/lib/imagekit/")) for source in sources)


def test_password_is_a_file_of_the_machine(nix: Evaluator) -> None:
    """It is mounted, read-only, where version 6 looks for it; the default one is made, for root alone, once."""
    described = nix.describe()
    told = described["told"]
    pihole = told["virtualisation"]["oci-containers"]["containers"]["pihole"]
    path = described["values"]["passwordFile"]
    mount = f"--mount=type=bind,source={path},destination=/run/secrets/imagekit-web-password,readonly"
    assert mount in pihole["extraOptions"]
    assert pihole["environment"]["WEBPASSWORD_FILE"] == "imagekit-web-password"
    maker = told["systemd"]["services"]["imagekit-web-password"]
    assert maker["before"] == maker["wantedBy"] == ["docker-pihole.service"]
    assert maker["unitConfig"]["ConditionPathExists"] == f"!{path}"
    assert maker["serviceConfig"]["UMask"] == "0077"
    assert re.search(r"/dev/urandom.*\n.*sync.*\n.*mv ", maker["script"])


def test_own_password_file_is_not_made(nix: Evaluator) -> None:
    """One that the owner names is brought by the owner."""
    told = nix.describe(passwordFile="/run/secrets/pihole")["told"]
    assert "imagekit-web-password" not in told["systemd"]["services"]


def test_nobody_logs_in_with_a_password(nix: Evaluator) -> None:
    """Keys only, of the configuration only, not as root; users cannot be changed on the machine; sudo asks nothing."""
    told = nix.describe(adminUser="me")["told"]
    ssh = told["services"]["openssh"]
    assert ssh["settings"]["PasswordAuthentication"] is ssh["settings"]["KbdInteractiveAuthentication"] is False
    assert ssh["settings"]["PermitRootLogin"] == "no"
    assert ssh["settings"]["AllowUsers"] == ["me"]
    assert ssh["authorizedKeysInHomedir"] is False
    assert told["users"]["mutableUsers"] is False
    assert told["users"]["users"]["me"]["openssh"]["authorizedKeys"]["keys"] == [KEY]
    assert told["users"]["users"]["root"] == {"hashedPassword": "!"}
    assert told["security"]["sudo"]["wheelNeedsPassword"] is False
    assert told["nix"]["settings"]["trusted-users"] == ["me"]


def test_firewall_has_three_ports(nix: Evaluator) -> None:
    """SSH by its own module, DNS and the web page; measurements are for the machine itself."""
    told = nix.describe()["told"]
    firewall = told["networking"]["firewall"]
    assert (firewall["allowedTCPPorts"], firewall["allowedUDPPorts"]) == ([53, 80], [53])
    assert told["services"]["openssh"]["openFirewall"] is True
    assert firewall["extraCommands"] == ""
    assert told["services"]["prometheus"]["exporters"]["node"]["listenAddress"] == "127.0.0.1"


def test_measurements_are_for_whom_they_are_allowed(nix: Evaluator) -> None:
    """Each address or network gets a rule for the exporter's port; switched off, there is no exporter."""
    told = nix.describe(metrics={"allowFrom": ["192.168.0.10", "10.0.0.0/8"]})["told"]
    rules = told["networking"]["firewall"]["extraCommands"].splitlines()
    assert [re.findall(r"-s (\S+) --dport 9100 ", rule) for rule in rules] == [["192.168.0.10"], ["10.0.0.0/8"]]
    assert told["services"]["prometheus"]["exporters"]["node"]["listenAddress"] == "0.0.0.0"
    assert "prometheus" not in nix.describe(metrics={"enable": False})["told"]["services"]


def test_testing_variant_is_one_option_away(nix: Evaluator) -> None:
    """Another name and the next address, or those that are given; everything else is as it was."""
    live, other = nix.describe()["told"], nix.describe(testing={"enable": True})["told"]
    assert other["networking"]["hostName"] == "pihole-test"
    assert other["systemd"]["network"]["networks"]["10-imagekit-wired"]["address"] == ["192.168.0.54/24"]
    assert other["image"]["baseName"] == live["image"]["baseName"].replace("pihole", "pihole-test")
    for told in (live, other):
        del told["networking"]["hostName"], told["systemd"]["network"]["networks"], told["image"]
    assert live == other
    chosen = nix.describe(testing={"enable": True, "address": "192.168.0.99", "hostName": "spare"})["told"]
    assert chosen["networking"]["hostName"] == "spare"
    assert chosen["systemd"]["network"]["networks"]["10-imagekit-wired"]["address"] == ["192.168.0.99/24"]


@pytest.mark.parametrize("count", [5, 3])
def test_menu_and_store_keep_the_same_generations(nix: Evaluator, count: int) -> None:
    """Five of them unless told otherwise; nothing upgrades by itself."""
    told = nix.describe(**({} if count == 5 else {"generations": count}))["told"]
    assert told["boot"]["loader"]["generic-extlinux-compatible"]["configurationLimit"] == count
    assert f"--delete-generations +{count}\n" in told["systemd"]["services"]["imagekit-generations"]["script"]
    assert told["system"]["autoUpgrade"]["enable"] is False


def test_card_is_spared(nix: Evaluator) -> None:
    """The journal is small and synced seldom; swap and temporary files are in memory; reading writes nothing."""
    told = nix.describe()["told"]
    journal = told["environment"]["etc"]["systemd/journald.conf.d/10-imagekit.conf"]["text"]
    assert {"SystemMaxUse=128M", "SyncIntervalSec=15m"} <= set(journal.splitlines())
    assert told["zramSwap"]["enable"] is told["boot"]["tmp"]["useTmpfs"] is True
    assert told["fileSystems"]["/"]["options"] == ["noatime"]
    assert told["virtualisation"]["docker"]["autoPrune"] == {"enable": True, "dates": "monthly", "flags": ["--all"]}


def test_pihole_keeps_its_directory(nix: Evaluator) -> None:
    """A switch to a new system does not take the directory of settings away from the Pi-hole that writes there."""
    (rule,) = nix.describe()["told"]["systemd"]["tmpfiles"]["rules"]
    assert rule.split() == ["d", "/var/lib/imagekit/pihole", "-", "-", "-", "-"]


def test_image_is_small_and_leaves_room_for_firmware(nix: Evaluator) -> None:
    """No ZFS, whose module takes hours to build; compressed; the firmware's partition has room for newer files."""
    told = nix.describe()["told"]
    assert told["boot"]["supportedFilesystems"]["zfs"] is False
    assert told["sdImage"] == {"compressImage": True, "firmwareSize": 128}
    assert told["image"]["baseName"].startswith("imagekit-pihole-")


def test_service_alone_fits_into_another_machine(nix: Evaluator) -> None:
    """``nixosModules.pihole`` sets nothing about users, SSH or the card: those are rooms of their own."""
    told = nix.describe(("pihole",))["told"]
    assert not {"users", "security", "sdImage", "image", "boot", "fileSystems", "nix", "documentation"} & set(told)
    assert "openssh" not in told["services"]
