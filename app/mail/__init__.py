"""The only door through which Tradewind hands over mail, and what it knows of the bytes that went out.

Up to the server's 354 nothing of a message has left: whatever goes wrong before is surely not sent. `before_send` is
awaited then, right before the first byte of the content; from there until the answer to the final dot is read, nobody
can know. Also kept here: certificates always verified, no private address that the operator did not name, nothing
unencrypted over the internet.

    dial   a connection to a permitted address
    door   one conversation with a mail server
    reply  what a server's answer means
"""

from app.mail.door import Door

__all__ = ["Door"]
