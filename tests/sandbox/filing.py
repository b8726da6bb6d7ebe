"""Honest programs that work with files; what they print says nothing of where their folder is.

A program's verdict must not depend on which layers hold it.
"""

# Programs are kept on one line.
# ruff: noqa: E501

from potstill.sandbox import Case

PROGRAMS = {
    "empty at first": "import os\nprint(os.listdir(), os.listdir('.'))",
    "working folder": "import os\nprint(os.path.isabs(os.getcwd()), os.path.realpath('.') == os.getcwd() == os.environ['HOME'])\nos.mkdir('a'); os.chdir('a'); print(os.path.basename(os.getcwd()), os.listdir('..'))",
    "environment": "import os\nprint(sorted(os.environ))",
    "write and read": "with open('x', 'w') as f: f.write('ä\\n')\nwith open('x', 'a') as f: f.write('b\\n')\nprint(open('x').read(), open('x', 'rb').read())",
    "update in place": "f = open('x', 'w+'); f.write('abc'); f.seek(1); f.write('X'); f.seek(0); print(f.read(), f.truncate(2)); f.close(); print(open('x').read())",
    "missing file": "open('nothing')",
    "missing folder": "open('no/thing', 'w')",
    "exclusive": "open('x', 'x').close()\ntry: open('x', 'x')\nexcept FileExistsError as e: print(e.errno)",
    "folder as a file": "import os\nos.mkdir('a')\ntry: open('a', 'w')\nexcept OSError as e: print(type(e).__name__)\ntry: os.unlink('a')\nexcept OSError as e: print(type(e).__name__)\ntry: os.rmdir('b')\nexcept OSError as e: print(type(e).__name__)",
    "tree": "import os, shutil\nos.makedirs('a/b/c'); open('a/b/c/x', 'w').close(); open('a/y', 'w').close()\nprint([(r, sorted(d), sorted(f)) for r, d, f in os.walk('.')])\ntry: os.rmdir('a')\nexcept OSError as e: print(type(e).__name__)\nshutil.rmtree('a'); print(os.listdir('.'))",
    "rename": "import os\nopen('a', 'w').write('1'); open('b', 'w').write('2'); os.replace('a', 'b'); print(os.listdir('.'), open('b').read()); os.mkdir('d'); os.rename('b', 'd/b'); os.rename('d', 'e'); print(os.listdir('e'))",
    "links": "import os\nopen('a', 'w').write('1'); os.link('a', 'b'); os.symlink('a', 'c'); print(os.stat('b').st_nlink, os.readlink('c'), open('c').read(), os.path.islink('c')); os.unlink('a'); print(os.path.exists('c'), open('b').read())",
    "named temporary file": "import os, tempfile\nwith tempfile.NamedTemporaryFile('w+', suffix='.txt') as f:\n    f.write('x'); f.flush(); print(open(f.name).read(), os.path.dirname(f.name) == os.getcwd(), len(os.listdir('.')))\nprint(os.listdir('.'))",
    "temporary files": "import os, tempfile\nprint(tempfile.gettempdir() == os.getcwd())\nwith tempfile.TemporaryFile() as f: f.write(b'x'); f.seek(0); print(f.read())\nwith tempfile.TemporaryDirectory() as d: open(d + '/x', 'w').close(); print(os.listdir(d))\nf, name = tempfile.mkstemp(); os.write(f, b'y'); print(open(name).read())\nwith tempfile.SpooledTemporaryFile(10) as f: f.write(b'z' * 100); f.seek(0); print(len(f.read()))",
    "sqlite": "import os, sqlite3\nfor mode in ('delete', 'wal', 'truncate'):\n    d = sqlite3.connect(mode); print(d.execute(f'pragma journal_mode={mode}').fetchall()); d.execute('create table t (x)')\n    with d: d.executemany('insert into t values (?)', [(i,) for i in range(1000)])\n    print(d.execute('select sum(x) from t').fetchone()); d.close()\n    d = sqlite3.connect(mode); print(d.execute('select count(*) from t').fetchone()); d.execute('vacuum'); d.close()\nprint(sorted(os.listdir('.')))",
    "pathlib": "from pathlib import Path\np = Path('a.txt'); p.touch(); p.write_text('hello'); p.touch(); print(p.read_text(), p.stat().st_size, p.exists(), sorted(map(str, Path('.').glob('*')))); Path('n').touch(); p.rename('b.txt'); Path('b.txt').unlink(); print(sorted(q.name for q in Path('.').iterdir()))\nPath('n').chmod(0o600); print(Path('n').is_file())\ntry: Path('gone').chmod(0o600)\nexcept FileNotFoundError: print('gone')",
    "shutil": "import os, shutil\nopen('a', 'w').write('1'); shutil.copy('a', 'b'); shutil.copy2('a', 'c'); shutil.copyfile('a', 'd'); os.mkdir('t'); shutil.move('d', 't'); shutil.copytree('t', 'u'); print(sorted(os.listdir('.')), os.listdir('u'), open('b').read() + open('c').read())",
    "archives": "import os, shutil, tarfile, zipfile, gzip\nos.mkdir('t'); open('t/a', 'w').write('1' * 100)\nfor kind in ('zip', 'gztar'): shutil.unpack_archive(shutil.make_archive(kind, kind, 't'), 'u' + kind); print(open('u' + kind + '/a').read())\nwith gzip.open('g', 'wt') as f: f.write('x' * 1000)\nprint(len(gzip.open('g').read()))",
    "formats": "import csv, json, pickle, shelve\nwith open('c', 'w', newline='') as f: csv.writer(f).writerows([[1, 'a'], [2, 'b,c']])\nprint(list(csv.reader(open('c', newline=''))))\njson.dump({'a': [1]}, open('j', 'w')); pickle.dump({1, 2}, open('p', 'wb'))\nwith shelve.open('s') as s: s['k'] = (1, 2)\nwith shelve.open('s') as s: print(s['k'])",
    "sizes": "import os\nf = open('x', 'wb'); f.write(bytes(1000)); f.close(); os.truncate('x', 10); print(os.path.getsize('x'))\nwith open('x', 'r+b') as f: f.truncate(5000); os.truncate(f.fileno(), 4000); os.posix_fallocate(f.fileno(), 0, 6000); print(os.path.getsize('x'))\ntry: os.truncate('y', 1)\nexcept FileNotFoundError: print('gone')",
    "modes of new files": "import os\nopen('x', 'w').close(); os.mkdir('d'); os.mkdir('e', 0o700); print([oct(os.stat(n).st_mode) for n in ('x', 'd', 'e', '.')])\nos.umask(0o077); open('y', 'w').close(); print(oct(os.stat('y').st_mode), os.access('y', os.W_OK))",
    "attributes elsewhere": "import os\nfor f in (lambda: os.chmod(os.__file__, 0o777), lambda: os.utime(os.__file__), lambda: os.truncate(os.__file__, 0), lambda: os.unlink(os.__file__)):\n    try: f()\n    except OSError: print('refused')",
    "locks": "import fcntl\nf = open('x', 'w'); fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX); print('locked')",
    "mapped": "import mmap\nopen('x', 'wb').write(bytes(4096))\nwith open('x', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[:3] = b'abc'; m.flush()\nprint(open('x', 'rb').read(3))",
    "large file": "f = open('x', 'wb'); f.write(bytes(15 << 20)); f.close()\ntry:\n    with open('x', 'ab', 0) as f:\n        for _ in range(4): f.write(bytes(1 << 20))\n    print('written')\nexcept OSError as e: print(type(e).__name__)",
    "just enough": "for i in range(16): open(str(i), 'wb').write(bytes(1 << 20))\nprint('written')",
    "a little too much": "for i in range(17): open(str(i), 'wb').write(bytes(1 << 20))",
    "some files": "import os\nfor i in range(1000): open(f'{i}.txt', 'w').write(str(i))\nprint(sum(int(open(n).read()) for n in os.listdir('.')))",
    "own module": "import sys\nopen('mine.py', 'w').write('x = 41')\nsys.path.insert(0, '.'); import mine; print(mine.x + 1)",
    "log": "import logging\nlogging.basicConfig(filename='log', level='INFO', format='%(message)s'); logging.info('a'); logging.shutdown(); print(open('log').read())",
    "pipe with a name": "import os\ntry: os.mkfifo('p')\nexcept OSError as e: print(type(e).__name__)",
    "threads": "import os, threading\ndef f(i): open(str(i), 'w').write(str(i))\nt = [threading.Thread(target=f, args=[i]) for i in range(8)]\n[x.start() for x in t]; [x.join() for x in t]; print(sorted(os.listdir('.')))",
}  # fmt: skip
FULL = "OSError: [Errno 28] No space left on device"
COUNT = "def count(text):\n    with open('words', 'w') as f: f.write(text)\n    with open('words') as f: return len(f.read().split())"
CASES = [
    *(Case("python", code) for code in PROGRAMS.values()),
    Case("python", COUNT, [{"args": ["a b"], "expected": 2}, {"args": [""], "expected": 0}], "count"),
    Case("python", COUNT, "def check(f):\n    assert f('a b c') == 3\n    assert f('') == 1", "count"),
]  # fmt: skip


def verdict(result):
    """Return what must not depend on the layers, as JSON has it."""
    if result.killed_by == "files":  # what a file system says itself, where there is one
        return [False, result.stdout, 1, None, FULL, result.tests_passed]
    last = result.stderr.rstrip().rpartition("\n")[2]
    return [result.ok, result.stdout, result.exit_code, result.killed_by, last, result.tests_passed]
