"""CRC-32C (Castagnoli), the checksum of TensorFlow's files, at the speed of memory.

A CRC is the remainder of the message, a polynomial over GF(2), after division by P = 0x11EDC6F41; multiples of P may be
XORed away. One multiple of P has six terms only, all of them at whole words: y^209 + y^144 + y^54 + y^39 + y^14 + 1,
y = x^64. By it a word of 8 bytes is taken out of the message when it is XORed into the words 65, 155, 170, 195 and 209
places after it, and 65 neighbours at once are taken out by five operations of numpy. The square of a polynomial over
GF(2) has every exponent doubled: the same holds for 2, 4, 8… times these distances, with as many times the neighbours.
What is left at the end of the message is divided byte by byte.

Sources: RFC 3720, appendix B.4 (test values); https://github.com/google/leveldb/blob/main/util/crc32c.h (masking)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_DISTANCES = (65, 155, 170, 195, 209)  # words, to those that a word is XORed into
_WIDE = 32  # the multiple of the distances for long messages; 16 to 64 are equally fast
_BLOCK = 2**18  # bytes worked on at once: they stay in the processor's cache
_START = np.frombuffer(bytes.fromhex("0000000054641f64"), np.uint64)  # brings a register of 0 to 0xFFFFFFFF


def crc32c(data: npt.NDArray[np.uint8]) -> int:
    """The checksum of `data` (n,), which is neither changed nor copied as a whole; 32 bits."""
    words = _START
    end = len(data) // 8 * 8
    for start in range(0, end, _BLOCK):
        block = data[start : min(start + _BLOCK, end)]
        words = _fold(np.concatenate([words.view(np.uint8), block]).view(np.uint64), _WIDE)
    for scale in (4, 1):
        words = _fold(words, scale)
    register = 0
    for byte in words.tobytes() + data[end:].tobytes():
        register = _TABLE[(register ^ byte) & 0xFF] ^ register >> 8
    return register ^ 0xFFFFFFFF


def masked_crc32c(data: npt.NDArray[np.uint8]) -> int:
    """The checksum as it is stored: turned and shifted, so that checksums of data with checksums in it are sound."""
    crc = crc32c(data)
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF


def _fold(words: npt.NDArray[np.uint64], scale: int) -> npt.NDArray[np.uint64]:
    """The last 209 * `scale` words of a message, after all others were taken out; `words` are overwritten."""
    end = max(len(words) - _DISTANCES[-1] * scale, 0)
    step = _DISTANCES[0] * scale
    for start in range(0, end, step):
        gone = words[start : min(start + step, end)]
        for distance in _DISTANCES:
            into = words[start + distance * scale :][: len(gone)]
            into ^= gone
    return words[end:]


def _divided(register: int) -> int:
    for _ in range(8):
        register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)  # P without x^32, its lowest bit first
    return register


_TABLE = [_divided(byte) for byte in range(256)]
