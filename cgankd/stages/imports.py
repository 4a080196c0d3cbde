"""Published weights in the place of training, for the stages that take them."""

from pathlib import Path

from cgankd import plan
from cgankd.job import Job
from cgankd.models import published
from cgankd.models.architectures import Architecture
from cgankd.models.published import Imported
from cgankd.models.saved import save_network
from cgankd.runs import Artefact


def load_imports(
    parts: dict[str, Architecture], artefact: Artefact, job: Job
) -> dict[str, Imported]:
    """The networks of those parts that the artefact takes from files."""
    files = {part: plan.import_of(part, artefact, job) for part in parts}
    return {part: published.load(file, parts[part]) for part, file in files.items() if file}


def save_imports(
    imports: dict[str, Imported], parts: dict[str, Architecture], folder: Path, *names: str
) -> None:
    """Puts imported parts where training would leave them."""
    for name in names:
        if name in imports:
            save_network(folder, name, imports[name].network, parts[name])


def origins(imports: dict[str, Imported]) -> dict[str, dict[str, str]]:
    """Where imported parts come from, for the record."""
    return {part: imported.origin for part, imported in imports.items()}
