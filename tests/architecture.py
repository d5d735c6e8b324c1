"""The rules of the source tree, as a pure function from sources to a list of broken rules.

Who may import whom, which standard modules are for the outer rooms alone, how long things may be: read from
the syntax tree, so that nothing is imported and a rule holds for what nobody runs. `test_architecture.py`
applies them to the project, and to small bad examples, since a check that cannot fail checks nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

ROOT = "icepath"

# A package imports only lower ranks.
RANKS: Mapping[str, int] = {
    "errors": 0,
    "net": 0,
    "machine": 1,
    "timers": 1,
    "outbox": 1,
    "entropy": 1,
    "rendezvous": 1,
    "wire": 2,
    "stun": 3,
    "turn": 4,
    "mdns": 4,
    "ice": 5,
    "sdp": 6,
    "sim": 6,
    "trace": 6,
    "aio": 7,
    "compat": 8,
    "p2p": 8,
    "server": 8,
    "probe": 8,
    "lab": 8,
    "cli": 9,
    "__main__": 10,
    "": 11,  # icepath/__init__.py: the public names
}
# Packages of one rank do not meet, but the single modules of these ranks do.
SHARED_RANKS = frozenset({0, 1})

# Importers (by prefix) that must not reach some modules (by prefix), beyond what the ranks say.
FORBIDDEN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("machine", ("timers", "outbox", "entropy", "rendezvous")),
    ("turn.client", ("turn.server",)),
    ("turn.server", ("turn.client",)),
    ("ice", ("turn.server",)),
    ("sim", ("wire", "stun", "turn", "mdns", "ice")),
    ("trace.recorder", ("wire", "stun", "turn", "mdns", "ice")),
    ("trace.redaction", ("turn", "mdns", "ice")),
    ("lab", ("aio",)),
)
# Of trace, only this one runs machines.
REPLAY = "trace.replay"
RUN_BY_REPLAY = ("ice", "turn")

BANNED_STDLIB = frozenset({"asyncio", "socket", "time", "random", "secrets", "os", "select", "threading"})
OUTER_ROOMS = frozenset({"aio", "compat", "p2p", "server", "probe", "lab", "cli"})

MAX_MODULE_LINES = 600
MAX_FUNCTION_LINES = 40
MAX_VERBS = 15
# What every machine has (icepath.machine.Machine), beside its own verbs.
CONTRACT = frozenset({"receive", "handle_timeout", "next_deadline", "close", "take_outputs"})


def broken_rules(sources: Mapping[str, str]) -> list[str]:
    """Returns one line per broken rule; `sources` maps "wire.uri" ("" for the root, "wire" for its package) to text."""
    problems: list[str] = []
    for name in sorted(sources):
        text = sources[name]
        tree = ast.parse(text)
        where = f"{ROOT}.{name}" if name else ROOT
        found = [
            *_import_problems(name, tree, sources),
            *_private_problems(tree),
            *_stdlib_problems(name, tree),
            *_size_problems(text, tree),
        ]
        problems.extend(f"{where}: {problem}" for problem in found)
    return problems


# -- who may import whom ------------------------------------------------------------------------------


def _import_problems(name: str, tree: ast.Module, sources: Mapping[str, str]) -> Iterator[str]:
    if _room(name) not in RANKS:
        yield f"room {_room(name)!r} is not on the map"
        return
    for target in sorted(set(_imported_modules(name, tree, sources))):
        reason = _refusal(name, target)
        if reason:
            yield f"must not import {ROOT}.{target}: {reason}"


def _refusal(name: str, target: str) -> str:
    """Says why the module must not import the target; empty when it may."""
    room, other = _room(name), _room(target)
    if other not in RANKS:
        return f"room {other!r} is not on the map"
    for importer, hidden in FORBIDDEN:
        if _is_in(name, importer) and any(_is_in(target, one) for one in hidden):
            return f"{importer} never reaches {', '.join(hidden)}"
    if room == "trace" and name != REPLAY and other in RUN_BY_REPLAY:
        return f"of trace, only {REPLAY} does"
    if room == other or (RANKS[room] == RANKS[other] and RANKS[room] in SHARED_RANKS):
        return ""
    if RANKS[other] >= RANKS[room]:
        return f"rank {RANKS[other]} is not below rank {RANKS[room]}"
    return ""


def _imported_modules(name: str, tree: ast.Module, sources: Mapping[str, str]) -> Iterator[str]:
    """Yields the project's modules that a module imports anywhere, without the root's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_in(alias.name, ROOT):
                    yield alias.name[len(ROOT) + 1 :]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, node, sources)
            if not _is_in(base, ROOT):
                continue
            base = base[len(ROOT) + 1 :]
            for alias in node.names:
                # `from icepath.wire import uri` names a module, `from icepath.wire.uri import ServerUri` does not.
                module = f"{base}.{alias.name}".lstrip(".")
                yield module if module in sources else base


def _absolute(name: str, node: ast.ImportFrom, sources: Mapping[str, str]) -> str:
    """Returns the full name of what follows `from`."""
    if node.level == 0:
        return node.module or ""
    is_package = any(other.startswith(f"{name}.") for other in sources) or not name
    parts = [ROOT, *name.split(".")] if name else [ROOT]
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _room(name: str) -> str:
    return name.partition(".")[0]


def _is_in(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


# -- names and modules that stay where they are ----------------------------------------------------------


def _private_problems(tree: ast.Module) -> Iterator[str]:
    """Nobody imports a name that starts with "_" from another file, nor reaches for one through an imported name."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            full = f"{node.module or ''}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            is_ours = _is_in(full, ROOT) or (isinstance(node, ast.ImportFrom) and node.level > 0)
            if is_ours and any(_is_private(part) for part in full.split(".")):
                yield f"line {node.lineno}: imports the private name {full}"
            if is_ours and (alias.asname or isinstance(node, ast.ImportFrom)):
                imported.add(alias.asname or alias.name)
    for name, attribute in _attributes(tree):
        if name in imported and _is_private(attribute.attr):
            yield f"line {attribute.lineno}: uses the private name {name}.{attribute.attr}"


def _attributes(tree: ast.Module) -> Iterator[tuple[str, ast.Attribute]]:
    """Yields every `name.attribute`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node


def _is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def _stdlib_problems(name: str, tree: ast.Module) -> Iterator[str]:
    """Clocks, sockets and chance are for the outer rooms; a simulation may have a seeded generator."""
    room = _room(name)
    if room in OUTER_ROOMS:
        return
    for node in ast.walk(tree):
        for module in _stdlib_modules(node):
            if module in BANNED_STDLIB and not (room == "sim" and module == "random"):
                yield f"line {getattr(node, 'lineno', 0)}: imports {module}"
    if room == "sim":
        yield from _random_problems(tree)


def _stdlib_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def _random_problems(tree: ast.Module) -> Iterator[str]:
    """Of random, only Random, and made only with a seed."""
    taken: list[tuple[str, int]] = [(node.attr, node.lineno) for name, node in _attributes(tree) if name == "random"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            taken.extend((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Import) and any(alias.name == "random" and alias.asname for alias in node.names):
            yield f"line {node.lineno}: renames random"
        elif isinstance(node, ast.Call) and ast.unparse(node) in ("Random()", "random.Random()"):
            yield f"line {node.lineno}: Random() without a seed"
    for name, line in taken:
        if name != "Random":
            yield f"line {line}: takes random.{name}; a simulation has random.Random(seed) only"


# -- sizes --------------------------------------------------------------------------------------------


def _size_problems(text: str, tree: ast.Module) -> Iterator[str]:
    lines = text.count("\n")
    if lines > MAX_MODULE_LINES:
        yield f"{lines} lines, allowed are {MAX_MODULE_LINES}"
    if tree.body and not ast.get_docstring(tree):
        yield "has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = _function_lines(node)
            if length > MAX_FUNCTION_LINES and not _is_only_a_match(node):
                yield f"line {node.lineno}: {node.name} has {length} lines, allowed are {MAX_FUNCTION_LINES}"
        elif isinstance(node, ast.ClassDef):
            verbs = _verbs(node)
            if len(verbs) > MAX_VERBS:
                yield f"line {node.lineno}: {node.name} has {len(verbs)} public methods, allowed are {MAX_VERBS}"


def _function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Counts from `def` to the end, without the docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if _is_docstring(first):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_only_a_match(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = node.body[1:] if _is_docstring(node.body[0]) else node.body
    return len(body) == 1 and isinstance(body[0], ast.Match)


def _verbs(node: ast.ClassDef) -> set[str]:
    """Returns the names of public methods; properties are nouns, and the contract is every machine's."""
    return {
        one.name
        for one in node.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        and not one.name.startswith("_")
        and one.name not in CONTRACT
        and not any(
            "property" in ast.unparse(decorator) or ".setter" in ast.unparse(decorator)
            for decorator in one.decorator_list
        )
    }
