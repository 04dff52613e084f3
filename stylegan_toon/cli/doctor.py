"""`stylegan-toon doctor`: what is in use, and what is not and why."""

from stylegan_toon.cli.common import Common, toon_command


@toon_command("stylegan-toon doctor", "stylegan-toon doctor --json > report.json")
def doctor(common: Common) -> None:
    """Say which device, kernels, models and optional parts are in use, and why not.

    A part that is absent is reported, not an error.
    """
    from stylegan_toon.pipelines.doctor import as_text, examine  # torch loads here, not for --help

    report = examine(common.device)
    for line in as_text(report):
        common.result(line)
    common.document(report)
