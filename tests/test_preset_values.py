"""What is wrong with a value of a preset, or with two together, is refused with its key."""

import pytest
from refusals import refused


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
def test_a_wrong_value_is_refused_with_its_key_and_what_was_found(write_preset, text, words):
    error = refused(write_preset(text), words)
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
        ("[evaluate]\nradius = 1.0\ncenters = 3", "evaluate.radius is for a continuous label"),
        ("[distill]\nfilter_bins = 2", "distill.filter_bins is for a continuous label"),
        (
            "[distill]\nrelabel = 'unclipped'",
            "distill.relabel = .unclipped. is for a continuous label",
        ),
        ("[distill]\nrelabel = 'mean'", "distill.relabel = .mean. is for a continuous label"),
        ("[gan]\nnetwork = 'sngan'", "biggan takes class labels"),
        (
            "[gan]\nnetwork = 'sagan'",
            "biggan takes class labels, sngan and sagan a continuous label",
        ),
        ("[teacher]\nhead = 8\nbatch = 1", "the batch norm of a head needs at least 2 images"),
        (
            "[gan]\nshared = 8\nlatent = 32",
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
        ("[data]\npath = 'x'", "data: path: the images of digits come without files"),
        ("[data]\ntest = 'x'", "data: test: the images of digits come without files"),
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
def test_keys_that_conflict_are_named(write_preset, text, words):
    refused(write_preset(text), words)


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


def test_a_missing_key_is_named(write_preset):
    path = write_preset("[data]\nsource = 'digits'\nnum_train = 10\n", extends="")
    error = refused(path, "data.num_validation is missing")
    assert "teacher is missing" in str(error)


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
def test_what_is_quoted_is_checked(write_preset, text, words):
    refused(write_preset(text), words)


def test_an_integer_of_thousands_of_digits_is_refused(write_preset):
    refused(write_preset("seed = " + "9" * 5000), "seed|TOML")


def test_a_deeply_nested_change_of_a_call_is_refused():
    refused("digits", "seed", ["seed=" + "[" * 5000])


def test_a_side_that_no_gan_can_draw_is_refused(write_preset):
    refused(write_preset("[data]\nsize = 24"), "data.size")


@pytest.mark.parametrize(
    "text", ["[distill]\nseeds = [1, 1]", "[rho]\nseeds = [0, 0]", "[rho]\ngrid = [0.5, 0.5]"]
)
def test_a_repeated_member_of_a_list_is_refused(write_preset, text):
    refused(write_preset(text), "twice|repeat|unique")


def test_labels_cannot_be_augmented():
    refused("digits-angle", "augment", ["gan.embedding.labels.augment=['crop']"])


def test_a_batch_without_room_for_fakes_is_refused():
    refused("digits", "batch", ["distill.batch=1"])
