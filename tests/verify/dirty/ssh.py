"""Dirt about SSH."""

from imagekit.verify import Policy, Profile
from tests.verify.dirty.change import (
    CFG,
    CLOUD_INIT_OFF,
    FAIL,
    HASH,
    INFO,
    MACHINE_ID,
    PRIVATE_KEY,
    PUBLIC_KEY,
    SYSTEM,
    WARN,
    Dirt,
    added,
    all_of,
    linked,
    removed,
    swapped,
    wrote,
)

ON_CLONE = Policy(profile=Profile.CLONE)
VAGRANT_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN1YdxBpNlzxDqfJyw/QKow1F+wvG9hXGoqiysfJOn5Y vagrant insecure public key\n"
)
# What a machine that runs has.
LIVES = all_of(wrote("/etc/machine-id", MACHINE_ID), wrote("/etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY))
MAIN = "/etc/ssh/sshd_config"
DROP_INS = "/etc/ssh/sshd_config.d"

DIRT = (
    Dirt("ssh-host-keys", "private", FAIL, "ssh_host_ed25519_key", wrote("/etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY)),
    Dirt("ssh-host-keys", "public", WARN, ".pub", wrote("/etc/ssh/ssh_host_ed25519_key.pub", PUBLIC_KEY)),
    Dirt("ssh-host-keys", "dropbear", FAIL, "dropbear", wrote("/etc/dropbear/dropbear_rsa_host_key", b"\0key")),
    Dirt("ssh-host-key-regeneration", "off", FAIL, "/etc/ssh", CLOUD_INIT_OFF),
    Dirt("ssh-host-key-regeneration", "module", FAIL, "/etc/ssh", swapped("/etc/cloud/cloud.cfg", "  - ssh\n", "")),
    Dirt(
        "ssh-host-key-regeneration",
        "first-boot-only",
        FAIL,
        "/etc/ssh",
        all_of(
            CLOUD_INIT_OFF,
            wrote(
                "/usr/lib/systemd/system/sshd-keygen.service",
                "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n",
            ),
            linked(f"{SYSTEM}/ssh.service.wants/sshd-keygen.service", "/lib/systemd/system/sshd-keygen.service"),
        ),
    ),
    Dirt("authorized-keys", "root", FAIL, "/root/.ssh", wrote("/root/.ssh/authorized_keys", PUBLIC_KEY)),
    Dirt("authorized-keys", "second", FAIL, "keys2", wrote("/root/.ssh/authorized_keys2", PUBLIC_KEY)),
    Dirt("authorized-keys", "no-account", FAIL, "/home/old", wrote("/home/old/.ssh/authorized_keys", PUBLIC_KEY)),
    Dirt("authorized-keys", "system", FAIL, "authorized_keys.d", wrote("/etc/ssh/authorized_keys.d/root", PUBLIC_KEY)),
    Dirt(
        "authorized-keys",
        "configured",
        FAIL,
        "/etc/keys/root",
        all_of(
            added("/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/keys/%u\n"),
            wrote("/etc/keys/root", PUBLIC_KEY),
        ),
    ),
    Dirt(
        "sshd-password-login",
        "first-wins",
        WARN,
        "00-a.conf",
        wrote("/etc/ssh/sshd_config.d/00-a.conf", "PasswordAuthentication yes\n"),
    ),
    Dirt(
        "sshd-password-login",
        "with-hash",
        FAIL,
        "00-a.conf",
        all_of(
            wrote("/etc/ssh/sshd_config.d/00-a.conf", "PasswordAuthentication yes\n"),
            swapped("/etc/shadow", "root:*:", f"root:{HASH}:"),
        ),
    ),
    Dirt("sshd-password-login", "unset", WARN, "sshd_config", removed("/etc/ssh/sshd_config.d/00-policy.conf")),
    Dirt(
        "sshd-password-login",
        "mended",
        INFO,
        "sshd_config",
        all_of(removed("/etc/ssh/sshd_config.d/00-policy.conf"), wrote(f"{CFG}/zz.cfg", "ssh_pwauth: false\n")),
    ),
    Dirt(
        "sshd-password-login",
        "keyboard",
        WARN,
        "sshd_config",
        swapped("/etc/ssh/sshd_config", "KbdInteractiveAuthentication no", "ChallengeResponseAuthentication yes"),
    ),
    Dirt("sshd-root-login", "yes", FAIL, "00-a", wrote("/etc/ssh/sshd_config.d/00-a.conf", "PermitRootLogin yes\n")),
    Dirt(
        "sshd-root-login",
        "keys",
        INFO,
        "00-a",
        wrote("/etc/ssh/sshd_config.d/00-a.conf", "PermitRootLogin prohibit-password\n"),
    ),
    Dirt(
        "sshd-empty-passwords", "yes", FAIL, "sshd_config", added("/etc/ssh/sshd_config", "PermitEmptyPasswords yes\n")
    ),
    Dirt(
        "sshd-match",
        "password",
        WARN,
        "sshd_config",
        added("/etc/ssh/sshd_config", "Match User b\nPasswordAuthentication yes\n"),
    ),
    Dirt("ssh-enabled", "mask", FAIL, "ssh.service", linked(f"{SYSTEM}/ssh.service", "/dev/null")),
    Dirt("ssh-enabled", "file", FAIL, "sshd_not_to_be_run", wrote("/etc/ssh/sshd_not_to_be_run")),
    Dirt("ssh-enabled", "missing", FAIL, "/usr/sbin/sshd", removed("/usr/sbin/sshd")),
    Dirt(
        "ssh-enabled",
        "disabled",
        FAIL,
        "ssh.service",
        all_of(removed(f"{SYSTEM}/multi-user.target.wants/ssh.service"), removed(f"{SYSTEM}/sshd.service")),
    ),
    Dirt("private-keys", "root", FAIL, "id_ed25519", wrote("/root/.ssh/id_ed25519", PRIVATE_KEY)),
    Dirt("private-keys", "srv", FAIL, "deploy.key", wrote("/srv/app/deploy.key", PRIVATE_KEY)),
    Dirt("ssh-host-keys", "clone", FAIL, "/etc/ssh", wrote("/etc/machine-id", MACHINE_ID), ON_CLONE),
    Dirt(
        "ssh-host-keys",
        "elsewhere",
        FAIL,
        "/etc/keys/host",
        all_of(added(MAIN, "HostKey /etc/keys/host\n"), wrote("/etc/keys/host", PRIVATE_KEY)),
    ),
    Dirt(
        "authorized-keys",
        "clone",
        FAIL,
        "/root/.ssh",
        all_of(LIVES, wrote("/root/.ssh/authorized_keys", PUBLIC_KEY)),
        ON_CLONE,
    ),
    Dirt(
        "authorized-keys",
        "published",
        FAIL,
        "/root/.ssh",
        wrote("/root/.ssh/authorized_keys", VAGRANT_KEY),
        Policy(allow_users=("root",)),
    ),
    Dirt(
        "authorized-keys",
        "match",
        FAIL,
        "/etc/keys",
        all_of(added(MAIN, "Match User b\nAuthorizedKeysFile /etc/keys/%u\n"), wrote("/etc/keys/root", PUBLIC_KEY)),
    ),
    Dirt("known-hosts", "root", WARN, "/root/.ssh", wrote("/root/.ssh/known_hosts", f"git.example {PUBLIC_KEY}")),
    Dirt("known-hosts", "old", WARN, "known_hosts.old", wrote("/home/b/.ssh/known_hosts.old", f"a {PUBLIC_KEY}")),
    Dirt("known-hosts", "system", INFO, "/etc/ssh/ssh_known", wrote("/etc/ssh/ssh_known_hosts", f"a {PUBLIC_KEY}")),
    Dirt(
        "sshd-match",
        "root",
        WARN,
        "sshd_config",
        added(MAIN, "Match Address 192.0.2.0/24\nPermitRootLogin prohibit-password\n"),
    ),
    Dirt(
        "sshd-shadowed-setting",
        "drop-ins",
        WARN,
        "60-hard",
        all_of(
            removed(f"{DROP_INS}/00-policy.conf"),
            wrote(f"{DROP_INS}/50-cloud-init.conf", "PasswordAuthentication yes\n"),
            wrote(f"{DROP_INS}/60-hard.conf", "PasswordAuthentication no\n"),
        ),
    ),
    Dirt(
        "sshd-shadowed-setting",
        "main",
        WARN,
        "sshd_config",
        all_of(wrote(f"{DROP_INS}/00-a.conf", "PermitRootLogin yes\n"), added(MAIN, "PermitRootLogin no\n")),
    ),
    Dirt(
        "sshd-shadowed-setting",
        "twice",
        WARN,
        "sshd_config",
        added(MAIN, "MaxAuthTries 6\nMaxAuthTries 3\n"),
    ),
    Dirt(
        "sshd-shadowed-setting",
        "opened-later",
        INFO,
        "50-cloud-init",
        wrote(f"{DROP_INS}/50-cloud-init.conf", "PasswordAuthentication yes\n"),
    ),
    Dirt(
        "sshd-shadowed-setting",
        "no-include",
        WARN,
        "00-policy.conf",
        swapped(MAIN, "Include", "#Include"),
    ),
    Dirt("sshd-config-valid", "word", FAIL, "sshd_config", added(MAIN, "PasswordAuthentification no\n")),
    Dirt("sshd-config-valid", "empty", FAIL, "sshd_config", added(MAIN, "Port\n")),
    Dirt("sshd-config-valid", "value", FAIL, "sshd_config", added(MAIN, "StrictModes maybe\n")),
    Dirt("sshd-config-valid", "more", FAIL, "sshd_config", added(MAIN, "UseDNS no yes\n")),
    Dirt("sshd-config-valid", "match", FAIL, "sshd_config", added(MAIN, "Match User b\nCiphers aes256-ctr\n")),
    Dirt("sshd-config-valid", "subsystem", FAIL, "sshd_config", added(MAIN, "Subsystem sftp internal-sftp\n")),
    Dirt("sshd-config-valid", "link", FAIL, "sshd_config", linked(f"{DROP_INS}/90-x.conf", "/etc/nowhere.conf")),
)

KIN = {
    "sshd-password-login": {"sshd-shadowed-setting"},
    "sshd-root-login": {"sshd-shadowed-setting"},
    "sshd-shadowed-setting": {"sshd-password-login", "sshd-root-login"},
    "ssh-host-key-regeneration": {"cloud-init-modules"},
    "known-hosts": {"build-user", "home-leftovers"},
}
