"""Results are frozen beside a document, all of them or none."""

import pytest
from potstill.cli.__main__ import main
from potstill.cli.publish import FILES

START, END = "<!-- frozen -->\n", "<!-- /frozen -->"
OTHER = "<!-- results -->\nof another run\n<!-- /results -->\n"


@pytest.fixture
def run(tmp_path):
    for name in FILES:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(f"of {name}\n")
    return tmp_path / "run"


def publish(run, document):
    folder = run.parent / "frozen"
    code = main(["publish", str(document), "--folder", str(folder), "--run", str(run)])
    return code, folder


def test_files_are_copied_and_the_table_stands_between_the_marks(run, tmp_path):
    document = tmp_path / "README.md"
    document.write_text(f"{OTHER}{START}old\n{END}\nbelow\n")
    for _ in range(2):
        code, folder = publish(run, document)
        assert code == 0
        assert document.read_text() == f"{OTHER}{START}of metrics/shown/table.md\n{END}\nbelow\n"
    assert {path.name for path in folder.iterdir()} == set(FILES.values())


@pytest.mark.parametrize("text", ["no marks", f"{START}{START}{END}", None])
def test_without_marks_nothing_is_written(run, tmp_path, capsys, text):
    document = tmp_path / "README.md"
    if text is not None:
        document.write_text(text)
    code, folder = publish(run, document)
    assert code == 1
    assert "must hold <!-- frozen -->" in capsys.readouterr().err
    assert not folder.exists()


def test_a_missing_result_is_named_and_nothing_is_written(run, tmp_path, capsys):
    (run / "metrics/shown/quality.svg").unlink()
    (tmp_path / "README.md").write_text(f"{START}{END}")
    code, folder = publish(run, tmp_path / "README.md")
    assert code == 1
    assert "quality.svg missing" in capsys.readouterr().err
    assert not folder.exists()
