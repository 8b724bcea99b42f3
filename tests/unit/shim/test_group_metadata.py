import pytest

from shim.protocol.group_metadata import GroupMetadata


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (GroupMetadata("g", -1, "", None), b"CGMDv2:\xff\xff\xff\xffg\0\0\1"),
        (GroupMetadata("g", 1, "m", None), b"CGMDv2:\1\0\0\0g\0m\0\1"),
        (GroupMetadata("żółć", 2, "m", "i1"), b"CGMDv2:\2\0\0\0" + "żółć".encode() + b"\0m\0\0i1\0"),
    ],
)
def test_the_bytes_are_librdkafkas(metadata: GroupMetadata, expected: bytes) -> None:
    assert metadata.encode() == expected
    assert GroupMetadata.decode(expected) == metadata


@pytest.mark.parametrize("wrong", [b"", b"CGMDv2:", b"CGMDv1:\1\0\0\0g\0m\0\1", b"CGMDv2:\1\0\0\0g\0m", b"x" * 40])
def test_what_is_none(wrong: bytes) -> None:
    with pytest.raises(ValueError, match="no consumer group metadata"):
        GroupMetadata.decode(wrong)
