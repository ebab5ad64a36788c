"""Ways in which a file of a run can be damaged: by a disk, by an editor, by somebody who means harm.

`damages` gives them for any file of a run's folder; the same file always gets the same ones.
"""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

Damage = tuple[str, bytes]

WRONG_VALUES: dict[str, Any] = {
    "null": None,
    "a text": "text",
    "an empty text": "",
    "a float": 0.5,
    "a truth value": True,
    "negative": -1,
    "huge": 10**30,
    "larger than any float": 10**400,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "a list": [1, 2],
    "a mapping": {"a": 1},
    "a path": "../../elsewhere",
    "terminal escapes": "\x1b[2J\x1b]0;title\x07",
    "markup": "[bold]x[/nothing]",
    "nested deeply": json.loads("[" * 60 + "]" * 60),
    "a target": {"_target_": "pathlib.Path.write_text", "self": "planted", "data": "planted"},
}


def damages(file: Path, flips: int = 4) -> Iterator[Damage]:
    """Every kind of damage for this file, as a name and the damaged content."""
    content = file.read_bytes()
    yield from bytewise(content, random.Random(file.name), flips)
    by_suffix: dict[str, Callable[[bytes], Iterator[Damage]]] = {
        ".yaml": of_yaml,
        ".json": of_json,
        ".csv": of_csv,
        ".ckpt": of_checkpoint,
        ".npz": of_arrays,
    }
    yield from by_suffix.get(file.suffix, lambda _: iter(()))(content)


def bytewise(content: bytes, source: random.Random, flips: int = 4) -> Iterator[Damage]:
    """What a disk, a copy that was interrupted, or an editor does to any file."""
    half = len(content) // 2
    yield "empty", b""
    yield "one byte short", content[:-1]
    yield "cut in the middle", content[:half]
    yield "without its start", content[half:]
    yield "zeros", bytes(len(content))
    yield "a block of zeros", content[:half] + bytes(min(64, len(content) - half)) + content[half + 64 :]
    yield "random bytes", source.randbytes(max(16, min(len(content), 4096)))
    yield "twice", content + content
    yield "a byte order mark", b"\xef\xbb\xbf" + content
    yield "no UTF-8", content[:half] + b"\xff\xfe" + content[half:]
    yield "a web page", b"<!DOCTYPE html><html><body>404 not found</body></html>"
    yield "line ends of Windows", content.replace(b"\n", b"\r\n")
    for number in range(flips):
        place = source.randrange(max(1, len(content)))
        if content:
            flipped = bytes([content[place] ^ (1 << source.randrange(8))])
            yield f"bit flip {number}", content[:place] + flipped + content[place + 1 :]


def of_yaml(content: bytes) -> Iterator[Damage]:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    yield "an anchor bomb", content + bomb.encode()
    yield "only an anchor bomb", bomb.encode()
    yield "an alias to itself", content + b"loop: &loop [*loop]\n"
    yield "a Python object", content + b"made: !!python/object/apply:os.system ['touch planted']\n"
    yield "nested very deeply", b"[" * 5000
    yield "a tab", content + b"\tx: 1\n"
    yield "a key twice", content + content.splitlines(keepends=True)[0]
    yield "two documents", content + b"---\n" + content
    yield "a key that is a list", content + b"? [1, 2]\n: 3\n"
    for name, changed in _changed(yaml.safe_load(content)):
        yield name, yaml.safe_dump(changed, sort_keys=False).encode()


def of_json(content: bytes) -> Iterator[Damage]:
    yield "nested very deeply", b"[" * 100_000
    yield "only a number", b"3"
    yield "a list", b"[]"
    yield "an empty mapping", b"{}"
    yield "a number of many digits", b'{"status": ' + b"9" * 10_000 + b"}"
    first = content.find(b'"', content.find(b"{"))
    end = content.find(b",", first)
    yield "a key twice", content[: end + 1] + content[first : end + 1] + content[end + 1 :]
    for name, changed in _changed(json.loads(content)):
        yield name, json.dumps(changed).encode()


def of_csv(content: bytes) -> Iterator[Damage]:
    header, *rows = content.splitlines(keepends=True)
    cells = rows[0].rstrip(b"\n").split(b",")
    yield "without its header", b"".join(rows)
    yield "only its header", header
    yield "another header", b"a,b,c,d\n" + b"".join(rows)
    yield "a row of three values", header + b"1,2,3\n" + b"".join(rows)
    yield "a row of five values", header + rows[0].rstrip(b"\n") + b",5\n" + b"".join(rows)
    yield "an empty row", header + b"\n" + b"".join(rows)
    yield "an open quotation", header + b'0,0,"train/loss,1.0\n' + b"".join(rows)
    yield "a NUL", header + rows[0].replace(b",", b"\0,", 1) + b"".join(rows)
    yield "a very long value", header + b"0,0,train/loss," + b"9" * 300_000 + b"\n" + b"".join(rows)
    for number, column in enumerate(("step", "epoch", "name", "value")):
        for wrong in (b"", b"x", b"-1", b"1e3", b"nan", b"inf", b"1_0", b"9" * 40, "١".encode(), b"\x1b[2J", b" 1"):
            changed = [*cells[:number], wrong, *cells[number + 1 :]]
            yield f"{column} {wrong[:8]!r}", header + b",".join(changed) + b"\n" + b"".join(rows[1:])


def of_checkpoint(content: bytes) -> Iterator[Damage]:
    def saved(value: Any) -> bytes:
        file = io.BytesIO()
        torch.save(value, file)
        return file.getvalue()

    def loaded() -> Any:
        return torch.load(io.BytesIO(content), weights_only=True)

    whole = loaded()
    for key in whole:
        yield f"without {key}", saved({name: value for name, value in whole.items() if name != key})
        yield f"{key} null", saved({**whole, key: None})
        yield f"{key} empty", saved({**whole, key: type(whole[key])()})
        yield f"{key} a text", saved({**whole, key: "text"})
    first = next(iter(whole["state_dict"]))
    for name, value in (("NaN", float("nan")), ("infinite", float("inf"))):
        changed = loaded()
        changed["state_dict"][first].view(-1)[0] = value
        yield f"a weight {name}", saved(changed)
    for name, tensor in (("of another shape", torch.zeros(3, 3, 3)), ("of text", "x"), ("of another name", None)):
        changed = loaded()
        weights = changed["state_dict"].pop(first)
        changed["state_dict"]["other" if tensor is None else first] = weights if tensor is None else tensor
        yield f"weights {name}", saved(changed)
    yield "a list", saved([1, 2])
    yield "a tensor", saved(torch.zeros(3))
    compressed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    yield "compressed", compressed.getvalue()


def of_arrays(content: bytes) -> Iterator[Damage]:
    def saved(arrays: dict[str, Any], **options: Any) -> bytes:
        file = io.BytesIO()
        (np.savez_compressed if options else np.savez)(file, **arrays)
        return file.getvalue()

    with np.load(io.BytesIO(content)) as opened:
        whole = dict(opened)
    for key, values in whole.items():
        yield f"without {key}", saved({name: each for name, each in whole.items() if name != key})
        yield f"{key} empty", saved({**whole, key: values[:0]})
        yield f"{key} shorter", saved({**whole, key: values[:-1]})
        yield f"{key} flatter", saved({**whole, key: values.reshape(len(values), -1)[:, 0]} if values.ndim > 1 else {})
        yield f"{key} of NaN", saved({**whole, key: np.full(values.shape, np.nan)})
        yield f"{key} of texts", saved({**whole, key: np.full(values.shape, "x")})
        yield f"{key} of objects", saved({**whole, key: np.full(values.shape, {"a": 1}, dtype=object)})
    yield "no arrays", saved({})
    yield "compressed zeros", saved({"epoch": np.zeros(2_000_000, np.int64)}, compressed=True)


def _changed(value: Any) -> Iterator[tuple[str, Any]]:
    """A value with each of its keys left out, or with something else in its place."""
    for path in _paths(value):
        name = ".".join(map(str, path))
        yield f"without {name}", _with(value, path)
        for wrong, something in WRONG_VALUES.items():
            yield f"{name} {wrong}", _with(value, path, something)
    for wrong in ("null", "a text", "a list", "a float"):
        yield f"only {wrong}", WRONG_VALUES[wrong]


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else ()
    for key, item in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(item))


ABSENT = object()


def _with(value: Any, path: tuple[Any, ...], new: Any = ABSENT) -> Any:
    first, *rest = path
    if rest:
        return {**value, first: _with(value[first], tuple(rest), new)}
    kept = {key: item for key, item in value.items() if key != first or new is not ABSENT}
    return kept if new is ABSENT else {**kept, first: new}
