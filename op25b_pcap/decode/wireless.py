"""IEEE 802.11 frames, and the headers that say how they were received."""

from __future__ import annotations

from op25b_pcap.decode.steps import MOST_HEADERS, Ahead, Around, Skip, Step, View, between, fields
from op25b_pcap.wire import link
from op25b_pcap.wire.layers import LINK_TYPES, Layer


def radiotap(view: View, around: Around) -> Ahead:
    """Radiotap: its length stands at its beginning."""
    _, _, length = fields(link.RADIOTAP, view)
    return _behind(length, link.RADIOTAP.size, view, around)


def prism(view: View, around: Around) -> Ahead:
    """The header of Prism cards, or AVS under the same number."""
    code, length = fields(link.PRISM, view)
    if code not in link.PRISM_CODES:
        return avs(view, around)
    return _behind(length, link.PRISM.size, view, around)


def avs(view: View, around: Around) -> Ahead:
    """The header of the AVS project."""
    _, length = fields(link.AVS, view)
    return _behind(length, link.AVS.size, view, around)


def _behind(length: int, least: int, view: View, around: Around) -> Ahead:
    if length < least:
        raise Skip("malformed")
    return Ahead(Layer.WLAN, view.after(length), around)


def ppi(view: View, around: Around) -> Ahead:
    """Per-packet information: before a frame of any link type."""
    _, _, length, link_type = fields(link.PPI, view)
    known = LINK_TYPES.get(link_type)
    if known is None:
        raise Skip("unsupported_link_type")
    if length < link.PPI.size:
        raise Skip("malformed")
    return Ahead(known.layer, view.after(length + known.skip), around)


def wlan(view: View, around: Around) -> Ahead | list[Ahead]:
    """A data frame (IEEE 802.11 section 9.3.2), or several in one."""
    (control,) = fields(link.WLAN_CONTROL, view)
    if control & link.WLAN_TYPE != link.WLAN_DATA or control & link.WLAN_NO_DATA:
        raise Skip("no_ip")
    if control & link.WLAN_PROTECTED:
        raise Skip("encrypted")
    size = link.WLAN_HEADER
    if control & link.WLAN_FOUR_ADDRESSES == link.WLAN_FOUR_ADDRESSES:
        size += 6
    is_aggregate = False
    if control & link.WLAN_QOS:
        is_aggregate = bool(view.least(size + 1)[size] & link.WLAN_AGGREGATE)
        size += 6 if control & link.WLAN_ORDER else 2
    data = view.least(size)
    around = around.at(between(data[10:16], data[4:10]))
    rest = view.after(size)
    if is_aggregate:
        return _subframes(rest, around)
    if rest.data[:1] != bytes([link.SNAP_SAP]) == rest.data[2:3]:
        rest = rest.after(2)  # some drivers align what follows the header
    return Ahead(Layer.LLC, rest, around)


def _subframes(view: View, around: Around) -> list[Ahead]:
    found: list[Ahead] = []
    while len(view.data) >= link.SUBFRAME.size and len(found) < MOST_HEADERS:
        dst, src, length = fields(link.SUBFRAME, view)
        body = view.after(link.SUBFRAME.size)
        found.append(Ahead(Layer.LLC, body.within(length), around.at(between(src, dst))))
        view = body.after(length + -(link.SUBFRAME.size + length) % link.SUBFRAME_ALIGNMENT)
    if not found:
        raise Skip("truncated" if len(view.data) < view.length else "malformed")
    return found


STEPS: dict[Layer, Step] = {
    Layer.WLAN: wlan,
    Layer.RADIOTAP: radiotap,
    Layer.PRISM: prism,
    Layer.AVS: avs,
    Layer.PPI: ppi,
}
