"""The door for mail: which servers may be called, that it is encrypted, and when a message may still go."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from app.connector import Envelope, Mailbox, MailServer
from app.domain.connections import Connection, base_url_problem
from app.errors import ConfigError, CredentialError, PermanentError, RetryableError, UnsureError
from app.http.transport import _verifying
from app.mail import Door
from app.mail.reply import login_meaning, meaning, recipient_meaning
from app.registry import Registry
from app.sandbox_mail import Listener

START = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
LETTER = Envelope("shop@example.com", ("ada@example.com",), b"Subject: Hi\r\n\r\nHello\r\n")


@pytest.fixture
async def server() -> AsyncIterator[tuple[MailServer, list[Envelope]]]:
    """A mail server on the loopback, and what it took."""
    taken: list[Envelope] = []

    def receive(envelope: Envelope) -> str:
        taken.append(envelope)
        return "250 taken"

    listener = Listener(lambda: Mailbox({"shop": "secret"}, lambda *_: None, receive), lambda *_: None, lambda _: None)
    port = await listener.start("127.0.0.1", 0)
    yield MailServer("127.0.0.1", port, "none", "shop", SecretStr("secret")), taken
    await listener.stop()


def named(address: str) -> Callable[..., Sequence[Any]]:
    """A name service that knows one address."""

    def lookup(host: str, port: int, *_: Any) -> Sequence[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return lookup


async def test_a_message_is_taken_with_its_dots_and_line_ends(server: tuple[MailServer, list[Envelope]]) -> None:
    there, taken = server
    content = b"Subject: Hi\n\n.\n..\nline\rend"
    said = await Door().send(there, replace(LETTER, content=content), allowed=[("127.0.0.1", there.port)])
    assert said == "250 taken"
    assert taken[0].content == b"Subject: Hi\r\n\r\n.\r\n..\r\nline\r\nend\r\n"


async def test_the_mark_is_made_right_before_the_content(server: tuple[MailServer, list[Envelope]]) -> None:
    there, taken = server
    marked = []

    async def mark() -> None:
        marked.append(len(taken))
        raise RuntimeError("the lane was lost")

    with pytest.raises(RuntimeError, match="lost"):
        await Door().send(there, LETTER, allowed=[("127.0.0.1", there.port)], before_send=mark)
    assert marked == [0]
    assert taken == []


async def test_a_mark_that_took_too_long_lets_nothing_go(server: tuple[MailServer, list[Envelope]]) -> None:
    there, taken = server

    async def mark() -> None:
        await asyncio.sleep(0.01)

    with pytest.raises(RetryableError, match="deadline"):
        await Door().send(there, LETTER, allowed=[("127.0.0.1", there.port)], within=0.001, before_send=mark)
    assert taken == []


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1"])
async def test_a_name_that_leads_into_a_private_network_is_not_called(address: str) -> None:
    door = Door(lookup=named(address))
    with pytest.raises(PermanentError, match="is not a public address"):
        await door.send(MailServer("mail.example.com", 587, "starttls"), LETTER)
    with pytest.raises(PermanentError, match=r"base_url: smtp://mail\.example\.com:587"):
        await door.greet(MailServer("mail.example.com", 587, "starttls"), allowed=[("mail.example.com", 25)])


async def test_nothing_goes_unencrypted_over_the_internet(
    server: tuple[MailServer, list[Envelope]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, taken = server
    monkeypatch.setattr("app.mail.door.is_refused", lambda address: False)
    with pytest.raises(PermanentError, match="encrypted only"):
        await Door().send(there, LETTER, allowed=[("127.0.0.1", there.port)])
    assert taken == []


async def test_a_server_that_does_not_encrypt_gets_no_password(server: tuple[MailServer, list[Envelope]]) -> None:
    there, _ = server
    with pytest.raises((PermanentError, RetryableError), match="STARTTLS"):
        await Door().greet(replace(there, security="starttls"), allowed=[("127.0.0.1", there.port)])


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate with its key, PEM."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))])
    made = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    return made.public_bytes(serialization.Encoding.PEM), private


@asynccontextmanager
async def encrypted(folder: Any, name: str) -> AsyncIterator[tuple[MailServer, bytes]]:
    """A server that speaks TLS from the first byte and greets, and its certificate."""
    pem, key = certificate(name)
    (folder / "both.pem").write_bytes(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            writer.write(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 ok\r\n")
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    yield MailServer("127.0.0.1", listening.sockets[0].getsockname()[1], "tls"), pem
    listening.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Any) -> None:
    async with encrypted(tmp_path, "127.0.0.1") as (there, pem):
        with pytest.raises(RetryableError, match="certificate is not valid"):
            await Door().greet(there, allowed=[("127.0.0.1", there.port)])
        trusting = ssl.create_default_context(cadata=pem.decode())
        said = await Door(tls=trusting).greet(there, allowed=[("127.0.0.1", there.port)])
        assert "with TLS" in said


async def test_a_certificate_of_another_host_is_refused(tmp_path: Any) -> None:
    async with encrypted(tmp_path, "127.0.0.2") as (there, pem):
        trusting = ssl.create_default_context(cadata=pem.decode())
        with pytest.raises(RetryableError, match="certificate is not valid"):
            await Door(tls=trusting).greet(there, allowed=[("127.0.0.1", there.port)])


def test_a_context_that_verifies_nothing_is_not_taken() -> None:
    with pytest.raises(ConfigError):
        Door(tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if False else ssl.PROTOCOL_TLS_SERVER))
    assert _verifying(None).check_hostname


@pytest.mark.parametrize("address", ["a@b> RCPT TO:<c@d", "a b@c.example", "a@c.example\r\nDATA", "", "a@é.example"])
async def test_what_is_no_address_never_stands_in_a_command(address: str) -> None:
    with pytest.raises(PermanentError, match="is not an address"):
        await Door().send(MailServer("mail.example.com", 587, "starttls"), replace(LETTER, recipients=(address,)))


async def test_a_name_that_nobody_knows_and_a_server_that_is_away_are_tried_again() -> None:
    def unknown(*_: Any) -> Sequence[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(RetryableError, match="could not be resolved"):
        await Door(lookup=unknown).greet(MailServer("no.example", 587, "starttls"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RetryableError, match="the connection failed"):
        await Door().greet(MailServer("127.0.0.1", port, "none"), allowed=[("127.0.0.1", port)])


def test_replies_mean_what_the_standards_say() -> None:
    assert isinstance(meaning(451, "later", "it"), RetryableError)
    assert isinstance(meaning(552, "too large", "it"), PermanentError)
    assert isinstance(login_meaning(535, "5.7.8 no"), CredentialError)
    assert isinstance(login_meaning(454, "4.7.0 later"), RetryableError)
    assert isinstance(login_meaning(421, "busy"), RetryableError)
    assert recipient_meaning(550, "5.1.1 unknown", "a@b.example").gone  # type: ignore[attr-defined]
    assert not recipient_meaning(550, "5.7.1 blocked by policy", "a@b.example").gone  # type: ignore[attr-defined]


async def test_a_message_that_was_given_up_does_not_get_its_end_later() -> None:
    """A server that stops reading in the middle: what is still buffered here is thrown away, not sent on."""
    go_on, rest = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while not (line := await reader.readline()).startswith(b"DATA"):
            writer.write(b"250 ok\r\n")
        assert line
        writer.write(b"354 go on\r\n")
        await go_on.wait()
        kept = b""
        try:
            while chunk := await reader.read(1 << 20):
                kept = (kept + chunk)[-100:]
        except ConnectionError:
            pass
        rest.set_result(kept)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, limit=1024)
    there = MailServer("127.0.0.1", listening.sockets[0].getsockname()[1], "none")
    long = replace(LETTER, content=b"Subject: Hi\r\n\r\n" + b"x" * 70 * 300_000)
    with pytest.raises(UnsureError, match="too long"):
        await Door().send(there, long, allowed=[("127.0.0.1", there.port)], timeout=1.0)
    go_on.set()
    assert b"\r\n.\r\n" not in await rest
    listening.close()


@pytest.mark.parametrize(
    ("base_url", "host", "security", "allowed"),
    [
        (None, "smtp.example.com:587", "starttls", ()),
        ("smtp://10.0.0.5:25", "10.0.0.5:25", "starttls", (("10.0.0.5", 25),)),
        ("smtps://relay", "relay:465", "tls", (("relay", 465),)),
    ],
)
def test_the_operators_base_url_names_the_server(base_url: str, host: str, security: str, allowed: object) -> None:
    connector = Registry()["email"]
    settings = connector.settings.model_validate({"sender": "shop@example.com", "host": "smtp.example.com"})
    made = Connection(UUID(int=1), "main", "mail", connector, "", None, settings, base_url, False, "", START)
    assert (made.host, made.mail_server.security, made.allowed) == (host, security, allowed)


def test_a_base_url_is_of_the_kind_that_its_connector_speaks() -> None:
    registry = Registry()
    assert base_url_problem(registry["email"], "smtp://127.0.0.1:25") is None
    assert base_url_problem(registry["email"], "http://127.0.0.1") == "base_url is an smtp or smtps address"
    assert base_url_problem(registry["slack"], "smtp://127.0.0.1") == "base_url is an http or https address"
    assert base_url_problem(registry["slack"], "http://[") is not None
