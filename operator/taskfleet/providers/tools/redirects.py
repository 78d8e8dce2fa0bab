"""What is asked next after a redirect, as browsers do it. Pure."""

from dataclasses import dataclass, replace

from yarl import URL

from taskfleet.api.toolcalls import HttpArguments

_CHANGES_METHOD = (301, 302, 303)
_REDIRECTS = (*_CHANGES_METHOD, 307, 308)
# They were meant for the first server.
_SECRETS = frozenset(("authorization", "cookie", "proxy-authorization"))
_OF_A_BODY = frozenset(("content-type", "content-encoding", "content-language"))


class NotAWebAddress(Exception):
    """A redirect to what is no http or https URL."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a visit."""

    method: str
    url: URL
    headers: dict[str, str]
    body: bytes | None

    @classmethod
    def first(cls, arguments: HttpArguments) -> "Request":
        headers = {"User-Agent": "taskfleet", "Accept-Encoding": "gzip, deflate", **arguments.headers}
        body = None if arguments.body is None else arguments.body.encode()
        return cls(arguments.method, URL(arguments.url), headers, body)

    def redirected(self, status: int, location: str) -> "Request":
        """The request to make when the answer to this one says ``location``. Raises NotAWebAddress."""
        try:
            url = self.url.join(URL(location))
            there = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
        except ValueError:
            there = False
        if not there:
            raise NotAWebAddress(f"the server redirects to {location[:200]!r}, which is no http or https address")
        url = url.with_user(None)  # a server must not choose what we sign in with
        dropped = _SECRETS if url.origin() != self.url.origin() else frozenset[str]()
        if status in _CHANGES_METHOD and self.method not in ("GET", "HEAD"):
            return replace(self, method="GET", url=url, headers=self._without(dropped | _OF_A_BODY), body=None)
        return replace(self, url=url, headers=self._without(dropped))

    def _without(self, names: frozenset[str]) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in names}


def is_redirect(status: int) -> bool:
    return status in _REDIRECTS
