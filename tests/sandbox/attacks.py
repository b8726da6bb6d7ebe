"""Hostile programs. Each prints PWNED where it reaches something outside, or returns a value that
passes a test whose answer it cannot know.

CANARY stands for a file of the host's, SECRET for the answer that only the grader knows.
"""

# Programs are kept on one line.
# ruff: noqa: E501

from dataclasses import dataclass

SECRET = "the-answer-is-{}"  # completed at run time, so that no source holds it
SYSCALL = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall.restype = ctypes.c_long\n"


@dataclass(frozen=True)
class Attack:
    name: str
    code: str
    language: str = "python"
    kind: str = "script"  # "calls" and "source": graded


def attempt(*lines):
    """Return a program that prints PWNED if no line raises."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"import os, sys\ntry:\n{body}    print('PWNED')\nexcept BaseException as e:\n    print(repr(e)[:200])\n"


def succeeds(number_x86, number_arm, *arguments):
    """Return a program that makes a system call and prints PWNED if it is not refused."""
    given = ", ".join(["n", *arguments])
    return (
        f"{SYSCALL}import platform\nn = {number_x86} if platform.machine() == 'x86_64' else {number_arm}\n"
        f"if libc.syscall({given}) >= 0:\n    print('PWNED')\n"
    )


FILES = {
    "write to the host": "import os\nos.makedirs(os.path.dirname('CANARY'), exist_ok=True)\nopen('CANARY', 'w').write('PWNED')",
    "read a host file": "print(open('CANARY').read())",
    "read passwd": attempt("open('/etc/passwd').read()"),
    "read shadow": attempt("open('/etc/shadow').read()"),
    "list the home of root": attempt("os.listdir('/root/.ssh')"),
    "read the environment": attempt("open('/proc/self/environ').read()"),
    "read memory of process 1": attempt("open('/proc/1/mem', 'rb')"),
    "list devices": attempt("os.listdir('/dev')"),
    "list sys": attempt("os.listdir('/sys')"),
    "append to the library": attempt("open(os.__file__, 'a').write('import evil')"),
    "chmod the library": attempt("os.chmod(os.__file__, 0o777)"),
    "delete the library": attempt("os.unlink(os.__file__)"),
    "rename the library": attempt("os.rename(os.__file__, os.__file__ + '.old')"),
    "new file in the library": attempt("open(os.path.dirname(os.__file__) + '/sitecustomize.py', 'w')"),
    "new file in the root": attempt("open('/evil', 'w')"),
    "symbolic link out": attempt("os.symlink('/etc/passwd', '/tmp/link')", "open('/tmp/link').read()"),
    "symbolic link to the library": attempt("os.symlink(os.__file__, '/tmp/link')", "open('/tmp/link', 'a')"),
    "hard link to the library": attempt("os.link(os.__file__, '/tmp/hard')"),
    "dot dot": attempt("open('/tmp/../../../../etc/passwd').read()"),
    "root of a process": attempt("os.listdir('/proc/self/root/etc')"),
    "device node": attempt("os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0))", "open('/tmp/disk', 'rb').read(1)"),
    "chroot": attempt("os.mkdir('/tmp/x')", "os.chroot('/tmp/x')"),
    "execute from tmp": attempt("open('/tmp/a', 'wb').write(b'#!/bin/sh')", "os.chmod('/tmp/a', 0o755)", "os.execv('/tmp/a', ['a'])"),
    "load a library from tmp": attempt("import ctypes, _heapq", "open('/tmp/a.so', 'wb').write(open(_heapq.__file__, 'rb').read())", "ctypes.CDLL('/tmp/a.so')"),
    "fill the disk": attempt("for i in range(100):\n        open(f'/tmp/{i}', 'wb').write(bytes(10 ** 6))"),
    "many files": attempt("for i in range(10000): open(f'/tmp/{i}', 'w').close()"),
    "sparse file": attempt("open('/tmp/s', 'wb').truncate(1 << 40)"),
    "anonymous file": attempt("f = os.memfd_create('x')", "for _ in range(100): os.write(f, bytes(10 ** 6))"),
}  # fmt: skip
# With and without a /tmp of its own, the working folder is private.
FOLDER = {
    "find what another left": attempt("assert os.listdir('.')"),
    "list the folders of others": attempt("assert [n for n in os.listdir('..') if len(n) == 32]"),
    "list shared memory": attempt("os.listdir('/dev/shm')"),
    "working folders of processes": "import os\nfor n in range(1, os.getpid() + 100):\n    try:\n        if n != os.getpid(): os.listdir(f'/proc/{n}/cwd'); print('PWNED')\n    except OSError: pass",
    "new file above": attempt("open('../evil', 'w')"),
    "rename out": attempt("open('a', 'w').close()", "os.rename('a', '../evil')"),
    "rename a folder out": attempt("os.mkdir('a')", "os.rename('a', '../evil')"),
    "rename the folder": attempt("os.rename(os.getcwd(), '../evil')"),
    "remove the folder": attempt("os.rmdir(os.getcwd())"),
    "hard link above": attempt("open('a', 'w').close()", "os.link('a', '../evil')"),
    "symbolic link above": attempt("os.symlink('a', '../evil')"),
    "hard link to the library": attempt("os.link(os.__file__, 'a')", "open('a', 'a')"),
    "empty the library by reading it": attempt("os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)"),
    "read through a link": "import os\nos.symlink('CANARY', 'a')\nprint(open('a').read())",
    "write through a link": attempt("os.symlink('CANARY', 'a')", "open('a', 'w').write('evil')"),
    "library through a link": attempt("os.symlink(os.__file__, 'a')", "open('a', 'a')"),
    "chmod through a link": attempt("os.symlink('CANARY', 'a')", "os.chmod('a', 0o777)"),
    "chmod through a link to the library": attempt("os.symlink(os.__file__, 'a')", "os.chmod('a', 0o777)"),
    "times through a link": attempt("os.symlink(os.__file__, 'a')", "os.utime('a', (0, 0))"),
    "chmod above": attempt("os.chmod('..', 0o777)"),
    "chmod above by number": succeeds(268, 53, "-100", "b'..'", "0o777"),
    "chmod of an open library": "import ctypes\n" + attempt("f = os.open(os.__file__, 0)", "assert ctypes.CDLL(None).fchmod(f, 0o777) == 0"),
    "device node": attempt("os.mknod('d', 0o60666, os.makedev(254, 0))"),
    "execute": attempt("open('a', 'wb').write(b'#!/bin/sh')", "os.chmod('a', 0o755)", "os.execv('./a', ['a'])"),
    "fill": attempt("for i in range(3000): open(str(i), 'wb').write(bytes(10 ** 6))"),
    "fill with open files": attempt("x = [open(str(i), 'wb', 0) for i in range(50)]", "for f in x: f.write(bytes(15 << 20))", "for f in x: f.seek(0); f.write(bytes(15 << 20))"),
    "fill with deleted files": attempt("x = []", "for i in range(3000): x = x[-50:] + [open('a', 'wb', 0)]; os.unlink('a'); x[-1].write(bytes(10 << 20))"),
    "fill by allocating": attempt("for i in range(3000): os.posix_fallocate(os.open(str(i % 50), os.O_CREAT | os.O_RDWR) if i < 50 else 1, 0, 15 << 20)"),
    "fill a folder that hides": attempt("os.mkdir('a', 0o300)", "os.chdir('a')", "for i in range(3000): open(str(i), 'wb').write(bytes(10 ** 6))"),
    "many files": attempt("for i in range(10 ** 6): open(str(i), 'w').close()"),
    "many hard links": attempt("open('a', 'w').close()", "for i in range(10 ** 6): os.link('a', str(i))"),
    "deep folders": attempt("for _ in range(10 ** 6): os.mkdir('a'); os.chdir('a')"),
    "deep folders without rights": attempt("os.umask(0o400)", "for _ in range(10 ** 6): os.mkdir('a'); os.chdir('a')"),
}  # fmt: skip
NETWORK = {
    "internet socket": attempt("import socket", "socket.socket()"),
    "udp socket": attempt("import socket", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    "unix socket": attempt("import socket", "socket.socket(socket.AF_UNIX)"),
    "socket pair": attempt("import socket", "socket.socketpair()"),
    "netlink socket": attempt("import socket", "socket.socket(16, socket.SOCK_RAW, 0)"),
    "packet socket": attempt("import socket", "socket.socket(17, socket.SOCK_RAW, 0)"),
    "download": attempt("import urllib.request", "urllib.request.urlopen('http://127.0.0.1:80', timeout=1)"),
    "pass a descriptor": attempt("import socket", "s = socket.socket(fileno=3)", "socket.send_fds(s, [b'x'], [0])"),
}  # fmt: skip
PROCESSES = {
    "fork": attempt("os.fork()"),
    "fork bomb": "import os\nfor _ in range(10000):\n    try:\n        if os.fork() == 0: print('PWNED')\n    except OSError: pass",
    "shell": attempt("assert os.system('echo PWNED') == 0"),
    "subprocess": attempt("import subprocess", "subprocess.run(['/bin/ls'])"),
    "spawn": attempt("os.posix_spawn('/bin/ls', ['ls'], {})"),
    "exec": attempt("os.execv('/bin/ls', ['ls'])"),
    "exec Python again": attempt("os.execv(sys.executable, ['python', '-c', 'print(\"PWNED\")'])"),
    "multiprocessing": attempt("import multiprocessing", "multiprocessing.Process(target=print).start()"),
    "thread bomb": attempt("import threading, time", "for _ in range(500): threading.Thread(target=time.sleep, args=[1], daemon=True).start()"),
    "clone by number": succeeds(56, 220, "17", "0", "0", "0", "0"),
    "clone3": succeeds(435, 435, "ctypes.create_string_buffer(88)", "88"),
    "vfork": attempt("import ctypes", "assert ctypes.CDLL(None).vfork() > 0"),
    "kill everything": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "kill the parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "kill low numbers": "import os\nfor i in range(2, 3000):\n    try:\n        os.kill(i, 9); print('PWNED')\n    except OSError: pass",
    "see a parent": "import os\nif os.getppid(): print('PWNED')",
    "watch a process": succeeds(434, 434, "1", "0"),
    "ptrace": attempt("import ctypes", "assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0"),
    "read a process": succeeds(310, 270, "1", "None", "0", "None", "0", "0"),
    "raise priority": attempt("os.nice(-5)"),
}  # fmt: skip
RESOURCES = {
    "memory bomb": attempt("x = [0] * 10 ** 9"),
    "slow memory bomb": "x = []\nwhile len(x) < 10 ** 5:\n    x.append(bytearray(10 ** 6))\nprint('PWNED')",
    "memory map": attempt("import mmap", "mmap.mmap(-1, 4 << 30)"),
    "infinite loop": "while True: pass",
    "infinite loop without signals": "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
    "infinite loop that catches all": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "infinite sleep": "import time\ntime.sleep(10 ** 6)",
    "infinite output": "while True: print('x' * 10000)",
    "infinite error output": "import sys\nwhile True: sys.stderr.write('x' * 10000)",
    "large power": "print(len(str(9 ** 9 ** 9)))\nprint('PWNED')",
    "large format": attempt("x = '%0999999999d' % 1"),
    "regular expression": "import re\nre.match('(a+)+$', 'a' * 40 + 'b')\nprint('PWNED')",
    "recursion": attempt("sys.setrecursionlimit(10 ** 9)", "f = lambda: f()", "f()"),
    "C recursion": "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6): x = [x]\nrepr(x)\nprint('PWNED')",
    "deep source": "x = " + "(" * 5000 + "1" + ")" * 5000 + "\nprint('PWNED')",
    "higher limits": attempt("import resource", "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"),
    "many descriptors": attempt("x = [os.open('/', os.O_RDONLY) for _ in range(1000)]"),
    "hang at exit": "import atexit\ndef f():\n    while True: pass\natexit.register(f)",
    "null pointer": "import ctypes\nctypes.string_at(0)\nprint('PWNED')",
}  # fmt: skip
KERNEL = {
    "mount": succeeds(165, 40, "b'none'", "b'/tmp'", "b'tmpfs'", "0", "None"),
    "unshare user": succeeds(272, 97, "0x10000000"),
    "unshare mount": succeeds(272, 97, "0x00020000"),
    "enter a namespace": succeeds(308, 268, "0", "0"),
    "bpf": succeeds(321, 280, "0", "ctypes.create_string_buffer(64)", "64"),
    "keyring": succeeds(250, 219, "0", "-3", "0"),
    "io_uring": succeeds(425, 425, "4", "ctypes.create_string_buffer(256)"),
    "userfaultfd": succeeds(323, 282, "1"),
    "performance events": succeeds(298, 241, "ctypes.create_string_buffer(128)", "0", "-1", "-1", "0"),
    "shared memory": succeeds(29, 194, "0", "4096", "0o1600"),
    "message queue": succeeds(68, 186, "0", "0o1600"),
    "semaphores": succeeds(64, 190, "0", "1", "0o1600"),
    "x32 numbers": succeeds(0x40000000 + 41, 198, "2", "1", "0"),
    "newest numbers": succeeds(457, 457, "0", "0", "0", "0"),
    "become root": attempt("os.setuid(0)", "os.setgid(0)"),
    "reboot": succeeds(169, 142, "0xfee1dead", "672274793", "0", "0"),
    "host name": attempt("import socket", "socket.sethostname('evil')"),
    "clock": attempt("import time", "time.clock_settime(time.CLOCK_REALTIME, 0)"),
    "file handles": succeeds(304, 265, "-100", "ctypes.create_string_buffer(64)", "0"),
}  # fmt: skip
JAVASCRIPT = {
    "function constructor": "console.log([].constructor.constructor('return typeof process')() === 'object' ? 'PWNED' : 'no')",
    "require": "try { require('fs'); console.log('PWNED') } catch (e) { console.log(String(e)) }",
    "import": "import('fs').then(() => console.log('PWNED'), e => console.log('no'))",
    "import os": "import('os').then(() => console.log('PWNED'), e => console.log('no'))",
    "host objects": "for (const name of ['std', 'os', 'process', 'fetch', 'require', '__write', 'Deno', 'scriptArgs']) if (name in globalThis) console.log('PWNED')",
    "infinite loop": "while (true) {}",
    "memory bomb": "const x = []; while (x.length < 1e9) x.push(new Array(1e5).fill(1)); console.log('PWNED')",
    "string bomb": "let s = 'x'; for (let i = 0; i < 40; i++) s += s; console.log('PWNED')",
    "recursion": "const f = () => f(); f(); console.log('PWNED')",
    "infinite output": "for (;;) console.log('x'.repeat(1000))",
    "regular expression": "/(a+)+$/.test('a'.repeat(40) + 'b'); console.log('PWNED')",
    "infinite jobs": "const f = () => Promise.resolve().then(f); f()",
    "broken join": "Array.prototype.join = () => { throw 1 }; console.log('a')",
}  # fmt: skip
# Graded: `answer` takes nothing and should return the secret.
FORGED = {
    "exit early": "import os\nos._exit(0)",
    "exit politely": "raise SystemExit(0)",
    "exit when called": "def answer():\n    import os\n    os._exit(0)",
    "exit politely when called": "def answer():\n    raise SystemExit(0)",
    "exit in a thread": "import os, threading, time\nthreading.Thread(target=lambda: (time.sleep(0.05), os._exit(0))).start()\ndef answer():\n    time.sleep(1)",
    "print a verdict": "print('passed'); print('{\"passed\": true}')\ndef answer(): return print('ok')",
    "always equal": "class R(str):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = str.__hash__\ndef answer(): return R('x')",
    "always equal object": "class R:\n    def __eq__(self, other): return True\ndef answer(): return R()",
    "always equal number": "class R(int):\n    def __eq__(self, other): return True\ndef answer(): return R(1)",
    "always equal list": "class R(list):\n    def __eq__(self, other): return True\ndef answer(): return R()",
    "disguised class": "class R:\n    __class__ = str\n    def __eq__(self, other): return True\ndef answer(): return R()",
    "patched builtins": "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.all = lambda *a: True\nbuiltins.AssertionError = None\ndef answer(): return 1",
    "patched json": "import json\njson.dumps = lambda *a, **k: '{\"value\": true, \"passed\": true}'\ndef answer(): return 1",
    "patched runner": "import sys\nfor m in list(sys.modules.values()):\n    for name in ('equal', 'check', '_judge', '_reply', 'encode'):\n        if hasattr(m, name): setattr(m, name, lambda *a: True)\ndef answer(): return 1",
    "forged replies": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'{\"passed\": true, \"nonce\": \"x\", \"seq\": 0, \"replies\": [{\"value\": true}]}\\n')\n    except OSError: pass\ndef answer(): return 1",
    "forged replies with the nonce": "import sys, os, json\nf = sys._getframe()\nnonce = None\nwhile f:\n    job = f.f_locals.get('job')\n    nonce = nonce or (job or {}).get('nonce')\n    f = f.f_back\nos.write(3, json.dumps({'nonce': nonce, 'seq': 0, 'replies': [{'value': True}]}).encode() + b'\\n')\ndef answer(): return 1",
    "search frames": "import sys\ndef answer():\n    f = sys._getframe()\n    while f:\n        for v in f.f_locals.values():\n            if 'the-answer-is' in str(v)[:10000] and 'import sys' not in str(v): return str(v)\n        f = f.f_back",
    "search objects": "import gc\ndef answer():\n    for o in gc.get_objects():\n        if isinstance(o, dict):\n            for v in list(o.values()):\n                if isinstance(v, str) and v.startswith('the-answer' + '-is-'): return v",
    "search memory": "import ctypes, re\nkey = b'the-answer' + b'-is-'\ndef answer():\n    start = id(object()) & ~0xfffff\n    data = ctypes.string_at(start, 0x40000)\n    m = re.search(re.escape(key) + b'[0-9a-f]{16}', data)\n    return m and m.group().decode()",
    "search stdin and descriptors": "import os\ndef answer():\n    for fd in range(64):\n        try: os.set_blocking(fd, False); data = os.read(fd, 10 ** 6)\n        except OSError: continue\n        if b'the-answer' in data: return data.decode()",
    "search files": "import os\ndef answer():\n    for root, _, files in os.walk('/tmp'):\n        for f in files: return open(root + '/' + f).read()",
    "not a number": "def answer(): return float('nan')",
    "true": "def answer(): return True",
    "endless reply": "def answer():\n    while True: yield 1",
    "large reply": "def answer(): return 'x' * (50 << 20)",
    "deep reply": "def answer():\n    x = []\n    for _ in range(900): x = [x]\n    return x",
    "self reply": "def answer():\n    x = []\n    x.append(x)\n    return x",
    "reply of many digits": "def answer(): return 10 ** 10 ** 5",
    "bad name of an error": "class M(type):\n    __name__ = 5\nclass E(Exception, metaclass=M): pass\ndef answer(): raise E",
    "error that fails": "class E(Exception):\n    def __str__(self): raise self\ndef answer(): raise E",
    "kill the judge": "import os\nfor i in range(1, 5000):\n    try: i != os.getpid() and os.kill(i, 9)\n    except OSError: pass\ndef answer(): return 1",
}  # fmt: skip
FORGED_JAVASCRIPT = {
    "patched JSON": "JSON.stringify = () => 'true'; JSON.parse = () => []; function answer() { return 1 }",
    "own toJSON": "String.prototype.toJSON = () => true; function answer() { return { toJSON() { return true } } }",
    "always equal": "function answer() { return { valueOf() { return true }, toString() { return 'x' } } }",
    "proxy": "function answer() { return new Proxy({}, { get: () => () => true }) }",
    "not a number": "function answer() { return NaN }",
    "throw": "function answer() { throw null }",
}  # fmt: skip

SCRIPTS = {
    **{f"files: {name}": code for name, code in FILES.items()},
    **{f"folder: {name}": code for name, code in FOLDER.items()},
    **{f"network: {name}": code for name, code in NETWORK.items()},
    **{f"processes: {name}": code for name, code in PROCESSES.items()},
    **{f"resources: {name}": code for name, code in RESOURCES.items()},
    **{f"kernel: {name}": code for name, code in KERNEL.items()},
}
ATTACKS = [
    *(Attack(name, code) for name, code in SCRIPTS.items()),
    *(Attack(f"javascript: {name}", code, "javascript") for name, code in JAVASCRIPT.items()),
    *(
        Attack(f"{kind}: {name}", code, language, kind)
        for kind in ("calls", "source")
        for language, programs in (("python", FORGED), ("javascript", FORGED_JAVASCRIPT))
        for name, code in programs.items()
    ),
]
