"""Airflow plugin: the check results (Data Docs) in Airflow's menu, for whoever may use Airflow's pages, and
the service levels as deadlines.

A route of a plugin is open to anybody unless it says otherwise; here each asks Airflow's own login. Every
process of Airflow imports this file, and only the API server needs the pages: it builds them when it asks.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from airflow.plugins_manager import AirflowPlugin

from receivables.deadline_airflow import Promised

if TYPE_CHECKING:
    from fastapi import FastAPI

# What a page of check results may do in the browser of a person who is logged in: show itself.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
PREFIX = "/receivables"
NOTHING_YET = "<!DOCTYPE html><title>Checks</title><p>No checks have run yet.</p>"


def check_pages() -> FastAPI:
    """The pages below `data_docs/`, for users of Airflow's own pages only."""
    from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
    from airflow.api_fastapi.core_api.security import requires_access_view
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
    from starlette.exceptions import HTTPException as AnyHTTPException

    from receivables.settings import Settings

    app = FastAPI(
        title="Receivables",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
    )

    @app.get("/checks/{page:path}")
    def show(page: str) -> Response:
        folder = Settings.load().data_docs
        file = _page(folder, page or "index.html")
        if file is None:
            if page in ("", "index.html"):
                return HTMLResponse(NOTHING_YET, headers=HEADERS)
            raise HTTPException(404, "there is no such page of check results; old ones are removed")
        return FileResponse(file, media_type="text/html", headers=HEADERS)

    @app.exception_handler(AnyHTTPException)
    async def log_in_first(request: Request, error: AnyHTTPException) -> Response:
        """Whoever follows a link in a mail is asked to log in, and then sees the page."""
        if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
            airflow = request.scope.get("root_path", "").removesuffix(PREFIX)
            return RedirectResponse(
                f"{airflow}/api/v2/auth/login?next={quote(str(request.url), safe='')}", 303
            )
        return await http_exception_handler(request, error)

    return app


def _page(folder: Path, page: str) -> Path | None:
    """A page of the folder; None for what is not there, lies outside, is hidden, or is no page."""
    root = folder.resolve()
    file = (root / page).resolve()
    if not file.is_relative_to(root) or file.suffix != ".html" or not file.is_file():
        return None
    is_hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return None if is_hidden else file


class ReceivablesPlugin(AirflowPlugin):
    """Adds *Browse → Receivables checks*, and the deadlines that the DAGs name."""

    name = "receivables"
    deadline_references: ClassVar[list[type]] = [Promised]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Receivables checks",
            "href": "receivables/checks/index.html",
            "destination": "nav",
            "category": "browse",
            "url_route": "receivables-checks",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Built once, by the process that serves them."""
        return [{"app": check_pages(), "url_prefix": PREFIX, "name": "Receivables"}]
