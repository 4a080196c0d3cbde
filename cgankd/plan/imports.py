"""Files of published weights in the place of training: which part each is to be."""

from contextlib import suppress
from pathlib import Path

from cgankd.errors import DATA, USAGE, UserError
from cgankd.job import ImportFile, Job
from cgankd.preset import Preset
from cgankd.runs import Artefact, file_digest, read_json

MAX_BYTES = 2 << 30  # a file is read whole


def gan_parts(preset: Preset) -> list[str]:
    """The parts of a GAN that can be imported."""
    return ["generator", *(["condition", "embedding"] if preset.embedding else [])]


def imported(record: Path, job: Job, *parts: str) -> dict[str, dict[str, str]]:
    """What an import adds to the inputs of an artefact: {"from": sha256 of the file of each
    imported part}; empty for no import.

    A call that names no file asks for what already stands imported, so that imports stay up to date
    for all later commands; one that names other files than the recorded ones asks for another
    artefact.
    """
    files = job.overrides.imports
    digests = {part: files[part].sha256 for part in parts if part in files}
    if not digests and record.exists():
        with suppress(UserError):  # a damaged record blocks the stage, which says so
            digests = read_json(record).get("inputs", {}).get("from", {})
    return {"from": digests} if digests else {}


def import_of(part: str, artefact: Artefact, job: Job) -> ImportFile | None:
    """The file to import a part from; None where it is to be trained."""
    if part not in artefact.inputs.get("from", {}):
        return None
    if part not in job.overrides.imports:
        raise UserError(
            f"{artefact.folder}: its import was not finished",
            DATA,
            f"run `cgankd {artefact.command}` with its --from again, or move the folder away",
        )
    return job.overrides.imports[part]


def import_files(stage: str, given: list[str], preset: Preset) -> dict[str, ImportFile]:
    """The files of `--from [part=]FILE`, by the part of the stage that each is to be; the part may
    be left out where there is one alone.
    """
    parts = {
        "train-gan": gan_parts(preset),
        "train-teacher": preset.teacher.networks,
        "fit-dre": ["features", "ratio"],
    }[stage]
    files: dict[str, ImportFile] = {}
    for text in given:
        part, equals, path = text.partition("=")
        if not equals or part not in parts:
            part, path = (parts[0] if len(parts) == 1 else ""), text
        if not part:
            raise UserError(
                f"--from {text}: expected PART=FILE, PART being one of {', '.join(parts)}", USAGE
            )
        if part in files:
            raise UserError(f"--from {text}: {part} has a file already, {files[part].file}", USAGE)
        files[part] = _checked(Path(path), text)
    _check_together(files, preset)
    return files


def _checked(file: Path, text: str) -> ImportFile:
    if not file.is_file():
        raise UserError(f"--from {text}: there is no file {file}", DATA)
    if (size := file.stat().st_size) > MAX_BYTES:
        raise UserError(
            f"--from {text}: {size:,} bytes, more than the {MAX_BYTES:,} that published weights "
            "have at most",
            DATA,
        )
    return ImportFile(str(file.absolute()), file_digest(file))


def _check_together(files: dict[str, ImportFile], preset: Preset) -> None:
    """UserError where a network is imported without the one that it was trained with."""
    if "ratio" in files and "features" not in files:
        raise UserError(
            "--from ratio=: a ratio network reads the features of one extractor only",
            USAGE,
            "import both: --from features=FILE --from ratio=FILE",
        )
    if preset.embedding and "generator" in files and "condition" not in files:
        raise UserError(
            "--from generator=: a generator of a continuous label takes the h of one label "
            "embedding only",
            USAGE,
            "import both: --from generator=FILE --from condition=FILE",
        )
    gan, named = preset.gan_if_any, {*files}
    unread = "condition" in named and not named & {"embedding", "generator"}
    if gan and gan.auxiliary and unread:
        raise UserError(
            "--from condition=: gan.auxiliary asks for the network that reads labels in images, "
            "which the condition was trained with",
            USAGE,
            "import both: --from condition=FILE --from embedding=FILE, or --set gan.auxiliary=0",
        )
