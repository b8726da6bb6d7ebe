"""`potstill chat`: talk with an artefact through its own runtime, in a terminal or a pipe."""

import argparse
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer, Message
from potstill.runtime import Request, Runtime, Sampling
from potstill.runtime.host import Host

PROMPT = "> "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("artefact", type=Path, help="a folder such as models/artefacts/kd-q8_0")
    parser.add_argument("--system", metavar="TEXT", help="the system's message")
    parser.add_argument("--temperature", type=float, default=0.0, help="0: the likeliest (default)")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0, help="0: all (default)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same answers")
    parser.add_argument("--max-tokens", type=int, default=512, help="of one answer")
    parser.add_argument("--context", type=int, default=2048, help="tokens of the conversation")
    parser.add_argument("--threads", type=int, default=2)


def main(args: argparse.Namespace) -> int:
    """Answer line after line; Ctrl-C ends an answer, Ctrl-D or the end of the input the program.

    Raises:
        InputError: no usable artefact, or a setting out of range.
    """
    if not args.artefact.is_dir():
        raise InputError(f"{args.artefact} is no folder: name one below models/artefacts")
    sampling = _sampling(args)
    host = Host(args.artefact, threads=args.threads, context=args.context)
    chat = ChatTokenizer(args.artefact)
    system = [{"role": "system", "content": args.system}] if args.system else []
    with host.use() as model:
        talk = Conversation(model, chat, system, sampling, args.max_tokens)
        while _turn(talk):
            pass
    host.unload()
    return 0


def _turn(talk: "Conversation") -> bool:
    """Read a question and answer it; return whether another may follow."""
    try:
        line = _read()
        if line is None:
            return False
        if line.strip():
            talk.answer(line)
    except KeyboardInterrupt:  # at the prompt, or between two answers
        if not sys.stdin.isatty():
            raise
        _say("Ctrl-D leaves")
    return True


class Conversation:
    """What was said so far, and the runtime that goes on with it."""

    def __init__(
        self,
        runtime: Runtime,
        chat: ChatTokenizer,
        messages: list[Message],
        sampling: Sampling,
        max_tokens: int,
    ) -> None:
        self._runtime, self._chat = runtime, chat
        self._messages = messages
        self._sampling, self._max_tokens = sampling, max_tokens

    def answer(self, question: str) -> None:
        """Write the answer as it comes, then how it ended; both stay in the conversation."""
        messages = [*self._messages, {"role": "user", "content": question}]
        prompt = self._chat.encode(self._chat.render(messages))
        try:
            request = Request(prompt, self._max_tokens, sampling=self._sampling)
            text, note = self._write(request)
        except InputError as error:  # the conversation does not fit any more
            _say(str(error))
            return
        self._messages = [*messages, {"role": "assistant", "content": text}]
        _say(note)

    def _write(self, request: Request) -> tuple[str, str]:
        """Return the text that was written and a line about it."""
        text, stamps, end = "", list[float](), "stopped"
        start = time.perf_counter()
        try:
            for chunk in self._runtime.stream(request):
                text += chunk.text
                sys.stdout.write(chunk.text)
                sys.stdout.flush()
                if chunk.id is not None:
                    stamps.append(time.perf_counter())
                end = chunk.finish or end
        except KeyboardInterrupt:
            pass
        sys.stdout.write("\n")
        sys.stdout.flush()
        first = 1000 * (stamps[0] - start) if stamps else 0.0
        span = stamps[-1] - stamps[0] if stamps else 0.0
        speed = f", {(len(stamps) - 1) / span:.0f} tokens/s" if span else ""
        why = {"length": ", cut at --max-tokens", "context": ", the context is full"}
        stopped = ", stopped" if end == "stopped" else why.get(end, "")
        return text, f"{len(stamps)} tokens, the first after {first:.0f} ms{speed}{stopped}"


def _sampling(args: argparse.Namespace) -> Sampling:
    if args.max_tokens < 1:
        raise InputError(f"--max-tokens is {args.max_tokens}: at least 1")
    try:
        return Sampling(
            temperature=args.temperature, top_p=args.top_p, top_k=args.top_k, seed=args.seed
        )
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0]).replace("_", "-")
        raise InputError(f"--{flag} is {first['input']}: {first['msg']}") from None


def _read() -> str | None:
    """Return the next question, None at the end of the input."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None
    import readline  # noqa: F401 - gives input() its history and line editing

    try:
        return input(PROMPT)
    except EOFError:
        sys.stdout.write("\n")
        return None


def _say(note: str) -> None:
    """Write a line that is no answer: to stderr, so that a pipe's output is the answers alone."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(note, style="dim", markup=False, soft_wrap=True)
