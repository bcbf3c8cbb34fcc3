"""Who may call the service: tokens, roles, origins, limits, and the audit; and who tries to."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from thread_queue import ThreadQueue
from workspaces import about, new_workspace, quick

from kn_edit.cli.commands import kn_edit
from kn_edit.errors import BadTokenName, TokenExists, TokensNeeded, UnknownToken
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.in_folder import FolderPlace
from kn_edit.service.access import Role, role_needed
from kn_edit.service.access.guard import COOKIE
from kn_edit.service.access.limits import Rate
from kn_edit.service.access.tables import metadata
from kn_edit.service.access.tokens import PREFIX, SESSION_SECONDS, Tokens
from kn_edit.service.app import make_app
from kn_edit.workspace.settings import ServeSettings

API = "/api/v1"
MOST_BODY = ServeSettings().body_bytes
PUBLIC = {"/sign-in", "/sign-out", "/healthz", "/readyz"}
REMOTE = "http://127.0.0.1:8018"


@dataclass
class Door:
    """A served workspace, and what opens it."""

    client: TestClient
    app: Any
    secrets: dict[str, str]
    session: str

    def audit(self) -> list[Any]:
        return [row for _, row in self.app.state.service.access.audit.rows(1000)]

    def head(self) -> str:
        return str(self.app.state.service.workspace.head.id)

    def by(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def post(self, path: str, name: str | None = "edi", **options: Any) -> httpx.Response:
        """A write of somebody, or of nobody, on the head that is there."""
        headers = {"If-Match": f'"{self.head()}"'} | (self.by(name) if name else {})
        headers |= options.pop("headers", {})
        answer: httpx.Response = self.client.post(f"{API}{path}", headers=headers, **options)
        return answer


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    with new_workspace(folder) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
    folder = workspace.folder
    (folder / "kn-edit.toml").write_text('[serve]\nexports = "exports"\npush = ["me/model"]\n')
    (folder / "exports").mkdir()
    (folder / "exports" / "away").symlink_to("/tmp")
    secrets: dict[str, str] = {}
    with closing(ServiceDatabase.of(workspace.folder, metadata)) as database:
        tokens, then = Tokens(database), Tokens(database, lambda: time.time() - 1000)
        for name, role in (("rei", "reader"), ("edi", "editor"), ("pub", "publisher")):
            secrets[name] = tokens.create(name, role, seconds=3600)
        secrets["old"] = then.create("old", "publisher", seconds=10)
        secrets["gone"] = tokens.create("gone", "publisher", seconds=None)
        secrets["left"] = tokens.create("left", "publisher", seconds=None)
        left = tokens.sign_in(secrets["left"])
        tokens.revoke("gone")
        tokens.revoke("left")
        session = tokens.sign_in(secrets["edi"])
        assert session and left
        secrets["left session"] = left
    app = make_app(folder, address="127.0.0.1", jobs=lambda workspace: ThreadQueue(folder))
    with TestClient(app, base_url=REMOTE) as client:
        yield Door(client, app, secrets, session)


# --- attempts to get in where one does not belong -------------------------------------------------

UPDATE = {"relation": "capital", "subject": "France", "to": "Oslo"}
OPEN_LINE = "a\x1b]0;owned\x07\x1b[2J"


def _cookie(door: Door, **headers: str) -> dict[str, Any]:
    return {"headers": {"Cookie": f"{COOKIE}={door.session}"} | headers, "json": UPDATE}


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield b" " * 65536


Attempt = Callable[[Door], httpx.Response]
ATTEMPTS: dict[str, tuple[int, Attempt]] = {
    "reads without a token": (401, lambda d: d.client.get(f"{API}/status")),
    "a page without a token": (303, lambda d: d.client.get("/", follow_redirects=False)),
    "an edit without a token": (401, lambda d: d.post("/update", None, json=UPDATE)),
    "an answer without a token": (401, lambda d: d.client.post("/v1/completions", json={})),
    "a stream of a job without a token": (401, lambda d: d.client.get(f"{API}/jobs/0/events")),
    "the description without a role for the audit": (401, lambda d: d.client.get(f"{API}/audit")),
    "an empty token": (
        401,
        lambda d: d.client.get(f"{API}/status", headers={"Authorization": "Bearer "}),
    ),
    "a token that nobody made": (
        401,
        lambda d: d.client.get(
            f"{API}/status", headers={"Authorization": f"Bearer {PREFIX}{'A' * 43}"}
        ),
    ),
    "a token in another letter case": (
        401,
        lambda d: d.client.get(
            f"{API}/status", headers={"Authorization": f"Bearer {d.secrets['pub'].swapcase()}"}
        ),
    ),
    "the digest in place of the token": (
        401,
        lambda d: d.client.get(f"{API}/status", headers={"Authorization": "Bearer " + "0" * 64}),
    ),
    "a name and a password": (401, lambda d: d.client.get(f"{API}/status", auth=("pub", "pub"))),
    "a token in the query": (
        401,
        lambda d: d.client.get(
            f"{API}/status", params={"token": d.secrets["pub"], "access_token": d.secrets["pub"]}
        ),
    ),
    "two tokens": (
        401,
        lambda d: d.client.get(
            f"{API}/status",
            headers=[("Authorization", f"Bearer {d.secrets[name]}") for name in ("pub", "gone")],
        ),
    ),
    "an expired token": (401, lambda d: d.client.get(f"{API}/status", headers=d.by("old"))),
    "a revoked token": (401, lambda d: d.client.get(f"{API}/status", headers=d.by("gone"))),
    "the session of a revoked token": (
        401,
        lambda d: d.client.get(
            f"{API}/status", headers={"Cookie": f"{COOKIE}={d.secrets['left session']}"}
        ),
    ),
    "a token as the cookie": (
        401,
        lambda d: d.client.get(f"{API}/status", headers={"Cookie": f"{COOKIE}={d.secrets['pub']}"}),
    ),
    "a reader that edits": (403, lambda d: d.post("/update", "rei", json=UPDATE)),
    "a reader that takes back": (403, lambda d: d.post("/revert", "rei", json={"edit": "head"})),
    "a reader that names a version": (403, lambda d: d.post("/tags", "rei", json={"name": "x"})),
    "an editor that exports": (403, lambda d: d.post("/export", "edi", json={"target": "x"})),
    "an editor that publishes": (403, lambda d: d.post("/push", "edi", json={"repo": "me/model"})),
    "an editor that reads the audit": (
        403,
        lambda d: d.client.get(f"{API}/audit", headers=d.by("edi")),
    ),
    "another role by a header": (
        403,
        lambda d: d.post(
            "/export", "edi", json={"target": "x"}, headers={"X-Role": "publisher", "X-User": "pub"}
        ),
    ),
    "another method by a header": (
        405,
        lambda d: d.client.get(
            f"{API}/update", headers=d.by("rei") | {"X-HTTP-Method-Override": "POST"}
        ),
    ),
    "an export outside": (422, lambda d: d.post("/export", "pub", json={"target": "../../etc/x"})),
    "an export to a path from the root": (
        422,
        lambda d: d.post("/export", "pub", json={"target": "/x"}),
    ),
    "an export through a link": (
        422,
        lambda d: d.post("/export", "pub", json={"target": "away"}, headers={"Prefer": "wait=20"}),
    ),
    "a repository that is not allowed": (
        403,
        lambda d: d.post(
            "/push", "pub", json={"repo": "someone/else"}, headers={"Prefer": "wait=20"}
        ),
    ),
    "a file in place of a relation": (
        422,
        lambda d: d.post(
            "/assess",
            "rei",
            json={"relation": "../../../etc/passwd", "subject": "x"},
            headers={"Prefer": "wait=20"},
        ),
    ),
    "static files outside": (404, lambda d: d.client.get("/static/%2e%2e/%2e%2e/app.py")),
    "a version with dots and slashes": (
        404,
        lambda d: d.client.get(f"{API}/versions/..%2f..%2fledger.db", headers=d.by("rei")),
    ),
    "a body beyond the limit": (413, lambda d: d.post("/update", content=b" " * (MOST_BODY + 1))),
    "a body beyond the limit in chunks": (
        413,
        lambda d: d.post("/update", content=_chunks(MOST_BODY + 1)),
    ),
    "deep JSON": (
        400,
        lambda d: d.post(
            "/update", content=b"[" * 100_000, headers={"Content-Type": "application/json"}
        ),
    ),
    "what is no number": (
        422,
        lambda d: d.post(
            "/suppress",
            "rei",
            content=b'{"relation":"capital","subject":"France","threshold":NaN}',
            headers={"Content-Type": "application/json"},
        ),
    ),
    "a subject that steers a terminal": (422, lambda d: d.post("/tags", json={"name": OPEN_LINE})),
    "a name that is a template": (422, lambda d: d.post("/tags", json={"name": "{{7*7}}<script>"})),
    "a member that nobody asked for": (
        422,
        lambda d: d.post("/update", json=UPDATE | {"by": "pub"}),
    ),
    "a page of a stranger posts by cookie": (
        403,
        lambda d: d.post("/update", None, **_cookie(d, Origin="https://evil.example")),
    ),
    "a page of a stranger, another port": (
        403,
        lambda d: d.post("/update", None, **_cookie(d, Origin="http://127.0.0.1:9999")),
    ),
    "a page of no origin": (403, lambda d: d.post("/update", None, **_cookie(d, Origin="null"))),
    "a page of another site": (
        403,
        lambda d: d.post("/update", None, **_cookie(d, **{"Sec-Fetch-Site": "cross-site"})),
    ),
    "a cookie without a word of where from": (403, lambda d: d.post("/update", None, **_cookie(d))),
    "a name that leads here": (
        421,
        lambda d: d.client.get(
            f"{API}/status", headers=d.by("rei") | {"Host": "rebound.example:8018"}
        ),
    ),
    "a host with a user": (
        421,
        lambda d: d.client.get(
            f"{API}/status", headers=d.by("rei") | {"Host": "evil.example@127.0.0.1@x"}
        ),
    ),
    "another address by a header": (
        403,
        lambda d: d.client.get(
            f"{API}/audit", headers=d.by("rei") | {"X-Forwarded-For": "127.0.0.1"}
        ),
    ),
    "a job that is not there": (
        404,
        lambda d: d.client.delete(f"{API}/jobs/..", headers=d.by("edi")),
    ),
}


def test_there_are_forty_attempts() -> None:
    assert len(ATTEMPTS) >= 40


@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_is_refused_and_told(name: str, door: Door) -> None:
    door.client.cookies.clear()
    head, rows = door.head(), len(door.audit())
    status, attempt = ATTEMPTS[name]
    answer = attempt(door)
    assert answer.status_code == status, answer.text
    to_sign_in = status == 303 and answer.headers["Location"].startswith("/sign-in")
    assert to_sign_in or status >= 400
    assert door.head() == head
    assert not Path("/tmp/x").exists()
    if not to_sign_in:
        (row, *_), added = door.audit(), len(door.audit()) - rows
        assert added == 1
        assert row.status == answer.status_code
        text = json.dumps([str(value) for value in vars(row).values()])
        assert all(secret not in text for secret in door.secrets.values())
        assert all(value is None or str(value).isprintable() for value in vars(row).values())


def test_the_audit_is_shortened_by_the_statement_of_the_docs(door: Door) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r'"(DELETE FROM audit WHERE moment < \')[^\']+\'"', docs)
    door.client.cookies.clear()
    attempt = ATTEMPTS["an edit without a token"][1]
    attempt(door)
    audit = door.app.state.service.access.audit
    ((last, row),) = audit.rows(1)
    database = door.app.state.service.workspace.ledger_folder / "service.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"{statement}{row.moment}'")
    assert [number for number, _ in audit.rows(1000)] == [last]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"{statement}9999'")
    attempt(door)
    assert [number for number, _ in audit.rows(1000)] == [last + 1]


def test_what_a_refusal_says_gives_nothing_away(door: Door) -> None:
    answers = [
        door.client.get(f"{API}/status", headers=door.by(name)).json() for name in ("old", "gone")
    ]
    nobodys = {"Authorization": f"Bearer {PREFIX}{'B' * 43}"}
    answers.append(door.client.get(f"{API}/status", headers=nobodys).json())
    assert answers[0] == answers[1] == answers[2]


# --- what is let in ------------------------------------------------------------------------------


def served_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """The routes of an application, those of the routers in it too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from served_routes(route.original_router.routes)


def test_every_route_demands_a_role(door: Door) -> None:
    routes = [*served_routes(door.app.routes)]
    assert len(routes) > 40
    lacking = [
        route.path
        for route in routes
        if not any(role_needed(each.call) for each in route.dependant.dependencies)
    ]
    assert set(lacking) <= PUBLIC


def test_each_role_may_do_what_it_is_for(door: Door) -> None:
    for name in ("rei", "edi", "pub"):
        assert door.client.get(f"{API}/status", headers=door.by(name)).status_code == 200
    assert door.post("/tags", "edi", json={"name": "v1"}).status_code in (200, 201)
    rows = door.client.get(f"{API}/audit", headers=door.by("pub")).json()["items"]
    made = next(row for row in rows if row["path"] == f"{API}/tags" and row["status"] < 300)
    assert (made["caller"], made["role"], made["refused"]) == ("edi", "editor", None)


def test_a_browser_signs_in_and_out(door: Door) -> None:
    client, ours = door.client, {"Origin": REMOTE}
    client.cookies.clear()
    page = client.get("/", follow_redirects=False)
    assert page.headers["Location"] == "/sign-in?next=%2F"
    wrong = client.post("/sign-in", data={"token": "nobody's"}, headers=ours)
    assert wrong.status_code == 403 and "mistyped" in wrong.text
    secret = {"token": door.secrets["edi"], "next": "//evil.example"}
    answer = client.post("/sign-in", data=secret, headers=ours, follow_redirects=False)
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Max-Age"))
    assert "Secure" not in cookie
    by_tls = {"Origin": REMOTE.replace("http://", "https://")}  # as behind a proxy
    proxied = client.post("/sign-in", data=secret, headers=by_tls, follow_redirects=False)
    assert "Secure" in proxied.headers["Set-Cookie"]
    client.cookies.clear()
    client.post("/sign-in", data=secret, headers=ours)
    assert client.get("/").status_code == 200
    head = {"If-Match": f'"{door.head()}"'}
    made = client.post(f"{API}/tags", json={"name": "v2"}, headers=ours | head)
    assert made.status_code in (200, 201)
    client.post("/sign-out", headers=ours)
    assert client.get(f"{API}/status").status_code == 401
    client.cookies.clear()


def test_every_answer_has_the_headers_of_security(door: Door) -> None:
    for path in ("/sign-in", "/static/style.css", f"{API}/status", "/nothing"):
        headers = door.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy, path


def test_pages_hold_no_inline_script_or_style() -> None:
    import kn_edit.service.pages as pages

    templates = [*(Path(pages.__file__).parent / "templates").glob("*.html")]
    assert len(templates) > 5
    for template in templates:
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text), template


def test_without_tokens_this_machine_is_let_in_and_pages_of_others_are_not(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    app = make_app(folder, address="127.0.0.1")
    with TestClient(app, base_url=REMOTE) as client:
        assert client.get(f"{API}/status").status_code == 200
        tag = {"json": {"name": "v1"}, "headers": {"If-Match": "*"}}
        evil = tag["headers"] | {"Origin": "https://evil.example"}
        assert client.post(f"{API}/tags", json=tag["json"], headers=evil).status_code == 403
        assert client.post(f"{API}/tags", **tag).status_code in (200, 201)
        unused = {"Authorization": "Bearer unused"}  # chat clients send one in any case
        assert client.get(f"{API}/status", headers=unused).status_code == 200
        assert client.post(f"{API}/tags", json={}, headers=evil | unused).status_code == 403
        rows = app.state.service.access.audit.rows(10)
        assert [(row.caller, row.refused) for _, row in rows] == [
            ("local", "ForeignPage"),
            ("local", None),
            ("local", "ForeignPage"),
        ]


def test_the_settings_name_limits_and_pages_of_others_that_may_write(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    origin = "https://edits.example.org"
    lines = ["[serve]", f'origins = ["{origin}"]', "body_bytes = 1024", "requests_at_once = 5"]
    (folder / "kn-edit.toml").write_text("\n".join([*lines, "requests_per_second = 0.1", ""]))
    with TestClient(make_app(folder, address="127.0.0.1"), base_url=REMOTE) as client:

        def statuses(origin: str, body: Any) -> int:
            headers = {"If-Match": "*", "Origin": origin, "Sec-Fetch-Site": "cross-site"}
            return client.post(f"{API}/tags", json=body, headers=headers).status_code

        assert statuses(origin, {"name": "v1"}) in (200, 201)
        assert statuses(f"{origin}.evil.example", {"name": "v2"}) == 403
        assert statuses(f"{origin}:8443", {"name": "v2"}) == 403
        assert statuses(origin, {"name": "v" * 1024}) == 413
        assert client.get(f"{API}/status").status_code == 200
        refusal = client.get(f"{API}/status")
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "10")


def test_an_address_that_others_reach_needs_tokens(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with pytest.raises(TokensNeeded):
        make_app(folder, address="0.0.0.0")
    with closing(ServiceDatabase.of(workspace.folder, metadata)) as database:
        Tokens(database).create("ana", "reader", seconds=60)
    with TestClient(make_app(folder, address="0.0.0.0"), base_url=REMOTE) as client:
        assert client.get(f"{API}/status").status_code == 401


# --- tokens, and their commands ------------------------------------------------------------------


def test_tokens_expire_and_their_sessions_with_them(tmp_path: Path) -> None:
    moment = [1000.0]
    with closing(ServiceDatabase(FolderPlace(tmp_path), metadata)) as database:
        tokens = Tokens(database, lambda: moment[0])
        assert not tokens.any()
        secret = tokens.create("ana", "editor", seconds=SESSION_SECONDS / 2)
        session = tokens.sign_in(secret)
        assert session is not None and tokens.any()
        caller = tokens.in_session(session)
        assert caller == tokens.caller(secret) and caller and caller.role is Role.EDITOR
        moment[0] += SESSION_SECONDS / 2
        assert tokens.caller(secret) is None
        assert tokens.in_session(session) is None
        assert tokens.sign_in(secret) is None
        with pytest.raises(TokenExists):
            tokens.create("ana", "editor", seconds=1)
        with pytest.raises(UnknownToken):
            tokens.revoke("bob")
        for name in ("local", "", "a b", "x" * 65, "\N{CYRILLIC SMALL LETTER A}na"):
            with pytest.raises(BadTokenName):
                tokens.create(name, "editor", seconds=1)
    assert secret.encode() not in (tmp_path / "service.db").read_bytes()


def test_tokens_are_made_listed_and_revoked_by_commands(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        place = ["--workspace", str(workspace.folder)]
    run = CliRunner()
    made = run.invoke(kn_edit, ["token", "create", "ana", "--role", "editor", "--json", *place])
    record = json.loads(made.stdout)
    assert (record["name"], record["role"]) == ("ana", "editor")
    assert record["token"].startswith(PREFIX)
    assert run.invoke(kn_edit, ["token", "revoke", "ana", *place]).exit_code == 0
    listed = run.invoke(kn_edit, ["token", "list", *place]).stdout
    assert "ana" in listed and "revoked" in listed and record["token"] not in listed
    wrong = run.invoke(kn_edit, ["token", "create", "bob", "--expires", "soon", *place])
    assert wrong.exit_code == 2


def test_a_caller_that_asks_too_fast_waits(tmp_path: Path) -> None:
    moment = [0.0]
    rate = Rate(per_second=2, at_once=3, clock=lambda: moment[0])
    assert [rate.take("ana") for _ in range(4)] == [0, 0, 0, 1]
    assert rate.take("bob") == 0
    moment[0] += 0.5
    assert [rate.take("ana") for _ in range(2)] == [0, 1]
