"""Files of published weights in the place of training: which part each is to be."""

from pathlib import Path

from cgankd.errors import DATA, USAGE, UserError
from cgankd.plan.students import Overrides
from cgankd.preset import Preset
from cgankd.runs import Artefact, file_digest, read_json

MAX_WEIGHTS = 2 << 30  # bytes; a file is read whole


def gan_parts(preset: Preset) -> list[str]:
    """The parts of a GAN that can be imported."""
    return ["generator", *(["condition", "embedding"] if preset.gan.embedding else [])]


def imported(record: Path, call: Overrides, *parts: str) -> dict[str, dict[str, str]]:
    """What an import adds to the inputs of an artefact: {"from": sha256 of the file of each
    imported part}; empty for no import.

    A call that names no file asks for what already stands imported, so that imports stay up to date
    for all later commands; one that names other files than the recorded ones asks for another
    artefact.
    """
    files = {part: call.weights[part]["sha256"] for part in parts if part in call.weights}
    recorded = (
        {} if files or not record.exists() else read_json(record).get("inputs", {}).get("from", {})
    )
    return {"from": files or recorded} if files or recorded else {}


def file_of(part: str, artefact: Artefact, call: Overrides) -> dict[str, str] | None:
    """The file and sha256 to import a part from; None where it is to be trained."""
    if part not in artefact.inputs.get("from", {}):
        return None
    if part not in call.weights:
        raise UserError(
            f"{artefact.folder}: its import was not finished",
            DATA,
            f"run `cgankd {artefact.command}` with its --from again, or move the folder away",
        )
    return call.weights[part]


def weights(stage: str, given: list[str], preset: Preset) -> dict[str, dict[str, str]]:
    """The files of `--from [part=]FILE`, by the part of the stage that each is to be; the part may
    be left out where there is one alone.
    """
    parts = {
        "train-gan": gan_parts(preset),
        "train-teacher": preset.teacher.networks,
        "fit-dre": ["features", "ratio"],
    }[stage]
    found: dict[str, dict[str, str]] = {}
    for text in given:
        part, equals, path = text.partition("=")
        if not equals or part not in parts:
            part, path = (parts[0] if len(parts) == 1 else ""), text
        if not part:
            raise UserError(
                f"--from {text}: expected PART=FILE, PART being one of {', '.join(parts)}", USAGE
            )
        if part in found:
            raise UserError(
                f"--from {text}: {part} has a file already, {found[part]['file']}", USAGE
            )
        file = Path(path).absolute()
        if not file.is_file():
            raise UserError(f"--from {text}: there is no file {path}", DATA)
        if file.stat().st_size > MAX_WEIGHTS:
            raise UserError(
                f"--from {text}: {file.stat().st_size:,} bytes, more than the {MAX_WEIGHTS:,} that "
                "published weights have at most",
                DATA,
            )
        found[part] = {"file": str(file), "sha256": file_digest(file)}
    if "ratio" in found and "features" not in found:
        raise UserError(
            "--from ratio=: a ratio network reads the features of one extractor only",
            USAGE,
            "import both: --from features=FILE --from ratio=FILE",
        )
    if preset.gan.embedding and "generator" in found and "condition" not in found:
        raise UserError(
            "--from generator=: a generator of a continuous label takes the h of one label "
            "embedding only",
            USAGE,
            "import both: --from generator=FILE --from condition=FILE",
        )
    return found
