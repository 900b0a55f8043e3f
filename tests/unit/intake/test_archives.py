"""ImageFolder archives: what becomes of good ones, and what of those that were made to do harm."""

import gzip
import io
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distilled import npz
from distilled.errors import UploadError
from distilled.report import Report
from tests.fuzz.mutating import zips
from tests.unit.intake.sets import folder, look, look_into, png, tarred, told_kind, zipped
from workers.intake import Limits

FORMS = {"zip": zipped, "tar": tarred, "tar.gz": lambda files: tarred(files, packed=True)}


def problems(caught: pytest.ExceptionInfo[UploadError]) -> list[tuple[str, str]]:
    return [(found.pointer, found.detail) for found in caught.value.problems]


@pytest.mark.parametrize("form", FORMS)
def test_an_image_folder_becomes_the_npz_that_workers_read(tmp_path: Path, form: str) -> None:
    facts, report = look(tmp_path, FORMS[form](folder()))
    assert (facts.shape, facts.classes) == ((3, 8, 8), ("cat", "dog"))
    assert (facts.train_counts, facts.test_counts, facts.val_counts) == ((5, 5), (5, 5), None)
    assert npz.read(tmp_path / "made.npz", "train_labels").tolist() == [0] * 5 + [1] * 5
    first = npz.read(tmp_path / "made.npz", "train_images")[0]
    assert (first == np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).all()
    told = report.to_json()
    assert told["images"] == {"train": 10, "test": 10}
    assert told["sizes"] == [{"width": 8, "height": 8, "images": 20}]
    assert (told["resized"], told["converted"], told["split"]) == (0, 0, "as it was sent")
    assert told["duplicates"] == {"within": {"train": 0, "test": 0}, "across": 0, "conflicting": 0, "first": []}


def test_the_same_images_are_the_same_bytes_in_any_order_and_form(tmp_path: Path) -> None:
    files = folder()
    made = set()
    for form in FORMS.values():
        for ordered in (files, dict(reversed(files.items())), {f"wrapped/in/{name}": c for name, c in files.items()}):
            look(tmp_path, form(ordered))
            made.add((tmp_path / "made.npz").read_bytes())
    assert len(made) == 1


def test_without_a_test_split_a_stratified_one_is_made_and_said(tmp_path: Path) -> None:
    facts, report = look(tmp_path, zipped(folder(splits=("train/",), each=10)))
    assert (facts.train_counts, facts.test_counts) == ((8, 8), (2, 2))
    assert "one image in 5 of each class" in report.split
    again, _ = look(tmp_path, tarred(folder(splits=("",), each=10)))  # class folders alone are train
    assert again.digest == facts.digest


def test_a_validation_split_is_kept(tmp_path: Path) -> None:
    facts, _ = look(tmp_path, zipped(folder(splits=("train/", "valid/", "test/"))))
    assert facts.val_counts == (5, 5)


def test_odd_images_are_resized_converted_counted_and_bad_ones_named(tmp_path: Path) -> None:
    files = folder() | {
        "train/cat/large.png": png(90, size=(16, 8)),
        "train/cat/grey.png": png(91, mode="L"),
        "train/cat/clear.png": png(92, mode="RGBA"),
        "train/cat/palette.gif": png(93, mode="P", form="GIF"),
        "train/cat/again.png": folder()["train/cat/0.png"],
        "train/dog/leak.png": folder()["test/cat/0.png"],
        "train/cat/text.png": b"this is no image",
        "train/cat/cut.png": png(94)[:90],
        "train/cat/nested.zip": zipped(folder()),
        "README.md": b"about",
        "__MACOSX/train/cat/._0.png": b"x",
        "train/.DS_Store": b"x",
    }
    facts, report = look(tmp_path, zipped(files))
    told = report.to_json()
    assert facts.train_counts == (10, 6)
    assert (told["resized"], told["converted"]) == (1, 3)
    assert told["modes"] == {"RGB": 23, "L": 1, "P": 1, "RGBA": 1}
    assert told["unreadable"] == {
        "count": 2,
        "first": [
            {"name": "train/cat/text.png", "detail": "is no image; known are PNG, JPEG, BMP, GIF, PPM, TIFF, WEBP"},
            {"name": "train/cat/cut.png", "detail": "is cut off or damaged"},
        ],
    }
    assert [file["name"] for file in told["skipped"]["first"]] == ["train/cat/nested.zip", "README.md"]
    assert told["duplicates"]["within"] == {"train": 1, "test": 0}
    assert (told["duplicates"]["across"], told["duplicates"]["conflicting"]) == (1, 1)
    assert {"name": "train/cat/again.png", "same_as": "train/cat/0.png"} in told["duplicates"]["first"]


def test_grey_images_stay_grey_and_sixteen_bits_become_eight(tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415 -- for this one image

    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0x8040, dtype=np.uint16)).save(buffer, "PNG")
    files = {
        f"{split}/{name}/{i}.png": png(i, mode="L") for split in ("train", "test") for name in "ab" for i in range(2)
    }
    facts, report = look(tmp_path, zipped(files | {"train/a/deep.png": buffer.getvalue()}))
    assert facts.shape == (1, 8, 8)
    assert report.converted == 1
    assert npz.read(tmp_path / "made.npz", "train_images")[2].max() == 0x80


def test_an_upright_photograph_is_turned_as_it_is_looked_at(tmp_path: Path) -> None:
    exif = bytes.fromhex("45786966000049492a0008000000010012010300010000000600000000000000")  # orientation 6
    files = {f"train/{name}/{i}.jpg": png(i, size=(16, 8), form="JPEG", exif=exif) for name in "ab" for i in range(3)}
    facts, report = look(tmp_path, zipped(files))
    assert (facts.shape, report.turned, report.resized) == ((3, 16, 8), 6, 0)


def test_what_is_larger_than_the_largest_is_made_smaller_in_proportion(tmp_path: Path) -> None:
    files = {f"train/{name}/{i}.png": png(i, size=(512, 256)) for name in "ab" for i in range(2)}
    facts, report = look(tmp_path, zipped(files))
    assert (facts.shape, report.resized) == ((3, 128, 256), 4)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


HOSTILE_MEMBERS = {
    "symbolic link": special("train/cat/link.png", tarfile.SYMTYPE, "/etc/passwd"),
    "hard link": special("train/cat/hard.png", tarfile.LNKTYPE, "train/cat/0.png"),
    "character device": special("train/cat/null.png", tarfile.CHRTYPE),
    "block device": special("train/cat/disk.png", tarfile.BLKTYPE),
    "pipe": special("train/cat/pipe.png", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("what", HOSTILE_MEMBERS)
def test_links_and_devices_in_a_tar_are_refused_by_name(tmp_path: Path, what: str) -> None:
    member = HOSTILE_MEMBERS[what]
    with pytest.raises(UploadError) as caught:
        look(tmp_path, tarred(folder(), member))
    ((pointer, detail),) = problems(caught)
    assert pointer == f"/{member.name}"
    assert "link" in detail or "device" in detail
    assert not (tmp_path / "made.npz").exists()


NAMES = ["/etc/cat/x.png", "../train/cat/x.png", "train/../../x.png", "C:/train/cat/x.png", "train\\cat\\x.png"]
NAMES += ["train/cat/a\nb.png", "train/" + "deep/" * 40 + "x.png", "train/cat/" + "x" * 2000 + ".png"]


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, form: str, name: str) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, FORMS[form](folder() | {name: png(99)}))
    assert problems(caught)[0][0] == f"/{name[:200]}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sent"]


def zip_entry(content: bytes = b"x", *, mode: int = 0, flags: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, image in folder().items():
            archive.writestr(name, image)
        info = zipfile.ZipInfo("train/cat/odd.png")
        info.external_attr = mode << 16
        archive.writestr(info, content)
    made = bytearray(buffer.getvalue())
    if flags:
        made[made.rindex(b"PK\x01\x02") + 8] |= flags
    return bytes(made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zip_entry(b"/etc/passwd", mode=stat.S_IFLNK | 0o777), "symbolic link"),
        (zip_entry(mode=stat.S_IFCHR | 0o666), "device"),
        (zip_entry(flags=1), "encrypted"),
    ],
)
def test_links_devices_and_encrypted_members_of_a_zip_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, content)
    ((pointer, detail),) = problems(caught)
    assert pointer == "/train/cat/odd.png"
    assert said in detail


@pytest.mark.parametrize(
    ("files", "pointer", "said"),
    [
        ({}, "", "no image"),
        ({"train/cat/readme.txt": b"x"}, "", "no image"),
        ({"train/0.png": png()}, "", "no image in a folder of a class"),
        ({"test/cat/0.png": png(), "test/dog/0.png": png(1)}, "", "train/"),
        ({"train/cat/0.png": b"x", "test/cat/0.png": b"y"}, "", "no image that can be read"),
        (folder() | {"train/bird/": b""}, "/train", "'bird'"),
        (folder() | {"train/bird/x.png": b"text"}, "/train", "'bird'"),
        (folder() | {"test/bird/0.png": png(99)}, "/train", "'bird'"),
        ({"train/cat/0.png": png(), "train/dog/0.png": png(1)}, "/test", "'cat', 'dog'"),
        ({f"train/{name}/{i}.png": png(i, size=(3, 3)) for name in "ab" for i in range(2)}, "", "3 x 3"),
        ({f"train/{'x' * 101}/{i}.png": png(i) for i in range(2)}, "/classes", "100"),
        ({f"train/{'a' + chr(0x202E) + 'b'}/{i}.png": png(i) for i in range(2)}, "/classes", "printable"),
    ],
)
def test_a_folder_that_is_no_data_set_says_why(
    tmp_path: Path, files: dict[str, bytes], pointer: str, said: str
) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, zipped(files))
    assert problems(caught)[0][0] == pointer
    assert said in problems(caught)[0][1]


def test_one_class_and_strange_letters_are_no_fault(tmp_path: Path) -> None:
    facts, _ = look(
        tmp_path, zipped({f"train/{name}/{i}.png": png(i) for name in ("a,b", "猫 'x'", "é") for i in range(2)})
    )
    assert facts.classes == ("a,b", "é", "猫 'x'")
    decomposed, _ = look(tmp_path, zipped(folder(classes=("e\u0301",), splits=("train/",)) | {"test/é/0.png": png(50)}))
    assert (decomposed.classes, decomposed.test_counts) == (("é",), (1,))


def giant_png() -> bytes:
    """A PNG that claims 100 000 x 100 000 pixels in a hundred bytes."""
    small = png()
    header = bytearray(small[8:33])
    header[8:16] = (100_000).to_bytes(4) * 2
    import zlib  # noqa: PLC0415 -- for one checksum

    header[21:25] = zlib.crc32(bytes(header[4:21])).to_bytes(4)
    return small[:8] + bytes(header) + small[33:]


def test_an_image_that_claims_to_be_huge_is_left_out_by_name(tmp_path: Path) -> None:
    _, report = look(tmp_path, zipped(folder() | {"train/cat/huge.png": giant_png()}))
    assert report.unreadable.first[0]["name"] == "train/cat/huge.png"
    assert "claims" in report.unreadable.first[0]["detail"]


def zeros(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/zeros.png", bytes(size))
    return buffer.getvalue()


def gz_of_zeros() -> bytes:
    member = tarfile.TarInfo("train/cat/zeros.txt")
    member.size = 3 * 1024**2
    return tarred({}, member, packed=True)


def gz_with_a_header_of(size: int) -> bytes:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.XHDTYPE, size
    return gzip.compress(member.tobuf() + bytes(size))


SMALL = Limits(unpacked_bytes=2 * 1024**2, ratio=50, ratio_from_bytes=1024**2, file_bytes=4 * 1024**2, files=100)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zeros(3 * 1024**2), "unpacks to more than"),
        (gz_of_zeros(), "unpacks to more than"),
        (gz_with_a_header_of(5 * 1024**2), "cut off or damaged"),
        (zipped({f"train/cat/{i}.txt": b"" for i in range(200)}), "more than 100 files"),
        (tarred({f"train/cat/{i}.txt": b"" for i in range(200)}), "more than 100 files"),
    ],
    ids=["zip", "skipped in tar.gz", "header", "files in zip", "files in tar"],
)
def test_a_bomb_is_refused_by_what_comes_out_of_it(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, content, limits=SMALL)
    assert said in problems(caught)[0][1]


def test_a_look_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(UploadError) as caught:
        look(tmp_path, zipped(folder()), limits=Limits(seconds=0.0))
    assert "takes longer" in problems(caught)[0][1]


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    content = tarred(folder(), special("train/cat/0.png", tarfile.REGTYPE))
    with pytest.raises(UploadError) as caught:
        look(tmp_path, content)
    assert problems(caught)[0][0] == "/train/cat/0.png"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(sorted(FORMS)), cut=st.floats(0.0, 1.0), flips=st.lists(st.integers(0, 2**16), max_size=4))
def test_a_damaged_archive_is_refused_or_read_never_worse(
    tmp_path: Path, form: str, cut: float, flips: list[int]
) -> None:
    whole = FORMS[form](folder(each=2))
    content = bytearray(whole[: int(len(whole) * cut)] if flips == [] else whole)
    for at in flips:
        content[at % len(content)] ^= 0x5A
    report = Report(kind=told_kind(whole), num_bytes=len(content))
    with suppress(UploadError):
        look_into(tmp_path, bytes(content), report)
    report.to_json()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
        min_size=1,
        max_size=6,
        unique=True,
    )
)
def test_any_name_is_a_class_or_refused(tmp_path: Path, names: list[str]) -> None:
    files = {f"train/{name}/{i}.png": png(i) for name in names for i in range(2)}
    with suppress(UploadError):
        facts, _ = look(tmp_path, zipped(files))
        assert all(name.isprintable() for name in facts.classes)


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    """zipfile itself fails on it. Found by the fuzz of tests/fuzz."""
    content = zips([*folder().items(), ("", png(99))])
    facts, _ = look(tmp_path, content)
    assert facts.train_counts == (5, 5)
