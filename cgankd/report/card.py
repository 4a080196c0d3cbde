"""The card of a network, for who uses it: what it answers, how it was made and how well it does.

It is Markdown, as hubs of models show it; what is not known is left out.
"""

from typing import Any

from cgankd.label import Label
from cgankd.report.blocks import Block, Code, Heading, Table, Text, markdown
from cgankd.report.comparison import compare
from cgankd.report.facts import Member
from cgankd.report.records import RunRecords

HEADER = "---\nlibrary_name: cgankd\ntags:\n- knowledge-distillation\n- cgankd\n---\n\n"
MAX_PARTS = 50  # of the label that are listed


def card(
    label: Label,
    size: int,
    parameters: int,
    *,
    records: RunRecords | None = None,
    student: str = "",
    file: str = "",
    exported: dict[str, Any] | None = None,
) -> str:
    """The card of a student of a run, by its folder's name, of another network of it, or of one
    whose run is not known; `file` is what is loaded, an exported one with what was measured of it.
    """
    members = [one for one in records.members if one.student == student] if records else []
    member = members[0] if members else None
    name = f"{member.network} ({member.row})" if member else file or "A network"
    blocks: list[Block] = [
        Heading(f"{name}{f', {records.preset.name}' if records else ''}", 1),
        *_answers(label, size, parameters),
        *(_made(records, member) if records else []),
        *(_scores(records, member) if records and member else []),
        *(_exported(exported) if exported else []),
        *_use(label, file or student),
        *_limits(label),
    ]
    return HEADER + markdown(blocks)


def _answers(label: Label, size: int, parameters: int) -> list[Block]:
    if label.classes:
        shown = ", ".join(label.classes[:MAX_PARTS])
        more = ", ..." if len(label.classes) > MAX_PARTS else ""
        what = f"which of {len(label.classes)} classes it shows: {shown}{more}"
    else:
        what = f"a number from {label.low:g} to {label.high:g} {label.unit}".rstrip()
    return [
        Text(
            f"It says of an image {what}. Images are made RGB, cut to the square in their middle "
            f"and resized to {size} x {size} pixels, antialiased (bicubic). It has {parameters:,} "
            "parameters."
        )
    ]


def _made(records: RunRecords, member: Member | None) -> list[Block]:
    data, settings = records.data, records.preset.data
    facts = {"data": f"source {settings.source}, {settings.protocol} protocol"}
    if data:
        counts = [f"{part.num:,} {split}" for split, part in data.rows.items()]
        facts["images"] = ", ".join(counts)
        facts["digest of the data"] = data.content
    if member:
        facts |= _method(records, member)
    columns = {"": list(facts), "what": list(facts.values())}
    return [Heading("How it was made", 2), Table(columns, names=2)]


def _method(records: RunRecords, member: Member) -> dict[str, str]:
    networks = {"teacher": member.teacher, "assistant": member.assistant}
    facts = {"method": member.row, **{key: name for key, name in networks.items() if name}}
    if member.fakes:
        origin = member.file or "the GAN's own"
        kept = f", the share rho = {member.rho:g} kept" if member.rho is not None else ""
        facts["fakes"] = f"{member.fakes:,}, {origin}{kept}"
    if made := records.students.get(member.student):
        facts["made by"] = f"cgankd {made.cgankd}, torch {made.made_on.get('torch', '')}"
        facts["digest"] = made.content
    return {**facts, "training": f"{member.steps:,} steps, seed {member.seed}"}


def _scores(records: RunRecords, member: Member) -> list[Block]:
    scored = next(made for made in records.methods.values() if member in made.members)
    alike = [one for one in compare(records.members) if _is_of(one, member)]
    unit = f" {scored.unit}".rstrip()
    text = (
        f"Test {scored.metric}: {member.test:.3g}{unit} on {scored.rows:,} images that nothing was "
        f"trained or chosen on; validation {member.validation:.3g}{unit}."
    )
    for row in alike:
        if row["deviation"] is not None:
            text += (
                f" Over {row['seeds']} seeds of the same training the test {scored.metric} is "
                f"{row['mean']:.3g} ± {row['deviation']:.2g}{unit} (mean ± deviation)."
            )
    blocks: list[Block] = [Heading("How well it does", 2), Text(text)]
    if parts := member.parts[:MAX_PARTS]:
        errors = ["-" if part.error is None else f"{part.error:.3g}" for part in parts]
        columns = {
            "label": [part.label for part in parts],
            "test images": [f"{part.images:,}" for part in parts],
            f"{scored.metric}{f' ({scored.unit})' if scored.unit else ''}": errors,
        }
        blocks.append(Table(columns))
    return blocks


def _is_of(row: dict[str, Any], member: Member) -> bool:
    keys = (member.row, member.teacher, member.assistant, member.network)
    return (row["method"], row["teacher"], row["assistant"], row["student"]) == keys


def _exported(facts: dict[str, Any]) -> list[Block]:
    text = (
        f"On {facts['images']} its answers differ from those of the network that it was exported "
        f"from by at most {facts['difference']:.1g}."
    )
    if small := facts.get("int8"):
        unit = f" {small['unit']}".rstrip()
        text = (
            f"Its layers compute in 8 bits. On {small['rows']:,} validation images the "
            f"{small['metric']} is {small['int8']:.4g}{unit}, in fp32 {small['fp32']:.4g}{unit}."
        )
    return [Heading("The file", 2), Text(text)]


def _use(label: Label, file: str) -> list[Block]:
    meaning = "places in network.label.classes" if label.classes else f"values in {label.unit}"
    lines = [
        "import cgankd",
        f"network = cgankd.load({file!r})",
        f"network.predict(images)  # uint8 (N, 3, S, S), RGB -> {meaning}",
    ]
    command = f"Or, of image files: cgankd predict {file} photo.jpg"
    return [Heading("Use", 2), Code("\n".join(lines)), Text(command)]


def _limits(label: Label) -> list[Block]:
    unknown = (
        "An image of none of the classes is given one all the same, and a confidence is what the "
        "network says, not how often it is right."
        if label.classes
        else "Values are not clipped to the range, and say nothing of how sure they are."
    )
    return [
        Heading("Limits", 2),
        Text(
            "It was trained on few images, and how well it does was measured on images like them: "
            f"others (cameras, light, framing) have to be measured anew (cgankd score). {unknown}"
        ),
        Heading("Licence", 2),
        Text(
            "Which licence these weights have is for those to say who trained them; the licence of "
            "the images may bind them."
        ),
    ]
