"""HDF5 files, read as if a stranger had written them and written so that a full disk cannot tear
them.

A file can name other files (links, external storage, virtual data sets), declare far more than it
holds, and ask for filter plug-ins; none of that is followed here. HDF5 itself is C code without
memory safety: files from strangers belong into a sandbox all the same.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cgankd.errors import DATA, UserError
from cgankd.runs import files

MAX_BYTES = 64 << 30  # declared bytes of one data set
MAX_CHUNK = 64 << 20
MAX_ATTRIBUTES = 64
FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, lzf
FAULTS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError)
Arrays = Mapping[str, np.ndarray]
Attributes = Mapping[str, str | int | float]


class Reader:
    """A checked HDF5 file: only plain numeric data sets at its top level can be reached."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"{path} not found", DATA)
        try:
            self._file = h5py.File(path, "r", locking="best-effort")
        except FAULTS as error:
            raise UserError(
                f"{path}: not a readable HDF5 file ({error})", DATA, "make or fetch it again"
            ) from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def attributes(self) -> dict[str, Any]:
        """Numbers and strings attached to the file."""
        try:
            if len(self._file.attrs) > MAX_ATTRIBUTES:
                raise UserError(f"{self.path}: more than {MAX_ATTRIBUTES} attributes", DATA)
            return {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in self._file.attrs.items()
                if isinstance(value, str | np.generic)
            }
        except FAULTS as error:
            raise self._broken("its attributes", error) from error

    def names(self) -> list[str]:
        """What stands at the top level, whether it may be reached or not."""
        try:
            return sorted(self._file.keys())
        except FAULTS as error:
            raise self._broken("its contents", error) from error

    def outline(self, name: str) -> str:
        """What `name` is, for people: type and shape of an array, without reading or following
        anything.
        """
        try:
            if not isinstance(self._file.get(name, getlink=True), h5py.HardLink):
                return "a link"
            data = self._file[name]
            return f"{data.dtype} {data.shape}" if isinstance(data, h5py.Dataset) else "a group"
        except FAULTS as error:
            raise self._broken(name, error) from error

    def dataset(self, name: str, ndim: int, kinds: str) -> h5py.Dataset:
        """The data set `name` with `ndim` dimensions and one of numpy's `kinds` of values (letters:
        u, i, f, b), checked as by `array`.
        """
        data = self.array(name)
        if data.dtype.kind not in kinds or data.ndim != ndim:
            raise UserError(
                f"{self.path}: data set {name} is {data.dtype} with {data.ndim} dimensions, "
                f"expected kind {kinds} with {ndim}",
                DATA,
            )
        return data

    def array(self, name: str) -> h5py.Dataset:
        """The data set `name` of any shape and kind; refused where it is elsewhere, or declares
        more than it holds.
        """
        try:
            link = self._file.get(name, getlink=True) if name in self._file.keys() else None
            if link is None:
                known = ", ".join(sorted(self._file.keys())[:8]) or "nothing"
                raise UserError(f"{self.path}: data set {name} is missing (found: {known})", DATA)
            if not isinstance(link, h5py.HardLink):
                raise UserError(
                    f"{self.path}: {name} is a link to another place, which is refused", DATA
                )
            data = self._file[name]
            self._check(name, data)
            return data
        except FAULTS as error:
            raise self._broken(name, error) from error

    def read(self, name: str, ndim: int, kinds: str, rows: Any = slice(None)) -> np.ndarray:
        """Rows of the data set `name` (all of them, a slice, or increasing indices)."""
        data = self.dataset(name, ndim, kinds)
        try:
            return np.asarray(data[rows])
        except FAULTS as error:
            raise self._broken(name, error) from error

    def _check(self, name: str, data: Any) -> None:
        def refuse(found: str) -> UserError:
            return UserError(f"{self.path}: data set {name} {found}", DATA)

        if not isinstance(data, h5py.Dataset):
            raise refuse("is a group, expected an array")
        if data.external is not None or data.is_virtual:
            raise refuse("reads its values from another file, which is refused")
        created = data.id.get_create_plist()
        filters = {created.get_filter(i)[0] for i in range(created.get_nfilters())}
        if filters - FILTERS:
            raise refuse(f"uses the unknown filters {sorted(filters - FILTERS)}, which is refused")
        declared, stored = data.size * data.dtype.itemsize, data.id.get_storage_size()
        if declared > MAX_BYTES or declared > max(4 << 30, 1000 * stored):
            raise refuse(f"declares {declared:,} bytes and stores {stored:,}, which is refused")
        if data.chunks and int(np.prod(data.chunks)) * data.dtype.itemsize > MAX_CHUNK:
            raise refuse(f"has chunks of more than {MAX_CHUNK:,} bytes, which is refused")

    def _broken(self, name: str, error: BaseException) -> UserError:
        return UserError(
            f"{self.path}: {name} cannot be read ({error})", DATA, "make or fetch the file again"
        )


def to_bytes(arrays: Arrays, attributes: Attributes) -> bytes:
    """An HDF5 file with checksums, built in memory: h5py crashes at exit when a disk is full
    beneath it.
    """
    buffer = io.BytesIO()
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        _fill(file, arrays, attributes)
        file.flush()
        buffer.write(file.id.get_file_image())
    return buffer.getvalue()


def write(path: Path, arrays: Arrays, attributes: Attributes) -> None:
    """Writes such a file without a copy of it in memory, for large ones; it is either absent or
    whole.
    """
    with files.writing(path) as target:
        sink = _Sink(target.raw)
        try:
            with h5py.File("sink", "w", driver="fileobj", fileobj=sink) as file:
                _fill(file, arrays, attributes)
        except FAULTS:
            if sink.error is None:
                raise
        if sink.error:
            raise sink.error


class _Sink:
    """The file beneath HDF5: once it cannot be written it only pretends, so that HDF5 closes and
    does not crash.
    """

    def __init__(self, file: io.RawIOBase) -> None:
        self.file = file
        self.seek = file.seek
        self.tell = file.tell
        self.readinto = file.readinto
        self.flush = file.flush
        self.error: OSError | None = None

    def write(self, data: memoryview) -> None:
        rest = memoryview(data)
        try:
            while len(rest) and not self.error:
                rest = rest[self.file.write(rest) or len(rest) :]
        except OSError as error:
            self.error = error

    def truncate(self, size: int) -> None:
        try:
            self.file.truncate(size)
        except OSError as error:
            self.error = self.error or error


def _fill(file: h5py.File, arrays: Arrays, attributes: Attributes) -> None:
    for name, array in arrays.items():
        file.create_dataset(name, data=array, fletcher32=len(array) > 0, chunks=_chunks(array))
    for key, value in attributes.items():
        file.attrs[key] = value


def _chunks(array: np.ndarray) -> tuple[int, ...] | None:
    if not len(array):
        return None
    rows = max(1, min(len(array), (1 << 20) // max(1, array[0].nbytes)))
    return (rows, *array.shape[1:])
