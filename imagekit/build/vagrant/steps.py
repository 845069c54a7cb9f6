"""The steps of starting and stopping the VM, in the operator's words, told by what Vagrant and its providers say."""

import re

STARTING = "starting the VM"
BOX = "fetching the VM's box"
MAKING = "making the VM"
BOOTING = "booting the VM"
PREPARING = "preparing the VM"
HALTING = "halting the VM"
REMOVING = "removing the VM"

# The first that matches; Vagrant's own words (templates/locales/en.yml), then those of the providers.
_SIGNS = tuple(
    (re.compile(pattern), step)
    for pattern, step in (
        (r"Box '.*' could not be found|Loading metadata for box|Adding box|Downloading: ", BOX),
        (r"Waiting for machine to boot|Booting VM|Starting domain|Starting the VMware VM|Starting the VM", BOOTING),
        (
            r"Waiting for (domain|the VM|HGFS|cloud-init)|Waiting for .* to get an (IP )?address",
            BOOTING,
        ),
        (r"Importing base box|Cloning (VMware )?VM|Uploading base box|Creating (image|domain|.*clone)", MAKING),
        (r"Importing (a|an|the) |Registering VM|Configuring storage|Creating domain", MAKING),
        (r"Machine booted and ready|Running provisioner|Machine already provisioned", PREPARING),
        (r"Attempting graceful shutdown|Forcing shutdown|Halting|Stopping the VM|Powering off", HALTING),
        (r"Removing domain|Destroying VM|Deleting the VM|Deleting the machine folder", REMOVING),
    )
)
_PREFIX = re.compile(r"^(==> [\w.-]+: |    [\w.-]+: )")
_DOWNLOAD = re.compile(r"Progress: (\d{1,3})% \(Rate: ([^,]{1,20}), Estimated time remaining: ([^)]{1,20})\)")


def strip_prefix(text: str) -> str:
    """Return what was said without the machine's name that Vagrant puts in front of it."""
    return _PREFIX.sub("", text)


def name_step(text: str) -> str:
    """Return the step that begins with what was said, prefix removed; empty when none does."""
    return next((step for pattern, step in _SIGNS if pattern.match(text)), "")


def read_download(text: str) -> tuple[int, str] | None:
    """Return percent and rate of a download of which ``text`` tells; ``None`` when it does not."""
    match = _DOWNLOAD.match(text)
    return (min(100, int(match[1])), f"{match[2]}, {match[3]} left") if match else None
