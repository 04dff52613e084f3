"""People's votes: the table by hand, the page over HTTP as a browser and a stranger use it, and kill -9."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading

import pytest

from stylegan_toon.errors import DiskError, InputError, UsageError
from stylegan_toon.pipelines.rate import Votes, as_text, serve
from tests.pipelines.rated import METHODS, jpeg, result


@pytest.fixture
def votes(tmp_path):
    return Votes(tmp_path / "votes.sqlite", result())


def items(votes):
    with votes._open() as base:
        return {(method, photo): name for name, method, photo in base.execute("SELECT * FROM items")}


def test_the_table_counts_every_score_and_takes_a_persons_last_word(votes):
    at = items(votes)
    for rater, method, photo, score in [
        ("a", "cyclegan", 0, 5), ("a", "cyclegan", 1, 4), ("b", "cyclegan", 0, 4),
        ("b", "binarize-otsu", 2, 1), ("b", "binarize-otsu", 2, 2), ("a", "binarize-otsu", 0, 1),
    ]:  # fmt: skip
        votes.vote(rater, at[method, photo], score)
    assert votes.table() == [
        {"method": "cyclegan", "counts": [0, 0, 0, 2, 1], "average": pytest.approx(13 / 3)},
        {"method": "binarize-otsu", "counts": [1, 1, 0, 0, 0], "average": 1.5},
    ]
    assert as_text(votes.table())[1] == (
        "binarize-otsu: 1: 1 (50%) 2: 1 (50%) 3: 0 (0%) 4: 0 (0%) 5: 0 (0%), average 1.50 of 2"
    )
    with votes._open() as base:
        assert base.execute("SELECT COUNT(*) FROM votes").fetchone() == (6,)  # none was overwritten


def test_every_person_sees_everything_once_in_an_order_of_their_own(votes):
    orders = []
    for rater in ("one", "two", "three"):
        order = []
        while (name := votes.next(rater)[0]) is not None:
            order.append(name)
            votes.vote(rater, name, 3)
        assert sorted(order) == sorted(items(votes).values())
        assert votes.next(rater) == (None, 6, 6)
        orders.append(order)
    assert len({tuple(order) for order in orders}) == 3


def test_a_file_of_other_pictures_or_no_database_is_refused(votes, tmp_path):
    Votes(votes.path, result())  # the same again
    with pytest.raises(UsageError, match="other pictures"):
        Votes(votes.path, result(photos=[jpeg((9, 9, 9))] * 3))
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(DiskError, match="--votes"):
        Votes(tmp_path / "text", result())
    with pytest.raises(InputError, match="no pictures"):
        Votes(tmp_path / "new", result(cells=[]))
    for wrong in (0, 6):
        with pytest.raises(ValueError):
            votes.vote("a", next(iter(items(votes).values())), wrong)


class Browser:
    def __init__(self, port):
        self.port, self.cookie = port, None

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        if self.cookie:
            headers["Cookie"] = self.cookie
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        data = reply.read()
        if set_cookie := reply.getheader("Set-Cookie"):
            self.cookie = set_cookie.split(";")[0]
        connection.close()
        return reply.status, data, reply

    def rate(self, score):
        """What the page asks about gets the score; the item's name, or None at the end."""
        page = self.ask("GET", "/")[1].decode()
        found = re.search(r'name="item" value="([^"]+)"', page)
        if found is None:
            return None
        status, _, reply = self.ask("POST", "/vote", f"item={found[1]}&score={score}")
        assert (status, reply.getheader("Location")) == (303, "/")
        return found[1]


@pytest.fixture
def port(votes):
    address: list[str] = []
    there = threading.Event()

    def ready(url):
        address.append(url)
        there.set()

    threading.Thread(target=serve, args=(votes, 0, ready), daemon=True).start()
    assert there.wait(10)
    assert address[0].startswith("http://127.0.0.1:")
    return int(address[0].rstrip("/").rpartition(":")[2])


def test_a_person_rates_all_and_is_thanked_and_no_name_is_anywhere(votes, port):
    browser, seen, sent = Browser(port), [], b""
    page = browser.ask("GET", "/")[1]
    while (name := browser.rate(4)) is not None:
        seen.append(name)
        for side in ("photo", "made"):
            status, data, reply = browser.ask("GET", f"/{side}/{name}")
            assert (
                status == 200 and data[:2] == b"\xff\xd8" and reply.getheader("Content-Type") == "image/jpeg"
            )
        sent += browser.ask("GET", "/")[1]
    assert len(set(seen)) == 6 and b"Thank you" in sent
    assert votes.table()[0]["counts"] == [0, 0, 0, 3, 0]
    for method in METHODS:
        assert method.split("-")[0].encode() not in page + sent + " ".join(seen).encode()


@pytest.mark.parametrize(
    "body", ["", "item=ITEM", "item=ITEM&score=6", "item=ITEM&score=x", "item=ITEM&score=3&score=4",
             "item=no&score=3", "score=3", "item=ITEM&score=3.0", "item=ITEM&score=%D9%A3", "\xff\xfe"],
)  # fmt: skip
def test_what_is_no_vote_is_not_kept(votes, port, body):
    browser = Browser(port)
    page = browser.ask("GET", "/")[1].decode()
    name = re.search(r'name="item" value="([^"]+)"', page)[1]
    status, text, _ = browser.ask("POST", "/vote", body.replace("ITEM", name).encode("latin-1"))
    assert status == 400 and text.startswith(b"no vote")
    assert votes.table() == []


def test_strangers_long_forms_and_other_places_are_turned_away(votes, port):
    browser = Browser(port)
    name = re.search(r'value="([^"]+)"', browser.ask("GET", "/")[1].decode())[1]
    vote = f"item={name}&score=3"
    assert browser.ask("GET", "/", Host="evil.example")[0] == 403
    assert browser.ask("POST", "/vote", vote, Host=f"evil.example:{port}")[0] == 403
    assert browser.ask("POST", "/vote", vote, Origin="http://evil.example")[0] == 403
    assert browser.ask("POST", "/vote", vote + "&x=" + "y" * 2000)[0] == 400
    assert browser.ask("POST", "/elsewhere", vote)[0] == 404
    for path in ("/made/none", "/made/../votes.sqlite", "/votes.sqlite", "/made/", f"/method/{name}"):
        assert browser.ask("GET", path)[0] == 404
    assert Browser(port).ask("POST", "/vote", vote)[0] == 400  # nobody, without the page's cookie
    assert votes.table() == []


def test_a_port_that_is_taken_is_one_line(votes, port):
    with pytest.raises(UsageError, match=f"port {port} cannot be used"):
        serve(votes, port)


def test_votes_outlive_a_killed_server(tmp_path):
    (tmp_path / "compare.json").write_text(json.dumps(result()))
    command = [sys.executable, "-m", "stylegan_toon.cli", "compare", "rate", str(tmp_path)]
    browser = Browser(0)
    for killed in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            browser.port = int(server.stdout.readline().strip().rstrip("/").rpartition(":")[2])
            for _ in range(2):
                browser.rate(killed + 1)  # who comes back goes on where they were
            server.send_signal(signal.SIGKILL)
    done = subprocess.run([*command[:4], "votes", str(tmp_path), "--json"], capture_output=True, text=True)
    table = json.loads(done.stdout)["votes"]
    totals = [sum(column) for column in zip(*(one["counts"] for one in table), strict=True)]
    assert totals == [2, 2, 0, 0, 0]
