"""Places: what is found where, in which order, and what is refused."""

import io
import tarfile
import zipfile

import pytest
from potstill.errors import InputError
from potstill.mining import places


def of(place):
    return dict(place.sources((".py",)))


def test_an_installed_package_states_its_version_and_licence():
    place = places.find("package:numpy", None)
    assert place.name.startswith("numpy-")
    assert "BSD" in place.licence
    names = list(of(place))
    assert names == sorted(names)
    assert any(name.startswith("numpy/") for name in names)
    assert not any("/tests/" in name for name in names)


def test_a_folder_and_its_archives_hold_the_same(tmp_path, monkeypatch):
    folder = tmp_path / "src"
    for name in ("b.py", "pkg/a.py", "tests/c.py", "d.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "long.py").write_text("#" * (1 << 20) + "##")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname=".")
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for path in folder.rglob("*.*"):
            archive.write(path, path.relative_to(folder))
    expected = {"b.py": b"b.py", "pkg/a.py": b"pkg/a.py"}
    assert of(places.find(f"folder:{folder}", None)) == expected
    assert of(places.find(f"archive:{tmp_path / 'x.whl'}", None)) == expected
    monkeypatch.setenv("SOURCES", str(tmp_path))
    found = of(places.find("archive:$SOURCES/x.tar.gz", None))
    assert {name.removeprefix("./"): text for name, text in found.items()} == expected
    assert places.find(f"folder:{folder}", None).licence == "unknown"
    assert places.find(f"folder:{folder}", "MIT").licence == "MIT"


def test_a_cut_archive_is_refused(tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        info = tarfile.TarInfo("a.py")
        info.size = 50_000
        archive.addfile(info, io.BytesIO(bytes(range(200)) * 250))
    for cut in (0, 10, len(content.getvalue()) // 2):
        path = tmp_path / f"{cut}.tar.gz"
        path.write_bytes(content.getvalue()[:cut])
        with pytest.raises(InputError, match="no whole archive"):
            of(places.find(f"archive:{path}", None))


@pytest.mark.parametrize("text", ["", "stdlb", "folder:absent", "archive:absent.zip", "hub:x"])
def test_no_place(text):
    with pytest.raises(InputError, match="allowed: stdlib, package:NAME"):
        places.find(text, None)


def test_no_package():
    with pytest.raises(InputError, match="not installed"):
        places.find("package:absent-of-all", None)
