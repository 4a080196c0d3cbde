"""Published weights in the place of training, for the stages that take them."""

from cgankd import plan
from cgankd.job import Job
from cgankd.models import published
from cgankd.models.architectures import Architecture
from cgankd.models.published import Imported
from cgankd.runs import Artefact
from cgankd.training.session import save_part


def load_imports(
    parts: dict[str, Architecture], artefact: Artefact, job: Job
) -> dict[str, Imported]:
    """The networks of those parts that the artefact takes from files."""
    files = {part: plan.import_of(part, artefact, job) for part in parts}
    tune = job.preset.teacher.tune
    return {
        part: published.load(file, parts[part], tune=tune) for part, file in files.items() if file
    }


def save_imports(
    imports: dict[str, Imported], parts: dict[str, Architecture], artefact: Artefact, *names: str
) -> None:
    """Puts imported parts where training would leave them."""
    for name in names:
        if name in imports:
            network = imports[name].network
            save_part(artefact.folder, name, network, parts[name], artefact.digest)


def origins(imports: dict[str, Imported]) -> dict[str, dict[str, str]]:
    """Where imported parts come from, for the record."""
    return {part: imported.origin for part, imported in imports.items()}
