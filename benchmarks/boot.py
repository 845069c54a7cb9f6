"""Boot: the proof of a template (two clones at the same time) against a single clone of it.

What is compared
  one clone           a clone with 2 processors, as `imagekit clone --local` starts it, until cloud-init is done.
  both boot proofs    `prove_clones`: two clones made, booted, entered, asked, compared, thrown away.

The ratio tells what the second clone costs. Making the single clone is not counted, making the proof's two is. Under
software emulation one boot takes minutes; both sides use the accelerator that imagekit finds here. The template is the
newest stored version; where there is none, one is built first (untimed, without the boot test).
"""

from pathlib import Path

from measure import (
    Aim,
    Contender,
    divide_medians,
    make_parser,
    measure_interleaved,
    note,
    open_scratch,
    report,
    run_benchmark,
)
from stored import StoredTemplate, find_template

from imagekit.deliver.local import create_clone, list_clones, open_clone, remove_clone, start_clone, wait_until_up
from imagekit.errors import VerificationFailed
from imagekit.machine.accelerator import explain_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.settings import read_settings
from imagekit.verify.boot.prove import prove_clones

RATIO_AIM = 1.6
_NAME = "bench"


def main() -> int:
    """Run the benchmark; 0 when the aim is met."""
    arguments = make_parser(__doc__, rounds=2).parse_args()
    return run_benchmark(lambda: compare(arguments.rounds))


def compare(rounds: int) -> int:
    """Boot one clone, then the proof, in each round."""
    with open_scratch("boot") as scratch:
        template = find_template(scratch / "home")
        clones = scratch / "clones"
        try:
            return _compare(template, scratch, clones, rounds)
        finally:
            _clear(clones)


def _clear(clones: Path) -> None:
    for status in list_clones(clones):
        remove_clone(status.clone)


def _compare(template: StoredTemplate, scratch: Path, clones: Path, rounds: int) -> int:
    probe, firmware = explain_accelerator(scratch / "home/cache"), find_firmware()
    patience = read_settings({}).boot_timeout
    note(f"accelerator: {probe.accelerator} ({probe.why})")

    def make() -> None:
        create_clone(
            template.disk,
            _NAME,
            reference=template.reference,
            digest=template.digest,
            clones_dir=clones,
            accelerator=probe.accelerator,
            firmware=firmware,
            cpus=2,
        )

    def boot() -> None:
        wait_until_up(start_clone(open_clone(clones, _NAME)), timeout_seconds=patience)

    def prove() -> None:
        proof = prove_clones(
            template.disk,
            accelerator=probe.accelerator,
            firmware=firmware,
            workdir=scratch / "logs",
            timeout_seconds=patience,
        )
        if not proof.proven:
            said = "; ".join(f"{finding.check}: {finding.why}" for finding in proof.findings)
            raise VerificationFailed(
                f"the template is not proven, so its boots prove nothing: {said or 'unseen checks'}"
            )

    timings = measure_interleaved(
        [
            Contender("one clone", boot, make, lambda: _clear(clones)),
            Contender("both boot proofs", prove),
        ],
        rounds,
    )
    one, both = timings.values()
    return report([one, both], [Aim("both proofs / one clone", divide_medians(both, one), RATIO_AIM)])


if __name__ == "__main__":
    raise SystemExit(main())
