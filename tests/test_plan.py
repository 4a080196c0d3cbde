"""What a preset asks for: what changes the digest of an artefact, what does not, and which students
are one.
"""

import json
from dataclasses import asdict

import pytest

from cgankd import fakes, plan, preset, runs, sources
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection
from cgankd.plan import Overrides, Student
from cgankd.preset import Preset
from cgankd.runs import RunFolder

BASE = [
    "distill.pairs=[['resnet8', 'resnet8_x0_5', 'resnet8_x0_25']]",
    "teacher.networks=['resnet8', 'resnet8_x2']",
    "generate.teacher='resnet8'",
    "distill.seeds=[0, 1]",
    "rho.grid=[0.5, 1.0]",
    "rho.seeds=[0, 1]",
    "distill.rho=0.5",
    "distill.methods=['nokd', 'takd+fake']",
]


def settings(*changes: str, name: str = "digits") -> Preset:
    base = BASE if name == "digits" else []
    return preset.load(name, [*base, *changes])


@pytest.fixture
def run(tmp_path):
    """A run whose upstream stages are finished, with contents that are just words."""
    run = RunFolder(tmp_path)
    contents = {
        run.gan: "gan",
        run.dre: "dre",
        run.pool: "pool",
        run.rho: "rho",
        run.teacher("resnet8"): "teacher",
        run.teacher("resnet8_x2"): "other teacher",
    }
    for record, content in contents.items():
        runs.write_json(record, {"finished": True, "content": content, "best_rho": 0.7, "rho": 0.7})
    return run


@pytest.fixture(autouse=True)
def identity(monkeypatch):
    """Of the data: what it depends on, without reading any."""
    monkeypatch.setattr(
        sources, "identify", lambda data, seed, run: json.dumps([data.model_dump(), seed])
    )


def digests(stage: str, run: Run, *changes: str, call: Overrides | None = None) -> list[str]:
    return [
        artefact.digest
        for artefact in plan.artefacts(stage, settings(*changes), run, call or Overrides())
    ]


def student(run: Run, *changes: str, **values) -> str:
    made = Student(**{"network": "resnet8_x0_25", "method": "nokd", "seed": 0, **values})
    return plan.student_artefact(made, settings(*changes), run).digest


# Stages


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        (
            "train-gan",
            [
                "gan.steps=77",
                "gan.width=999",
                "gan.diffaugment=['cutout', 'color']",
                "seed=1",
                "data.num_train=130",
            ],
        ),
        (
            "train-teacher",
            ["teacher.steps=77", "teacher.augment=['flip']", "seed=1", "data.num_validation=130"],
        ),
        (
            "fit-dre",
            [
                "dre.steps=77",
                "dre.penalty=0.2345",
                "dre.features.steps=77",
                "seed=1",
                "data.size=64",
            ],
        ),
        (
            "generate",
            [
                "generate.per_label=77",
                "generate.block=34",
                "generate.bound_quantile=0.8765",
                "seed=1",
            ],
        ),
        (
            "select-rho",
            [
                "rho.grid=[0.5]",
                "rho.seeds=[0]",
                "distill.steps=77",
                "distill.relabel=keep",
                "seed=1",
            ],
        ),
        (
            "distill",
            [
                "distill.steps=77",
                "distill.seeds=[0]",
                "distill.batch=9",
                "seed=1",
                "data.num_train=130",
            ],
        ),
    ],
)
def test_what_an_artefact_is_made_from_changes_its_digest(run, stage, changes):
    before = digests(stage, run)
    found = [digests(stage, run, change) for change in changes]
    assert all(len(now) == len(before) and not set(now) & set(before) for now in found)
    assert len({tuple(now) for now in found}) == len(changes)


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        (
            "train-gan",
            [
                "teacher.steps=77",
                "dre.steps=77",
                "generate.block=34",
                "distill.steps=77",
                "name=other",
            ],
        ),
        (
            "train-teacher",
            ["gan.steps=77", "distill.steps=77", "rho.grid=[0.1]", "dre.penalty=3.5"],
        ),
        ("fit-dre", ["teacher.steps=77", "generate.per_label=77", "distill.steps=77"]),
        (
            "generate",
            [
                "gan.steps=77",
                "dre.steps=77",
                "teacher.steps=77",
                "distill.steps=77",
                "rho.seeds=[5]",
            ],
        ),
        (
            "select-rho",
            [
                "gan.steps=77",
                "generate.per_label=77",
                "distill.seeds=[5]",
                "distill.methods=['blkd']",
                "distill.temperature=2.5",
                "distill.label_weight=0.12",
                "distill.rho=0.9",
            ],
        ),
        (
            "distill",
            [
                "distill.methods=['takd+fake', 'nokd']",
                "rho.grid=[0.1]",
                "rho.seeds=[9]",
                "gan.width=998",
            ],
        ),
    ],
)
def test_what_an_artefact_is_not_made_from_leaves_its_digest(run, stage, changes):
    for change in [
        *changes,
        "report.columns=33",
        "paper.note=quoted",
        "paper.nfake={counts=[0], errors={}}",
    ]:
        assert set(digests(stage, run, change)) == set(digests(stage, run)), change


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("fit-dre", {"gan"}),
        ("generate", {"gan", "dre", "teacher"}),
        ("select-rho", {"pool"}),
        ("distill", {"pool", "teacher"}),
    ],
)
def test_the_content_of_an_input_changes_the_digest_and_that_of_nothing_else(run, stage, inputs):
    records = {
        "gan": run.gan,
        "dre": run.dre,
        "teacher": run.teacher("resnet8"),
        "pool": run.pool,
        "other": run.teacher("resnet8_x2"),
    }
    before = digests(stage, run)
    for name, record in records.items():
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new", "time": "later"})
        assert (digests(stage, run) != before) == (name in inputs), name
        runs.write_json(record, {**old, "time": "later"})
        assert digests(stage, run) == before


def test_each_teacher_is_an_artefact_that_does_not_depend_on_the_others(run):
    one, two = plan.artefacts("train-teacher", settings(), run)
    assert one.digest != two.digest
    assert [one.record, two.record] == [run.teacher("resnet8"), run.teacher("resnet8_x2")]
    (alone,) = plan.artefacts("train-teacher", settings("teacher.networks=['resnet8']"), run)
    assert alone.digest == one.digest


def test_a_missing_input_names_the_command_that_makes_it(run):
    for stage, record, command in (
        ("fit-dre", run.gan, "train-gan"),
        ("generate", run.dre, "fit-dre"),
        ("generate", run.teacher("resnet8"), "train-teacher"),
        ("select-rho", run.pool, "generate"),
        ("distill", run.pool, "generate"),
    ):
        old = record.read_bytes()
        record.unlink()
        with pytest.raises(UserError, match="not found") as caught:
            digests(stage, run)
        assert (caught.value.code, f"cgankd {command}" in caught.value.hint) == (65, True)
        record.write_bytes(old)


def test_an_unknown_stage_is_a_bug(run):
    with pytest.raises(AssertionError, match="report"):
        plan.artefacts("report", settings(), run)


# Students


def test_a_student_depends_on_what_its_method_uses_and_on_nothing_else(run):
    view = FakeSelection(rho=0.5)
    kinds = {
        "nokd": {},
        "nokd+fake": {"view": view},
        "blkd": {"method": "blkd", "teacher": "resnet8"},
        "blkd+fake": {"method": "blkd", "teacher": "resnet8", "view": view},
        "takd": {"method": "takd", "teacher": "resnet8", "assistant": "resnet8_x0_5"},
        "blkd+uda": {"method": "blkd+uda", "teacher": "resnet8"},
    }
    everything, nobody = frozenset(kinds), frozenset()
    fakes, distilled = {"nokd+fake", "blkd+fake"}, {"blkd", "blkd+fake", "takd"}
    uda = {"blkd+uda"}
    uses = {
        **dict.fromkeys(
            ["distill.steps=77", "distill.learning_rate=0.31", "distill.augment=['flip']"],
            everything,
        ),
        **dict.fromkeys(["seed=1", "data.num_train=130"], everything),
        "distill.fake_share=0.26": fakes,
        **dict.fromkeys(["distill.match_weight=0.12", "distill.label_weight=2.5"], distilled),
        "distill.temperature=2.5": distilled | uda,
        "distill.uda.match_weight=0.12": uda,
        **dict.fromkeys(
            ["distill.seeds=[5]", "distill.methods=['blkd']", "distill.rho=0.9", "rho.grid=[0.1]"],
            nobody,
        ),
        **dict.fromkeys(
            ["gan.steps=77", "generate.block=34", "teacher.steps=77", "report.columns=33"], nobody
        ),
        "distill.pairs=[['resnet8', 'resnet8', 'resnet20']]": nobody,
    }
    for change, affected in uses.items():
        changed = {
            name
            for name, values in kinds.items()
            if student(run, change, **values) != student(run, **values)
        }
        assert changed == affected, change
    assert len({student(run, **values) for values in kinds.values()}) == len(kinds)


def test_every_part_of_a_view_and_of_a_student_changes_its_digest(run):
    views = [
        FakeSelection(rho=0.5),
        FakeSelection(rho=0.6),
        FakeSelection(rho=0.5, subsample=False),
        FakeSelection(rho=0.5, relabel="keep"),
        FakeSelection(rho=0.5, num=100),
        None,
    ]
    assert len({student(run, view=view) for view in views}) == len(views)
    parts = [
        {},
        {"network": "resnet8"},
        {"seed": 1},
        {"method": "blkd", "teacher": "resnet8"},
        {"method": "blkd", "teacher": "resnet8_x2"},
    ]
    assert len({student(run, **part) for part in parts}) == len(parts)


def test_the_head_of_students_changes_them_and_no_teacher_and_no_head_of_sskd(run):
    assert len({student(run), student(run, "distill.head=8"), student(run, "distill.head=9")}) == 3
    assert student(run, "teacher.head=8") == student(run)
    sskd = ["distill.sskd.head.steps=3", "distill.sskd.head.batch=16"]
    shared = {"method": plan.HEAD, "network": "resnet8", "teacher": "resnet8"}
    assert student(run, *sskd, **shared) == student(run, *sskd, "distill.head=8", **shared)
    assert digests("train-teacher", run, "teacher.head=8") != digests("train-teacher", run)
    assert digests("train-teacher", run, "distill.head=8") == digests("train-teacher", run)


def test_the_budget_of_epochs_changes_a_student(run):
    epochs = ["distill.budget=epochs", "distill.epochs=5"]
    assert (
        len({student(run), student(run, *epochs), student(run, epochs[0], "distill.epochs=6")}) == 3
    )


def test_contents_of_teacher_and_pool_change_only_the_students_that_use_them(run):
    kinds = {
        "nokd": {},
        "blkd": {"method": "blkd", "teacher": "resnet8"},
        "nokd+fake": {"view": FakeSelection(rho=0.5)},
    }
    before = {name: student(run, **values) for name, values in kinds.items()}
    for record, affected in (
        (run.teacher("resnet8"), {"blkd"}),
        (run.pool, {"nokd+fake"}),
        (run.gan, set()),
    ):
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new"})
        assert {
            name for name, values in kinds.items() if student(run, **values) != before[name]
        } == affected
        runs.write_json(record, old)


def test_a_student_is_named_after_what_it_is_and_its_digest(run):
    made = Student("resnet8_x0_25", "blkd", 3, teacher="resnet8", view=FakeSelection(rho=0.5))
    folder = plan.student_artefact(made, settings(), run).folder
    assert folder.parent == run.root / "students"
    assert folder.name.startswith("resnet8_x0_25-blkd+fake-seed3-")
    plain = plan.student_artefact(Student("resnet8_x0_25", "nokd", 3), settings(), run).folder.name
    assert plain.startswith("resnet8_x0_25-nokd-seed3-")
    assert len(plain.split("-")[-1]) == 8


def test_students_of_the_search_are_those_of_distill(run):
    call = Overrides(method="nokd+fake")
    searched = {
        plan.student_artefact(one, settings(), run).digest for one in plan.rho_students(settings())
    }
    distilled = {
        plan.student_artefact(one, settings(), run).digest
        for one in plan.method_students("nokd+fake", settings(), run, call)
    }
    assert len(distilled) == 2
    assert distilled < searched, "rho = 0.5 with seeds 0 and 1 was trained in the search"
    alone = {
        plan.student_artefact(one, settings(), run).digest
        for one in plan.method_students("nokd", settings(), run, Overrides())
    }
    assert alone < searched


def test_the_search_trains_each_rho_and_no_fakes_for_each_network_and_seed():
    pairs = (
        "distill.pairs=[['resnet8', 'resnet8', 'resnet20'], ['resnet8_x2', 'resnet8', "
        "'resnet8_x0_25'], "
        "['resnet8_x2', 'resnet8', 'resnet20']]"
    )
    students = plan.rho_students(settings(pairs, "distill.nfake=50", "distill.relabel=keep"))
    assert len(students) == len(set(students)) == 3 * 2 * 2
    assert {one.view and one.view.rho for one in students} == {None, 0.5, 1.0}
    assert {one.network for one in students} == {"resnet20", "resnet8_x0_25"}
    assert {(one.view.num, one.view.relabel) for one in students if one.view} == {(50, "keep")}
    assert {one.method for one in students} == {"nokd"}


def test_under_the_published_protocol_the_search_alone_leaves_out_the_rows_it_chooses_on(run):
    paper = settings("data.protocol=paper")
    searched = plan.rho_students(paper)
    wanted = plan.method_students("nokd+fake", paper, run, Overrides(method="nokd+fake"))
    assert all(one.held_out for one in searched)
    assert not any(one.held_out for one in [*wanted, *plan.rho_students(settings())])
    digests = [
        {plan.student_artefact(one, paper, run).digest for one in some}
        for some in (searched, wanted)
    ]
    assert not digests[0] & digests[1]
    data = paper.data
    assert plan.num_real(searched[0], paper, run) == data.num_train
    assert plan.num_real(wanted[0], paper, run) == data.num_train + data.num_validation


def test_repeated_rows_are_in_the_digest_of_students_without_the_validation_rows(run, monkeypatch):
    monkeypatch.setattr(sources, "identify", lambda data, seed, run: "all training rows suffice")
    changes = "data.protocol=paper", "data.min_per_label=9"
    assert student(run, changes[0]) == student(run, *changes)
    assert student(run, changes[0], held_out=True) != student(run, *changes, held_out=True)


def test_images_are_counted_where_the_preset_does_not_say_their_number(run, monkeypatch):
    known = {"rows": {"train": {"num": 77}}, "held_out": 55}
    monkeypatch.setattr(sources, "record", lambda data, seed, run: known)
    made = settings("data.protocol=paper", "data.min_per_label=9")
    assert [
        plan.num_real(Student("resnet8", "nokd", 0, held_out=out), made, run)
        for out in (False, True)
    ] == [77, 55]


def test_pairs_that_a_method_cannot_tell_apart_are_one_student(run):
    pairs = (
        "distill.pairs=[['resnet8', 'resnet8_x0_5', 'resnet20'], ['resnet8', 'resnet8', "
        "'resnet20'], "
        "['resnet8_x2', 'resnet8', 'resnet20']]"
    )
    counts = {
        method: len(plan.method_students(method, settings(pairs), run, Overrides()))
        for method in ("nokd", "nokd+fake", "blkd", "takd")
    }
    assert counts == {"nokd": 2, "nokd+fake": 2, "blkd": 2 * 2, "takd": 3 * 2}


def test_a_call_can_ask_for_one_student_of_the_pairs(run):
    pairs = (
        "distill.pairs=[['resnet8', 'resnet8', 'resnet20'], ['resnet8', 'resnet8', "
        "'resnet8_x0_25']]"
    )
    found = plan.method_students("nokd", settings(pairs), run, Overrides(student="resnet20"))
    assert {one.network for one in found} == {"resnet20"}
    with pytest.raises(
        UserError,
        match=r"--student resnet110: not in distill.pairs \(students: resnet20, resnet8_x0_25\)",
    ):
        plan.method_students("nokd", settings(pairs), run, Overrides(student="resnet110"))


# The chain of TAKD


def test_the_assistant_of_takd_is_a_blkd_student_of_the_same_seed_and_view(run):
    students = plan.method_students("takd+fake", settings(), run, Overrides())
    assert [one.seed for one in students] == [0, 1]
    for one in students:
        assert one.previous == Student(
            "resnet8_x0_5", "blkd", one.seed, "resnet8", view=FakeSelection(rho=0.5)
        )
        assert one.previous.previous is None
    assert plan.method_students("blkd", settings(), run, Overrides())[0].previous is None


def test_takd_depends_on_its_assistant_and_through_it_on_the_teacher(run):
    values = {"method": "takd", "teacher": "resnet8", "assistant": "resnet8_x0_5"}
    before = student(run, **values)
    assistant = plan.student_artefact(
        Student(**{"network": "resnet8_x0_25", "seed": 0, **values}).previous, settings(), run
    )
    inputs = plan.student_artefact(
        Student(network="resnet8_x0_25", seed=0, **values), settings(), run
    ).inputs
    assert inputs["assistant"] == assistant.digest
    assert assistant.inputs["method"] == "blkd"
    assert student(run, **{**values, "assistant": "resnet8"}) != before
    runs.write_json(run.teacher("resnet8"), {"finished": True, "content": "new"})
    assert student(run, **values) != before


# Calls


def test_methods_are_those_of_the_preset_unless_the_call_names_one():
    assert plan.methods(settings(), Overrides()) == ["nokd", "takd+fake"]
    assert plan.methods(settings(), Overrides(method="blkd+fake")) == ["blkd+fake"]


def test_rho_is_that_of_the_call_else_of_the_preset_else_the_selected_one(run):
    changes = ["distill.nfake=50", "distill.relabel=keep"]
    assert plan.distill_views(settings(*changes), run, Overrides(rho="0.25")) == [
        FakeSelection(0.25, True, "keep", 50)
    ]
    assert plan.distill_views(settings(*changes), run, Overrides()) == [
        FakeSelection(0.5, True, "keep", 50)
    ]
    assert plan.distill_views(settings("distill.rho=selected"), run, Overrides())[0].rho == 0.7
    run.rho.unlink()
    with pytest.raises(UserError, match="not found") as caught:
        plan.distill_views(settings("distill.rho=selected"), run, Overrides())
    assert "cgankd select-rho" in caught.value.hint


def test_rho_none_trains_without_fakes(run):
    for one in plan.method_students("nokd+fake", settings(), run, Overrides(rho="none")):
        assert one.view is None
    for one in plan.method_students("nokd+fake", settings("distill.rho=none"), run, Overrides()):
        assert one.view is None
    assert plan.method_students(
        "nokd+fake", settings("distill.rho=none"), run, Overrides(rho="0.5")
    )[0].view == FakeSelection(rho=0.5)


@pytest.mark.parametrize("value", ["0", "1.1", "-0.5", "nan", "inf", "half"])
def test_a_rho_that_is_no_share_is_refused(run, value):
    with pytest.raises(UserError, match=f"--rho {value}: expected a number in") as caught:
        plan.distill_views(settings(), run, Overrides(rho=value))
    assert caught.value.code == 2


def test_a_list_of_numbers_of_fakes_gives_a_row_each_and_zero_is_without(run):
    rows = plan.method_rows("nokd+fake", settings("distill.nfake=[0, 10, 50]"), run, Overrides())
    views = {name: [one.view for one in students] for name, students in rows.items()}
    assert views == {
        "nokd+fake (0)": [None] * 2,
        "nokd+fake (10)": [FakeSelection(rho=0.5, num=10)] * 2,
        "nokd+fake (50)": [FakeSelection(rho=0.5, num=50)] * 2,
    }
    assert list(plan.method_rows("nokd", settings("distill.nfake=[0, 10]"), run, Overrides())) == [
        "nokd"
    ]
    assert rows["nokd+fake (0)"] == plan.method_students("nokd", settings(), run, Overrides()), (
        "the same students"
    )
    assert {
        one.view.num for one in plan.rho_students(settings("distill.nfake=[0, 10, 50]")) if one.view
    } == {50}


def test_a_file_of_fakes_is_used_as_it_is_and_its_content_counts(run, tmp_path):
    path = tmp_path / "fakes.h5"
    call = Overrides(fake=str(path))
    (one, *_) = plan.method_students("nokd+fake", settings(), run, call)
    assert (one.view, one.fakes) == (FakeSelection(subsample=False, relabel="keep"), str(path))
    assert plan.method_students("nokd", settings(), run, call) == plan.method_students(
        "nokd", settings(), run, Overrides()
    )
    with pytest.raises(UserError, match=r"fakes\.h5 not found"):
        plan.student_artefact(one, settings(), run)
    path.write_bytes(b"one")
    first = plan.student_artefact(one, settings(), run).digest
    fakes.identify.cache_clear()
    path.write_bytes(b"two")
    assert plan.student_artefact(one, settings(), run).digest != first


def test_all_seeds_of_sskd_share_the_head_of_their_teacher(run):
    changes = ["distill.sskd.head.steps=7"]
    students = plan.method_students("sskd+fake", settings(*changes), run, Overrides())
    (head,) = plan.previous(students)
    assert (head.method, head.network, head.seed, head.view) == (
        plan.HEAD,
        "resnet8",
        0,
        FakeSelection(rho=0.5),
    )
    made = plan.student_artefact(head, settings(*changes), run)
    assert made.inputs["training"]["steps"] == 7
    assert made.digest in str(plan.student_artefact(students[0], settings(*changes), run).inputs)
    longer = settings("distill.sskd.head.steps=8")
    assert plan.student_artefact(head, longer, run).digest != made.digest
    assert (
        plan.student_artefact(students[0], longer, run).digest
        != plan.student_artefact(students[0], settings(*changes), run).digest
    )


def test_a_method_of_the_call_that_does_not_apply_is_refused(run):
    with pytest.raises(UserError, match=r"--method sskd: sskd needs the table") as caught:
        plan.methods(settings(), Overrides(method="sskd"))
    assert caught.value.code == 2


# The ablation


def test_each_row_of_the_ablation_adds_one_step(run):
    rows = plan.ablation_students(settings("distill.nfake=50"), run, Overrides(ablation=True))
    views = {name: students[0].view and asdict(students[0].view) for name, students in rows.items()}
    assert views == {
        "nokd": None,
        "raw fakes": {"rho": 1.0, "subsample": False, "relabel": "keep", "num": 50, "bins": 1},
        "+ subsampling": {"rho": 1.0, "subsample": True, "relabel": "keep", "num": 50, "bins": 1},
        "+ filter": {"rho": 0.5, "subsample": True, "relabel": "keep", "num": 50, "bins": 1},
        "+ relabel": {"rho": 0.5, "subsample": True, "relabel": "hard", "num": 50, "bins": 1},
    }
    assert all([one.seed for one in students] == [0, 1] for students in rows.values())
    full = plan.method_students("nokd+fake", settings("distill.nfake=50"), run, Overrides())
    assert rows["+ relabel"] == full


def test_search_methods_and_ablation_filter_within_the_same_ranges_of_labels(run):
    changes = ["distill.filter_bins=9", "distill.relabel=unclipped"]
    asked = preset.load("digits-angle", changes)
    (search, *_) = [one.view for one in plan.rho_students(asked) if one.view]
    (view,) = plan.distill_views(asked, run, Overrides(rho="0.7"))
    rows = plan.ablation_students(asked, run, Overrides(rho="0.7", ablation=True))
    assert search == view == FakeSelection(0.7, relabel="unclipped", bins=9)
    assert rows["+ relabel"][0].view == view
    assert rows["+ filter"][0].view == FakeSelection(0.7, relabel="keep", bins=9)


def test_labels_to_generate_outside_the_range_are_refused_where_it_is_known():
    asked = preset.load("digits-angle", ["generate.labels=[0, 90, 90.5, -3]"])
    angle = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    with pytest.raises(
        UserError, match=r"generate.labels: 90.5 \(and 1 more\) lies outside \[0, 90\]"
    ) as caught:
        preset.check_labels(asked, angle)
    assert caught.value.code == 2
    preset.check_labels(asked, None)
    preset.check_labels(asked, {**angle, "min": -3.0, "max": 90.5})
    preset.check_labels(settings(), {"kind": "class", "classes": ["a"]})


def test_the_ablation_is_one_artefact_beside_those_of_the_methods(run):
    (made,) = plan.artefacts("distill", settings(), run, Overrides(ablation=True))
    assert made.record == run.root / "distill" / "ablation.json"
    assert not made.owns_folder
    assert {artefact.record.name for artefact in plan.artefacts("distill", settings(), run)} == {
        "nokd.json",
        "takd+fake.json",
    }


def test_an_ablation_without_fakes_is_refused_in_its_own_words(run):
    with pytest.raises(UserError, match="ablation"):
        plan.artefacts("distill", settings("distill.rho=none"), run, Overrides(ablation=True))


def test_the_pool_names_every_command_whose_networks_are_missing(tmp_path):
    with pytest.raises(
        UserError, match="networks that draw and judge fakes are not there"
    ) as caught:
        plan.pool(settings(), RunFolder(tmp_path))
    assert caught.value.code == 65
    assert (
        caught.value.hint
        == "run `cgankd train-gan`, `cgankd train-teacher`, `cgankd fit-dre` first"
    )
