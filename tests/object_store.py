"""A local object store, which answers as Amazon S3 does: lists of objects, 1,000 at most, and objects."""

import http.server
import threading
from contextlib import contextmanager
from urllib.parse import parse_qsl, unquote, urlsplit


class Store(http.server.ThreadingHTTPServer):
    """A server with one bucket, "museum": objects are {key: bytes}; a key in `broken` gives that status."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects, self.broken, self.signed = {}, {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def address(self, path, **options):
        options = {"region": "here", "scheme": "http", "endpoint_override": f"127.0.0.1:{self.server_port}"} | options
        return f"s3://{path}?" + "&".join(f"{name}={value}" for name, value in options.items())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        store, url = self.server, urlsplit(self.path)
        store.signed.append("Authorization" in self.headers)
        bucket, _, key = unquote(url.path)[1:].partition("/")
        if bucket != "museum":
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif not key:
            self.answer(200, self.listed(dict(parse_qsl(url.query))))
        elif key in store.broken or key not in store.objects:
            self.answer(store.broken.get(key, 404), b"<Error><Code>Wrong</Code></Error>")
        else:
            self.answer(200, store.objects[key])

    def listed(self, query):
        keys = sorted(key for key in self.server.objects if key.startswith(query.get("prefix", "")))
        start = int(query.get("continuation-token", 0))
        page, more = keys[start : start + 1000], start + 1000 < len(keys)
        contents = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.server.objects[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{start + 1000}</NextContinuationToken>" if more else ""
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        ).encode()

    def answer(self, status, content):
        wanted = self.headers.get("Range")
        if status == 200 and wanted:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            status, whole, content = 206, len(content), content[first : last + 1]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{whole}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@contextmanager
def started():
    """A Store that runs."""
    store = Store()
    yield store
    store.shutdown()
    store.server_close()


def bucket(folder, text):
    """A folder with a file that holds this address."""
    folder.mkdir()
    (folder / "photos.bucket").write_text(text)
    return folder
