"""Presets: every one loads, and whatever is wrong with one is refused with the key and
the value.
"""

import inspect
import math
import typing

import pytest

from cgankd import methods, preset, sources
from cgankd.errors import UserError
from cgankd.models import GANS, make_network
from cgankd.models.biggan import WIDTHS
from cgankd.models.cnn import TRUNKS, make_trunk
from cgankd.models.ratio import HIDDEN
from cgankd.plan.students import ABLATION
from cgankd.preset import Paper, Preset, load
from cgankd.preset.sources import SOURCES
from cgankd.sources import catalogue
from cgankd.task import Classification


def refused(source, words: str, changes: list[str] | None = None) -> UserError:
    with pytest.raises(UserError, match=words) as caught:
        load(source, changes)
    assert caught.value.code == 2
    return caught.value


@pytest.fixture
def write(tmp_path):
    """Writes mine.toml, on top of the preset digits, and gives its path."""

    def write(text: str | bytes, extends: str = 'extends = "digits"\n'):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else (extends + text).encode())
        return path

    return write


# What is right


@pytest.mark.parametrize("path", sorted(preset.folder().glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_loads_by_name_and_as_a_file_and_survives_being_written(path, tmp_path):
    loaded = load(path.stem)
    assert loaded == load(path) == load(str(path))
    assert loaded.name == path.stem
    (tmp_path / "resolved.toml").write_text(preset.dump(loaded))
    assert load(tmp_path / "resolved.toml") == loaded


def test_the_names_are_those_of_the_files():
    assert (
        {"digits", "digits-angle"}
        <= set(preset.names())
        == {path.stem for path in preset.folder().glob("*.toml")}
    )


def test_the_names_a_preset_can_give_are_those_of_the_tables():
    assert set(typing.get_args(preset.CnnName)) == set(TRUNKS)
    assert set(typing.get_args(preset.GanName)) == set(GANS)
    assert set(typing.get_args(preset.RatioName)) == set(HIDDEN)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_of_the_table_has_a_reader_with_the_same_functions(name):
    module = catalogue.reader(name)
    for function in ("read", "files", "label", "recognises"):
        expected = inspect.signature(getattr(catalogue.Reader, function)).parameters
        given = inspect.signature(getattr(module, function)).parameters
        assert ["self", *given] == list(expected), function


def test_every_available_method_has_an_objective():
    settings = load("digits", ["distill.sskd.head.steps=1"]).distill
    constants = {"side": 16, "mean": [0.5] * 3, "std": [1.0] * 3}
    student = make_network({"name": "cnn", "trunk": "resnet8_x0_25", "outputs": 10, **constants})
    for name, facts in preset.METHODS.items():
        teacher = methods.Teacher(student) if facts.teacher else None
        assert methods.make_method(name, Classification(["a"] * 10), student, teacher, settings)


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("digits", "sskd", r"distill.methods: sskd needs the table \[distill.sskd\]"),
        (
            "digits-angle",
            "sskd+fake",
            "distill.methods: sskd is for class labels; for a continuous label there are nokd",
        ),
        ("digits-angle", "blkd+uda", r"distill.methods: blkd\+uda is for class labels"),
    ],
)
def test_a_method_that_does_not_apply_is_refused(kind, method, words):
    refused(kind, words, [f"distill.methods=['{method}']"])


def test_fake_alone_means_nokd_with_fakes():
    assert preset.check_method("fake") == "nokd+fake"
    assert preset.check_method("blkd+fake") == "blkd+fake"


def test_a_width_suffix_of_a_network_is_read_as_a_decimal():
    assert make_trunk(preset.check_cnn("resnet8_x0_25"), 8).num_features == 16
    assert make_trunk(preset.check_cnn("resnet8_x2"), 8).num_features == 128
    for wrong in ("resnet8_x0.5", "resnet8_xx2", "resnet8_x-1", "resnet8_x1_2_3"):
        with pytest.raises(ValueError, match="unknown network"):
            preset.check_cnn(wrong)


def test_integers_in_places_of_floats_become_floats(write):
    given = (
        "[gan]\nlearning_rate = 1\n[rho]\ngrid = [1]\n[distill]\nrho = 1\nmomentum = 0\nbetas "
        "= [0, 1]\n"
    )
    loaded = load(write(given))
    numbers = [
        loaded.gan.learning_rate,
        loaded.search.grid[0],
        loaded.distill.rho,
        loaded.distill.momentum,
        *loaded.distill.betas,
    ]
    assert [(type(number), number) for number in numbers] == [
        (float, value) for value in (1, 1, 1, 0, 0, 1)
    ]
    assert preset.dump(loaded) == preset.dump(
        load(write(given.replace("= 1\n", "= 1.0\n").replace("[1]", "[1.0]")))
    )


def test_a_preset_cannot_be_changed_once_loaded():
    with pytest.raises(ValueError, match="frozen"):
        load("digits").gan.steps = 5


def test_a_preset_that_extends_another_changes_only_what_it_says(write):
    mine, base = load(write("[gan]\nsteps = 7\n[paper]\nnote = 'none'\n")), load("digits")
    assert (mine.name, mine.gan.steps, mine.paper) == ("mine", 7, Paper(note="none"))
    assert mine.gan.model_copy(update={"steps": base.gan.steps}) == base.gan
    assert mine.distill == base.distill


def test_changes_of_a_call_are_toml_values_or_bare_words(write):
    changes = [
        "gan.steps=7",
        "distill.rho=none",
        'data.protocol="clean"',
        " teacher.augment = [] ",
        "seed=3",
    ]
    loaded = load("digits", changes)
    assert (loaded.gan.steps, loaded.distill.rho, loaded.teacher.augment, loaded.seed) == (
        7,
        "none",
        [],
        3,
    )


def test_names_of_the_last_release_are_taken_with_a_warning(write, capsys):
    today = "[gan]\ndiscriminator_steps = 3\ndiscriminator_learning_rate = 5e-4\n"
    named = load(write(today))
    assert named.gan.discriminator_steps == 3
    assert capsys.readouterr().err == ""
    file = write(today.replace("discriminator", "critic"))
    assert load(file) == named
    in_a_file = capsys.readouterr().err
    assert load("digits", ["gan.critic_steps=3", "gan.critic_learning_rate=5e-4"]).gan == named.gan
    in_a_call = capsys.readouterr().err
    for where, said in ((str(file), in_a_file), ("--set gan.critic_", in_a_call)):
        assert said.count(where) == 2
        for key in ("steps", "learning_rate"):
            words = f"gan.critic_{key} is now called gan.discriminator_{key}; the old name will go"
            assert words in said


# What is wrong with a value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gan]\nstep = 5", "unknown key gan.step; did you mean steps?"),
        ("[gna]\nsteps = 5", "unknown key gna; did you mean gan?"),
        (
            "[dre.features]\nnetwrk = 'resnet8'",
            "unknown key dre.features.netwrk; did you mean network?",
        ),
        ("[gan.vicinity]\nkinds = 'soft'", "unknown key gan.vicinity.kinds; did you mean kind?"),
        ("[distill]\nzzz = 1", r"unknown key distill.zzz \(known: .*temperature"),
        ("[gan]\nsteps = '5'", "gan.steps: .*integer .found '5'"),
        ("[gan]\nsteps = 5.0", "gan.steps: .*integer .found 5.0"),
        ("[gan]\nsteps = true", "gan.steps: .*integer .found True"),
        ("[gan]\nflip = 1", "gan.flip: .*boolean .found 1"),
        ("[gan]\nlearning_rate = '1e-4'", "gan.learning_rate: .*number .found '1e-4'"),
        ("gan = 5", "gan: .*found 5"),
        ("[gan]\nsteps = 0", "gan.steps: .*greater than or equal to 1 .found 0"),
        ("[gan]\nema_decay = 1.01", "gan.ema_decay: .*less than or equal to 1 .found 1.01"),
        ("[rho]\ngrid = [0.5, 0.0]", "rho.grid.1: .*greater than 0 .found 0.0"),
        ("[rho]\ngrid = []", "rho.grid: .*at least 1"),
        ("[distill]\nseeds = [-1]", "distill.seeds.0: .*greater than or equal to 0 .found -1"),
        ("[distill]\nrho = 1.5", "distill.rho: .*less than or equal to 1 .found 1.5"),
        ("[distill]\nrho = 'all'", "distill.rho: .*'selected' or 'none' .found 'all'"),
        ("[distill]\nfake_share = 1", "distill.fake_share: .*less than 1 .found 1"),
        ("[data]\nsource = 'foldr'", "data.source: unknown source; did you mean folder.*'foldr'"),
        ("[data]\nsource = 'x'", r"data.source: unknown source \(known: digits, .*csv, h5"),
        ("[data]\nsize = 20", "data.size: .*8, 16, 32.*found 20"),
        ("[gan]\nnetwork = 'bigan'", "gan.network: .*'biggan', 'sngan' or 'sagan' .found 'bigan'"),
        (
            "[teacher]\nnetworks = ['renset8']",
            "teacher.networks.0: unknown network; did you mean resnet8?",
        ),
        ("[distill]\nmethods = ['bkld']", "distill.methods.0: unknown method; did you mean blkd?"),
        ("[distill]\nmethods = ['sskd']", "distill.methods: sskd needs the table"),
        ("[distill]\npairs = [['resnet8_x2', 'resnet8']]", "distill.pairs.0: .*at least 3"),
        ("[gan]\nlearning_rate = nan", "gan.learning_rate: .*finite number .found nan"),
        ("[gan]\nlearning_rate = inf", "gan.learning_rate: .*found inf"),
        ("[distill]\nrho = nan", "distill.rho: .*finite"),
        ("[rho]\ngrid = [-inf]", "rho.grid.0: .*found -inf"),
        ("seed = 4294967296", "seed: .*found 4294967296"),
        ("name = '../x'", "name: .*found '../x'"),
        ("name = '.hidden'", "name: .*found '.hidden'"),
        ("name = 'Big'", "name: .*found 'Big'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_was_found(write, text, words):
    error = refused(write(text), words)
    assert "mine.toml" in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[distill]\nbudget = 'epochs'", "budget = .epochs. and the key epochs go together"),
        ("[distill]\nepochs = 5", "budget = .epochs. and the key epochs go together"),
        ("[generate]\nteacher = 'resnet20'", "teacher.networks lacks resnet20"),
        (
            "[distill]\npairs = [['resnet110', 'resnet8', 'resnet8']]",
            "teacher.networks lacks resnet110",
        ),
        ("[data]\nsource = 'digits-angle'", "gan.embedding must be given for a continuous label"),
        ("[generate]\nlabels = 5", "generate.labels must be absent for a class label"),
        ("[gan.vicinity]\nkind = 'soft'", "gan.vicinity must be absent for a class label"),
        ("[dre.vicinity]\nkind = 'soft'", "dre.vicinity is for a continuous label"),
        ("[evaluate]\nradius = 1.0\ncenters = 3", "evaluate is for a continuous label"),
        ("[distill]\nfilter_bins = 2", "distill.filter_bins is for a continuous label"),
        (
            "[distill]\nrelabel = 'unclipped'",
            "distill.relabel = .unclipped. is for a continuous label",
        ),
        ("[gan]\nnetwork = 'sngan'", "biggan takes class labels"),
        (
            "[gan]\nnetwork = 'sagan'",
            "biggan takes class labels, sngan and sagan a continuous label",
        ),
        ("[teacher]\nhead = 8\nbatch = 1", "the batch norm of a head needs at least 2 images"),
        (
            "[gan]\nshared = 8",
            "gan.latent: with gan.shared z is cut into 3 equal parts at side 16, found 32",
        ),
        (
            "[gan]\nattention = 16",
            "gan.attention: at side 16 biggan has maps of side 8 in both networks, found 16",
        ),
        (
            "[data]\nsize = 64\n[gan]\nattention = 24",
            "maps of side 8, 16, 32 in both networks, found 24",
        ),
        (
            "[data]\nsize = 8\n[gan]\nattention = 8",
            "at side 8 biggan has none in both networks, found 8",
        ),
        ("[data]\nstep = 1.0", "data: step: only a label with range has one of your own"),
        (
            "[data]\nsource = 'csv'\nrange = [0.0, 2.0]\nstep = 3.0",
            "data: step: 3 is more than range is wide",
        ),
        (
            "[data]\nsource = 'digits-angle'\nmin_per_label = 5",
            "min_per_label: of a continuous label step says",
        ),
        (
            "[data]\nnum_train = 'auto'",
            "num_train and num_validation: auto stands for both of them or for neither",
        ),
        (
            "[data]\nnum_train = 'auto'\nnum_validation = 'auto'",
            "auto is for tiny-imagenet, .* digits needs numbers",
        ),
        ("[data]\nsource = 'rc49'\ntest = 'x.h5'", "data: test: rc49 has test images of its own"),
        ("[data]\npath = 'x'", "data: path: the images of digits come with a library"),
        ("[data]\ntest = 'x'", "data: test: the images of digits come with a library"),
        ("[data]\nsource = 'digits-angle'\npath = 'x'", "path: the images of digits-angle come"),
        ("[data]\nskip_broken = true", "data: skip_broken: digits has no image files; tiny-imag"),
        ("[data]\nunit = 'cm'", "data: unit: only a label with range has one of your own"),
        ("[data]\nsource = 'cifar10'\ntest = 'x'", "test: without path, cifar10 has test images"),
        ("[data]\nsource = 'folder'", "data: path is missing: where are the images of .* folder"),
        ("[data]\nsource = 'folder'\npath = ''", "data.path: .*at least 1 character"),
        (
            "[data]\nsource = 'folder'\npath = \"a\\u0000b\"",
            r"data.path: holds the character '.x00'",
        ),
        (
            "[data]\nsource = 'csv'\npath = 'x'\nrange = [0, 1]\nunit = \"\\u001b\"",
            "data.unit: holds",
        ),
        ("[data]\nsource = 'utkface'", "gan.embedding must be given for a continuous label"),
    ],
)
def test_keys_that_conflict_are_named(write, text, words):
    refused(write(text), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "gan.vicinity={gaps = 2.0, nu = 900.0}",
            "gan.vicinity: found gaps and nu: expected one width",
        ),
        ("gan.vicinity={kappa = 0.1}", "gan.vicinity: found kappa: a soft vicinity has gaps or nu"),
        (
            "dre.vicinity={kind = 'hard', nu = 900.0}",
            "dre.vicinity: found nu: a hard vicinity has gaps or kappa",
        ),
        ("dre.vicinity={kappa = 0.1, sigma = 0.1}", "unknown key dre.vicinity.sigma"),
        ("gan.loss=wgan", "gan.loss: .*'hinge' or 'vanilla' .found 'wgan'"),
        ("generate.labels=5.0", "generate.labels: .*valid integer .found 5.0"),
        ("generate.labels=[]", "generate.labels: .*at least 1"),
        ("generate.labels=[1, 'b']", "generate.labels.1: .*valid number .found 'b'"),
        ("generate.labels=[1, 2, 1]", "generate.labels: an entry stands there twice"),
        ("generate.labels={first = 0, last = 1}", "generate.labels.step is missing"),
        (
            "generate.labels={first = 0, last = 1, stop = 1}",
            "unknown key generate.labels.stop; did you mean step",
        ),
        (
            "generate.labels={first = 0, last = 1, step = 0.3}",
            "whole number of steps, found 3.33333 steps",
        ),
        (
            "generate.labels={first = 1, last = 0, step = 0.5}",
            "whole number of steps, found -2 steps",
        ),
        ("generate.labels={random = 0}", "generate.labels.random: .*greater than or equal to 1"),
        ("generate.labels={random = 5, step = 1}", "unknown key generate.labels.step"),
    ],
)
def test_what_a_continuous_label_needs_is_refused_in_one_line(change, words):
    error = refused("digits-angle", words, [change])
    assert len(str(error).splitlines()) <= 2


@pytest.mark.parametrize(
    ("labels", "num", "values"),
    [
        ("7", 7, []),
        ("[45, 0, 90.0]", 3, [45.0, 0.0, 90.0]),
        ("{first = 0.1, last = 89.9, step = 0.2}", 450, [0.1, 0.3, 0.5]),
        ("{first = 5, last = 5, step = 1}", 1, [5.0]),
        ("{random = 500}", 500, []),
    ],
)
def test_labels_to_generate_are_counted_and_a_written_preset_asks_for_the_same(
    write, labels, num, values
):
    loaded = load(
        "digits-angle", [f"generate.labels={labels}", "gan.vicinity={}", "dre.vicinity={nu = 9.0}"]
    )
    assert loaded.generate.num_labels == num
    assert loaded.generate.values[:3] == pytest.approx(values, abs=1e-12)
    assert loaded.generate.values[-1:] in ([], [90.0], [89.9], [5.0]), (
        "the last is exact, to lie within the range"
    )
    assert (loaded.gan.vicinity.gaps, loaded.dre.vicinity.gaps) == (2.0, None)
    assert load(write(preset.dump(loaded), extends="")) == loaded


def test_labels_to_generate_outside_the_range_are_refused_where_it_is_known():
    asked = load("digits-angle", ["generate.labels=[0, 90, 90.5, -3]"])
    angle = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    with pytest.raises(
        UserError, match=r"generate.labels: 90.5 \(and 1 more\) lies outside \[0, 90\]"
    ) as caught:
        preset.check_labels(asked, angle)
    assert caught.value.code == 2
    preset.check_labels(asked, None)
    preset.check_labels(asked, {**angle, "min": -3.0, "max": 90.5})
    preset.check_labels(load("digits"), {"kind": "class", "classes": ["a"]})


@pytest.mark.parametrize(
    ("given", "span"),
    [
        ([], 90),
        (["data.source=h5", "data.path=x.h5", "data.range=[1.0, 61.0]"], 60),
        (["data.source=utkface"], 60),
    ],
)
def test_a_window_is_no_wider_than_the_range(given, span):
    for radius in (span / 2, span / 2 + 1):
        asked = load("digits-angle", [*given, f"evaluate.radius={radius}"])
        if radius > span / 2:
            with pytest.raises(UserError, match=f"evaluate.radius = {radius:g}, but the range"):
                preset.check_labels(asked, sources.known_label(asked.data))
        else:
            preset.check_labels(asked, sources.known_label(asked.data))


def test_a_missing_key_is_named(write):
    path = write("[data]\nsource = 'digits'\nnum_train = 10\n", extends="")
    error = refused(path, "data.num_validation is missing")
    assert "gan is missing" in str(error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("gan.step=5", "unknown key gan.step; did you mean steps?"),
        ("gan.steps", "expected table.key=value"),
        ("=5", "expected table.key=value"),
        ("gan steps=5", "expected table.key=value"),
        ("gan.steps=", "gan.steps: .*found ''"),
        ("gan.steps=many", "gan.steps: .*found 'many'"),
        ("seed.x=1", "seed is not a table"),
        ("gan=5", "gan: .*found 5"),
        ("name=../x", "name: .*found '../x'"),
    ],
)
def test_a_wrong_change_of_a_call_is_refused_like_a_wrong_file(change, words):
    refused("digits", words, [change])


# The published settings

CIFAR = {"cifar10-c50k": 40000, "cifar10-c20k": 16000, "cifar10-c10k": 8000}
ROWS = {**CIFAR, "tiny-imagenet": 80000}


@pytest.mark.parametrize("name", ROWS)
def test_published_epochs_are_counted_in_steps_of_the_training_rows(name):
    settings, rows = load(name), ROWS[name]
    assert settings.data.num_train == rows == 4 * settings.data.num_validation
    epochs = 350 * math.ceil(rows / 128)
    for training in (settings.teacher, settings.dre.features, settings.distill):
        assert (training.steps, training.batch) == (epochs, 128)
        falls = [
            next(step for step in range(epochs) if step / epochs >= share)
            for share in training.milestones
        ]
        assert falls == [epochs // 350 * 150, epochs // 350 * 250]
    assert (settings.dre.steps, settings.dre.batch) == (350 * math.ceil(rows / 512), 512)
    head = settings.distill.sskd.head
    assert head.steps == 60 * rows / head.batch


@pytest.mark.parametrize("name", ROWS)
def test_published_weights_of_distillation_are_those_of_the_kl_per_image(name):
    settings = load(name).distill
    classes, weight = (200, 0.0625) if name == "tiny-imagenet" else (10, 1.25)
    assert (
        settings.match_weight * settings.temperature**2
        == pytest.approx(weight)
        == 0.5 * 25 / classes
    )
    assert settings.uda.match_weight * settings.temperature**2 == 12.5
    assert settings.label_weight == settings.uda.label_weight == 0.5


def test_each_published_size_has_its_own_gan_and_rho():
    found = {name: load(name) for name in ROWS}
    assert [one.gan.steps for one in found.values()] == [48000, 18000, 24000, 100000]
    assert [len(one.gan.diffaugment) for one in found.values()] == [0, 3, 3, 3]
    assert [one.distill.rho for one in found.values()] == [0.9, 0.6, 0.7, 0.5]
    assert [one.dre.features.size for one in found.values()] == [
        3 * one.data.size**2 for one in found.values()
    ]


@pytest.mark.parametrize("name", ROWS)
def test_the_pool_suffices_for_the_number_of_fakes_at_every_rho(name):
    settings, classes = load(name), 200 if name == "tiny-imagenet" else 10
    wanted = settings.distill.nfake / classes
    assert settings.generate.per_label * min(settings.search.grid) >= 1.5 * wanted


def test_published_errors_are_those_of_the_tables():
    results = {
        name: {
            (line.teacher, line.student, method): error
            for line in load(name).paper.results
            for method, error in line.errors.items()
            if method != "nokd"
        }
        for name in CIFAR
    }
    assert [len(found) for found in results.values()] == [9 * 5 + 2 * 2 + 9 * 2] * 3
    for name, teacher, student, method, error in [
        ("cifar10-c50k", "densenet121", "efficientnet-b0", "blkd+fake", 5.59),
        ("cifar10-c50k", "mobilenetv2", "shufflenetv2", "takd+fake", 5.88),
        ("cifar10-c50k", "resnet18", "vgg11", "sskd+fake", 5.63),
        ("cifar10-c50k", "densenet121", "shufflenetv2", "blkd+uda+fake", 4.94),
        ("cifar10-c20k", "mobilenetv2", "vgg11", "takd+fake", 9.39),
        ("cifar10-c20k", "densenet121", "efficientnet-b0", "blkd+uda", 11.56),
        ("cifar10-c20k", "resnet18", "shufflenetv2", "nokd+fake", 11.00),
        ("cifar10-c10k", "densenet121", "efficientnet-b0", "takd", 17.47),
        ("cifar10-c10k", "mobilenetv2", "vgg11", "takd+fake", 12.28),
        ("cifar10-c10k", "resnet18", "shufflenetv2", "sskd", 12.30),
    ]:
        assert results[name][teacher, student, method] == error


@pytest.mark.parametrize("name", CIFAR)
def test_every_published_number_is_one_that_the_preset_measures(name):
    settings = load(name)
    quoted = {method for line in settings.paper.results for method in line.errors}
    assert quoted == set(settings.distill.methods)
    chains = {
        (line.teacher, line.assistant, line.student)
        for line in settings.paper.results
        if line.assistant
    }
    assert chains == {tuple(pair) for pair in settings.distill.pairs}
    assert {line.teacher for line in settings.paper.results} == set(settings.teacher.networks)


def test_published_lines_of_a_student_agree_where_no_teacher_is_used():
    for name in CIFAR:
        lines = [line for line in load(name).paper.results if line.assistant]
        assert {
            (line.student, line.errors["nokd"], line.errors["nokd+fake"]) for line in lines
        } == {(line.student, line.errors["nokd"], line.errors["nokd+fake"]) for line in lines[:3]}
        assert len({(line.teacher, line.teacher_error) for line in lines}) == 3


def test_the_published_curve_and_ablation_end_where_the_table_says():
    paper = load("cifar10-c50k").paper
    table = {line.student: line.errors for line in paper.results[:3]}
    for student, errors in paper.nfake.errors.items():
        found = dict(zip(paper.nfake.counts, errors, strict=True))
        assert (found[0], found[100000]) == (table[student]["nokd"], table[student]["nokd+fake"])
    assert list(paper.ablation.errors) == list(ABLATION)
    assert paper.ablation.errors["nokd"] == table["vgg11"]["nokd"]
    assert paper.ablation.errors["+ relabel"] == table["vgg11"]["nokd+fake"]


def test_published_numbers_are_inherited_whole_or_not_at_all(write):
    base = load("cifar10-c50k").paper
    assert (
        load(write("[distill]\nepochs = 1\n", extends='extends = "cifar10-c50k"\n')).paper == base
    )
    replaced = load(write("[paper]\nnote = 'mine'\n", extends='extends = "cifar10-c50k"\n')).paper
    assert replaced == Paper(note="mine")
    assert load("cifar10-c10k").paper.nfake is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[[paper.results]]\ntecher = 'resnet18'",
            "unknown key paper.results.0.techer; did you mean teacher?",
        ),
        ("[paper]\nresult = []", "unknown key paper.result; did you mean results?"),
        (
            "[paper.nfake]\ncounts = [0, 1]\nerrors = {vgg11 = [1.0]}",
            "paper.nfake: 2 counts, but 1 errors of vgg11",
        ),
        (
            "[paper]\nresults = [{teacher = 'vgg11', teacher_error = 1, student = 'vgg11', errors "
            "= {bkld = 1}}]",
            "paper.results.0.errors.bkld.*did you mean blkd",
        ),
    ],
)
def test_what_is_quoted_is_checked(write, text, words):
    refused(write(text), words)


# What is wrong with a file


@pytest.mark.parametrize("name", ["digts", "", ".", "DIGITS", "a" * 300, "x\ny"])
def test_an_unknown_preset_is_answered_with_the_known_ones(name):
    refused(name, "unknown preset .*digits")


@pytest.mark.parametrize("name", ["absent.toml", "../absent", "/digits", "digits/", "\0.toml"])
def test_a_preset_file_that_is_not_there_is_named(name):
    refused(name, "not found")


def test_a_folder_is_no_preset_file(tmp_path):
    (tmp_path / "x.toml").mkdir()
    refused(tmp_path / "x.toml", "not found")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name = 'caf\xe9'", "not valid TOML.*utf-8"),
        (b"\xff\xfen\x00a\x00", "not valid TOML"),
        (b"[gan\nsteps = 5", "not valid TOML.*line 1"),
        (b"[gan]\nsteps = 5\nsteps = 6", "not valid TOML: Cannot overwrite"),
        (b"x = " + b"[" * 100_000, "not valid TOML.*nested"),
        (b"x = " + b"{a=" * 100_000, "not valid TOML"),
        (b"[" + b".".join([b"a"] * 100_000) + b"]", "not valid TOML"),
        (b"# " + b"x" * (1 << 20), "larger than 1,048,576 bytes"),
        (b"\0" * 100, "not valid TOML"),
        (b"extends = 5", "extends must be the name of a preset, found 5"),
        (b"extends = '../digits'", "preset file ../digits not found"),
        (b"extends = 'digts'", "unknown preset 'digts'; did you mean digits?"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_file_that_is_no_preset_is_refused(write, data, words):
    refused(write(data), words)


def test_presets_that_extend_each_other_are_refused(tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"')
    two.write_text(f'extends = "{tmp_path}/./one.toml"')
    refused(one, "extends itself")
    one.write_text(f'extends = "{one}"')
    refused(one, "extends itself")


def test_an_integer_of_thousands_of_digits_is_refused(write):
    refused(write("seed = " + "9" * 5000), "seed|TOML")


def test_a_deeply_nested_change_of_a_call_is_refused():
    refused("digits", "seed", ["seed=" + "[" * 5000])


def test_a_side_that_no_gan_can_draw_is_refused(write):
    refused(write("[data]\nsize = 24"), "data.size")


@pytest.mark.parametrize(
    "text", ["[distill]\nseeds = [1, 1]", "[rho]\nseeds = [0, 0]", "[rho]\ngrid = [0.5, 0.5]"]
)
def test_a_repeated_member_of_a_list_is_refused(write, text):
    refused(write(text), "twice|repeat|unique")


def test_biggan_draws_the_sides_that_it_has_widths_for():
    for power in range(3, 11):
        if 1 << power in WIDTHS:
            assert load("digits", [f"data.size={1 << power}"]).data.size == 1 << power
        else:
            refused(
                "digits",
                "data.size: biggan draws images of side 8 to 128",
                [f"data.size={1 << power}"],
            )


def test_z_is_cut_into_one_part_more_than_there_are_blocks():
    settings = load(
        "digits", ["data.size=64", "gan.shared=128", "gan.latent=120", "gan.attention=32"]
    ).gan
    assert (settings.shared, settings.latent, settings.attention) == (128, 120, 32)
    for parts, side in ((2, 8), (3, 16), (4, 32), (5, 64), (6, 128)):
        refused(
            "digits", f"{parts} equal parts", [f"data.size={side}", "gan.shared=8", "gan.latent=61"]
        )


@pytest.mark.parametrize("network", ["sngan", "sagan"])
@pytest.mark.parametrize("change", ["gan.shared=8", "gan.attention=8"])
def test_what_only_biggan_has_is_refused_for_the_other_gans(change, network):
    words = f"gan.shared and gan.attention: only biggan has them, not {network}"
    refused("digits-angle", words, [change, f"gan.network={network}"])


def test_a_continuous_label_takes_either_of_two_gans():
    assert load("digits-angle", ["gan.network=sagan"]).gan.network == "sagan"
    refused("digits-angle", "biggan takes class labels", ["gan.network=biggan"])


def test_labels_cannot_be_augmented():
    refused("digits-angle", "augment", ["gan.embedding.labels.augment=['crop']"])


def test_a_batch_without_room_for_fakes_is_refused():
    refused("digits", "batch", ["distill.batch=1"])


def test_a_preset_extends_its_neighbour(tmp_path):
    (tmp_path / "base.toml").write_text('extends = "digits"\n[gan]\nsteps = 7\n')
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\n')
    assert load(tmp_path / "mine.toml").gan.steps == 7


def test_a_loaded_preset_is_checked_again_on_its_way_between_processes():
    values = load("digits").model_dump()
    assert Preset.model_validate(values) == load("digits")
    with pytest.raises(ValueError, match="steps"):
        Preset.model_validate({**values, "gan": {**values["gan"], "steps": 0}})
