"""The files of the page."""

from pathlib import Path

from fastapi import FastAPI, HTTPException, Response

FOLDER = Path(__file__).parents[1] / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""No script but the page's own files, and no request to other servers."""


def add_static_files(app: FastAPI) -> None:
    """Adds the page at `/` and its files under `/page/`."""
    files = {
        path.name: Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=HEADERS)
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    }

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return files["index.html"]

    @app.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "There is no such file.")
        return files[name]
