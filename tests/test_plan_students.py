"""Students: what changes the digest of one, and which of those that are asked for are one."""

import pytest
from planning import digest, digests, job, spec, student

from cgankd import fakes, plan, runs, sources
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection
from cgankd.job import Job
from cgankd.plan import HEAD, StudentPlanner, StudentSpec
from cgankd.plan.estimate import num_real
from cgankd.plan.specs import method_rows, search_rows

HALF = FakeSelection(rho=0.5)
BLKD = {"method": "blkd", "teacher": "resnet8"}
TAKD = {"method": "takd", "teacher": "resnet8", "assistant": "resnet8_x0_5"}
PAIRS = (
    "distill.pairs=[['resnet8', 'resnet8_x0_5', 'resnet20'], ['resnet8', 'resnet8', 'resnet20'], "
    "['resnet8_x2', 'resnet8', 'resnet20']]"
)


def of_method(method: str, job: Job) -> list[StudentSpec]:
    """The students of a method, of all its rows."""
    return [one for row in method_rows(method, job).values() for one in row]


def of_search(job: Job) -> list[StudentSpec]:
    """The students of the search for rho, of all its rows."""
    return [one for row in search_rows(job.preset).values() for one in row]


def planned(specs: list[StudentSpec], job: Job) -> set[str]:
    """The digests of students."""
    return {StudentPlanner(job).plan(one).artefact.digest for one in specs}


# What a student is made from


def test_a_student_depends_on_what_its_method_uses_and_on_nothing_else(finished_run):
    kinds = {
        "nokd": {},
        "nokd+fake": {"selection": HALF},
        "blkd": BLKD,
        "blkd+fake": {**BLKD, "selection": HALF},
        "takd": TAKD,
        "blkd+uda": {"method": "blkd+uda", "teacher": "resnet8"},
    }
    everything, nobody = frozenset(kinds), frozenset()
    with_fakes, distilled = {"nokd+fake", "blkd+fake"}, {"blkd", "blkd+fake", "takd"}
    uda = {"blkd+uda"}
    uses = {
        **dict.fromkeys(
            ["distill.steps=77", "distill.learning_rate=0.31", "distill.augment=['flip']"],
            everything,
        ),
        **dict.fromkeys(["seed=1", "data.num_train=130"], everything),
        "distill.fake_share=0.26": with_fakes,
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
    before = {name: digest(job(finished_run), **values) for name, values in kinds.items()}
    assert len(set(before.values())) == len(kinds)
    for change, affected in uses.items():
        changed = {
            name
            for name, values in kinds.items()
            if digest(job(finished_run, change), **values) != before[name]
        }
        assert changed == affected, change


def test_every_part_of_a_selection_and_of_a_student_changes_its_digest(finished_run):
    asked = job(finished_run)
    selections = [
        FakeSelection(rho=0.5),
        FakeSelection(rho=0.6),
        FakeSelection(rho=0.5, subsample=False),
        FakeSelection(rho=0.5, relabel="keep"),
        FakeSelection(rho=0.5, num=100),
        None,
    ]
    assert len({digest(asked, selection=one) for one in selections}) == len(selections)
    parts = [{}, {"network": "resnet8"}, {"seed": 1}, BLKD, {**BLKD, "teacher": "resnet8_x2"}]
    assert len({digest(asked, **part) for part in parts}) == len(parts)


def test_the_head_of_students_changes_them_and_no_teacher_and_no_head_of_sskd(finished_run):
    def ask(*changes: str) -> Job:
        return job(finished_run, *changes)

    plain = digest(ask())
    assert len({plain, digest(ask("distill.head=8")), digest(ask("distill.head=9"))}) == 3
    assert digest(ask("teacher.head=8")) == plain
    sskd = ["distill.sskd.head.steps=3", "distill.sskd.head.batch=16"]
    shared = {"method": HEAD, "network": "resnet8", "teacher": "resnet8"}
    assert digest(ask(*sskd), **shared) == digest(ask(*sskd, "distill.head=8"), **shared)
    teachers = digests("train-teacher", ask())
    assert digests("train-teacher", ask("teacher.head=8")) != teachers
    assert digests("train-teacher", ask("distill.head=8")) == teachers


def test_the_budget_of_epochs_changes_a_student(finished_run):
    epochs = ["distill.budget=epochs", "distill.epochs=5"]
    asked = [[], epochs, [epochs[0], "distill.epochs=6"]]
    assert len({digest(job(finished_run, *changes)) for changes in asked}) == 3


def test_contents_of_teacher_and_pool_change_only_the_students_that_use_them(finished_run):
    kinds = {"nokd": {}, "blkd": BLKD, "nokd+fake": {"selection": HALF}}
    asked = job(finished_run)
    before = {name: digest(asked, **values) for name, values in kinds.items()}
    for record, affected in (
        (finished_run.teacher("resnet8"), {"blkd"}),
        (finished_run.pool, {"nokd+fake"}),
        (finished_run.gan, set()),
    ):
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new"})
        changed = {name for name in kinds if digest(asked, **kinds[name]) != before[name]}
        assert changed == affected
        runs.write_json(record, old)


def test_a_student_is_named_after_what_it_is_and_its_digest(finished_run):
    asked = job(finished_run)
    taught = student(asked, seed=3, selection=HALF, **BLKD).artefact
    assert taught.folder.parent == finished_run.root / "students"
    assert taught.folder.name == f"resnet8_x0_25-blkd+fake-seed3-{taught.digest[:8]}"
    plain = student(asked, seed=3).artefact
    assert plain.folder.name == f"resnet8_x0_25-nokd-seed3-{plain.digest[:8]}"


# The search


def test_students_of_the_search_are_those_of_distill(finished_run):
    asked = job(finished_run)
    searched = planned(of_search(asked), asked)
    distilled = planned(of_method("nokd+fake", asked), asked)
    assert len(distilled) == 2
    assert distilled < searched, "rho = 0.5 with seeds 0 and 1 was trained in the search"
    alone = planned(of_method("nokd", asked), asked)
    assert len(alone) == 2
    assert alone < searched


def test_the_search_trains_each_rho_and_no_fakes_for_each_network_and_seed(finished_run):
    pairs = (
        "distill.pairs=[['resnet8', 'resnet8', 'resnet20'], "
        "['resnet8_x2', 'resnet8', 'resnet8_x0_25'], ['resnet8_x2', 'resnet8', 'resnet20']]"
    )
    asked = job(finished_run, pairs, "distill.nfake=50", "distill.relabel=keep")
    students = of_search(asked)
    assert len(students) == len(set(students)) == 3 * 2 * 2
    assert {one.selection and one.selection.rho for one in students} == {None, 0.5, 1.0}
    assert {one.network for one in students} == {"resnet20", "resnet8_x0_25"}
    chosen = [one.selection for one in students if one.selection]
    assert {(selection.num, selection.relabel) for selection in chosen} == {(50, "keep")}
    assert {one.method for one in students} == {"nokd"}


def test_under_the_published_protocol_the_search_alone_leaves_out_the_rows_it_chooses_on(
    finished_run,
):
    paper, clean = job(finished_run, "data.protocol=paper"), job(finished_run)
    searched, wanted = of_search(paper), of_method("nokd+fake", paper)
    assert [one.held_out for one in searched] == [True] * 6
    assert [one.held_out for one in [*wanted, *of_search(clean)]] == [False] * 8
    assert not planned(searched, paper) & planned(wanted, paper)
    data = paper.preset.data
    assert num_real(searched[0], paper) == data.num_train
    assert num_real(wanted[0], paper) == data.num_train + data.num_validation


def test_repeated_rows_are_in_the_digest_of_students_without_the_validation_rows(
    finished_run, monkeypatch
):
    monkeypatch.setattr(sources, "identify", lambda data, seed, run: "all training rows suffice")
    paper = job(finished_run, "data.protocol=paper")
    repeated = job(finished_run, "data.protocol=paper", "data.min_per_label=9")
    assert digest(paper) == digest(repeated)
    assert digest(paper, held_out=True) != digest(repeated, held_out=True)


def test_images_are_counted_where_the_preset_does_not_say_their_number(finished_run, monkeypatch):
    known = {"rows": {"train": {"num": 77}}, "held_out": 55}
    monkeypatch.setattr(sources, "record", lambda data, seed, run: known)
    asked = job(finished_run, "data.protocol=paper", "data.min_per_label=9")
    assert [num_real(spec(held_out=out), asked) for out in (False, True)] == [77, 55]


# Pairs


def test_pairs_that_a_method_cannot_tell_apart_are_one_student(finished_run):
    counts = {
        method: len(of_method(method, job(finished_run, PAIRS)))
        for method in ("nokd", "nokd+fake", "blkd", "takd")
    }
    assert counts == {"nokd": 2, "nokd+fake": 2, "blkd": 2 * 2, "takd": 3 * 2}


def test_a_call_can_ask_for_one_student_of_the_pairs(finished_run):
    pairs = (
        "distill.pairs=[['resnet8', 'resnet8', 'resnet20'], "
        "['resnet8', 'resnet8', 'resnet8_x0_25']]"
    )
    found = of_method("nokd", job(finished_run, pairs, student="resnet20"))
    assert {one.network for one in found} == {"resnet20"}
    with pytest.raises(
        UserError,
        match=r"--student resnet110: not in distill.pairs \(students: resnet20, resnet8_x0_25\)",
    ):
        of_method("nokd", job(finished_run, pairs, student="resnet110"))


# What has to be trained before


def test_the_assistant_of_takd_is_a_blkd_student_of_the_same_seed_and_selection(finished_run):
    asked = job(finished_run)
    students = of_method("takd+fake", asked)
    assert [one.seed for one in students] == [0, 1]
    for one in students:
        before = StudentSpec(
            "resnet8_x0_5", "blkd", one.seed, "resnet8", selection=HALF, share=0.25
        )
        assert one.spec_before == before
        assert before.spec_before is None
        made = StudentPlanner(asked).plan(one)
        assert made.previous == StudentPlanner(asked).plan(before)
        assert made.previous.previous is None
    assert of_method("blkd", asked)[0].spec_before is None


def test_takd_depends_on_its_assistant_and_through_it_on_the_teacher(finished_run):
    asked = job(finished_run)
    taught = student(asked, **TAKD)
    assistant = taught.previous.artefact
    assert taught.artefact.inputs["assistant"] == assistant.digest
    assert assistant.inputs["method"] == "blkd"
    assert digest(asked, **{**TAKD, "assistant": "resnet8"}) != taught.artefact.digest
    runs.write_json(finished_run.teacher("resnet8"), {"finished": True, "content": "new"})
    assert digest(asked, **TAKD) != taught.artefact.digest


def test_all_seeds_of_sskd_share_the_head_of_their_teacher(finished_run):
    def ask(steps: int) -> Job:
        changes = [f"distill.sskd.head.steps={steps}", "distill.methods=['sskd+fake']"]
        return job(finished_run, *changes)

    def plans(steps: int):
        (table,) = plan.distilled(ask(steps))
        return plan.to_train(table.students)

    (head,), students = plans(7)
    assert (head.method, head.network, head.seed, head.selection) == (HEAD, "resnet8", 0, HALF)
    assert [one.previous for one in students] == [head, head]
    assert head.artefact.inputs["training"]["steps"] == head.num_steps(1000, 500) == 7
    assert students[0].artefact.inputs["assistant"] == head.artefact.digest
    (longer,), others = plans(8)
    assert longer.artefact.digest != head.artefact.digest
    assert others[0].artefact.digest != students[0].artefact.digest


def test_a_student_that_is_asked_for_twice_is_trained_once(finished_run):
    tables = plan.distilled(job(finished_run, "distill.methods=['takd', 'blkd', 'nokd']"))
    asked = [one for table in tables for one in [*table.students, *table.students]]
    before, students = plan.to_train(asked)
    assert [(one.network, one.method, one.seed) for one in before] == [
        ("resnet8_x0_5", "blkd", 0),
        ("resnet8_x0_5", "blkd", 1),
    ]
    assert [(one.method, one.seed) for one in students] == [
        (method, seed) for method in ("takd", "blkd", "nokd") for seed in (0, 1)
    ]


def test_steps_are_those_of_the_settings_or_of_the_epochs_of_all_images(finished_run):
    plain = student(job(finished_run, "distill.steps=9"))
    assert [plain.num_steps(num, 5) for num in (1, 1000)] == [9, 9]
    epochs = ["distill.budget=epochs", "distill.epochs=3", "distill.batch=16"]
    made = student(job(finished_run, *epochs))
    assert [made.num_steps(*num) for num in ((16, 0), (10, 7), (100, 60))] == [3, 6, 30]


# Files of fakes


def test_a_file_of_fakes_is_used_as_it_is_and_its_content_counts(finished_run, tmp_path):
    path = tmp_path / "fakes.h5"
    asked = job(finished_run, fakes=str(path))
    (one, *_) = of_method("nokd+fake", asked)
    assert (one.selection, one.fakes_file) == (
        FakeSelection(subsample=False, relabel="keep"),
        str(path),
    )
    assert of_method("nokd", asked) == of_method("nokd", job(finished_run))
    with pytest.raises(UserError, match=r"fakes\.h5 not found"):
        StudentPlanner(asked).plan(one)
    digests = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        made = StudentPlanner(asked).plan(one).artefact
        assert made.inputs["generate"] == fakes.identify(str(path))
        digests.append(made.digest)
    assert digests[0] != digests[1]
