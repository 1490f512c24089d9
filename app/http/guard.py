"""Which addresses a request may reach: the public internet, and what the operator named as a `base_url`."""

import ipaddress
from functools import lru_cache

_REFUSED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "::/96",  # IPv4-compatible, unspecified, loopback
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64 of a network's own, RFC 8215
        "100::/64",  # discard
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation, RFC 9637
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fec0::/10",  # site-local
    )
)


def is_private_host(host: str) -> bool:
    """Whether a host of an address is, as it is written, outside the public internet. (What a name leads to is looked
    at when it is connected to.)"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".").lower().rpartition(".")[2] == "localhost"
    return is_refused(host)


@lru_cache(maxsize=4096)
def is_refused(address: str) -> bool:
    """Whether an IP address, as the socket names it, is outside the public internet (or cannot be read)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    special = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast
    if special or ip.is_reserved or not ip.is_global:
        return True
    return any(ip in block for block in _REFUSED if block.version == ip.version)
