"""The stage lists all files below its folders; the format is tests/test_hashes.py's."""

from potstill import hashes

from stages.record_hashes import Params, main


def test_every_file_is_recorded_and_a_second_run_is_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data/a/b.jsonl", "models/w.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"123")
    paths = {"data": tmp_path / "data", "models": tmp_path / "models"}
    relative = {name: path.relative_to(tmp_path) for name, path in paths.items()}
    metrics = main(Params(), **relative, out=tmp_path / "one")
    assert metrics == {"num_files": 2, "total_bytes": 6}
    assert [e.path for e in hashes.read(tmp_path / "one")] == ["data/a/b.jsonl", "models/w.bin"]
    main(Params(), **relative, out=tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
