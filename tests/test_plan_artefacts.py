"""What stages make: what changes the digest of an artefact, what does not, and what is missing."""

import pytest
from planning import digests, job

from cgankd import plan, preset, runs
from cgankd.errors import UserError
from cgankd.fakes import FakeSelection
from cgankd.runs import RunFolder

MADE_FROM = {
    "train-gan": [
        "gan.steps=77", "gan.width=999", "gan.diffaugment=['cutout', 'color']", "seed=1",
        "data.num_train=130",
    ],
    "train-teacher": [
        "teacher.steps=77", "teacher.augment=['flip']", "seed=1", "data.num_validation=130",
    ],
    "fit-dre": [
        "dre.steps=77", "dre.penalty=0.2345", "dre.features.steps=77", "seed=1", "data.size=64",
    ],
    "generate": [
        "generate.per_label=77", "generate.block=34", "generate.bound_quantile=0.8765", "seed=1",
    ],
    "select-rho": [
        "rho.grid=[0.5]", "rho.seeds=[0]", "distill.steps=77", "distill.relabel=keep", "seed=1",
    ],
    "distill": [
        "distill.steps=77", "distill.seeds=[0]", "distill.batch=9", "seed=1", "data.num_train=130",
    ],
}  # fmt: skip
NOT_MADE_FROM = {
    "train-gan": [
        "teacher.steps=77", "dre.steps=77", "generate.block=34", "distill.steps=77", "name=other",
    ],
    "train-teacher": [
        "gan.steps=77", "distill.steps=77", "rho.grid=[0.1]", "dre.penalty=3.5",
    ],
    "fit-dre": ["teacher.steps=77", "generate.per_label=77", "distill.steps=77"],
    "generate": [
        "gan.steps=77", "dre.steps=77", "teacher.steps=77", "distill.steps=77", "rho.seeds=[5]",
    ],
    "select-rho": [
        "gan.steps=77", "generate.per_label=77", "distill.seeds=[5]", "distill.methods=['blkd']",
        "distill.temperature=2.5", "distill.label_weight=0.12", "distill.rho=0.9",
    ],
    "distill": [
        "distill.methods=['takd+fake', 'nokd']", "rho.grid=[0.1]", "rho.seeds=[9]", "gan.width=998",
    ],
}  # fmt: skip
FOR_READERS = ["report.columns=33", "paper.note=quoted", "paper.nfake={counts=[0], errors={}}"]


@pytest.mark.parametrize("stage", MADE_FROM)
def test_what_an_artefact_is_made_from_changes_its_digest(finished_run, stage):
    before = digests(stage, job(finished_run))
    found = [digests(stage, job(finished_run, change)) for change in MADE_FROM[stage]]
    assert all(len(now) == len(before) and not set(now) & set(before) for now in found)
    assert len({tuple(now) for now in found}) == len(MADE_FROM[stage])


@pytest.mark.parametrize("stage", NOT_MADE_FROM)
def test_what_an_artefact_is_not_made_from_leaves_its_digest(finished_run, stage):
    before = set(digests(stage, job(finished_run)))
    for change in [*NOT_MADE_FROM[stage], *FOR_READERS]:
        assert set(digests(stage, job(finished_run, change))) == before, change


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [
        ("fit-dre", {"gan"}),
        ("generate", {"gan", "dre", "teacher"}),
        ("select-rho", {"pool"}),
        ("distill", {"pool", "teacher"}),
    ],
)
def test_the_content_of_an_input_changes_the_digest_and_that_of_nothing_else(
    finished_run, stage, inputs
):
    records = {
        "gan": finished_run.gan,
        "dre": finished_run.dre,
        "teacher": finished_run.teacher("resnet8"),
        "pool": finished_run.pool,
        "other": finished_run.teacher("resnet8_x2"),
    }
    before = digests(stage, job(finished_run))
    for name, record in records.items():
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new", "time": "later"})
        assert (digests(stage, job(finished_run)) != before) == (name in inputs), name
        runs.write_json(record, {**old, "time": "later"})
        assert digests(stage, job(finished_run)) == before


def test_each_teacher_is_an_artefact_that_does_not_depend_on_the_others(finished_run):
    one, two = plan.teachers(job(finished_run))
    assert one.digest != two.digest
    assert [one.record, two.record] == [
        finished_run.teacher("resnet8"),
        finished_run.teacher("resnet8_x2"),
    ]
    (alone,) = plan.teachers(job(finished_run, "teacher.networks=['resnet8']"))
    assert alone.digest == one.digest


def test_a_missing_input_names_the_command_that_makes_it(finished_run):
    for stage, record, command in (
        ("fit-dre", finished_run.gan, "train-gan"),
        ("generate", finished_run.dre, "fit-dre"),
        ("generate", finished_run.teacher("resnet8"), "train-teacher"),
        ("select-rho", finished_run.pool, "generate"),
        ("distill", finished_run.pool, "generate"),
    ):
        old = record.read_bytes()
        record.unlink()
        with pytest.raises(UserError, match="not found") as caught:
            digests(stage, job(finished_run))
        assert (caught.value.code, f"cgankd {command}" in caught.value.hint) == (65, True)
        record.write_bytes(old)


def test_a_missing_chain_is_named_whole_and_in_its_order(tmp_path):
    with pytest.raises(plan.NotBuilt) as caught:
        plan.check_inputs("generate", job(RunFolder(tmp_path)))
    assert caught.value.code == 65
    named = "`cgankd train-gan`, `cgankd train-teacher`, `cgankd fit-dre` first, in this order"
    assert caught.value.hint.endswith(named)
    assert "`cgankd run`" in caught.value.hint


# The scores of fakes


def test_the_scores_of_fakes_depend_on_their_table_the_grid_and_their_inputs_alone(finished_run):
    def digest(*changes: str) -> str:
        return plan.evaluation(job(finished_run, *changes, name="digits-angle")).digest

    before = digest()
    for change in (
        "evaluate.radius=4.0",
        "evaluate.centers=8",
        "evaluate.types.steps=7",
        "evaluate.student=none",
        "evaluate.student=resnet8",
        "evaluate.steps=7",
        "distill.steps=7",
        "rho.grid=[0.6, 1.0]",
        "rho.seeds=[5]",
        "seed=1",
    ):
        assert digest(change) != before, change
    for change in (
        "rho.grid=[1.0, 0.8, 0.7]",
        "rho.seeds=[0, 5]",
        "distill.seeds=[7]",
        "distill.fake_share=0.75",
        "gan.steps=7",
        "report.columns=33",
    ):
        assert digest(change) == before, change
    for record, counts in (
        (finished_run.dre, True),
        (finished_run.pool, True),
        (finished_run.teacher("resnet8"), True),
        (finished_run.search, False),
    ):
        old = runs.read_json(record)
        runs.write_json(record, {**old, "content": "new"})
        assert (digest() != before) == counts, record
        runs.write_json(record, old)


def test_the_ends_of_the_grid_are_evaluated_with_every_step_before():
    selections = plan.evaluated(preset.load("digits-angle", ["rho.grid=[0.5, 1.0, 0.7]"]))
    assert selections == {
        "raw fakes": FakeSelection(subsample=False, relabel="keep"),
        "+ subsampling": FakeSelection(relabel="keep"),
        "+ filter, relabel (rho = 1)": FakeSelection(rho=1.0),
        "+ filter, relabel (rho = 0.5)": FakeSelection(rho=0.5),
    }
    assert len(plan.evaluated(preset.load("digits-angle", ["rho.grid=[0.5]"]))) == 3
