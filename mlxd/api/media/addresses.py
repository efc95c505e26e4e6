"""Which addresses are public: of whoever anybody may reach, and not of this machine, its network or its provider."""

import ipaddress

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_NOT_PUBLIC = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's own services, in every virtual machine
    ipaddress.ip_network("192.0.0.0/24"),  # IETF protocols, and the metadata of one provider (RFC 6890)
    ipaddress.ip_network("192.88.99.0/24"),  # relays of 6to4
    ipaddress.ip_network("::/96"),  # IPv4 in IPv6, as it was once written
    ipaddress.ip_network("64:ff9b:1::/48"),  # a network's own NAT64 (RFC 8215)
    ipaddress.ip_network("2001::/32"),  # Teredo, with an IPv4 address behind
    ipaddress.ip_network("2002::/16"),  # 6to4, likewise
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
    ipaddress.ip_network("5f00::/16"),  # segment routing (RFC 9602)
    ipaddress.ip_network("fec0::/10"),  # of a site, as it was once
)


def is_public(text: str) -> bool:
    """Tells whether a numeric address, which may have a scope, is public. What is no address is not."""
    try:
        address = _embedded(ipaddress.ip_address(text))
    except ValueError:
        return False
    is_odd = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local or address.is_private
    return address.is_global and not is_odd and not any(address in network for network in _NOT_PUBLIC)


def _embedded(address: _Address) -> _Address:
    """Returns the IPv4 address that an IPv6 address stands for, where the system goes there by it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
