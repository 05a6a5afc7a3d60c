"""C++ source text without its comments or string contents, line for line, for checks that look at words."""

import re
from dataclasses import dataclass
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<comment>//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/)
      | (?P<raw>(?:u8|u|U|L)?R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)")
      | (?P<include>^[ \t]*\#[ \t]*include[^\n]*?(?=//|/\*|$))
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<digits>(?<![A-Za-z_])[0-9][0-9A-Fa-fxX']*)
      | (?P<char>'(?:[^'\\\n]|\\.)+')""",
    re.X | re.S | re.M,
)
ALLOW = re.compile(r"//\s*allow\(([^)]*)\)(:?)\s*(.*)")


def blank(text):
    """The same number of lines and columns, nothing in them."""
    return re.sub(r"[^\n]", " ", text)


@dataclass
class Allowance:
    line: int  # the line that may break the rule
    at: int  # the line that says so
    rule: str
    reason: str
    used: bool = False


class CppText:
    """One file: `code` has neither comments nor strings, `quoted` keeps strings and includes, `comments` only comments."""

    def __init__(self, path: Path, name: str):
        self.name = name
        self.text = path.read_text(encoding="utf-8", errors="replace")
        code, quoted, comments, last = [], [], [], 0
        for match in TOKEN.finditer(self.text):
            between, token, kind = self.text[last : match.start()], match.group(), match.lastgroup
            if match.group("comment") is not None:
                kind = "comment"
            elif match.group("raw") is not None:
                kind = "raw"
            is_comment = kind == "comment"
            hidden = kind in ("comment", "raw", "string", "char")
            code += [between, blank(token) if hidden else token]
            quoted += [between, blank(token) if is_comment else token]
            comments += [blank(between), token if is_comment else blank(token)]
            last = match.end()
        rest = self.text[last:]
        self.code = ("".join(code) + rest).split("\n")
        self.quoted = ("".join(quoted) + rest).split("\n")
        self.comments = ("".join(comments) + blank(rest)).split("\n")
        self.allowances = self._allowances()

    def _allowances(self):
        found = []
        for number, comment in enumerate(self.comments, 1):
            match = ALLOW.search(comment)
            if not match:
                continue
            line = number
            if not self.code[number - 1].strip():  # a line of its own speaks of the next line with code
                while line < len(self.code) and not self.code[line - 1].strip():
                    line += 1
            reason = match.group(3).strip() if match.group(2) else ""
            found += [Allowance(line, number, rule.strip(), reason) for rule in match.group(1).split(",")]
        return found

    def allowed(self, line, rule):
        for allowance in self.allowances:
            if allowance.line == line and allowance.rule == rule:
                allowance.used = True
                return True
        return False

    def includes(self):
        for number, line in enumerate(self.quoted, 1):
            match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if match:
                yield number, match.group(1), match.group(2)
