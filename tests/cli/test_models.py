"""`models`: whatever a server does, a file is there whole and right, or not at all."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stylegan_toon import downloads
from stylegan_toon.pipelines import catalogue
from tests.https import Server, serving

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    with serving(folder) as server:
        yield server, folder / "cert.pem"


@pytest.fixture
def server(certified, tmp_path, monkeypatch) -> Server:
    """Trusted by this process, with 1 MiB to give; the models folder is empty."""
    server, certificate = certified
    server.content, server.etag, server.faults, server.asked = CONTENT, '"one"', [], []
    server.go_on.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(downloads, "PAUSE", 0.01)
    return server


@pytest.fixture
def get(here, server):
    """Run `models get model.bin` against the server."""

    def run(*args: str, sha256: str = SHA, path: str = "model.bin"):
        return here("models", "get", "model.bin", "--url", server.url(path), "--sha256", sha256, *args)

    return run


def here_is(folder: Path) -> list[str]:
    """The files in the models folder but for the lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def refused(done, code: int, *words: str) -> None:
    """One line of at most 200 characters, with the words; the code; nothing on stdout."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == code, done.stderr
    assert len(errors) == 1 and len(errors[0]) <= 200, done.stderr
    assert all(word in errors[0] for word in words), errors[0]
    assert done.stdout == ""


def test_a_file_is_fetched_whole_and_only_once(get, server, tmp_path):
    done = get("--quiet")
    path = tmp_path / "models" / "model.bin"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    assert path.read_bytes() == CONTENT
    assert here_is(path.parent) == ["model.bin", "model.bin.sha256"]
    assert get().returncode == 0 and len(server.asked) == 1
    sums = subprocess.run(["sha256sum", "-c", "model.bin.sha256"], cwd=path.parent, capture_output=True)
    assert sums.returncode == 0


@pytest.mark.parametrize(
    "fault, words",
    [
        ("404", "404 Not Found"),
        ("html", "is a web page"),
        ("typed html", "is a web page"),
        ("to http://localhost/model.bin", "which is not https"),
        ("to file:///etc/passwd", "is not allowed"),
        ("to ftp://localhost/model.bin", "which is not https"),
        ("silent", "no answer in time"),
    ],
)
def test_a_bad_answer_leaves_no_file(fault, words, get, server, tmp_path):
    server.faults = [fault]
    refused(get("--timeout", "0.2"), 10, words, "--from-file")
    assert len(server.asked) == 1
    assert not (tmp_path / "models" / "model.bin").exists()
    assert get().returncode == 0


def test_a_wrong_digest_is_named_and_nothing_kept(get, tmp_path):
    refused(get(sha256="0" * 64), 10, "has SHA-256", SHA[:12], "000000000000", "--from-file")
    assert here_is(tmp_path / "models") == []


@pytest.mark.parametrize("fault", ["", "endless", "chunked"])
@pytest.mark.parametrize("wanted", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_a_wrong_length_is_refused_whether_it_is_announced_or_not(fault, wanted, server, tmp_path):
    server.faults = [fault]
    with pytest.raises(downloads.DownloadError, match=f"{wanted}"):
        downloads.fetch(server.url(), tmp_path / "model.bin", SHA, wanted)
    assert here_is(tmp_path) == []


def test_a_file_of_unknown_length_is_cut_off_at_the_limit(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_BYTES", len(CONTENT) // 2)
    for fault in ("", "endless", "chunked"):
        server.faults = [fault]
        with pytest.raises(downloads.DownloadError, match="524288"):
            downloads.fetch(server.url(), tmp_path / "model.bin", SHA)
        assert here_is(tmp_path) == []


def test_a_cut_connection_is_taken_up_where_it_ended(get, server, tmp_path):
    server.faults = ["cut", "cut", "cut", "cut"]  # each brings half of what is left
    assert get().returncode == 0
    assert (tmp_path / "models" / "model.bin").read_bytes() == CONTENT
    assert [asked.get("Range", "") for asked in server.asked][:3] == ["", "bytes=524288-", "bytes=786432-"]
    assert all(asked["If-Range"] == '"one"' for asked in server.asked[1:])


@pytest.mark.parametrize(
    "fault, requests",
    [("no range", 2), ("wrong part", 3), ("slow", 3), ("503", 3), ("chunked", 2), ("silent", 2)],
)
def test_an_answer_that_does_not_go_on_is_started_over_or_tried_again(fault, requests, get, server, tmp_path):
    server.faults = ["cut", fault]
    done = get("--timeout", "0.3")
    if fault == "silent":  # nobody there: no use in asking again at once
        refused(done, 10, "no answer in time")
        assert here_is(tmp_path / "models") == [".model.bin.json", ".model.bin.part"]
        done = get("--timeout", "5")
        requests += 1
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "model.bin").read_bytes() == CONTENT
    assert len(server.asked) == requests


@pytest.mark.parametrize("trusting", [False, True], ids=["as it should", "a server that ignores If-Range"])
def test_a_file_that_has_changed_meanwhile_is_fetched_from_its_start(trusting, get, server, tmp_path):
    server.content, server.etag = b"old" * 99999, '"old"'
    server.faults = ["cut", "404"]
    refused(get(), 10, "404")
    server.content, server.etag = CONTENT, '"new"'
    server.faults = ["no If-Range"] if trusting else []
    assert get().returncode == 0
    assert (tmp_path / "models" / "model.bin").read_bytes() == CONTENT


def test_without_a_strong_mark_a_download_starts_over(get, server):
    for etag in (None, 'W/"weak"'):
        server.etag, server.faults = etag, ["cut", "404"]
        get(sha256="1" * 64)
        assert [("Range" in asked) for asked in server.asked] == [False, False]
        server.asked.clear()


def test_a_damaged_note_about_the_part_starts_over(get, server, tmp_path):
    note = tmp_path / "models" / ".model.bin.json"
    mark = '{"url": "%s", "mark": "\\"a\\r\\nX: y\\""}' % server.url()  # noqa: UP031
    for text in (b"", b"[]", b"{}", b"\xff", b'{"url": 1, "mark": 2}', mark.encode()):
        server.faults = ["cut", "404"]
        get()
        note.write_bytes(text)
        server.asked.clear()
        assert get().returncode == 0
        assert ["Range" in asked for asked in server.asked] == [False]
        (note.parent / "model.bin").unlink()


def test_a_part_that_is_too_long_is_thrown_away(get, server, tmp_path):
    server.faults = ["cut", "404"]
    get()
    with (tmp_path / "models" / ".model.bin.part").open("ab") as part:
        part.write(CONTENT)
    done = get()
    assert done.returncode == 0 and "what was here does not fit; starting over" in done.stderr
    assert (tmp_path / "models" / "model.bin").read_bytes() == CONTENT


def test_a_part_that_was_damaged_meanwhile_is_fetched_from_its_start(get, server, tmp_path):
    server.faults = ["cut", "404"]
    get()
    part = tmp_path / "models" / ".model.bin.part"
    part.write_bytes(b"x" + part.read_bytes()[1:])
    done = get()
    assert done.returncode == 0 and "starting over" in done.stderr
    assert [("Range" in asked) for asked in server.asked] == [False, True, True, False]


def test_a_page_in_place_of_the_rest_leaves_the_part_for_later(get, server, tmp_path):
    server.faults = ["cut", "typed html"]
    refused(get(), 10, "is a web page")
    assert (tmp_path / "models" / ".model.bin.part").stat().st_size == len(CONTENT) // 2
    assert get().returncode == 0
    assert server.asked[-1]["Range"] == f"bytes={len(CONTENT) // 2}-"


def test_headway_counts_and_standing_still_ends_after_three_times(get, server, tmp_path):
    server.faults = ["cut", "503", "503", "503"]
    refused(get(), 10, "503", "run the command again")
    assert len(server.asked) == 4
    assert (tmp_path / "models" / ".model.bin.part").stat().st_size == len(CONTENT) // 2


def test_an_untrusted_certificate_and_a_closed_port_are_told_with_the_remedy(get, server, here, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    refused(get(), 10, "its certificate is not valid", "--from-file")
    assert server.asked == []
    url = "https://localhost:1/model.bin"
    done = here("models", "get", "model.bin", "--url", url, "--sha256", SHA)
    refused(done, 10, url, "no connection", "--from-file")


def test_a_known_file_that_cannot_be_reached_names_address_and_remedy(here, server, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://localhost:1")
    done = here("models", "get", "clip-vit-b-32")
    refused(done, 10, "https://openaipublic.azureedge.net/", "ViT-B-32.pt", "--from-file")
    assert catalogue.BY_NAME["clip-vit-b-32"].url in done.stderr  # whole, in the line before


def test_only_https_is_asked(get, here, server):
    wrong = ("http://localhost/a", "file:///etc/passwd", "localhost/a", "", "ftp://localhost/a", "https://")
    for url in (*wrong, "https:///a", "https://[/a", "https://localhost:x/a", "https://local host/a\n"):
        refused(here("models", "get", "model.bin", "--url", url, "--sha256", SHA), 2, "https")
    assert server.asked == []


def test_a_link_is_replaced_and_what_it_points_to_left_alone(get, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("model.bin", ".model.bin.part", ".model.bin.json"):
        (tmp_path / f"of {name}").write_text("precious")
        (folder / name).symlink_to(tmp_path / f"of {name}")
    assert get().returncode == 0
    assert not (folder / "model.bin").is_symlink()
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert all(path.read_text() == "precious" for path in tmp_path.glob("of *"))


def test_a_folder_that_cannot_be_written_ends_with_9(get, here, server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "file" / "models"))
    refused(get(), 9, "could not be written", "STYLEGAN_TOON_MODELS")
    (tmp_path / "dir" / "model.bin").mkdir(parents=True)
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "dir"))
    refused(get(), 9, "model.bin")
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "shut"))
        refused(get(), 9, "Permission denied")


def test_a_disk_that_fills_up_ends_with_9_and_no_rest(get, server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, hard))
    try:
        done = get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused(done, 9, "model.bin could not be written", "free some space")
    assert here_is(tmp_path / "models") == []


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(get, server, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    refused(get(), 9, f"has {len(CONTENT) - 1} bytes free, the file needs {len(CONTENT)}")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_after_a_kill_in_the_middle_the_next_run_goes_on(how, get, server, tmp_path):
    server.faults = ["wait"]
    command = [sys.executable, "-m", "stylegan_toon.cli", "models", "get", "model.bin"]
    command += ["--url", server.url(), "--sha256", SHA]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "models" / ".model.bin.part"
    while not (part.exists() and part.stat().st_size == len(CONTENT) // 2):
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    child.send_signal(how)
    assert child.wait(20) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]
    child.stderr.close()
    server.go_on.set()
    assert here_is(part.parent) == [".model.bin.json", ".model.bin.part"]
    assert get().returncode == 0
    assert (tmp_path / "models" / "model.bin").read_bytes() == CONTENT
    assert [asked.get("Range") for asked in server.asked] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_whole_part_needs_no_connection(get, server, tmp_path):
    part = tmp_path / "models" / ".model.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert get().returncode == 0
    assert server.asked == [] and here_is(part.parent) == ["model.bin", "model.bin.sha256"]


def test_of_two_at_once_one_fetches_and_the_other_waits(server, tmp_path):
    server.faults = ["wait"]
    said: list[str] = []
    results: list[Path] = []

    def run() -> None:
        results.append(downloads.fetch(server.url(), tmp_path / "model.bin", SHA, report=said.append))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not any("waiting for another process" in line for line in said):
        time.sleep(0.01)
    server.go_on.set()
    for thread in threads:
        thread.join(20)
    assert results == [tmp_path / "model.bin"] * 2
    assert len(server.asked) == 2  # the cut one, and the one that went on
    assert results[0].read_bytes() == CONTENT


def test_a_file_at_hand_is_copied_under_the_same_rules(here, server, tmp_path):
    for name, content in (("good", CONTENT), ("page", b"<html>Google Drive - quota"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
    refused(here("models", "get", "ffhq-256", "--from-file", "page"), 10, "page", "is a web page")
    refused(here("models", "get", "ffhq-256", "--from-file", "empty"), 10, "is empty")
    refused(here("models", "get", "ffhq-256", "--from-file", "none"), 2, "none cannot be read")
    refused(here("models", "get", "ffhq-256", "--from-file", "."), 2, "cannot be read")
    refused(here("models", "get", "lpips-vgg", "--from-file", "good"), 10, "1048576 bytes, not 553433881")
    refused(here("models", "get", "lpips-squeeze", "--from-file", "good"), 10, "has SHA-256", "b8a52dc049b6")
    refused(here("models", "get", "ffhq-256", "--from-file", "good", "--sha256", "0" * 64), 10, "has SHA-256")
    assert here_is(tmp_path / "models") == []
    done = here("models", "get", "ffhq-256", "--from-file", "good", "--json")
    document = json.loads(done.stdout)
    path = tmp_path / "models" / "ffhq-256.pt"
    assert document["results"] == [{"name": "ffhq-256", "path": str(path), "error": None}]
    assert path.read_bytes() == CONTENT and (tmp_path / "good").exists()
    assert here("models", "path", "ffhq-256").stdout == f"{path}\n"
    assert here("models", "get", "ffhq-256").stdout == f"{path}\n"  # its digest is recorded now
    assert server.asked == []


def test_what_was_fetched_is_verified_listed_and_removed(get, here, server, tmp_path):
    assert here("models", "verify").stdout == ""
    get()
    path = tmp_path / "models" / "model.bin"
    assert here("models", "verify").stdout == f"model.bin ok, SHA-256 {SHA}\n"
    rows = {row["name"]: row for row in json.loads(here("models", "list", "--json").stdout)["models"]}
    assert rows["model.bin"]["path"] == str(path) and rows["model.bin"]["size"] == len(CONTENT)
    assert rows["clip-vit-b-32"]["path"] is None and "faces-128.generator.safetensors" in rows
    path.write_bytes(CONTENT[:-1] + b"x")
    refused(here("models", "verify", "model.bin"), 10, "has SHA-256", "models get model.bin")
    assert get().returncode == 0  # repairs it
    assert here("models", "remove", "model.bin").stdout == f"{path}\n"
    assert list(path.parent.iterdir()) == []
    refused(here("models", "remove", "model.bin"), 4, "was fetched")
    refused(here("models", "verify", "clip-vit-b-32"), 4, "models get clip-vit-b-32")


def test_one_failure_among_several_is_told_and_the_others_done(get, here, server):
    get()
    done = here("models", "verify", "model.bin", "ffhq-256", "--json")
    assert done.returncode == 4
    assert [row["error"] is None for row in json.loads(done.stdout)["results"]] == [True, False]
    assert "ffhq-256 is not here" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["get"],
        ["remove"],
        ["list", "clip-vit-b-32"],
        ["fetch", "clip-vit-b-32"],
        ["get", "a", "b", "--sha256", SHA],
        ["verify", "a", "--url", "https://localhost"],
        ["get", "ffhq-256"],
        ["get", "ffhq-256", "--sha256", "abc"],
        ["get", "clip-vit-b-32", "--sha256", "0" * 64],
        ["get", "../up", "--url", "https://localhost/a", "--sha256", SHA],
        ["get", ".hidden", "--url", "https://localhost/a", "--sha256", SHA],
        ["get", "a\nb", "--url", "https://localhost/a", "--sha256", SHA],
        ["get", "x" * 300, "--url", "https://localhost/a", "--sha256", SHA],
        ["get", "a", "--url", "https://localhost/a"],
        ["get", "a", "--url", "https://localhost/a", "--from-file", "b"],
        ["remove", "../up"],
    ],
    ids=lambda args: " ".join(args)[:30].replace("\n", "?"),
)
def test_wrong_usage_ends_with_2_before_anything_is_asked(args, here, server, tmp_path):
    refused(here("models", *args), 2)
    assert server.asked == [] and not (tmp_path / "models").exists()


def test_an_unknown_name_is_answered_with_where_the_known_are(here, server):
    refused(here("models", "get", "ffhq-512"), 4, "models list")
    refused(here("models", "path", "nothing"), 4, "models list")


def test_every_address_is_https_and_every_digest_whole():
    assert len({known.file for known in catalogue.KNOWN}) == len(catalogue.BY_NAME) == len(catalogue.KNOWN)
    for known in catalogue.KNOWN:
        assert known.url.startswith("https://") and known.licence and known.use
        assert known.sha256 == "" or downloads.SHA256.fullmatch(known.sha256)
        assert Path(known.file).name == known.file
    # These addresses carry their file's digest, or the first eight digits of it.
    for known in catalogue.KNOWN:
        if "clip/models" in known.url:
            assert f"/{known.sha256}/" in known.url
        if known.name.startswith(("lpips", "inception")):
            assert f"-{known.sha256[:8]}.pth" in known.url


def test_where_fetched_models_go(here, tmp_path, monkeypatch):
    monkeypatch.delenv("STYLEGAN_TOON_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform not in ("darwin", "win32"):
        assert here("models", "path").stdout == f"{tmp_path / 'cache' / 'stylegan-toon' / 'models'}\n"
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(tmp_path / "home"))
    assert here("models", "path").stdout == f"{tmp_path / 'home' / 'models'}\n"
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "mine"))
    assert here("models", "path").stdout == f"{tmp_path / 'mine'}\n"
