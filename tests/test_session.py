"""One training with its folder, and networks that are trained once."""

import pytest
import torch

from cgankd.models import make_network
from cgankd.training.session import Session, save_part, train_or_load

EMBEDDING = {"name": "label-embedding", "size": 16}


@pytest.fixture
def session(tmp_path, machine):
    return Session(tmp_path / "gan", "gan", 3, "digest", machine)


def trained() -> torch.nn.Module:
    torch.manual_seed(1)
    return make_network(EMBEDDING).train()


def test_a_part_has_a_folder_and_a_name_of_its_own_and_all_else_of_the_whole(session):
    part = session.part("embedding-labels", "label embedding")
    assert (part.folder, part.name) == (session.folder / "embedding-labels", "label embedding")
    assert (part.seed, part.digest, part.machine) == (3, "digest", session.machine)


def test_what_does_not_stand_is_trained_saved_and_frozen(session):
    network = train_or_load(trained, session=session, file="condition", architecture=EMBEDDING)
    stands = {path.name for path in session.folder.iterdir() if path.name[0] != "."}
    assert stands == {"condition.json", "condition.safetensors"}
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_what_stands_is_loaded_and_not_trained(session):
    save_part(session.folder, "condition", trained(), EMBEDDING, session.digest)
    never = lambda: pytest.fail("trained again")  # noqa: E731
    network = train_or_load(never, session=session, file="condition", architecture=EMBEDDING)
    labels = torch.linspace(0, 1, 5)
    assert torch.equal(network(labels), trained().eval()(labels))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_what_stands_for_another_digest_or_was_changed_is_trained_again(session):
    folder = session.folder
    save_part(folder, "condition", trained(), EMBEDDING, "another")
    calls: list[int] = []

    def train() -> torch.nn.Module:
        calls.append(1)
        return trained()

    train_or_load(train, session=session, file="condition", architecture=EMBEDDING)
    train_or_load(train, session=session, file="condition", architecture=EMBEDDING)
    assert calls == [1], "once for the other digest, and then it stands"
    weights = folder / "condition.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    train_or_load(train, session=session, file="condition", architecture=EMBEDDING)
    assert calls == [1, 1]
