"""Runs dbt on the working database: `build` for a day, `parse` for the manifest, `docs` for people."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from receivables.company import load_company_config
from receivables.crash import crash_point
from receivables.errors import CheckFailedError, PermanentError, ReceivablesError, TransientError
from receivables.settings import Settings

log = logging.getLogger(__name__)

# How a step tells how far it is: (what is done now, done so far, total).
Progress = Callable[[str, int, int], None]

# Unit tests prove the models when the code changes; they say nothing about today's rows.
NIGHTLY_EXCLUDES = ("--exclude-resource-type", "unit_test")

_FAILED = {"error", "fail", "runtime error"}
_PROJECT_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md"}


@dataclass(frozen=True)
class TransformReport:
    """What one dbt build did: how many models and tests ran, and what only warned."""

    models: int
    tests: int
    warnings: tuple[str, ...]
    seconds: float


def dbt_environment(settings: Settings, day: str = "") -> dict[str, str]:
    """The environment that dbt needs, whoever starts it (this module or an Airflow task).

    `day` is the business day, or its template: nothing that was known later is read. It is not one of dbt's
    variables, because dbt keeps what it has read of the project only while these stay the same.
    """
    return {
        "DBT_ENV_CUSTOM_ENV_AS_OF_DATE": day,
        "RECEIVABLES_WAREHOUSE": str(settings.warehouse),
        "DBT_PROJECT_DIR": str(settings.dbt_project),
        "DBT_PROFILES_DIR": str(settings.dbt_project),
        "DBT_TARGET_PATH": str(settings.dbt_target),
        "DBT_LOG_PATH": str(settings.dbt_logs),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_VERSION_CHECK": "false",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
    }


def transform(
    settings: Settings, day: date, run: str, *, progress: Progress | None = None
) -> TransformReport:
    """Build and test every model as of `day` in the working database.

    Raises:
        PermanentError: a model cannot be built; the message names it and what the engine said.
        CheckFailedError: every model was built, and a dbt test with severity `error` failed.
        TransientError: another process holds the warehouse.
    """
    if not settings.warehouse.exists():
        raise PermanentError(
            f"warehouse {settings.warehouse}",
            cause="does not exist yet: nothing was loaded",
            next_step="load a source first: receivables run --as-of DAY",
        )
    results = settings.dbt_target / "run_results.json"
    results.unlink(missing_ok=True)  # an old one would be read as the answer of a dbt that never started
    crash_point("transform.start")
    _reuse_parse(settings.dbt_manifest.parent / "work", settings.dbt_target)
    errors = _run_dbt(settings, ["build", *NIGHTLY_EXCLUDES], day=day.isoformat(), progress=progress)
    crash_point("transform.end")
    log.info("dbt build as of %s (run %s) ended", day, run)
    return read_results(results, errors)


def built_day(settings: Settings) -> str | None:
    """The business day of the models in the working database, in ISO form; None before the first build."""
    results = settings.dbt_target / "run_results.json"
    if not results.exists():
        return None
    said = json.loads(results.read_text(encoding="utf-8"))
    # Somebody who starts dbt by hand gives it as a variable.
    by_hand = (said["args"].get("vars") or {}).get("as_of_date")
    return by_hand or said["metadata"]["env"].get("AS_OF_DATE") or None


def read_results(path: Path, errors: list[str]) -> TransformReport:
    """Turn dbt's own result file into a report, or into an error that names the models that failed.

    `errors` is what dbt said at level error; it is all there is when dbt stopped before the first model.
    """
    if not path.exists():
        said = "\n".join(errors) or "it gave no reason"
        raise _as_error(
            "dbt", said, next_step=f"read the log beside {path.parent} and correct the dbt project"
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    results: list[dict[str, Any]] = content["results"]
    failed = [result for result in results if result["status"] in _FAILED]
    if failed:
        raise _failure(failed, path)
    if errors:
        raise _as_error("dbt", "\n".join(errors), next_step=f"read the log beside {path.parent}")
    kinds = [result["unique_id"].split(".")[0] for result in results]
    return TransformReport(
        models=sum(kind in {"model", "seed", "snapshot"} for kind in kinds),
        tests=kinds.count("test"),
        warnings=tuple(_name(result) for result in results if result["status"] == "warn"),
        seconds=float(content["elapsed_time"]),
    )


def _name(result: dict[str, Any]) -> str:
    return str(result["unique_id"].split(".")[2])


def _failure(failed: list[dict[str, Any]], path: Path) -> ReceivablesError:
    broken = [result for result in failed if not result["unique_id"].startswith("test.")]
    if broken:
        first = broken[0]
        others = f"; and {len(broken) - 1} more: {', '.join(map(_name, broken[1:6]))}" if broken[1:] else ""
        return _as_error(
            f"model {_name(first)}",
            f"{first['message'] or 'it gave no reason'}{others}",
            next_step=f"read its SQL under {path.parent / 'compiled'}, correct it or its rows, then run the"
            " day again",
        )
    named = "; ".join(f"{_name(result)} ({result['failures'] or 0} rows)" for result in failed[:5])
    return CheckFailedError(
        f"{len(failed)} dbt test(s)",
        cause=named + ("; …" if failed[5:] else ""),
        next_step="nothing was published; the SQL that finds the rows is under"
        f" {path.parent / 'compiled'}; correct the source or the model, then run the day again",
    )


def _as_error(what: str, said: str, *, next_step: str) -> ReceivablesError:
    if "could not set lock" in said.lower():
        return TransientError(
            "warehouse", cause="another process is writing to it", next_step="wait for the other run to end"
        )
    return PermanentError(what, cause=said.strip(), next_step=next_step)


def ensure_manifest(settings: Settings) -> Path:
    """The manifest of the dbt project as it is now; dbt is started only when a file of the project changed.

    Needs no warehouse: the DAG files read the models and their order from it.
    """
    manifest = settings.dbt_manifest
    work = manifest.parent / "work"
    with _fresh(settings, manifest) as stale:
        if stale:
            _reuse_parse(settings.dbt_target, work)
            _must(settings, ["parse", "--target-path", str(work)], "dbt parse")
            (work / manifest.name).replace(manifest)
    return manifest


def ensure_docs(settings: Settings) -> Path:
    """dbt's documentation as one HTML file; written again only when the project changed.

    The catalogue is left empty: reading it would take the warehouse from its one writer.
    """
    page = settings.home / "dbt" / "docs" / "index.html"
    work = page.parent / "work"
    with _fresh(settings, page) as stale:
        if stale:
            work.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ensure_manifest(settings), work / "manifest.json")
            _reuse_parse(settings.dbt_manifest.parent / "work", work)
            arguments = ["docs", "generate", "--static", "--empty-catalog", "--no-compile"]
            _must(settings, [*arguments, "--target-path", str(work)], "dbt docs")
            (work / "static_index.html").replace(page)
    return page


def personal_columns(manifest: Path) -> dict[str, frozenset[str]]:
    """Per `schema.table` the columns of personal data: `meta: {personal: true}` in the model's YAML."""
    nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
    found: dict[str, frozenset[str]] = {}
    for node in nodes:
        if node["resource_type"] not in {"model", "seed", "snapshot"}:
            continue
        names = frozenset(name for name, column in node["columns"].items() if _is_personal(column))
        if names:
            found[f"{node['schema']}.{node['alias']}"] = names
    return found


def _is_personal(column: dict[str, Any]) -> bool:
    # dbt 1.10 moved `meta` under `config`; both spellings are in use.
    config = column.get("config") or {}
    return bool((column.get("meta") or {}).get("personal") or (config.get("meta") or {}).get("personal"))


def project_fingerprint(settings: Settings) -> str:
    """One hash over every file of the dbt project that dbt reads."""
    digest = hashlib.sha256()
    ignored = {"target", "logs", "dbt_packages"}
    for path in sorted(settings.dbt_project.rglob("*")):
        relative = path.relative_to(settings.dbt_project)
        if path.suffix in _PROJECT_SUFFIXES and not ignored.intersection(relative.parts):
            digest.update(str(relative).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _fresh(settings: Settings, product: Path) -> Iterator[bool]:
    """Yield whether `product` must be made again; one process makes it, others wait for it."""
    product.parent.mkdir(parents=True, exist_ok=True)
    with (product.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp, fingerprint = product.with_name(f"{product.name}.made_from"), project_fingerprint(settings)
        made = stamp.exists() and stamp.read_text() == fingerprint and product.exists()
        yield not made
        stamp.write_text(fingerprint)


def _must(settings: Settings, arguments: list[str], what: str) -> None:
    errors = _run_dbt(settings, arguments)
    if errors:
        raise PermanentError(
            what, cause="\n".join(errors), next_step=f"correct the dbt project in {settings.dbt_project}"
        )


def _reuse_parse(made: Path, wanted: Path) -> None:
    """Let dbt start from what it has read of the project elsewhere; it decides itself what still holds."""
    name = "partial_parse.msgpack"
    if (made / name).exists() and not (wanted / name).exists():
        wanted.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made / name, wanted / f".{name}")
        (wanted / f".{name}").replace(wanted / name)


def _die_with_parent() -> None:
    """Have Linux kill the child when its parent is killed: an orphan would keep the warehouse locked."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _run_dbt(
    settings: Settings, arguments: list[str], *, day: str = "", progress: Progress | None = None
) -> list[str]:
    """Run dbt in a process of its own, so that nothing keeps the warehouse open afterwards.

    Returns what it said at level error; empty = it succeeded.
    """
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()"]
    command += [*arguments, "--vars", json.dumps(load_company_config(settings).variables)]
    command += ["--log-format", "json", "--log-level-file", "info", "--no-use-colors"]
    errors: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command,
        cwd=settings.dbt_project,
        env={**os.environ, **dbt_environment(settings, day)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    ) as process:
        try:
            for line in process.stdout or ():
                _handle_line(line, errors, progress)
        except BaseException:
            process.terminate()
            raise
    if process.returncode and not errors:
        errors.append(f"dbt ended with code {process.returncode}")
    return list(errors) if process.returncode else []


def _handle_line(line: str, errors: deque[str], progress: Progress | None) -> None:
    try:
        event = json.loads(line)
    except ValueError:
        if line.strip():
            errors.append(line.strip())  # a crash of Python itself; used only when dbt fails
        return
    info, data = event.get("info", {}), event.get("data", {})
    if info.get("level") == "error":
        errors.append(str(info.get("msg", "")).partition("\nTraceback")[0].strip())
    if progress and info.get("name") in {"LogModelResult", "LogTestResult", "LogSeedResult"}:
        node = data.get("node_info", {}).get("node_name", "")
        progress(node, int(data.get("index") or 0), int(data.get("total") or data.get("num_models") or 0))
