"""The check results in Airflow's menu: for people who are logged in, and nothing but the check results."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI
from fastapi.testclient import TestClient

from receivables.settings import Settings
from receivables_plugin import ReceivablesPlugin, _page
from tests.conftest import PROJECT

pytestmark = pytest.mark.airflow


class _Manager:
    """An auth manager that knows one user, who may see Airflow's pages or not."""

    def __init__(self, *, allows: bool) -> None:
        self.allows = allows

    def is_authorized_view(self, **_: object) -> bool:
        return self.allows


@pytest.fixture
def settings(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECEIVABLES_HOME", str(home.home))
    page = home.data_docs / "validations" / "marts" / "x.html"
    page.parent.mkdir(parents=True)
    page.write_text("a page", encoding="utf-8")
    (home.data_docs / "index.html").write_text("the index", encoding="utf-8")
    (home.data_docs / "history.json").write_text("[]", encoding="utf-8")
    (home.data_docs / ".hidden.html").write_text("hidden", encoding="utf-8")
    (home.home / "secret.html").write_text("secret", encoding="utf-8")
    (home.data_docs / "link.html").symlink_to(home.home / "secret.html")
    return home


def app() -> FastAPI:
    [entry] = ReceivablesPlugin().fastapi_apps
    assert entry["url_prefix"] == "/receivables"
    return entry["app"]


@pytest.fixture
def logged_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    served = app()
    served.dependency_overrides[get_user] = lambda: "admin"
    manager = _Manager(allows=True)
    monkeypatch.setattr("airflow.api_fastapi.core_api.security.get_auth_manager", lambda: manager)
    return TestClient(served)


def test_nobody_sees_a_page_without_logging_in(settings: Settings) -> None:
    client = TestClient(app())
    for path in ("/checks/", "/checks/index.html", "/checks/validations/marts/x.html", "/checks/none.html"):
        assert client.get(path).status_code == 401


def test_whoever_follows_a_link_in_a_mail_is_asked_to_log_in_first(settings: Settings) -> None:
    outer = FastAPI()
    outer.mount("/receivables", app())
    client = TestClient(outer, follow_redirects=False)
    answer = client.get("/receivables/checks/x.html", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["location"] == (
        "/api/v2/auth/login?next=http%3A%2F%2Ftestserver%2Freceivables%2Fchecks%2Fx.html"
    )


def test_a_user_who_may_not_see_airflows_pages_sees_none_of_these(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = app()
    served.dependency_overrides[get_user] = lambda: "somebody"
    manager = _Manager(allows=False)
    monkeypatch.setattr("airflow.api_fastapi.core_api.security.get_auth_manager", lambda: manager)
    assert TestClient(served).get("/checks/index.html").status_code == 403


def test_who_is_logged_in_sees_the_index_and_its_pages(logged_in: TestClient) -> None:
    assert logged_in.get("/checks/").text == "the index"
    answer = logged_in.get("/checks/validations/marts/x.html")
    assert answer.text == "a page"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/checks/../secret.html",
        "/checks/%2e%2e/secret.html",
        "/checks/..%2fsecret.html",
        "/checks/link.html",
        "/checks/history.json",
        "/checks/.hidden.html",
        "/checks/validations",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_but_the_check_results_is_served(logged_in: TestClient, path: str) -> None:
    answer = logged_in.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_an_absolute_path_is_not_a_page(settings: Settings) -> None:
    assert _page(settings.data_docs, str(settings.home / "secret.html")) is None
    assert _page(settings.data_docs, "validations/marts/x.html") is not None


def test_before_the_first_checks_the_page_says_so(home: Settings, logged_in: TestClient) -> None:
    (home.data_docs / "index.html").unlink()
    assert "No checks have run yet" in logged_in.get("/checks/index.html").text


def test_the_menu_leads_to_the_pages_and_airflow_imports_no_other_file() -> None:
    [view] = ReceivablesPlugin.external_views
    assert view["href"] == "receivables/checks/index.html"
    imported = {path.name for path in (PROJECT / "plugins").glob("*.py")}
    assert imported == {"receivables_plugin.py"}
    ignored = (PROJECT / "plugins" / ".airflowignore").read_text(encoding="utf-8").split()
    assert ignored == ["receivables/"]
    assert Path(PROJECT / "plugins" / "receivables").is_dir()
