"""The option --from: imported networks are finished artefacts that say where they come from."""

import functools
import itertools
from pathlib import Path

import pytest
import torch
import toy
from published_files import RESNET18, densenet, made, mobilenet, regressor_names, renamed, resnet
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner, Result
from written_down import Sagan

from cgankd import pipeline, plan, preset, sources
from cgankd.cli import commands
from cgankd.data.batches import Images, images_of
from cgankd.errors import UserError
from cgankd.job import Job
from cgankd.models import architectures
from cgankd.models.saved import load_network
from cgankd.preset import Preset
from cgankd.runs import RunFolder, file_digest, read_json
from cgankd.stages import fit_dre, select_rho
from cgankd.task import make_task
from cgankd.training import conditions

CHANGES = [
    "teacher.networks=['mobilenetv2']",
    "generate.teacher='mobilenetv2'",
    "dre.features.network='densenet121'",
    "distill.pairs=[['mobilenetv2', 'resnet8_x0_125', 'resnet8_x0_0625']]",
    "dre.output='relu'",
    "dre.network='mlp5'",
    "gan.latent=8",
    "gan.shared=none",
    "gan.tapered=false",
]
SETTINGS = toy.settings("digits", *CHANGES)
ANGLE_CHANGES = [
    "gan.network='sagan'",
    "gan.width=4",
    "gan.latent=8",
    "gan.embedding.network='resnet18'",
    "dre.output='relu'",
    "dre.network='mlp5'",
    "teacher.networks=['shufflenetv2-imagenet']",
    "generate.teacher='shufflenetv2-imagenet'",
    "distill.pairs=[['shufflenetv2-imagenet', 'resnet8_x0_125', 'resnet8_x0_0625']]",
]
ANGLE = toy.settings("digits-angle", *ANGLE_CHANGES)


@functools.cache
def real() -> Images:
    """The training images of the settings."""
    source = sources.load(SETTINGS.data, SETTINGS.seed)
    return images_of(source, "train", make_task(source.label))


def teacher_file(folder: Path, name: str = "teacher.pth") -> Path:
    """A MobileNetV2 under published names: random but for its last layer, a ridge regression on the
    classes.
    """
    images = real()
    network = made(architectures.cnn("mobilenetv2", 16, 10, images.normalisation()))
    features = network.features(images.pixels / 127.5 - 1)
    features = torch.cat([features, torch.ones(len(features), 1)], 1)
    targets = torch.nn.functional.one_hot(images.labels, 10).float() * 10
    gram = features @ features.T + torch.eye(len(features)) * 1e-3 * features.square().sum(1).mean()
    solution = features.T @ torch.linalg.solve(gram, targets)
    network.head.weight.copy_(solution[:-1].T)
    network.head.bias.copy_(solution[-1])
    state = {f"module.{key}": tensor for key, tensor in renamed(network, mobilenet(16)).items()}
    torch.save({"net_state_dict": state}, folder / name)
    return folder / name


def cgankd(command: str, folder: Path, *arguments: str, settings: Preset = SETTINGS) -> Result:
    """A call of the command in this process; raises what the command would report."""
    file = folder / "toy.toml"
    file.write_text(preset.dump(settings))
    done = CliRunner().invoke(
        commands.app,
        [command, "-p", str(file), "-o", str(folder / "run"), "--device", "cpu", *arguments],
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def states(folder: Path, stage: str, settings: Preset = SETTINGS) -> list[str]:
    return toy.states(stage, Job(settings, RunFolder(folder / "run")))


@pytest.mark.slow
def test_an_imported_teacher_is_finished_scored_and_says_where_it_comes_from(
    tmp_path, capsys, monkeypatch
):
    file = teacher_file(tmp_path)
    cgankd("train-teacher", tmp_path, "--from", str(file))
    record = RunFolder(tmp_path / "run").teacher("mobilenetv2")
    facts = read_json(record)
    expected = {"file": "teacher.pth", "sha256": file_digest(file), "layout": "MobileNetV2"}
    assert facts["finished"]
    assert facts["origin"] == {"mobilenetv2": expected}
    assert facts["inputs"]["from"] == {"mobilenetv2": file_digest(file)}
    assert facts["seen"] == {}, "nobody knows which rows it saw"
    assert facts["validation"] < 80
    network = load_network(record.parent, "network", torch.device("cpu"))
    mean = torch.tensor(real().normalisation()["mean"])
    torch.testing.assert_close(network.normalise.mean.flatten(), mean)

    # The same file, under another name too, and later commands without it: nothing to do.
    before = record.read_bytes()
    (tmp_path / "copy.pth").write_bytes(file.read_bytes())
    for arguments in (
        ["--from", str(file)],
        ["--from", f"mobilenetv2={tmp_path / 'copy.pth'}"],
        [],
    ):
        capsys.readouterr()
        assert cgankd("train-teacher", tmp_path, *arguments).exit_code == 0
        assert record.read_bytes() == before
    assert states(tmp_path, "train-teacher") == ["done"]
    assert states(
        tmp_path, "train-teacher", toy.settings("digits", *CHANGES, "teacher.steps=999")
    ) == ["done"]

    # Another file, or other data: refused, by the whole chain too.
    other = tmp_path / "other.pth"
    torch.save({"net_state_dict": torch.load(file)["net_state_dict"], "epoch": 1}, other)
    with pytest.raises(
        UserError, match=r"made from other settings .*from\.mobilenetv2: "
    ) as caught:
        cgankd("train-teacher", tmp_path, "--from", str(other))
    assert caught.value.code == 65
    job = toy.job("digits", tmp_path / "run", *CHANGES, "data.num_train=50")
    only = [plan.STAGES["train-teacher"]]
    monkeypatch.setattr(plan, "chain_of", lambda preset: only)
    with pytest.raises(UserError, match="made from other settings"):
        pipeline.build_chain(job)
    assert record.read_bytes() == before


def test_a_teacher_that_does_not_fit_leaves_nothing_behind(tmp_path):
    file = teacher_file(tmp_path)
    state = torch.load(file)["net_state_dict"]
    state["module.linear.weight"] = state["module.linear.weight"][:7]
    torch.save(state, file)
    with pytest.raises(UserError, match=r"linear\.weight is \(7, 1280\), expected \(10, 1280\)"):
        cgankd("train-teacher", tmp_path, "--from", str(file))
    assert not RunFolder(tmp_path / "run").teacher("mobilenetv2").exists()


def generator_state() -> dict[str, Tensor]:
    """A BigGAN for 16x16, 10 classes, 4 channels and z of 8, under published names."""
    state: dict[str, Tensor] = {}

    def normalised(name: str, *shape: int) -> None:
        state.update(
            {
                f"{name}.weight": torch.randn(shape),
                f"{name}.bias": torch.randn(shape[0]),
                f"{name}.u0": torch.randn(1, shape[0]),
                f"{name}.sv0": torch.ones(1),
            }
        )

    def statistics(name: str) -> None:
        state.update(
            {f"{name}.stored_mean": torch.randn(4), f"{name}.stored_var": torch.rand(4) + 0.5}
        )

    normalised("linear", 64, 8)
    for block, number in itertools.product((0, 1), (1, 2)):
        name = f"blocks.{block}.0"
        statistics(f"{name}.bn{number}")
        state.update(
            {f"{name}.bn{number}.{part}.weight": torch.randn(10, 4) for part in ("gain", "bias")}
        )
        normalised(f"{name}.conv{number}", 4, 4, 3, 3)
        normalised(f"{name}.conv_sc", 4, 4, 1, 1)
    statistics("output_layer.0")
    state.update({"output_layer.0.gain": torch.ones(4), "output_layer.0.bias": torch.zeros(4)})
    normalised("output_layer.2", 3, 4, 3, 3)
    return state


@pytest.mark.slow
def test_generator_features_and_ratio_are_imported_and_taken_for_what_they_are(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(fit_dre, "CHECKED", 20)
    torch.manual_seed(0)
    torch.save(generator_state(), tmp_path / "G_ema.pth")
    features = made(architectures.features(SETTINGS, 10, {"mean": [0.5] * 3, "std": [0.5] * 3}))
    names = densenet("classifier_1.0", "classifier_1.1", "classifier_2.0")
    torch.save({"net_state_dict": renamed(features, names)}, tmp_path / "features.pth")
    ratio = made(architectures.ratio(SETTINGS, 10))
    ratio.layers[-1].weight.zero_()
    ratio.layers[-1].bias.fill_(1.25)
    layers = [f"main.{4 * index + part}" for index in range(5) for part in (0, 1)]
    torch.save(
        {"net_state_dict": renamed(ratio, ["label_emb", *layers, "main.20"])},
        tmp_path / "ratio.pth",
    )

    cgankd("train-gan", tmp_path, "--from", str(tmp_path / "G_ema.pth"))
    cgankd(
        "fit-dre",
        tmp_path,
        "--from",
        f"features={tmp_path / 'features.pth'}",
        "--from",
        f"ratio={tmp_path / 'ratio.pth'}",
    )
    run = RunFolder(tmp_path / "run")
    assert read_json(run.gan)["origin"]["generator"]["layout"] == "BigGAN"
    facts = read_json(run.dre)
    assert {part: one["layout"] for part, one in facts["origin"].items()} == {
        "features": "DenseNet121-extract",
        "ratio": "cDR-MLP",
    }
    assert facts["mean_ratio"] == pytest.approx(1.25)
    x = torch.rand(3, 3, 16, 16) * 2 - 1
    stored = load_network(run.dre.parent, "features", torch.device("cpu"))
    torch.testing.assert_close(
        stored(x), features(x), msg="as published, the ratio's features see images unchanged"
    )
    assert [*states(tmp_path, "train-gan"), *states(tmp_path, "fit-dre")] == ["done", "done"]
    changed = toy.settings(
        "digits", *CHANGES, "gan.steps=999", "dre.steps=999", "dre.features.steps=999"
    )
    assert [*states(tmp_path, "train-gan", changed), *states(tmp_path, "fit-dre", changed)] == [
        "done",
        "done",
    ]
    assert states(tmp_path, "train-gan", toy.settings("digits", *CHANGES, "gan.width=2")) == [
        "other"
    ]


def angle_files(folder: Path) -> dict[str, Path]:
    """Networks of a continuous label under published names; the ratio is 1.25 for every image."""
    generator, embedding = Sagan(), ANGLE.gan.embedding
    generator(torch.randn(2, 8), torch.rand(2, 16), [16, 8, 4])
    condition, encoder = (
        made(architectures.condition(embedding, 0)),
        made(architectures.features(ANGLE, 1, {})),
    )
    x2y, ratio = (
        made(architectures.published_embedding(embedding, 16)),
        made(architectures.ratio(ANGLE, 0)),
    )
    ratio.layers[-1].weight.zero_()
    ratio.layers[-1].bias.fill_(1.25)
    trunk = resnet(RESNET18, ("main.0", "main.1"), ("main.3", "main.4", "main.5", "main.6"), "")[
        :-1
    ]
    contents = {
        "generator": {"netG_state_dict": generator.state, "netD_state_dict": {}},
        "condition": renamed(
            condition, [f"main.{index}" for index in (0, 1, 3, 4, 6, 7, 9, 10, 12)]
        ),
        "embedding": renamed(
            x2y, [*trunk, "x2h_res.0", "x2h_res.1", "x2h_res.3", "x2h_res.4", "h2y.0"]
        ),
        "features": {
            "encoder_net_state_dict": renamed(
                encoder, [f"conv.{index}" for index in (0, 1, 3, 4, 6, 7, 9)]
            )
        },
        "ratio": renamed(
            ratio,
            [f"main.{4 * index + part}" for index in range(5) for part in (0, 1)] + ["main.20"],
        ),
    }
    for part, content in contents.items():
        torch.save(content, folder / f"{part}.pth")
    return {part: folder / f"{part}.pth" for part in contents}


def regressor(folder: Path) -> Path:
    """A ShuffleNetV2 under published names, its last layer a ridge regression on the angles."""
    source = sources.load(ANGLE.data, ANGLE.seed)
    images = images_of(source, "train", make_task(source.label))
    network = made(architectures.published_regressor("shufflenetv2-imagenet", 16))
    hidden, last = network.head[:-2], network.head[-2]
    features = hidden(network.features(images.pixels / 127.5 - 1)).double()
    mean = features.mean(0)
    gram = (features - mean).T @ (features - mean)
    gram += torch.eye(len(gram)) * 1e-2 * gram.diagonal().mean()
    weights = torch.linalg.solve(
        gram, (features - mean).T @ (images.labels.double() - images.labels.mean())
    )
    last.weight.copy_(weights[None])
    last.bias.fill_(images.labels.mean() - mean @ weights)
    torch.save(
        {"net_state_dict": renamed(network, regressor_names("shufflenetv2-imagenet"))},
        folder / "x.pth",
    )
    return folder / "x.pth"


@pytest.mark.slow
def test_all_networks_of_a_continuous_label_can_be_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_dre, "CHECKED", 20)
    torch.manual_seed(0)
    files, run = angle_files(tmp_path), RunFolder(tmp_path / "run")
    given = {part: ["--from", f"{part}={file}"] for part, file in files.items()}
    cgankd(
        "train-gan",
        tmp_path,
        *given["generator"],
        *given["condition"],
        *given["embedding"],
        settings=ANGLE,
    )
    cgankd("fit-dre", tmp_path, *given["features"], *given["ratio"], settings=ANGLE)
    cgankd("train-teacher", tmp_path, "--from", str(regressor(tmp_path)), settings=ANGLE)
    facts = [
        read_json(record) for record in (run.gan, run.dre, run.teacher("shufflenetv2-imagenet"))
    ]
    assert [{part: one["layout"] for part, one in made["origin"].items()} for made in facts] == [
        {"generator": "SAGAN", "condition": "label embedding", "embedding": "ResNet embedding"},
        {"features": "sparse encoder", "ratio": "cDR-MLP"},
        {"shufflenetv2-imagenet": "ShuffleNetV2 regressor"},
    ]
    assert [made["seen"] for made in facts] == [{}, {}, {}]
    assert facts[1]["mean_ratio"] == pytest.approx(1.25)
    read = load_network(run.gan.parent, "embedding", torch.device("cpu")).label
    assert read(torch.randn(50, 16)).min() == 0, "kept as published"
    assert not list(run.gan.parent.rglob("checkpoints"))

    untouched = [
        "gan.steps=999",
        "gan.embedding.images.steps=999",
        "gan.vicinity.gaps=3.0",
        "dre.steps=99",
        "teacher.head=99",
        "teacher.steps=99",
    ]
    for changes, state in ((untouched, "done"), (["gan.embedding.network='resnet34'"], "other")):
        settings = toy.settings("digits-angle", *ANGLE_CHANGES, *changes)
        assert states(tmp_path, "train-gan", settings) == [state]
    settings = toy.settings("digits-angle", *ANGLE_CHANGES, *untouched)
    assert [
        *states(tmp_path, "fit-dre", settings),
        *states(tmp_path, "train-teacher", settings),
    ] == ["done", "done"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "fitted"), [("condition", []), ("embedding", ["label embedding"])]
)
def test_what_a_gan_is_conditioned_on_can_be_imported_alone_and_is_not_trained_again(
    tmp_path, monkeypatch, part, fitted
):
    trained, fit = [], conditions.fit

    def watched(*given, session, **options):
        trained.append(session.name)
        fit(*given, session=session, **options)

    monkeypatch.setattr(conditions, "fit", watched)
    changes = [*ANGLE_CHANGES, "gan.network='sngan'"]
    if part == "condition":  # nobody reads labels in images then
        changes.append("gan.auxiliary=0")
    file, run = angle_files(tmp_path)[part], RunFolder(tmp_path / "run")
    cgankd(
        "train-gan",
        tmp_path,
        "--from",
        f"{part}={file}",
        settings=toy.settings("digits-angle", *changes),
    )
    assert trained == fitted
    assert read_json(run.gan)["origin"].keys() == {part}
    assert read_json(run.gan)["seen"] == {}
    found = load_file(run.gan.parent / f"{part}.safetensors")
    sums = sorted(
        value.double().sum().item()
        for key, value in found.items()
        if not key.startswith("normalise.")
    )
    assert sums == sorted(value.double().sum().item() for value in torch.load(file).values())
    for change, state in (
        ("gan.embedding.images.steps=99", "done"),
        ("gan.steps=99", "other"),
        ("gan.embedding.size=32", "other"),
    ):
        assert states(tmp_path, "train-gan", toy.settings("digits-angle", *changes, change)) == [
            state
        ]


def test_imported_networks_may_choose_rho_only_where_all_may_see_the_validation_rows():
    source = sources.load(SETTINGS.data, SETTINGS.seed)
    imported, trained = {"origin": {"generator": {}}, "seen": {}}, {"seen": source.seen("train")}
    select_rho.check_rows(trained, source, "clean", "gan")
    select_rho.check_rows(imported, source, "paper", "gan")
    for made_of, protocol in ((imported, "clean"), ({"seen": {}}, "paper")):
        with pytest.raises(UserError, match="may include the validation rows"):
            select_rho.check_rows(made_of, source, protocol, "gan")
