"""What is taken for a secret, and what is not. No token here was ever valid: they are put together on the spot."""

from __future__ import annotations

import base64
import hashlib
import random
import string

import pytest

from vaas.runtime.secrets import find_secrets

_ALPHABET = string.ascii_letters + string.digits
_random = random.Random(7)


def made_up(length: int, alphabet: str = _ALPHABET) -> str:
    return "".join(_random.choices(alphabet, k=length - 2)) + "a7"


def kinds(text: str, *, settings: bool = False) -> list[str]:
    return [secret.kind for secret in find_secrets(text, settings=settings)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("AWS access key", f'client("s3", "AKIA{made_up(16, "ABCDEFGHJKLMNPQRS").upper()[:14]}QR")'),
        ("GitHub token", f"headers = ['ghp_{made_up(36)}']"),
        ("GitHub token", f"github_pat_{made_up(82)}"),
        ("GitLab token", f"glpat-{made_up(20)}"),
        ("Slack token", f"xoxb-{made_up(12, string.digits)}-{made_up(24)}"),
        ("Google API key", f"AIza{made_up(35)}"),
        ("Hugging Face token", f"hf_{made_up(36, string.ascii_letters)[:34]}"),
        ("private key", "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nb3BlbnNza"),
        ("private key", "-----BEGIN " + "PRIVATE KEY-----"),
        ("JSON web token", f"eyJ{made_up(30)}.eyJ{made_up(60)}.{made_up(43)}"),
        ("API key", f"sk-proj-{made_up(60)}"),
        ("password in an address", 'create_engine("postgresql://alice:hunter2@db.example.org/x")'),
        ("token in an address", f"https://api.example.org/v1?access_token={made_up(32)}"),
        ("access token", f'{{"Authorization": "Bearer {made_up(40)}"}}'),
        ("password", 'password = "hunter2"'),
        ("password", "connect(host='x', password='s3cr3t!')"),
        ("password", 'os.environ["DB_PASSWORD"] = "correct-horse"'),
        ("password", '{"user": "a", "passwd": "Tr0ub4dor&3"}'),
        ("password", 'password: str = "hunter2"'),
        ("secret", f"client_secret = '{made_up(32)}'"),
        ("token", f'API_TOKEN="{hashlib.md5(b"x").hexdigest()}"'),
        ("key", f'openai.api_key = "{made_up(32)}"'),
        ("key", f'storage_key="{base64.b64encode(bytes(range(40, 104))).decode()}"'),
    ],
)
def test_a_secret_is_found_and_called_by_its_kind(kind: str, text: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        'password = ""',
        'password = "…"',
        'password = "changeme"',
        'password = "xxxxxxxx"',
        'password = "********"',
        'password = "<your password>"',
        'password = "your-password-here"',
        'password = "${DB_PASSWORD}"',
        'password = os.environ["DB_PASSWORD"]',
        'password = getpass("Password: ")',
        'password = os.getenv("DB_PASSWORD")',
        'if password == "hunter2": pass',
        'widgets.Password(description="Password", placeholder="Your password")',
        'columns = ["user", "password", "email"]',
        'password_file = "secrets/db.txt"',
        'columns = ["password", "password_lock_time", "user"]',
        'words = ["password",\n"geography2"]',
        'password = "secrets/db.txt"',
        'token = "<TOKEN>"',
        'token_type = "Bearer"',
        'tokenizer = "bert-base-uncased-2019"',
        'eos_token = "<|endoftext-2024-01|>"',
        'next_page_token = "CAESBkJhc2U2NDEyMzQ1Njc4OTA"',
        'key = "gdp_per_capita_2007_europe"',
        'sort_key = "population2020x17y"',
        'secret_name = "my-app-secret"',
        f'sha256 = "{hashlib.sha256(b"x").hexdigest()}"',
        f"# {hashlib.sha1(b'commit').hexdigest()} first version",
        'run_id = "6f1c24c4-0b1e-4c7a-9a47-0a7b0f7f9d51"',
        'token = "6f1c24c4-0b1e-4c7a-9a47-0a7b0f7f9d51"',
        "https://user:password@example.org/",
        "https://{user}:{password}@example.org/",
        "http://localhost:8888/?token=x@y",
        "AKIAIOSFODNN7EXAMPLE",
        '<img src="data:image/png;base64,' + base64.b64encode(_random.randbytes(30_000)).decode() + '">',
        "the keyboard, the monkey and the turkey",
        "mailto:alice@example.org",
    ],
)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert find_secrets(text) == []


def test_the_line_is_told_and_no_more_than_four_characters() -> None:
    (found,) = find_secrets('x = 1\n\npassword = "correct horse"\napi_token = "' + made_up(40) + '"\n')
    assert found.line == 4
    assert len(found.preview.rstrip("…")) == 4


def test_a_short_password_is_not_given_away_by_its_preview() -> None:
    (found,) = find_secrets('password = "hunter2"')
    assert found.preview == "hu…"


def test_files_of_settings_are_read_without_quotes() -> None:
    text = "HOST=db.example.org\nexport DB_PASSWORD=hunter2\nTOKEN=${TOKEN}\npasswd: geheim\n"
    assert kinds(text, settings=True) == ["password"]
    assert kinds(text) == []


def test_one_secret_is_told_once() -> None:
    token = f"ghp_{made_up(36)}"
    assert kinds(f'GITHUB_TOKEN = "{token}"') == ["GitHub token"]


def test_a_text_full_of_secrets_is_cut_short() -> None:
    assert len(find_secrets("\n".join(f'password = "hunter{i}!"' for i in range(1_000)))) == 50


@pytest.mark.parametrize("text", ["key" * 100_000, "a" * 500_000, "-----BEGIN " * 30_000, "x://" * 100_000])
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    assert find_secrets(text) == []
