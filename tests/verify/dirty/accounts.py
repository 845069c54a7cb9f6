"""Dirt about accounts and secrets."""

import gzip

from tests.verify.dirty.change import FAIL, HASH, INFO, SYSTEM, WARN, Dirt, added, swapped, wrote

PACKER = "packer:x:1000:1000:,,,:/home/packer:/bin/bash\n"

DIRT = (
    Dirt("account-passwords", "hash", FAIL, "/etc/shadow", swapped("/etc/shadow", "root:*:", f"root:{HASH}:")),
    Dirt("account-passwords", "empty", FAIL, "/etc/shadow", swapped("/etc/shadow", "root:*:", "root::")),
    Dirt("account-passwords", "locked", WARN, "/etc/shadow", swapped("/etc/shadow", "root:*:", f"root:!{HASH}:")),
    Dirt("account-passwords", "passwd", FAIL, "/etc/passwd", swapped("/etc/passwd", "root:x:", "root:ab1cdefghijkl:")),
    Dirt("account-passwords", "backup", FAIL, "/etc/shadow-", swapped("/etc/shadow-", "root:*:", f"root:{HASH}:")),
    Dirt("account-backups", "gone", FAIL, "/etc/shadow-", added("/etc/shadow-", f"packer:{HASH}:1::::::\n")),
    Dirt("account-backups", "copy", INFO, "/etc/group.bak", wrote("/etc/group.bak", "root:x:0:\n")),
    Dirt("account-backups", "tilde", FAIL, "/etc/shadow~", wrote("/etc/shadow~", f"root:!{HASH}:1::::::\n")),
    Dirt(
        "account-backups",
        "packed",
        FAIL,
        "/var/backups/shadow.bak.1.gz",
        wrote("/var/backups/shadow.bak.1.gz", gzip.compress(f"a:{HASH}:1:\n".encode())),
    ),
    Dirt("other-escalation", "doas", WARN, "doas.conf", wrote("/etc/doas.conf", "permit nopass :wheel\n")),
    Dirt(
        "other-escalation",
        "polkit",
        WARN,
        "49-x.rules",
        wrote(
            "/etc/polkit-1/rules.d/49-x.rules", "polkit.addRule(function(a, s) {\n  return polkit.Result.YES;\n});\n"
        ),
    ),
    Dirt(
        "other-escalation",
        "pkla",
        WARN,
        "x.pkla",
        wrote("/etc/polkit-1/localauthority/50-local.d/x.pkla", "[x]\nAction=*\nResultAny=yes\n"),
    ),
    Dirt("other-escalation", "pam", WARN, "pam.d/su", wrote("/etc/pam.d/su", "auth sufficient pam_permit.so\n")),
    Dirt("other-escalation", "wheel", WARN, "su", wrote("/etc/pam.d/su", "auth sufficient pam_wheel.so trust\n")),
    Dirt("other-escalation", "docker", WARN, "/etc/group", added("/etc/group", "docker:x:990:daemon\n")),
    Dirt("uid-zero", "group", FAIL, "/etc/passwd", added("/etc/passwd", "op:x:11:0::/:/bin/sh\n")),
    Dirt("account-passwords", "group", FAIL, "/etc/gshadow", swapped("/etc/gshadow", "sudo:*:", f"sudo:{HASH}:")),
    Dirt("build-user", "shell", FAIL, "/etc/passwd", added("/etc/passwd", PACKER)),
    Dirt(
        "build-user",
        "locked",
        WARN,
        "/etc/passwd",
        added("/etc/passwd", PACKER.replace("/bin/bash", "/usr/sbin/nologin")),
    ),
    Dirt("build-user", "home", WARN, "/home/builder", wrote("/home/builder/.profile")),
    Dirt("uid-zero", "toor", FAIL, "/etc/passwd", added("/etc/passwd", "toor:x:0:0::/root:/bin/bash\n")),
    Dirt(
        "sudo-nopasswd", "user", FAIL, "/builder", wrote("/etc/sudoers.d/builder", "builder ALL=(ALL) NOPASSWD:ALL\n")
    ),
    Dirt("sudo-nopasswd", "group", WARN, "/g", wrote("/etc/sudoers.d/g", "%sudo ALL=(ALL) NOPASSWD: ALL\n")),
    Dirt(
        "sudo-nopasswd",
        "cloud",
        FAIL,
        "90-cloud-init-users",
        wrote("/etc/sudoers.d/90-cloud-init-users", "%sudo ALL=(ALL) NOPASSWD:ALL\n"),
    ),
    Dirt("sudo-nopasswd", "skipped", INFO, "/b.bak", wrote("/etc/sudoers.d/b.bak", "builder ALL=(ALL) NOPASSWD:ALL\n")),
    Dirt("sudo-nopasswd", "unasked", FAIL, "/d", wrote("/etc/sudoers.d/d", "Defaults:builder !authenticate\n")),
    Dirt(
        "autologin",
        "drop-in",
        FAIL,
        "getty@tty1.service.d",
        wrote(
            f"{SYSTEM}/getty@tty1.service.d/a.conf",
            "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I $TERM\n",
        ),
    ),
    Dirt("autologin", "desktop", FAIL, "lightdm", wrote("/etc/lightdm/lightdm.conf", "[Seat:*]\nautologin-user=pi\n")),
    Dirt(
        "installer-secrets",
        "hash",
        FAIL,
        "user-data",
        wrote("/var/log/installer/autoinstall-user-data", f"p: {HASH}\n"),
    ),
    Dirt("installer-secrets", "recovery", FAIL, "recovery", wrote("/var/log/installer/recovery-key-1.txt", "1234\n")),
    Dirt("installer-secrets", "log", WARN, "syslog", wrote("/var/log/installer/syslog", "x\n")),
    Dirt(
        "installer-secrets",
        "kickstart",
        FAIL,
        "anaconda-ks",
        wrote("/root/anaconda-ks.cfg", f"rootpw --iscrypted {HASH}\n"),
    ),
    Dirt(
        "repo-credentials",
        "auth",
        FAIL,
        "auth.conf.d",
        wrote("/etc/apt/auth.conf.d/x.conf", "machine m login l password p\n"),
    ),
    Dirt(
        "repo-credentials",
        "url",
        FAIL,
        "x.list",
        wrote("/etc/apt/sources.list.d/x.list", "deb https://user:canarypass@apt.example.org/ bookworm main\n"),
    ),
    Dirt(
        "repo-credentials",
        "pip",
        FAIL,
        "pip.conf",
        wrote("/etc/pip.conf", "[global]\nindex-url=https://u:canarypass@h/\n"),
    ),
    Dirt(
        "build-proxy",
        "apt",
        WARN,
        "90proxy",
        wrote("/etc/apt/apt.conf.d/90proxy", 'Acquire::http::Proxy "http://p:3142";\n'),
    ),
    Dirt(
        "build-proxy",
        "nested",
        WARN,
        "90proxy",
        wrote("/etc/apt/apt.conf.d/90proxy", 'Acquire { http { Proxy "http://p"; }; };'),
    ),
    Dirt(
        "repo-credentials",
        "proxy",
        FAIL,
        "/etc/environment",
        wrote("/etc/environment", "https_proxy=http://u:canarypass@p.example:3128\n"),
    ),
    Dirt(
        "repo-credentials",
        "repo",
        FAIL,
        "a.repo",
        wrote("/etc/yum.repos.d/a.repo", "[a]\nusername=u\npassword=canary\n"),
    ),
    Dirt("repo-credentials", "zypp", FAIL, "/scc", wrote("/etc/zypp/credentials.d/scc", "password=canary\n")),
    Dirt(
        "installer-secrets",
        "preseed",
        FAIL,
        "/preseed.cfg",
        wrote("/preseed.cfg", "d-i passwd/root-password password canary\n"),
    ),
    Dirt("build-proxy", "docker", WARN, "daemon.json", wrote("/etc/docker/daemon.json", '{"http-proxy": "http://p"}')),
    Dirt(
        "build-proxy",
        "second",
        WARN,
        "p.conf",
        wrote(f"{SYSTEM}/a.service.d/p.conf", '[Service]\nEnvironment="A=b" "HTTPS_PROXY=http://p"\n'),
    ),
    Dirt("build-proxy", "environment", WARN, "environment", wrote("/etc/environment", 'http_proxy="http://p:3128"\n')),
    Dirt(
        "build-proxy",
        "unit",
        WARN,
        "http-proxy.conf",
        wrote(f"{SYSTEM}/docker.service.d/http-proxy.conf", '[Service]\nEnvironment="HTTPS_PROXY=http://p"\n'),
    ),
)

KIN = {"repo-credentials": {"build-proxy"}}
