"""Whatever the operating system or a stranger's input comes up with ends in one message and its
code, never in a traceback.
"""

import errno
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import faults_toy as toy
import pytest
import torch

from cgankd import console
from cgankd.errors import UserError, explained, storage_errors
from cgankd.models import published
from cgankd.runs import file_digest


def cgankd(
    *arguments: str, folder: Path, shell: str = "", **options
) -> subprocess.CompletedProcess:
    """The command in a process of its own, with redirections of the shell."""
    environment = {**os.environ, **options.pop("env", {})}
    line = ["bash", "-c", f'exec "$0" -m cgankd "$@" {shell}', sys.executable, *arguments]
    return subprocess.run(
        line, cwd=folder, capture_output=True, errors="surrogateescape", env=environment, **options
    )


# Errors of the operating system


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 74),
        (errno.EDQUOT, 74),
        (errno.EFBIG, 74),
        (errno.EIO, 74),
        (errno.EACCES, 73),
        (errno.EROFS, 73),
        (errno.ENAMETOOLONG, 73),
        (errno.ENOTDIR, 73),
        (errno.ELOOP, 73),
    ],
)
def test_what_cannot_be_written_has_the_code_of_its_reason(tmp_path, number, code):
    with pytest.raises(UserError, match="x") as caught, storage_errors(tmp_path / "x", 1234):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == code
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    assert ("1,234 bytes needed" in str(caught.value)) == full


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "shut"), 65),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 65),
        (OSError(errno.ENOSPC, "No space left on device"), 74),
        (OSError(errno.EIO, "Input/output error", "x"), 74),
        (OSError(errno.EROFS, "Read-only file system", "x"), 73),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 65),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 65),
        (ValueError("embedded null byte"), 65),
        (RecursionError("maximum recursion depth exceeded"), 65),
        (RuntimeError("Could not determine home directory."), 65),
        (MemoryError(), 71),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 71),
        (torch.OutOfMemoryError("CUDA out of memory"), 71),
    ],
)
def test_every_error_of_the_system_is_explained_with_its_code(error, code):
    found = explained(error)
    assert found is not None
    assert found.code == code


def test_a_fault_of_the_program_is_not_explained_away():
    assert explained(ValueError("broadcast")) is None
    assert explained(RuntimeError("shape mismatch")) is None
    assert explained(KeyError("rho")) is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["train-gan", "--out", "x" * 300], 73),
        (["train-gan", "--out", "file/below"], 73),
        (["train-gan", "--out", "loop/below"], 73),
        (["train-gan", "--out", "a\udcff"], 2),
        (["train-gan", "-p", "x" * 300 + ".toml"], 65),
        (["train-gan", "-p", "deep.toml"], 2),
        (["train-gan", "-p", "latin.toml"], 2),
        (["train-gan", "-s", "seed=" + "9" * 90_000], 2),
        (["train-gan", "-s", "seed=0x" + "f" * 90_000], 2),
        (["train-gan", "-s", "gan.steps=1e999"], 2),
        (["train-gan", "-s", 'data.path="a\\u0000b"', "-s", "data.source='h5'"], 2),
        (["train-gan", "-s", f"data.path='{'x' * 300}'", "-s", "data.source='h5'"], 65),
        (["data", "inspect", "x" * 300], 65),
        (["data", "verify", "file/below"], 65),
        (["report", "x" * 300], 65),
        (["distill", "--fake", "x" * 300], 65),
        (["train-gan", "--from", "x" * 300], 65),
        (["generate", "--export", "x" * 300], 65),
    ],
)
def test_strange_names_and_settings_get_one_message_and_no_traceback(tmp_path, arguments, code):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latin.toml").write_bytes("name = 'é'".encode("latin-1"))
    for number in range(60):
        extended = "digits" if number == 59 else f"deep{number + 1}.toml"
        name = "deep.toml" if number == 0 else f"deep{number}.toml"
        (tmp_path / name).write_text(f"extends = '{extended}'")
    ended = toy.call(*[word.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
                       for word in arguments], folder=tmp_path)  # fmt: skip
    assert "Traceback" not in ended.err, ended.err[-2000:]
    assert ended.code == code, ended.err[-500:]
    assert ended.err.startswith("error: ") or "Error" in ended.err
    assert len(ended.err) < 100_000


@pytest.mark.parametrize("out", ["shut", "shut/run"])
def test_a_folder_that_may_not_be_written_is_refused_before_anything_is_trained(tmp_path, out):
    toy.write_preset(tmp_path)
    (tmp_path / "shut").mkdir(mode=0o555)
    command = toy.on("train-teacher", out=out)
    ended = toy.call(*command, folder=tmp_path, setup=toy.without_privileges)
    assert ended.code == 73, ended.err
    assert "cannot be written (Permission denied)" in ended.err
    assert list((tmp_path / "shut").iterdir()) == []


@pytest.mark.parametrize("arguments", [["data", "verify", "shut/x.h5"], ["run", "-p", "shut.toml"]])
def test_what_may_not_be_read_is_bad_input(tmp_path, arguments):
    (tmp_path / "shut").mkdir(mode=0o000)
    (tmp_path / "shut.toml").write_text("extends = 'digits'")
    (tmp_path / "shut.toml").chmod(0o000)
    ended = toy.call(*arguments, folder=tmp_path, setup=toy.without_privileges)
    assert ended.code == 65, ended.err
    assert "Permission denied" in ended.err
    assert "Traceback" not in ended.err


# Standard streams


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["> /dev/full", ">&-"])
def test_a_result_that_cannot_be_written_ends_with_the_code_of_storage(tmp_path, shell):
    for arguments in (["presets", "ls"], ["--version"]):
        ended = cgankd(*arguments, folder=tmp_path, shell=shell)
        assert ended.returncode == 74
        assert "the result cannot be written" in ended.stderr
        assert ended.stderr.count("\n") <= 2
    ended = cgankd("--help", folder=tmp_path, shell=shell)
    assert "Traceback" not in ended.stderr
    assert ended.returncode in (0, 74)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["2> /dev/full", "2>&-"])
def test_notes_that_cannot_be_written_are_no_reason_to_end(tmp_path, shell):
    ended = cgankd("presets", "ls", folder=tmp_path, shell=shell)
    assert ended.returncode == 0
    assert "digits" in ended.stdout
    assert cgankd("train-gan", "-p", "nothing", folder=tmp_path, shell=shell).returncode == 2


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    ended = cgankd("presets", "show", "digits", folder=tmp_path, shell="| head -1")
    assert ended.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(tmp_path, encoding):
    toy.write_preset(tmp_path)
    (tmp_path / "toy.toml").rename(tmp_path / "t.toml")
    name = "数/\u20ac.toml"
    ended = cgankd("train-gan", "-p", name, folder=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert ended.returncode == 2
    assert "\\u6570/\\u20ac.toml not found" in ended.stderr
    ended = cgankd("presets", "cp", "digits", "é.toml", folder=tmp_path,
                   env={"PYTHONIOENCODING": encoding})  # fmt: skip
    assert "Traceback" not in ended.stderr
    ended = cgankd("--help", folder=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert ended.returncode == 0, ended.stderr


def test_no_home_folder_is_no_traceback(tmp_path):
    code = (
        "import os, pwd, sys; os.environ.pop('HOME', None); "
        "pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid)); "
        "sys.argv = ['cgankd', 'data', 'inspect', '~/x']; "
        "from cgankd.__main__ import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert ended.returncode == 65
    assert "Traceback" not in ended.stderr


# What a terminal would act on


def test_units_and_names_with_markup_are_shown_as_they_are(capsys):
    console.table("validation error ([mm])", ["[bold]", "[/x]"], [["[red]a[/b]", "\\"]])
    shown = capsys.readouterr().err
    for text in ("([mm])", "[bold]", "[/x]", "[red]a[/b]"):
        assert text in shown


def test_control_characters_reach_no_terminal(capsys):
    text = "a\x1b[31mb\x07\x9b1mc\u202ed\r"
    console.warn(text)
    console.error(text, text)
    console.table(text, [text], [[text]])
    shown = capsys.readouterr().err
    for character in "\x1b\x07\x9b\u202e\r":
        assert character not in shown
    assert "\\x1b[31m" in shown
    assert console.visible("two\nlines\tand äöü") == "two\nlines\tand äöü"


# Published weights


def checkpoint(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def test_a_flipped_bit_anywhere_in_a_file_of_weights_is_noticed(tmp_path):
    path = checkpoint(tmp_path / "w.pth", {"a.weight": torch.arange(4000.0)})
    data = path.read_bytes()
    (start,) = [
        entry.header_offset
        for entry in zipfile.ZipFile(io.BytesIO(data)).infolist()
        if entry.filename.endswith("data/0")
    ]
    for place in range(start + 200, start + 16_000, 1_571):
        flipped = bytearray(data)
        flipped[place] ^= 4
        path.write_bytes(flipped)
        with pytest.raises(UserError, match="not readable as tensors"):
            published.read(path, file_digest(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(4).to(torch.float8_e4m3fn),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: torch.zeros(4, dtype=torch.complex64),
        lambda: torch.zeros(4, device="meta"),
        lambda: torch.zeros(4).to_sparse(),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse")
def test_tensors_that_are_no_plain_numbers_are_refused(tmp_path, make):
    path = checkpoint(tmp_path / "w.pth", {"a.weight": make()})
    with pytest.raises(UserError):
        published.read(path, file_digest(path))


def test_a_weight_that_is_not_finite_in_the_precision_it_is_used_in_is_refused():
    from cgankd.models import architectures, make_network

    architecture = architectures.cnn("resnet8", 32, 10, architectures.UNCHANGED)
    own = make_network(architecture).state_dict()
    key = next(key for key, value in own.items() if value.ndim == 4)
    assert torch.tensor(1e300, dtype=torch.float64).isfinite()
    layout = next(iter(published.LAYOUTS.values()))

    def pairs(own, state, layout, where):
        return [(key, key)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "_pairs", pairs)
        state = {key: torch.full(own[key].shape, 1e300, dtype=torch.float64)}
        with pytest.raises(UserError, match="is not finite in float32"):
            published._fill(state, layout, architecture, "w.pth")
