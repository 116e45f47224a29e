"""A company's own rules and settings: `expectations/thresholds.yml` and `expectations/custom/*.yml`.

    thresholds: {gl_tolerance_amount: 5}
    tune:
      - check: raw.*.invoices.invoice_date_is_believable
        severity: critical
      - check: marts.ar_open_items.no_item_dominates
        off: we have one customer
    rules:
      - name: a_key_account_has_a_collector
        suite: canonical.customers
        column: collector
        not_null: true
        severity: warning
        says: …
        note: …

Every fault names the file, the line and the fix, before anything is checked.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import duckdb
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from receivables.checks.report import Severity
from receivables.checks.suites import Rule, Suite, describe, no_rows, rule
from receivables.errors import ConfigError
from receivables.yamlfile import StrictModel, YamlFile, did_you_mean, parse, read_yaml

GUIDE = "expectations/README.md shows how such a file is written"
# Never shown in examples, which everybody may read.
PERSONAL = frozenset({"customer_name", "email", "payload", "collector", "salesperson"})


def _decimal(value: object) -> object:
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


Number = Annotated[Decimal, BeforeValidator(_decimal)]


class _Threshold(StrictModel):
    value: Number = Field(ge=0)
    says: str


class Tuning(StrictModel):
    """A change to checks that are there: another severity, or switched off with a reason."""

    check: str = Field(
        pattern=r"^(raw|canonical|marts|\*)\.",
        description="suite.check; * stands for any text, e.g. raw.*.invoices.amount_is_not_zero.",
    )
    severity: Severity | None = None
    owner: str | None = None
    off: str | None = Field(None, min_length=10, description="Why it is switched off: at least ten letters.")

    @model_validator(mode="after")
    def _changes_something(self) -> Tuning:
        if (self.severity, self.owner, self.off) == (None, None, None):
            raise ValueError("changes nothing: give severity, owner, or off with the reason")
        return self


class CustomRule(StrictModel):
    """A rule of the company's own: one select that finds bad rows, or what a column must be."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The rule in few words, lower case with _.")
    suite: str = Field(pattern=r"^(raw|canonical|marts)\.[A-Za-z0-9_.*]+$")
    says: str = Field(min_length=10, description="The rule as a sentence, true when it passes.")
    note: str = Field(min_length=10, description="What a failure means for finance.")
    severity: Severity
    owner: str = "receivables accounting"
    sql: str | None = Field(None, description="One select that finds bad rows; {batch} is the suite's table.")
    column: str | None = Field(None, pattern=r"^[a-z_][a-z0-9_]*$")
    not_null: bool = False
    unique: bool = False
    one_of: tuple[str, ...] = ()
    at_least: Number | None = None
    at_most: Number | None = None
    matches: str | None = Field(None, description="A regular expression for the whole value.")
    where: str | None = Field(None, description="SQL condition: only these rows are judged.")

    @model_validator(mode="after")
    def _is_one_rule(self) -> CustomRule:
        demands = [
            name
            for name in ("not_null", "unique", "one_of", "at_least", "at_most", "matches")
            if getattr(self, name) not in (None, False, ())
        ]
        if (self.sql is None) == (self.column is None):
            raise ValueError("needs either `sql`, or `column` with what it must be")
        if self.column is not None and not demands:
            raise ValueError(
                "says not what the column must be: not_null, unique, one_of, at_least, at_most or matches"
            )
        if self.sql is not None and demands:
            raise _at("sql", f"`sql` and {', '.join(demands)} cannot stand together: choose one")
        query = self.query(("_row_key",))
        for place in ("sql",) if self.sql is not None else ("where", "matches"):
            if getattr(self, place) is not None:
                _check_sql(query, place)
        return self

    def query(self, key: Sequence[str]) -> str:
        """The select that finds the rows which break the rule; `{batch}` is not filled in yet."""
        if self.sql is not None:
            return self.sql.strip().rstrip(";")
        column, shown = self.column, ", ".join(dict.fromkeys((*key, *self._shown())))
        conditions = []
        if self.not_null:
            conditions.append(f"{column} is null or trim({column}::varchar) = ''")
        if self.one_of:
            conditions.append(f"{column}::varchar not in ({', '.join(map(_quoted, self.one_of))})")
        if self.at_least is not None:
            conditions.append(f"{column} < {self.at_least}")
        if self.at_most is not None:
            conditions.append(f"{column} > {self.at_most}")
        if self.matches is not None:
            conditions.append(f"not regexp_full_match({column}::varchar, {_quoted(self.matches)})")
        if self.unique:
            conditions.append(f"{column} is not null and count(*) over (partition by {column}) > 1")
        chosen = f"(select * from {{batch}} where {self.where})"  # noqa: S608 - the owner's own SQL
        rows = "{batch}" if self.where is None else chosen
        # A count over all rows is a window: it is filtered by qualify.
        filtered = "qualify" if self.unique else "where"
        bad = " or ".join(f"({condition})" for condition in conditions)
        return f"select {shown} from {rows} as judged {filtered} {bad}"  # noqa: S608 - the same

    def _shown(self) -> tuple[str, ...]:
        return (self.column,) if self.column and self.column not in PERSONAL else ()


class CustomFile(StrictModel):
    """One file of `expectations/custom/`."""

    thresholds: dict[str, Number] = Field(default_factory=dict)
    tune: tuple[Tuning, ...] = ()
    rules: tuple[CustomRule, ...] = ()


@dataclass(frozen=True)
class Custom:
    """What the company says about the rule book: its files, and the thresholds that result."""

    limits: Mapping[str, Decimal]
    files: tuple[tuple[YamlFile, CustomFile], ...] = ()

    def check_sources(self, sources: Sequence[str]) -> None:
        """Check that what is said about one source is about one that is there.

        Raises:
            ConfigError: naming the line, and the sources that there are.
        """
        for source, file in self.files:
            named = [(("tune", number, "check"), tuning.check) for number, tuning in enumerate(file.tune)]
            named += [(("rules", number, "suite"), custom.suite) for number, custom in enumerate(file.rules)]
            for loc, pattern in named:
                stage, _, rest = pattern.partition(".")
                name = rest.partition(".")[0]
                if stage == "raw" and not any(fnmatch.fnmatchcase(known, name) for known in sources):
                    raise ConfigError(
                        f"{source.path}:{source.line_of(loc)}",
                        cause=f"there is no source '{name}'{did_you_mean(name, sources)}",
                        next_step=f"name one of {', '.join(sources)}, or * for all",
                    )

    def apply(self, suites: Sequence[Suite], *, stages: Iterable[str], known: Iterable[str]) -> list[Suite]:
        """The suites with the company's changes and rules.

        Args:
            stages: how the names of these suites begin (`raw.erp`, `marts`): only changes for them count.
            known: all checks (`suite.check`) of these stages, also of suites that this run does not need.

        Raises:
            ConfigError: a change names a check, or a rule a suite, that does not exist.
        """
        changed = list(suites)
        names = sorted(known)
        for source, file in self.files:
            for number, tuning in enumerate(file.tune):
                if _concerns(tuning.check, stages):
                    _check_known(source, ("tune", number, "check"), tuning.check, names)
                    reason = f"{tuning.off} ({source.path.name})" if tuning.off else None
                    changed = [_tuned(suite, tuning, reason) for suite in changed]
            for number, custom in enumerate(file.rules):
                if _concerns(f"{custom.suite}.", stages):
                    changed = _with_rule(changed, custom, source, number, names)
        return changed


def load_custom(folder: Path) -> Custom:
    """Read `thresholds.yml`, as far as it is there, and `custom/*.yml` of an expectations folder.

    Raises:
        ConfigError: with every fault of the first wrong file, each with its line.
    """
    defaults = folder / "thresholds.yml"
    limits = _thresholds(defaults) if defaults.exists() else {}
    files = []
    for path in sorted((*(folder / "custom").glob("*.yml"), *(folder / "custom").glob("*.yaml"))):
        source = read_yaml(path)
        file = parse(CustomFile, source, guide=GUIDE)
        for name, value in file.thresholds.items():
            _check_threshold(source, name, value, limits)
            limits[name] = value
        files.append((source, file))
    return Custom(limits, tuple(files))


def _thresholds(path: Path) -> dict[str, Decimal]:
    source = read_yaml(path)
    limits = {}
    for name, entry in source.data.items():
        one = YamlFile(
            source.path, entry, {loc[1:]: line for loc, line in source.lines.items() if loc[:1] == (name,)}
        )
        limits[str(name)] = parse(_Threshold, one, guide=GUIDE).value
    return limits


def _check_threshold(source: YamlFile, name: str, value: Decimal, limits: Mapping[str, Decimal]) -> None:
    place = f"{source.path}:{source.line_of(('thresholds', name))}"
    if name not in limits:
        raise ConfigError(
            place,
            cause=f"there is no threshold '{name}'{did_you_mean(name, limits)}",
            next_step="use a name of expectations/thresholds.yml",
        )
    if value < 0 or (_is_whole(limits[name]) and not _is_whole(value)):
        kind = "a whole number" if _is_whole(limits[name]) else "a number"
        raise ConfigError(
            place,
            cause=f"{name} is {kind} from 0 on, not {value}",
            next_step=f"write {kind}; expectations/thresholds.yml says what it means",
        )


def _is_whole(value: Decimal) -> bool:
    return value.as_tuple().exponent == 0


def _concerns(name: str, stages: Iterable[str]) -> bool:
    """Whether a pattern can mean a check of one of the stages."""
    first, _, rest = name.partition(".")
    for stage in stages:
        kind, _, source = stage.partition(".")
        if fnmatch.fnmatchcase(kind, first) and (
            not source or fnmatch.fnmatchcase(source, rest.partition(".")[0])
        ):
            return True
    return False


def _check_known(source: YamlFile, loc: tuple[str | int, ...], check: str, names: Sequence[str]) -> None:
    if not any(fnmatch.fnmatchcase(name, check) for name in names):
        raise ConfigError(
            f"{source.path}:{source.line_of(loc)}",
            cause=f"there is no check '{check}'{did_you_mean(check, names)}",
            next_step="use suite.check as quality.check_results has it; * stands for any text",
        )


def _tuned(suite: Suite, tuning: Tuning, off: str | None) -> Suite:
    return replace(
        suite,
        rules=tuple(
            _changed(entry, tuning, off)
            if fnmatch.fnmatchcase(f"{suite.name}.{entry.name}", tuning.check)
            else entry
            for entry in suite.rules
        ),
    )


def _changed(entry: Rule, tuning: Tuning, off: str | None) -> Rule:
    changed = replace(
        entry,
        severity=tuning.severity or entry.severity,
        owner=tuning.owner or entry.owner,
        off=off or entry.off,
    )
    return replace(changed, expectation=describe(changed))


def _with_rule(
    suites: list[Suite], custom: CustomRule, source: YamlFile, number: int, names: Sequence[str]
) -> list[Suite]:
    place = f"{source.path}:{source.line_of(('rules', number, 'suite'))}"
    targets = [suite for suite in suites if fnmatch.fnmatchcase(suite.name, custom.suite)]
    if not targets and custom.suite.startswith("marts.") and "*" not in custom.suite:
        # A mart without a suite gets one.
        table = custom.suite.removeprefix("marts.")
        targets = [Suite(custom.suite, f"select * from marts.{table}", ())]  # noqa: S608 - checked pattern
        suites = [*suites, *targets]
    elif not targets and not any(
        fnmatch.fnmatchcase(name.rpartition(".")[0], custom.suite) for name in names
    ):
        known = {name.rpartition(".")[0] for name in names}
        raise ConfigError(
            place,
            cause=f"there is no suite '{custom.suite}'{did_you_mean(custom.suite, known)}",
            next_step="use raw.<source>.<entity>, raw.*.<entity>, canonical.<entity> or marts.<table>",
        )
    added = []
    for suite in suites:
        if suite not in targets:
            added.append(suite)
            continue
        if custom.name in {entry.name for entry in suite.rules}:
            raise ConfigError(
                f"{source.path}:{source.line_of(('rules', number, 'name'))}",
                cause=f"{suite.name} has a rule named {custom.name} already",
                next_step="choose another name, or change that rule under `tune`",
            )
        entry = rule(
            custom.name,
            no_rows(custom.query(suite.key or ("*",))),
            says=custom.says,
            severity=custom.severity,
            note=custom.note,
            owner=custom.owner,
        )
        added.append(replace(suite, rules=(*suite.rules, entry)))
    return added


def _check_sql(query: str, place: str) -> None:
    """Check that it is one select; the tables and columns it names show when it runs."""
    try:
        statements = duckdb.extract_statements(query.replace("{batch}", "batch"))
    except duckdb.Error as error:
        raise _at(place, f"is not SQL ({str(error).splitlines()[0]})") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise _at(place, "must be one select that finds the bad rows")


def _at(place: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("value_error", "{text}", {"text": f"{place} {message}", "at": (place,)})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


__all__ = ["Custom", "CustomFile", "CustomRule", "Tuning", "load_custom"]
