"""docker-compose.yml, its Dockerfile and its scripts, without a container engine."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from receivables import local_airflow
from receivables.settings import Settings
from tests.conftest import PROJECT
from tests.deploy.compose import (
    MissingVariableError,
    dockerfile_copies,
    example_environment,
    fill_in,
    load_compose,
)
from tests.servers import Postgres

COMPOSE = load_compose(example_environment())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
AIRFLOW = {name: service for name, service in SERVICES.items() if "build" in service}
# These end by themselves; what needs their work waits for their end.
ONE_OFF = {"init", "demo-erp"}
# What differs on one person's machine: SQLite, loopback, and secrets that are made up there.
DIFFERS = {
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__SCHEDULER__USE_ROW_LEVEL_LOCKING",  # SQLite has no row locks, PostgreSQL has
    "AIRFLOW__LINEAGE__BACKEND",  # empty, as it is without the variable
}
PLACES = {
    "AIRFLOW__CORE__PARALLELISM",
    "RECEIVABLES_CONFIG",
    "RECEIVABLES_HOME",
    "RECEIVABLES_ROOT",
    "RECEIVABLES_SCHEDULE",
    "RECEIVABLES_SOURCES",
}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_file_follows_the_compose_specification() -> None:
    schema = _compose_schema()
    Draft202012Validator.check_schema(schema)
    faults = [
        f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(COMPOSE)
    ]
    assert not faults


def test_the_schema_notices_a_wrong_key() -> None:
    broken = json.loads(json.dumps(COMPOSE))
    broken["services"]["postgres"]["healthchek"] = {}
    assert not Draft202012Validator(_compose_schema()).is_valid(broken)


@each_service
def test_images_are_pinned_to_one_version(name: str) -> None:
    assert _is_exact(SERVICES[name]["image"])


def test_the_base_image_and_uv_are_pinned_as_the_dockerfile_says() -> None:
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", _text("Dockerfile"), re.MULTILINE))
    assert _is_exact(arguments["PYTHON_IMAGE"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", arguments["UV_VERSION"])
    for service in AIRFLOW.values():
        assert service["build"]["args"] == arguments


@pytest.mark.parametrize("image", ["postgres", "postgres:latest", "postgres:16", "python:3.11-slim"])
def test_a_moving_tag_is_not_pinned(image: str) -> None:
    assert not _is_exact(image)


@each_service
def test_every_lasting_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name in ONE_OFF:
        assert check == {"disable": True}
        assert SERVICES[name]["restart"] == "no"
    else:
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries"} <= check.keys()


@each_service
def test_nobody_is_root_and_nothing_can_become_it(name: str) -> None:
    service = SERVICES[name]
    user, group = (int(part) for part in service["user"].split(":"))
    assert min(user, group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not service.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid"}


def test_the_image_ends_as_an_ordinary_user() -> None:
    users = re.findall(r"^USER (\S+)$", _text("Dockerfile"), re.MULTILINE)
    assert users[-1] == AIRFLOW["scheduler"]["user"]


@each_service
def test_ports_are_open_on_the_loopback_interface_only(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)
    assert "expose" not in SERVICES[name]


def test_the_database_has_no_way_out() -> None:
    assert COMPOSE["networks"]["inner"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["inner"]
    assert "ports" not in SERVICES["postgres"]


@each_service
def test_no_secret_is_written_down(name: str) -> None:
    given = set(SERVICES[name].get("secrets", []))
    for variable, value in SERVICES[name].get("environment", {}).items():
        names_a_file = variable.endswith(("_FILE", "_CMD"))
        assert names_a_file or not re.search(r"PASSWORD|SECRET|_KEY|TOKEN", variable), variable
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", value), variable
        assert set(re.findall(r"/run/secrets/(\w+)", value)) <= given, variable


def test_every_secret_is_a_file_that_the_script_makes(tmp_path: Path) -> None:
    made = _make_secrets(tmp_path / "secrets")
    declared = {name: Path(secret["file"]) for name, secret in COMPOSE["secrets"].items()}
    assert {path.name for path in declared.values()} == declared.keys() == made.keys()
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == declared.keys()


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    folder = tmp_path / "secrets"
    made = _make_secrets(folder)
    assert _make_secrets(folder) == made
    assert len(set(made.values())) == len(made)
    Fernet(made["fernet_key"])
    assert len(made["jwt_secret"]) >= 64
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / name).stat().st_mode & 0o777 for name in made} == {0o444}


def test_the_secrets_never_enter_git_or_the_image() -> None:
    assert "docker/secrets" in _text(".dockerignore").splitlines()
    for path in ("docker/secrets/fernet_key", ".env", ".env.sources"):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=PROJECT, check=False)
        assert ignored.returncode in {0, 128}, path  # 128: this copy of the project is no checkout


def test_the_example_gives_every_variable_that_is_required_and_no_other() -> None:
    text = _text("docker-compose.yml")
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    asked.add("COMPOSE_PROFILES")  # read by compose itself
    assert set(example_environment()) <= asked
    assert asked - set(example_environment()) == {"SECRETS_DIR"}
    with pytest.raises(MissingVariableError, match="AIRFLOW_CONN_SMTP_DEFAULT"):
        load_compose({})


def test_variables_are_filled_in_as_compose_does() -> None:
    assert fill_in("${A:-b}:$$c:${D}", {"D": "d"}) == "b:$c:d"


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_every_airflow_variable_is_an_option_that_is_read(name: str) -> None:
    known, secret = _airflow_options()
    for variable in AIRFLOW[name]["environment"]:
        if not variable.startswith("AIRFLOW__"):
            continue
        section, option = variable.removeprefix("AIRFLOW__").lower().split("__")
        if option.endswith("_cmd"):
            assert (section, option.removesuffix("_cmd")) in secret, f"{variable}: not an option with _CMD"
        else:
            assert (section, option) in known, f"{variable}: Airflow has no such option"


def test_the_settings_are_those_of_make_airflow(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(("AIRFLOW", "RECEIVABLES"))]:
        monkeypatch.delenv(variable)
    local = local_airflow.environment(home, port=8080)
    ours = {name: value for name, value in local.items() if name not in os.environ}
    server = AIRFLOW["scheduler"]["environment"]
    for variable, value in ours.items():
        if variable in DIFFERS:
            assert variable not in server or server[variable] != value
        elif variable in PLACES:
            assert variable in server
        else:
            here = value.replace(str(home.root), "/app").replace(str(home.home), "/var/lib/receivables")
            here = here.replace("127.0.0.1:8080/execution", "api-server:8080/execution")
            assert server.get(variable) == here, variable
    for variable in DIFFERS & {f"{name.removesuffix('_CMD')}" for name in server if name.endswith("_CMD")}:
        assert variable not in server, f"{variable} stands beside its _CMD"


@pytest.mark.parametrize("name", sorted({*AIRFLOW} - ONE_OFF))
def test_every_command_is_one_of_airflows(name: str) -> None:
    words = AIRFLOW[name]["command"]
    start = words.index("airflow") if "airflow" in words else words.index("/app/docker/scheduler.py")
    _airflow_parser().parse_args(words[start + 1 :])


def test_the_one_off_commands_are_in_the_project() -> None:
    assert (PROJECT / SERVICES["init"]["command"][1].removeprefix("/app/")).exists()
    module = SERVICES["demo-erp"]["command"][2]
    helped = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
    )
    assert {word for word in SERVICES["demo-erp"]["command"] if word.startswith("--")} <= set(
        helped.stdout.split()
    )


@pytest.mark.parametrize("name", sorted({*AIRFLOW} - ONE_OFF - {"api-server"}))
def test_the_monitor_knows_the_component_of_a_health_check(name: str) -> None:
    from airflow.api_fastapi.core_api.datamodels.monitor import HealthInfoResponse

    assert AIRFLOW[name]["healthcheck"]["test"][-1] in HealthInfoResponse.model_fields


def test_the_processes_wait_for_what_they_need() -> None:
    def awaited(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in SERVICES[name].get("depends_on", {}).items()}

    assert awaited("init") == {"postgres": "service_healthy"}
    assert awaited("api-server")["init"] == "service_completed_successfully"
    for name in ("scheduler", "dag-processor", "triggerer"):
        assert awaited(name)["api-server"] == "service_healthy"


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_what_a_run_writes_is_in_a_volume_and_settings_are_read_only(name: str) -> None:
    mounts = dict(mount.split(":", 1) for mount in AIRFLOW[name]["volumes"])
    assert mounts.pop("receivables-home") == "/var/lib/receivables"
    assert all(target.endswith(":ro") for target in mounts.values())
    assert "receivables-home" in COMPOSE["volumes"]
    for host in mounts:
        assert (PROJECT / host).exists()


def test_the_folder_of_sources_that_is_read_by_default_holds_the_demo_only() -> None:
    folder = AIRFLOW["scheduler"]["environment"]["RECEIVABLES_SOURCES"]
    files = (PROJECT / folder.removeprefix("/app/")).glob("*.y*ml")
    assert [file.name for file in files] == ["demo_erp_postgres.yml"]


def test_the_image_takes_only_what_exists_and_what_dockerignore_lets_through() -> None:
    let_through = {line[1:] for line in _text(".dockerignore").splitlines() if line.startswith("!")}
    taken = {source for sources, _ in dockerfile_copies() for source in sources}
    assert taken == let_through
    assert all((PROJECT / name).exists() for name in taken)


def test_the_entrypoint_turns_a_password_file_into_its_variable(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("it's $HOME & more\n")
    environment = {**os.environ, "ERP_PASSWORD_FILE": str(secret), "SSL_CERT_FILE": "/nowhere"}
    script = [str(PROJECT / "docker" / "entrypoint.sh"), sys.executable, "-c"]
    shown = subprocess.run(
        [*script, "import os; print(os.environ['ERP_PASSWORD'])"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout == "it's $HOME & more\n"
    missing = subprocess.run(
        [*script, "pass"], env={**environment, "ERP_PASSWORD_FILE": "/nowhere"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 78
    assert "ERP_PASSWORD: /nowhere cannot be read" in missing.stderr


def test_a_password_with_odd_characters_stays_whole_in_the_address(tmp_path: Path) -> None:
    from sqlalchemy.engine import make_url

    secret = tmp_path / "secret"
    secret.write_text("a/b@c:d%e f\n")
    script = [sys.executable, str(PROJECT / "docker" / "secret.py"), str(secret)]
    plain = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert plain == "a/b@c:d%e f"
    address = subprocess.run(
        [*script, "postgresql+psycopg2://airflow@postgres:5432/airflow"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    url = make_url(address)
    assert (url.username, url.password, url.host, url.database) == (
        "airflow", "a/b@c:d%e f", "postgres", "airflow",
    )  # fmt: skip


def test_the_database_script_keeps_the_databases_apart(tmp_path: Path, postgres: Postgres) -> None:
    import psycopg2

    from tests.deploy.databases import make_databases

    passwords = _make_secrets(tmp_path / "secrets")
    try:
        make_databases(postgres, tmp_path / "secrets")
        open_to = {
            ("airflow", "airflow"): True, ("airflow", "erp"): False,
            ("erp_owner", "erp"): True, ("erp_owner", "airflow"): False,
            ("erp_reader", "erp"): True, ("erp_reader", "airflow"): False,
        }  # fmt: skip
        secret_of = {"airflow": "airflow_db_password"}
        for (user, database), allowed in open_to.items():
            password = passwords[secret_of.get(user, f"{user}_password")]
            assert _can_connect(postgres, user, password, database) is allowed, (user, database)
        owner = Postgres(port=postgres.port, user="erp_owner", password=passwords["erp_owner_password"])
        reader = Postgres(port=postgres.port, user="erp_reader", password=passwords["erp_reader_password"])
        owner.execute("create table bills (n integer)", database="erp")
        reader.execute("select * from bills", database="erp")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader.execute("delete from bills", database="erp")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            reader.execute("create table mine (n integer)", database="erp")
    finally:
        for database in ("airflow", "erp"):
            postgres.execute(f"drop database if exists {database} with (force)")
        for role in ("airflow", "erp_owner", "erp_reader"):
            postgres.execute(f"drop role if exists {role}")


def _make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([PROJECT / "docker" / "make-secrets.sh", folder], check=True, stdout=subprocess.DEVNULL)
    return {path.name: path.read_text() for path in folder.iterdir()}


def _can_connect(postgres: Postgres, user: str, password: str, database: str) -> bool:
    import psycopg2

    try:
        Postgres(port=postgres.port, user=user, password=password).execute("select 1", database=database)
    except psycopg2.OperationalError:
        return False
    return True


def _is_exact(image: str) -> bool:
    """A tag with two or three numbers, down to the last that the project of that image counts."""
    name, _, tag = image.partition(":")
    version = re.match(r"v?(\d+(?:\.\d+)*)(?:-[\w.-]+)?$", tag)
    parts = len(version[1].split(".")) if version else 0
    return parts >= (2 if name == "postgres" else 3)


def _compose_schema() -> dict[str, Any]:
    """The schema that the compose project publishes, as it comes with check-jsonschema."""
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))


def _airflow_options() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """All options that Airflow and Cosmos read, and those that may come from a command."""
    from airflow.configuration import conf, retrieve_configuration_description

    described = retrieve_configuration_description(include_providers=True)
    known = {(section, option) for section, about in described.items() for option in about["options"]}
    cosmos = (resources.files("cosmos") / "settings.py").read_text(encoding="utf-8")
    known |= {("cosmos", option) for option in re.findall(r'conf\.get\w*\(\s*"cosmos",\s*"(\w+)"', cosmos)}
    return known, set(conf.sensitive_config_values)


def _airflow_parser() -> argparse.ArgumentParser:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def _text(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")
